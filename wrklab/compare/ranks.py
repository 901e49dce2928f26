"""Ranks within a scenario, with ties where the rounds cannot tell two variants apart."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wrklab.summary.rows import SummaryRow
from wrklab.summary.statistics import SIGNIFICANCE_P, can_test, difference_p, false_discovery, is_beyond, median_ratio
from wrklab.verdicts.conditions import hold_bound, started_apart
from wrklab.verdicts.verdict import Verdict
from wrklab.verdicts.verdicts import verdict_of

#: Rows that have a rank: nothing is known to be wrong with their rates but rounds that differ, which the test weighs.
_RANKED = {
    Verdict.SERVER_BOUND,
    Verdict.LIMIT_BOUND,
    Verdict.HOLD_BOUND,
    Verdict.UNSTABLE,
    Verdict.UNEXPLAINED,
}
#: Something kept the server from giving more: it is at least as fast as measured, and beats whom it beat even so.
_LOWER_BOUNDS = {Verdict.GENERATOR_BOUND, Verdict.DISTURBED}


@dataclass(frozen=True)
class Contender:
    """A variant as it is ranked."""

    variant: str
    rates_per_s: tuple[float, ...]
    #: The load sets its rate, so that it may be faster than another of which the same is true.
    is_hold_bound: bool = False
    #: It is at least this fast: others may be worse than it, but it has no rank of its own.
    is_lower_bound: bool = False


@dataclass(frozen=True)
class Rank:
    """1 + the number of variants that are really better; `is_shared`: another one has the same."""

    number: int
    is_shared: bool

    def __str__(self) -> str:
        """`3`, or `=3` where it is shared."""
        return f"={self.number}" if self.is_shared else f"{self.number}"


def rank_rows(rows: Iterable[SummaryRow], floor_ratio: float | None = None) -> dict[tuple[str, str], Rank]:
    """Ranks by (scenario, variant), within each scenario; rows of one round or of a spoilt rate have none."""
    by_scenario: dict[str, list[Contender]] = {}
    for row in rows:
        verdict = verdict_of(row)
        if verdict in _RANKED or _is_lower_bound(row, verdict):
            contender = Contender(row.variant, row.rates_per_s, hold_bound(row), is_lower_bound=verdict not in _RANKED)
            by_scenario.setdefault(row.scenario, []).append(contender)
    return {
        (scenario, variant): found
        for scenario, contenders in by_scenario.items()
        for variant, found in rank(contenders, floor_ratio).items()
    }


def _is_lower_bound(row: SummaryRow, verdict: Verdict | None) -> bool:
    """Not where generators began apart: for a while each had the server alone, and their rates add up to too much."""
    return verdict in _LOWER_BOUNDS and not started_apart(row)


def rank(contenders: Iterable[Contender], floor_ratio: float | None = None) -> dict[str, Rank]:
    """The rank of each variant of which something can be said (two rounds or more, all with answers), by its name.

    Ties are not transitive: A may tie with B and B with C while A is really better than C. So a rank is no place in a
    row but counts: 1 + the variants that are really better than this one. A and B are both first then, and C is second.
    """
    known = [found for found in contenders if can_test(found.rates_per_s, found.rates_per_s)]
    pairs = list(itertools.combinations(known, 2))
    # Not Holm's procedure: over the 231 pairs of 22 variants even 39 % with rounds apart was a tie.
    p_values = false_discovery([_known_p(one, other) for one, other in pairs])
    worse = [_worse(one, other, p, floor_ratio) for (one, other), p in zip(pairs, p_values, strict=True)]
    numbers = {found.variant: 1 + worse.count(found) for found in known if not found.is_lower_bound}
    shared = [number for number in numbers.values() if list(numbers.values()).count(number) > 1]
    return {variant: Rank(number, number in shared) for variant, number in numbers.items()}


def _worse(one: Contender, other: Contender, p_value: float, floor_ratio: float | None) -> Contender | None:
    """The one of the two that is really worse; None for a tie."""
    if p_value >= SIGNIFICANCE_P or (one.is_hold_bound and other.is_hold_bound):
        return None
    ratio = median_ratio(one.rates_per_s, other.rates_per_s) or 1.0
    if not is_beyond(ratio, floor_ratio):
        return None
    # The test is of means, the table shows medians: where an outlier sets them at odds, nothing is said.
    if (ratio < 1) != (_mean_log(one.rates_per_s) < _mean_log(other.rates_per_s)):
        return None
    return one if ratio < 1 else other


def _known_p(one: Contender, other: Contender) -> float:
    found = difference_p(one.rates_per_s, other.rates_per_s)
    return 1.0 if found is None else found


def _mean_log(rates_per_s: Sequence[float]) -> float:
    return statistics.fmean(np.log(rates_per_s))
