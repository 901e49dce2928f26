"""Every rule, both ways: it speaks where it should and is silent where it should be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.handmade_records import handmade_cell, handmade_failure, handmade_latency, handmade_plan
from wrklab.analyse.notes import doubts, row_notes, run_notes
from wrklab.analyse.rows import SummaryRow
from wrklab.analyse.rules import RULES
from wrklab.model.record import Errors, RunPlan

#: A row that nothing is wrong with.
GOOD = SummaryRow(
    variant="flask_gunicorn_gevent",
    stack="flask",
    scenario="standard",
    state="measured",
    path="/health",
    hold_ms=100,
    threads=4,
    duration_s=4.0,
    timeout_s=6,
    connections_asked=2000,
    rounds=3,
    rounds_planned=3,
    requests=180_000,
    requests_per_s=15_000.0,
    requests_per_s_min=14_900.0,
    requests_per_s_max=15_100.0,
    ideal_per_s=20_000.0,
    ideal_ratio=0.75,
    in_flight_limit=8000,
    ceiling_per_s=80_000.0,
    ceiling_ratio=0.1875,
    latency=handmade_latency(),
    wrk_latency=handmade_latency(),
    errors=Errors(),
    connections_open=2000,
    busy_ratio=0.95,
    server_cpu_percent=97.0,
    generator_cpu_percent=45.0,
    neighbours_cpu_percent=0.5,
    steal_percent=0.0,
    backlog=2048,
    listen_overflows=0,
    published_row="flask-gunicorn-gevent",
    published_duration_s=4.0,
)

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "failed": (
        {"rounds": 1, "rounds_failed": 2, "failures": ("ready: found 500",)},
        "2 of 3 rounds failed: ready: found 500",
        {"rounds_failed": 3, "rounds": 0, "failure_expected": True},
    ),
    "failed_as_expected": (
        {"rounds": 0, "rounds_failed": 3, "failure_expected": True, "failures": ("ready: TypeError",)},
        "3 of 3 rounds failed: ready: TypeError",
        {"rounds": 0, "rounds_failed": 3},
    ),
    "without_answers": (
        {"requests": 0, "requests_per_s": 0.0},
        "3 windows of 4 s",
        {"requests": None, "requests_per_s": None, "rounds": 0, "rounds_failed": 3},
    ),
    "connections_not_open": (
        {"connections_open": 250},
        "250 of 2,000 open in the worst round",
        {"connections_open": 1990},
    ),
    "connect_errors": (
        {"errors": Errors(connect=12)},
        "12 of 2,000 a round",
        {"errors": Errors(read=1)},
    ),
    "wrong_status": (
        {"errors": Errors(status=5)},
        "5 of 180,000 answers",
        {"errors": Errors(body=5)},
    ),
    "wrong_body": ({"errors": Errors(body=7)}, "7 of 180,000 answers", {"errors": Errors(status=7)}),
    "many_errors": (
        {"errors": Errors(read=181, write=20)},
        "181 read and 20 write errors on 180,000 answers",
        {"errors": Errors(read=100, write=80)},
    ),
    "some_errors": ({"errors": Errors(read=2)}, "2 read and 0 write errors", {"errors": Errors(read=1000)}),
    "above_ideal": (
        {"requests_per_s": 20_600.0, "ideal_ratio": 1.03},
        "20,600 requests/s, where 2,000 connections held 100 ms give 20,000 at most",
        {"ideal_ratio": 1.01},
    ),
    "above_ceiling": (
        {"in_flight_limit": 100, "ceiling_per_s": 1000.0, "ceiling_ratio": 15.0},
        "15,000 requests/s, where 100 requests in flight (by its card) held 100 ms give 1,000",
        {"ceiling_ratio": 1.0},
    ),
    "generator_busy": (
        {"generator_cpu_percent": 81.0},
        "wrk took 81 % of the generator's CPUs, the server's unit 97 % of its own",
        {"generator_cpu_percent": 80.0},
    ),
    "neighbours": (
        {"neighbours_cpu_percent": 42.0},
        "others took 42 % of the server's CPUs",
        {"neighbours_cpu_percent": None},
    ),
    "steal": ({"steal_percent": 8.0}, "the hypervisor took 8 %", {"steal_percent": 4.0}),
    "starved": (
        {"busy_ratio": 0.12, "generator_cpu_percent": 3.0, "server_cpu_percent": 5.0},
        "answers account for 12 % of the connections' time, generator at 3 % CPU, server's unit at 5 %",
        {"busy_ratio": 0.12, "generator_cpu_percent": 99.0},
    ),
    "starved_by_limit": (
        {"busy_ratio": 0.02, "generator_cpu_percent": 3.0, "server_cpu_percent": 5.0, "ceiling_ratio": 0.9},
        "answers account for 2 % of the connections' time",
        {"busy_ratio": 0.02, "generator_cpu_percent": 3.0, "ceiling_ratio": 0.7},
    ),
    "unit_ended": (
        {"units_ended": ("failed/oom-kill",)},
        "failed/oom-kill",
        {"units_ended": ()},
    ),
    "wrong_after": (
        {"verify_after": ("connection refused",)},
        "connection refused",
        {"verify_after": ("timed out: connected, but no whole answer within 4 s",)},
    ),
    "slow_after": (
        {"verify_after": ("timed out: connected, but no whole answer within 4 s",)},
        "timed out",
        {"verify_after": ("connection refused",)},
    ),
    "spread": (
        {"requests_per_s_min": 13_000.0, "requests_per_s_max": 15_500.0},
        "rounds range over 17 % of their median (13,000-15,500 requests/s)",
        {"requests_per_s_min": 14_300.0, "requests_per_s_max": 15_700.0},
    ),
    "rounds_missing": ({"rounds": 2}, "1 of 3 rounds", {"rounds": 2, "rounds_failed": 1}),
    "timeouts": (
        {"errors": Errors(timeout=1833), "timeout_s": 2},
        "1,833 answers after 2 s",
        {"errors": Errors()},
    ),
    "cut_off": (
        {"latency": handmade_latency(p99_us=2_500_000.0)},
        "p99 is 2.50 s, windows are 4 s",
        {"latency": handmade_latency(p99_us=1_900_000.0)},
    ),
    "not_observed": (
        {"correction_notes": ("a count would be negative",)},
        "a count would be negative",
        {"correction_notes": ()},
    ),
    "few_answers": (
        {"latency": handmade_latency(count=592)},
        "592 answers",
        {"latency": handmade_latency(count=1000)},
    ),
    "overflows": (
        {"listen_overflows": 340, "backlog": 128},
        "340 times with a backlog of 128",
        {"listen_overflows": None},
    ),
    "hold_bound": (
        {"ideal_ratio": 0.98},
        "98 % of what 2,000 connections held 100 ms can give",
        {"ideal_ratio": 1.03},
    ),
    "below_limit": (
        {"in_flight_limit": 40, "is_limit_probed": True, "ceiling_per_s": 400.0, "ceiling_ratio": 0.5},
        "50 % of what 40 requests in flight (probed) held 100 ms can give",
        {"in_flight_limit": 40, "is_limit_probed": False, "ceiling_per_s": 400.0, "ceiling_ratio": 0.5},
    ),
    "limit_bound": (
        {"in_flight_limit": 40, "ceiling_ratio": 0.97},
        "97 % of what 40 requests in flight (by its card) held 100 ms can give",
        {"in_flight_limit": 40, "ceiling_ratio": 0.9},
    ),
    "one_round": ({"rounds": 1, "rounds_planned": 1}, "one window of 4 s", {"rounds": 1, "rounds_planned": 3}),
    "shorter_than_published": (
        {"published_duration_s": 60.0},
        "4 s here, 60 s there",
        {"published_duration_s": None},
    ),
}


def test_every_rule_has_a_case() -> None:
    """The cases below are the rules, no more and no fewer."""
    assert sorted(CASES) == sorted(rule.name for rule in RULES)


def test_a_good_row_has_no_notes() -> None:
    """Nothing is said where nothing is wrong."""
    assert row_notes(GOOD) == ()


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_with_its_figures(rule: str) -> None:
    """Where its condition holds, its note stands with figures and a next step."""
    changes, text, _ = CASES[rule]

    [note] = [note for note in row_notes(replace(GOOD, **changes)) if note.rule == rule]

    assert text in note.text
    assert note.sentence == f"{note.text}: {note.meaning}. {note.next_step}."
    assert (note.variant, note.scenario) == ("flask_gunicorn_gevent", "standard")


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_silent_near_its_limit(rule: str) -> None:
    """A row that comes near the condition without meeting it has no such note."""
    silent = CASES[rule][2]

    assert rule not in [note.rule for note in row_notes(replace(GOOD, **silent))]


def test_starvation_is_seen_beside_a_busy_server() -> None:
    """Eight keep-alive workers under 64 connections are busy, and the other 56 starve all the same."""
    row = replace(GOOD, connections_asked=64, connections_open=64, busy_ratio=0.125, server_cpu_percent=99.0)

    assert [note.rule for note in row_notes(row)] == ["starved"]


def test_doubts_tell_rates_from_latencies() -> None:
    """Time-outs spoil the latencies only; a busy generator spoils the rate; an explanation spoils nothing."""
    assert doubts(row_notes(replace(GOOD, errors=Errors(timeout=5)))) == {"latency"}
    assert doubts(row_notes(replace(GOOD, generator_cpu_percent=95.0))) == {"rate"}
    assert doubts(row_notes(replace(GOOD, ideal_ratio=0.99))) == set()


def handmade_run(**changes: Any) -> RunPlan:  # noqa: ANN401
    return handmade_plan([handmade_cell(round_number=number) for number in (1, 2, 3)], **changes)


def test_a_shared_cpu_is_said_once_for_the_run() -> None:
    """The run's note speaks of the CPUs; the rows keep their own notes."""
    assert [note.rule for note in run_notes(handmade_run(cpus_shared=True), [GOOD])] == ["cpus_shared"]
    assert run_notes(handmade_run(), [GOOD]) == ()


def test_notes_of_the_plan_are_repeated() -> None:
    """What the bench found about the lab stands in every report, with one full stop."""
    [note] = run_notes(handmade_run(notes=("One wrk process may open only 1,024 descriptors.",)), [GOOD])

    assert note.sentence == "One wrk process may open only 1,024 descriptors."


def test_an_unfinished_run_counts_what_is_missing() -> None:
    """Failed rounds ended; rounds that never ended are missing."""
    row = replace(GOOD, rounds=1, rounds_failed=1)

    assert [note.text for note in run_notes(handmade_run(), [row])] == ["1 of 3 cells were not measured"]


def test_failures_are_kept_apart_by_whether_they_were_expected() -> None:
    """`Failure.expected` is false unless the measurement says otherwise."""
    assert not handmade_failure().expected
    assert handmade_failure(expected=True).expected
