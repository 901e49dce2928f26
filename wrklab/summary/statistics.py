"""Medians and ratios with intervals, and whether two sets of rounds are distinguishable. Why these: docs/method.md.

Rates are those of rounds, in requests/s; a round without answers (0) has no place in a ratio.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

#: Of every interval. A bootstrap of few rounds covers less (docs/method.md): that of 3 rounds 75 %, of 5 rounds 94 %.
CONFIDENCE_RATIO = 0.95
#: Below this p-value two sets of rounds are distinguishable.
SIGNIFICANCE_P = 0.05
#: Fewer rounds say nothing about how rounds differ.
ROUNDS_MIN = 2
#: Beyond about 1,000 a percentile interval hardly moves any more (Efron and Tibshirani 1993, 19.3).
_RESAMPLES_COUNT = 2000
#: The same rounds give the same interval each time that a report is written.
_SEED = 20261121


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval, in the unit of what it is of."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Raises ValueError where the low end is above the high end."""
        if self.low > self.high:
            raise ValueError(f"an interval from {self.low} to {self.high}: its low end is above its high end")


def median(rates_per_s: Sequence[float]) -> float | None:
    """The rounds' median, requests/s; None without a round."""
    return statistics.median(rates_per_s) if rates_per_s else None


def median_interval(rates_per_s: Sequence[float]) -> Interval | None:
    """The percentile bootstrap interval of the rounds' median, requests/s; None below two rounds."""
    if len(rates_per_s) < ROUNDS_MIN:
        return None
    found = _bootstrap((np.asarray(rates_per_s, dtype=np.float64),), np.median)
    # It interpolates between resamplings, and the last digit may then lie beyond the rounds themselves.
    low, high = np.clip(found, min(rates_per_s), max(rates_per_s))
    return Interval(float(low), float(high))


def percentile_ranks(count: int, percent: float) -> tuple[int, int | None] | None:
    """The ranks (from 1) between which a percentile of `count` independent samples lies with 95 %.

    Of so many samples the number below the true percentile is binomial, so the interval needs no other assumption:
    H. A. David, H. N. Nagaraja, Order Statistics (2003), 7.1. The second rank is None where it lies beyond the largest
    sample: only more samples can bound it. None without a sample.
    """
    if count < 1:
        return None
    tail = (1 - CONFIDENCE_RATIO) / 2
    low, high = (_binomial_quantile(share, count, percent / 100) for share in (tail, 1 - tail))
    return max(1, low), high + 1 if high < count else None


def _binomial_quantile(share: float, count: int, probability: float) -> int:
    """The smallest number of successes that is not exceeded with this probability: scipy.stats.binom.ppf.

    scipy.stats takes a second to load, which a report need not wait for.
    """
    from scipy.special import bdtr, bdtrik

    found = int(np.ceil(bdtrik(share, count, probability)))
    return found - 1 if found > 0 and bdtr(found - 1, count, probability) >= share else found


def median_ratio(new_per_s: Sequence[float], old_per_s: Sequence[float]) -> float | None:
    """Median of the new rounds / median of the old ones; None where either has no round or a median of 0."""
    new, old = median(new_per_s), median(old_per_s)
    return new / old if new and old else None


def ratio_interval(new_per_s: Sequence[float], old_per_s: Sequence[float]) -> Interval | None:
    """The percentile bootstrap interval of median_ratio; None below two rounds on either side."""
    if not can_test(new_per_s, old_per_s):
        return None
    rates = (np.asarray(new_per_s, dtype=np.float64), np.asarray(old_per_s, dtype=np.float64))
    found = _bootstrap(rates, _log_ratio_of_medians)
    # Of rounds without any spread both ends are the ratio, and rounding may put them in the wrong order.
    low, high = sorted(float(np.exp(end)) for end in found)
    return Interval(low, high)


def null_log_ratios(first_per_s: Sequence[float], second_per_s: Sequence[float]) -> Floats | None:
    """|ln(median / median)| of two sets of rounds of one population, drawn many times.

    Both are put together, and as many rounds as each has are drawn from all with replacement. None where can_test says
    no.
    """
    if not can_test(first_per_s, second_per_s):
        return None
    rng = np.random.default_rng(_SEED)
    together = np.asarray([*first_per_s, *second_per_s], dtype=np.float64)
    medians = [
        np.median(rng.choice(together, size=(_RESAMPLES_COUNT, len(rates))), axis=-1)
        for rates in (first_per_s, second_per_s)
    ]
    logs: Floats = np.abs(np.log(medians[0] / medians[1]))
    return logs


