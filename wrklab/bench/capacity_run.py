"""Capacities on real hosts: each variant searched in turn, every window a cell of an ordinary run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import TypeAdapter
from rich.console import Console

from wrklab.bench.bench import maximum_of, new_plan, probed_limits
from wrklab.bench.capacity import Capacity, Search, Window, parse_objectives
from wrklab.bench.cells import BenchResult, DescribeCell
from wrklab.bench.mixes import refuse_missing_secrets
from wrklab.bench.plan import DEFAULT_SCENARIO, HALF_RATE_KEY, Cell
from wrklab.bench.resume import (
    variant_digests,
)
from wrklab.bench.search_windows import SearchWindows, hosts_to_go_on_with
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.scenario import Scenario, override
from wrklab.catalogue.stack import Variant
from wrklab.errors import UsageError
from wrklab.hosts.application import backends_of
from wrklab.hosts.ready import ReadyHosts, ready_hosts
from wrklab.paths import RESULTS_DIR
from wrklab.progress import BenchProgress
from wrklab.results.records import CellRecord, Record, RunPlan, Twin
from wrklab.results.run_folder import CAPACITY_FILE, CAPACITY_RESULT_FILE, Run, check_room, write_file

#: From a cell's record to what the search needs of it, by the verdict of rules.
Judge: TypeAlias = Callable[[RunPlan, CellRecord], Window]

#: A search begins below what is known of the variant: a first window that overloads it says least.
_START_RATIO = 0.7
#: Where nothing is known of a variant, and it answered nothing right under a closed loop.
_START_PER_S = 50.0
#: The closed loop of a look: long enough for a rate, as nothing rests on its latencies.
_LOOK_S = 3.0
#: What a search takes, for the room on the disk and the time left.
_WINDOWS_USUAL_COUNT = 9
#: A window has this many answers, and is as long as this at most: a search has a dozen of them.
_ANSWERS_COUNT = 5000
_WINDOW_MIN_S, _WINDOW_MAX_S = 4.0, 10.0
_SEED_MAX = 2**31


@dataclass(frozen=True)
class CapacityRequest:
    """What was asked of `capacity`."""

    variants: tuple[str, ...]
    objectives: str
    lab: str = "container"
    scenario: str = DEFAULT_SCENARIO
    overrides: Mapping[str, object] = field(default_factory=dict)
    precision_ratio: float = 0.05
    #: Every variant is searched twice: how far the two are apart is the noise of a capacity.
    aa: bool = False
    is_forced: bool = False


class CapacityTarget(Record):
    """One search: a variant, and what is known of it beforehand. Rates are requests/s."""

    variant: str
    twin: Twin = ""
    #: Where the search begins. None: a look comes first, a closed loop that shows about what the variant can do.
    start_per_s: float | None
    #: Its rate under a closed loop, where a run has measured it.
    likely_max_per_s: float | None = None


class CapacityPlan(Record):
    """capacity.json of a run: what is searched."""

    objectives: str
    precision_ratio: float
    #: What every window is like but for its rate.
    scenario: Scenario
    #: Keys of the scenario that were given, so that nothing else sets them.
    given: tuple[str, ...]
    targets: tuple[CapacityTarget, ...]


@dataclass(frozen=True)
class CapacityResult:
    """What one search came to."""

    variant: str
    twin: Twin
    capacity: Capacity
    took_s: float
    #: Each window's rate and figures, in the order in which they were measured.
    windows: tuple[Window, ...]


def run_capacity(  # noqa: PLR0913, PLR0917  what a run takes, and the judge
    catalogue: Catalogue,
    request: CapacityRequest,
    console: Console,
    describe: DescribeCell,
    judge: Judge,
    attachments: Mapping[str, str],
) -> BenchResult:
    """Search all capacities that a request asks for. Raises UsageError before anything is touched, LabError."""
    parse_objectives(request.objectives)
    plan = _capacity_plan(catalogue, request)
    refuse_missing_secrets([plan.scenario], os.environ)
    names = sorted({target.variant for target in plan.targets})
    check_room(RESULTS_DIR, _WINDOWS_USUAL_COUNT * len(plan.targets))
    variants = [catalogue.variants[name] for name in names]
    services = backends_of(catalogue)
    with ready_hosts(
        catalogue, request.lab, console, variants, is_forced=request.is_forced, backends=services
    ) as ready:
        run_plan = new_plan(ready, names, (), secrets.randbelow(_SEED_MAX), ())
        environment = ready.environment(variants)
        files = {**attachments, CAPACITY_FILE: plan.model_dump_json(indent=1)}
        with Run.create(RESULTS_DIR, run_plan, environment, files) as run:
            return _Searches(ready, run, plan, describe, judge).run(console)


def resume_capacity(  # noqa: PLR0913  what a run takes, and the judge
    catalogue: Catalogue, run_id: str, console: Console, describe: DescribeCell, judge: Judge, *, is_forced: bool
) -> BenchResult:
    """Go on with a search that ended early, at its next window. Raises as bench.resume_bench does."""
    with Run.open(RESULTS_DIR, run_id) as run:
        plan = read_capacity_plan(run)
        run.hold()
        with hosts_to_go_on_with(
            run, catalogue, [target.variant for target in plan.targets], plan.scenario, console, is_forced=is_forced
        ) as ready:
            return _Searches(ready, run, plan, describe, judge).run(console)


def read_capacity_plan(run: Run) -> CapacityPlan:
    """What a run searches. Raises UsageError where it is no search for capacities."""
    text = run.attachment(CAPACITY_FILE)
    if text is None:
        raise UsageError(f"run {run.plan.run_id} is no search for capacities: invoke bench --resume {run.plan.run_id}")
    return CapacityPlan.model_validate_json(text)


def results_of(run: Run, judge: Judge) -> tuple[CapacityResult, ...]:
    """What the windows stored in a run come to, one result for each search."""
    plan = read_capacity_plan(run)
    return tuple(_result(run, plan, target, judge) for target in plan.targets)


def _capacity_plan(catalogue: Catalogue, request: CapacityRequest) -> CapacityPlan:
    """Raises UsageError, UnknownNameError."""
    variants = catalogue.select_variants(request.variants)
    scenario = searched_scenario(catalogue.scenario(request.scenario), request.overrides)
    maximum = maximum_of(catalogue, request.lab)
    probed = probed_limits(request.lab, variant_digests(catalogue, [variant.name for variant in variants]), None)
    twins: tuple[Twin, ...] = ("a", "b") if request.aa else ("",)
    targets = [
        CapacityTarget(
            variant=variant.name,
            twin=twin,
            start_per_s=_start_per_s(variant, scenario, most, probed[variant.name]),
            likely_max_per_s=most,
        )
        for variant in variants
        for most in [maximum(variant, scenario.asks_for)]
        for twin in twins
    ]
    return CapacityPlan(
        objectives=request.objectives,
        precision_ratio=request.precision_ratio,
        scenario=scenario,
        given=tuple(request.overrides),
        targets=tuple(targets),
    )


def _start_per_s(variant: Variant, scenario: Scenario, maximum_per_s: float | None, probed: int | None) -> float | None:
    """A part of the closed-loop maximum, or of what the probe's limit allows at the hold; None: neither is known."""
    hold_s = Cell(variant, scenario, 1).hold_ms / 1000
    by_limit = probed / hold_s if probed and hold_s else None
    known = [rate for rate in (maximum_per_s, by_limit) if rate]
    return _START_RATIO * min(known) if known else None


