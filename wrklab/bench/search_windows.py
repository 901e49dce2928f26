"""The windows of a search on real hosts: each a cell of an ordinary run, planned when the one before has ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from wrklab.bench.bench import planned_cell, probed_limits, share_loads
from wrklab.bench.cells import Bench, BenchResult, DescribeCell, measure_cell, run_to_its_end
from wrklab.bench.mixes import refuse_missing_secrets
from wrklab.bench.plan import Cell, made_again
from wrklab.bench.resume import (
    drop_half_written,
    other_machines,
    refuse_other_hosts,
    refuse_other_servers,
    resume_notes,
)
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.scenario import Scenario
from wrklab.catalogue.stack import Variant
from wrklab.hosts.limits import LoadShares
from wrklab.hosts.ready import ReadyHosts, ready_hosts
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


@contextmanager
def hosts_to_go_on_with(  # noqa: PLR0913  what a run takes
    run: Run, catalogue: Catalogue, names: Sequence[str], scenario: Scenario, console: Console, *, is_forced: bool
) -> Iterator[ReadyHosts]:
    """The hosts of a search that ended early, ready for its next window; the run notes what has changed since.

    `names` are the variants that it searches. Raises as bench.resume_bench does.
    """
    catalogue = made_again(catalogue, run.plan)
    refuse_other_servers(catalogue, run.plan)
    refuse_missing_secrets([scenario], os.environ)
    ended_count = len(run.cells())
    variants = [catalogue.variants[name] for name in names]
    with ready_hosts(
        catalogue, run.plan.lab, console, variants, is_forced=is_forced, backends=run.plan.backends
    ) as ready:
        refuse_other_hosts(ready.session.hosts, run.plan)
        environment = ready.environment(variants)
        others = other_machines(run.environment, environment, is_forced=is_forced)
        drop_half_written(run)
        run.resumed(environment, resume_notes(run, ended_count, environment), (*ready.readiness.forced, *others))
        yield ready
