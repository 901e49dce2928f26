"""The playbooks, as Ansible reads them: which hosts they change, and how they become root there."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from wrklab.hosts.ansible import tool_environment
from wrklab.paths import INVENTORY_DIR, PLAYBOOKS_DIR, PROJECT_DIR

ON_LAB_HOSTS = [PLAYBOOKS_DIR / f"{name}.yml" for name in ("provision", "deploy", "reset")]
#: A server, three generators (one called like its group), backends, and a machine that is none of ours.
INVENTORY = {
    "server": {"hosts": {"server": None}},
    "loadgen": {"hosts": {"loadgen": None}, "children": {"rack": {"hosts": {"one": None, "two": None}}}},
    "backend": {"hosts": {"backend": None}},
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


def test_only_hosts_of_the_three_groups_are_changed(tmp_path: Path) -> None:
    """All of a group, also where a host is called like it; a host of another group is left alone."""
    (tmp_path / "hosts.json").write_text(json.dumps(INVENTORY))

    listed = ansible_playbook("-i", tmp_path / "hosts.json", "--list-hosts", *ON_LAB_HOSTS)

    names = {line.strip() for line in listed.splitlines() if line.startswith("      ")}
    assert names == {"server", "loadgen", "one", "two", "backend"}
    # The patterns themselves: each play, not only all of them together.
    found = [part.split("hosts (")[1].split(")")[0] for part in listed.split("  play #")[1:]]
    assert found == ["5", "5", "5", "5", "1", "5", "5"]


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


@pytest.mark.parametrize("path", ON_LAB_HOSTS, ids=lambda path: path.stem)
def test_the_lease_of_every_host_is_checked_before_the_first_is_changed(path: Path) -> None:
    """By the first task of the first play, which ends all of them where it fails on one."""
    first = plays(path)[0]

    assert first["any_errors_fatal"] is True
    assert first["hosts"] == "server[0:]:loadgen[0:]:backend[0:]"
    assert first["tasks"][0]["ansible.builtin.import_role"] == {"name": "base", "tasks_from": "lease"}


#: Runs the command after the record's file with a /run of its own, where that record is the lease.
WITH_RECORD = (
    'mount -t tmpfs none /run && mkdir -p /run/wrklab && cp "$1" /run/wrklab/controller.json && shift && exec "$@"'
)


def with_lease(folder: Path, record: object, *, token: str = "", variables: object = None) -> str:
    """What ansible-playbook says about a play that checks the lease and then goes on; `record` is the host's."""
    (folder / "record.json").write_text(json.dumps(record))
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.json").write_text(json.dumps({"server": {"hosts": {"a": host}}}))
    tasks = [
        {"ansible.builtin.import_role": {"name": "base", "tasks_from": "lease"}},
        {"ansible.builtin.debug": {"msg": "it went on"}},
    ]
    play = {"hosts": "server", "gather_facts": False, "tasks": tasks, "vars": {"base_project_dir": str(PROJECT_DIR)}}
    (folder / "play.yml").write_text(json.dumps([play]))
    program = Path(sys.executable).with_name("ansible-playbook")
    extra = json.dumps(variables or {})
    words: list[str | Path] = [program, "-i", folder / "hosts.json", folder / "play.yml", "-e", extra]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", WITH_RECORD, "sh", folder / "record.json", *words],
        env=tool_environment() | {"WRKLAB_LEASE_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def record() -> dict[str, object]:
    """The lease of a controller, as wrklab/node/host_lock.py writes it, good for another minute."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us make no mount namespace (root and unshare are needed)")
    return {
        "token": "their_token",
        "owner": "anna on desk\x1b[31m",
        "process": "",
        "run": "20260101T000000Z_abcd",
        "lease_s": 90.0,
        "since_at": 1.8e9,
        "expires_boot_s": time.clock_gettime(time.CLOCK_BOOTTIME) + 60,
    }


def test_a_host_that_another_controller_holds_is_refused(tmp_path: Path, record: dict[str, object]) -> None:
    """With plain ansible-playbook too; the message names the holder and what there is to do."""
    said = with_lease(tmp_path, record)

    assert "a is held by another controller: anna on desk?[31m, run 20260101T000000Z_abcd" in said
    assert "lab_lease_ignored=true" in said
    assert "it went on" not in said


def test_whoever_holds_the_host_may_change_it(tmp_path: Path, record: dict[str, object]) -> None:
    """A controller passes its token on; another token is refused."""
    assert "it went on" in with_lease(tmp_path, record, token="their_token")
    assert "it went on" not in with_lease(tmp_path, record, token="my_token")


def test_a_held_host_is_changed_by_force(tmp_path: Path, record: dict[str, object]) -> None:
    """By a variable that says so."""
    assert "it went on" in with_lease(tmp_path, record, variables={"lab_lease_ignored": True})


def test_a_lease_that_has_run_out_or_is_none_holds_nobody_off(tmp_path: Path, record: dict[str, object]) -> None:
    """A dead controller's, and a damaged record."""
    assert "it went on" in with_lease(tmp_path, {**record, "expires_boot_s": 1.0})
    assert "it went on" in with_lease(tmp_path, {**record, "expires_boot_s": "soon"})
    assert "it went on" in with_lease(tmp_path, [])


@pytest.mark.parametrize("lab", ["container", "vagrant", "example_ssh"])
def test_host_keys_are_found_whatever_the_path_is(lab: str) -> None:
    """Blanks and apostrophes reach ssh as they are, also on the way through a jump host."""
    path = "/srv/it's a lab/known_hosts"
    given = json.dumps({"lab_known_hosts": path, "lab_jump_host": "me@gate:2222", "lab_jump_key": "/a key"})
    program = Path(sys.executable).with_name("ansible")
    words = ["-m", "ansible.builtin.debug", "-a", "var=ansible_ssh_common_args", "-e", given, "server", "--one-line"]
    done = subprocess.run(
        [program, "-i", INVENTORY_DIR / lab, *words], env=tool_environment(), capture_output=True, text=True, check=True
    )
    shown = yaml.safe_load(done.stdout.split("=>", 1)[1])["ansible_ssh_common_args"]

    heard = subprocess.run(
        ["ssh", "-F", "/dev/null", *shlex.split(shown), "-G", "host"], capture_output=True, text=True, check=True
    ).stdout

    assert f"userknownhostsfile {path}\n" in heard
    if lab == "example_ssh":
        proxy = heard.split("proxycommand ")[1].splitlines()[0]
        assert shlex.split(proxy)[1:6] == ["-i", "/a key", "-o", "IdentitiesOnly=yes", "-o"]
        assert f'UserKnownHostsFile="{path}"' in shlex.split(proxy)


def test_provisioning_waits_for_a_machines_own_updates() -> None:
    """A machine that has just been made holds apt's lock for minutes."""
    changing = [play for play in plays(PLAYBOOKS_DIR / "provision.yml") if play["name"] == "Provision every host"]

    assert [play["module_defaults"] for play in changing] == [{"ansible.builtin.apt": {"lock_timeout": 600}}]


def test_what_filters_need_is_loaded_before_ansible_forks() -> None:
    """Each task's process would load it anew, which takes 0.3 s."""
    loads = (
        "import sys; sys.path[:0] = ['playbooks/callback_plugins', 'playbooks/filter_plugins']; import wrklab_preload; "
        "before = set(sys.modules); import wrklab_cards; "
        "print(sorted(name for name in set(sys.modules) - before if name.startswith(('wrklab.', 'pydantic', 'yaml'))))"
    )
    done = subprocess.run([sys.executable, "-c", loads], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
