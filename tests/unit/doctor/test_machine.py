"""What this machine lacks is said before anything runs, with one next step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wrklab.doctor import machine
from wrklab.errors import LabError
from wrklab.hosts import container_lab


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs of a user who is not root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


@pytest.mark.parametrize(
    ("sudo", "said"),
    [
        (None, "this user is not root, and there is no sudo"),
        ("echo 'sudo: a password is required' >&2; exit 1", "sudo wants more than this user has (sudo: a password is"),
    ],
)
def test_a_user_who_may_not_become_root_is_told_in_one_sentence(programs: Path, sudo: str | None, said: str) -> None:
    """By the doctor, and by lab.up before Ansible begins."""
    if sudo:
        (programs / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
        (programs / "sudo").chmod(0o755)
    finding = machine._root()
    assert finding.level == "bad"
    assert finding.found.startswith(said)
    assert finding.remedy.startswith("Run the command as root")
    with pytest.raises(LabError) as told:
        container_lab.require_root()
    assert str(told.value).startswith(f"lab container: making nodes on this machine needs root: {said}")
    assert "\n" not in str(told.value)


def test_sudo_without_a_password_will_do(programs: Path) -> None:
    """As Ansible asks for it."""
    (programs / "sudo").write_text('#!/bin/sh\n[ "$1 $2" = "-n true" ]\n')
    (programs / "sudo").chmod(0o755)
    assert machine._root().level == "good"
    container_lab.require_root()


@pytest.mark.parametrize(
    ("text", "level"), [("cpuset cpu memory pids\n", "good"), ("cpuset cpu\n", "note"), (None, "note")]
)
def test_whether_memory_limits_hold_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, level: str
) -> None:
    """They do where the memory controller is one of version 2."""
    monkeypatch.setattr(machine, "_CONTROLLERS", tmp_path / "controllers")
    if text:
        (tmp_path / "controllers").write_text(text)
    finding = machine._memory_limits()
    assert finding.level == level
    assert ("has no effect" in finding.found) is (level == "note")
    assert machine._memory_limits in machine.container_looks()
