"""Two runs side by side: their rows, and what else is not the same. Why the rules are as they are: docs/method.md."""

from __future__ import annotations

import shlex
import statistics
from dataclasses import dataclass

from wrklab.compare.rows import Limits, RowChange, RowPair, row_changes, row_pair
from wrklab.results.environment_changes import Change, environment_changes, fact_changes, plan_changes
from wrklab.results.records import RunEnvironment, RunPlan
from wrklab.summary.noise_floor import NoiseFloor, larger_floor
from wrklab.summary.rows import SummaryRow

#: What two runs of the same on the same machine may differ by is several percent; the report calls rounds that differ
#: by this much doubtful (SPREAD_LIMIT_RATIO).
THRESHOLD_PERCENT = 10.0


@dataclass(frozen=True)
class RunSide:
    """One of the two runs: what comparing needs of it."""

    plan: RunPlan
    environment: RunEnvironment
    rows: tuple[SummaryRow, ...]
    noise_floor: NoiseFloor | None = None


@dataclass(frozen=True)
class RunCaveats:
    """What a run says of itself, before any of its rates counts."""

    run_id: str
    #: Why its hosts should not have been measured then: --force overrode it.
    forced: tuple[str, ...] = ()
    #: Its plan's sentences: of the lab, and of each time that it was resumed.
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it, what was forced first. Notes usually repeat that."""
        unnoted = [reason for reason in self.forced if not any(reason in note for note in self.notes)]
        notes = sorted(self.notes, key=lambda note: not any(reason in note for reason in self.forced))
        return (*(f"Measured by --force although {reason}" for reason in unnoted), *notes)


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """All that two runs say of each other."""

    old: RunCaveats
    new: RunCaveats
    threshold_percent: float
    #: The larger floor of the two runs; None where neither has one.
    noise_floor_ratio: float | None
    rows: tuple[RowChange, ...]
    changes: tuple[Change, ...]

    @property
    def regressions(self) -> tuple[RowChange, ...]:
        """What makes the exit status 1."""
        return tuple(row for row in self.rows if row.is_regression)

    @property
    def to_measure_again(self) -> tuple[RowChange, ...]:
        """What makes the exit status 1 as well: drops of which nobody can say whose they are."""
        return tuple(row for row in self.rows if row.must_be_measured_again)

    @property
    def unsound(self) -> tuple[RowChange, ...]:
        """The rows of which it can't be said whether they are better or worse: the runs' own doubts allow both."""
        return tuple(row for row in self.rows if row.outcome == "unsound")

    @property
    def compared(self) -> tuple[RowChange, ...]:
        """The rows of whose rates something is said."""
        return tuple(row for row in self.rows if row.is_compared)

    @property
    def unplanned(self) -> tuple[RowChange, ...]:
        """The rows that the old run measured and the new one did not plan: it is a run of some of the variants."""
        return tuple(row for row in self.rows if row.outcome == "unplanned")

    @property
    def old_rows_count(self) -> int:
        """The rows of the old run."""
        return sum(row.old is not None for row in self.rows)

    @property
    def median_ratio(self) -> float | None:
        """The middle one of the exact ratios: far from 1 where the machine and not one variant changed."""
        ratios = [row.ratio for row in self.rows if row.is_exact and row.ratio is not None]
        return statistics.median(ratios) if ratios else None


def compare_runs(old: RunSide, new: RunSide, threshold_percent: float = THRESHOLD_PERCENT) -> RunComparison:
    """The rows of both runs, matched by scenario and variant: the new run's order, then what is in the old one only."""
    floor_ratio = larger_floor(old.noise_floor, new.noise_floor)
    pairs = _pairs(old, new)
    return RunComparison(
        old=_caveats(old.plan),
        new=_caveats(new.plan),
        threshold_percent=threshold_percent,
        noise_floor_ratio=floor_ratio,
        rows=row_changes(pairs, Limits(floor_ratio, 1 - threshold_percent / 100)),
        changes=(
            *plan_changes(old.plan, new.plan),
            *environment_changes(old.environment, new.environment),
            # A variant under two scenarios is served in the same way: said once.
            *dict.fromkeys(change for pair in pairs for change in _serving_changes(pair, old.plan, new.plan)),
        ),
    )


def _caveats(plan: RunPlan) -> RunCaveats:
    return RunCaveats(plan.run_id, plan.forced, plan.notes)


def _pairs(old: RunSide, new: RunSide) -> list[RowPair]:
    before = {(row.scenario, row.variant): row for row in old.rows}
    after = {(row.scenario, row.variant): row for row in new.rows}
    return [row_pair(old.plan, new.plan, before.get(key), after.get(key)) for key in dict.fromkeys([*after, *before])]


def _serving_changes(pair: RowPair, old_plan: RunPlan, new_plan: RunPlan) -> tuple[Change, ...]:
    """How the variant itself was served: as it was found running, and what it was made of."""
    if pair.both is None:
        return ()
    served = [{"argv": shlex.join(row.argv), "backlog": str(row.backlog)} for row in pair.both]
    # Of card, application and locked packages (catalogue/deployment.py).
    digests = [plan.variant_digests.get(pair.both[1].variant, "") for plan in (old_plan, new_plan)]
    if all(digests):
        served = [found | {"made_of": digest[:12]} for found, digest in zip(served, digests, strict=True)]
    return fact_changes(pair.both[1].variant, *served)
