"""Ranks with ties: better only where it is really better, and no rank where a doubt leaves it open."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import handmade_cell, handmade_measurement, handmade_plan
from wrklab.compare.ranks import Contender, OpenRank, Rank, rank, rank_rows
from wrklab.results.records import Errors
from wrklab.summary.rows import summarise
from wrklab.verdicts.verdict import Bound

FAST = Contender("fast", (2000.0, 2010.0, 2005.0))
SLOW = Contender("slow", (1000.0, 1010.0, 1005.0))


def numbers(*contenders: Contender, floor_ratio: float | None = None) -> dict[str, str]:
    return {variant: str(found) for variant, found in rank(contenders, floor_ratio).items()}


def test_what_can_be_told_apart_has_ranks_of_its_own() -> None:
    """Twice the rate with half a percent of noise."""
    assert numbers(SLOW, FAST) == {"fast": "1", "slow": "2"}


def test_what_cannot_be_told_apart_shares_a_rank() -> None:
    """Rounds that overlap are a tie, shown as one; what comes after both is third."""
    other = Contender("other", (1995.0, 2020.0, 2001.0))

    assert numbers(FAST, other, SLOW) == {"fast": "=1", "other": "=1", "slow": "3"}


def test_ties_are_not_transitive() -> None:
    """The noisy one ties with both, which do not tie with each other: only one of them has a better one above it."""
    high = Contender("high", (1100.0, 1101.0, 1102.0))
    noisy = Contender("noisy", (900.0, 1050.0, 1200.0))
    low = Contender("low", (1000.0, 1001.0, 1002.0))

    assert numbers(high, noisy, low) == {"high": "=1", "noisy": "=1", "low": "2"}


def test_below_the_noise_floor_is_a_tie() -> None:
    """One percent is a difference for the test, and none in a run whose twins differ by two."""
    first = Contender("first", (1010.0, 1010.1, 1010.2))
    second = Contender("second", (1000.0, 1000.1, 1000.2))

    assert numbers(first, second) == {"first": "1", "second": "2"}
    assert numbers(first, second, floor_ratio=0.02) == {"first": "=1", "second": "=1"}


def test_two_that_the_load_bounds_are_a_tie() -> None:
    """Each gave all that the connections could ask for; which is faster was not measured."""
    first = Contender("first", (1010.0, 1010.1, 1010.2), is_hold_bound=True)
    second = Contender("second", (1000.0, 1000.1, 1000.2), is_hold_bound=True)

    assert numbers(first, second) == {"first": "=1", "second": "=1"}
    assert numbers(first, Contender("second", second.rates_per_s)) == {"first": "1", "second": "2"}


def test_of_one_round_and_of_no_answers_nothing_is_said() -> None:
    """They have no rank and take no part in the others'."""
    assert rank([FAST, Contender("once", (9000.0,)), Contender("dead", (0.0, 0.0)), Contender("none", ())]) == {
        "fast": Rank(1, is_shared=False)
    }


AT_LEAST = Bound(may_be_higher=True)
AT_MOST = Bound(may_be_lower=True)


def test_at_least_as_fast_as_measured_beats_whom_it_beat() -> None:
    """A row that neighbours slowed down was faster even so, so it is the first and nobody below it is."""
    assert numbers(Contender("slowed", FAST.rates_per_s, bound=AT_LEAST), SLOW) == {"slowed": "1", "slow": "2"}
    # It may be the faster one: the other is known to be beaten by nobody.
    assert numbers(FAST, Contender("slowed", SLOW.rates_per_s, bound=AT_LEAST)) == {"fast": "1"}


def test_at_most_as_fast_as_measured_loses_to_whom_it_lost() -> None:
    """A rate of answers that were counted twice is lower still; whether it beats the slower one is open."""
    assert numbers(FAST, Contender("counted", SLOW.rates_per_s, bound=AT_MOST)) == {"fast": "1", "counted": "2"}
    assert numbers(Contender("counted", FAST.rates_per_s, bound=AT_MOST), SLOW) == {"slow": "1"}


def test_bounds_on_the_same_side_leave_the_order_open() -> None:
    """Both may be higher: the slower one may be the faster."""
    first, second = (Contender(found.variant, found.rates_per_s, bound=AT_LEAST) for found in (FAST, SLOW))
    assert numbers(first, second) == {}
    # Of opposite sides the gap only grows, or may close.
    assert numbers(first, Contender("slow", SLOW.rates_per_s, bound=AT_MOST)) == {"fast": "1", "slow": "2"}
    assert numbers(Contender("fast", FAST.rates_per_s, bound=AT_MOST), second) == {}


