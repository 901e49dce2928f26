"""Every rule, both ways: it speaks where it should and is silent where it should be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.handmade_records import handmade_cell, handmade_failure, handmade_latency, handmade_plan
from wrklab.bench.deadlines import ATTEMPT_LIMIT_S
from wrklab.results.records import Errors, RunPlan
from wrklab.summary.answer_sizes import AnswerSizes
from wrklab.summary.generator_rows import GeneratorRow
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.contradictions import AFTER_LIMIT_S
from wrklab.verdicts.notes import doubts, row_notes, run_notes
from wrklab.verdicts.rules import RULES
from wrklab.verdicts.verdict import Verdict
from wrklab.verdicts.verdicts import verdict_of

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
    others_cpu_percent=1.0,
    server_cpus_busy_percent=99.0,
    unit_waiting_percent=90.0,
    busiest_process_cpu_percent=25.0,
    serving_processes_count=4,
    full_processes_count=0,
    is_one_cpu_a_process=True,
    steal_percent=0.0,
    generator_host_cpu_percent=50.0,
    generator_thread_percent=30.0,
    generator_thread_waiting_percent=18.0,
    generator_unread_ratio=0.02,
    generator_neighbours_cpu_percent=0.5,
    generator_steal_percent=0.0,
    connections_held=2000,
    connections_reopening=0,
    connections_unanswered=0,
    connections_silent=0,
    backlog=2048,
    listen_overflows=0,
    published_row="flask-gunicorn-gevent",
    published_duration_s=4.0,
)

TIMED_OUT = "timed out: connected, but no whole answer within 4 s"

#: Two of them, the second the busier.
GENERATORS = tuple(
    GeneratorRow(
        host=host,
        requests=90_000,
        requests_per_s=7500.0,
        connections_asked=1000,
        connections_open=1000,
        errors=Errors(),
        cpu_percent=cpu_percent,
        host_cpu_percent=None,
        latency=None,
        start_skew_s=0.003,
    )
    for host, cpu_percent in (("loadgen", 45.0), ("loadgen_2", 91.0))
)

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "second_attempt": (
        {"rounds_retried": 1, "first_failures": ("window: wrk ended",)},
        "1 round; the first attempt ended so: window: wrk ended",
        {"rounds_retried": 0},
    ),
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
        {"connections_open": 250, "connections_held": 250},
        "250 of 2,000 open in the worst round",
        {"connections_open": 250, "connections_held": 1990},
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
    "answers_differ": (
        {"answer_sizes": AnswerSizes(window_bytes=91.0, warmup_bytes=119.0, deviation_ratio=0.31)},
        "91.0 bytes an answer, 119.0 in the warm-up",
        {"answer_sizes": AnswerSizes(window_bytes=117.0, warmup_bytes=119.0, deviation_ratio=0.017)},
    ),
    "hold_not_kept": (
        {"latency": handmade_latency(min_us=94_000.0)},
        "the quickest answer took 94.0 ms, its hold is 100 ms",
        {"latency": handmade_latency(min_us=99_100.0)},
    ),
    "more_than_connections": (
        {"latency": handmade_latency(mean_us=145_000.0)},
        "2,175 in flight on 2,000 connections",
        {"latency": handmade_latency(mean_us=138_000.0)},
    ),
    "miscounted": (
        {"is_miscounted": True, "correction_notes": ("leaves 5 samples; 10 requests were expected",)},
        "leaves 5 samples; 10 requests were expected",
        {"correction_notes": ("leaves -1 samples at 200 µs",)},
    ),
    "silence_not_counted": ({"rounds_without_silences": 1}, "1 of 3 rounds", {"rounds_without_silences": 0}),
    "hung_after": (
        {"verify_after": (TIMED_OUT,)},
        f"{TIMED_OUT}; 2,000 requests at 15,000 requests/s are served in 0.13 s",
        {"verify_after": (TIMED_OUT,), "requests_per_s": 990.0},
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
    "started_apart": (
        {"start_skew_ratio": 0.035, "generators": GENERATORS},
        "loadgen, loadgen_2 began up to 4 % of a window apart",
        {"start_skew_ratio": 0.02, "generators": GENERATORS},
    ),
    "one_machine": ({"one_machine": True}, "connections over the loopback", {"one_machine": False}),
    "neighbours": (
        {"neighbours_cpu_percent": 42.0},
        "others took 42 % of the server's CPUs",
        {"neighbours_cpu_percent": None},
    ),
    "steal": ({"steal_percent": 8.0}, "the hypervisor took 8 %", {"steal_percent": 4.0}),
    "lossy_network": (
        {"segments_lost_ratio": 0.012},
        "1.2 lost segments for 100 answers in the worst round",
        {"segments_lost_ratio": 0.01},
    ),
    "some_lost": (
        {"segments_lost_ratio": 0.002},
        "0.2 lost segments for 100 answers in the worst round",
        {"segments_lost_ratio": 0.001},
    ),
    "generator_thread_busy": (
        {"generator_thread_percent": 97.0, "generator_thread_waiting_percent": 87.0, "generator_cpu_percent": 10.0},
        "wrk's busiest thread ran or waited for a CPU 97 % of the time, waiting 87 % of it; wrk took 10 % of the",
        {"generator_thread_percent": 80.0, "generator_thread_waiting_percent": 50.0},
    ),
    "generator_behind": (
        {"generator_unread_ratio": 0.9},
        "90 % of the connections had an answer that wrk had not read",
        {"generator_unread_ratio": 0.5},
    ),
    "generator_host_full": (
        {"generator_host_cpu_percent": 99.0},
        "the generator's CPUs were 99 % busy, wrk itself took 45 %",
        {"generator_host_cpu_percent": 95.0},
    ),
    "generator_steal": (
        {"generator_steal_percent": 9.0},
        "the hypervisor took 9 % of the generator's CPU time",
        {"generator_steal_percent": 5.0},
    ),
    "generator_neighbours": (
        {"generator_neighbours_cpu_percent": 45.0},
        "others took 45 % of the generator's CPUs",
        {"generator_neighbours_cpu_percent": 10.0},
    ),
    "others_on_server": (
        {"others_cpu_percent": 48.0},
        "others on the server's host took 48 % of its CPUs",
        {"others_cpu_percent": 10.0},
    ),
    "others_on_generator": (
        {"generator_others_cpu_percent": 48.0},
        "others on the generator took 48 % of its CPUs",
        {"generator_others_cpu_percent": 10.0},
    ),
    "generator_held_up": (
        {"generator_held_up_s": 1.25},
        "for 1.2 s of 4 s in the worst round",
        {"generator_held_up_s": 0.5},
    ),
    "server_ended": (
        {"rounds_retried": 1, "rounds_server_ended": 1, "first_failures": ("window: killed by SIGKILL",)},
        "1 of 3 rounds: window: killed by SIGKILL",
        {"rounds_retried": 1, "first_failures": ("window: wrk ended",)},
    ),
    "did_not_fail": (
        {"expect_failure": "no ASGI"},
        "3 rounds, and its card expects `no ASGI`",
        {"expect_failure": "no ASGI", "rounds": 0, "rounds_failed": 3, "failure_expected": True},
    ),
    "answers_unchecked": (
        {"answers_checked": 0},
        "none of 180,000 answers",
        {"answers_checked": 1},
    ),
    "others_connected": (
        {"foreign_connections": {"10.0.0.9": 20, "10.0.0.8": 1, "10.0.0.7": 30, "10.0.0.6": 2}},
        "beside the lab's own: 30 of 10.0.0.7, 20 of 10.0.0.9, 2 of 10.0.0.6 and others",
        {"foreign_connections": {"10.0.0.9": 20}},
    ),
    "held_back": (
        {"unit_waiting_percent": 88.0, "server_cpus_busy_percent": 11.0},
        "the unit waited for a CPU 88 % of the time, while the server's CPUs were 11 % busy",
        {"unit_waiting_percent": 88.0, "server_cpus_busy_percent": 60.0},
    ),
    "silent": (
        {"connections_unanswered": 56, "connections_asked": 64, "connections_silent": 1},
        "56 of 64 connections never got an answer, 1 more had none any longer",
        {"connections_unanswered": 2, "connections_silent": 0},
    ),
    "let_in_slowly": (
        {"connections_unanswered": 684, "connections_not_let_in": 684, "connections_unexplained": 0},
        "near the end of the worst window; 684 of them waited in its accept queue, which grew shorter",
        {"connections_unanswered": 684, "connections_not_let_in": 0, "connections_unexplained": 684},
    ),
    "silent_by_limit": (
        {"connections_unanswered": 1840, "ceiling_ratio": 0.95, "latency": handmade_latency(p99_us=3_800_000.0)},
        "1,840 of 2,000 connections never got an answer",
        # Time for many turns of each: who starves then is no matter of the limit.
        {"connections_unanswered": 1840, "ceiling_ratio": 0.95},
    ),
    "out_of_turns": (
        {"connections_unanswered": 800, "latency": handmade_latency(p99_us=3_800_000.0)},
        "800 of 2,000 connections never got an answer",
        {"connections_unanswered": 800, "latency": handmade_latency(p99_us=1_100_000.0)},
    ),
    "few_silent": (
        {"connections_silent": 2},
        "0 of 2,000 connections never got an answer, 2 more had none any longer",
        {"connections_silent": 3},
    ),
    "reopened": ({"connections_reopening": 300}, "300 of 2,000 at once", {"connections_reopening": 20}),
    "server_busy": (
        {},
        "the unit took 97 % of the CPUs given to the server, which were 99 % busy with the kernel's work",
        {"server_cpu_percent": 60.0, "server_cpus_busy_percent": 70.0},
    ),
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
    "unit_ended": (
        {"units_ended": ("failed/oom-kill",)},
        "failed/oom-kill",
        {"units_ended": ()},
    ),
    "wrong_after": (
        # Beside another generator's that only waited.
        {"verify_after": (f"{TIMED_OUT} (from loadgen)", "connection refused (from loadgen_2)")},
        "connection refused (from loadgen_2)",
        {"verify_after": (TIMED_OUT,)},
    ),
    "slow_after": (
        {"verify_after": (TIMED_OUT,), "requests_per_s": 990.0},
        "timed out",
        {"verify_after": (TIMED_OUT,), "requests_per_s": 1010.0},
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
    "log_errors": (
        {"log_errors": {"RuntimeError: can't start new thread": 3626}},
        "3,626 x RuntimeError: can't start new thread",
        {"log_errors": {}},
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


def test_a_good_row_has_no_note_but_what_set_its_rate() -> None:
    """Nothing else is said where nothing is wrong."""
    assert [note.rule for note in row_notes(GOOD)] == ["server_busy"]


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_with_its_figures(rule: str) -> None:
    """Where its condition holds, its note stands with figures and a next step."""
    changes, text, _ = CASES[rule]

    [note] = [note for note in row_notes(replace(GOOD, **changes)) if note.rule == rule]

    assert text in note.text
    assert note.sentence == f"{note.text}: {note.meaning}. {note.next_step}."
    assert (note.variant, note.scenario) == ("flask_gunicorn_gevent", "standard")


@pytest.mark.parametrize(("rule", "excused"), [("out_of_turns", "silent_by_limit"), ("starved", "starved_by_limit")])
@pytest.mark.parametrize(
    ("ceiling_ratio", "is_excused"), [(0.8, False), (0.81, True), (1.02, True), (1.03, False), (8.0, False)]
)
def test_only_a_limit_that_the_rate_meets_excuses(
    rule: str, excused: str, ceiling_ratio: float, *, is_excused: bool
) -> None:
    """Below it something else holds connections up; a rate above it shows that it is not the limit."""
    slow: dict[str, Any] = {"latency": handmade_latency(p99_us=3_800_000.0), "connections_unanswered": 1840}
    idle: dict[str, Any] = {"server_cpu_percent": 5.0, "server_cpus_busy_percent": 9.0, "busy_ratio": 0.12}
    names = {note.rule for note in row_notes(replace(GOOD, **slow, **idle, ceiling_ratio=ceiling_ratio))}

    assert (rule in names, excused in names) == (not is_excused, is_excused)


@pytest.mark.parametrize("ceiling_ratio", [None, 0.3, 1.0])
def test_no_limit_excuses_connections_that_starve_for_many_turns(ceiling_ratio: float | None) -> None:
    """Eight keep-alive workers that answer as fast as eight can, and 56 connections that none of them ever takes."""
    row = replace(GOOD, connections_asked=64, connections_unanswered=56, ceiling_ratio=ceiling_ratio)

    assert verdict_of(row) == Verdict.POLLUTED


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.SERVER_BOUND),
        # A full server that lets nobody in, and one that has time to.
        ({"connections_not_let_in": 0, "connections_unexplained": 684}, Verdict.POLLUTED),
        ({"server_cpu_percent": 60.0, "server_cpus_busy_percent": 65.0}, Verdict.POLLUTED),
        # Some had answers and have none any more, or were let in and have none: no queue explains them.
        ({"connections_silent": 3, "connections_unexplained": 3}, Verdict.POLLUTED),
        # A run of before the queue was looked at.
        ({"connections_not_let_in": None, "connections_unexplained": None}, Verdict.POLLUTED),
    ],
)
def test_only_a_full_server_that_lets_in_explains_who_has_no_answer(changes: dict[str, Any], verdict: Verdict) -> None:
    """uvicorn with 2,000 connections as it was measured: 684 outside, 14 a second are let in."""
    row = replace(
        GOOD,
        connections_unanswered=684,
        connections_not_let_in=684,
        connections_unexplained=0,
        busy_ratio=0.63,
        ceiling_ratio=None,
        in_flight_limit=None,
    )
    found = replace(row, **changes)

    assert verdict_of(found) == verdict
    # While they wait outside no latency runs for them: a busy_ratio of 0.5 is no starving then.
    names = {note.rule for note in row_notes(replace(found, busy_ratio=0.5))}
    is_explained = verdict == Verdict.SERVER_BOUND
    expected = {"let_in_slowly"} if is_explained else {"silent", "starved"}
    assert names & {"let_in_slowly", "silent", "starved"} == expected


@pytest.mark.parametrize(
    ("changes", "is_bound"),
    [
        # Go with 2,000 connections as it was measured: they came late into the window.
        ({}, True),
        ({"latency": handmade_latency(mean_us=106_000.0)}, False),
        ({"requests_per_s": 17_700.0}, False),
        ({"errors": Errors(timeout=1)}, False),
        ({"correction_notes": ("not undone",)}, False),
        ({"hold_ms": 0}, False),
        ({"ideal_ratio": 1.03}, False),
        # The server may be why they came late.
        ({"server_cpu_percent": 99.0, "server_cpus_busy_percent": 99.0}, False),
        ({"listen_overflows": 40}, False),
    ],
)
def test_answers_that_take_just_their_hold_are_hold_bound(changes: dict[str, Any], *, is_bound: bool) -> None:
    """Of every connection, nearly all the time: whatever the rate falls short by, the server is not why."""
    idle: dict[str, Any] = {"server_cpu_percent": 55.0, "server_cpus_busy_percent": 60.0}
    row = replace(GOOD, **idle, ideal_ratio=0.923, requests_per_s=18_466.0, latency=handmade_latency(mean_us=104_300.0))

    assert ("hold_bound" in {note.rule for note in row_notes(replace(row, **changes))}) is is_bound


@pytest.mark.parametrize(("held_back_percent", "is_told"), [(10.0, False), (11.0, True), (None, False)])
def test_a_quota_of_most_of_a_cpu_is_told(held_back_percent: float | None, *, is_told: bool) -> None:
    """The unit waits no longer than its CPUs are busy, but at times when nobody has them."""
    half: dict[str, Any] = {"server_cpu_percent": 70.0, "server_cpus_busy_percent": 72.0, "unit_waiting_percent": 40.0}
    row = replace(GOOD, **half, unit_held_back_percent=held_back_percent)

    assert ("held_back" in {note.rule for note in row_notes(row)}) is is_told
    assert verdict_of(row) == (Verdict.DISTURBED if is_told else Verdict.UNEXPLAINED)


@pytest.mark.parametrize(("timeouts", "verdict"), [(88_000, Verdict.SERVER_BOUND), (800, Verdict.POLLUTED)])
def test_answers_after_wrks_time_out_are_slow_and_not_missing(timeouts: int, verdict: Verdict) -> None:
    """A full server whose 2,000 connections wait 4 s each in a minute: no latency shows it, and none of them hangs."""
    row = replace(
        GOOD,
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
    assert verdict_of(replace(row, **idle)) == Verdict.POLLUTED


@pytest.mark.parametrize(("ratio", "rule"), [(0.0029, "many_errors"), (0.0009, "some_errors")])
def test_errors_of_one_round_are_not_thinned_by_the_others(ratio: float, rule: str) -> None:
    """0.29 % in one of three are 0.097 % of all."""
    row = replace(GOOD, errors=Errors(read=174), broken_ratio=ratio)

    assert {note.rule for note in row_notes(row)} & {"many_errors", "some_errors"} == {rule}


def test_wrong_bodies_are_told_of_those_that_were_compared() -> None:
    """A hundredth of the connections compares; the others' bodies nobody saw."""
    row = replace(GOOD, errors=Errors(body=190), answers_checked=1_900)

    [note] = [note for note in row_notes(row) if note.rule == "wrong_body"]
    assert note.text == "190 of the 1,900 compared (180,000 answers in all)"


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_silent_near_its_limit(rule: str) -> None:
    """A row that comes near the condition without meeting it has no such note."""
    silent = CASES[rule][2]

    assert rule not in [note.rule for note in row_notes(replace(GOOD, **silent))]


