"""Searching the highest rate within an objective: what an objective is, and which rate to try next. Pure.

A search is a function of the windows that were measured so far, so that an interrupted one goes on where it was. One
noisy window must not decide: every window counts in a monotone fit, which says where to look, and both sides of the
answer are confirmed by two windows or more, each on a server that was started for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from wrklab.catalogue.scenario import RATE_MAX_PER_S
from wrklab.errors import UsageError
from wrklab.results.records import Measurement

#: A window's figures by the objective's metric: latencies in µs, `errors` and `status` as shares of the requests.
Figures: TypeAlias = dict[str, float]

_LATENCIES = {"p50": "p50_us", "p90": "p90_us", "p99": "p99_us", "p99.9": "p999_us", "max": "max_us"}
_RATIOS = ("errors", "status")
_UNITS_US = {"us": 1.0, "µs": 1.0, "ms": 1000.0, "s": 1e6}
_OBJECTIVE = re.compile(r"(?P<metric>[a-z][a-z0-9.]*)\s*(?P<sign><=|<)\s*(?P<value>\d+(\.\d+)?)\s*(?P<unit>[a-zµ%]*)")

#: Windows that each side of the answer rests on, and beyond which a rate that passes as often as not is left.
_CONFIRMATIONS = 2
_WINDOWS_A_RATE_MAX = 5
#: Windows of one rate that say nothing of the server, after which the rate is given up.
_VOIDS_MAX = 3
#: A rate that passed and is this near to one that was given up is as good a lower bound as can be had.
_NEAR_GIVEN_UP_RATIO = 1.5
#: Where so many rates are given up and none has passed, the hosts are at fault.
_RATES_GIVEN_UP_MAX = 3
#: Further apart than this, the next window halves what is left instead of trusting the fit.
_FIT_WITHIN_RATIO = 2.0
_STEP_UP_RATIO = 2.0
_STEP_DOWN_RATIO = 0.5
#: The step above the likely maximum, once that has passed.
_BEYOND_RATIO = 1.15
#: Below the most that an overloaded server turned over, a rate passes more often than not.
_BELOW_MOST_RATIO = 0.9
#: A window that fails with a larger part of its rate answered did not fail for want of speed.
_ACHIEVED_RATIO = 0.95
#: A rate less than this above one that passed would say nothing new.
_ABOVE_LOW_RATIO = 1.05
#: The step down is squared at most this many times.
_STEPS_DOWN_MAX = 2
#: Below this nothing can be said in windows of some seconds.
_RATE_MIN_PER_S = 2.0
#: Windows of one search; far more than a quiet lab needs.
_WINDOWS_MAX = 30
#: The worst figure over its limit, of the lowest rate that failed / the highest that passed: a cliff from here on.
_CLIFF_RATIO = 3.0
#: A figure of 0, such as no error at all, as a share of its limit in the fit.
_NONE_RATIO = 0.001
#: A rate that the server does not keep up with fails by this, however good its latencies are.
NOT_KEPT_UP = "achieved rate"


@dataclass(frozen=True)
class Objective:
    """What a window must meet: `p99<=250ms`, `errors<0.1%`."""

    text: str
    metric: str
    #: µs of a latency, a share of the requests of anything else.
    limit: float
    is_strict: bool

    def __post_init__(self) -> None:
        """Raises ValueError for a metric that is not known, or a limit below 0."""
        if self.metric not in (*_LATENCIES, *_RATIOS) or self.limit < 0:
            raise ValueError(f"no objective: {self}")

    def is_met(self, value: float) -> bool:
        """Whether a window's figure is within the limit."""
        return value < self.limit if self.is_strict else value <= self.limit

    def badness(self, value: float) -> float:
        """The figure as a share of its limit; above 1 where it is not met."""
        if self.limit <= 0:
            return 1.0 if self.is_met(value) else _CLIFF_RATIO**2
        return max(_NONE_RATIO, value / self.limit)


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """The objectives in `p99<=250ms,errors<0.1%`. Raises UsageError naming what is known."""
    found = tuple(_parse_objective(word.strip()) for word in text.split(",") if word.strip())
    if not found:
        raise UsageError(f"--slo {text!r}: no objective in it; {_KNOWN}")
    if len({objective.metric for objective in found}) < len(found):
        raise UsageError(f"--slo {text!r}: each metric may have one limit")
    return found


_KNOWN = (
    f"expected METRIC<=LIMIT, several with commas between: {', '.join(_LATENCIES)} with a time (250ms, 1.5s), "
    f"{' and '.join(_RATIOS)} with a share (0.1%)"
)


