"""Ranks within a scenario: ties where rounds leave two variants indistinguishable, and no rank where a doubt does.

A doubt has a direction, so it widens a row's interval to one side only. A row that is at least as fast as measured
beats those that it beat even so; one that is at most as fast loses to those that it lost to. Only where the bound
leaves both answers open nothing is said, but what would settle it.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np

from wrklab.summary.rows import SummaryRow
from wrklab.summary.statistics import SIGNIFICANCE_P, can_test, difference_p, false_discovery, is_beyond, median_ratio
from wrklab.verdicts.bounds import hold_bound
from wrklab.verdicts.rules import deciding, rate_bound, settling
from wrklab.verdicts.verdict import CLOSED, Bound, Verdict

#: A variant under a scenario: (scenario, variant).
Key = tuple[str, str]


@dataclass(frozen=True)
class Contender:
    """A variant as it is ranked."""

    variant: str
    rates_per_s: tuple[float, ...]
    #: The load sets its rate, so that it may be faster than another of which the same is true.
    is_hold_bound: bool = False
    #: On which sides of the measured rate the true one may lie.
    bound: Bound = CLOSED


@dataclass(frozen=True)
class Rank:
    """1 + the number of variants that are really better; `is_shared`: another one has the same."""

    number: int
    is_shared: bool
    #: Doubtful variants that may be better too; the number counts only those that are.
    open_against: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`3`, or `=3` where it is shared."""
        return f"={self.number}" if self.is_shared else f"{self.number}"


@dataclass(frozen=True)
class OpenRank:
    """A row whose rank can't be said: its doubt leaves open whether others are better."""

    #: The variants that it may or may not beat.
    against: tuple[str, ...]
    #: The most severe doubt in one to four words.
    words: str = ""
    #: The commands or flags that would settle it.
    settle: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """What can be said of the order of rows, and of which rows nothing can."""

    ranks: dict[Key, Rank] = field(default_factory=dict)
    open: dict[Key, OpenRank] = field(default_factory=dict)


class _Order(Enum):
    """What is known of two contenders, the first against the second."""

    BETTER = auto()
    WORSE = auto()
    TIE = auto()
    #: The bounds leave open which of them is better.
    OPEN = auto()


def rank_rows(rows: Iterable[SummaryRow], floor_ratio: float | None = None) -> Ranking:
    """Ranks within each scenario. Rows of one round, failed ones and rates that bound nothing are in neither part."""
    by_scenario: dict[str, dict[str, tuple[SummaryRow, Contender]]] = {}
    for row in rows:
        contender = _contender(row)
        if contender is not None:
            by_scenario.setdefault(row.scenario, {})[row.variant] = (row, contender)
    found = Ranking()
    for scenario, entries in by_scenario.items():
        ranks, undecided = _rank([contender for _, contender in entries.values()], floor_ratio)
        found.ranks.update({(scenario, variant): number for variant, number in ranks.items()})
        found.open.update(
            {(scenario, variant): _open_rank(entries[variant][0], against) for variant, against in undecided.items()}
        )
    return found


def rank(contenders: Iterable[Contender], floor_ratio: float | None = None) -> dict[str, Rank]:
    """The rank of each variant of which one can be said (two rounds or more, all with answers), by its name.

    Ties are not transitive: A may tie with B and B with C while A is really better than C. So a rank is no place in a
    row but counts: 1 + the variants that are really better than this one. A and B are both first then, and C is second.
    """
    return _rank(contenders, floor_ratio)[0]


def _rank(
    contenders: Iterable[Contender], floor_ratio: float | None
) -> tuple[dict[str, Rank], dict[str, tuple[str, ...]]]:
    """Ranks, and of those without one the variants against which it is open."""
    known = [found for found in contenders if can_test(found.rates_per_s, found.rates_per_s)]
    pairs = list(itertools.combinations(known, 2))
    # Not Holm's procedure: over the 231 pairs of 22 variants even 39 % with rounds apart was a tie.
    p_values = false_discovery([_known_p(one, other) for one, other in pairs])
    worse_count = dict.fromkeys((found.variant for found in known), 0)
    against: dict[str, list[str]] = {found.variant: [] for found in known}
    for (one, other), p_value in zip(pairs, p_values, strict=True):
        order = _order(one, other, p_value, floor_ratio)
        if order is _Order.OPEN:
            against[one.variant].append(other.variant)
            against[other.variant].append(one.variant)
        elif order is not _Order.TIE:
            worse_count[(other if order is _Order.BETTER else one).variant] += 1
    # A rate that stands keeps its rank: it counts those that are known to be better. A doubtful one that others may or
    # may not beat has none.
    numbers = {
        found.variant: 1 + worse_count[found.variant]
        for found in known
        if found.bound.is_closed or not against[found.variant]
    }
    shared = [number for number in numbers.values() if list(numbers.values()).count(number) > 1]
    ranks = {variant: Rank(number, number in shared, tuple(against[variant])) for variant, number in numbers.items()}
    return ranks, {variant: tuple(found) for variant, found in against.items() if variant not in numbers}


def _contender(row: SummaryRow) -> Contender | None:
    """A row as it is ranked; None where its rate bounds nothing."""
    rule, bound = deciding(row), rate_bound(row)
    if rule is None or rule.verdict is Verdict.FAILED_AS_EXPECTED or bound.is_unknown:
        return None
    return Contender(row.variant, row.rates_per_s, hold_bound(row) or row.is_open_loop, bound)


def _open_rank(row: SummaryRow, against: tuple[str, ...]) -> OpenRank:
    rule = deciding(row)
    return OpenRank(against, rule.words(row) if rule else "", settling(row))


def _order(one: Contender, other: Contender, p_value: float, floor_ratio: float | None) -> _Order:
    """What is known of two: of their measured rates first, then of the true ones."""
    measured = _measured_order(one, other, p_value, floor_ratio)
    if measured is _Order.TIE:
        # Two that the load bounds are equal under it, whatever each could give beyond.
        is_settled = one.bound.is_closed and other.bound.is_closed
        return _Order.TIE if is_settled else _Order.OPEN
    above, below = (one, other) if measured is _Order.BETTER else (other, one)
    return measured if above.bound.stays_above(below.bound) else _Order.OPEN


def _measured_order(one: Contender, other: Contender, p_value: float, floor_ratio: float | None) -> _Order:
    if p_value >= SIGNIFICANCE_P or (one.is_hold_bound and other.is_hold_bound):
        return _Order.TIE
    ratio = median_ratio(one.rates_per_s, other.rates_per_s) or 1.0
    if not is_beyond(ratio, floor_ratio):
        return _Order.TIE
    # The test is of means, the table shows medians: where an outlier sets them at odds, nothing is said.
    if (ratio < 1) != (_mean_log(one.rates_per_s) < _mean_log(other.rates_per_s)):
        return _Order.TIE
    return _Order.WORSE if ratio < 1 else _Order.BETTER


def _known_p(one: Contender, other: Contender) -> float:
    found = difference_p(one.rates_per_s, other.rates_per_s)
    return 1.0 if found is None else found


def _mean_log(rates_per_s: Sequence[float]) -> float:
    return statistics.fmean(np.log(rates_per_s))
