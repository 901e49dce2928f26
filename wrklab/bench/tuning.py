"""Searching the configuration that serves an application best: what to measure next, and what was found. Pure.

A search is a function of the windows that were measured so far, so that an interrupted one goes on where it was.

1. **Look**: every candidate has one short closed-loop window. What fails there, or takes too much memory, is out. What
   it serves is about the most that it can do.
2. **Lead**: the candidate with the highest such rate is searched for its capacity (capacity.Search), roughly.
3. **Challenge**: each other one is asked for a rate just below the leader's. One that fails is out after two windows,
   and one that could not do it by its look is out without any. One that passes is asked for a rate just above the
   leader's: it ties, or it leads from now on. So candidates far from the best are known roughly, those near it
   precisely.
4. **Confirm**: the leader, the cheapest in memory of those that tie with it, and what runs today have their capacity
   searched precisely, two windows on each side of the boundary.

With a rate to serve, 2 to 4 are simpler: candidates are asked for it in the order of their memory, until one serves it.

**Why not optuna.** A few dozen candidates of two or three coarse parameters are few enough to look at each once, so
nothing has to be guessed by a model (its TPE draws its first 10 trials at random). One trial here is not a number but a
bracket, which another window at a rate of our choice narrows: its pruners stop a trial by values at the same step, and
have no word for "asked for the leader's rate, it fails", which is what saves most windows. It names the best trial, and
the answer here is all that tie. And its study would be a second store, where the windows of a run already say all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wrklab.bench.capacity import Keeping
from wrklab.bench.contest import DECIDE_MIN, MEMORY_TIE_RATIO, Aim, Contest, Fate, Look, Standing, Step

#: Of a complete search for one capacity.
WINDOWS_A_CAPACITY = 11
#: Where an application fails under so many ways to serve it, and under no other one, the rest is not tried.
_HOPELESS_SERVERS = 3
#: With a rate, of those that are cheap: the others are not asked.
_ASKED_USUALLY = 8


@dataclass(frozen=True)
class Left:
    """What a search still has to measure, about."""

    windows_count: int
    seconds: float


class Ending(StrEnum):
    """How a search ended."""

    FOUND = "found"
    #: The budget was spent first: there may be open candidates, and what leads may be known roughly.
    BUDGET = "budget"
    #: No candidate stays within the objectives.
    NONE_SERVES = "none serves"


@dataclass(frozen=True)
class Tuned:
    """What a search came to."""

    ending: Ending
    standings: tuple[Standing, ...]
    #: All that tie, the least memory first.
    ties: tuple[str, ...]
    #: Of them those with the least memory, within its noise.
    cheapest: tuple[str, ...]
    windows_count: int
    spent_s: float

    @property
    def recommended(self) -> str | None:
        """Of equal ones that with the least memory; None where nothing serves."""
        return self.ties[0] if self.ties else None

    def standing(self, candidate: str) -> Standing:
        """How a candidate stands."""
        return next(one for one in self.standings if one.candidate == candidate)


@dataclass(frozen=True)
class Tuner:
    """A search among candidates. `current` is the one that runs today, if it is among them."""

    candidates: tuple[str, ...]
    aim: Aim
    current: str | None = None

    def next_step(self, looks: Sequence[Look]) -> Step | None:
        """The next window to measure; None where the search has ended."""
        step = self._wanted(looks)
        return None if step is None or self._is_spent(looks) else step

    def found(self, looks: Sequence[Look]) -> Tuned:
        """What the windows so far come to."""
        state = self._contest(looks)
        standings = tuple(state.standing(name) for name in self.candidates)
        by_name = {one.candidate: one for one in standings}
        ties = sorted(
            (one.candidate for one in standings if one.fate is Fate.TIED),
            key=lambda name: (by_name[name].memory_bytes or 0, self.candidates.index(name)),
        )
        is_ended = self._wanted(looks) is None
        ending = Ending.FOUND if is_ended and ties else Ending.NONE_SERVES if is_ended else Ending.BUDGET
        return Tuned(
            ending=ending,
            standings=standings,
            ties=tuple(ties),
            cheapest=_least(ties, {name: by_name[name].memory_bytes for name in ties}),
            windows_count=len(looks),
            spent_s=sum(look.took_s for look in looks),
        )

    def left(self, looks: Sequence[Look], closed_s: float, open_s: float) -> Left:
        """What the rest will take, about, with windows of these lengths; never more than what is left of the budget."""
        if self.next_step(looks) is None:
            return Left(0, 0.0)
        looked_count = len({look.step.candidate for look in looks})
        closed = len(self.candidates) - looked_count
        opened = max(1.0, usual_windows(len(self.candidates), self.aim.rate_per_s) - (len(looks) - looked_count))
        total_s = closed * closed_s + opened * open_s
        share = min(1.0, max(0.0, self.aim.budget_s - sum(look.took_s for look in looks)) / total_s)
        return Left(max(1, round((closed + opened) * share)), total_s * share)

    def _look_order(self) -> list[str]:
        """What runs today first, then one of each server program: an application that cannot run shows soon."""
        ranks: dict[str, int] = {}
        of_server: Counter[str] = Counter()
        for name in self.candidates:
            ranks[name] = of_server[_server(name)]
            of_server[_server(name)] += 1
        return sorted(self.candidates, key=lambda name: (name != self.current, ranks[name]))

    def _contest(self, looks: Sequence[Look]) -> Contest:
        return Contest(self.candidates, self.current, self.aim, looks)

    def _is_spent(self, looks: Sequence[Look]) -> bool:
        if not looks:
            return False
        spent_s = sum(look.took_s for look in looks)
        return spent_s + spent_s / len(looks) > self.aim.budget_s

    def _wanted(self, looks: Sequence[Look]) -> Step | None:
        """The next window, whatever is left of the budget."""
        looked = {look.step.candidate for look in looks}
        if unlooked := [name for name in self._look_order() if name not in looked]:
            return None if _is_hopeless(looks) else Step(unlooked[0], None)
        state = self._contest(looks)
        return state.next_for_rate(self.aim.rate_per_s) if self.aim.rate_per_s else state.next_for_capacity()


def _server(candidate: str) -> str:
    """The part of its name without parameters: how it is served."""
    return candidate.partition("@")[0]


def _is_hopeless(looks: Sequence[Look]) -> bool:
    """Whether all looks failed, under several ways to serve it: then the application is why, not the configuration."""
    servers = {_server(look.step.candidate) for look in looks}
    return len(servers) >= _HOPELESS_SERVERS and all(look.window.keeping is Keeping.BEHIND for look in looks)


def usual_windows(candidates_count: int, rate_per_s: float | None = None) -> float:
    """Open-loop windows of a search among so many: the leader's, the challenges, the confirmations.

    With a rate: two for each that is cheap enough to be asked, and for what runs today.
    """
    if rate_per_s:
        return 2 + DECIDE_MIN * min(candidates_count, _ASKED_USUALLY)
    return min(12 + 1.7 * max(0, candidates_count - 1) + 10, WINDOWS_A_CAPACITY * candidates_count)


def _least(ties: Sequence[str], memory: dict[str, int | None]) -> tuple[str, ...]:
    known = [found for name in ties if (found := memory[name])]
    return tuple(name for name in ties if known and (memory[name] or 0) <= min(known) * (1 + MEMORY_TIE_RATIO))
