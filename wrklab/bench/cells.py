"""The cells of a run, one after another: each tried at most twice, each stored as it ends."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from wrklab.bench.cell_run import CellRaw, run_cell
from wrklab.bench.plan import Cell
from wrklab.bench.retry import revive
from wrklab.errors import StoreError, WrklabError
from wrklab.extract.cell import CellOutcome, cell_outcome
from wrklab.hosts.host_lock import HeldHosts
from wrklab.hosts.limits import LoadShares
from wrklab.hosts.session import Session
from wrklab.progress import BenchProgress
from wrklab.results.records import CellRecord, Failure, RunPlan
from wrklab.results.run_folder import Run, write_file

#: Where the first of two attempts keeps what the hosts said, below the cell's own folder.
FIRST_ATTEMPT = "attempt_1"


#: Writes one line, as rich markup, of what came of a cell.
DescribeCell = Callable[[RunPlan, CellRecord], str]


@dataclass(frozen=True)
class BenchResult:
    """How a bench ended; everything else is in the run's folder."""

    run_dir: Path
    run_id: str
    #: Somebody ended it early (Ctrl-C, SIGTERM, SIGHUP).
    is_interrupted: bool
    failed_cells: tuple[str, ...]
    #: Why it could not go on; empty where it could.
    problem: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether every cell of the plan ended."""
        return not self.is_interrupted and not self.problem


@dataclass(frozen=True)
class Bench:
    """A run about to be measured: hosts that are ours, and all cells of its plan."""

    session: Session
    held: HeldHosts
    run: Run
    cells: Sequence[Cell]
    #: The wrk processes of every generator, by the scenario's name.
    shares: Mapping[str, LoadShares]
    describe: DescribeCell


def run_cells(bench: Bench, console: Console) -> BenchResult:
    """Measure those of the plan's cells that are not in the run yet.

    Whatever ends it early is in the result; nothing of ours runs on the hosts then.
    """
    run = bench.run
    bench.held.note_run(run.plan.run_id)
    found = {record.cell_id: record for record in run.cells()}
    to_do = [(position, cell) for position, cell in enumerate(bench.cells) if cell.cell_id not in found]
    state: Literal["finished", "interrupted"] = "interrupted"
    problem, is_interrupted = "", False
    try:
        with BenchProgress(console, len(to_do), sum(cell.planned_s for _, cell in to_do)) as progress:
            for position, cell in to_do:
                found[cell.cell_id] = _CellTry(bench, cell, position, progress).store()
        state = "finished"
    except KeyboardInterrupt:
        console.print("interrupted: ending what runs on the hosts; what was measured is stored")
        problem, is_interrupted = "by the user", True
    except WrklabError as error:
        problem = str(error)
    finally:
        _end(bench, state, problem)
    failed = [record.cell_id for record in found.values() if record.failure is not None and not record.failure.expected]
    return BenchResult(run.path, run.plan.run_id, is_interrupted, tuple(failed), "" if is_interrupted else problem)


def _end(bench: Bench, state: Literal["finished", "interrupted"], problem: str) -> None:
    """Notes how the run ended; where it did early, nothing is left running. What fails here is told by `problem`."""
    if state != "finished" and bench.held.are_ours:
        with contextlib.suppress(WrklabError):
            bench.session.clean_up()
    with contextlib.suppress(StoreError):
        bench.run.end(state)
        if problem:
            bench.run.journal("interrupted", problem)


class _CellTry:
    """One cell, from its first attempt to its record in the store."""

    def __init__(self, bench: Bench, cell: Cell, position: int, progress: BenchProgress) -> None:
        self._bench = bench
        self._run = bench.run
        self._session = bench.session
        self._cell = cell
        self._position = position
        self._progress = progress

    def store(self) -> CellRecord:
        """Measure the cell, once more where it fails, and commit it.

        Raises StoreError, and HostError where a host cannot be used any more: then the cell is not stored.
        """
        cell = self._cell
        self._bench.held.check()
        self._progress.begin(cell.cell_id)
        self._run.journal("begin", "", cell.cell_id)
        outcome, raw = self._attempt("")
        failure = outcome.record.failure
        if failure is not None and not failure.expected:
            self._note(failure)
            self._keep_first_attempt()
            self._progress.again(f"{failure.phase}: {failure.text}")
            outcome, raw = self._attempt(".again")
            outcome = outcome.changed(attempts=2, first_failure=failure)
            if outcome.record.failure is not None:
                self._note(outcome.record.failure)
        self._bench.held.check()
        self._commit(outcome, raw)
        self._progress.end(
            self._bench.describe(self._run.plan, outcome.record),
            cell.planned_s,
            raw.took_s,
            is_failed=outcome.record.failure is not None,
        )
        return outcome.record

    def _note(self, failure: Failure) -> None:
        """A failed attempt in the journal; then the hosts must prove that they can go on. Raises HostError."""
        self._run.journal("attempt_failed", f"{failure.phase}: {failure.text}", self._cell.cell_id)
        self._bench.held.check()
        revive(self._session)

    def _attempt(self, suffix: str) -> tuple[CellOutcome, CellRaw]:
        """One attempt, its raw files kept before anything of them is parsed: a better parser can read old runs."""
        run, cell = self._run, self._cell
        shares = self._bench.shares[cell.scenario.name]
        raw = run_cell(self._session, cell, shares, self._progress.phase, f"{run.plan.run_id}{suffix}")
        for phase, text in raw.events:
            run.journal(phase, text, cell.cell_id)
        folder = run.raw_dir(cell.cell_id)
        said = {f"load.{name}": load for name, load in raw.loads.items()}
        said |= {"server": raw.server, "clocks": {name: asdict(clock) for name, clock in raw.clocks.items()}}
        for name, data in said.items():
            write_file(folder / f"{name}.json", json.dumps(data, separators=(",", ":")))
        outcome = cell_outcome(raw, run.plan.cells[self._position], self._position, self._session.hosts)
        for text in outcome.unread:
            run.journal("not_sampled", text, cell.cell_id)
        return outcome, raw

    def _keep_first_attempt(self) -> None:
        folder = self._run.raw_dir(self._cell.cell_id)
        try:
            (folder / FIRST_ATTEMPT).mkdir(exist_ok=True)
            for path in folder.glob("*.json"):
                shutil.move(path, folder / FIRST_ATTEMPT / path.name)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}; is the disk full or the folder read-only?") from error

    def _commit(self, outcome: CellOutcome, raw: CellRaw) -> None:
        record = outcome.record
        if record.harness_s is not None:
            # What interpreting cost belongs to the harness as well.
            interpreting_s = time.monotonic() - raw.ended_mono_s
            record = record.model_copy(update={"harness_s": record.harness_s + interpreting_s})
        self._run.add_cell(record, outcome.histograms, outcome.samples)
