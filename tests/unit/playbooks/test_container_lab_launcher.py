"""What starts a node where systemd is not PID 1, with a stand-in for systemd-nspawn."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from container_lab import node

#: Writes its number, and ends with the status that the next line of `statuses` says; without one it waits for SIGTERM.
NODE = """
cd "$1"
echo $$ >> pids
status=$(head -n 1 statuses); sed -i 1d statuses
[ -n "$status" ] && exit "$status"
trap 'exit 0' TERM
echo ready > ready
while :; do sleep 0.05; done
"""


def launch(folder: Path, *statuses: int) -> subprocess.Popen[bytes]:
    """The launcher of a node that ends with these, one start after the other."""
    (folder / "statuses").write_text("".join(f"{status}\n" for status in statuses))
    return subprocess.Popen(["sh", "-c", node.LAUNCHER, "wrklab", "--", "sh", "-c", NODE, "node", str(folder)])


def starts(folder: Path) -> list[int]:
    """The process of each start."""
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_for(path: Path) -> None:
    """Until a file is there. Fails when it does not come."""
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.005)


def test_a_node_that_reboots_is_started_again(tmp_path: Path) -> None:
    """As often as it wants; its launcher, by which the lab knows it, stays the same. SIGTERM ends both."""
    with launch(tmp_path, node.REBOOT_STATUS, node.REBOOT_STATUS) as launcher:
        wait_for(tmp_path / "ready")
        assert len(starts(tmp_path)) == 3
        assert launcher.poll() is None
        launcher.terminate()
        assert launcher.wait(10) == 0
    assert len(starts(tmp_path)) == 3


@pytest.mark.parametrize("status", [0, 1])
def test_a_node_that_powers_off_stays_off(tmp_path: Path, status: int) -> None:
    """And one that cannot be started: its status is the launcher's."""
    with launch(tmp_path, status) as launcher:
        assert launcher.wait(10) == status
    assert len(starts(tmp_path)) == 1


def test_a_node_dies_with_its_launcher(tmp_path: Path) -> None:
    """Nothing of it runs on unseen."""
    with launch(tmp_path) as launcher:
        wait_for(tmp_path / "ready")
        (pid,) = starts(tmp_path)
        watcher = os.pidfd_open(pid)
        os.kill(launcher.pid, signal.SIGKILL)
        launcher.wait(10)
    try:
        poll = select.poll()
        poll.register(watcher, select.POLLIN)
        assert poll.poll(10_000)
    finally:
        os.close(watcher)
