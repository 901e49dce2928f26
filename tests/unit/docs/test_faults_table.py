"""docs/faults.md: each fault names its tests, and they exist."""

from __future__ import annotations

import re

from wrklab.paths import PROJECT_DIR

#: `lab/test_faults.py::test_x`
_NAMED = re.compile(r"`((?:lab|unit)/[\w/]+\.py)::(\w+)`")


#: `- **A host's disk is full**: what happens`, and the lines that belong to it.
_FAULT = re.compile(r"^- \*\*(?P<fault>.+?)\*\*:(?P<rest>.*?)(?=^- |^#|\Z)", re.DOTALL | re.MULTILINE)


def test_every_fault_has_a_test() -> None:
    """At least one, in a line below it."""
    faults = (PROJECT_DIR / "docs/faults.md").read_text(encoding="utf-8").split("## Each fault and its test")[1]
    found = {match["fault"]: _NAMED.findall(match["rest"]) for match in _FAULT.finditer(faults)}

    assert len(found) > 35
    assert [fault for fault, tests in found.items() if not tests] == []


def test_every_test_that_the_page_names_exists() -> None:
    """Each row has one at least."""
    rows = [line for line in (PROJECT_DIR / "docs/faults.md").read_text(encoding="utf-8").splitlines() if "::" in line]
    assert len(rows) > 15
    for row in rows:
        named = _NAMED.findall(row)
        assert named, row
        for path, name in named:
            text = (PROJECT_DIR / "tests" / path).read_text(encoding="utf-8")
            assert f"def {name}(" in text, f"{path}::{name}"


def test_no_test_of_faults_is_missing_in_the_table() -> None:
    """Whoever adds one adds its row."""
    table = (PROJECT_DIR / "docs/faults.md").read_text(encoding="utf-8")
    for path in sorted((PROJECT_DIR / "tests/lab").glob("test_faults*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in table or name == "test_bad_servers_leave_nothing_running", name
