"""Rules on answers: whether they were right, counted once, held, and came to the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import handmade_latency
from tests.unit.verdicts.good_rows import Case, changed, check_silent, check_speaks, good_row
from wrklab.bench.load import ATTEMPT_LIMIT_S
from wrklab.protocol.load import AnswerKind
from wrklab.results.records import Errors
from wrklab.summary.metrics_answers import AnswerSizes, FoundAfter
from wrklab.verdicts.answers import AFTER_LIMIT_S, RULES
from wrklab.verdicts.rules import row_notes, verdict_of
from wrklab.verdicts.verdict import Verdict

TIMED_OUT = "timed out: connected, but no whole answer within 4 s"
TIMED_OUT_AFTER = FoundAfter(AnswerKind.TIMED_OUT, TIMED_OUT)
QUEUED_AFTER = FoundAfter(AnswerKind.STILL_QUEUED, "timed out: connected, but no whole answer within 0.45 s", 54.1)

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "without_answers": (
        {"requests": 0, "requests_per_s": 0.0},
        "3 windows of 4 s",
        {"requests": None, "requests_per_s": None, "rounds": 0, "rounds_failed": 3},
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
    "hung_after": (
        {"found_after": (TIMED_OUT_AFTER,)},
        f"{TIMED_OUT}; 2,000 requests at 15,000 requests/s are served in 0.13 s",
        {"found_after": (TIMED_OUT_AFTER,), "requests_per_s": 990.0},
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
    "server_ended": (
        {"rounds_retried": 1, "rounds_server_ended": 1, "first_failures": ("window: killed by SIGKILL",)},
        "1 of 3 rounds: window: killed by SIGKILL",
        {"rounds_retried": 1, "first_failures": ("window: wrk ended",)},
    ),
    "answers_unchecked": (
        {"answers_checked": 0},
        "none of 180,000 answers",
        {"answers_checked": 1},
    ),
    "unit_ended": (
        {"units_ended": ("failed/oom-kill",)},
        "failed/oom-kill",
        {"units_ended": ()},
    ),
    "wrong_after": (
        # Beside another generator's that only waited.
        {"found_after": (TIMED_OUT_AFTER, FoundAfter(AnswerKind.REFUSED, "connection refused (from loadgen_2)"))},
        "connection refused (from loadgen_2)",
        {"found_after": (TIMED_OUT_AFTER,)},
    ),
    "slow_after": (
        {"found_after": (TIMED_OUT_AFTER,), "requests_per_s": 990.0},
        "timed out",
        {"found_after": (TIMED_OUT_AFTER,), "requests_per_s": 1010.0},
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


@pytest.mark.parametrize(("ratio", "rule"), [(0.0029, "many_errors"), (0.0009, "some_errors")])
def test_errors_of_one_round_are_not_thinned_by_the_others(ratio: float, rule: str) -> None:
    """0.29 % in one of three are 0.097 % of all."""
    row = good_row(errors=Errors(read=174), broken_ratio=ratio)

    assert {note.rule for note in row_notes(row)} & {"many_errors", "some_errors"} == {rule}


def test_wrong_bodies_are_told_of_those_that_were_compared() -> None:
    """A hundredth of the connections compares; the others' bodies nobody saw."""
    row = good_row(errors=Errors(body=190), answers_checked=1_900)

    [note] = [note for note in row_notes(row) if note.rule == "wrong_body"]
    assert note.text == "190 of the 1,900 compared (180,000 answers in all)"


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
    names = [note.rule for note in row_notes(good_row(**changes))]

    assert ("hold_not_kept" not in names) == is_kept


@pytest.mark.parametrize(("kind", "rule"), [("status", "wrong_status"), ("body", "wrong_body")])
def test_wrong_answers_of_the_warm_up_count(kind: str, rule: str) -> None:
    """Each of them is compared, which those of most windows are not."""
    row = good_row(warmup_errors=Errors(**{kind: 3}), warmup_requests=160)

    [note] = [note for note in row_notes(row) if note.rule == rule]
    assert note.text == "3 of 160 answers of the warm-up"
    assert verdict_of(row) == Verdict.POLLUTED
    assert verdict_of(changed(row, warmup_errors=Errors(read=3))) == Verdict.SERVER_BOUND


@pytest.mark.parametrize("requests_per_s", [37.0, 15_000.0])
def test_what_is_still_queued_is_slow_and_never_hung_or_wrong(requests_per_s: float) -> None:
    """Whatever the median of the rounds: the generator saw that this round's queue was being served."""
    row = good_row(found_after=(QUEUED_AFTER,), requests_per_s=requests_per_s)

    [note] = [note for note in row_notes(row) if note.rule in {"slow_after", "hung_after", "wrong_after"}]
    assert (note.rule, note.doubt) == ("slow_after", "none")
    assert note.text == f"{QUEUED_AFTER.text}, behind requests for 54 s"


def test_a_hang_of_one_round_is_not_hidden_by_another_rounds_queue() -> None:
    """Each round's outcome counts."""
    names = {note.rule for note in row_notes(good_row(found_after=(QUEUED_AFTER, TIMED_OUT_AFTER)))}

    assert names & {"slow_after", "hung_after"} == {"hung_after"}


def test_the_rules_know_how_long_the_get_after_waits() -> None:
    """As load_cell.py does with what it is told."""
    assert AFTER_LIMIT_S == 2 * ATTEMPT_LIMIT_S
