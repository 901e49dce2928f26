"""Rules on connections: whether all opened, stayed open, and got answers; and what explains those without answers.

wrk says nothing of a connection that gets no answer, and no latency shows its wait. So the socket tables are asked near
the window's end. A limit of the variant, a full accept queue or a short window may explain them; the others hang.
"""

from __future__ import annotations

from wrklab.extract.stalls import STALL_P99_FACTOR, UNANSWERED_SHARE, are_latencies_cut, slow_answer_s
from wrklab.formats import count, percent, plural, ratio_percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts import generator
from wrklab.verdicts.bounds import (
    NEAR_CEILING_RATIO,
    above_ceiling,
    at_ceiling,
    overflowed,
    server_at_ease,
    server_busy,
)
from wrklab.verdicts.verdict import Direction, Rule, Severity, Verdict, above, errors_of

#: More stalled connections than this share of the requested ones make the rate doubtful, as with errors.
STALLED_LIMIT_RATIO = 0.001
#: Fewer open connections than this share of the requested ones is another load than the one requested.
OPEN_LIMIT_RATIO = 0.99
#: A saturated but healthy server shows 0.75-0.85 (docs/metrics.md, busy_ratio).
BUSY_LIMIT_RATIO = 0.6

_NOT_THE_LAST = "their waits are in no latency"


def connections_lost(row: SummaryRow) -> int:
    """Connections that were still waiting for an answer near a window's end, long after others had theirs."""
    return (row.connections_unanswered or 0) + (row.connections_stalled or 0)


def is_accepting(row: SummaryRow) -> bool:
    """Whether the accept queue explains who has no answer. Of a server with time to spare it explains nothing."""
    is_explained = (row.connections_unexplained or 0) <= STALLED_LIMIT_RATIO * row.connections_asked
    return bool(row.connections_unaccepted) and is_explained and server_busy(row)


def connections_not_open(row: SummaryRow) -> bool:
    """The load was not the one requested, and it might have made a difference."""
    return _are_some_not_open(row) and not _is_limit_full(row)


def not_open_by_limit(row: SummaryRow) -> bool:
    """The load was not the one requested, and those that were open kept the variant at its limit all the time."""
    return _are_some_not_open(row) and _is_limit_full(row)


def stalled(row: SummaryRow) -> bool:
    """Connections never got an answer, or none any more, though there was time for many turns of each.

    Also of a variant whose limit explains how many are served: one that serves the others too, turn by turn, has none.
    """
    return _has_stalled(row) and _has_turns(row) and not is_accepting(row)


def accepted_slowly(row: SummaryRow) -> bool:
    """Connections without an answer wait in the accept queue of a full server, which takes one after the other."""
    return _has_stalled(row) and _has_turns(row) and is_accepting(row)


def stalled_by_limit(row: SummaryRow) -> bool:
    """The window ended before each connection had its turn, and the variant's own limit explains it."""
    return _has_stalled(row) and not _has_turns(row) and _is_near_ceiling(row)


def window_too_short(row: SummaryRow) -> bool:
    """The window ended before each connection had its turn: slow and unfair are not distinguishable."""
    return _has_stalled(row) and not _has_turns(row) and not _is_near_ceiling(row)


def few_stalled(row: SummaryRow) -> bool:
    """Connections went without answers, but too few to move the rate."""
    return connections_lost(row) > 0 and not _has_stalled(row) and not row.is_open_loop


def starved(row: SummaryRow) -> bool:
    """Connections went without answers while the generator had CPU to spare for reading them."""
    # Of a busy server that is just too slow, for the window or for wrk's time-out (of whose answers no latency shows
    # anything), window_too_short, cut_off and timeouts speak.
    is_too_slow = are_latencies_cut(row.requests or 0, errors_of(row).timeout) or not _has_turns(row)
    is_just_slow = server_busy(row) and is_too_slow
    return _has_starving(row) and not _is_near_ceiling(row) and not is_just_slow


def starved_by_limit(row: SummaryRow) -> bool:
    """Connections went without answers, and the variant's own limit on requests in flight explains it."""
    return _has_starving(row) and _is_near_ceiling(row)


def _are_some_not_open(row: SummaryRow) -> bool:
    # An open loop opens a connection when a request is due.
    held = _held(row)
    return not row.is_open_loop and held is not None and held < OPEN_LIMIT_RATIO * row.connections_asked


def _is_limit_full(row: SummaryRow) -> bool:
    """Whether more connections could only have waited: the rate is what the limit gives, and enough others wait."""
    limit = row.in_flight_limit or 0
    return limit > 0 and (_held(row) or 0) >= 2 * limit and at_ceiling(row) and not above_ceiling(row)


def _held(row: SummaryRow) -> int | None:
    return row.connections_open if row.connections_held is None else row.connections_held


