"""The cells of a run, one after another: each tried at most twice, each stored as it ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from rich.console import Console

from wrklab.bench.cell_run import run_cell
from wrklab.bench.plan import Cell
from wrklab.errors import HostError, StoreError, WrklabError
from wrklab.extract.cell import CellOutcome, cell_outcome
from wrklab.hosts import node_calls
from wrklab.hosts.host_lock import HeldHosts
from wrklab.hosts.limits import LoadShares
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.progress import BenchProgress
from wrklab.results.raw import CellRaw, set_first_attempt_aside, write_conditions, write_raw
from wrklab.results.records import CellRecord, RunPlan
from wrklab.results.run_folder import Run

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
    """A run about to be measured: hosts that this controller holds, and all cells of its plan."""

    session: Session
    held: HeldHosts
    run: Run
    cells: Sequence[Cell]
    #: The wrk processes of every generator, by the scenario's name.
    shares: Mapping[str, LoadShares]
    describe: DescribeCell


class FurtherCells(Protocol):
    """Cells that nobody can plan before those of the plan have ended."""

    @property
    def planned_s(self) -> Sequence[float]:
        """What each of them will take at most, for the time left."""
        ...

    def measure(self, bench: Bench, progress: BenchProgress) -> Iterator[CellRecord]:
        """Plans, measures and commits one after another. Raises what measure_cell raises, LimitError."""
        ...


def run_cells(bench: Bench, console: Console, further: FurtherCells | None = None) -> BenchResult:
    """Measure those of the plan's cells that are not in the run yet, then the further ones.

    Whatever ends it early is in the result; nothing of the run is left on the hosts then.
    """
    run = bench.run
    bench.held.note_run(run.plan.run_id)
    found = {record.cell_id: record for record in run.cells()}
    to_do = [(position, cell) for position, cell in enumerate(bench.cells) if cell.cell_id not in found]

    def work(progress: BenchProgress) -> None:
        for position, cell in to_do:
            found[cell.cell_id] = measure_cell(bench, cell, position, progress)
        if further is not None:
            found.update({record.cell_id: record for record in further.measure(bench, progress)})

    planned_s = [*(cell.planned_s for _, cell in to_do), *(further.planned_s if further else ())]
    result = run_to_its_end(bench, console, len(planned_s), sum(planned_s), work)
    failed = [record.cell_id for record in found.values() if record.failure is not None and not record.failure.expected]
    return replace(result, failed_cells=tuple(failed))


def run_to_its_end(
    bench: Bench, console: Console, windows_count: int, planned_s: float, work: Callable[[BenchProgress], None]
) -> BenchResult:
    """Does the work of a run. Whatever ends it early is in the result; nothing of the run is left on the hosts then."""
    state: Literal["finished", "interrupted"] = "interrupted"
    problem, is_interrupted = "", False
    try:
        with BenchProgress(console, windows_count, planned_s) as progress:
            work(progress)
        state = "finished"
    except KeyboardInterrupt:
        console.print("interrupted: ending what runs on the hosts; what was measured is stored")
        problem, is_interrupted = "by the user", True
    except WrklabError as error:
        problem = str(error)
    finally:
        end_run(bench, state, problem)
    run = bench.run
    return BenchResult(run.path, run.plan.run_id, is_interrupted, (), "" if is_interrupted else problem)


def measure_cell(bench: Bench, cell: Cell, position: int, progress: BenchProgress) -> CellRecord:
    """Measures and commits the cell that the run's plan has at this position. Raises StoreError, HostError."""
    return _CellTry(bench, cell, position, progress).store()


def end_run(bench: Bench, state: Literal["finished", "interrupted"], problem: str) -> None:
    """Notes how the run ended; where it did early, nothing is left running. `problem` says what failed."""
    if state != "finished" and bench.held.are_ours:
        with contextlib.suppress(WrklabError):
            bench.session.clean_up()
    with contextlib.suppress(StoreError):
        bench.run.end(state)
        if problem:
            bench.run.journal("interrupted", problem)


