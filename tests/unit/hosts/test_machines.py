"""Which names are one machine, who shares CPUs, and how patient a slow server makes us."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wrklab.hosts import machines
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
    assert machines.generators_on_the_servers_machine(lab(LOADGEN), TOGETHER) == ("b",)
    assert machines.generators_on_the_servers_machine(lab(LOADGEN), APART) == ()
    assert machines.machine_notes(lab(LOADGEN), APART) == []
    assert machines.machine_notes(lab(LOADGEN), TOGETHER)[0].startswith("b and a are one machine: ")


def test_environments_of_older_runs_are_no_one_machine() -> None:
    """Without an identity on either side nothing is claimed."""
    assert machines.generators_on_the_servers_machine(lab(LOADGEN), {"a": {}, "b": {}}) == ()


@pytest.mark.parametrize(
    ("cpus", "environments", "shared"),
    [((2,), TOGETHER, False), ((1, 2), TOGETHER, True), ((), TOGETHER, True), ((1, 2), APART, False)],
)
def test_cpus_are_shared_on_one_machine_only(
    cpus: tuple[int, ...], environments: machines.Environments, shared: bool
) -> None:
    """CPU 1 of another machine is another CPU; no numbers given means all of them."""
    assert machines.is_a_cpu_shared(lab(replace(LOADGEN, cpus=cpus)), environments) is shared


@pytest.mark.parametrize(("pace_s", "ratio"), [(None, 1.0), (0.003, 1.0), (0.06, 10.0), (3.0, 20.0)])
def test_slow_hosts_get_longer(pace_s: float | None, ratio: float) -> None:
    """In proportion to the slowest one's pace, within bounds; quick ones, or such as tell none, as ever."""
    environments = {"a": {"moment": {"pace_s": 0.003}}, "b": {} if pace_s is None else {"moment": {"pace_s": pace_s}}}
    assert machines.timeout_scale(environments) == pytest.approx(ratio)
    notes = machines.machine_notes(lab(LOADGEN), environments)
    assert [note.partition(" ")[0] for note in notes] == (["b"] if ratio > 1 else [])
