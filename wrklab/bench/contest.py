"""How the candidates of a search for a configuration stand, and which window tells most about that. Pure.

The search as a whole, and why it is like this: wrklab/bench/tuning.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from wrklab.bench.capacity import Keeping, Objective, Search, Window
from wrklab.catalogue.scenario import RATE_MAX_PER_S

#: Capacities this near the leader's tie with it: a search's precision (5 %) and a window's noise (3 %) on both sides.
TIE_RATIO = 0.10
#: Memory this near the least is as little.
MEMORY_TIE_RATIO = 0.05
#: A rate near enough to an edge to stand for it, so that an edge that moves a little is not asked for again.
_EDGE_SLACK_RATIO = 0.03
#: A server under too much load may serve less than it can: it is out by its look alone beyond this.
_MAXIMUM_SLACK_RATIO = 1.25
#: One window is enough of what fails so far below the leader.
_FAR_RATIO = 0.8
#: More errors than this under a closed loop: it falls over.
_FALLS_OVER_RATIO = 0.5
#: A search begins below what the look served.
_START_RATIO = 0.7
_ROUGH_RATIO, _NEAR_RATIO = 0.10, 0.05
#: Windows at one rate that decide, and beyond which one that passes as often as not is left.
DECIDE_MIN, _DECIDE_MAX = 2, 5
_VOIDS_MAX = 3
#: Windows of one candidate; far more than a quiet lab needs.
_WINDOWS_MAX = 30
#: From this part of the budget on nothing new is challenged, so that what leads can be confirmed.
_CONFIRM_FROM_RATIO = 0.75


@dataclass(frozen=True)
class Aim:
    """What is searched: the most within the objectives, or with a rate the cheapest that serves it."""

    objectives: tuple[Objective, ...]
    budget_s: float
    rate_per_s: float | None = None
    memory_limit_bytes: int | None = None


@dataclass(frozen=True)
class Step:
    """The next window: a candidate, and the rate that it is asked for; None: the closed loop of its look."""

    candidate: str
    rate_per_s: float | None


@dataclass(frozen=True)
class Look:
    """A step that was measured. The rate of a closed loop's window is what it served."""

    step: Step
    window: Window
    memory_bytes: int | None
    took_s: float


class Fate(StrEnum):
    """What became of a candidate."""

    #: Within the noise of the highest capacity; or with a rate: it serves it, and nothing that does takes less memory.
    TIED = "tied"
    #: Less than that.
    SLOWER = "slower"
    #: It serves the rate, or may, with more memory than another one.
    DEARER = "dearer"
    FAILED = "failed"
    TOO_MUCH_MEMORY = "too much memory"
    #: Not ruled out: the budget ended before, or the generator or neighbours kept it from being known.
    OPEN = "open"


@dataclass(frozen=True)
class Standing:
    """One candidate. Rates are requests/s; None: not known."""

    candidate: str
    fate: Fate
    reason: str
    #: What the look served.
    closed_per_s: float | None
    passed_per_s: float | None
    failed_per_s: float | None
    #: The most of all its windows.
    memory_bytes: int | None
    windows_count: int


