"""The rules by which a row is doubted or explained, as data: name, doubt, condition, figures, next step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from wrklab.analyse import conditions
from wrklab.analyse.conditions import errors_of
from wrklab.analyse.rows import SummaryRow
from wrklab.figures import count, duration_us, percent, plural, rate, rate_range, ratio_percent

#: What a note casts doubt on: the rate (and with it all), the latencies alone, or nothing (it explains).
Doubt = Literal["rate", "latency", "none"]


@dataclass(frozen=True)
class Rule:
    """One reason to doubt or to explain a row."""

    name: str
    doubt: Doubt
    applies: Callable[[SummaryRow], bool]
    #: The figures that it rests on, as a sentence.
    says: Callable[[SummaryRow], str]
    next_step: str


def _failed(row: SummaryRow) -> str:
    return f"{plural(row.rounds_failed, 'round')} of {row.rounds_planned} failed: {'; '.join(row.failures)}"


def _not_open(row: SummaryRow) -> str:
    return (
        f"{count(row.connections_open)} of {row.connections_asked:,} connections were open in the worst round: the "
        "others never opened, died, or were just being opened anew (a server that closes after each answer)"
    )


def _connect_errors(row: SummaryRow) -> str:
    return f"{errors_of(row).connect:,} connections could not be opened; wrk never tries those again"


def _wrong_status(row: SummaryRow) -> str:
    return (
        f"{errors_of(row).status:,} of {count(row.requests)} answers had a status above 399, and the rate counts them"
    )


def _wrong_body(row: SummaryRow) -> str:
    return f"{errors_of(row).body:,} of {count(row.requests)} answers had a wrong body, and the rate counts them"


def _errors(row: SummaryRow) -> str:
    found = errors_of(row)
    return (
        f"{found.read:,} read and {found.write:,} write errors on {count(row.requests)} answers: connections were "
        "reset, closed or refused"
    )


def _above_ideal(row: SummaryRow) -> str:
    return (
        f"{rate(row.requests_per_s)} requests/s is above the {rate(row.ideal_per_s)} that {row.connections_asked:,} "
        f"connections held {row.hold_ms} ms can give: impossible"
    )


def _above_ceiling(row: SummaryRow) -> str:
    return (
        f"{rate(row.requests_per_s)} requests/s is above the {rate(row.ceiling_per_s)} that "
        f"{count(row.in_flight_limit)} requests in flight can give"
    )


def _generator(row: SummaryRow) -> str:
    return (
        f"wrk took {percent(row.generator_cpu_percent)} of the generator's CPUs, the server's unit "
        f"{percent(row.server_cpu_percent)} of its own: the rate may be wrk's, not the server's"
    )


def _starved(row: SummaryRow) -> str:
    return (
        f"answers account for {ratio_percent(row.busy_ratio)} of the connections' time, with the generator at "
        f"{percent(row.generator_cpu_percent)} and the server's unit at {percent(row.server_cpu_percent)} CPU: most "
        "connections hung, starved, were being opened anew, or waited past the end of the window"
    )


def _spread(row: SummaryRow) -> str:
    return (
        f"rounds range over {ratio_percent(row.spread_ratio)} of their median "
        f"({rate_range(row.requests_per_s_min, row.requests_per_s_max)} requests/s)"
    )


def _timeouts(row: SummaryRow) -> str:
    return (
        f"{errors_of(row).timeout:,} answers came after wrk's {row.timeout_s} s time-out: they count in the rate and "
        "are missing from the latencies"
    )


def _cut_off(row: SummaryRow) -> str:
    p99 = duration_us(row.latency.p99_us if row.latency else None)
    return f"p99 is {p99} in a window of {row.duration_s:g} s: slower answers had no time to be counted"


def _few_answers(row: SummaryRow) -> str:
    return (
        f"the latencies rest on {count(row.latency.count if row.latency else None)} answers: p99.9 is the slowest one"
    )


def _hold_bound(row: SummaryRow) -> str:
    return (
        f"{ratio_percent(row.ideal_ratio)} of what {row.connections_asked:,} connections held {row.hold_ms} ms can "
        "give: the load, not the server, sets this rate"
    )


def _limit_bound(row: SummaryRow) -> str:
    return (
        f"{ratio_percent(row.ceiling_ratio)} of what {count(row.in_flight_limit)} requests in flight held "
        f"{row.hold_ms} ms can give: the variant's own limit sets this rate"
    )


#: The gravest first: this order is the order of a row's notes.
RULES: tuple[Rule, ...] = (
    Rule("failed", "rate", conditions.failed, _failed, "The server's last log lines stand in the store and in raw/"),
    Rule(
        "failed_as_expected",
        "none",
        conditions.failed_as_expected,
        lambda row: f"as expected, {_failed(row)}",
        "This variant is here to show that it does not work",
    ),
    Rule(
        "without_answers",
        "rate",
        conditions.without_answers,
        lambda row: f"not one answer in {plural(row.rounds, 'window')} of {row.duration_s:g} s",
        "Look at the server's log in raw/, and at connections open",
    ),
    Rule(
        "connections_not_open",
        "rate",
        conditions.connections_not_open,
        _not_open,
        "Compare the listen backlog and its overflows; ask for fewer connections to see the server without this",
    ),
    Rule(
        "connect_errors",
        "rate",
        lambda row: errors_of(row).connect > 0,
        _connect_errors,
        "Check descriptors and ports of the generator (invoke doctor), or ask for fewer connections",
    ),
    Rule(
        "wrong_status",
        "rate",
        lambda row: errors_of(row).status > 0,
        _wrong_status,
        "Read the server's log in raw/: a rate of error pages says nothing of the server's work",
    ),
    Rule(
        "wrong_body",
        "rate",
        lambda row: errors_of(row).body > 0,
        _wrong_body,
        "With read errors beside it, a cut answer may have spoilt the next one; else read the log in raw/",
    ),
    Rule(
        "many_errors",
        "rate",
        conditions.many_errors,
        _errors,
        "The server cannot hold this load; ask for fewer connections or raise its backlog",
    ),
    Rule("some_errors", "none", conditions.some_errors, _errors, "Too few to move the rate"),
    Rule(
        "above_ideal",
        "rate",
        conditions.above_ideal,
        _above_ideal,
        "The hold is not in effect: look at the answers and at WRKLAB_HOLD_MS",
    ),
    Rule(
        "above_ceiling",
        "none",
        conditions.above_ceiling,
        _above_ceiling,
        "The card's in_flight_limit is too low for this command line",
    ),
    Rule(
        "generator_busy",
        "rate",
        conditions.generator_busy,
        _generator,
        "Give the generator more CPUs or add a generator; checking every body costs it 12-16 % CPU an answer",
    ),
    Rule(
        "neighbours",
        "rate",
        conditions.disturbed,
        lambda row: f"others took {percent(row.neighbours_cpu_percent)} of the server's CPUs in the worst round",
        "End what else runs on that machine and measure again",
    ),
    Rule(
        "steal",
        "rate",
        conditions.stolen,
        lambda row: f"the hypervisor took {percent(row.steal_percent)} of the server's CPU time in the worst round",
        "Measure again on a quieter machine",
    ),
    Rule("starved", "rate", conditions.starved, _starved, "A longer window tells slow from hung (--duration 60s)"),
    Rule(
        "unit_ended",
        "rate",
        lambda row: bool(row.units_ended),
        lambda row: f"the server was not running at the end of a window: {'; '.join(row.units_ended)}",
        "Read its log in raw/",
    ),
    Rule(
        "wrong_after",
        "rate",
        lambda row: bool(row.verify_after),
        lambda row: f"right after a window the server did not answer as it should: {'; '.join(row.verify_after)}",
        "The load overran, hung or broke it: read its log in raw/",
    ),
    Rule("spread", "rate", conditions.spread, _spread, "Measure more or longer rounds, and look for neighbours"),
    Rule(
        "rounds_missing",
        "none",
        conditions.rounds_missing,
        lambda row: (
            f"{row.rounds_planned - row.rounds - row.rounds_failed} of {plural(row.rounds_planned, 'round')} missing"
        ),
        "The run ended early",
    ),
    Rule(
        "timeouts",
        "latency",
        lambda row: errors_of(row).timeout > 0,
        _timeouts,
        "For true latencies take a scenario whose time-out is longer than its window (standard is one)",
    ),
    Rule(
        "cut_off",
        "latency",
        conditions.cut_off,
        _cut_off,
        "The rate stands; for the latencies measure longer windows (--duration 60s)",
    ),
    Rule(
        "not_observed",
        "latency",
        lambda row: bool(row.correction_notes),
        lambda row: f"wrk's own correction could not be undone: {'; '.join(row.correction_notes)}",
        "The latencies hold answers that wrk made up: do not compare them",
    ),
    Rule("few_answers", "latency", conditions.few_answers, _few_answers, "Measure longer windows or more rounds"),
    Rule(
        "overflows",
        "none",
        conditions.overflowed,
        lambda row: f"the accept queue (backlog {count(row.backlog)}) overflowed {count(row.listen_overflows)} times",
        "Raise the server's backlog to let all connections in at once",
    ),
    Rule(
        "hold_bound",
        "none",
        conditions.hold_bound,
        _hold_bound,
        "Variants with this note are equal here; more connections would tell them apart",
    ),
    Rule("limit_bound", "none", conditions.limit_bound, _limit_bound, "More workers or threads would raise it"),
    Rule(
        "one_round",
        "none",
        conditions.one_round,
        lambda _: "one round only: how far rounds differ cannot be said",
        "Take differences below 10 % for nothing",
    ),
    Rule(
        "shorter_than_published",
        "none",
        conditions.shorter_than_published,
        lambda row: f"windows of {row.duration_s:g} s against the article's {row.published_duration_s:g} s",
        "The scenario `article` measures as long as the article did",
    ),
)
