"""Provision, deploy and reset on the lab's nodes, with plain ansible-playbook."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pace import allowed_s
from tests.unit.ansible_parts import copy_of_checkout
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.deployment import fingerprint
from wrklab.paths import INVENTORY_DIR, PROJECT_DIR

#: How long a playbook may take on two cores where nothing is to be changed.
NO_CHANGE_LIMITS_S = {"playbooks/deploy.yml": 15.0}
_CHANGED = re.compile(r"^(?P<host>\S+)\s+:.*\bchanged=(?P<count>\d+)\b", re.MULTILINE)


def ansible(program: str, lab: str, *words: str) -> subprocess.CompletedProcess[str]:
    """One of Ansible's programs on a lab's inventory, from the root of the checkout."""
    return subprocess.run(
        [Path(sys.executable).with_name(program), "-i", INVENTORY_DIR / lab, *words],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )


def play(lab: str, *words: str) -> dict[str, int]:
    """How many tasks changed something, by host. The playbook must succeed."""
    done = ansible("ansible-playbook", lab, *words)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return {found["host"]: int(found["count"]) for found in _CHANGED.finditer(done.stdout)}


def on_host(lab: str, host: str, command: str) -> str:
    """What a shell command writes on a host; it must succeed."""
    done = ansible("ansible", lab, host, "-m", "ansible.builtin.shell", "-a", command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("\n", 1)[1].strip()


def deployed(lab: str) -> dict[str, object]:
    """What the server says was deployed."""
    record: dict[str, object] = json.loads(on_host(lab, "server", "cat /opt/wrklab/deployed.json"))
    return record


@pytest.fixture(scope="module")
def complete_lab(deployed_lab: str) -> str:
    """The lab after a complete playbook, whatever was done to it before."""
    play(deployed_lab, "provision.yml")
    return deployed_lab


@pytest.mark.parametrize("playbook", ["playbooks/deploy.yml", "provision.yml"])
def test_a_second_time_changes_nothing(complete_lab: str, playbook: str) -> None:
    """Every task finds the host as it wants it; a deploy is so quick that a bench may do it each time."""
    started = time.monotonic()
    changed = play(complete_lab, playbook)
    took_s = time.monotonic() - started

    assert changed
    assert set(changed.values()) == {0}
    assert took_s < allowed_s(NO_CHANGE_LIMITS_S.get(playbook, math.inf))


def test_systemd_has_nothing_to_say_about_any_unit(deployed_lab: str) -> None:
    """Each variant has a unit, and the host's own systemd verifies them all."""
    assert on_host(deployed_lab, "server", "systemd-analyze verify /etc/systemd/system/wrklab-*.service 2>&1") == ""
    listed = on_host(deployed_lab, "server", "ls /etc/systemd/system").split()
    assert {variant.unit for variant in read_catalogue().variants.values()} <= set(listed)


def test_a_stack_that_is_gone_leaves_nothing(deployed_lab: str, tmp_path: Path) -> None:
    """The next deploy ends its server, removes its unit and its folder."""
    checkout = copy_of_checkout(tmp_path)
    shutil.copytree(checkout / "servers/openresty", checkout / "servers/gone")
    card = checkout / "servers/gone/stack.yml"
    card.write_text(card.read_text().replace("openresty_lua:", "gone_lua:"))
    play(deployed_lab, "playbooks/deploy.yml", "-e", f"stacks_project_dir={checkout}")
    on_host(deployed_lab, "server", "systemctl start wrklab-gone_lua")

    assert play(deployed_lab, "playbooks/deploy.yml")["server"] > 0

    left = "ls -d /opt/wrklab/stacks/gone /etc/systemd/system/wrklab-gone_lua.service 2>/dev/null; true"
    assert on_host(deployed_lab, "server", left) == ""
    assert on_host(deployed_lab, "server", "systemctl is-active wrklab-gone_lua; true") == "inactive"


def test_a_deploy_leaves_a_running_variant_alone(deployed_lab: str) -> None:
    """It is the same process afterwards."""
    pid_of = "systemctl show --property=MainPID --value wrklab-go_net_http"
    on_host(deployed_lab, "server", "systemctl start wrklab-go_net_http")
    try:
        before = on_host(deployed_lab, "server", pid_of)
        play(deployed_lab, "playbooks/deploy.yml")

        assert int(before) > 0
        assert on_host(deployed_lab, "server", pid_of) == before
    finally:
        on_host(deployed_lab, "server", "systemctl stop wrklab-go_net_http")


def test_a_deploy_of_one_stack_does_not_claim_to_be_complete(deployed_lab: str) -> None:
    """The record says so only after a deploy of everything."""
    play(deployed_lab, "playbooks/deploy.yml", "-e", "deploy_variants=go_net_http")
    record = deployed(deployed_lab)
    assert (record["fingerprint"], record["stacks"]) == (None, ["go_net_http"])

    play(deployed_lab, "playbooks/deploy.yml")
    assert deployed(deployed_lab)["fingerprint"] == fingerprint()


def test_an_unknown_variant_stops_the_deploy(deployed_lab: str) -> None:
    """The error names the nearest one that is known, and nothing is touched."""
    done = ansible("ansible-playbook", deployed_lab, "playbooks/deploy.yml", "-e", "deploy_variants=go_net_htp")

    assert done.returncode != 0
    assert "unknown variant 'go_net_htp'. Did you mean go_net_http?" in done.stdout + done.stderr


def test_cpus_that_the_host_does_not_have_are_refused(deployed_lab: str) -> None:
    """The error names the variable and the CPUs that there are, before a unit would fail to start."""
    done = ansible("ansible-playbook", deployed_lab, "playbooks/deploy.yml", "-e", '{"stacks_cpus": [4095]}')

    assert done.returncode != 0
    assert "lab_cpus of server is [4095]" in " ".join((done.stdout + done.stderr).split())


def test_reset_puts_the_host_back(deployed_lab: str) -> None:
    """Former values hold, nothing of ours is left, a second time changes nothing; and all of it can be had again."""
    before = json.loads(on_host(deployed_lab, "loadgen", "cat /var/lib/wrklab/sysctl_before.json"))
    assert before
    try:
        play(deployed_lab, "playbooks/reset.yml")

        for name, value in before.items():
            assert on_host(deployed_lab, "loadgen", f"sysctl -n {name}").split() == value.split()
        for host in ("server", "loadgen"):
            left = on_host(
                deployed_lab,
                host,
                "ls -d /opt/wrklab /var/lib/wrklab /var/log/wrklab /etc/sysctl.d/60-wrklab.conf 2>/dev/null; "
                "ls -d /etc/systemd/system/wrklab-* 2>/dev/null; "
                "id wrklab_app 2>/dev/null; true",
            )
            assert left == ""
            # The lab's base system masks it, so it was masked before us.
            assert on_host(deployed_lab, host, "readlink /etc/systemd/system/apt-daily.timer") == "/dev/null"
        assert set(play(deployed_lab, "playbooks/reset.yml").values()) == {0}
    finally:
        play(deployed_lab, "playbooks/provision.yml")
        play(deployed_lab, "playbooks/deploy.yml")
    assert deployed(deployed_lab)["fingerprint"] == fingerprint()
