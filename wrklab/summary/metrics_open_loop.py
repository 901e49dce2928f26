"""The metrics of an open loop: what was offered, what of it was achieved, and how well percentiles are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

from wrklab import formats
from wrklab.extract.histogram import Histogram
from wrklab.results.records import Measurement, OpenLoopRecord
from wrklab.summary.metrics import (
    Better,
    DoubtedBy,
    Metric,
    Number,
    Over,
    Source,
    Unit,
    derived,
    largest,
    median,
    of_row,
    smallest,
    total,
)
from wrklab.summary.metrics_latency import ConnectionMetrics
from wrklab.summary.statistics import percentile_ranks

#: Each quarter's mean latency is above the one before by so much, ...
_STEP_MIN_RATIO = 1.05
#: ... and the last one above the first by so much and by so long, where a queue grows.
_TREND_MIN_RATIO = 1.2
_TREND_MIN_US = 2000.0


def _of_slots(read: Callable[[OpenLoopRecord], Number]) -> Callable[[Measurement], Number | None]:
    """Reads a window's slots; None in a closed loop."""
    return lambda window: None if window.open_loop is None else read(window.open_loop)


def trend_ratio(slots: OpenLoopRecord) -> float:
    """Mean latency of the last quarter / of the first, where every quarter's is above the one before; else 1.

    A queue that grows makes each quarter slower. A stall makes one quarter slow, and chance seldom sorts four.
    """
    means_us = slots.quarters_mean_us
    first_us, last_us = means_us[0], means_us[-1]
    is_rising = all(later > _STEP_MIN_RATIO * earlier for earlier, later in pairwise(means_us))
    is_much = last_us > _TREND_MIN_RATIO * first_us and last_us - first_us > _TREND_MIN_US
    return last_us / first_us if first_us > 0 and is_rising and is_much else 1.0


def percentile_bounds_us(observed: Histogram, percent: float) -> tuple[float, float | None] | None:
    """The interval of a percentile by order statistics; its high end is None where more answers would be needed."""
    ranks = percentile_ranks(observed.count, percent)
    if ranks is None:
        return None
    low, high = ranks
    return float(observed.at_rank(low)), None if high is None else float(observed.at_rank(high))


def _low_us(percent: float) -> Metric[float | None]:
    return _bound_us(percent, 0, "low")


def _high_us(percent: float) -> Metric[float | None]:
    return _bound_us(percent, 1, "high")


def _bound_us(percent: float, place: int, side: str) -> Metric[float | None]:
    def compute(row: OpenLoopMetrics) -> float | None:
        found = percentile_bounds_us(row.observed, percent)
        return found[place] if found else None

    definition = f"{side} end of the 95 % interval of p{percent:g} by order statistics"
    return Metric(
        compute,
        Unit.MICROSECONDS,
        definition if side == "low" else f"{definition}; empty: too few answers",
        rounds=Over.ADDED,
        source=Source.OBSERVED,
        generators=Over.ADDED,
        better=Better.LOWER,
        doubt="latency",
    )


