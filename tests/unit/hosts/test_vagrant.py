"""What Vagrant's output comes to, and a machine without Vagrant."""

from __future__ import annotations

import pytest

from wrklab.errors import LabError
from wrklab.hosts import vagrant

OUTPUT = (
    "Bringing machine 'server' up with 'libvirt' provider...\n"
    "==> server: Starting domain.\n"
    "\rProgress: 1%\rProgress: 100%\r==> loadgen: Machine booted and ready!\n"
    "\n"
    "TASK [base : preflight | Read what the host is] ****\n"
    "ok: [server]\n"
)


def test_steps_are_those_of_machines_and_tasks() -> None:
    """A line of progress is drawn over, and everything is kept in the log."""
    steps: list[str] = []
    log: list[str] = []

    tail = vagrant.follow(OUTPUT.splitlines(keepends=True), log.append, steps.append)

    assert steps == [
        "server: Starting domain.",
        "loadgen: Machine booted and ready!",
        "base : preflight | Read what the host is",
    ]
    assert "".join(log) == OUTPUT
    assert tail[-1] == "ok: [server]"


def test_a_machine_without_vagrant_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no traceback."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(LabError, match=r"vagrant: not found .* Install Vagrant with VirtualBox or vagrant-libvirt"):
        vagrant.up(lambda _: None)