def searched_scenario(scenario: Scenario, overrides: Mapping[str, object]) -> Scenario:
    """What a search is asked to load with. It finds rates of its own, so half of one says nothing more.

    Raises UsageError for a scenario that has a rate.
    """
    if scenario.rate_per_s is not None:
        raise UsageError(f"scenario {scenario.name} has a rate, and a search finds rates itself: take another one")
    return override(scenario, {**overrides, HALF_RATE_KEY: False})


def window_scenario(scenario: Scenario, given: Collection[str], rate_per_s: float) -> Scenario:
    """What a window at this rate is like; keys that were `given` stay as the scenario has them."""
    duration_s = min(max(float(round(_ANSWERS_COUNT / rate_per_s)), _WINDOW_MIN_S), _WINDOW_MAX_S)
    changes: dict[str, object] = {
        "rate_per_s": rate_per_s,
        "duration_s": scenario.duration_s if "duration_s" in given else duration_s,
    }
    if "connections" in given:
        changes["connections"] = scenario.connections
    return override(scenario, changes)


def look_scenario(scenario: Scenario, given: Collection[str]) -> Scenario:
    """What a look is like: a closed loop, of a length of its own unless one was `given`."""
    return scenario if "duration_s" in given else override(scenario, {"duration_s": _LOOK_S})


