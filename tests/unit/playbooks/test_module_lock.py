"""The lock that modules take before they change a machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import module_lock
import pytest
from module_lock import LockedError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for locks, not there yet."""
    monkeypatch.setattr(module_lock, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / ("run" if os.geteuid() == 0 else f"wrklab-{os.geteuid()}")


@pytest.fixture
def other(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock, by the same module."""
    program = (
        "import sys; from pathlib import Path; import module_lock\n"
        f"module_lock.FOLDER = Path({str(place)!r}); module_lock.tempfile.gettempdir = lambda: {str(place.parent)!r}\n"
        "with module_lock.held('modules', 'file_set below /etc'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(module_lock.__file__).parent)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def test_nobody_else_can_open_the_lock(place: Path) -> None:
    """Whoever can open a file can hold its lock: so only its owner may."""
    former = os.umask(0)
    try:
        with module_lock.held("modules", "a test"):
            assert stat.S_IMODE((place / "modules.lock").stat().st_mode) == 0o600
    finally:
        os.umask(former)


def test_a_lock_on_a_folder_that_everybody_can_open_is_no_hindrance() -> None:
    """Any user may flock /var/lib."""
    folder = os.open("/var/lib", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with module_lock.held("modules", "a test", limit_s=0):
            pass
    finally:
        os.close(folder)


def test_waiting_has_an_end_that_names_the_holder(other: subprocess.Popen[bytes], place: Path) -> None:
    """Its number and what it does."""
    with (
        pytest.raises(LockedError, match=rf"modules.lock: held for 0.1 s by process {other.pid} \(file_set below /etc"),
        module_lock.held("modules", "a test", limit_s=0.1),
    ):
        pytest.fail("the lock was taken from its holder")


def test_a_holder_that_left_no_note_is_named_by_its_command(place: Path) -> None:
    """As where root locked the file by hand."""
    with module_lock.held("modules", "a test"):
        pass
    with subprocess.Popen(
        ["flock", place / "modules.lock", "sh", "-c", "echo held; cat"], stdin=-1, stdout=-1
    ) as flock:
        assert flock.stdin is not None
        assert flock.stdout is not None
        assert flock.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=r"by process \d+ \((flock|sh) "), module_lock.held("modules", "", 0):
            pytest.fail("the lock was taken from its holder")
        flock.stdin.close()


def test_the_lock_is_free_when_its_holder_has_died(other: subprocess.Popen[bytes]) -> None:
    """The kernel lets go of it."""
    other.kill()
    other.wait()
    with module_lock.held("modules", "a test", limit_s=1):
        pass


def test_a_lock_whose_folder_was_removed_is_taken_again(other: subprocess.Popen[bytes], place: Path) -> None:
    """As by a reset: the holder's file is not the one that others will open."""
    shutil.rmtree(place)
    with module_lock.held("modules", "a test", limit_s=1):
        assert (place / "modules.lock").exists()


def test_a_folder_that_is_anothers_is_refused(place: Path, tmp_path: Path) -> None:
    """A link in its place would lead elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="a folder of user"), module_lock.held("modules", "a test"):
        pytest.fail("the lock was taken in another's folder")
