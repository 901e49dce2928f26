"""The noise floor of a run that measured every variant as two (`bench --aa`).

A variant divided by itself is 1; how far its twins' ratio is from 1 is noise. The floor is the run's repeatability
limit in the sense of ISO 5725-6 (4.1): the difference that two results obtained under the same conditions exceed in
one case of twenty. It is estimated by the bootstrap: since A and B are the same, the rounds of both are put together,
an A and a B of as many rounds are drawn from them with replacement, |ln(median of B / median of A)| is taken, and the
floor is the 95th percentile over all drawings of all pairs, each pair with the same weight. So one unsteady variant of
many does not set the floor of all. How often the floor is right: docs/method.md and
tests/unit/summary/test_noise_floor.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wrklab.results.records import CellRecord, RunPlan, Twin
from wrklab.summary.statistics import (
    CONFIDENCE_RATIO,
    SIGNIFICANCE_P,
    Interval,
    difference_p,
    holm,
    median_ratio,
    null_log_ratios,
    ratio_interval,
)


@dataclass(frozen=True)
class TwinPair:
    """One variant under one scenario, measured as two: the rates of the rounds of each, requests/s."""

    variant: str
    scenario: str
    a_per_s: tuple[float, ...]
    b_per_s: tuple[float, ...]

    @property
    def ratio(self) -> float | None:
        """Median of B / median of A; None where either has no round or no answers."""
        return median_ratio(self.b_per_s, self.a_per_s)

    @property
    def interval(self) -> Interval | None:
        """The bootstrap interval of `ratio`; None below two rounds each."""
        return ratio_interval(self.b_per_s, self.a_per_s)


@dataclass(frozen=True)
class NoiseFloor:
    """How much noise a run measured in itself."""

    #: 0.02: differences below 2 % are none. None: no pair has two rounds with answers on both sides.
    ratio: float | None
    pairs: tuple[TwinPair, ...]
    #: (scenario, variant) of pairs that the test distinguishes although they are the same: the lab was not steady.
    distinguishable: frozenset[tuple[str, str]] = frozenset()


def noise_floor(plan: RunPlan, cells: Sequence[CellRecord]) -> NoiseFloor | None:
    """The noise floor of a run; None for a run without twins."""
    planned = dict.fromkeys((cell.scenario, cell.variant) for cell in plan.cells if cell.twin)
    if not planned:
        return None
    pairs = tuple(
        TwinPair(variant, scenario, _rates(cells, scenario, variant, "a"), _rates(cells, scenario, variant, "b"))
        for scenario, variant in sorted(planned)
    )
    return NoiseFloor(_floor_ratio(pairs), pairs, _distinguishable(pairs))


def larger_floor(*floors: NoiseFloor | None) -> float | None:
    """The largest floor of several runs, those that have none left out; None where no run has one."""
    return max((floor.ratio for floor in floors if floor is not None and floor.ratio is not None), default=None)


def _rates(cells: Sequence[CellRecord], scenario: str, variant: str, twin: Twin) -> tuple[float, ...]:
    return tuple(
        cell.measurement.requests_per_s
        for cell in cells
        if (cell.scenario, cell.variant, cell.twin) == (scenario, variant, twin) and cell.measurement is not None
    )


def _floor_ratio(pairs: Sequence[TwinPair]) -> float | None:
    found = [null_log_ratios(pair.b_per_s, pair.a_per_s) for pair in pairs]
    known = [logs for logs in found if logs is not None]
    if not known:
        return None
    return float(np.expm1(np.quantile(np.abs(np.concatenate(known)), CONFIDENCE_RATIO)))


def _distinguishable(pairs: Sequence[TwinPair]) -> frozenset[tuple[str, str]]:
    tested = [(pair, difference_p(pair.b_per_s, pair.a_per_s)) for pair in pairs]
    known = [(pair, p_value) for pair, p_value in tested if p_value is not None]
    adjusted = holm([p_value for _, p_value in known])
    return frozenset(
        (pair.scenario, pair.variant)
        for (pair, _), p_value in zip(known, adjusted, strict=True)
        if p_value < SIGNIFICANCE_P
    )
