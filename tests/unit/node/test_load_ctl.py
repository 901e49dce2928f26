"""The unit that a cell's load runs in."""

from __future__ import annotations

import load_ctl
import node_io
import pytest

from wrklab.hosts.inventory import LabHost
from wrklab.hosts.node_calls import call_limit_s
from wrklab.hosts.remote import RemoteHost


@pytest.mark.parametrize(("cpus", "affinity"), [([2, 3], ["CPUAffinity=2 3"]), ([], [])])
def test_a_load_keeps_to_the_cpus_of_its_generator(cpus: list[int], affinity: list[str]) -> None:
    """To those that the inventory gives it; without any, to none in particular."""
    properties = load_ctl.unit_properties("/var/lib/wrklab/cells/c1", {"deadline_s": 61.5, "cpus": cpus})

    assert [item for item in properties if item.startswith("CPUAffinity")] == affinity
    assert "RuntimeMaxSec=61.5" in properties


def test_a_call_outlasts_the_commands_of_its_script() -> None:
    """So that the script says which of them hung."""
    host = LabHost("server", "server", "192.0.2.1", "192.0.2.1", "root", 22, None, None, None, (), "own", "ssh")
    assert call_limit_s(RemoteHost(host)) > node_io.COMMAND_LIMIT_S
