"""History over runs: ratios to a reference of the same run, what is left out, and what changed where."""

from __future__ import annotations

import pytest

from wrklab.errors import UnknownNameError
from wrklab.report.change_points import ChangePoint
from wrklab.report.trend import (
    HistoryRow,
    HistoryRun,
    TrendError,
    can_have_steps,
    step_lines,
    trend_of,
    usual_reference,
    with_steps,
)


def row(variant: str, rate: float | None, doubts: str = "") -> HistoryRow:
    values = {"requests_per_s": "" if rate is None else str(rate), "doubts": doubts}
    return HistoryRow(variant, "standard", values)


def runs(*rows: tuple[HistoryRow, ...], changes: dict[int, tuple[str, ...]] | None = None) -> list[HistoryRun]:
    return [
        HistoryRun(f"run_{number}", "container", float(number), found, (changes or {}).get(number, ()))
        for number, found in enumerate(rows)
    ]


def test_a_ratio_is_of_the_same_run() -> None:
    """A machine that became twice as fast moves no ratio."""
    found = trend_of(runs((row("a", 100), row("b", 50)), (row("a", 200), row("b", 100))), "a")

    [series] = found.series
    assert [point.ratio for point in series.points] == [0.5, 0.5]
    assert (series.variant, found.reference, found.runs_count) == ("b", "a", 2)


def test_doubtful_figures_are_in_no_series() -> None:
    """Neither a doubtful row, nor any row of a run whose reference is doubtful; both are counted."""
    doubtful_row = (row("a", 100), row("b", 10, "rate"))
    doubtful_reference = (row("a", 9, "rate latency"), row("b", 50))
    history = runs((row("a", 100), row("b", 50)), doubtful_row, doubtful_reference)
    found = trend_of(history, "a")

    assert [point.run_id for point in found.series[0].points] == ["run_0"]
    assert found.left_out_count == 3


def test_the_reference_is_the_variant_that_is_sound_most_often() -> None:
    """Of several the first by name; none where no run has a sound row."""
    history = runs((row("b", 1), row("a", 1), row("c", 1, "rate")), (row("a", 1), row("b", 1), row("c", 1)))

    assert usual_reference(history) == "a"
    with pytest.raises(TrendError, match="no run has a row whose rate is sound"):
        usual_reference(runs((row("c", 1, "rate"),)))


def test_what_cannot_be_meant_is_refused() -> None:
    """No run, an unknown reference, an unknown metric."""
    with pytest.raises(TrendError, match="there is no run"):
        trend_of([])
    with pytest.raises(UnknownNameError, match="unknown variant 'z'"):
        trend_of(runs((row("a", 1),)), "z")
    with pytest.raises(UnknownNameError, match="unknown metric 'speed'"):
        trend_of(runs((row("a", 1),)), "a", "speed")


def test_a_step_says_what_changed_there() -> None:
    """By how much, from which run on, and the environment's changes of that run in short."""
    changes = {3: tuple(f"server kernel: {number} -> 7" for number in range(6))}
    history = runs(*((row("a", 100), row("b", 50 if n < 3 else 45)) for n in range(6)), changes=changes)
    found = trend_of(history, "a")

    assert can_have_steps(found)
    stepped = with_steps(found, {"standard/b": [ChangePoint(index=3, before=0.5, after=0.45, pvalue=0.0001)]})
    [line] = step_lines(stepped)
    assert line.startswith("b (standard): -10.0 % from run run_3 on (0.500 -> 0.450 of a, p = 0.0001)")
    assert "changed there as well: server kernel: 0 -> 7; " in line
    assert line.endswith("; 2 more")
