"""Rules on connections: whether all opened and got answers, and what explains those without."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import handmade_latency
from tests.unit.verdicts.good_rows import Case, changed, check_silent, check_speaks, good_row
from wrklab.results.records import Errors
from wrklab.verdicts.connections import RULES
from wrklab.verdicts.rules import row_notes, verdict_of
from wrklab.verdicts.verdict import Verdict

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "connections_not_open": (
        {"connections_open": 250, "connections_held": 250},
        "250 of 2,000 open in the worst round",
        {"connections_open": 250, "connections_held": 1990},
    ),
    "not_open_by_limit": (
        {"connections_open": 250, "connections_held": 250, "ceiling_ratio": 0.97, "in_flight_limit": 40},
        "250 of 2,000 open in the worst round, the limit is 40 at once",
        # Just enough to fill it now and then: another one might have found a worker idle.
        {"connections_open": 60, "connections_held": 60, "ceiling_ratio": 0.97, "in_flight_limit": 40},
    ),
    "connect_errors": (
        {"errors": Errors(connect=12)},
        "12 of 2,000 a round",
        {"errors": Errors(read=1)},
    ),
    "stalls_not_counted": ({"rounds_without_silences": 1}, "1 of 3 rounds", {"rounds_without_silences": 0}),
    "stalled": (
        {"connections_unanswered": 56, "connections_asked": 64, "connections_stalled": 1},
        "56 of 64 connections never got an answer, 1 more had none any longer",
        {"connections_unanswered": 2, "connections_stalled": 0},
    ),
    "accepted_slowly": (
        {"connections_unanswered": 684, "connections_unaccepted": 684, "connections_unexplained": 0},
        "near the end of the worst window; 684 of them waited in its accept queue, which grew shorter",
        {"connections_unanswered": 684, "connections_unaccepted": 0, "connections_unexplained": 684},
    ),
    "stalled_by_limit": (
        {"connections_unanswered": 1840, "ceiling_ratio": 0.95, "latency": handmade_latency(p99_us=3_800_000.0)},
        "1,840 of 2,000 connections never got an answer",
        # Time for many turns of each: who starves then is no matter of the limit.
        {"connections_unanswered": 1840, "ceiling_ratio": 0.95},
    ),
    "window_too_short": (
        {"connections_unanswered": 800, "latency": handmade_latency(p99_us=3_800_000.0)},
        "800 of 2,000 connections never got an answer",
        {"connections_unanswered": 800, "latency": handmade_latency(p99_us=1_100_000.0)},
    ),
    "few_stalled": (
        {"connections_stalled": 2},
        "0 of 2,000 connections never got an answer, 2 more had none any longer",
        {"connections_stalled": 3},
    ),
    "reopened": ({"connections_reopening": 300}, "300 of 2,000 at once", {"connections_reopening": 20}),
    "starved": (
        {"busy_ratio": 0.12, "generator_cpu_percent": 3.0, "server_cpu_percent": 5.0},
        "answers account for 12 % of the connections' time, generator at 3 % CPU, server's unit at 5 %",
        {"busy_ratio": 0.12, "connections_reopening": 1000},
    ),
    "starved_by_limit": (
        {"busy_ratio": 0.02, "generator_cpu_percent": 3.0, "server_cpu_percent": 5.0, "ceiling_ratio": 0.9},
        "answers account for 2 % of the connections' time",
        {"busy_ratio": 0.02, "generator_cpu_percent": 3.0, "ceiling_ratio": 0.7},
    ),
    "overflows": (
        {"listen_overflows": 340, "backlog": 128},
        "340 times with a backlog of 128",
        {"listen_overflows": None},
    ),
}


def test_every_rule_has_a_case() -> None:
    """The cases are the rules, no more and no fewer."""
    assert sorted(CASES) == sorted(rule.name for rule in RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_with_its_figures(rule: str) -> None:
    """With its words and a next step."""
    check_speaks(rule, CASES[rule])


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_silent_near_its_limit(rule: str) -> None:
    """A limit that nothing tests could lie anywhere."""
    check_silent(rule, CASES[rule])


@pytest.mark.parametrize(
    ("rule", "excused"), [("window_too_short", "stalled_by_limit"), ("starved", "starved_by_limit")]
)
@pytest.mark.parametrize(
    ("ceiling_ratio", "is_excused"), [(0.8, False), (0.81, True), (1.02, True), (1.03, False), (8.0, False)]
)
def test_only_a_limit_that_the_rate_meets_excuses(
    rule: str, excused: str, ceiling_ratio: float, *, is_excused: bool
) -> None:
    """Below it something else holds connections up; a rate above it shows that it is not the limit."""
    slow: dict[str, Any] = {"latency": handmade_latency(p99_us=3_800_000.0), "connections_unanswered": 1840}
    idle: dict[str, Any] = {"server_cpu_percent": 5.0, "server_cpus_busy_percent": 9.0, "busy_ratio": 0.12}
    names = {note.rule for note in row_notes(good_row(**slow, **idle, ceiling_ratio=ceiling_ratio))}

    assert (rule in names, excused in names) == (not is_excused, is_excused)


@pytest.mark.parametrize("ceiling_ratio", [None, 0.3, 1.0])
def test_no_limit_excuses_connections_that_starve_for_many_turns(ceiling_ratio: float | None) -> None:
    """Eight keep-alive workers that answer as fast as eight can, and 56 connections that none of them ever takes."""
    row = good_row(connections_asked=64, connections_unanswered=56, ceiling_ratio=ceiling_ratio)

    assert verdict_of(row) == Verdict.POLLUTED


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.SERVER_BOUND),
        # A full server that lets nobody in, and one that has time to.
        ({"connections_unaccepted": 0, "connections_unexplained": 684}, Verdict.POLLUTED),
        ({"server_cpu_percent": 60.0, "server_cpus_busy_percent": 65.0}, Verdict.POLLUTED),
        # Some had answers and have none any more, or were let in and have none: no queue explains them.
        ({"connections_stalled": 3, "connections_unexplained": 3}, Verdict.POLLUTED),
        # A run of before the queue was looked at.
        ({"connections_unaccepted": None, "connections_unexplained": None}, Verdict.POLLUTED),
    ],
)
def test_only_a_full_server_that_lets_in_explains_who_has_no_answer(changes: dict[str, Any], verdict: Verdict) -> None:
    """uvicorn with 2,000 connections as it was measured: 684 outside, 14 a second are let in."""
    row = good_row(
        connections_unanswered=684,
        connections_unaccepted=684,
        connections_unexplained=0,
        busy_ratio=0.63,
        ceiling_ratio=None,
        in_flight_limit=None,
    )
    found = changed(row, **changes)

    assert verdict_of(found) == verdict
    # While they wait outside no latency runs for them: a busy_ratio of 0.5 is no starving then.
    names = {note.rule for note in row_notes(changed(found, busy_ratio=0.5))}
    is_explained = verdict == Verdict.SERVER_BOUND
    expected = {"accepted_slowly"} if is_explained else {"stalled", "starved"}
    assert names & {"accepted_slowly", "stalled", "starved"} == expected


@pytest.mark.parametrize(("timeouts", "verdict"), [(88_000, Verdict.SERVER_BOUND), (800, Verdict.POLLUTED)])
def test_answers_after_wrks_time_out_are_slow_and_not_missing(timeouts: int, verdict: Verdict) -> None:
    """A full server whose 2,000 connections wait 4 s each in a minute: no latency shows it, and none of them hangs."""
    row = good_row(
        duration_s=60.0,
        timeout_s=2,
        requests=90_000,
        requests_per_s=500.0,
        requests_per_s_min=490.0,
        requests_per_s_max=510.0,
        errors=Errors(timeout=timeouts),
        latency=handmade_latency(p99_us=1_990_000.0),
        # The few that came in time.
        busy_ratio=0.01,
    )

    assert verdict_of(row) == verdict
    # An idle server has no such excuse.
    idle: dict[str, Any] = {"server_cpu_percent": 5.0, "server_cpus_busy_percent": 9.0, "unit_waiting_percent": 2.0}
    assert verdict_of(changed(row, **idle)) == Verdict.POLLUTED


def test_starvation_is_seen_beside_a_busy_server() -> None:
    """Eight keep-alive workers under 64 connections are busy, and the other 56 starve all the same."""
    load: dict[str, Any] = {"connections_asked": 64, "connections_open": 64, "latency": handmade_latency(mean_us=533.0)}
    row = good_row(**load, busy_ratio=0.125, server_cpu_percent=99.0)

    assert [note.rule for note in row_notes(row)] == ["starved", "server_busy"]


@pytest.mark.parametrize("changes", [{"ceiling_ratio": 1.45}, {"ceiling_ratio": 1.0, "connections_stalled": 2000}])
def test_a_limit_excuses_no_server_that_hung(changes: dict[str, Any]) -> None:
    """Not where the rate is above that limit, nor where not one connection is served any more near the end."""
    hung = {"connections_stalled": 1999, "busy_ratio": 0.07, "generator_cpu_percent": 1.0, "server_cpu_percent": 0.0}
    names = {note.rule for note in row_notes(good_row(**(hung | changes)))}

    assert "stalled" in names
    assert not names & {"stalled_by_limit", "starved_by_limit"}
