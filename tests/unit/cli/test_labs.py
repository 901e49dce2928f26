"""`invoke lab.ssh`: the command that it becomes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from wrklab.cli.labs import HostStatus, _provisioning_notes, ssh_command
from wrklab.hosts.inventory import LabHost

#: ssh drops one that does not exist.
KEY = Path(__file__)
HOST = LabHost("a", "server", "192.0.2.1", "192.0.2.1", "me", 2222, KEY, Path("/known"), None, (), "own", "ssh")


def settings(command: list[str]) -> dict[str, str]:
    """What ssh itself makes of a command, as `ssh -G` shows it."""
    words = [command[0], "-G", *command[1:]]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def test_the_key_and_the_known_hosts_are_the_labs() -> None:
    """And nothing else is taken on trust."""
    found = settings(ssh_command(HOST))

    wanted = {
        "user": "me",
        "hostname": "192.0.2.1",
        "port": "2222",
        "identityfile": str(KEY),
        "userknownhostsfile": "/known",
    }
    assert wanted.items() <= found.items()
    assert (found["identitiesonly"], found["stricthostkeychecking"]) == ("yes", "true")
    assert "proxycommand" not in found


def test_the_host_on_the_way_is_checked_with_the_labs_keys_too() -> None:
    """By its own key, where it has one."""
    host = replace(HOST, jump_host="gate@192.0.2.9:2200", jump_key_path=Path("/gate key"))

    proxy = settings(ssh_command(host))["proxycommand"]

    assert proxy == (
        "ssh -F none -o ConnectTimeout=30 -o ServerAliveInterval=15 "
        "-i '/gate key' -o IdentitiesOnly=yes -o UserKnownHostsFile=/known -o StrictHostKeyChecking=yes "
        "-W '[%h]:%p' ssh://gate@192.0.2.9:2200"
    )


def test_the_users_own_settings_do_not_count(tmp_path: Path) -> None:
    """A `Host *` of ~/.ssh/config decides neither the way nor anything else, also for the host on the way."""
    config = tmp_path / "config"
    config.write_text("Host *\n  ProxyCommand nc %h %p\n  User other\n  StrictHostKeyChecking no\n")
    # ssh finds the user's file by the account, whatever HOME says: so `-F` names it here, before the command's own.
    for host in (HOST, replace(HOST, known_hosts_path=None)):
        command = ssh_command(host)
        found = settings([command[0], "-F", str(config), *command[1:]])
        assert "proxycommand" not in found
        assert found["user"] == "me"
        assert found["stricthostkeychecking"] == ("true" if host.known_hosts_path else "ask")


@pytest.mark.parametrize(
    ("group", "found", "said"),
    [
        ("server", [], "not provisioned (`invoke provision --lab own`"),
        ("server", ["scripts"], "provisioned, nothing deployed (`invoke deploy --lab own`"),
        ("server", ["scripts", "record"], ""),
        ("loadgen", ["scripts"], "provisioned in part: there is no wrk"),
        ("loadgen", ["scripts", "wrk"], ""),
        ("backend", ["scripts"], "no service yet (lab_backends; a bench installs what it needs)"),
        ("backend", ["scripts", "redis", "postgres"], "has postgres, redis"),
    ],
)
def test_a_host_that_is_provisioned_in_part_is_shown_as_such(group: str, found: list[str], said: str) -> None:
    """With the next step; one that is complete has no note."""
    notes = list(_provisioning_notes(replace(HOST, group=group), found))
    assert [note[: len(said)] for note in notes] == ([said] if said else [])
    assert HostStatus(HOST, "", None, tuple(notes)).text.startswith("reachable" + (f"; {said}" if said else ""))
