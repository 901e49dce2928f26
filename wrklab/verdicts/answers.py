"""Rules on answers: whether they were right, counted once, held as long as they should be, and came to the end."""

from __future__ import annotations

from typing import Literal

from wrklab.formats import count, duration_us, plural, rate
from wrklab.protocol.load import AnswerKind
from wrklab.results.records import Errors
from wrklab.summary.metrics_answers import FoundAfter
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.bounds import IDEAL_LIMIT_RATIO, held_text, in_flight
from wrklab.verdicts.verdict import Direction, Rule, Severity, Verdict, above, errors_of

#: Read and write errors beyond this share of the answers make the rate doubtful.
ERRORS_LIMIT_RATIO = 0.001
#: Event loops take the time once a turn, so a hold may end a little early: by 0.9 ms at most of 100 ms in some 700
#: stored windows of all variants.
HOLD_KEPT_RATIO = 0.95
#: For holds so short that this is more.
TIMER_SLACK_US = 2000.0
#: A date, a counter: what right answers may differ by. A redirect or an answer without content differs by a third.
ANSWER_SIZE_LIMIT_RATIO = 0.02
#: A connection waits for one answer at a time; clocks and a window's edges give a thousandth.
IN_FLIGHT_LIMIT_RATIO = 1.05
#: How long the GET right after a window waits at least (longer for slow hosts): twice bench.load.ATTEMPT_LIMIT_S.
AFTER_LIMIT_S = 4.0
#: What wrk left queued must be served within this share of it, to call longer waits a hang.
DRAINED_RATIO = 0.5


def wrong_in_warmup(row: SummaryRow) -> Errors:
    """What was wrong with the warm-up's answers, of which each is compared; none where there was no warm-up."""
    return row.warmup_errors or Errors()


def broken_ratio(row: SummaryRow) -> float:
    """Read and write errors, of the answers; the worst round's where that is known."""
    if row.broken_ratio is not None:
        return row.broken_ratio
    return (errors_of(row).read + errors_of(row).write) / max(row.requests or 0, 1)


def quickest_us(row: SummaryRow) -> float | None:
    """The quickest answer of all: under load, or the one that the idle server gave."""
    # Where wrk's correction could not be undone, answers that wrk made up are among its latencies.
    under_load_us = row.latency.min_us if row.latency and not row.correction_notes else None
    idle_us = None if row.first_answer_s is None else row.first_answer_s * 1e6
    return min((found for found in (under_load_us, idle_us) if found is not None), default=None)


def hold_not_kept(row: SummaryRow) -> bool:
    """An answer came before its hold could be over."""
    hold_us, found_us = row.hold_ms * 1000.0, quickest_us(row)
    return found_us is not None and found_us < min(HOLD_KEPT_RATIO * hold_us, hold_us - TIMER_SLACK_US)


def more_than_connections(row: SummaryRow) -> bool:
    """More requests in flight than there were connections to carry them."""
    return above(in_flight(row), IN_FLIGHT_LIMIT_RATIO * row.connections_asked)


def wrong_after(row: SummaryRow) -> bool:
    """Right after a window the server gave a wrong answer, or none and ended the connection."""
    return any(found.kind not in {AnswerKind.TIMED_OUT, AnswerKind.STILL_QUEUED} for found in row.found_after)


def hung_after(row: SummaryRow) -> bool:
    """Right after a window the server gave no answer, though what was queued should have been served long before."""
    return _has_timeout(row) and drained_s(row) < DRAINED_RATIO * AFTER_LIMIT_S


def slow_after(row: SummaryRow) -> bool:
    """Right after a window the server had not answered in time, and had that much to do, or may have had."""
    return (_has_timeout(row) or _is_still_queued(row)) and not hung_after(row)


def drained_s(row: SummaryRow) -> float:
    """How long the server needs at its rate for all that can be queued: one request a connection."""
    return row.connections_asked / row.requests_per_s if row.requests_per_s else float("inf")


def _has_timeout(row: SummaryRow) -> bool:
    return any(found.kind is AnswerKind.TIMED_OUT for found in row.found_after)


def _is_still_queued(row: SummaryRow) -> bool:
    return any(found.kind is AnswerKind.STILL_QUEUED for found in row.found_after)


def _after_text(row: SummaryRow) -> str:
    return "; ".join(map(_found_text, row.found_after))


def _found_text(found: FoundAfter) -> str:
    if found.kind is AnswerKind.STILL_QUEUED and found.queue_s is not None:
        return f"{found.text}, behind requests for {found.queue_s:.2g} s"
    return found.text


def _errors_text(row: SummaryRow) -> str:
    found = errors_of(row)
    return f"{found.read:,} read and {found.write:,} write errors on {plural(row.requests or 0, 'answer')}"


