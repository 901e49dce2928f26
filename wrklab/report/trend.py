"""The history of all runs: each row's figure as a ratio to a reference variant of the same run.

A machine, a kernel or a neighbour moves all variants of a run alike; the ratio to one of them is what lasts. What of
the environment was not as in the run before stands at each run, so that a step can be held against it.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wrklab.errors import StoreError, UnknownNameError, WrklabError
from wrklab.report.change_points import SIDE_MIN, ChangePoint
from wrklab.report.columns import COLUMNS, to_csv
from wrklab.report.contents import read_contents
from wrklab.results.environment_changes import environment_changes, plan_changes
from wrklab.results.records import RunEnvironment, RunPlan
from wrklab.results.run_folder import Run, run_ids

#: A change of the environment is reported with so many of its facts.
_FACTS_SHOWN = 4
_TEXT_MAX = 60
DEFAULT_METRIC = "requests_per_s"


class TrendError(WrklabError):
    """There is no history to show."""


@dataclass(frozen=True)
class HistoryRow:
    """A row of a past run."""

    variant: str
    scenario: str
    #: By column of report.csv.
    values: Mapping[str, str]

    @property
    def is_doubtful(self) -> bool:
        """Its rate is not to be believed as it stands."""
        return "rate" in self.values["doubts"].split()

    def number(self, metric: str) -> float | None:
        """A figure; None where the run has none."""
        text = self.values.get(metric, "")
        return float(text) if text else None


@dataclass(frozen=True)
class HistoryRun:
    """A past run: its rows, and what was not as in the run of the same lab before it."""

    run_id: str
    lab: str
    created_at_s: float
    rows: tuple[HistoryRow, ...]
    changes: tuple[str, ...] = ()

    @property
    def change_text(self) -> str:
        """What changed, in short; empty where nothing did."""
        shown = list(self.changes[:_FACTS_SHOWN])
        if len(self.changes) > _FACTS_SHOWN:
            shown.append(f"{len(self.changes) - _FACTS_SHOWN} more")
        return "; ".join(shown)


@dataclass(frozen=True)
class Point:
    """A row's ratio in one run."""

    run_id: str
    ratio: float
    change: str = ""


@dataclass(frozen=True)
class Series:
    """A variant under a scenario through all runs in which it and the reference are sound."""

    variant: str
    scenario: str
    points: tuple[Point, ...]
    steps: tuple[ChangePoint, ...] = ()

    @property
    def name(self) -> str:
        """Unique within a trend."""
        return f"{self.scenario}/{self.variant}"


@dataclass(frozen=True)
class Trend:
    """The history of one metric."""

    metric: str
    reference: str
    series: tuple[Series, ...]
    runs_count: int
    #: Figures that are in no series, as they or the reference's are doubtful.
    left_out_count: int


def read_history(results_dir: Path) -> list[HistoryRun]:
    """Every run that can be read, oldest first: its report.csv, or where it has none of this wrklab, its store."""
    found: list[HistoryRun] = []
    before: dict[str, tuple[RunPlan, RunEnvironment]] = {}
    for run_id in run_ids(results_dir):
        try:
            with Run.open(results_dir, run_id) as run:
                plan, environment, text = run.plan, run.environment, _figures_text(run)
        except StoreError:
            continue
        changes: tuple[str, ...] = ()
        if plan.lab in before:
            old_plan, old_environment = before[plan.lab]
            known = (*plan_changes(old_plan, plan), *environment_changes(old_environment, environment))
            changes = tuple(f"{one.where} {one.key}: {_cut(one.old)} -> {_cut(one.new)}" for one in known)
        before[plan.lab] = (plan, environment)
        rows = tuple(HistoryRow(row["variant"], row["scenario"], row) for row in csv.DictReader(io.StringIO(text)))
        found.append(HistoryRun(run_id, plan.lab, plan.created_at_s, rows, changes))
    return found


def _figures_text(run: Run) -> str:
    path = run.path / "report.csv"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = next(csv.reader(io.StringIO(text)), [])
    return text if names == [column.name for column in COLUMNS] else to_csv(read_contents(run))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_MAX else f"{line[: _TEXT_MAX - 3]}..."


def trend_of(history: Sequence[HistoryRun], reference: str = "", metric: str = DEFAULT_METRIC) -> Trend:
    """The series of all rows, without steps. Raises TrendError, UnknownNameError."""
    names = sorted({row.variant for run in history for row in run.rows})
    if not names:
        raise TrendError("there is no run to take a trend of; measure with `invoke bench`, at different times")
    if reference and reference not in names:
        raise UnknownNameError("variant", reference, names)
    if metric not in _NUMBERS:
        raise UnknownNameError("metric", metric, sorted(_NUMBERS))
    chosen = reference or usual_reference(history)
    points: dict[tuple[str, str], list[Point]] = {}
    left_out_count = 0
    for run in history:
        by_key = {(row.scenario, row.variant): row for row in run.rows}
        for (scenario, variant), row in by_key.items():
            base = by_key.get((scenario, chosen))
            value, base_value = row.number(metric), base.number(metric) if base else None
            if value is None or not base_value or base is None:
                continue
            if row.is_doubtful or base.is_doubtful:
                left_out_count += 1
                continue
            point = Point(run.run_id, value / base_value, run.change_text)
            points.setdefault((scenario, variant), []).append(point)
    series = tuple(
        Series(variant, scenario, tuple(found))
        for (scenario, variant), found in sorted(points.items())
        if variant != chosen
    )
    return Trend(metric, chosen, series, len(history), left_out_count)


def usual_reference(history: Sequence[HistoryRun]) -> str:
    """The variant that is sound in the most runs; of several the first by name, so that it stays the same one."""
    counts = Counter(
        row.variant for run in history for row in run.rows if row.number(DEFAULT_METRIC) and not row.is_doubtful
    )
    if not counts:
        raise TrendError("no run has a row whose rate is sound; `invoke report RUN` says what would settle it")
    return min(counts, key=lambda name: (-counts[name], name))


def with_steps(trend: Trend, steps: Mapping[str, Sequence[ChangePoint]]) -> Trend:
    """The trend with the steps of its series, by their names."""
    series = tuple(
        Series(one.variant, one.scenario, one.points, tuple(steps.get(one.name, ()))) for one in trend.series
    )
    return Trend(trend.metric, trend.reference, series, trend.runs_count, trend.left_out_count)


def read_trend(results_dir: Path) -> Trend | None:
    """The trend of the rates without steps, for a page; None where no run has a sound row."""
    try:
        return trend_of(read_history(results_dir))
    except TrendError:
        return None


def can_have_steps(trend: Trend) -> bool:
    """Whether any series is long enough."""
    return any(len(one.points) >= 2 * SIDE_MIN for one in trend.series)


def step_lines(trend: Trend) -> list[str]:
    """A sentence a step: which row, by how much, in which run, and what else changed there."""
    lines = []
    for one in trend.series:
        for step in one.steps:
            at = one.points[step.index]
            also = f"; changed there as well: {at.change}" if at.change else "; no change of the environment is known"
            lines.append(
                f"{one.variant} ({one.scenario}): {100 * (step.ratio - 1):+.1f} % from run {at.run_id} on "
                f"({step.before:.3f} -> {step.after:.3f} of {trend.reference}, p = {step.pvalue:.2g}){also}"
            )
    return lines


_NUMBERS = frozenset(column.name for column in COLUMNS if column.unit)
