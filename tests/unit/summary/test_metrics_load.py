"""The rate, and what it is of what was possible."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import (
    ROUNDS,
    handmade_cell,
    handmade_failure,
    handmade_measurement,
    handmade_plan,
    row_of,
)
from wrklab.summary.rows import summarise


def test_rates_are_the_median_of_rounds_with_their_range() -> None:
    """Requests add up; the rate is the middle round's, beside the lowest and the highest."""
    row = row_of(ROUNDS)

    assert (row.rounds, row.requests) == (3, 180_000)
    assert (row.requests_per_s, row.requests_per_s_min, row.requests_per_s_max) == (15_000.0, 14_000.0, 16_000.0)
    assert row.spread_ratio == pytest.approx(2 / 15)


def test_ideal_is_connections_over_hold() -> None:
    """2,000 connections held 100 ms give 20,000 requests/s at most."""
    row = row_of(ROUNDS)

    assert row.ideal_per_s == 20_000.0
    assert row.ideal_ratio == pytest.approx(0.75)


def test_without_a_hold_there_is_no_ideal() -> None:
    """A path that answers at once has no ideal rate and no ceiling."""
    row = row_of([handmade_cell(hold_ms=0, in_flight_limit=40)])

    assert (row.ideal_per_s, row.ideal_ratio, row.ceiling_per_s, row.ceiling_ratio) == (None, None, None, None)


def test_ceiling_is_the_in_flight_limit_over_hold() -> None:
    """40 threads held 100 ms give 400 requests/s at most."""
    measurement = handmade_measurement(requests_per_s=390.0)
    row = row_of([handmade_cell(in_flight_limit=40, measurement=measurement)])

    assert row.ceiling_per_s == 400.0
    assert row.ceiling_ratio == pytest.approx(0.975)


def test_a_failed_variant_has_its_row_with_the_reason() -> None:
    """Its figures are empty; what was asked and why it failed are there."""
    cells = [handmade_cell(round_number=number, failure=handmade_failure(expected=True)) for number in (1, 2)]
    row = row_of(cells)

    assert (row.state, row.rounds, row.rounds_planned, row.rounds_failed) == ("failed", 0, 2, 2)
    assert (row.requests, row.requests_per_s, row.latency, row.errors, row.ideal_ratio) == (None,) * 5
    assert row.failures == ("ready: no right answer in 20 s; found 500 Internal Server Error",)
    assert row.failure_expected
    assert row.connections_asked == 2000


def test_a_failed_round_leaves_the_others_figures() -> None:
    """Two good rounds and a failed one: a partial row over the good ones."""
    row = row_of([*ROUNDS[:2], handmade_cell(round_number=3, failure=handmade_failure())])

    assert (row.state, row.rounds, row.rounds_failed, row.requests_per_s) == ("partial", 2, 1, 15_000.0)
    assert not row.failure_expected


def test_rates_stand_against_the_baseline_of_the_same_scenario() -> None:
    """Twice one worker's rate is all that a server of two CPUs can give; without a baseline there is no ratio."""
    cells = [
        handmade_cell("flask_gunicorn_sync_1", measurement=handmade_measurement(requests_per_s=200.0)),
        handmade_cell("flask_gunicorn_sync", measurement=handmade_measurement(requests_per_s=400.0)),
    ]
    plan = handmade_plan(cells).model_copy(update={"baseline": "flask_gunicorn_sync_1", "server_cpus_count": 2})
    rows = {row.variant: row for row in summarise(plan, cells, lambda _: {})}
    assert rows["flask_gunicorn_sync"].baseline_ratio == 2
    assert rows["flask_gunicorn_sync"].baseline_cpus_ratio == 1
    assert rows["flask_gunicorn_sync_1"].baseline_cpus_ratio == pytest.approx(0.5)
    without = summarise(handmade_plan(cells), cells, lambda _: {})
    assert all(row.baseline_ratio is None and row.baseline_cpus_ratio is None for row in without)