class OpenLoopMetrics(ConnectionMetrics):
    """A load that was sent at a rate. In a closed loop these have no value, but for the intervals of percentiles."""

    THEME: ClassVar[str] = "Open loop"
    DOUBT: ClassVar[DoubtedBy] = "rate"

    rate_per_s = of_row(
        lambda row: row.load.rate_per_s,
        Unit.PER_SECOND,
        "the requested rate, over all generators; empty in a closed loop",
        source=Source.PLAN,
        doubt="none",
    ).shown("requested per s", "rate", formats.rate, is_optional=True)
    arrivals = of_row(
        lambda row: row.load.arrivals.value if row.is_open_loop else None,
        Unit.NONE,
        "`poisson` gaps, or `constant` ones; empty in a closed loop",
        source=Source.PLAN,
    )
    connection_mode = of_row(
        lambda row: row.load.connection_mode.value,
        Unit.NONE,
        "`keep_alive`: a pool of connections; `close`: one for each request",
        source=Source.PLAN,
    )
    slots = total(_of_slots(lambda found: found.scheduled), Unit.REQUESTS, "slots of the timetable", source=Source.PLAN)
    offered_per_s = median(
        lambda window: window.open_loop.scheduled / window.duration_s if window.open_loop else None,
        Unit.PER_SECOND,
        "slots of the timetable / its length; Poisson gaps make it differ from `rate_per_s` by chance",
        source=Source.WRK_LUA,
        generators=Over.SUM,
    )
    achieved_ratio = smallest(
        _of_slots(lambda found: found.achieved_ratio),
        Unit.RATIO,
        "answers within the last three quarters of the timetable / slots in them; 1 at most",
        source=Source.WRK_LUA,
        generators=Over.ADDED,
        better=Better.HIGHER,
    ).shown("achieved %", "rate", formats.ratio_percent_number, is_optional=True)
    answered_ratio = smallest(
        _of_slots(lambda found: found.answered_ratio),
        Unit.RATIO,
        "answers until a second after the timetable / slots",
        source=Source.WRK_LUA,
        generators=Over.ADDED,
        better=Better.HIGHER,
    )
    late_ratio = largest(
        _of_slots(lambda found: found.late_ratio),
        Unit.RATIO,
        "requests that were sent more than 1 ms after their slot / requests sent",
        source=Source.WRK_LUA,
        generators=Over.ADDED,
        better=Better.LOWER,
    )
    latest_slot_s = largest(
        _of_slots(lambda found: found.latest_s),
        Unit.SECONDS,
        "by how much the latest request missed its slot",
        source=Source.WRK_LUA,
        generators=Over.LARGEST,
        better=Better.LOWER,
    )
    wrk_late_ratio = largest(
        _of_slots(lambda found: found.wrk_late_ratio),
        Unit.RATIO,
        "requests sent 20 ms late or more because wrk did not run (0.1 s on a new connection) / sent",
        source=Source.WRK_LUA,
        generators=Over.ADDED,
        better=Better.LOWER,
    )
    unanswered_ratio = largest(
        _of_slots(lambda found: found.unanswered_ratio),
        Unit.RATIO,
        "requests without an answer a second after the timetable / requests sent",
        source=Source.WRK_LUA,
        generators=Over.ADDED,
        better=Better.LOWER,
    )
    idle_closed = total(
        _of_slots(lambda found: found.idle_closed),
        Unit.CONNECTIONS,
        "connections that the server closed while they waited for their slot",
        source=Source.WRK_LUA,
        doubt="none",
    )
    connections_opened = total(
        _of_slots(lambda found: found.opened),
        Unit.CONNECTIONS,
        "connections that were opened because a request was due, until the last answer",
        source=Source.WRK_LUA,
        doubt="none",
    )
    latency_trend_ratio = largest(
        _of_slots(trend_ratio),
        Unit.RATIO,
        "mean latency, last quarter / first, where each is slower than the one before; else 1",
        source=Source.WRK_LUA,
        generators=Over.ADDED,
        better=Better.LOWER,
        doubt="latency",
    )
    latency_p50_low_us = _low_us(50)
    latency_p50_high_us = _high_us(50)
    latency_p90_low_us = _low_us(90)
    latency_p90_high_us = _high_us(90)
    latency_p99_low_us = _low_us(99)
    latency_p99_high_us = _high_us(99)

    @derived(Unit.RATIO, source=Source.WRK_LUA, rounds=Over.SMALLEST, better=Better.HIGHER)
    def growing_achieved_ratio(self) -> float | None:
        """the smallest `achieved_ratio` of rounds with a `latency_trend_ratio` above 1"""
        growing = [slots.achieved_ratio for slots in self._windows_slots if trend_ratio(slots) > 1]
        return min(growing, default=None)

    @cached_property
    def quarters_mean_us(self) -> tuple[float, ...]:
        """The mean latency of each quarter, in the round with the strongest trend; empty in a closed loop."""
        worst = max(self._windows_slots, key=trend_ratio, default=None)
        return worst.quarters_mean_us if worst else ()

    @cached_property
    def _windows_slots(self) -> tuple[OpenLoopRecord, ...]:
        return tuple(window.open_loop for window in self.windows if window.open_loop)