def _wrong_text(row: SummaryRow, kind: Literal["status", "body"]) -> str:
    """How many of the windows' and of the warm-ups' answers were wrong, each where there are any."""
    in_windows, in_warmups = _wrong(errors_of(row), kind), _wrong(wrong_in_warmup(row), kind)
    found = [f"{in_windows:,} of {_compared_text(row, kind)}"] if in_windows else []
    if in_warmups:
        found.append(f"{in_warmups:,} of {plural(row.warmup_requests or 0, 'answer')} of the warm-up")
    return "; ".join(found)


def _wrong(errors: Errors, kind: Literal["status", "body"]) -> int:
    return errors.status if kind == "status" else errors.body


def _compared_text(row: SummaryRow, kind: Literal["status", "body"]) -> str:
    """wrk counts statuses above 399 of all answers; bodies are those of the answers that are compared."""
    answers = plural(row.requests or 0, "answer")
    if kind == "status" or row.answers_checked in (None, row.requests):
        return answers
    return f"the {row.answers_checked:,} compared ({answers} in all)"


def _sizes_text(row: SummaryRow) -> str:
    sizes = row.answer_sizes
    if sizes is None:
        return "sizes of answers cannot be compared"
    return f"{sizes.window_bytes:.1f} bytes an answer, {sizes.warmup_bytes:.1f} in the warm-up"


def _law_text(row: SummaryRow) -> str:
    found = in_flight(row)
    connections = plural(row.connections_asked, "connection")
    return f"{count(None if found is None else round(found))} in flight on {connections}"


