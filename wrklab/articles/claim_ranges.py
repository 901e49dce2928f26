"""Ranges that claims are held against: an interval over rounds, widened to the side that a doubt leaves open."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from wrklab.summary.statistics import Interval, median_interval, ratio_interval

#: One round shows no spread. The rule `one_round` tells readers to ignore differences below 10 %, and so does this.
_ONE_ROUND_RATIO = 0.10
_SLACK = 1e-9


class Need(StrEnum):
    """What it takes to close a side that is open."""

    #: Bench the claim's variants under its own scenario, with windows as long as the article's.
    BENCH = "bench"
    #: Fix what the reason names, then bench.
    BENCH_AGAIN = "bench again"
    #: More rounds.
    ROUNDS = "rounds"
    PROBE = "probe"
    #: No run under this load can close it.
    NOTHING = "nothing"


@dataclass(frozen=True)
class Reason:
    """Why something cannot be said, and what it takes to say it."""

    text: str
    need: Need
    #: What to fix first, in words.
    hint: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure of one variant. `rounds` are those that it was taken from; empty: it has no spread of its own."""

    value: float
    rounds: tuple[float, ...] = ()
    #: Why the true figure may be higher or lower than measured; empty: it is not.
    may_be_higher: tuple[Reason, ...] = ()
    may_be_lower: tuple[Reason, ...] = ()
    #: How low and how high the true figure can be where it may differ.
    least: float = 0.0
    most: float = math.inf
    #: A note or the verdict doubts it.
    is_doubtful: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """(low, high): the interval over rounds, widened to the sides that are open."""
        low, high = self._interval()
        return min(low, self.least) if self.may_be_lower else low, max(high, self.most) if self.may_be_higher else high

    def _interval(self) -> tuple[float, float]:
        if not self.rounds:
            return self.value, self.value
        interval = median_interval(self.rounds)
        if interval is None:
            return self.value / (1 + _ONE_ROUND_RATIO), self.value * (1 + _ONE_ROUND_RATIO)
        return _moved(interval, self.value, statistics.median(self.rounds))


@dataclass(frozen=True)
class Estimate:
    """A figure or ratio: the value, the range in which the true one lies, and what keeps either side open."""

    value: float
    low: float
    high: float
    low_because: tuple[Reason, ...] = ()
    high_because: tuple[Reason, ...] = ()

    @property
    def has_range(self) -> bool:
        """Whether its range is closed and not a point."""
        return self.low > 0 and self.high < math.inf and not math.isclose(self.low, self.high)

    @property
    def bound(self) -> Literal["", "at least", "at most"]:
        """Which end of the range says something where the other is open; empty where both are, or neither."""
        is_open_above = math.isinf(self.high) and not math.isinf(self.value)
        is_open_below = self.low == 0.0 < self.value
        if is_open_above == is_open_below:
            return ""
        return "at least" if is_open_above else "at most"


def estimate(of: Figure, to: Figure | None = None, noise_floor_ratio: float = 0.0) -> Estimate:
    """A figure, or its ratio to another, with the range in which the true one lies.

    Without doubts that is the bootstrap interval over rounds (statistics.median_interval); of one round, 10 % either
    way; of a figure without rounds, the figure. A ratio's range is at least as wide as the run's noise floor (0.02:
    2 %). Raises ZeroDivisionError over 0.
    """
    if to is None:
        low, high = of.range
        return _estimate(of.value, low, high, of.may_be_lower, of.may_be_higher)
    value = of.value / to.value
    low, high = _ratio_range(of, to, value)
    if of.rounds or to.rounds:
        low, high = low / (1 + noise_floor_ratio), high * (1 + noise_floor_ratio)
    return _estimate(value, low, high, of.may_be_lower + to.may_be_higher, of.may_be_higher + to.may_be_lower)


def keeps(found: Estimate, low: float, high: float, *, inclusive: bool) -> bool | None:
    """Whether a range lies within a limit; None where it lies on both sides of it."""
    reaches_low = math.isinf(low) or found.low > low + _SLACK or (inclusive and found.low >= low - _SLACK)
    stays_high = math.isinf(high) or found.high < high - _SLACK or (inclusive and found.high <= high + _SLACK)
    if reaches_low and stays_high:
        return True
    is_below = found.high < low - _SLACK or (not inclusive and found.high <= low + _SLACK)
    is_above = found.low > high + _SLACK or (not inclusive and found.low >= high - _SLACK)
    return False if is_below or is_above else None


def open_because(found: Estimate, low: float, high: float, *, inclusive: bool) -> tuple[Reason, ...]:
    """Why a range that lies on both sides of a limit does: what keeps open the ends that cross it."""
    if found.value < low or (found.value == low and not inclusive):
        return found.high_because
    if found.value > high or (found.value == high and not inclusive):
        return found.low_because
    below = found.low_because if found.low <= low else ()
    above = found.high_because if found.high >= high and math.isfinite(high) else ()
    return tuple(dict.fromkeys((*below, *above)))


def _estimate(
    value: float, low: float, high: float, low_because: tuple[Reason, ...], high_because: tuple[Reason, ...]
) -> Estimate:
    return Estimate(
        value, min(low, value), max(high, value), tuple(dict.fromkeys(low_because)), tuple(dict.fromkeys(high_because))
    )


def _ratio_range(of: Figure, to: Figure, value: float) -> tuple[float, float]:
    (of_low, of_high), (to_low, to_high) = of.range, to.range
    low, high = of_low / to_high, (of_high / to_low if to_low > 0 else math.inf)
    interval = ratio_interval(of.rounds, to.rounds) if of.rounds and to.rounds else None
    if interval is None:
        return low, high
    # Rounds of both sides resampled together give a narrower interval than the ends of both; an open side has none.
    exact_low, exact_high = _moved(interval, value, statistics.median(of.rounds) / statistics.median(to.rounds))
    is_low_open, is_high_open = of.may_be_lower or to.may_be_higher, of.may_be_higher or to.may_be_lower
    return (low if is_low_open else exact_low), (high if is_high_open else exact_high)


def _moved(interval: Interval, value: float, middle: float) -> tuple[float, float]:
    """An interval around a value that is not the rounds' own median (a latency of all rounds together)."""
    scale = value / middle if middle else 1.0
    return interval.low * scale, interval.high * scale
