"""Sharing a load out over wrk processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.handmade_records import handmade_scenario
from wrklab.errors import LimitError
from wrklab.hosts.limits import HostLimits, ProcessLoad, share_load, share_notes, split_load

LIMITS = HostLimits(host="loadgen", descriptors_count=20_000, ports_count=64_511)


def test_a_load_within_the_ceiling_stays_one_process() -> None:
    """2,000 connections under a ceiling of 20,000 descriptors are one wrk -t4 -c2000."""
    assert split_load(2000, 4, LIMITS) == [ProcessLoad(4, 2000)]


def test_a_load_beyond_the_ceiling_is_shared_equally() -> None:
    """22,000 connections become two processes of 11,000."""
    assert split_load(22_000, 4, LIMITS) == [ProcessLoad(2, 11_000), ProcessLoad(2, 11_000)]


def test_threads_are_raised_where_one_share_is_too_large() -> None:
    """25,000 connections on one thread need a second thread, and a second process for it."""
    assert split_load(25_000, 1, LIMITS) == [ProcessLoad(1, 12_500), ProcessLoad(1, 12_500)]


def test_too_few_ports_are_said_with_the_figures() -> None:
    """More connections than local ports cannot be opened towards one address."""
    with pytest.raises(LimitError, match="70000 connections asked, but it has 64511"):
        split_load(70_000, 4, LIMITS)


def test_a_prime_number_of_connections_beyond_the_ceiling_is_refused() -> None:
    """Equal shares of a prime are one connection a thread: with a ceiling below one connection nothing works."""
    with pytest.raises(LimitError, match="too few"):
        split_load(50, 4, HostLimits("loadgen", descriptors_count=100, ports_count=60_000))


@given(st.integers(1, 64), st.integers(1, 64_000), st.integers(200, 30_000))
def test_a_split_is_exact_and_within_every_ceiling(threads: int, share: int, descriptors: int) -> None:
    """Whatever is asked, the processes hold it together, none beyond the ceiling, each a multiple of its threads."""
    connections = threads * share
    limits = HostLimits("loadgen", descriptors, ports_count=10**9)
    loads = split_load(connections, threads, limits)

    assert sum(load.connections for load in loads) == connections
    assert all(load.connections <= limits.connections_per_process for load in loads)
    assert all(load.connections % load.threads == 0 for load in loads)


def generators(count: int, **changes: int) -> list[HostLimits]:
    """So many generators with the same ceilings."""
    values = {"descriptors_count": 20_000, "ports_count": 64_511} | changes
    return [HostLimits(host=f"loadgen_{number}", **values) for number in range(1, count + 1)]


def shares(connections: int, threads: int, count: int) -> list[tuple[int, int]]:
    """(threads, connections) of each generator, one wrk process each."""
    found = share_load(connections, threads, generators(count)).values()
    assert all(len(loads) == 1 for loads in found)
    return [(loads[0].threads, loads[0].connections) for loads in found]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((2000, 4, 1), [(4, 2000)]),
        ((2000, 4, 2), [(2, 1000)] * 2),
        ((2000, 4, 3), [(2, 668), (2, 666), (2, 666)]),
        ((101, 1, 2), [(1, 51), (1, 50)]),
        ((2001, 3, 2), [(3, 1002), (3, 999)]),
        ((4, 4, 3), [(1, 2), (1, 1), (1, 1)]),
        ((2, 2, 5), [(1, 1)] * 2),
    ],
)
def test_a_load_is_shared_equally_over_generators(asked: tuple[int, int, int], given: list[tuple[int, int]]) -> None:
    """Each has a thread at least; of more generators than connections the first are used."""
    assert shares(*asked) == given


@given(st.integers(1, 16), st.integers(1, 1000), st.integers(1, 12))
def test_sharing_loses_no_connection(threads: int, share: int, count: int) -> None:
    """Every generator's connections are a multiple of its threads, and no two differ by more than one a thread."""
    connections = threads * share
    found = shares(connections, threads, count)

    assert sum(each for _, each in found) == connections
    assert len(found) == min(count, connections)
    assert len({each for each, _ in found}) == 1
    assert all(each % threads_each == 0 and each for threads_each, each in found)
    assert found[0][1] - found[-1][1] <= found[0][0]


def test_ceilings_are_each_generators_own() -> None:
    """What one process cannot hold goes over several of its host; a share beyond its ports is refused by its name."""
    low = HostLimits("low", descriptors_count=600, ports_count=64_511)
    given = share_load(2000, 4, [*generators(1), low])
    assert given == {"loadgen_1": [ProcessLoad(2, 1000)], "low": [ProcessLoad(1, 500)] * 2}

    with pytest.raises(LimitError, match="few: 1000 connections asked, but it has 900 local ports"):
        share_load(2000, 4, [*generators(1), HostLimits("few", descriptors_count=20_000, ports_count=900)])


def test_what_is_special_about_a_share_is_said() -> None:
    """Several processes on a host, and generators that were not needed; nothing else."""
    scenario = handmade_scenario(threads=1, connections=2)
    assert share_notes(scenario, generators(2)) == []
    assert share_notes(scenario, generators(3)) == [
        "standard: 2 connections are fewer than the 3 generators: only loadgen_1, loadgen_2 load the server."
    ]
    assert share_notes(handmade_scenario(), generators(2, descriptors_count=600)) == [
        f"standard: 1000 connections go over 2 wrk processes: one may open only 600 descriptors on {host}. "
        "Their histograms are added."
        for host in ("loadgen_1", "loadgen_2")
    ]
