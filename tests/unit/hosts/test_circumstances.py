"""What a report says of the hosts' make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.hosts.test_preflight import HOST
from wrklab.hosts.circumstances import circumstances
from wrklab.hosts.inventory import LabHosts


def hosts(kind: str = "container") -> LabHosts:
    """A server on CPU 0, a generator on CPU 1."""
    generator = replace(HOST, name="loadgen", group="loadgen", cpus=(1,), lab_kind=kind)
    return LabHosts(lab="lab", kind=kind, server=replace(HOST, lab_kind=kind), generators=(generator,))


def facts(**server: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401  facts are whatever a host tells
    """A server that says this, and a generator that says nothing but that its CPU is a thread of CPU 0's core."""
    return {"server": server, "loadgen": {"cpu": {"siblings": {"1": "0-1"}}}}


def test_of_usual_hosts_nothing_is_said() -> None:
    """Cores of their own, a steady clock, no limit below the CPUs that are given; and hosts that tell nothing."""
    usual = facts(cpu={"siblings": {"0": "0"}, "governors": ["performance"]}, cgroup_limits={"cpus_count": 1.0})

    assert circumstances(hosts(), usual) == []
    assert circumstances(hosts(), facts()) == []


def test_two_hosts_on_threads_of_one_core_are_told() -> None:
    """CPUs 0 and 1 are one core: nothing is shared by the scheduler, and yet each slows the other."""
    (told,) = circumstances(hosts(), facts(cpu={"siblings": {"0": "0-1"}}))

    assert told.startswith("server and loadgen run on threads of the same core (CPUs 0-1)")


def test_cpus_of_two_machines_have_the_same_numbers_and_nothing_in_common() -> None:
    """Hosts over ssh."""
    assert circumstances(hosts("ssh"), facts(cpu={"siblings": {"0": "0-1"}})) == []


def test_a_clock_that_follows_the_load_is_told() -> None:
    """Any governor but the steady one."""
    (told,) = circumstances(hosts(), facts(cpu={"governors": ["performance", "powersave"]}))

    assert told.startswith("server: the governor of its CPUs is powersave: ")


def test_a_quota_below_the_cpus_given_is_told() -> None:
    """A tenth of a CPU looks like one that is nine tenths idle."""
    (told,) = circumstances(hosts(), facts(cgroup_limits={"cpus_count": 0.1}))

    assert told.startswith("server: a limit of its cgroup allows it 0.1 of the 1 CPUs that it is given")
