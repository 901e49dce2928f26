"""The windows of a search on real hosts: each a cell of an ordinary run, planned when the one before has ended."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from wrklab.bench.bench import planned_cell, probed_limits, share_loads
from wrklab.bench.cells import Bench, BenchResult, DescribeCell, measure_cell, run_to_its_end
from wrklab.bench.plan import Cell
from wrklab.catalogue.scenario import Scenario
from wrklab.catalogue.stack import Variant
from wrklab.hosts.limits import LoadShares
from wrklab.hosts.ready import ReadyHosts
from wrklab.progress import BenchProgress
from wrklab.results.records import CellRecord, Twin
from wrklab.results.run_folder import Run


class SearchWindows:
    """Measures the windows of a run that is a search, one after the other."""

    def __init__(self, ready: ReadyHosts, run: Run, describe: DescribeCell) -> None:
        """Nothing is measured yet."""
        self._ready = ready
        self._run = run
        self._shares: dict[str, LoadShares] = {}
        self._bench = Bench(ready.session, ready.held, run, (), self._shares, describe)
        self._probed = probed_limits(run.plan.lab, run.plan.variant_digests, run.plan.server_cpus_count)

    def variant(self, name: str) -> Variant:
        """A variant of the run, with the time that these hosts need."""
        session = self._ready.session
        return session.with_scaled_timeouts(session.catalogue.variants[name])

    def measure(self, variant: str, scenario: Scenario, twin: Twin, progress: BenchProgress) -> CellRecord:
        """The next window of a variant under a scenario, stored. Raises LimitError, StoreError, HostError."""
        cells = [cell for cell in self._run.cells() if (cell.variant, cell.twin) == (variant, twin)]
        before = sum(cell.scenario == scenario.name for cell in cells)
        cell = Cell(self.variant(variant), scenario, before + 1, twin)
        return measure_cell(self._bench, cell, self._plan_cell(cell), progress)

    def _plan_cell(self, cell: Cell) -> int:
        """The cell's position in the plan, where it is added unless it is there."""
        if cell.scenario.name not in self._shares:
            shares, _ = share_loads(self._ready, [cell.scenario])
            self._shares |= shares
        planned = planned_cell(self._ready.session, cell, self._probed[cell.variant.name])
        return self._run.extend_plan(planned, cell.scenario)

    def run(
        self, console: Console, windows_count: int, planned_s: float, work: Callable[[BenchProgress], None]
    ) -> BenchResult:
        """All of a search. Whatever ends it early is in the result; nothing is left on the hosts then."""
        self._ready.held.note_run(self._run.plan.run_id)
        return run_to_its_end(self._bench, console, windows_count, planned_s, work)
