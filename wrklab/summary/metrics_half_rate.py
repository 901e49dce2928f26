"""The metrics of the window at half rate, on the row of the closed loop whose rate was halved."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar, Unpack

from wrklab.summary.metrics import About, Better, DoubtedBy, Metric, Over, Source, Unit
from wrklab.summary.metrics_open_loop import OpenLoopMetrics

T = TypeVar("T")


def _of_window(
    read: Callable[[OpenLoopMetrics], T | None], unit: Unit, definition: str, **about: Unpack[About]
) -> Metric[T | None]:
    """A metric of the row of that window; None where there is none."""

    def compute(row: OpenLoopMetrics) -> T | None:
        window = row.half_rate_window
        return read(window) if isinstance(window, OpenLoopMetrics) else None

    return Metric(compute, unit, definition, **about)


def _of_answers(
    read: Callable[[OpenLoopMetrics], float | None], definition: str, **about: Unpack[About]
) -> Metric[float | None]:
    about = {"source": Source.OBSERVED, "generators": Over.ADDED, "better": Better.LOWER, **about}
    return _of_window(read, Unit.MICROSECONDS, definition, **about)


class HalfRateMetrics(OpenLoopMetrics):
    """What visitors wait: an open loop at half of the rate that the closed-loop rounds reached."""

    THEME: ClassVar[str] = "Half rate"
    DOUBT: ClassVar[DoubtedBy] = "half_rate"

    half_rate_per_s = _of_window(
        lambda row: row.rate_per_s,
        Unit.PER_SECOND,
        "the window's rate: half of the median rate of the sound rounds; empty: there is no such window",
        source=Source.PLAN,
    )
    half_rate_achieved_ratio = _of_window(
        lambda row: row.achieved_ratio,
        Unit.RATIO,
        "its `achieved_ratio`",
        source=Source.WRK_LUA,
        generators=Over.ADDED,
        better=Better.HIGHER,
    )
    half_rate_p50_us = _of_answers(lambda row: row.latency_p50_us, "half of its answers were not slower")
    half_rate_p99_us = _of_answers(
        lambda row: row.latency_p99_us, "99 % of its answers were not slower", compared="half-rate p99 x"
    )
    half_rate_p99_low_us = _of_answers(
        lambda row: row.latency_p99_low_us, "low end of the 95 % interval of that p99 by order statistics"
    )
    half_rate_p99_high_us = _of_answers(
        lambda row: row.latency_p99_high_us, "high end of that interval; empty: too few answers"
    )
    half_rate_count = _of_window(
        lambda row: row.latency_count,
        Unit.ANSWERS,
        "answers that these latencies rest on",
        source=Source.OBSERVED,
        generators=Over.ADDED,
    )