def _parse_objective(word: str) -> Objective:
    match = _OBJECTIVE.fullmatch(word)
    if not match:
        raise UsageError(f"--slo {word!r} is no objective; {_KNOWN}")
    metric, unit, value = match["metric"], match["unit"], float(match["value"])
    if metric in _LATENCIES and unit in _UNITS_US and value > 0:
        limit = value * _UNITS_US[unit]
    elif metric in _RATIOS and unit == "%" and value <= 100:  # noqa: PLR2004  percents
        limit = value / 100
    else:
        raise UsageError(f"--slo {word!r}: unknown metric or unit; {_KNOWN}")
    return Objective(word, metric, limit, match["sign"] == "<")


def figures_of(measured: Measurement) -> Figures:
    """What objectives look at. An unanswered request is an error and a slowest answer that nobody has seen."""
    requests = max(1, measured.open_loop.sent if measured.open_loop else measured.requests)
    unanswered = measured.open_loop.unanswered if measured.open_loop else 0
    found = {
        metric: float(getattr(measured.latency, name)) if measured.latency else math.inf
        for metric, name in _LATENCIES.items()
    }
    found["errors"] = (measured.errors.total + unanswered) / requests
    found["status"] = measured.errors.status / requests
    return found


def no_figures() -> Figures:
    """Of a window without a measurement: the server failed under the load."""
    return {**dict.fromkeys(_LATENCIES, math.inf), **dict.fromkeys(_RATIOS, 1.0)}


class Keeping(StrEnum):
    """Whether a window was the load that was requested."""

    #: The server kept up with the rate.
    KEPT = "kept"
    #: It did not: the window fails, whatever its latencies say.
    BEHIND = "behind"
    #: The generator had no time to spare: the window says nothing of the server.
    VOID = "void"


@dataclass(frozen=True)
class Window:
    """One window of a search."""

    rate_per_s: float
    figures: Figures
    keeping: Keeping
    #: Why it is behind or void; empty where it is not.
    why: str = ""
    #: Others took CPU time of a host: what passes all the same has passed, what fails may be their doing.
    is_disturbed: bool = False
    #: Right answers a second; None: none was counted.
    achieved_per_s: float | None = None

    def is_void(self, objectives: Sequence[Objective]) -> bool:
        """Whether it says nothing of the server."""
        return self.keeping is Keeping.VOID or (self.is_disturbed and not self.passes(objectives))

    def passes(self, objectives: Sequence[Objective]) -> bool:
        """Whether all objectives are met and the server kept up."""
        is_met = all(objective.is_met(self.figures[objective.metric]) for objective in objectives)
        return self.keeping is Keeping.KEPT and is_met

    def badness(self, objectives: Sequence[Objective]) -> float:
        """The worst figure as a share of its limit; a window that fails has more than 1."""
        worst = max(objective.badness(self.figures[objective.metric]) for objective in objectives)
        return min(max(worst, 1.01) if not self.passes(objectives) else min(worst, 1.0), 1e3)

    def failed_by(self, objectives: Sequence[Objective]) -> str:
        """The objective that is missed by most; empty where the window passes."""
        missed = [one for one in objectives if not one.is_met(self.figures[one.metric])]
        if missed:
            return max(missed, key=lambda one: one.badness(self.figures[one.metric])).text
        return "" if self.keeping is Keeping.KEPT else self.why or NOT_KEPT_UP


class Ending(StrEnum):
    """How a search ended."""

    FOUND = "found"
    #: No rate passed, down to a few requests/s.
    NONE_PASSES = "none passes"
    #: Every rate passed, up to what a generator may send.
    EVERY_RATE_PASSES = "every rate passes"
    #: The generator is too small for the next rate, or others take its CPUs: only a lower bound is known.
    VOID_WINDOWS = "void windows"
    #: Windows do not agree, and no more are spent.
    UNSETTLED = "unsettled"


@dataclass(frozen=True)
class Capacity:
    """What a search came to. Rates are requests/s; None: no such rate was found."""

    ending: Ending
    passed_per_s: float | None
    failed_per_s: float | None
    #: Where the monotone fit crosses the objective, between the two.
    estimate_per_s: float | None
    failed_first: str
    #: The worst figure leaps between the two, instead of growing.
    is_cliff: bool
    windows_count: int


