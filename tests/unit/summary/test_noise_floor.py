"""The noise floor of a run: from twins that differ by nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.handmade_records import handmade_cell, handmade_failure, handmade_measurement, handmade_plan
from wrklab.results.records import CellRecord, Twin
from wrklab.summary.noise_floor import NoiseFloor, larger_floor, noise_floor

EQUAL = (1000.0, 1000.0, 1000.0)


def twins(variant: str, a_per_s: tuple[float, ...], b_per_s: tuple[float, ...]) -> list[CellRecord]:
    """The cells of a variant that was measured as two."""
    sides: dict[Twin, tuple[float, ...]] = {"a": a_per_s, "b": b_per_s}
    return [
        handmade_cell(
            variant,
            round_number=number,
            cell_id=f"standard.{variant}.{number}{twin}",
            twin=twin,
            measurement=handmade_measurement(requests_per_s=rate),
        )
        for twin, rates in sides.items()
        for number, rate in enumerate(rates, start=1)
    ]


def floor_of(cells: list[CellRecord]) -> NoiseFloor:
    found = noise_floor(handmade_plan(cells), cells)
    assert found is not None
    return found


def test_a_run_without_twins_has_no_floor() -> None:
    """Rounds of one variant are no twins."""
    cells = [handmade_cell(round_number=number) for number in (1, 2)]

    assert noise_floor(handmade_plan(cells), cells) is None


def test_twins_that_agree_have_a_floor_of_nothing() -> None:
    """A ratio of 1 in every drawing: then every difference is one."""
    found = floor_of(twins("go_net_http", EQUAL, EQUAL))

    assert found.ratio == pytest.approx(0.0)
    assert [pair.ratio for pair in found.pairs] == [1.0]
    assert not found.distinguishable


def test_the_floor_of_one_variant_is_as_wide_as_its_rounds() -> None:
    """Three rounds from 1,000 to 1,040 on either side: more than one of twenty drawings shows 4 %."""
    found = floor_of(twins("go_net_http", (1000.0, 1020.0, 1040.0), (1040.0, 1000.0, 1020.0)))

    assert found.ratio == pytest.approx(0.04, abs=0.001)


def test_the_floor_knows_no_direction() -> None:
    """A and B changed round give the same floor."""
    low, high = (1000.0, 1010.0, 1005.0), (1030.0, 1035.0, 1020.0)

    assert floor_of(twins("v", low, high)).ratio == pytest.approx(floor_of(twins("v", high, low)).ratio, rel=0.05)


def test_one_unruly_variant_of_many_does_not_set_the_floor() -> None:
    """Thirty quiet variants and one whose twins differ by half: the floor is the quiet ones'; alone it is its own."""
    quiet = [cell for number in range(30) for cell in twins(f"quiet_{number}", (1000.0, 1004.0, 1002.0), EQUAL)]
    unruly = twins("unruly", (1000.0, 1500.0, 800.0), (600.0, 1400.0, 900.0))

    together, alone = floor_of([*quiet, *unruly]).ratio, floor_of(unruly).ratio
    assert together is not None
    assert alone is not None
    assert together < 0.01
    assert alone > 0.3


@pytest.mark.parametrize(("variants_count", "expected"), [(1, 0.91), (10, 0.97)])
def test_the_floor_holds_about_what_it_says(variants_count: int, expected: float) -> None:
    """Of further pairs with the same normal noise of 1 %, 95 % are to lie below it; few variants know it less well."""
    rng = np.random.default_rng(5)

    def rounds(number: int) -> npt.NDArray[np.float64]:
        return np.exp(rng.normal(0.0, 0.01, (number, 3)))

    held = []
    for _ in range(100):
        pairs = zip(rounds(variants_count), rounds(variants_count), strict=True)
        cells = [cell for number, (a, b) in enumerate(pairs) for cell in twins(f"v{number}", tuple(a), tuple(b))]
        further = np.log(np.median(rounds(2000), axis=1) / np.median(rounds(2000), axis=1))
        held.append(np.mean(np.abs(further) < np.log1p(floor_of(cells).ratio or 0.0)))

    assert np.mean(held) == pytest.approx(expected, abs=0.04)


def test_one_round_a_twin_says_nothing() -> None:
    """No floor is invented from a single ratio; the ratio itself is shown."""
    found = floor_of(twins("go_net_http", (1000.0,), (1010.0,)))

    assert found.ratio is None
    assert [pair.ratio for pair in found.pairs] == [pytest.approx(1.01)]


def test_twins_that_differ_are_told() -> None:
    """The same unit twice, and B is a tenth slower in every round: the lab was not steady."""
    found = floor_of(twins("go_net_http", (1000.0, 1001.0, 1002.0), (900.0, 901.0, 902.0)))

    assert found.distinguishable == {("standard", "go_net_http")}
    assert found.ratio == pytest.approx(0.11, abs=0.005)


def test_a_failed_twin_leaves_the_others() -> None:
    """Its pair has no ratio; the floor rests on the rest."""
    broken = twins("broken", EQUAL, EQUAL)
    broken[3:] = [
        cell.model_copy(update={"state": "failed", "measurement": None, "failure": handmade_failure()})
        for cell in broken[3:]
    ]
    found = floor_of([*broken, *twins("go_net_http", EQUAL, EQUAL)])

    assert found.ratio == pytest.approx(0.0)
    assert [pair.ratio for pair in found.pairs] == [None, 1.0]


def test_of_two_runs_the_larger_floor_counts() -> None:
    """Runs without one are left out."""
    quiet, noisy = NoiseFloor(0.01, ()), NoiseFloor(0.03, ())

    assert larger_floor(quiet, None, noisy) == 0.03
    assert larger_floor(None, NoiseFloor(None, ())) is None