def _has_starving(row: SummaryRow) -> bool:
    # In an open loop connections rest between two slots.
    if row.is_open_loop or row.busy_ratio is None or not row.requests:
        return False
    # While a connection is opened again, or not accepted yet, no latency runs: the socket tables say how many are.
    elsewhere_ratio = _reopening_ratio(row) + (_not_accepted_ratio(row) if is_accepting(row) else 0.0)
    return row.busy_ratio + elsewhere_ratio < BUSY_LIMIT_RATIO and not generator.saturated(row)


def _has_stalled(row: SummaryRow) -> bool:
    # A resting connection of an open loop looks as one without an answer does.
    return not row.is_open_loop and connections_lost(row) > STALLED_LIMIT_RATIO * row.connections_asked


def _not_accepted_ratio(row: SummaryRow) -> float:
    return (row.connections_unaccepted or 0) / row.connections_asked


def _reopening_ratio(row: SummaryRow) -> float:
    return (row.connections_reopening or 0) / row.connections_asked


def _has_turns(row: SummaryRow) -> bool:
    """Whether a stall is distinguishable from slowness: answers are fast enough for several within the window."""
    if not row.requests:
        return True
    p99_s = row.latency.p99_us / 1e6 if row.latency else 0.0
    slow_s = slow_answer_s(
        p99_s, row.requests, errors_of(row).timeout, row.requests_per_s or 0.0, row.connections_asked
    )
    return STALL_P99_FACTOR * slow_s < UNANSWERED_SHARE * row.duration_s


def _is_near_ceiling(row: SummaryRow) -> bool:
    """Whether the limit explains who waits: not one that the rate exceeds, nor where nobody is served any more."""
    is_anybody_served = connections_lost(row) < row.connections_asked
    return above(row.ceiling_ratio, NEAR_CEILING_RATIO) and not above_ceiling(row) and is_anybody_served


def _open_text(row: SummaryRow) -> str:
    return f"{count(row.connections_open)} of {row.connections_asked:,} open in the worst round"


def _stalled_text(row: SummaryRow) -> str:
    never = f"{count(row.connections_unanswered)} of {row.connections_asked:,} connections never got an answer"
    return f"{never}, {count(row.connections_stalled)} more had none any longer, near the end of the worst window"


def _not_accepted_text(row: SummaryRow) -> str:
    return (
        f"{_stalled_text(row)}; {count(row.connections_unaccepted)} of them waited in its accept queue, which grew "
        "shorter"
    )


def _starved_text(row: SummaryRow) -> str:
    return (
        f"answers account for {ratio_percent(row.busy_ratio)} of the connections' time, generator at "
        f"{percent(row.generator_cpu_percent)} CPU, server's unit at {percent(row.server_cpu_percent)}"
    )


#: Its own, for asking several generators: where the accept queue explains a row's, it explains each generator's.
STALLED = Rule(
    name="stalled",
    severity=Severity.STALLED,
    doubt="rate",
    applies=stalled,
    figures=_stalled_text,
    meaning=(
        "connections waited for answers that did not come, and no latency shows their wait: the rate is of the others"
    ),
    next_step=(
        "The server does not serve all its connections: look at its workers, their keep-alive, and its log in raw/"
    ),
    words=lambda row: f"{connections_lost(row):,} of {row.connections_asked:,} stalled",
    settle="fewer --connections",
    verdict=Verdict.POLLUTED,
    # A server that had time would have answered those as well.
    direction=Direction.TOO_LOW,
    direction_where=server_at_ease,
    latency_direction=Direction.TOO_LOW,
    concerns_generator=True,
    cost_stands=True,
)