def test_a_tie_with_a_doubtful_rate_is_none() -> None:
    """Rounds that overlap, one of them of a server that others slowed down: it may be the better one."""
    slowed = Contender("slowed", (1995.0, 2020.0, 2001.0), bound=AT_LEAST)

    assert numbers(FAST, slowed, SLOW) == {"fast": "1", "slow": "3"}
    assert rank([FAST, slowed, SLOW])["fast"].open_against == ("slowed",)
    assert rank([FAST, slowed, SLOW])["slow"].open_against == ()


def test_many_pairs_make_chance_differences_rarer() -> None:
    """A difference that chance alone makes in 3 of 100 pairs is none where many further pairs are ties."""
    first, second = Contender("first", (1000.0, 1010.0, 1005.0)), Contender("second", (1020.0, 1015.0, 1028.0))
    others = [Contender(f"other_{number}", (100.0, 150.0, 130.0 + number)) for number in range(9)]

    assert numbers(first, second) == {"first": "2", "second": "1"}
    assert {variant: numbers(first, second, *others)[variant] for variant in ("first", "second")} == {
        "first": "=1",
        "second": "=1",
    }


def test_a_doubt_without_a_direction_leaves_no_rank() -> None:
    """Of a rate with wrong answers nothing follows; one that neighbours lowered still is the better one, and first."""
    cells = [
        handmade_cell(variant, round_number=number, measurement=handmade_measurement(requests_per_s=rate, **measured))
        for variant, first_per_s, measured in (
            ("sound", 1000.0, {}),
            ("wrong", 9000.0, {"errors": Errors(status=5)}),
            ("slowed", 2000.0, {"server": {"neighbours_cpu_percent": 50.0}}),
        )
        for number, rate in enumerate((first_per_s, first_per_s * 1.01), start=1)
    ]
    rows = summarise(handmade_plan(cells), cells, lambda _: {})

    assert rank_rows(rows).ranks == {
        ("standard", "slowed"): Rank(1, is_shared=False),
        ("standard", "sound"): Rank(2, is_shared=False),
    }
    assert rank_rows(rows).open == {}


def test_what_would_settle_an_open_rank_is_named() -> None:
    """With the variants that it may beat or not, and the reason in words."""
    cells = [
        handmade_cell(variant, round_number=number, measurement=handmade_measurement(requests_per_s=rate, **measured))
        for variant, first_per_s, measured in (
            ("first", 3000.0, {}),
            ("slowed", 1000.0, {"generator": {"cpu_percent": 95.0}}),
            ("slowest", 500.0, {}),
        )
        for number, rate in enumerate((first_per_s, first_per_s * 1.01), start=1)
    ]
    found = rank_rows(summarise(handmade_plan(cells), cells, lambda _: {}))

    assert found.open == {
        ("standard", "slowed"): OpenRank(("first",), "generator full", ("invoke lab.up --loadgens 2",))
    }
    assert {variant: str(number) for (_, variant), number in found.ranks.items()} == {"first": "1", "slowest": "3"}


@pytest.mark.parametrize(("start_skew_s", "number"), [(0.01, 2), (0.5, 1)])
def test_generators_that_began_apart_beat_nobody(start_skew_s: float, number: int) -> None:
    """Each had the server alone for a while, so their summed rate may be too high; a busy generator's is too low."""
    sound = [
        handmade_cell("sound", round_number=n, measurement=handmade_measurement(requests_per_s=1000.0 + n))
        for n in (1, 2)
    ]
    part = handmade_measurement(generator={"cpu_percent": 95.0, "start_skew_s": 0.0}).generators[0]
    pair = (part, part.model_copy(update={"host": "loadgen_2", "start_skew_s": start_skew_s}))
    busy = [
        handmade_cell(
            "busy", round_number=n, measurement=handmade_measurement(requests_per_s=2000.0 + n, generators=pair)
        )
        for n in (1, 2)
    ]
    rows = summarise(handmade_plan([*sound, *busy]), [*sound, *busy], lambda _: {})

    assert rank_rows(rows).ranks[("standard", "sound")] == Rank(number, is_shared=False)


def test_a_table_of_many_variants_still_tells_clear_differences() -> None:
    """39 % faster with rounds that do not overlap, among others that are all told apart."""
    others = [Contender(f"other_{n}", (50.0 * 1.5**n, 50.5 * 1.5**n, 50.2 * 1.5**n)) for n in range(10)]
    steady = Contender("steady", (18_859.0, 18_926.0, 19_034.0))
    noisy = Contender("noisy", (12_434.0, 13_636.0, 15_496.0))

    assert {name: numbers(steady, noisy, *others)[name] for name in ("steady", "noisy")} == {
        "steady": "1",
        "noisy": "2",
    }
