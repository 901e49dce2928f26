"""Sharing a load out over wrk processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrklab.errors import LimitError
from wrklab.measure.limits import HostLimits, ProcessLoad, split_load

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