def test_starvation_is_seen_beside_a_busy_server() -> None:
    """Eight keep-alive workers under 64 connections are busy, and the other 56 starve all the same."""
    load: dict[str, Any] = {"connections_asked": 64, "connections_open": 64, "latency": handmade_latency(mean_us=533.0)}
    row = replace(GOOD, **load, busy_ratio=0.125, server_cpu_percent=99.0)

    assert [note.rule for note in row_notes(row)] == ["starved", "server_busy"]


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


def test_of_several_generators_the_busy_one_is_named() -> None:
    """It is its CPUs that were short."""
    row = replace(GOOD, generators=GENERATORS, generator_cpu_percent=91.0)
    texts = [note.text for note in row_notes(row) if note.rule == "generator_busy"]

    assert texts == ["wrk took 91 % of loadgen_2's CPUs, the server's unit 97 % of its own"]


@pytest.mark.parametrize("changes", [{"ceiling_ratio": 1.45}, {"ceiling_ratio": 1.0, "connections_silent": 2000}])
def test_a_limit_excuses_no_server_that_hung(changes: dict[str, Any]) -> None:
    """Not where the rate is above that limit, nor where not one connection is served any more near the end."""
    hung = {"connections_silent": 1999, "busy_ratio": 0.07, "generator_cpu_percent": 1.0, "server_cpu_percent": 0.0}
    names = {note.rule for note in row_notes(replace(GOOD, **(hung | changes)))}

    assert "silent" in names
    assert not names & {"silent_by_limit", "starved_by_limit"}


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({"first_answer_s": 0.0995}, True),
        ({"first_answer_s": 0.004}, False),
        ({"hold_ms": 5, "latency": handmade_latency(min_us=4_100.0)}, True),
        ({"hold_ms": 5, "latency": handmade_latency(min_us=300.0)}, False),
        ({"hold_ms": 0, "latency": handmade_latency(min_us=80.0)}, True),
        # Latencies that wrk made up, and a run of before the quickest was stored.
        ({"latency": handmade_latency(min_us=300.0), "correction_notes": ("a count would be negative",)}, True),
    ],
)
def test_a_hold_is_kept_by_the_quickest_answer(changes: dict[str, Any], *, is_kept: bool) -> None:
    """Under load and of the idle server; timers that end a little early are no fault."""
    names = [note.rule for note in row_notes(replace(GOOD, **changes))]

    assert ("hold_not_kept" not in names) == is_kept


@pytest.mark.parametrize(("kind", "rule"), [("status", "wrong_status"), ("body", "wrong_body")])
def test_wrong_answers_of_the_warm_up_count(kind: str, rule: str) -> None:
    """Each of them is compared, which those of most windows are not."""
    row = replace(GOOD, warmup_errors=Errors(**{kind: 3}), warmup_requests=160)

    [note] = [note for note in row_notes(row) if note.rule == rule]
    assert note.text == "3 of 160 answers of the warm-up"
    assert verdict_of(row) == Verdict.POLLUTED
    assert verdict_of(replace(row, warmup_errors=Errors(read=3))) == Verdict.SERVER_BOUND


def test_the_rules_know_how_long_the_get_after_waits() -> None:
    """As load_cell.py does with what it is told."""
    assert AFTER_LIMIT_S == 2 * ATTEMPT_LIMIT_S
