"""How sure a measured figure or ratio is, as a range, and whether a range keeps a limit. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Literal

from wrklab.summary.statistics import Interval, median_interval, ratio_interval

#: Of one round nobody knows how far others would differ: the note `one_round` takes 10 % for nothing, and so does this.
_ONE_ROUND_RATIO = 0.10


@dataclass(frozen=True)
class Figure:
    """One figure of one variant. `rounds` are those that it was taken from; empty: it has no spread of its own."""

    value: float
    rounds: tuple[float, ...] = ()
    #: Why the true figure may be any higher one, or empty.
    at_least_because: str = ""
    #: Why it cannot carry a claim, though it was measured.
    doubtful_because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """A figure or ratio: the value, the range in which it lies, and what keeps the range open."""

    value: float
    low: float
    high: float
    open_because: tuple[str, ...] = ()

    @property
    def has_range(self) -> bool:
        """Whether its range is closed and not a point."""
        return self.high < math.inf and not math.isclose(self.low, self.high) and not self.bound

    @property
    def bound(self) -> Literal["", "at least", "at most"]:
        """What the value is where one side of its range is open; empty where both are, or neither."""
        is_open_above = math.isinf(self.high) and not math.isinf(self.value)
        is_open_below = self.low == 0.0 < self.value
        if is_open_above == is_open_below:
            return ""
        return "at least" if is_open_above else "at most"


def estimate(of: Figure, to: Figure | None = None, noise_floor_ratio: float = 0.0) -> Estimate:
    """A figure, or its ratio to another, with its bootstrap interval over rounds (statistics.median_interval).

    One round counts as 10 % wide either way, a figure without rounds as exact. A ratio's range is at least as wide as
    the run's noise floor (0.02: 2 %). What may be any higher figure opens its side of the range.
    Raises ZeroDivisionError over 0.
    """
    if to is None:
        value = of.value
        low, high = _of_one(of)
    else:
        value = of.value / to.value
        low, high = _of_ratio(of, to, value)
        if of.rounds or to.rounds:
            low, high = low / (1 + noise_floor_ratio), high * (1 + noise_floor_ratio)
    reasons = [of.at_least_because]
    if of.at_least_because:
        high = math.inf
    if to is not None and to.at_least_because:
        low = 0.0
        reasons.append(to.at_least_because)
    return Estimate(value, min(low, value), max(high, value), tuple(dict.fromkeys(filter(None, reasons))))


def keeps(found: Estimate, low: float, high: float, *, inclusive: bool) -> bool | None:
    """Whether a range lies within a limit; None where it lies on both sides of it."""
    slack = 1e-9
    reaches_low = math.isinf(low) or found.low > low + slack or (inclusive and found.low >= low - slack)
    stays_high = math.isinf(high) or found.high < high - slack or (inclusive and found.high <= high + slack)
    if reaches_low and stays_high:
        return True
    is_below = found.high < low - slack or (not inclusive and found.high <= low + slack)
    is_above = found.low > high + slack or (not inclusive and found.low >= high - slack)
    return False if is_below or is_above else None


def _of_one(figure: Figure) -> tuple[float, float]:
    if not figure.rounds:
        return figure.value, figure.value
    interval = median_interval(figure.rounds)
    if interval is None:
        return figure.value / (1 + _ONE_ROUND_RATIO), figure.value * (1 + _ONE_ROUND_RATIO)
    return _moved(interval, figure.value, statistics.median(figure.rounds))


def _of_ratio(of: Figure, to: Figure, value: float) -> tuple[float, float]:
    interval = ratio_interval(of.rounds, to.rounds) if of.rounds and to.rounds else None
    if interval is not None:
        return _moved(interval, value, statistics.median(of.rounds) / statistics.median(to.rounds))
    # One side has no rounds, or just one: the ends of both ranges.
    (of_low, of_high), (to_low, to_high) = _of_one(of), _of_one(to)
    return of_low / to_high, (of_high / to_low if to_low > 0 else math.inf)


def _moved(interval: Interval, value: float, middle: float) -> tuple[float, float]:
    """A value that is not the rounds' median itself (a latency of all rounds together) moves its interval along."""
    scale = value / middle if middle else 1.0
    return interval.low * scale, interval.high * scale