@dataclass(frozen=True)
class _Attempt:
    """What one attempt came to."""

    raw: CellRaw
    outcome: CellOutcome
    took_s: float
    #: When the hosts were done with it, by the controller's monotonic clock.
    ended_mono_s: float


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
        attempt = self._attempt("")
        failure = attempt.outcome.record.failure
        if failure is not None and not failure.expected:
            failure = self._revived(attempt).outcome.record.failure or failure
            set_first_attempt_aside(self._run.raw_dir(cell.cell_id))
            self._progress.again(f"{failure.phase}: {failure.text}")
            attempt = self._attempt(".again")
            if attempt.outcome.record.failure is not None:
                attempt = self._revived(attempt)
            attempt = replace(attempt, outcome=attempt.outcome.changed(attempts=2, first_failure=failure))
        self._bench.held.check()
        record = self._commit(attempt)
        self._progress.end(
            self._bench.describe(self._run.plan, record),
            cell.planned_s,
            attempt.took_s,
            is_failed=record.failure is not None,
        )
        return record

    def _revived(self, attempt: _Attempt) -> _Attempt:
        """The hosts prove that they can go on after a failed attempt; where some rebooted, its failure is laid to that.

        Raises HostError where one cannot go on, StoreError.
        """
        failure = attempt.outcome.record.failure
        if failure is not None:
            self._run.journal("attempt_failed", f"{failure.phase}: {failure.text}", self._cell.cell_id)
        self._bench.held.check()
        rebooted = revive(self._session)
        if not rebooted:
            return attempt
        self._run.journal("rebooted", ", ".join(rebooted), self._cell.cell_id)
        raw = replace(attempt.raw, conditions=attempt.raw.conditions.model_copy(update={"rebooted": rebooted}))
        write_conditions(self._run.raw_dir(self._cell.cell_id), raw.conditions)
        return replace(
            attempt, raw=raw, outcome=cell_outcome(raw, self._run.plan.cells[self._position], self._position)
        )

    def _attempt(self, suffix: str) -> _Attempt:
        """One attempt, its raw files kept before anything of them is interpreted: a better parser can read old runs."""
        run, cell = self._run, self._cell
        shares = self._bench.shares[cell.scenario.name]
        raw = run_cell(self._session, cell, shares, self._progress.phase, f"{run.plan.run_id}{suffix}")
        ended_mono_s = time.monotonic()
        for event in raw.conditions.events:
            run.journal(event.phase, event.text, cell.cell_id)
        write_raw(run.raw_dir(cell.cell_id), raw)
        outcome = cell_outcome(raw, run.plan.cells[self._position], self._position)
        for text in outcome.unread:
            run.journal("not_sampled", text, cell.cell_id)
        return _Attempt(raw, outcome, raw.conditions.took_s, ended_mono_s)

    def _commit(self, attempt: _Attempt) -> CellRecord:
        record = attempt.outcome.record
        if record.harness_s is not None:
            # What interpreting cost belongs to the harness as well.
            interpreting_s = time.monotonic() - attempt.ended_mono_s
            record = record.model_copy(update={"harness_s": record.harness_s + interpreting_s})
        self._run.add_cell(record, attempt.outcome.histograms, attempt.outcome.samples)
        return record


# ---- After a failure: are the hosts still there, and can they carry on? ----

#: How long a host may be away after a cell that waited for it as well; then the run ends, to be resumed some day.
HOST_GONE_LIMIT_S = 15.0
#: What a host needs free: a cell of 20,000 connections and a minute writes some 10 MiB; /run holds an environment.
ROOM_MIN_BYTES = {"/var/lib/wrklab/cells": 32 * 1024 * 1024, "/run/wrklab": 1024 * 1024}
_LOOK_AGAIN_S = 1.0


def revive(session: Session, limit_s: float = HOST_GONE_LIMIT_S) -> tuple[str, ...]:
    """Every host reached again, and nothing of the failed attempt left on it; names of those that rebooted meanwhile.

    Raises HostError where one stays unreachable for `limit_s` (on slow hosts as much longer as they are slow), or
    cannot be used: no sudo, no Python, a full disk.
    """
    limit_s *= session.timeout_scale
    until = time.monotonic() + limit_s
    has_rebooted = session.on_all(lambda host: _revive(host, until, limit_s))
    return tuple(name for name, rebooted in has_rebooted.items() if rebooted)


def _revive(host: RemoteHost, until: float, limit_s: float) -> bool:
    while True:
        try:
            host.open()
            cleaned = node_calls.clean_up(host)
            break
        except HostError as error:
            if time.monotonic() > until:
                raise HostError(f"{host.name}: unusable for {limit_s:g} s after a failed cell: {error}") from error
            time.sleep(_LOOK_AGAIN_S)
    for folder, free_bytes in cleaned.free_bytes.items():
        if free_bytes < ROOM_MIN_BYTES.get(folder, 0):
            raise HostError(
                f"{host.name}: its disk is full: {free_bytes:,} bytes are free in {folder}, "
                f"{ROOM_MIN_BYTES[folder]:,} are needed. Make room, then resume"
            )
    has_rebooted = host.boot_id not in ("", cleaned.boot_id)
    host.boot_id = cleaned.boot_id
    return has_rebooted
