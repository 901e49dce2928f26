"""Conditions on figures that cannot be true together: the row is not of right answers to the load asked for."""

from __future__ import annotations

from wrklab.results.records import Errors
from wrklab.summary.rows import SummaryRow

#: Event loops take the time once a turn, so a hold may end a little early: by 0.9 ms at most of 100 ms in some 700
#: stored windows of all variants.
HOLD_KEPT_RATIO = 0.95
#: The same for holds so short that this is more.
TIMER_SLACK_US = 2000.0
#: A date, a counter: what right answers may differ by. A redirect or an answer without content differs by a third.
ANSWER_SIZE_LIMIT_RATIO = 0.02
#: A connection waits for one answer at a time; clocks and a window's edges give a thousandth.
IN_FLIGHT_LIMIT_RATIO = 1.05
#: How long the GET right after a window waits at least (longer for slow hosts): twice measure.patience.ATTEMPT_LIMIT_S.
AFTER_LIMIT_S = 4.0
#: What wrk left queued must be served within this share of it, to call longer waits a hang.
DRAINED_RATIO = 0.5


def wrong_in_warmup(row: SummaryRow) -> Errors:
    """What was wrong with the warm-up's answers, of which each is compared; none where there was no warm-up."""
    return row.warmup_errors or Errors()


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


def answers_differ(row: SummaryRow) -> bool:
    """The window's answers are longer or shorter than those that were found right."""
    return row.answer_sizes is not None and row.answer_sizes.deviation_ratio > ANSWER_SIZE_LIMIT_RATIO


def in_flight(row: SummaryRow) -> float | None:
    """Requests in flight by Little's law: rate x mean latency; None where no latency was observed."""
    if row.latency is None or row.requests_per_s is None or row.correction_notes:
        return None
    return row.requests_per_s * row.latency.mean_us / 1e6


def more_than_connections(row: SummaryRow) -> bool:
    """More requests in flight than there were connections to carry them."""
    found = in_flight(row)
    return found is not None and found > IN_FLIGHT_LIMIT_RATIO * row.connections_asked


def wrong_after(row: SummaryRow) -> bool:
    """Right after a window the server gave a wrong answer, or none and ended the connection."""
    return any(not _is_timeout(found) for found in row.verify_after)


def hung_after(row: SummaryRow) -> bool:
    """Right after a window the server gave no answer, though what was queued should have been served long before."""
    return _has_timeout(row) and drained_s(row) < DRAINED_RATIO * AFTER_LIMIT_S


def slow_after(row: SummaryRow) -> bool:
    """Right after a window the server had not answered when patience ended, and may have had that much to do."""
    return _has_timeout(row) and not hung_after(row)


def drained_s(row: SummaryRow) -> float:
    """How long the server needs at its rate for all that can be queued: one request a connection."""
    return row.connections_asked / row.requests_per_s if row.requests_per_s else float("inf")


def _has_timeout(row: SummaryRow) -> bool:
    return any(map(_is_timeout, row.verify_after))


def _is_timeout(found: str) -> bool:
    return found.startswith("timed out")
