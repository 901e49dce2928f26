"""The script ./inv: the virtual environment that it makes, keeps and heals. A stand-in for pip fetches nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wrklab.paths import PROJECT_DIR

#: Makes environments as the real one does, but quickly: with a pip that installs an `invoke` and counts its calls.
PYTHON = f"""#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then exec {sys.executable} "$@"; fi
if [ -e "$(dirname "$0")/broken" ]; then mkdir -p "$3/bin"; echo "no venv today" >&2; exit 1; fi
{sys.executable} -m venv --without-pip "$3"
[ -e "$(dirname "$0")/without_pip" ] || cp "$(dirname "$0")/pip.py" "$3"/lib/python3*/site-packages/
"""
PIP = """
import sys
from pathlib import Path
if __name__ == "__main__":
    bin = Path(sys.prefix) / "bin"
    with (Path(sys.prefix).parent / "installed").open("a") as calls:
        calls.write(Path(sys.argv[-1]).name + "\\n")
    if (Path(sys.prefix).parent / "no_network").exists():
        sys.exit("no network")
    (bin / "invoke").write_text(f'#!/bin/sh\\n# {sys.prefix}/bin/python\\necho invoked "$@"\\n')
    (bin / "invoke").chmod(0o755)
"""


class Checkout:
    """A checkout with ./inv and locks, and the Python that it is told to use."""

    def __init__(self, root: Path, tools: Path) -> None:
        """Nothing is installed yet."""
        self.root, self.tools, self.venv = root, tools, root / ".venv"
        root.mkdir(parents=True)
        tools.mkdir()
        shutil.copy2(PROJECT_DIR / "inv", root / "inv")
        for name in ("requirements.txt", "requirements_dev.txt"):
            (root / name).write_text("# none\n")
        (tools / "pip.py").write_text(PIP)
        (tools / "python").write_text(PYTHON)
        (tools / "python").chmod(0o755)

    def inv(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What ./inv does."""
        given = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
        given |= {"WRKLAB_PYTHON": str(self.tools / "python"), **environment}
        return subprocess.run(
            [self.root / "inv", *words], env=given, capture_output=True, text=True, timeout=60, check=False
        )

    def installed(self) -> list[str]:
        """The locks that pip was called for."""
        path = self.root / "installed"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """In a folder whose name has what shells and quotes stumble over."""
    return Checkout(tmp_path / 'it\'s a "päth" $HOME', tmp_path / "tools")


def assert_invoked(done: subprocess.CompletedProcess[str], words: str = "--list") -> None:
    """It came as far as Invoke."""
    assert (done.returncode, done.stdout) == (0, f"invoked {words}\n"), done.stderr


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "xx_YY.ISO-8859-1", ""])
def test_the_environment_is_made_once_whatever_the_locale_and_the_path_are(checkout: Checkout, locale: str) -> None:
    """Later calls install nothing and say nothing."""
    assert_invoked(checkout.inv("--list"))
    inode = checkout.venv.stat().st_ino

    again = checkout.inv("--list", LC_ALL=locale, LANG=locale)

    assert_invoked(again)
    assert again.stderr == ""
    assert checkout.venv.stat().st_ino == inode
    assert checkout.installed() == ["requirements.txt"]


def test_tests_take_their_own_lock_as_well(checkout: Checkout) -> None:
    """Once."""
    for _ in range(2):
        assert_invoked(checkout.inv("test"), "test")
    assert checkout.installed() == ["requirements.txt", "requirements_dev.txt"]


def test_an_environment_without_pip_heals(checkout: Checkout) -> None:
    """As it is after an interruption of `python -m venv`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout.venv], check=True)
    assert_invoked(checkout.inv("--list"))


def test_an_empty_environment_heals(checkout: Checkout) -> None:
    """A folder of that name is all that there is."""
    checkout.venv.mkdir()
    assert_invoked(checkout.inv("--list"))


def test_an_installation_that_ended_half_way_is_made_from_the_start(checkout: Checkout) -> None:
    """The message promises that another call helps: it does."""
    (checkout.root / "no_network").touch()
    failed = checkout.inv("--list")
    assert (failed.returncode, "run ./inv again" in failed.stderr) == (1, True)
    (checkout.venv / "half").touch()

    (checkout.root / "no_network").unlink()
    assert_invoked(checkout.inv("--list"))
    assert not (checkout.venv / "half").exists()


def test_an_environment_that_lost_its_programs_heals(checkout: Checkout) -> None:
    """Its stamp says that all is installed."""
    checkout.inv("--list")
    (checkout.venv / "bin/invoke").unlink()
    assert_invoked(checkout.inv("--list"))


@pytest.mark.parametrize("fault", ["broken", "without_pip"])
def test_an_environment_is_not_lost_to_one_that_cannot_be_made(checkout: Checkout, fault: str) -> None:
    """Where the new one is of no use the former one is there again, and helps as soon as its Python does."""
    checkout.inv("--list")
    python = (checkout.venv / "bin/python").readlink()
    (checkout.venv / "bin/python").unlink()
    (checkout.tools / fault).touch()

    failed = checkout.inv("--list")

    assert failed.returncode == 1
    assert "what was there before is there again" in failed.stderr
    (checkout.venv / "bin/python").symlink_to(python)
    assert_invoked(checkout.inv("--list"))
    assert checkout.installed() == ["requirements.txt"]


def test_an_environment_that_was_moved_is_made_again(checkout: Checkout) -> None:
    """Its programs name the folder that it was made in."""
    checkout.inv("--list")
    moved = checkout.root.with_name("moved")
    checkout.root.rename(moved)
    checkout.root, checkout.venv = moved, moved / ".venv"

    assert_invoked(checkout.inv("--list"))
    assert checkout.installed() == ["requirements.txt", "requirements.txt"]


def test_an_interruption_between_the_former_and_the_new_one_loses_nothing(checkout: Checkout) -> None:
    """The former one is put back."""
    checkout.inv("--list")
    checkout.venv.rename(checkout.root / ".venv_former")
    assert_invoked(checkout.inv("--list"))
    assert checkout.installed() == ["requirements.txt"]