def _cells_of(records: Iterable[CellRecord], target: CapacityTarget) -> list[CellRecord]:
    """A search's windows in the order in which they were measured."""
    found = [record for record in records if (record.variant, record.twin) == (target.variant, target.twin)]
    return sorted(found, key=lambda record: record.position)


def _result(run: Run, plan: CapacityPlan, target: CapacityTarget, judge: Judge) -> CapacityResult:
    cells = _cells_of(run.cells(), target)
    windows = _windows_of(run.plan, cells, judge)
    return CapacityResult(
        variant=target.variant,
        twin=target.twin,
        capacity=_search(plan, target, _look_in(run.plan, cells)).capacity(windows),
        took_s=sum(cell.finished_at_s - cell.started_at_s for cell in cells),
        windows=windows,
    )


def _windows_of(plan: RunPlan, cells: Iterable[CellRecord], judge: Judge) -> tuple[Window, ...]:
    """A search's windows at a rate, without its look."""
    return tuple(judge(plan, cell) for cell in cells if plan.scenarios[cell.scenario].is_open_loop)


def _look_in(plan: RunPlan, cells: Iterable[CellRecord]) -> CellRecord | None:
    """A search's look, where it has had one."""
    return next((cell for cell in cells if not plan.scenarios[cell.scenario].is_open_loop), None)


def _search(plan: CapacityPlan, target: CapacityTarget, look: CellRecord | None) -> Search:
    """The search from what was known beforehand, or from its look."""
    start, most = target.start_per_s, target.likely_max_per_s
    if start is None:
        most = look.measurement.right_answers_per_s or None if look and look.measurement else None
        start = _START_RATIO * most if most else _START_PER_S
    return Search(parse_objectives(plan.objectives), start, plan.precision_ratio, most)


class _Searches:
    """All searches of a run, one after the other."""

    def __init__(self, ready: ReadyHosts, run: Run, plan: CapacityPlan, describe: DescribeCell, judge: Judge) -> None:
        self._run = run
        self._plan = plan
        self._judge = judge
        self._windows = SearchWindows(ready, run, describe)

    def run(self, console: Console) -> BenchResult:
        """Every search to its end. Whatever ends them early is in the result; nothing is left on the hosts then."""
        count = _WINDOWS_USUAL_COUNT * len(self._plan.targets)
        return self._windows.run(console, count, count * self._window_s(), self._search_all)

    def _window_s(self) -> float:
        """About how long a window takes."""
        first = self._windows.variant(self._plan.targets[0].variant)
        return Cell(first, self._plan.scenario, 1).planned_s

    def _search_all(self, progress: BenchProgress) -> None:
        for number, target in enumerate(self._plan.targets, 1):
            self._search(target, progress, len(self._plan.targets) - number)

    def _search(self, target: CapacityTarget, progress: BenchProgress, searches_left: int) -> None:
        """Measure until the search ends, going on from the stored windows. `searches_left`: those after this one."""
        cells = _cells_of(self._run.cells(), target)
        look = _look_in(self._run.plan, cells)
        if target.start_per_s is None and look is None:
            scenario = look_scenario(self._plan.scenario, self._plan.given)
            look = self._windows.measure(target.variant, scenario, target.twin, progress)
        search = _search(self._plan, target, look)
        windows = list(_windows_of(self._run.plan, cells, self._judge))
        while (rate := search.next_rate(windows)) is not None:
            scenario = window_scenario(self._plan.scenario, self._plan.given, rate)
            record = self._windows.measure(target.variant, scenario, target.twin, progress)
            windows.append(self._judge(self._run.plan, record))
            # One more than usual, as long as it has not ended.
            left = max(1, _WINDOWS_USUAL_COUNT - len(windows)) + searches_left * _WINDOWS_USUAL_COUNT
            progress.expect(left, left * self._window_s())
        progress.expect(searches_left * _WINDOWS_USUAL_COUNT, searches_left * _WINDOWS_USUAL_COUNT * self._window_s())
        found = search.capacity(windows)
        self._run.journal("capacity", f"{target.variant}{target.twin}: {found}")


_RESULTS: TypeAdapter[tuple[CapacityResult, ...]] = TypeAdapter(tuple[CapacityResult, ...])


def store_results(run: Run, results: tuple[CapacityResult, ...]) -> None:
    """Writes what was found, with the curve of each search, next to the run's plan. Raises StoreError."""
    write_file(run.path / CAPACITY_RESULT_FILE, _RESULTS.dump_json(results, indent=1).decode())
