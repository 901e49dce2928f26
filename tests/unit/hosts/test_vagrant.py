"""What Vagrant's output comes to, and a machine without Vagrant."""

from __future__ import annotations

import shlex
from pathlib import Path

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


def test_steps_are_those_of_machines_and_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of progress is drawn over, and everything is kept in the log."""
    program = tmp_path / "vagrant"
    program.write_text(f"#!/bin/sh\nprintf '%s' {shlex.quote(OUTPUT)}\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(vagrant, "CACHE_DIR", tmp_path)
    steps: list[str] = []

    with pytest.raises(LabError, match=r"vagrant up failed \(exit 3\). Its last lines:\n(?s:.*)  ok: \[server\]\n"):
        vagrant.up(steps.append)

    assert steps == [
        "server: Starting domain.",
        "loadgen: Machine booted and ready!",
        "base : preflight | Read what the host is",
    ]
    # Read as text, a carriage return ends a line.
    assert (tmp_path / "vagrant_up.log").read_text() == OUTPUT.replace("\r", "\n")


def test_a_machine_without_vagrant_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no traceback."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(LabError, match=r"vagrant: not found .* Install Vagrant with VirtualBox or vagrant-libvirt"):
        vagrant.up(lambda _: None)
