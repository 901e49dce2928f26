"""A search for a configuration on real hosts: every window a cell of an ordinary run, on a freshly started server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from wrklab.bench.bench import new_plan
from wrklab.bench.capacity import Keeping, Window, figures_of, no_figures, parse_objectives
from wrklab.bench.capacity_run import Judge, look_scenario, searched_scenario, window_scenario
from wrklab.bench.cells import BenchResult, DescribeCell
from wrklab.bench.contest import DECIDE_MIN, Aim, Look, Step
from wrklab.bench.mixes import refuse_missing_secrets
from wrklab.bench.plan import DEFAULT_SCENARIO, Cell
from wrklab.bench.search_windows import SearchWindows, hosts_to_go_on_with
from wrklab.bench.tuning import WINDOWS_A_CAPACITY, Left, Tuned, Tuner, usual_windows
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.scenario import Scenario
from wrklab.errors import UsageError
from wrklab.hosts.application import backends_of
from wrklab.hosts.ready import ReadyHosts, ready_hosts
from wrklab.paths import RESULTS_DIR
from wrklab.progress import BenchProgress, minutes
from wrklab.results.records import CellRecord, Record, RunPlan
from wrklab.results.run_folder import TUNE_PLAN_FILE, Run, check_room, write_file

#: A usual rate, for estimates of how long windows are.
_USUAL_PER_S = 700.0
#: More errors than this under a closed loop, and its rate bounds nothing: too many connections may be why.
_BOUNDING_ERRORS_RATIO = 0.01
_SEED_MAX = 2**31


@dataclass(frozen=True)
class TuneRequest:
    """What was asked of `tune`, with the candidates that it came to."""

    candidates: tuple[str, ...]
    #: The candidate that runs today.
    current: str | None
    objectives: str
    budget_s: float
    rate_per_s: float | None = None
    memory_limit_bytes: int | None = None
    lab: str = "container"
    scenario: str = DEFAULT_SCENARIO
    overrides: Mapping[str, object] = field(default_factory=dict)
    #: Sentences about what is not tried, and why.
    notes: tuple[str, ...] = ()
    is_forced: bool = False


class TunePlan(Record):
    """tune_plan.json of a run: what is searched."""

    candidates: tuple[str, ...]
    current: str | None
    objectives: str
    budget_s: float
    rate_per_s: float | None
    memory_limit_bytes: int | None
    #: What every window is like but for its rate.
    scenario: Scenario
    #: Keys of the scenario that were given, so that nothing else sets them.
    given: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def tuner(self) -> Tuner:
        """The search itself."""
        aim = Aim(parse_objectives(self.objectives), self.budget_s, self.rate_per_s, self.memory_limit_bytes)
        return Tuner(self.candidates, aim, self.current)

    def scenario_of(self, step: Step) -> Scenario:
        """What the window of a step is like."""
        if step.rate_per_s is not None:
            return window_scenario(self.scenario, self.given, step.rate_per_s)
        return look_scenario(self.scenario, self.given)


@dataclass(frozen=True)
class TuneEstimate:
    """What a search will take, about, before it starts."""

    candidates_count: int
    #: One look, and one window at a rate.
    closed_s: float
    open_s: float
    #: Windows at a rate: of the search, and of one candidate that is measured completely.
    windows_count: float
    windows_of_one: int

    @property
    def looks_s(self) -> float:
        """The look at every candidate."""
        return self.candidates_count * self.closed_s

    @property
    def total_s(self) -> float:
        """All of it, unless the budget ends it."""
        return self.looks_s + self.windows_count * self.open_s

    @property
    def whole_grid_s(self) -> float:
        """Every candidate measured completely, for comparison."""
        return self.looks_s + self.candidates_count * self.windows_of_one * self.open_s

    @property
    def least_s(self) -> float:
        """Without this there would be no answer: every look, and one candidate measured completely."""
        return self.looks_s + self.windows_of_one * self.open_s


def tune_plan(catalogue: Catalogue, request: TuneRequest) -> TunePlan:
    """What a request comes to. Raises UsageError, of it for a budget that no answer fits into."""
    if not request.candidates:
        raise UsageError("there is nothing to try: no recipe is left. `invoke list` shows recipes")
    scenario = searched_scenario(catalogue.scenario(request.scenario), request.overrides)
    plan = TunePlan(
        candidates=request.candidates,
        current=request.current,
        objectives=request.objectives,
        budget_s=request.budget_s,
        rate_per_s=request.rate_per_s,
        memory_limit_bytes=request.memory_limit_bytes,
        scenario=scenario,
        given=tuple(request.overrides),
        notes=request.notes,
    )
    if plan.rate_per_s:
        plan.scenario_of(Step(plan.candidates[0], plan.rate_per_s))  # refused now, not at its first window
    least_s = estimate(catalogue, plan).least_s
    if request.budget_s < least_s:
        raise UsageError(
            f"--budget {minutes(request.budget_s)}: {len(plan.candidates)} configurations need {minutes(least_s)} at "
            "least: a look at each and the rates of one. Give more, or try fewer: --recipe NAME, --param workers=2,4"
        )
    return plan


def estimate(catalogue: Catalogue, plan: TunePlan) -> TuneEstimate:
    """What a plan will take."""
    variant = catalogue.variants[plan.candidates[0]]
    closed = Cell(variant, plan.scenario_of(Step(variant.name, None)), 1).planned_s
    opened = Cell(variant, plan.scenario_of(Step(variant.name, _USUAL_PER_S)), 1).planned_s
    count = len(plan.candidates)
    of_one = DECIDE_MIN if plan.rate_per_s else WINDOWS_A_CAPACITY
    return TuneEstimate(count, closed, opened, usual_windows(count, plan.rate_per_s), of_one)


def run_tune(  # noqa: PLR0913, PLR0917  what a run takes, and the judge
    catalogue: Catalogue,
    plan: TunePlan,
    lab: str,
    console: Console,
    describe: DescribeCell,
    judge: Judge,
    attachments: Mapping[str, str],
    *,
    is_forced: bool,
) -> BenchResult:
    """Search as planned. Raises UsageError before anything is touched, LabError."""
    refuse_missing_secrets([plan.scenario], os.environ)
    check_room(RESULTS_DIR, round(len(plan.candidates) + usual_windows(len(plan.candidates), plan.rate_per_s)))
    names = sorted(plan.candidates)
    variants = [catalogue.variants[name] for name in names]
    with ready_hosts(catalogue, lab, console, variants, is_forced=is_forced, backends=backends_of(catalogue)) as ready:
        run_plan = new_plan(ready, names, (), secrets.randbelow(_SEED_MAX), plan.notes)
        files = {**attachments, TUNE_PLAN_FILE: plan.model_dump_json(indent=1)}
        with Run.create(RESULTS_DIR, run_plan, ready.environment(variants), files) as run:
            return _Tuning(ready, run, plan, describe, judge).run(console)


def resume_tune(  # noqa: PLR0913  what a run takes, and the judge
    catalogue: Catalogue,
    run_id: str,
    console: Console,
    describe: DescribeCell,
    judge: Judge,
    *,
    budget_s: float | None,
    is_forced: bool,
) -> BenchResult:
    """Go on with a search that ended early, at its next window; with a new budget also with one that its budget ended.

    Raises as bench.resume_bench does.
    """
    with Run.open(RESULTS_DIR, run_id) as run:
        run.hold()
        plan = with_budget(run, budget_s)
        with hosts_to_go_on_with(run, catalogue, plan.candidates, plan.scenario, console, is_forced=is_forced) as ready:
            return _Tuning(ready, run, plan, describe, judge).run(console)


def with_budget(run: Run, budget_s: float | None) -> TunePlan:
    """What a run searches, from now on within this budget; None: as it was. Raises UsageError, StoreError."""
    plan = read_tune_plan(run)
    if budget_s is not None:
        plan = plan.model_copy(update={"budget_s": budget_s})
        write_file(run.path / TUNE_PLAN_FILE, plan.model_dump_json(indent=1))
    return plan


def read_tune_plan(run: Run) -> TunePlan:
    """What a run searches. Raises UsageError where it is no search for a configuration."""
    text = run.attachment(TUNE_PLAN_FILE)
    if text is None:
        raise UsageError(f"run {run.plan.run_id} is no search for a configuration: `invoke runs` lists what each is")
    return TunePlan.model_validate_json(text)


def looks_of(plan: RunPlan, cells: Sequence[CellRecord], judge: Judge) -> list[Look]:
    """The windows of a run in the order in which they were measured."""
    return [look_of(plan, cell, judge) for cell in sorted(cells, key=lambda cell: cell.position)]


def look_of(plan: RunPlan, cell: CellRecord, judge: Judge) -> Look:
    """One cell as the search sees it."""
    rate_per_s = plan.scenarios[cell.scenario].rate_per_s
    measured = cell.measurement
    return Look(
        step=Step(cell.variant, rate_per_s),
        window=judge(plan, cell) if rate_per_s is not None else _closed_window(plan, cell, judge),
        memory_bytes=measured.server.memory_max_bytes if measured else None,
        # A cell that failed once has the times of its second attempt.
        took_s=cell.attempts * (cell.finished_at_s - cell.started_at_s),
    )


def _closed_window(plan: RunPlan, cell: CellRecord, judge: Judge) -> Window:
    """A closed loop's: right answers a second. Void where that is not the most that the server can do.

    Connections that starve or wait there are no reason against it: nobody promised it so many.
    """
    measured = cell.measurement
    if measured is None:
        why = cell.failure.text.partition("\n")[0] if cell.failure else "failed"
        return Window(0.0, no_figures(), Keeping.BEHIND, why)
    figures, judged = figures_of(measured), judge(plan, cell)
    is_bounding = not (
        judged.keeping is Keeping.VOID or judged.is_disturbed or figures["errors"] > _BOUNDING_ERRORS_RATIO
    )
    rate_per_s = measured.requests_per_s * max(0.0, 1 - figures["errors"])
    return Window(rate_per_s, figures, Keeping.KEPT if is_bounding else Keeping.VOID)


def found_in(run: Run, judge: Judge) -> Tuned:
    """What the windows stored in a run come to."""
    return read_tune_plan(run).tuner.found(looks_of(run.plan, run.cells(), judge))


class _Tuning:
    """The search of one run."""

    def __init__(self, ready: ReadyHosts, run: Run, plan: TunePlan, describe: DescribeCell, judge: Judge) -> None:
        self._run = run
        self._plan = plan
        self._judge = judge
        self._estimate = estimate(ready.session.catalogue, plan)
        self._windows = SearchWindows(ready, run, describe)

    def run(self, console: Console) -> BenchResult:
        """To its end, from the windows that are stored already."""
        left = self._left(looks_of(self._run.plan, self._run.cells(), self._judge))
        return self._windows.run(console, left.windows_count, left.seconds, self._search)

    def _search(self, progress: BenchProgress) -> None:
        tuner, looks = self._plan.tuner, looks_of(self._run.plan, self._run.cells(), self._judge)
        while (step := tuner.next_step(looks)) is not None:
            record = self._windows.measure(step.candidate, self._plan.scenario_of(step), "", progress)
            looks.append(look_of(self._run.plan, record, self._judge))
            left = self._left(looks)
            progress.expect(left.windows_count, left.seconds)
        self._run.journal("tune", f"ties: {', '.join(tuner.found(looks).ties) or 'none'}")

    def _left(self, looks: Sequence[Look]) -> Left:
        return self._plan.tuner.left(looks, self._estimate.closed_s, self._estimate.open_s)