@dataclass(frozen=True)
class Search:
    """A search for one variant. `start_per_s` is where it begins: about what the server is thought to do."""

    objectives: tuple[Objective, ...]
    start_per_s: float
    precision_ratio: float = 0.05
    #: What it can hardly do more than, where that is known: no step up goes beyond it before it has passed.
    likely_max_per_s: float | None = None

    def next_rate(self, windows: Sequence[Window]) -> float | None:
        """The rate of the next window; None where the search has ended."""
        rate, _ = self._next(windows)
        return rate

    def capacity(self, windows: Sequence[Window]) -> Capacity:
        """What the windows so far come to."""
        _, ending = self._next(windows)
        count, windows = len(windows), self._judged(windows)
        low, high = self._bracket(windows)
        failing = [window for window in windows if window.rate_per_s == high and not window.passes(self.objectives)]
        worst = max(failing, key=lambda window: window.badness(self.objectives), default=None)
        return Capacity(
            ending=ending,
            passed_per_s=low,
            failed_per_s=high,
            estimate_per_s=self._crossing(windows, low, high) if low and high else low,
            failed_first=worst.failed_by(self.objectives) if worst else "",
            is_cliff=bool(low and high) and self._is_cliff(windows, low or 0.0, high or 0.0),
            windows_count=count,
        )

    def bracket(self, windows: Sequence[Window]) -> tuple[float | None, float | None]:
        """The highest rate that passed and the lowest that failed, by most of the windows at each; None: no such rate.

        The first is below the second: what passes above a rate that failed does not count.
        """
        return self._bracket(self._judged(windows))

    def _judged(self, windows: Sequence[Window]) -> tuple[Window, ...]:
        return tuple(window for window in windows if not window.is_void(self.objectives))

    def _next(self, windows: Sequence[Window]) -> tuple[float | None, Ending]:
        if len(windows) >= _WINDOWS_MAX:
            return None, Ending.UNSETTLED
        given_up = [rate for rate in self._rates(windows) if self._is_given_up(windows, rate)]
        if windows and windows[-1].is_void(self.objectives) and windows[-1].rate_per_s not in given_up:
            # Once or twice may be a neighbour's doing.
            return windows[-1].rate_per_s, Ending.FOUND
        judged = self._judged(windows)
        low, high = self._bracket(judged)
        between = [rate for rate in given_up if (low or 0.0) < rate < (high or math.inf)]
        if between:
            return self._below_given_up(judged, low, between)
        if high is None:
            return self._above(low)
        if low is None:
            return self._below(high, judged)
        rate = self._within(judged, low, high)
        return (None, Ending.VOID_WINDOWS) if rate in given_up else (rate, Ending.FOUND)

    def _within(self, windows: Sequence[Window], low: float, high: float) -> float | None:
        """The next rate once there is a bracket: a tie first, then a narrower bracket, then confirmation."""
        tied = [rate for rate in self._rates(windows) if self._is_tied(windows, rate)]
        if tied:
            return tied[0]
        if high / low - 1 > self.precision_ratio:
            return self._between(windows, low, high)
        return next((rate for rate in (low, high) if self._count(windows, rate) < _CONFIRMATIONS), None)

    def _above(self, low: float | None) -> tuple[float | None, Ending]:
        if low is None:
            return self._rounded(min(max(self.start_per_s, _RATE_MIN_PER_S), RATE_MAX_PER_S)), Ending.FOUND
        if low >= RATE_MAX_PER_S:
            return None, Ending.EVERY_RATE_PASSES
        step, likely = low * _STEP_UP_RATIO, self._rounded(self.likely_max_per_s or 0.0)
        if likely > low:
            step = min(step, likely)
        elif likely == low:
            # It serves what it was thought to: the end is most likely near.
            step = low * _BEYOND_RATIO
        return self._rounded(min(step, RATE_MAX_PER_S)), Ending.FOUND

    def _is_given_up(self, windows: Sequence[Window], rate: float) -> bool:
        """Whether so many windows of a rate said nothing that one more would not either."""
        return sum(w.rate_per_s == rate and w.is_void(self.objectives) for w in windows) >= _VOIDS_MAX

    def _below_given_up(
        self, judged: Sequence[Window], low: float | None, given_up: Sequence[float]
    ) -> tuple[float | None, Ending]:
        """Below rates of which nothing can be said: what passes there is a lower bound, and ends the search nearby."""
        lowest = given_up[0]
        if low is None:
            lower = max(self._rounded(lowest * _STEP_DOWN_RATIO**2), _RATE_MIN_PER_S)
            is_hopeless = len(given_up) >= _RATES_GIVEN_UP_MAX or lower >= lowest
            return (None, Ending.VOID_WINDOWS) if is_hopeless else (lower, Ending.FOUND)
        if lowest / low > _NEAR_GIVEN_UP_RATIO:
            return self._rounded(math.sqrt(low * lowest)), Ending.FOUND
        is_confirmed = self._count(judged, low) >= _CONFIRMATIONS
        return (None, Ending.VOID_WINDOWS) if is_confirmed else (low, Ending.FOUND)

    def _below(self, high: float, judged: Sequence[Window]) -> tuple[float | None, Ending]:
        """Down in steps that grow, 1/2, 1/4, 1/16: a start that is far too high costs few windows.

        What lies between the last one and the one before is halved in proportion afterwards. Where a window has passed
        before, the next one is not far.
        """
        if high <= _RATE_MIN_PER_S:
            return None, Ending.NONE_PASSES
        below_most = self._rounded((self._most_achieved(judged) or 0.0) * _BELOW_MOST_RATIO)
        if _RATE_MIN_PER_S <= below_most < high:
            return below_most, Ending.FOUND
        has_passed = any(window.passes(self.objectives) for window in judged)
        steps_count = 0 if has_passed else min(len(self._rates(judged)) - 1, _STEPS_DOWN_MAX)
        lower = high * _STEP_DOWN_RATIO**2.0**steps_count
        return self._rounded(max(lower, _RATE_MIN_PER_S)), Ending.FOUND

    def _between(self, windows: Sequence[Window], low: float, high: float) -> float:
        """Where the fit crosses the objective, but a good step inside of the bracket, so that it shrinks each time.

        A step of just the precision away from the crossing closes the bracket from one side at a time.
        """
        width = high / low
        if width > _FIT_WITHIN_RATIO:
            return self._inside(self._far_between(windows, low, high), low, high)
        aim = self._crossing(windows, low, high)
        margin = min(width**0.25, 1 + self.precision_ratio / 2)
        return self._inside(min(max(aim, low * margin), high / margin), low, high)

    def _far_between(self, windows: Sequence[Window], low: float, high: float) -> float:
        """The most that an overloaded server turned over, and a step above that; where nothing says, the middle."""
        most = self._most_achieved(windows) or 0.0
        if low * _ABOVE_LOW_RATIO < most < high:
            return most
        if low <= most * _ABOVE_LOW_RATIO and low * _BEYOND_RATIO < high:
            return low * _BEYOND_RATIO
        return math.sqrt(low * high)

    @staticmethod
    def _most_achieved(windows: Sequence[Window]) -> float | None:
        """The most right answers a second at rates that the server did not keep up with: about all that it can do."""
        behind = [
            window.achieved_per_s
            for window in windows
            if window.keeping is Keeping.BEHIND
            and window.achieved_per_s
            and window.achieved_per_s < _ACHIEVED_RATIO * window.rate_per_s
        ]
        return max(behind, default=None)

    def _inside(self, rate: float, low: float, high: float) -> float:
        rounded = self._rounded(rate)
        return rounded if low < rounded < high else rate

    @staticmethod
    def _rounded(rate: float) -> float:
        return float(f"{rate:.3g}")

    @staticmethod
    def _rates(windows: Sequence[Window]) -> list[float]:
        return sorted({window.rate_per_s for window in windows})

    @staticmethod
    def _count(windows: Sequence[Window], rate: float) -> int:
        return sum(window.rate_per_s == rate for window in windows)

    def _passes_count(self, windows: Sequence[Window], rate: float) -> int:
        return sum(window.rate_per_s == rate and window.passes(self.objectives) for window in windows)

    def _is_tied(self, windows: Sequence[Window], rate: float) -> bool:
        count = self._count(windows, rate)
        return count < _WINDOWS_A_RATE_MAX and 2 * self._passes_count(windows, rate) == count

    def _bracket(self, windows: Sequence[Window]) -> tuple[float | None, float | None]:
        """The lowest rate at which most windows failed, and below it the highest at which most passed."""
        failed = [rate for rate in self._rates(windows) if self._fails(windows, rate)]
        high = min(failed, default=None)
        passed = [rate for rate in self._rates(windows) if rate not in failed and (high is None or rate < high)]
        return max(passed, default=None), high

    def _fails(self, windows: Sequence[Window], rate: float) -> bool:
        # A rate that passes as often as not is not one that the server can be trusted with.
        return 2 * self._passes_count(windows, rate) <= self._count(windows, rate)

    def _crossing(self, windows: Sequence[Window], low: float, high: float) -> float:
        """Where the monotone fit of all windows reaches the objective, within the bracket."""
        import numpy as np
        from scipy.optimize import isotonic_regression

        rates = self._rates(windows)
        logs = [[math.log(w.badness(self.objectives)) for w in windows if w.rate_per_s == rate] for rate in rates]
        means, weights = [sum(found) / len(found) for found in logs], [float(len(found)) for found in logs]
        fitted = [float(value) for value in isotonic_regression(np.array(means), weights=np.array(weights)).x]
        for (rate, value), (next_rate, next_value) in zip(
            zip(rates, fitted, strict=True), zip(rates[1:], fitted[1:], strict=True), strict=False
        ):
            if value <= 0 < next_value:
                share = -value / (next_value - value)
                crossing = math.exp(math.log(rate) + share * (math.log(next_rate) - math.log(rate)))
                return min(max(crossing, low), high)
        return math.sqrt(low * high)

    def _is_cliff(self, windows: Sequence[Window], low: float, high: float) -> bool:
        def typical(rate: float) -> float:
            found = sorted(window.badness(self.objectives) for window in windows if window.rate_per_s == rate)
            return found[len(found) // 2]

        return typical(high) > _CLIFF_RATIO * typical(low)
