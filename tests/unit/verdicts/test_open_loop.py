"""Rules on open loops: each speaks where it should, is silent nearby, and those of closed loops are silent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import handmade_latency, handmade_scenario
from tests.unit.verdicts.good_rows import good_row, note_names
from wrklab.results.records import Errors
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.rules import deciding, is_doubtful, row_notes, verdict_of
from wrklab.verdicts.verdict import Verdict


def open_row(**changes: Any) -> SummaryRow:  # noqa: ANN401  keys of the row
    """500 requests/s on 750 connections, most of which rest: nothing is wrong with it."""
    values: dict[str, Any] = {
        "is_open_loop": True,
        "load": handmade_scenario(name="standard@500", rate_per_s=500.0, connections=752, compares_with=None),
        "connections_asked": 752,
        "connections_open": 752,
        "connections_held": 752,
        "requests": 20_000,
        "requests_per_s": 500.0,
        "rate_per_s": 500.0,
        "offered_per_s": 501.0,
        "ideal_ratio": 0.07,
        "latency": handmade_latency(count=20_000, mean_us=101_000.0, p50_us=101_000.0, p99_us=110_000.0),
        "busy_ratio": 0.07,
        "server_cpu_percent": 20.0,
        "server_cpus_busy_percent": 25.0,
        "unit_waiting_percent": 5.0,
        # Resting connections look like those without answers.
        "connections_stalled": 200,
        "connections_unanswered": 5,
        "achieved_ratio": 0.999,
        "answered_ratio": 1.0,
        "late_ratio": 0.0,
        "latest_slot_s": 0.0004,
        "unanswered_ratio": 0.0,
        "latency_trend_ratio": 1.0,
        "growing_achieved_ratio": None,
        "quarters_mean_us": (101_000.0,) * 4,
        "latency_p99_low_us": 109_000.0,
        "latency_p99_high_us": 112_000.0,
    }
    return good_row(**(values | changes))


def test_a_good_open_loop_has_held_its_rate() -> None:
    """No rule of closed loops speaks: nothing is hold-bound, starved or stalled, and a busy server did not set it."""
    assert note_names(open_row()) == {"rate_held"}
    assert verdict_of(open_row()) is Verdict.RATE_HELD
    assert verdict_of(open_row(server_cpu_percent=97.0)) is Verdict.RATE_HELD
    assert not is_doubtful(open_row())


def test_the_same_figures_of_a_closed_loop_are_those_of_a_bad_one() -> None:
    """What is silent above is so because the loop is open."""
    closed = open_row(is_open_loop=False, load=handmade_scenario(), quarters_mean_us=())

    assert {"stalled", "starved"} <= note_names(closed)
    assert "rate_held" not in note_names(closed)


def test_a_rate_that_the_connections_could_give_is_not_hold_bound() -> None:
    """In a closed loop it would be."""
    near = {"ideal_ratio": 0.97, "server_cpu_percent": 20.0}

    assert verdict_of(open_row(**near)) is Verdict.RATE_HELD
    assert verdict_of(good_row(**near)) is Verdict.HOLD_BOUND


#: By rule: what makes it speak, what its note holds, and what keeps it silent though near.
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "open_loop_generator_busy": ({"generator_cpu_percent": 71.0}, "wrk took 71 %", {"generator_cpu_percent": 69.0}),
    "open_loop_generator_late": ({"wrk_late_ratio": 0.02}, "wrk itself sent 2 % of", {"wrk_late_ratio": 0.009}),
    "overloaded": ({"answered_ratio": 0.97}, "501.0 requests/s offered, 500.0 answered", {"answered_ratio": 0.985}),
    "sent_late": ({"late_ratio": 0.0012, "latest_slot_s": 0.3}, "0.12 % of the requests", {"late_ratio": 0.0009}),
    "closed_by_server": ({"errors": Errors(read=21)}, "21 connections ended", {"errors": Errors(read=20)}),
    "unanswered": ({"unanswered_ratio": 0.002}, "0.2 % of the requests", {"unanswered_ratio": 0.0009}),
    "idle_closed": ({"idle_closed": 1}, "1 connection closed by the server while", {"idle_closed": 0}),
    "latency_trends": (
        {"latency_trend_ratio": 1.5, "quarters_mean_us": (100_000.0, 120_000.0, 130_000.0, 150_000.0)},
        "100.0 ms, 120.0 ms, 130.0 ms, 150.0 ms",
        {"latency_trend_ratio": 1.0},
    ),
    "few_for_tail": (
        {"latency": handmade_latency(count=9_999)},
        "p99 of 9,999 answers lies between 109.0 ms and 112.0 ms",
        {"latency": handmade_latency(count=10_000)},
    ),
}


@pytest.mark.parametrize(("rule", "case"), CASES.items(), ids=CASES)
def test_a_rule_speaks_where_it_should_and_only_there(
    rule: str, case: tuple[dict[str, Any], str, dict[str, Any]]
) -> None:
    """With its figures; a row nearby does not have it."""
    changes, text, near = case

    [note] = [note for note in row_notes(open_row(**changes)) if note.rule == rule]

    assert text in note.text
    assert rule not in note_names(open_row(**near))


def test_a_queue_that_grows_is_overload_only_where_answers_are_missing() -> None:
    """Slower from quarter to quarter and fewer answers than slots; with all answers it is a trend, which is doubted."""
    growing = {"latency_trend_ratio": 3.0, "achieved_ratio": 0.95}

    assert verdict_of(open_row(growing_achieved_ratio=0.95, **growing)) is Verdict.OVERLOADED
    assert verdict_of(open_row(growing_achieved_ratio=0.99, **growing)) is Verdict.RATE_HELD
    # A stall near the end leaves answers out of the window, and nothing grows.
    assert verdict_of(open_row(achieved_ratio=0.8)) is Verdict.RATE_HELD


def test_overload_is_said_before_what_it_causes() -> None:
    """All connections wait then, so that requests are late and some unanswered."""
    rule = deciding(open_row(answered_ratio=0.8, late_ratio=0.3, unanswered_ratio=0.1))

    assert rule is not None
    assert rule.verdict is Verdict.OVERLOADED
    assert not Verdict.OVERLOADED.is_sound


@pytest.mark.parametrize(
    ("latest_s", "paused_s", "rule_name"),
    [
        (0.06, 0.27, "open_loop_generator_late"),
        # Longer than the pause, or none that a quiet generator has not: nobody but the server kept connections.
        (0.3, 0.27, "sent_late"),
        (0.003, 0.205, "sent_late"),
    ],
)
def test_slots_that_a_paused_generator_missed_are_not_the_servers(
    latest_s: float, paused_s: float, rule_name: str
) -> None:
    """A wrk that did not run reads no answer, so that no connection is free for the next slot."""
    row = open_row(late_ratio=0.007, latest_slot_s=latest_s, generator_paused_s=paused_s)

    assert note_names(row) & {"open_loop_generator_late", "sent_late"} == {rule_name}
