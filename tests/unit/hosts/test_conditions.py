"""Which names are one machine, who shares CPUs, how long slow hosts may take, and what a report says about hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.hosts.test_preflight import HOST
from wrklab.hosts import conditions
from wrklab.hosts.conditions import condition_notes
from wrklab.hosts.inventory import LabHost, LabHosts

SERVER = LabHost("a", "server", "192.0.2.1", "192.0.2.1", "root", 22, None, None, None, (0, 1), "own", "ssh")
LOADGEN = replace(SERVER, name="b", group="loadgen", cpus=(2,))
APART = {"a": {"moment": {"identity": "x"}}, "b": {"moment": {"identity": "y"}}}
TOGETHER = {"a": APART["a"], "b": APART["a"]}


def lab(*generators: LabHost) -> LabHosts:
    """A lab with these generators."""
    return LabHosts("own", "ssh", SERVER, generators)


def test_names_of_one_machine_are_told() -> None:
    """By what the hosts say of themselves, whatever their addresses are."""
    assert conditions.generators_on_the_servers_machine(lab(LOADGEN), TOGETHER) == ("b",)
    assert conditions.generators_on_the_servers_machine(lab(LOADGEN), APART) == ()
    assert conditions.machine_notes(lab(LOADGEN), APART) == []
    assert conditions.machine_notes(lab(LOADGEN), TOGETHER)[0].startswith("b and a are one machine: ")


def test_a_backend_on_the_servers_machine_is_told_where_it_may_use_its_cpus() -> None:
    """Nothing sampled tells them apart there; on CPUs of its own it is no trouble."""
    backend = replace(SERVER, name="c", group="backend", cpus=(1, 3))
    found = replace(lab(LOADGEN), backend=backend)
    environments = {**APART, "c": APART["a"]}

    assert conditions.machine_notes(found, environments)[0].startswith("c and a are one machine: what the backend uses")
    assert conditions.machine_notes(replace(found, backend=replace(backend, cpus=(3,))), environments) == []
    assert conditions.machine_notes(found, {**APART, "c": {"moment": {"identity": "z"}}}) == []
    assert conditions.machine_notes(replace(found, kind="container"), environments) == []


def test_environments_of_older_runs_are_no_one_machine() -> None:
    """Without an identity on either side nothing is claimed."""
    assert conditions.generators_on_the_servers_machine(lab(LOADGEN), {"a": {}, "b": {}}) == ()


@pytest.mark.parametrize(
    ("cpus", "environments", "shared"),
    [((2,), TOGETHER, False), ((1, 2), TOGETHER, True), ((), TOGETHER, True), ((1, 2), APART, False)],
)
def test_cpus_are_shared_on_one_machine_only(
    cpus: tuple[int, ...], environments: conditions.Environments, shared: bool
) -> None:
    """CPU 1 of another machine is another CPU; no numbers given means all of them."""
    assert conditions.is_a_cpu_shared(lab(replace(LOADGEN, cpus=cpus)), environments) is shared


@pytest.mark.parametrize(("pace_s", "ratio"), [(None, 1.0), (0.003, 1.0), (0.06, 10.0), (3.0, 20.0)])
def test_slow_hosts_get_longer(pace_s: float | None, ratio: float) -> None:
    """In proportion to the slowest one's pace, within bounds; quick ones, or such as tell none, as ever."""
    environments = {"a": {"moment": {"pace_s": 0.003}}, "b": {} if pace_s is None else {"moment": {"pace_s": pace_s}}}
    assert conditions.timeout_scale(environments) == pytest.approx(ratio)
    notes = conditions.machine_notes(lab(LOADGEN), environments)
    assert [note.partition(" ")[0] for note in notes] == (["b"] if ratio > 1 else [])


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

    assert condition_notes(hosts(), usual) == []
    assert condition_notes(hosts(), facts()) == []


def test_two_hosts_on_threads_of_one_core_are_told() -> None:
    """CPUs 0 and 1 are one core: nothing is shared by the scheduler, and yet each slows the other."""
    (told,) = condition_notes(hosts(), facts(cpu={"siblings": {"0": "0-1"}}))

    assert told.startswith("server and loadgen run on threads of the same core (CPUs 0-1)")


def test_cpus_of_two_machines_have_the_same_numbers_and_nothing_in_common() -> None:
    """Hosts over ssh."""
    assert condition_notes(hosts("ssh"), facts(cpu={"siblings": {"0": "0-1"}})) == []


def test_a_clock_that_follows_the_load_is_told() -> None:
    """Any governor but the steady one."""
    (told,) = condition_notes(hosts(), facts(cpu={"governors": ["performance", "powersave"]}))

    assert told.startswith("server: the governor of its CPUs is powersave: ")


def test_a_quota_below_the_cpus_given_is_told() -> None:
    """A tenth of a CPU looks like one that is nine tenths idle."""
    (told,) = condition_notes(hosts(), facts(cgroup_limits={"cpus_count": 0.1}))

    assert told.startswith("server: a limit of its cgroup allows it 0.1 of the 1 CPUs that it is given")
