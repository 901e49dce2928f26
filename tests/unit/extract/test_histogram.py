"""Histograms: exact sums, percentiles as wrk defines them, and wrk's correction undone."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrklab.errors import ParseError
from wrklab.extract.histogram import (
    CorrectionError,
    Histogram,
    MiscountError,
    correction_interval_us,
    undo_wrk_correction,
)

samples = st.lists(st.integers(0, 5_000), min_size=1, max_size=200)


def histogram_of(values_us: list[int]) -> Histogram:
    """The histogram of plain samples."""
    counted = sorted(Counter(values_us).items())
    values, counts = zip(*counted, strict=True) if counted else ((), ())
    return Histogram(np.array(values, np.int64), np.array(counts, np.int64))


def corrected_as_wrk_does(values_us: list[int], interval_us: int) -> list[int]:
    """wrk's correction as it is described: a sample v >= 2e also adds v - e, v - 2e, ... while above e."""
    added = [
        value - step * interval_us
        for value in values_us
        if value >= 2 * interval_us
        for step in range(1, value // interval_us + 1)
        if value - step * interval_us > interval_us
    ]
    return values_us + added


@given(samples, st.integers(1, 10), st.integers(1, 10**6))
def test_undoing_the_correction_gives_back_what_was_observed(
    values_us: list[int], connections: int, duration_us: int
) -> None:
    """For any samples, connections and duration: correct, then undo, is nothing."""
    requests = len(values_us)
    interval_us = correction_interval_us(duration_us, requests, connections)
    if interval_us == 0:
        return  # more than a request a microsecond: wrk itself would never end
    told = values_us if interval_us is None else corrected_as_wrk_does(values_us, interval_us)
    observed = undo_wrk_correction(
        histogram_of(told), duration_us=duration_us, requests=requests, connections=connections, timeouts=0
    )
    assert observed == histogram_of(values_us)


def test_fewer_answers_than_connections_are_not_corrected() -> None:
    """wrk skips its correction then, and so does the undoing."""
    told = histogram_of([5, 900])
    assert undo_wrk_correction(told, duration_us=1000, requests=2, connections=3, timeouts=0) == told


def test_time_outs_are_requests_without_a_sample() -> None:
    """They count for the interval, and are missing from the histogram."""
    told = histogram_of(corrected_as_wrk_does([10, 20, 900], 250))
    observed = undo_wrk_correction(told, duration_us=1000, requests=4, connections=1, timeouts=1)
    assert observed == histogram_of([10, 20, 900])


def test_a_histogram_that_lacks_what_wrk_would_have_added_is_refused() -> None:
    """900 µs at an interval of 100 must come with 800, 700, ..."""
    with pytest.raises(CorrectionError, match="but none at 800 µs, which wrk would have added"):
        undo_wrk_correction(histogram_of([10, 900]), duration_us=200, requests=2, connections=1, timeouts=0)


def test_a_negative_count_is_refused() -> None:
    """Two samples at 300 µs must have added two at 200."""
    with pytest.raises(CorrectionError, match="leaves -1 samples at 200 µs"):
        undo_wrk_correction(histogram_of([200, 300, 300]), duration_us=300, requests=3, connections=1, timeouts=0)


def test_a_sum_that_does_not_fit_the_requests_is_refused() -> None:
    """The second check."""
    with pytest.raises(MiscountError, match="leaves 2 samples; 5 requests less 1 time-outs were expected"):
        undo_wrk_correction(histogram_of([10, 20]), duration_us=5000, requests=5, connections=1, timeouts=1)


@given(samples, samples)
def test_adding_is_as_if_all_had_been_sampled_together(first: list[int], second: list[int]) -> None:
    """Threads, processes, hosts, rounds."""
    assert histogram_of(first).add(histogram_of(second)) == histogram_of(first + second)


def test_nothing_added_changes_nothing() -> None:
    """The empty histogram is neutral."""
    some = histogram_of([3, 3, 7])
    assert some.add(Histogram.empty()) == some == Histogram.empty().add(some)


@given(samples)
def test_stored_and_read_back_it_is_the_same(values_us: list[int]) -> None:
    """To the last count."""
    histogram = histogram_of(values_us)
    assert Histogram.from_bytes(histogram.to_bytes()) == histogram


def test_a_real_size_is_stored_small() -> None:
    """200,000 samples around 100 ms take some 10 kB."""
    values = np.random.default_rng(1).normal(100_000, 1_000, 200_000).astype(int).tolist()
    assert len(histogram_of(values).to_bytes()) < 12_000


@given(samples)
def test_statistics_are_those_of_the_plain_samples(values_us: list[int]) -> None:
    """Mean, standard deviation of a sample, extremes, sum."""
    histogram = histogram_of(values_us)
    assert histogram.count == len(values_us)
    assert histogram.sum_us == sum(values_us)
    assert (histogram.min_us, histogram.max_us) == (min(values_us), max(values_us))
    assert histogram.mean_us == pytest.approx(float(np.mean(values_us)))
    expected = float(np.std(values_us, ddof=1)) if len(values_us) > 1 else 0.0
    assert histogram.stdev_us == pytest.approx(expected, abs=1e-6)


@given(samples, st.sampled_from([1, 10, 25, 50, 75, 90, 99]))
def test_a_percentile_is_the_smallest_value_that_more_than_its_share_do_not_exceed(
    values_us: list[int], percent: int
) -> None:
    """The rank is floor(p/100 * N) + 1."""
    rank = percent * len(values_us) // 100 + 1
    assert histogram_of(values_us).percentile(percent) == sorted(values_us)[rank - 1]


@pytest.mark.parametrize(("percent", "value"), [(50, 6), (90, 10), (99.9, 10), (100, 10), (0.1, 1)])
def test_percentiles_of_ten(percent: float, value: int) -> None:
    """1 to 10 µs, once each."""
    assert histogram_of(list(range(1, 11))).percentile(percent) == value


@pytest.mark.parametrize("percent", [0, -1, 100.1, math.nan])
def test_what_is_no_percentage_is_refused(percent: float) -> None:
    """wrk's percentile(100) says 0 without a word."""
    with pytest.raises(ValueError, match="percentile"):
        histogram_of([1]).percentile(percent)


def test_without_samples_there_are_no_statistics() -> None:
    """Not 0 either."""
    for name in ("mean_us", "stdev_us", "max_us", "min_us"):
        with pytest.raises(ValueError, match="without samples"):
            getattr(Histogram.empty(), name)
    assert Histogram.empty().count == 0


def test_delta_coding_is_undone() -> None:
    """As wrk_report.lua writes it."""
    assert Histogram.from_deltas([100, 1, 899], [5, 1, 2]) == histogram_of([100] * 5 + [101] + [1000] * 2)


@pytest.mark.parametrize(
    ("deltas", "counts"),
    [([1, 0], [1, 1]), ([-1], [1]), ([1], [0]), ([1, 2], [1]), (["x"], [1]), ([1], [10**30]), ([2, -1], [1, 1])],
)
def test_what_is_no_histogram_is_refused(deltas: list[int], counts: list[int]) -> None:
    """Values that do not ascend, counts below 1, lengths that differ, no numbers."""
    with pytest.raises(ParseError, match="histogram"):
        Histogram.from_deltas(deltas, counts)


@pytest.mark.parametrize("cut", [slice(0, 10), slice(4, None), slice(0, 0)])
def test_stored_bytes_that_are_not_whole_are_refused(cut: slice) -> None:
    """A damaged store is said to be one."""
    with pytest.raises(ParseError, match="stored histogram"):
        Histogram.from_bytes(histogram_of([1, 2, 3]).to_bytes()[cut])


def test_it_cannot_be_changed() -> None:
    """Frozen, down to its arrays."""
    with pytest.raises(ValueError, match="read-only"):
        histogram_of([1]).counts[0] = 5
