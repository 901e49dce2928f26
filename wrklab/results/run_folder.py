"""results/: one folder a run, with plan.json, environment.json, raw/<cell_id>/, store.sqlite and the reports."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ValidationError

from wrklab.catalogue.scenario import Scenario
from wrklab.errors import StoreError, UnknownNameError
from wrklab.protocol.blanking import blanked, without_known_secrets
from wrklab.results.records import CellRecord, JournalEntry, PlannedCell, RunEnvironment, RunPlan, StoredSample
from wrklab.results.store import Store

#: 20261121T003012Z_ab12: names sort by time.
RUN_ID = re.compile(r"\d{8}T\d{6}Z_[0-9a-f]{4}")
_CELL_ID = re.compile(r"[a-z0-9_]+(@[a-z0-9_-]+)?(\.[a-z0-9_-]+)*")
#: The word that means the newest run wherever a run id may stand.
LATEST = "latest"
_LATEST = re.compile(rf"{LATEST}(~(?P<back>\d{{1,6}}))?")
#: Before the name of a run that is being made; no list of runs has such a folder.
_UNFINISHED = ".new_"
#: In the folder of a search for capacities: what is searched; and, once it has ended, what was found.
CAPACITY_FILE = "capacity.json"
CAPACITY_RESULT_FILE = "capacity_result.json"
#: The same of a search for a configuration.
TUNE_PLAN_FILE = "tune_plan.json"
TUNE_FILE = "tune.json"
TUNE_PAGE_FILE = "tune.md"
#: What a run is, by a file that it was created with; any other is a bench.
RunKind = Literal["bench", "capacity", "tune"]
_KINDS: dict[str, RunKind] = {CAPACITY_FILE: "capacity", TUNE_PLAN_FILE: "tune"}
_STORE = "store.sqlite"
#: A store that is being filled, and the one that it replaced.
_NEW_STORE = "store.sqlite.new"
_FORMER_STORE = "store.sqlite.before"

MIB = 1024 * 1024
#: What a run takes besides its cells (environments, reports), and a cell on average (raw files, samples, histograms).
RUN_BYTES = 8 * MIB
CELL_BYTES = MIB

RunState = Literal["open", "finished", "interrupted"]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class RunInfo:
    """What a list of runs shows of one. `problem` says why it cannot be read; then the figures are empty."""

    run_id: str
    path: Path
    created_at_s: float = 0.0
    lab: str = ""
    command: str = ""
    #: `open`: still running, or its controller died.
    state: RunState = "open"
    planned_count: int = 0
    measured_count: int = 0
    failed_count: int = 0
    problem: str = ""


class Run:
    """One run's folder, open for reading and writing. Every method raises StoreError."""

    def __init__(self, path: Path, plan: RunPlan, environment: RunEnvironment, store: Store) -> None:
        """Use Run.create or Run.open."""
        self.path = path
        self.plan = plan
        self.environment = environment
        self.store = store
        self._held: int | None = None

    @classmethod
    def create(
        cls,
        results_dir: Path,
        plan: RunPlan,
        environment: RunEnvironment,
        attachments: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """A new folder named by plan.run_id (see new_run_id). Under that name it is complete or not there at all.

        `attachments` are further files, name -> text, that only their writer understands.
        """
        path = results_dir / plan.run_id
        with whole_folder(path) as unfinished:
            fill_folder(unfinished, plan, environment, attachments)
            meta = {"run_id": plan.run_id, "state": "open", "created_at_s": repr(plan.created_at_s)}
            # SQLite goes by the path that it opened, so the store is opened again after the folder has its name.
            Store.create(unfinished / _STORE, meta).close()
        run = cls(path, plan, environment, Store.open(path / _STORE))
        run.hold()
        return run

    @classmethod
    def open(cls, results_dir: Path, run_id: str = LATEST, *, accepts_older: bool = False) -> Self:
        """An earlier run, or one under way. `run_id` may be `latest`. Raises UnknownNameError listing the runs.

        A run of an older format is refused, or opened for `invoke reparse`, which reads its records as plain JSON.
        """
        known = run_ids(results_dir)
        run_id = resolve_run_id(known, run_id)
        if run_id not in known:
            raise UnknownNameError("run", run_id, known)
        path = results_dir / run_id
        # The store first: what is wrong with a run of an older format is its format.
        store = Store.open(path / _STORE, accepts_older=accepts_older) if (path / _STORE).is_file() else None
        try:
            plan = _read_model(path / "plan.json", RunPlan)
            environment = _read_model(path / "environment.json", RunEnvironment)
            return cls(path, plan, environment, store or Store.open(path / _STORE))
        except BaseException:
            if store:
                store.close()
            raise

    def __enter__(self) -> Self:
        """The run itself; its store is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the store, and lets go of the folder."""
        self.store.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def attachment(self, name: str) -> str | None:
        """The text of a file that the run was created with; None where it was created without it."""
        return read_attachment(self.path / name)

    def hold(self) -> None:
        """This run for one writer alone, until it is closed or its process dies. Raises StoreError where one is."""
        if self._held is not None:
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{self.path} is being written by another process: wait for its end") from error
        self._held = descriptor

    def add_cell(
        self, record: CellRecord, histograms: Mapping[str, bytes], samples: Iterable[StoredSample] = ()
    ) -> None:
        """Everything of one ended cell, in one transaction synced to disk. `histograms`: kind -> Histogram.to_bytes().

        Kinds: `observed` (wrk's correction undone) and `wrk` (as wrk reports); of a mix
        `request:NAME`; with several generators `observed@HOST`.
        """
        self.store.add_cell(record, histograms, samples)

    def journal(self, phase: str, text: str, cell_id: str | None = None, at_s: float | None = None) -> None:
        """Appends one event without secrets, synced to disk; `at_s` is now unless it is given."""
        self.store.add_journal(phase, blanked(text), cell_id, at_s)

    def journal_entries(self) -> list[JournalEntry]:
        """Every event, oldest first."""
        return self.store.journal_entries()

    def cells(self) -> list[CellRecord]:
        """Every cell that ended, in the order of the plan."""
        return self.store.cells()

    def samples(self, cell_id: str, globs: Sequence[str] = ()) -> list[StoredSample]:
        """What was sampled on all hosts while one cell ran, by time; with `globs` only metrics that fit one."""
        return self.store.samples(cell_id, globs)

    def histograms(self, cell_id: str) -> dict[str, bytes]:
        """The histograms of one cell by kind; {} for a failed cell."""
        return self.store.histograms(cell_id)

    def raw_dir(self, cell_id: str) -> Path:
        """The folder for one cell's files as they were pulled; made when it is missing."""
        if not _CELL_ID.fullmatch(cell_id):
            raise StoreError(
                f"{cell_id!r} cannot be a cell's folder: expected words of a-z, 0-9 and _ with dots between"
            )
        path = self.path / "raw" / cell_id
        try:
            # Not its parents: where somebody removed the run's folder, half a run must not come up in its place.
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path} cannot be made: {error.strerror}; is the disk full, or the run gone?") from error
        return path

    def extend_plan(self, cell: PlannedCell, scenario: Scenario) -> int:
        """Adds a cell to the plan, unless it is there; its position. Searches know their next cell by the last one."""
        known = [planned.cell_id for planned in self.plan.cells]
        if cell.cell_id in known:
            return known.index(cell.cell_id)
        scenarios = self.plan.scenarios | {scenario.name: scenario}
        self.plan = self.plan.model_copy(update={"cells": (*self.plan.cells, cell), "scenarios": scenarios})
        write_file(self.path / "plan.json", self.plan.model_dump_json(indent=1))
        return len(known)

    def end(self, state: Literal["finished", "interrupted"]) -> None:
        """Notes that nobody writes this run any more."""
        self.store.set_meta("state", state)
        self.store.set_meta("ended_at_s", repr(time.time()))

    def resumed(self, environment: RunEnvironment, notes: Sequence[str], forced: Sequence[str] = ()) -> None:
        """Notes that somebody goes on with this run: the hosts as they are now, and sentences for every report.

        `forced` are reasons against measuring now that `--force` overrode.
        """
        number = 2 + len(list(self.path.glob("environment_*.json")))
        write_file(self.path / f"environment_{number}.json", environment.model_dump_json(indent=1))
        self.plan = self.plan.model_copy(
            update={"notes": (*self.plan.notes, *notes), "forced": (*self.plan.forced, *forced)}
        )
        write_file(self.path / "plan.json", self.plan.model_dump_json(indent=1))
        self.store.set_meta("state", "open")
        for note in notes:
            self.journal("resumed", note)

    @contextmanager
    def replaced_store(self) -> Iterator[Store]:
        """An empty store with this run's journal, to be filled within the block; then it is the run's store.

        Until that instant the old one is in its place: a block that fails, or a process that is killed, changes
        nothing. The old one is kept next to it as store.sqlite.before.
        """
        path, new_path, former_path = (self.path / name for name in (_STORE, _NEW_STORE, _FORMER_STORE))
        _remove_store(new_path)
        new = Store.create(new_path, self.store.meta())
        try:
            new.add_journal_entries(self.store.journal_entries())
            yield new
            new.close()
            self.store.close()
            former_path.unlink(missing_ok=True)
            former_path.hardlink_to(path)
            new_path.replace(path)
            _sync_folder(self.path)
        except OSError as error:
            raise StoreError(f"{new_path} cannot be put in place: {error.strerror}; the old store is kept") from error
        finally:
            new.close()
            _remove_store(new_path)
        self.store = Store.open(path)

    def drop_former_store(self) -> None:
        """Removes the store that was replaced."""
        (self.path / _FORMER_STORE).unlink(missing_ok=True)

    def info(self) -> RunInfo:
        """Its line in a list of runs."""
        counts = self.store.state_counts()
        state = self.store.meta().get("state", "open")
        return RunInfo(
            run_id=self.plan.run_id,
            path=self.path,
            created_at_s=self.plan.created_at_s,
            lab=self.plan.lab,
            command=self.plan.command,
            state="finished" if state == "finished" else "interrupted" if state == "interrupted" else "open",
            planned_count=len(self.plan.cells),
            measured_count=counts.get("measured", 0),
            failed_count=counts.get("failed", 0),
        )