def _hung_text(row: SummaryRow) -> str:
    queue = f"{plural(row.connections_asked, 'request')} at {rate(row.requests_per_s)} requests/s"
    return f"{_after_text(row)}; {queue} are served in {drained_s(row):.2g} s"


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="wrong_status",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: errors_of(row).status + wrong_in_warmup(row).status > 0,
        figures=lambda row: _wrong_text(row, "status"),
        meaning="answers had another status than 200, and the rate counts them",
        next_step="Read the server's log in raw/: a rate of error pages says nothing of the server's work",
        words=lambda _: "wrong status",
        verdict=Verdict.POLLUTED,
        unknown_because=(
            "an error page may cost less than the right answer, or more (a traceback is written to the log)"
        ),
        concerns_generator=True,
    ),
    Rule(
        name="wrong_body",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: errors_of(row).body + wrong_in_warmup(row).body > 0,
        figures=lambda row: _wrong_text(row, "body"),
        meaning="answers had a wrong body, and the rate counts them",
        next_step="With read errors as well, a cut answer may have spoilt the next one; else read the log in raw/",
        words=lambda _: "wrong answers",
        verdict=Verdict.POLLUTED,
        unknown_because="a wrong answer may cost less than the right one, or more",
        concerns_generator=True,
    ),
    Rule(
        name="answers_differ",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: row.answer_sizes is not None and row.answer_sizes.deviation_ratio > ANSWER_SIZE_LIMIT_RATIO,
        figures=_sizes_text,
        meaning="the window's answers are not those of the warm-up, of which every one was compared",
        next_step="Ask the server by hand under load, or compare every body: --set validate_bodies=true",
        words=lambda _: "answers differ",
        settle="--set validate_bodies=true",
        verdict=Verdict.POLLUTED,
        unknown_because="other answers may cost less than the right ones, or more",
    ),
    Rule(
        name="many_errors",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: broken_ratio(row) > ERRORS_LIMIT_RATIO,
        figures=_errors_text,
        meaning="connections were reset, closed or refused",
        next_step="The server cannot hold this load: ask for fewer connections or raise its backlog",
        words=lambda row: f"{errors_of(row).read + errors_of(row).write:,} errors",
        settle="fewer --connections",
        verdict=Verdict.POLLUTED,
        unknown_because="resets shed load, which makes a server faster, and cost work, which makes it slower",
        concerns_generator=True,
        cost_stands=True,
    ),
    Rule(
        name="above_ideal",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: above(row.ideal_ratio, IDEAL_LIMIT_RATIO),
        figures=lambda row: (
            f"{rate(row.requests_per_s)} requests/s, where {held_text(row)} give {rate(row.ideal_per_s)} at most"
        ),
        meaning="more than connections / hold is impossible: the hold is not in effect",
        next_step="Look at the answers and at WRKLAB_HOLD_MS",
        words=lambda _: "hold not kept",
        verdict=Verdict.POLLUTED,
        # A server that holds its answers gives fewer of them, and the ideal at most.
        direction=Direction.TOO_HIGH,
        latency_direction=Direction.TOO_LOW,
    ),
    Rule(
        name="hold_not_kept",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=hold_not_kept,
        figures=lambda row: f"the quickest answer took {duration_us(quickest_us(row))}, its hold is {row.hold_ms} ms",
        meaning="an answer came before its hold could be over: some or all are not held, or are an error or a cache's",
        next_step="Look at the answers and at WRKLAB_HOLD_MS; a path that holds nothing has hold_ms 0",
        words=lambda _: "hold not kept",
        verdict=Verdict.POLLUTED,
        direction=Direction.TOO_HIGH,
        latency_direction=Direction.TOO_LOW,
    ),
    Rule(
        name="more_than_connections",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=more_than_connections,
        figures=_law_text,
        meaning="more requests in flight than connections is impossible: some answers were counted more than once",
        next_step="Look at what the server sends for one request",
        words=lambda _: "counted twice",
        verdict=Verdict.POLLUTED,
        direction=Direction.TOO_HIGH,
    ),
    Rule(
        name="miscounted",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: row.is_miscounted,
        figures=lambda row: "; ".join(row.correction_notes),
        meaning="wrk counted another number of answers than it timed: the server answers more often than it is asked",
        next_step="Look at what the server sends for one request",
        words=lambda _: "counted twice",
        verdict=Verdict.POLLUTED,
        direction=Direction.TOO_HIGH,
    ),
    Rule(
        name="server_ended",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: row.rounds_server_ended > 0,
        figures=lambda row: (
            f"{row.rounds_server_ended} of {plural(row.rounds_planned, 'round')}: {'; '.join(row.first_failures)}"
        ),
        meaning=(
            "the server ended under this load and was measured in a second attempt: the rate is of when it survived"
        ),
        next_step="Read its log in raw/<cell>/attempt_1: a crash, or the OOM killer?",
        words=lambda _: "server crashed",
        verdict=Verdict.POLLUTED,
        # Of all attempts together it gave less.
        direction=Direction.TOO_HIGH,
    ),
    Rule(
        name="unit_ended",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: bool(row.units_ended),
        figures=lambda row: "; ".join(row.units_ended),
        meaning="the server was not running at the end of a window",
        next_step="Read its log in raw/",
        words=lambda _: "server crashed",
        verdict=Verdict.POLLUTED,
        unknown_because="nothing says how much of the window the server was there for",
    ),
    Rule(
        name="wrong_after",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=wrong_after,
        figures=_after_text,
        meaning="right after a window the server did not answer as it should: the load overran, hung or broke it",
        next_step="Read its log in raw/",
        words=lambda _: "broken after load",
        verdict=Verdict.POLLUTED,
        unknown_because="nothing says when within the window it began to answer wrongly",
    ),
    Rule(
        name="hung_after",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=hung_after,
        figures=_hung_text,
        meaning=(
            "right after a window the server did not answer, though it should have served what was queued: it hangs"
        ),
        next_step="Read its log in raw/, and look for a deadlock or a process that was stopped",
        words=lambda _: "hung after load",
        verdict=Verdict.POLLUTED,
        unknown_because="nothing says when within the window it began to hang",
    ),
    Rule(
        name="without_answers",
        severity=Severity.OTHER_LOAD,
        doubt="rate",
        applies=lambda row: row.requests == 0,
        figures=lambda row: f"{plural(row.rounds, 'window')} of {row.duration_s:g} s",
        meaning="not one answer came",
        next_step="Look at the server's log in raw/, and at the connections open",
        words=lambda _: "no answers",
        settle="--duration 60s",
        verdict=Verdict.POLLUTED,
        unknown_because="without an answer there is no rate to bound",
    ),
    Rule(
        name="answers_unchecked",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: bool(row.requests) and row.answers_checked == 0,
        figures=lambda row: f"none of {plural(row.requests or 0, 'answer')}",
        meaning="no answer's body was compared within the windows: a wrong one of the right length would go unseen",
        next_step="More connections a thread, or --set validate_bodies=true",
        words=lambda _: "answers unchecked",
        settle="--set validate_bodies=true",
    ),
    Rule(
        name="some_errors",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: 0 < broken_ratio(row) <= ERRORS_LIMIT_RATIO,
        figures=_errors_text,
        meaning="connections were reset, closed or refused, too few to move the rate",
        next_step="Nothing needs to be done",
        words=lambda _: "a few errors",
    ),
    Rule(
        name="slow_after",
        severity=Severity.REMARK,
        doubt="none",
        applies=slow_after,
        figures=_after_text,
        meaning="right after a window the server still worked off what wrk had left queued",
        next_step="Nothing: each round has a fresh server",
        words=lambda _: "queue after load",
    ),
)
