"""Intervals and tests: what is known of known distributions comes out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wrklab.summary.statistics import (
    SIGNIFICANCE_P,
    Interval,
    difference_p,
    false_discovery,
    holm,
    is_beyond,
    median_interval,
    median_ratio,
    percentile_ranks,
    ratio_interval,
)

RATES = st.lists(st.floats(1.0, 50_000.0), min_size=2, max_size=9)


def rounds(around_per_s: float, noise_ratio: float, number: int, seed: int) -> list[float]:
    """Rates of rounds that vary by a share of themselves."""
    draws = np.random.default_rng(seed).normal(0.0, noise_ratio, number)
    return [around_per_s * float(np.exp(draw)) for draw in draws]


def test_of_three_rounds_the_interval_is_their_range() -> None:
    """A resampling of three has the least of them as its median in 7 of 27 cases: more than the tail of 2.5 %."""
    assert median_interval([102.0, 100.0, 101.0]) == Interval(100.0, 102.0)


def test_of_many_rounds_the_interval_is_narrower_than_their_range() -> None:
    """Thirty rounds with a deviation of 2 %: the interval holds the truth and is a small part of the range."""
    rates = rounds(1000.0, 0.02, 30, seed=1)
    interval = median_interval(rates)

    assert interval is not None
    assert interval.low < 1000.0 < interval.high
    assert interval.high - interval.low < (max(rates) - min(rates)) / 3


def test_one_round_has_no_interval() -> None:
    """Nor has none: nothing is known of how rounds differ."""
    assert median_interval([100.0]) is None
    assert median_interval([]) is None
    assert ratio_interval([100.0], [100.0, 101.0]) is None


@given(RATES)
@settings(max_examples=25, deadline=None)
def test_an_interval_lies_within_the_range_and_holds_the_median(rates: list[float]) -> None:
    """Whatever the rounds were; and the same rounds give the same interval each time."""
    interval = median_interval(rates)

    assert interval is not None
    assert min(rates) <= interval.low <= float(np.median(rates)) <= interval.high <= max(rates)
    assert median_interval(rates) == interval


def test_a_ratio_is_of_medians() -> None:
    """New over old, with an interval from the worst to the best pairing of three rounds each."""
    new, old = [200.0, 220.0, 210.0], [100.0, 105.0, 95.0]

    assert median_ratio(new, old) == pytest.approx(2.1)
    interval = ratio_interval(new, old)
    assert interval is not None
    assert [interval.low, interval.high] == pytest.approx([200 / 105, 220 / 95])


def test_without_answers_there_is_no_ratio() -> None:
    """A round of 0 requests/s makes every ratio meaningless: nothing is said rather than infinity."""
    assert median_ratio([0.0, 0.0], [100.0, 101.0]) is None
    assert ratio_interval([100.0, 101.0], [0.0, 100.0]) is None
    assert difference_p([100.0, 101.0], [0.0, 100.0]) is None


def test_the_difference_is_welchs_on_logarithms() -> None:
    """The p-value of two samples worked out by hand: t = 9.66 with 4.00 degrees of freedom."""
    first, second = np.exp([0.01, 0.0, -0.01]), np.exp([0.11, 0.10, 0.09]) * np.exp(-0.02114)

    # t = 0.07886 / sqrt(2 x 0.01^2 / 3) = 9.658; both variances are the same, so that Welch's df is 4.
    assert difference_p(list(first), list(second)) == pytest.approx(0.000642, rel=0.01)


def test_three_rounds_can_be_told_apart_and_need_not_be() -> None:
    """Five percent beside a noise of half a percent is a difference; beside one of ten percent it is none."""
    quiet = difference_p(rounds(1000.0, 0.005, 3, seed=2), rounds(1050.0, 0.005, 3, seed=3))
    noisy = difference_p(rounds(1000.0, 0.1, 3, seed=2), rounds(1050.0, 0.1, 3, seed=3))

    assert quiet is not None
    assert noisy is not None
    assert quiet < SIGNIFICANCE_P < noisy


def test_false_differences_are_as_rare_as_promised() -> None:
    """Of 400 pairs from one distribution about 5 % are told apart, and not more than 8 %."""
    found = [difference_p(rounds(1e3, 0.03, 3, seed), rounds(1e3, 0.03, 3, 10_000 + seed)) for seed in range(400)]

    assert sum(p is not None and p < SIGNIFICANCE_P for p in found) <= 32


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([100.0, 100.0], [100.0, 100.0], 1.0), ([100.0, 101.0], [101.0, 100.0], 1.0), ([100.0, 100.0], [90.0, 90.0], 0.0)],
)
def test_rounds_without_spread_are_equal_or_not(first: list[float], second: list[float], expected: float) -> None:
    """Where the test would divide by nothing: the same figures are equal, others differ."""
    assert difference_p(first, second) == expected


def test_holm_steps_down() -> None:
    """The smallest of four times 4, the next times 3; none below the one before it, none above 1."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_beyond_the_floor_is_the_same_in_both_directions() -> None:
    """2 % more and its inverse are within a floor of 2 %; without a floor everything but 1 is beyond."""
    assert not is_beyond(1.0199, 0.02)
    assert not is_beyond(1 / 1.0199, 0.02)
    assert is_beyond(1.0201, 0.02)
    assert is_beyond(0.9999, None)
    assert not is_beyond(1.0, None)


def test_an_interval_is_the_right_way_round() -> None:
    """Ends that changed places are refused."""
    with pytest.raises(ValueError, match="its low end is above its high end"):
        Interval(2.0, 1.0)


def test_rounds_without_any_spread_have_a_ratio() -> None:
    """Both ends of its interval are the ratio, whatever the last digit is rounded to."""
    interval = ratio_interval([9500.0] * 3, [1000.0] * 3)

    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((9.5, 9.5))


@pytest.mark.parametrize("rates", [(100.0, 104.0, 97.0), (5.0, 5.0), (1.0, 2.0, 3.0, 4.0, 50.0)])
def test_intervals_are_those_of_scipys_bootstrap(rates: tuple[float, ...]) -> None:
    """The same resamplings from the same seed."""
    rounds = np.array(rates)
    theirs = stats.bootstrap(
        (rounds,), np.median, n_resamples=2000, method="percentile", rng=np.random.default_rng(20261121)
    ).confidence_interval

    found = median_interval(rates)

    assert found is not None
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


@pytest.mark.parametrize("count", [1, 30, 185, 9_999, 123_456])
@pytest.mark.parametrize("percent", [50, 90, 99, 99.9])
def test_ranks_of_percentiles_are_those_of_scipys_binomial(count: int, percent: float) -> None:
    """Each end is the smallest number that is not exceeded with 2.5 and 97.5 %."""
    low, high = stats.binom.ppf([0.025, 0.975], count, percent / 100)

    assert percentile_ranks(count, percent) == (max(1, int(low)), int(high) + 1 if high < count else None)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_adjusted_p_values_are_scipys(p_values: list[float]) -> None:
    """By Benjamini and Hochberg; none without any."""
    assert false_discovery(p_values) == pytest.approx(stats.false_discovery_control(p_values, method="bh"))
    assert false_discovery([]) == []
