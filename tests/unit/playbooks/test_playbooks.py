"""The playbooks, as Ansible reads them: which hosts they change, and how they become root there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from wrklab.hosts.ansible import tool_environment
from wrklab.paths import PLAYBOOKS_DIR

ON_LAB_HOSTS = [PLAYBOOKS_DIR / f"{name}.yml" for name in ("provision", "deploy", "reset")]
#: A server, three generators (one called like its group), and a machine that is none of ours.
INVENTORY = {
    "server": {"hosts": {"server": None}},
    "loadgen": {"hosts": {"loadgen": None}, "children": {"rack": {"hosts": {"one": None, "two": None}}}},
    "jump": {"hosts": {"gate": None}},
}
#: Says that it was asked, then does what sudo would, as the user that it is.
SUDO = '#!/bin/sh\necho "$0" >> "$(dirname "$0")/asked"\nwhile [ "$1" != /bin/sh ]; do shift; done\nexec "$@"\n'


def ansible_playbook(*words: str | Path) -> str:
    """What it prints, with the settings of this checkout."""
    program = Path(sys.executable).with_name("ansible-playbook")
    # Here the host is this machine, whose user may be root already.
    environment = tool_environment() | {"ANSIBLE_BECOME_ALLOW_SAME_USER": "1"}
    done = subprocess.run([program, *words], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plays(path: Path) -> list[dict[str, Any]]:
    """The plays of a playbook."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_only_hosts_of_the_two_groups_are_changed(tmp_path: Path) -> None:
    """All of a group, also where a host is called like it; a host of another group is left alone."""
    (tmp_path / "hosts.json").write_text(json.dumps(INVENTORY))

    listed = ansible_playbook("-i", tmp_path / "hosts.json", "--list-hosts", *ON_LAB_HOSTS)

    names = {line.strip() for line in listed.splitlines() if line.startswith("      ")}
    assert names == {"server", "loadgen", "one", "two"}
    # The patterns themselves: each play, not only all of them together.
    found = [part.split("hosts (")[1].split(")")[0] for part in listed.split("  play #")[1:]]
    assert found == ["4", "4", "4", "1", "4"]


@pytest.mark.parametrize("path", ON_LAB_HOSTS, ids=lambda path: path.stem)
def test_every_play_becomes_root_in_the_same_way(path: Path) -> None:
    """By what one file says."""
    assert [play["vars_files"] for play in plays(path)] == [["vars/lab_hosts.yml"]] * len(plays(path))


@pytest.mark.parametrize(
    ("variables", "is_asked"),
    [
        ({"ansible_user": "debian"}, True),
        ({"ansible_user": "debian", "ansible_become": False}, True),
        ({"ansible_ssh_user": "debian"}, True),
        ({"ansible_user": "root", "ansible_become": True}, False),
        ({}, False),
    ],
)
def test_sudo_is_used_where_the_user_is_not_root(
    tmp_path: Path, variables: dict[str, object], *, is_asked: bool
) -> None:
    """Whatever the inventory says of becoming root; a root's host may have no sudo."""
    sudo = tmp_path / "sudo"
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    host = {**local, "ansible_become_exe": str(sudo), **variables}
    (tmp_path / "hosts.json").write_text(json.dumps({"server": {"hosts": {"a": host}}}))
    play = {
        "hosts": "server",
        "gather_facts": False,
        "vars_files": [str(PLAYBOOKS_DIR / "vars/lab_hosts.yml")],
        "tasks": [{"ansible.builtin.command": {"cmd": "true"}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))

    ansible_playbook("-i", tmp_path / "hosts.json", tmp_path / "play.yml")

    assert (tmp_path / "asked").exists() == is_asked


def test_provisioning_waits_for_a_machines_own_updates() -> None:
    """A machine that has just been made holds apt's lock for minutes."""
    changing = [play for play in plays(PLAYBOOKS_DIR / "provision.yml") if "roles" in play]

    assert [play["module_defaults"] for play in changing] == [{"ansible.builtin.apt": {"lock_timeout": 600}}]