#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="connect_errors",
        severity=Severity.WRONG_ANSWERS,
        doubt="rate",
        applies=lambda row: errors_of(row).connect > 0,
        figures=lambda row: f"{errors_of(row).connect:,} of {row.connections_asked:,} a round",
        meaning="connections could not be opened, and wrk never tries those again",
        next_step="Check descriptors and ports of the generator (invoke doctor), or ask for fewer connections",
        words=lambda row: f"{errors_of(row).connect:,} not connected",
        settle="invoke doctor",
        verdict=Verdict.POLLUTED,
        unknown_because="fewer connections than requested make a server faster or slower",
        concerns_generator=True,
        cost_stands=True,
    ),
    Rule(
        name="connections_not_open",
        severity=Severity.OTHER_LOAD,
        doubt="rate",
        applies=connections_not_open,
        figures=_open_text,
        meaning=(
            "the other connections never opened, died, or were being opened again (a server that closes after "
            "each answer)"
        ),
        next_step=(
            "Compare the listen backlog and its overflows; ask for fewer connections to see the server without this"
        ),
        words=lambda row: (
            f"{ratio_percent((row.connections_open or 0) / row.connections_asked)} of {row.connections_asked:,} open"
        ),
        settle="fewer --connections",
        verdict=Verdict.POLLUTED,
        unknown_because="fewer connections than requested make a server faster or slower",
        concerns_generator=True,
        cost_stands=True,
    ),
    STALLED,
    Rule(
        name="starved",
        severity=Severity.OTHER_LOAD,
        doubt="rate",
        applies=starved,
        figures=_starved_text,
        meaning="most connections hung, starved, were being opened again, or waited past the end of the window",
        next_step="A longer window shows whether they are slow or hang (--duration 60s)",
        words=lambda _: "starved",
        settle="--duration 60s",
        verdict=Verdict.POLLUTED,
        direction=Direction.TOO_LOW,
        direction_where=server_at_ease,
        latency_direction=Direction.TOO_LOW,
        cost_stands=True,
    ),
    Rule(
        name="not_open_by_limit",
        severity=Severity.LIMIT,
        doubt="latency",
        applies=not_open_by_limit,
        figures=lambda row: f"{_open_text(row)}, the limit is {row.in_flight_limit or 0:,} at once",
        meaning=(
            "those that were open kept the variant at its limit, and more could only have waited: the rate stands, the "
            "latencies are of those that got in"
        ),
        next_step="Compare the listen backlog and its overflows; ask for as many connections as its limit",
        words=lambda row: f"limit of {row.in_flight_limit or 0:,}",
        settle="fewer --connections",
        verdict=Verdict.LIMIT_BOUND,
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="stalled_by_limit",
        severity=Severity.LIMIT,
        doubt="latency",
        applies=stalled_by_limit,
        figures=_stalled_text,
        meaning=f"more connections than the variant handles at once: the rate stands, and {_NOT_THE_LAST}",
        next_step="Ask for as many connections as its limit to see its latencies",
        words=lambda row: f"limit of {row.in_flight_limit or 0:,}",
        settle="fewer --connections",
        verdict=Verdict.LIMIT_BOUND,
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="starved_by_limit",
        severity=Severity.LIMIT,
        doubt="latency",
        applies=starved_by_limit,
        figures=_starved_text,
        meaning=(
            "more connections than the variant handles at once: the rate stands, the latencies are of the few served"
        ),
        next_step="Ask for as many connections as its limit to see its latencies",
        words=lambda row: f"limit of {row.in_flight_limit or 0:,}",
        settle="fewer --connections",
        verdict=Verdict.LIMIT_BOUND,
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="window_too_short",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=window_too_short,
        figures=_stalled_text,
        meaning=f"the window ended before each connection had its turn, and {_NOT_THE_LAST}",
        next_step="A longer window shows whether they are slow or unfair (--duration 60s)",
        words=lambda _: "window too short",
        settle="--duration 60s",
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="accepted_slowly",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=accepted_slowly,
        figures=_not_accepted_text,
        meaning=(
            "a full server that answers those it has accepted before it accepts more: the rate is its own, and "
            "the waits "
            "of those outside are in no latency"
        ),
        next_step="A new client waits as long. More processes accept it sooner; fewer connections leave nobody outside",
        words=lambda row: f"{row.connections_unaccepted or 0:,} not accepted yet",
        settle="fewer --connections",
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="stalls_not_counted",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=lambda row: row.rounds_without_silences > 0,
        figures=lambda row: f"{row.rounds_without_silences} of {plural(row.rounds, 'round')}",
        meaning="connections without answers were not counted near the window's end, so any that hang are not known",
        next_step="Look at what kept the generator from it (raw/), and measure again",
        words=lambda _: "stalls not counted",
        settle="invoke bench again",
        # Those that hung, if any did, are in no latency.
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="few_stalled",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=few_stalled,
        figures=_stalled_text,
        meaning=f"too few to move the rate, but {_NOT_THE_LAST}",
        next_step="Read the server's log in raw/; a longer window shows whether they become more",
        words=lambda row: f"{connections_lost(row):,} stalled",
        settle="--duration 60s",
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="overflows",
        severity=Severity.REMARK,
        doubt="none",
        applies=overflowed,
        figures=lambda row: f"{plural(row.listen_overflows or 0, 'time')} with a backlog of {count(row.backlog)}",
        meaning="the accept queue was full",
        next_step="Raise the server's backlog to accept all connections at once",
        words=lambda _: "accept queue full",
    ),
    Rule(
        name="reopened",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: _reopening_ratio(row) > 1 - OPEN_LIMIT_RATIO,
        figures=lambda row: f"{count(row.connections_reopening)} of {row.connections_asked:,} at once",
        meaning="the server closes connections, and wrk opens them again: the rate includes that, no latency does",
        next_step="Nothing, where the variant is meant to close; else look at its keep-alive",
        words=lambda _: "connections reopened",
    ),
)
