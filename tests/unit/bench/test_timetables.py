"""One timetable shared by threads, processes and generators, and scenarios that have one."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import handmade_scenario
from wrklab.bench.load import share_timetable
from wrklab.catalogue.scenario import Scenario, override
from wrklab.errors import UsageError
from wrklab.protocol.load import Timetable, WrkSpec


def timetables(scenario: Scenario, *processes: tuple[str, int, int]) -> list[tuple[WrkSpec, Timetable]]:
    """Of processes given by host, threads and connections."""
    specs: dict[str, tuple[WrkSpec, ...]] = {}
    for host, threads, connections in processes:
        spec = WrkSpec(threads=threads, connections=connections, checks_answers=False)
        specs[host] = (*specs.get(host, ()), spec)
    found = []
    for parts in share_timetable(scenario, specs, "cell").values():
        for spec in parts:
            assert spec.timetable is not None
            found.append((spec, spec.timetable))
    return found


def test_poisson_processes_add_up_to_the_rate() -> None:
    """Each thread has the share of its connections, and gaps of its own."""
    scenario = override(handmade_scenario(), {"rate_per_s": 500})
    found = timetables(scenario, ("a", 4, 396), ("a", 1, 4), ("b", 4, 400))

    assert sum(spec.threads * table.rate_per_s for spec, table in found) == pytest.approx(500)
    assert found[1][1].rate_per_s == pytest.approx(500 * 4 / 800)
    seeds = [table.seed + thread for spec, table in found for thread in range(spec.threads)]
    assert len(set(seeds)) == 9
    assert {table.duration_s for _, table in found} == {scenario.duration_s}


def test_constant_gaps_are_dealt_in_turn() -> None:
    """The slots of all threads together are 1/500 s apart, over both generators."""
    scenario = override(handmade_scenario(), {"rate_per_s": 500, "arrivals": "constant"})
    slots = []
    for spec, table in timetables(scenario, ("a", 2, 100), ("a", 1, 50), ("b", 2, 102)):
        for thread in range(spec.threads):
            first_s = table.offset_s + thread * table.thread_offset_s
            slots += [first_s + number / table.rate_per_s for number in range(100)]

    assert sorted(slots) == pytest.approx([number / 500 for number in range(500)])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rate_per_s": "500"}, "standard@500"),
        ({"rate_per_s": 12.5}, "standard@12_5"),
        ({"rate_per_s": 500, "arrivals": "constant"}, "standard@500-constant"),
        ({"rate_per_s": 500, "connection_mode": "close"}, "standard@500-close"),
        ({"rate_per_s": 500, "arrivals": "constant", "connection_mode": "close"}, "standard@500-constant-close"),
        ({"connection_mode": "close"}, "standard@close"),
        ({"duration_s": 5}, "standard"),
    ],
)
def test_the_loop_is_part_of_a_scenarios_name(changes: dict[str, object], name: str) -> None:
    """So that rows of different loops are never added or compared; published rows are of closed loops."""
    found = override(handmade_scenario(), changes)

    assert found.name == name
    assert (found.compares_with is None) == ("@" in name)


def test_another_rate_replaces_the_one_in_the_name() -> None:
    """It is not added to it."""
    found = override(override(handmade_scenario(), {"rate_per_s": 500}), {"rate_per_s": 200})

    assert (found.name, found.rate_per_s) == ("standard@200", 200.0)


def test_a_rate_sizes_connections_and_window_unless_they_are_given() -> None:
    """Connections rest for 1.5 s and not 2; three windows give p99 its 10,000 answers."""
    found = override(handmade_scenario(), {"rate_per_s": 500})
    fast = override(handmade_scenario(), {"rate_per_s": 10_000})
    given = override(handmade_scenario(), {"rate_per_s": 500, "connections": "64", "duration_s": "5s"})

    assert 1.5 < found.connections / 500 - 0.1 < 1.9
    assert found.connections % found.threads == 0
    assert found.duration_s * 500 * found.rounds > 10_000
    assert (fast.duration_s, fast.connections) == (4.0, 3200)
    assert (given.connections, given.duration_s) == (64, 5.0)


def test_arrivals_without_a_rate_are_refused() -> None:
    """And so is what is no arrival process."""
    with pytest.raises(UsageError, match="only a load with rate_per_s has arrivals"):
        override(handmade_scenario(), {"arrivals": "constant"})
    with pytest.raises(UsageError, match="arrivals"):
        override(handmade_scenario(), {"rate_per_s": 500, "arrivals": "bursty"})
