"""The metrics of open loops: what was achieved, a queue that grows, and the intervals of percentiles."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_histogram,
    handmade_measurement,
    handmade_open_loop,
    handmade_plan,
    handmade_scenario,
)
from wrklab.extract.histogram import Histogram
from wrklab.results.records import OpenLoopRecord
from wrklab.summary.metrics_open_loop import percentile_bounds_us, trend_ratio
from wrklab.summary.rows import SummaryRow, summarise
from wrklab.summary.statistics import percentile_ranks


def open_row(*slots: OpenLoopRecord) -> SummaryRow:
    """The row of rounds with these slots."""
    scenario = handmade_scenario(name="standard@500", rate_per_s=500.0, compares_with=None)
    cells = [
        handmade_cell(
            scenario=scenario.name, round_number=number, measurement=handmade_measurement(open_loop=one, duration_s=4.0)
        )
        for number, one in enumerate(slots, 1)
    ]
    plan = handmade_plan(cells, scenarios=[scenario])
    histogram = handmade_histogram({100_000: 1900, 150_000: 80, 200_000: 20})
    [row] = summarise(plan, cells, lambda _: {"observed": histogram})
    return row


def test_each_metric_has_its_value() -> None:
    """Of two rounds the worse, the sum or the median, as the definition says."""
    row = open_row(
        handmade_open_loop(),
        handmade_open_loop(late=20, latest_s=0.25, unanswered=10, quarters_answered=(450, 480, 480, 480)),
    )

    assert (row.rate_per_s, row.arrivals, row.connection_mode) == (500.0, "poisson", "keep_alive")
    assert (row.slots, row.offered_per_s) == (4000, 500.0)
    assert row.achieved_ratio == pytest.approx(0.96)
    assert row.answered_ratio == pytest.approx(1990 / 2000)
    assert (row.late_ratio, row.latest_slot_s, row.unanswered_ratio) == (0.01, 0.25, 0.005)
    assert (row.latency_trend_ratio, row.growing_achieved_ratio) == (1.0, None)
    assert row.quarters_mean_us == (100_000.0,) * 4


def test_a_closed_loop_has_none_of_them_but_intervals() -> None:
    """Nothing was offered."""
    cell = handmade_cell()
    histogram = handmade_histogram({100_000: 1900, 150_000: 80, 200_000: 20})
    [row] = summarise(handmade_plan([cell]), [cell], lambda _: {"observed": histogram})

    assert (row.rate_per_s, row.offered_per_s, row.achieved_ratio, row.late_ratio) == (None, None, None, None)
    assert (row.latency_p99_low_us, row.latency_p99_high_us) == (150_000.0, 200_000.0)


@pytest.mark.parametrize(
    ("means_s", "ratio"),
    [
        ((0.1, 0.3, 0.5, 0.7), 7.0),
        # A hold, and a queue that grows by 5 % of the rate.
        ((0.525, 0.575, 0.625, 0.675), 0.675 / 0.525),
        # A stall in one quarter, or at the end.
        ((0.0005, 0.4, 0.1, 0.0005), 1.0),
        ((0.0005, 0.0005, 0.0005, 0.3), 1.0),
        # It rises, and by too little to matter.
        ((0.0005, 0.0006, 0.0007, 0.0008), 1.0),
        ((0.1, 0.101, 0.102, 0.103), 1.0),
    ],
)
def test_a_queue_that_grows_is_not_a_stall(means_s: tuple[float, ...], ratio: float) -> None:
    """Every quarter is slower than the one before, and the last much slower than the first."""
    waiting = (means_s[0] * 500, means_s[1] * 500, means_s[2] * 500, means_s[3] * 500)

    assert trend_ratio(handmade_open_loop(quarters_waiting_s=waiting)) == pytest.approx(ratio)


def test_a_growing_round_says_what_it_achieved() -> None:
    """The other round's shortfall, in which nothing grew, is a stall's."""
    growing = handmade_open_loop(quarters_waiting_s=(50, 150, 250, 350), quarters_answered=(450, 475, 475, 475))
    stalled = handmade_open_loop(quarters_answered=(500, 500, 500, 100))

    row = open_row(growing, stalled)

    assert row.growing_achieved_ratio == pytest.approx(0.95)
    assert row.achieved_ratio == pytest.approx(1100 / 1500)


@pytest.mark.parametrize(("count", "low", "high"), [(1000, 0.984, 0.997), (10_000, 0.988, 0.992)])
def test_the_interval_of_p99_is_that_of_order_statistics(count: int, low: float, high: float) -> None:
    """1,000 answers bound it to p98.4 to p99.6 or so, 10,000 to p98.8 to p99.2."""
    ranks = percentile_ranks(count, 99)

    assert ranks is not None
    assert ranks[1] is not None
    assert ranks[0] / count == pytest.approx(low, abs=0.0011)
    assert ranks[1] / count == pytest.approx(high, abs=0.0011)


def test_the_interval_covers_the_true_percentile_as_often_as_it_says() -> None:
    """Of 400 samples of 500 exponential latencies, whose p90 is known."""
    random = np.random.default_rng(7)
    true_us, covered = -np.log(0.1) * 1e5, 0
    for _ in range(400):
        values, counts = np.unique((random.exponential(1e5, 500)).astype(np.int64), return_counts=True)
        found = percentile_bounds_us(Histogram(values, counts.astype(np.int64)), 90)
        assert found is not None
        assert found[1] is not None
        covered += found[0] <= true_us <= found[1]

    assert 0.92 < covered / 400 < 0.99


def test_few_answers_bound_no_tail() -> None:
    """Of 100 answers the slowest may well be below p99."""
    assert percentile_ranks(100, 99) == (97, None)
    assert percentile_ranks(0, 99) is None
