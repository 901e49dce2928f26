"""The rules by which a row is doubted or explained, as data: condition, figures, what they mean, next step."""

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
    #: The figures that it rests on; what differs from row to row.
    figures: Callable[[SummaryRow], str]
    #: What such figures mean, the same for every row.
    meaning: str
    next_step: str


def _failed(row: SummaryRow) -> str:
    return f"{row.rounds_failed} of {plural(row.rounds_planned, 'round')} failed: {'; '.join(row.failures)}"


def _errors(row: SummaryRow) -> str:
    found = errors_of(row)
    return f"{found.read:,} read and {found.write:,} write errors on {plural(row.requests or 0, 'answer')}"


def _wrong_answers(row: SummaryRow, number: int) -> str:
    return f"{number:,} of {plural(row.requests or 0, 'answer')}"


def _generator(row: SummaryRow) -> str:
    server = percent(row.server_cpu_percent)
    return (
        f"wrk took {percent(row.generator_cpu_percent)} of the generator's CPUs, the server's unit {server} of its own"
    )


def _starved(row: SummaryRow) -> str:
    return (
        f"answers account for {ratio_percent(row.busy_ratio)} of the connections' time, generator at "
        f"{percent(row.generator_cpu_percent)} CPU, server's unit at {percent(row.server_cpu_percent)}"
    )


def _spread(row: SummaryRow) -> str:
    low_to_high = rate_range(row.requests_per_s_min, row.requests_per_s_max)
    return f"rounds range over {ratio_percent(row.spread_ratio)} of their median ({low_to_high} requests/s)"


def _in_flight(row: SummaryRow) -> str:
    source = "probed" if row.is_limit_probed else "by its card"
    return f"{plural(row.in_flight_limit or 0, 'request')} in flight ({source}) held {row.hold_ms} ms"


def _held(row: SummaryRow) -> str:
    return f"{row.connections_asked:,} connections held {row.hold_ms} ms"