def kind_of(path: Path) -> RunKind:
    """What the run in a folder is."""
    return next((kind for name, kind in _KINDS.items() if (path / name).is_file()), "bench")


def new_run_id(at_s: float | None = None) -> str:
    """A name for a run that begins now (or `at_s`, epoch seconds): UTC time and four random hex digits."""
    now = datetime.fromtimestamp(time.time() if at_s is None else at_s, UTC)
    return f"{now:%Y%m%dT%H%M%SZ}_{secrets.token_hex(2)}"


def run_ids(results_dir: Path) -> list[str]:
    """The names of all runs in a results folder, oldest first."""
    if not results_dir.is_dir():
        return []
    return sorted(path.name for path in results_dir.iterdir() if RUN_ID.fullmatch(path.name))


def resolve_run_id(known: Sequence[str], word: str) -> str:
    """The id that `latest` or `latest~2` (the third newest) means among ids by age; any other word as it is."""
    match = _LATEST.fullmatch(word)
    back = int(match["back"] or 0) if match else len(known)
    return known[-1 - back] if back < len(known) else word


def list_runs(results_dir: Path) -> list[RunInfo]:
    """All runs, oldest first; one that cannot be read is listed with its problem."""
    found = []
    for run_id in run_ids(results_dir):
        try:
            with Run.open(results_dir, run_id) as run:
                found.append(run.info())
        except StoreError as error:
            found.append(RunInfo(run_id=run_id, path=results_dir / run_id, problem=str(error)))
    return found


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to be filled within the block. Under its own name it is complete or not there at all.

    Raises StoreError where that name is taken or the folder cannot be made.
    """
    unfinished = path.with_name(f"{_UNFINISHED}{path.name}")
    if path.exists():
        raise StoreError(f"{path} is there already; what was measured is never written over: choose another name")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        unfinished.rename(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}; choose another results folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_room(results_dir: Path, cells_count: int) -> None:
    """Raises StoreError where a run of so many cells cannot be written, before anything is measured in vain."""
    needed_bytes = RUN_BYTES + cells_count * CELL_BYTES
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results_dir) as stream:
            stream.write(b"0")
        free_bytes = shutil.disk_usage(results_dir).free
    except OSError as error:
        raise StoreError(f"{results_dir} cannot be written: {error.strerror}; make it writable, then go on") from error
    if free_bytes < needed_bytes:
        raise StoreError(
            f"{results_dir}: {free_bytes / MIB:,.0f} MiB are free, {cells_count} cells need about "
            f"{needed_bytes / MIB:,.0f}: make room, or ask for fewer cells"
        )


def read_attachment(path: Path) -> str | None:
    """The text of a file that may not be there; None where it is not. Raises StoreError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}; restore it, or remove it") from error


def write_file(path: Path, text: str) -> None:
    """Replaces a file in one step: a reader sees the old one or the new one. Raises StoreError.

    Secrets whose values are known are blanked in it, whoever wrote the text.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            stream.write(without_known_secrets(text))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written: {error.strerror}; is the disk full or the folder read-only?"
        ) from error


def _remove_store(path: Path) -> None:
    """Removes a store that was never finished, and SQLite's journal of it."""
    for each in (path, path.with_name(f"{path.name}-journal")):
        each.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """Puts the names in a folder on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fill_folder(folder: Path, plan: BaseModel, environment: RunEnvironment, attachments: Mapping[str, str]) -> None:
    """What a folder of results has from its beginning: a place for raw files, plan, environment, and `attachments`.

    These are further files, name -> text, that only their writer understands. Raises StoreError.
    """
    (folder / "raw").mkdir()
    write_file(folder / "plan.json", plan.model_dump_json(indent=1))
    write_file(folder / "environment.json", environment.model_dump_json(indent=1))
    for name, text in attachments.items():
        write_file(folder / name, text)


def _read_model(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}; the run was not begun properly: remove its folder"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StoreError(
            f"{path}: {where}: {first['msg']}; read the run with the checkout that wrote it, or remove its folder"
        ) from error
