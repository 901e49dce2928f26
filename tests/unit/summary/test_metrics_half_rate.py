"""The metrics of the window at half rate, on the row of its closed loop."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_half_rate_cell,
    handmade_histogram,
    handmade_open_loop,
    handmade_plan,
    with_half_rates,
)
from wrklab.summary.rows import SummaryRow, summarise

#: Of the window and of the closed loop: each row's percentiles come from its own.
WINDOW, CLOSED = {101_000: 9_900, 112_500: 600}, {240_000: 60_000}


def row_of(*, has_window: bool, is_measured: bool = True) -> SummaryRow:
    """One variant; its window answered 1,425 of the 1,500 slots of its last three quarters in time."""
    closed = handmade_cell()
    slots = handmade_open_loop(quarters_answered=(450, 475, 475, 475))
    window, scenario = handmade_half_rate_cell(closed.variant, 7500.0, 1, open_loop=slots)
    plan = handmade_plan([closed])
    if has_window:
        plan = with_half_rates(plan, [(window, scenario)])

    def histograms_of(cell_id: str) -> Mapping[str, bytes]:
        return {"observed": handmade_histogram(WINDOW if cell_id == window.cell_id else CLOSED)}

    [row] = summarise(plan, [closed, window] if has_window and is_measured else [closed], histograms_of)
    return row


def test_they_are_the_windows_own() -> None:
    """Rate, share answered in time, percentiles with the interval of p99, and how many answers those rest on."""
    row = row_of(has_window=True)

    assert (row.half_rate_per_s, row.half_rate_achieved_ratio) == (7500.0, 0.95)
    assert (row.half_rate_p50_us, row.half_rate_p99_us, row.half_rate_count) == (101_000, 112_500, 10_500)
    assert (row.half_rate_p99_low_us, row.half_rate_p99_high_us) == (112_500, 112_500)


def test_the_closed_loops_are_as_without_it() -> None:
    """Its latencies, rounds and cells have nothing of the window."""
    row, alone = row_of(has_window=True), row_of(has_window=False)

    assert (row.latency_p99_us, row.rounds, row.rounds_planned) == (240_000, 1, 1)
    assert (alone.latency_p99_us, alone.rounds, alone.rounds_planned) == (240_000, 1, 1)
    assert [cell.scenario for cell in row.cells] == ["standard"]


def test_without_a_window_there_is_no_value() -> None:
    """None at all; of one that is planned and was not measured the rate alone is known."""
    alone, planned = row_of(has_window=False), row_of(has_window=True, is_measured=False)

    assert (alone.half_rate_per_s, alone.half_rate_p50_us, alone.half_rate_p99_low_us) == (None, None, None)
    assert (planned.half_rate_per_s, planned.half_rate_p50_us, planned.half_rate_count) == (7500.0, None, None)
