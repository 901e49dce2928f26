"""What a playbook left at work on a host is found by its mark, and ended; a package manager is waited for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.node.conftest import NODE_DIR, PYTHON

MARK = "LC_WRKLAB_UNIT_TEST"


def start(*argv: str, **environment: str) -> subprocess.Popen[bytes]:
    """A process with these variables."""
    return subprocess.Popen(argv, env=os.environ | environment)


def end_leftovers() -> dict[str, list[str]]:
    """As a host does it."""
    words = [PYTHON, "-I", "-S", str(NODE_DIR / "playbook_leftovers.py"), MARK]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | {MARK: "1"})
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_what_carries_the_mark_is_ended_and_nothing_else() -> None:
    """By SIGTERM, or by SIGKILL where that is ignored."""
    with start("sleep", "300") as other:
        marked = start("sleep", "301", **{MARK: "1"})
        stubborn = start("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", **{MARK: "1"})
        time.sleep(0.2)
        found = end_leftovers()
        assert {f"pid {marked.pid} (sleep 301)"} <= set(found["ended"])
        assert any(text.startswith(f"pid {stubborn.pid} (sh -c trap") for text in found["ended"])
        assert (found["waited_for"], found["left"]) == ([], [])
        assert (marked.wait(5), stubborn.wait(5)) == (-15, -9)
        assert other.poll() is None
        other.kill()
    assert end_leftovers() == {"ended": [], "waited_for": [], "left": []}


def test_a_package_manager_is_waited_for(tmp_path: Path) -> None:
    """One that is killed leaves packages half installed; so does one whose output nobody reads any more."""
    dpkg = tmp_path / "dpkg"
    shutil.copy(shutil.which("sleep") or pytest.fail("sleep"), dpkg)
    worker = start("sh", "-c", f"{dpkg} 1.5; sleep 300", **{MARK: "1"})
    time.sleep(0.3)
    began_s = time.monotonic()
    found = end_leftovers()
    assert time.monotonic() - began_s > 0.8
    assert any("dpkg 1.5)" in text for text in found["waited_for"])
    assert found["left"] == []
    assert worker.wait(5) == -15
