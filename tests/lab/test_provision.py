"""Provision and deploy on the lab's nodes, with plain ansible-playbook. Reset is a matter of test_lab_security.py."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.conftest import on_host
from tests.pace import allowed_s
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


def deployed() -> dict[str, object]:
    """What the server says was deployed."""
    record: dict[str, object] = json.loads(on_host("server", "cat /opt/wrklab/deployed.json"))
    return record


@pytest.mark.parametrize("playbook", ["playbooks/deploy.yml", "provision.yml"])
def test_a_second_time_changes_nothing(deployed_lab: str, playbook: str) -> None:
    """Every task finds the host as it wants it, and a variant that runs is the same process afterwards.

    A deploy is so quick that a bench may do it each time.
    """
    pid_of = "systemctl show --property=MainPID --value wrklab-go_net_http"
    on_host("server", "systemctl start wrklab-go_net_http")
    try:
        pid_before, started = on_host("server", pid_of), time.monotonic()
        changed = play(deployed_lab, playbook)
        took_s = time.monotonic() - started

        assert changed
        assert set(changed.values()) == {0}
        assert took_s < allowed_s(NO_CHANGE_LIMITS_S.get(playbook, math.inf))
        assert int(pid_before) > 0
        assert on_host("server", pid_of) == pid_before
    finally:
        on_host("server", "systemctl stop wrklab-go_net_http")


def test_systemd_has_nothing_to_say_about_any_unit(deployed_lab: str) -> None:
    """Each variant has a unit, and the host's own systemd verifies them all."""
    assert on_host("server", "systemd-analyze verify /etc/systemd/system/wrklab-*.service 2>&1") == ""
    listed = on_host("server", "ls /etc/systemd/system").split()
    assert {variant.unit for variant in read_catalogue().variants.values()} <= set(listed)


def test_a_deploy_of_one_stack_does_not_claim_to_be_complete(deployed_lab: str) -> None:
    """The record says so only after a deploy of everything."""
    play(deployed_lab, "playbooks/deploy.yml", "-e", "deploy_variants=go_net_http")
    record = deployed()
    assert (record["fingerprint"], record["stacks"]) == (None, ["go_net_http"])

    play(deployed_lab, "playbooks/deploy.yml")
    assert deployed()["fingerprint"] == fingerprint()


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