#: The gravest first: this order is the order of a row's notes.
RULES: tuple[Rule, ...] = (
    Rule(
        "failed",
        "rate",
        conditions.failed,
        _failed,
        "figures, where there are any, are of the other rounds",
        "The server's last log lines stand below and in raw/",
    ),
    Rule(
        "failed_as_expected",
        "none",
        conditions.failed_as_expected,
        _failed,
        "it was expected to",
        "The variant is here to show that it does not work",
    ),
    Rule(
        "without_answers",
        "rate",
        conditions.without_answers,
        lambda row: f"{plural(row.rounds, 'window')} of {row.duration_s:g} s",
        "not one answer came",
        "Look at the server's log in raw/, and at the connections open",
    ),
    Rule(
        "connections_not_open",
        "rate",
        conditions.connections_not_open,
        lambda row: f"{count(row.connections_open)} of {row.connections_asked:,} open in the worst round",
        "the other connections never opened, died, or were being opened anew (a server that closes after each answer)",
        "Compare the listen backlog and its overflows; ask for fewer connections to see the server without this",
    ),
    Rule(
        "connect_errors",
        "rate",
        lambda row: errors_of(row).connect > 0,
        lambda row: f"{errors_of(row).connect:,} of {row.connections_asked:,} a round",
        "connections could not be opened, and wrk never tries those again",
        "Check descriptors and ports of the generator (invoke doctor), or ask for fewer connections",
    ),
    Rule(
        "wrong_status",
        "rate",
        lambda row: errors_of(row).status > 0,
        lambda row: _wrong_answers(row, errors_of(row).status),
        "answers had a status above 399, and the rate counts them",
        "Read the server's log in raw/: a rate of error pages says nothing of the server's work",
    ),
    Rule(
        "wrong_body",
        "rate",
        lambda row: errors_of(row).body > 0,
        lambda row: _wrong_answers(row, errors_of(row).body),
        "answers had a wrong body, and the rate counts them",
        "With read errors beside it, a cut answer may have spoilt the next one; else read the log in raw/",
    ),
    Rule(
        "many_errors",
        "rate",
        conditions.many_errors,
        _errors,
        "connections were reset, closed or refused",
        "The server cannot hold this load: ask for fewer connections or raise its backlog",
    ),
    Rule(
        "some_errors",
        "none",
        conditions.some_errors,
        _errors,
        "connections were reset, closed or refused, too few to move the rate",
        "Nothing needs to be done",
    ),
    Rule(
        "above_ideal",
        "rate",
        conditions.above_ideal,
        lambda row: f"{rate(row.requests_per_s)} requests/s, where {_held(row)} give {rate(row.ideal_per_s)} at most",
        "more than connections / hold is impossible: the hold is not in effect",
        "Look at the answers and at WRKLAB_HOLD_MS",
    ),
    Rule(
        "above_ceiling",
        "none",
        conditions.above_ceiling,
        lambda row: f"{rate(row.requests_per_s)} requests/s, where {_in_flight(row)} give {rate(row.ceiling_per_s)}",
        "more than the known limit on requests in flight can give: the limit is not what it was taken for",
        "Probe it again (invoke probe), or correct it in stack.yml",
    ),
    Rule(
        "generator_busy",
        "rate",
        conditions.generator_busy,
        _generator,
        "the rate may be wrk's, not the server's",
        "Give the generator more CPUs or add a generator; checking every body costs it 12-16 % CPU an answer",
    ),
    Rule(
        "neighbours",
        "rate",
        conditions.disturbed,
        lambda row: f"others took {percent(row.neighbours_cpu_percent)} of the server's CPUs in the worst round",
        "the server did not have the CPUs that were given to it",
        "End what else runs on that machine and measure again",
    ),
    Rule(
        "steal",
        "rate",
        conditions.stolen,
        lambda row: f"the hypervisor took {percent(row.steal_percent)} of the server's CPU time in the worst round",
        "the server did not have the CPUs that were given to it",
        "Measure again on a quieter machine",
    ),
    Rule(
        "starved",
        "rate",
        conditions.starved,
        _starved,
        "most connections hung, starved, were being opened anew, or waited past the end of the window",
        "A longer window tells slow from hung (--duration 60s)",
    ),
    Rule(
        "starved_by_limit",
        "latency",
        conditions.starved_by_limit,
        _starved,
        "more connections than the variant handles at once: the rate stands, the latencies are those of the few served",
        "Ask for as many connections as its limit to see its latencies",
    ),
    Rule(
        "unit_ended",
        "rate",
        lambda row: bool(row.units_ended),
        lambda row: "; ".join(row.units_ended),
        "the server was not running at the end of a window",
        "Read its log in raw/",
    ),
    Rule(
        "wrong_after",
        "rate",
        conditions.wrong_after,
        lambda row: "; ".join(row.verify_after),
        "right after a window the server did not answer as it should: the load overran, hung or broke it",
        "Read its log in raw/",
    ),
    Rule(
        "slow_after",
        "none",
        conditions.slow_after,
        lambda row: "; ".join(row.verify_after),
        "right after a window the server still worked off what wrk had left queued",
        "Nothing: each round has a fresh server",
    ),
    Rule(
        "spread",
        "rate",
        conditions.spread,
        _spread,
        "the rounds do not agree",
        "Measure more or longer rounds, and look for neighbours",
    ),
    Rule(
        "rounds_missing",
        "none",
        conditions.rounds_missing,
        lambda row: f"{row.rounds_planned - row.rounds - row.rounds_failed} of {plural(row.rounds_planned, 'round')}",
        "rounds were not reached: the run ended early",
        "Measure again for all rounds",
    ),
    Rule(
        "timeouts",
        "latency",
        lambda row: errors_of(row).timeout > 0,
        lambda row: f"{plural(errors_of(row).timeout, 'answer')} after {row.timeout_s} s",
        "answers that came after wrk's time-out count in the rate and are missing from the latencies",
        "For true latencies take a scenario whose time-out is longer than its window (standard is one)",
    ),
    Rule(
        "cut_off",
        "latency",
        conditions.cut_off,
        lambda row: (
            f"p99 is {duration_us(row.latency.p99_us if row.latency else None)}, windows are {row.duration_s:g} s"
        ),
        "slower answers had no time to be counted",
        "The rate stands; for the latencies measure longer windows (--duration 60s)",
    ),
    Rule(
        "not_observed",
        "latency",
        lambda row: bool(row.correction_notes),
        lambda row: "; ".join(row.correction_notes),
        "wrk's own correction could not be undone, so the latencies hold answers that wrk made up",
        "Do not compare them",
    ),
    Rule(
        "few_answers",
        "latency",
        conditions.few_answers,
        lambda row: plural(row.latency.count if row.latency else 0, "answer"),
        "p99.9 is just the slowest answer, and p99 rests on a handful",
        "Measure longer windows or more rounds",
    ),
    Rule(
        "overflows",
        "none",
        conditions.overflowed,
        lambda row: f"{plural(row.listen_overflows or 0, 'time')} with a backlog of {count(row.backlog)}",
        "the accept queue was full",
        "Raise the server's backlog to let all connections in at once",
    ),
    Rule(
        "hold_bound",
        "none",
        conditions.hold_bound,
        lambda row: f"{ratio_percent(row.ideal_ratio)} of what {_held(row)} can give",
        "the load, not the server, sets the rate, and variants with this note are equal here",
        "More connections would tell them apart",
    ),
    Rule(
        "limit_bound",
        "none",
        conditions.limit_bound,
        lambda row: f"{ratio_percent(row.ceiling_ratio)} of what {_in_flight(row)} can give",
        "the variant's own limit sets the rate",
        "More workers or threads would raise it",
    ),
    Rule(
        "below_limit",
        "none",
        conditions.below_limit,
        lambda row: f"{ratio_percent(row.ceiling_ratio)} of what {_in_flight(row)} can give",
        "wrk's rate does not meet what the probe's capacity allows: something else is the limit",
        "Compare the server's CPU, the accept queue and connections open",
    ),
    Rule(
        "one_round",
        "none",
        conditions.one_round,
        lambda row: f"one window of {row.duration_s:g} s",
        "how far rounds differ cannot be said",
        "Take differences below 10 % for nothing",
    ),
    Rule(
        "shorter_than_published",
        "none",
        conditions.shorter_than_published,
        lambda row: f"{row.duration_s:g} s here, {row.published_duration_s:g} s there",
        "the article's windows were longer",
        "The scenario `article` measures as long as the article did",
    ),
)