class Contest:
    """All windows so far, by candidate."""

    def __init__(self, candidates: Sequence[str], current: str | None, aim: Aim, looks: Sequence[Look]) -> None:
        """`current` is the candidate that runs today, if it is among them."""
        self._candidates = tuple(candidates)
        self._current = current
        self._aim = aim
        self._objectives = aim.objectives
        self._looks = tuple(looks)

    # ---- What is known of one candidate ----

    def _closed(self, name: str) -> Window | None:
        found = (look for look in self._looks if look.step == Step(name, None))
        return next((look.window for look in found), None)

    @cached_property
    def _open(self) -> dict[str, tuple[Window, ...]]:
        return {
            name: tuple(
                look.window for look in self._looks if look.step.candidate == name and look.step.rate_per_s is not None
            )
            for name in self._candidates
        }

    def _memory(self, name: str) -> int | None:
        known = [look.memory_bytes for look in self._looks if look.step.candidate == name and look.memory_bytes]
        return max(known, default=None)

    @cached_property
    def _brackets(self) -> dict[str, tuple[float | None, float | None]]:
        return {name: self._search(name, _NEAR_RATIO).bracket(self._open[name]) for name in self._candidates}

    def _maximum(self, name: str) -> float | None:
        """About the most that it can do; None where its look does not bound that."""
        closed = self._closed(name)
        return None if closed is None or closed.keeping is Keeping.VOID else closed.rate_per_s

    def _order(self, name: str) -> float:
        closed = self._closed(name)
        return -closed.rate_per_s if closed else 0.0

    def _search(self, name: str, precision_ratio: float) -> Search:
        closed, maximum = self._closed(name), self._maximum(name)
        return Search(
            self._objectives,
            start_per_s=_START_RATIO * closed.rate_per_s if closed else 0.0,
            precision_ratio=precision_ratio,
            likely_max_per_s=maximum,
        )

    def _problem(self, name: str) -> tuple[Fate, str] | None:
        """Why it is out whatever others do."""
        closed = self._closed(name)
        if closed is None:
            return Fate.OPEN, "not looked at"
        if closed.keeping is Keeping.BEHIND:
            return Fate.FAILED, closed.why or "it failed under a closed loop"
        if closed.figures["errors"] > _FALLS_OVER_RATIO:
            return Fate.FAILED, f"{closed.figures['errors']:.0%} errors under a closed loop"
        memory, limit = self._memory(name), self._aim.memory_limit_bytes
        if memory and limit and memory > limit:
            return Fate.TOO_MUCH_MEMORY, "above --memory"
        return None

    @cached_property
    def _alive(self) -> tuple[str, ...]:
        """Those not out, the most promising first."""
        names = [name for name in self._candidates if self._problem(name) is None]
        return tuple(sorted(names, key=lambda name: (self._order(name), self._candidates.index(name))))

    def _is_stuck(self, name: str, rate_per_s: float) -> bool:
        """Whether a further window at this rate would say nothing, or not be worth it."""
        at_rate = [window for window in self._open[name] if window.rate_per_s == rate_per_s]
        voids_count = sum(window.is_void(self._objectives) for window in at_rate)
        return voids_count >= _VOIDS_MAX or len(self._open[name]) >= _WINDOWS_MAX

    def _ask(self, name: str, rate_per_s: float) -> Step | None:
        return None if self._is_stuck(name, rate_per_s) else Step(name, rate_per_s)

    def _counts(self, name: str, rate_per_s: float) -> tuple[int, int]:
        """Windows at a rate that say something, and those of them that pass."""
        found = [window for window in self._open[name] if window.rate_per_s == rate_per_s]
        judged = [window for window in found if not window.is_void(self._objectives)]
        return len(judged), sum(window.passes(self._objectives) for window in judged)

    # ---- The most within the objectives ----

    @cached_property
    def _leader(self) -> str | None:
        passed = {name: rate for name in self._alive if (rate := self._brackets[name][0])}
        return max(passed, key=lambda name: passed[name]) if passed else None

    def next_for_capacity(self) -> Step | None:
        """The next window of a search for the highest capacity."""
        if self._leader is None:
            return self._first_that_passes()
        if step := self._refine(self._leader, _ROUGH_RATIO):
            return step
        if not self._is_late:
            for name in self._alive:
                if name != self._leader and (step := self._challenge(name)):
                    return step
        return self._confirm()

    @property
    def _is_late(self) -> bool:
        return sum(look.took_s for look in self._looks) > _CONFIRM_FROM_RATIO * self._aim.budget_s

    def _first_that_passes(self) -> Step | None:
        return next((step for name in self._alive if (step := self._refine(name, _ROUGH_RATIO))), None)

    def _refine(self, name: str, precision_ratio: float) -> Step | None:
        rate = self._search(name, precision_ratio).next_rate(self._open[name])
        return None if rate is None else Step(name, rate)

    def _edges(self) -> tuple[float, float]:
        """A rate just below the leader's, and one just above it."""
        leads = self._brackets[self._leader][0] if self._leader else None
        leads = leads or 0.0
        above = min(leads * (1 + TIE_RATIO), RATE_MAX_PER_S)
        return float(f"{leads * (1 - TIE_RATIO):.3g}"), float(f"{above:.3g}")

    def _is_slower(self, name: str) -> str:
        """Why it is not among the best; empty where that is not known."""
        (below, _), (_, failed) = self._edges(), self._brackets[name]
        maximum = self._maximum(name)
        if maximum is not None and maximum * _MAXIMUM_SLACK_RATIO < below:
            return "by its closed loop"
        if failed is None or failed > below * (1 + _EDGE_SLACK_RATIO):
            return ""
        count, passes = self._counts(name, failed)
        is_far = failed < below * _FAR_RATIO
        return "by its capacity" if is_far or (count >= DECIDE_MIN and 2 * passes < count) else ""

    def _challenge(self, name: str) -> Step | None:
        """The next window that tells how it stands to the leader; None where that is known."""
        if self._is_slower(name):
            return None
        (below, above), (passed, failed) = self._edges(), self._brackets[name]
        if failed is not None and failed <= below * (1 + _EDGE_SLACK_RATIO):
            # A rate that passes as often as not after so many windows is no failure beyond doubt.
            return self._ask(name, failed) if self._counts(name, failed)[0] < _DECIDE_MAX else None
        if passed is None or passed < below * (1 - _EDGE_SLACK_RATIO):
            return self._ask(name, below)
        return self._ask(name, above) if failed is None and passed < above else None

    def _is_tied(self, name: str) -> bool:
        passed, _ = self._brackets[name]
        below, _ = self._edges()
        return not self._is_slower(name) and passed is not None and passed >= below * (1 - _EDGE_SLACK_RATIO)

    def _confirm(self) -> Step | None:
        ties = [name for name in self._alive if self._is_tied(name)]
        ties.sort(key=lambda name: (self._memory(name) or 0, self._candidates.index(name)))
        for name in [self._leader or ties[0], *ties[:1]]:
            if step := self._refine(name, _NEAR_RATIO):
                return step
        current = self._current
        return self._refine(current, _ROUGH_RATIO) if current in self._alive and current else None

    # ---- The cheapest that serves a rate ----

    @cached_property
    def _by_memory(self) -> tuple[str, ...]:
        return tuple(sorted(self._alive, key=lambda name: (self._memory(name) or 0, self._candidates.index(name))))

    def _serves(self, name: str, rate_per_s: float) -> bool | None:
        """Whether it serves a rate; None where that is not known yet."""
        maximum = self._maximum(name)
        if maximum is not None and maximum * _MAXIMUM_SLACK_RATIO < rate_per_s:
            return False
        count, passes = self._counts(name, rate_per_s)
        if count >= DECIDE_MIN and 2 * passes != count:
            return 2 * passes > count
        return False if count >= _DECIDE_MAX - 1 else None

    def _enough_bytes(self, rate_per_s: float) -> float | None:
        """Memory beyond which nothing needs to be asked: some that serves takes less. None: nothing serves yet."""
        serving = [self._memory(name) or 0 for name in self._by_memory if self._serves(name, rate_per_s)]
        return min(serving) * (1 + MEMORY_TIE_RATIO) if serving else None

    def next_for_rate(self, rate_per_s: float) -> Step | None:
        """The next window of a search for the cheapest that serves a rate."""
        enough = self._enough_bytes(rate_per_s)
        asked = [name for name in self._by_memory if enough is None or (self._memory(name) or 0) <= enough]
        current = self._current
        for name in [*asked, *([current] if current in self._alive and current else [])]:
            if self._serves(name, rate_per_s) is None and (step := self._ask(name, rate_per_s)):
                return step
        return None

    # ---- How each stands ----

    def standing(self, name: str) -> Standing:
        """One candidate as it stands now."""
        fate, reason = self._problem(name) or (
            self._fate_for_rate(name, self._aim.rate_per_s) if self._aim.rate_per_s else self._fate(name)
        )
        closed, (passed, failed) = self._closed(name), self._brackets[name]
        return Standing(
            candidate=name,
            fate=fate,
            reason=reason,
            closed_per_s=closed.rate_per_s if closed and fate is not Fate.FAILED else None,
            passed_per_s=passed,
            failed_per_s=failed,
            memory_bytes=self._memory(name),
            windows_count=sum(look.step.candidate == name for look in self._looks),
        )

    def _fate(self, name: str) -> tuple[Fate, str]:
        if self._leader is None:
            _, failed = self._brackets[name]
            return (Fate.SLOWER, "no rate within the objective") if failed else (Fate.OPEN, "not searched")
        if reason := self._is_slower(name):
            return Fate.SLOWER, reason
        if self._is_tied(name):
            return Fate.TIED, ""
        return Fate.OPEN, "not ruled out"

    def _fate_for_rate(self, name: str, rate_per_s: float) -> tuple[Fate, str]:
        serves, enough = self._serves(name, rate_per_s), self._enough_bytes(rate_per_s)
        if serves is False:
            return Fate.SLOWER, "it does not serve the rate within the objective"
        if enough is not None and (self._memory(name) or 0) > enough:
            return Fate.DEARER, "it serves the rate" if serves else "not asked: another one serves with less memory"
        return (Fate.TIED, "") if serves else (Fate.OPEN, "not ruled out")