def can_test(first_per_s: Sequence[float], second_per_s: Sequence[float]) -> bool:
    """Both sides have two rounds or more, each with answers."""
    return all(len(rates) >= ROUNDS_MIN and _are_positive(rates) for rates in (first_per_s, second_per_s))


def difference_p(first_per_s: Sequence[float], second_per_s: Sequence[float]) -> float | None:
    """The p-value of Welch's t-test on the logarithms of the rates, two-sided; None where can_test says no.

    Logarithms, because noise moves rates by a share of themselves; Welch's (scipy.stats.ttest_ind with
    equal_var=False), because variants differ in how much they vary.
    """
    if not can_test(first_per_s, second_per_s):
        return None
    if sorted(first_per_s) == sorted(second_per_s):
        return 1.0  # the same rates, such as a run compared with itself; without any spread the test would divide by 0
    from scipy.special import stdtr

    # scipy.stats.ttest_ind says the same to the last digits, 30 times slower: a run of 100 variants has 4,950 pairs.
    (mean, share), (other_mean, other_share) = (_mean_and_share(rates) for rates in (first_per_s, second_per_s))
    variance = share + other_share
    if not variance:
        return 0.0 if mean != other_mean else 1.0  # rounds that agree to the last digit
    freedom = variance**2 / (share**2 / (len(first_per_s) - 1) + other_share**2 / (len(second_per_s) - 1))
    found = 2 * float(stdtr(freedom, -abs(mean - other_mean) / math.sqrt(variance)))
    return 1.0 if math.isnan(found) else found


def _mean_and_share(rates_per_s: Sequence[float]) -> tuple[float, float]:
    """The mean of the rates' logarithms, and the variance of that mean."""
    logs = [math.log(rate) for rate in rates_per_s]
    mean = math.fsum(logs) / len(logs)
    return mean, math.fsum((value - mean) ** 2 for value in logs) / (len(logs) - 1) / len(logs)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, so that the chance of even one false difference stays below the limit.

    S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6 (1979):
    the smallest times n, the next times n - 1, ..., none below the one before, none above 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that of all differences reported at most the limit's share is chance, on average.

    Y. Benjamini, Y. Hochberg, Controlling the False Discovery Rate, J. R. Statist. Soc. B 57 (1995); as
    scipy.stats.false_discovery_control.
    """
    if not p_values:
        return []
    order = np.argsort(p_values)[::-1]
    scaled = np.asarray(p_values)[order] * len(p_values) / np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    # None is larger than that of a larger p-value.
    adjusted[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return [float(value) for value in adjusted]


def is_beyond(ratio: float, floor_ratio: float | None) -> bool:
    """Whether a ratio of rates lies further from 1 than a noise floor (0.02: 2 %), in either direction alike."""
    return abs(float(np.log(ratio))) > float(np.log1p(floor_ratio or 0.0))


def _log_ratio_of_medians(new: Floats, old: Floats, axis: int = -1) -> Floats:
    ratio: Floats = np.log(np.median(new, axis=axis) / np.median(old, axis=axis))
    return ratio


def _bootstrap(data: tuple[Floats, ...], statistic: Callable[..., Floats]) -> tuple[float, float]:
    """The percentile interval of scipy.stats.bootstrap, to the last digit, without the second that scipy.stats loads.

    Not BCa, scipy's default: it rests on a jackknife, which does not hold for medians of few rounds.
    """
    rng = np.random.default_rng(_SEED)
    drawn = [sample[rng.integers(0, len(sample), (_RESAMPLES_COUNT, len(sample)))] for sample in data]
    tail = 100 * (1 - CONFIDENCE_RATIO) / 2
    low, high = np.percentile(statistic(*drawn, axis=-1), [tail, 100 - tail])
    return float(low), float(high)


def _are_positive(rates_per_s: Sequence[float]) -> bool:
    return len(rates_per_s) > 0 and min(rates_per_s) > 0
