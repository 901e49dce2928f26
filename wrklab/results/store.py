"""The SQLite file of a run: what was measured, committed cell by cell.

It keeps SQLite's rollback journal and not a write-ahead log, although the log would save a millisecond a commit: so
one file holds everything whenever no commit is under way (copying store.sqlite is enough), and someone who may only
read the folder can read it. A reader holds its lock for milliseconds, and the other side waits that long.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wrklab.errors import StoreError
from wrklab.protocol.blanking import without_known_secrets
from wrklab.results.records import CellRecord, JournalEntry, StoredSample

#: Raised when tables or records change; a store of a higher number was written by a newer wrklab.
SCHEMA_VERSION = 2
#: Stands in the file's header, so that another program's SQLite file is not taken for a store ("wrkl").
APPLICATION_ID = 0x77726B6C
#: How long one process waits for another's commit or read.
BUSY_LIMIT_S = 30.0

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE cell (
        cell_id TEXT PRIMARY KEY, position INTEGER NOT NULL, variant TEXT NOT NULL, scenario TEXT NOT NULL,
        round_number INTEGER NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE histogram (
        cell_id TEXT NOT NULL REFERENCES cell, kind TEXT NOT NULL, counts BLOB NOT NULL,
        PRIMARY KEY (cell_id, kind))""",
    """CREATE TABLE sample (
        cell_id TEXT NOT NULL REFERENCES cell, host TEXT NOT NULL, metric TEXT NOT NULL, unit TEXT NOT NULL,
        at_s REAL NOT NULL, value REAL NOT NULL)""",
    "CREATE INDEX sample_of_cell ON sample (cell_id)",
    "CREATE TABLE journal (at_s REAL NOT NULL, cell_id TEXT, phase TEXT NOT NULL, text TEXT NOT NULL)",
)


class Store:
    """An open store.sqlite. Threads of one process may share it; every method raises StoreError."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use Store.create or Store.open."""
        self.path = path
        #: The format that it was written in.
        self.version = SCHEMA_VERSION
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def create(cls, path: Path, meta: Mapping[str, str]) -> Store:
        """A new, empty store with its description in `meta`."""
        if path.exists():
            raise StoreError(f"{path} is there already; a run is never written over: choose another run id")
        store = cls(path, _connect(path))
        with store._transaction() as connection:
            for statement in _TABLES:
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", sorted(meta.items()))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return store

    @classmethod
    def open(cls, path: Path, *, accepts_older: bool = False) -> Store:
        """The store of an earlier or a running bench, checked for its format: of an older one only plain_records()."""
        if not path.is_file():
            raise StoreError(f"{path} is not there: this folder holds no run that was begun properly; remove it")
        store = cls(path, _connect(path))
        try:
            store._check(accepts_older=accepts_older)
        except BaseException:
            store.close()
            raise
        return store

    def _check(self, *, accepts_older: bool) -> None:
        with self._reading() as connection:
            application_id = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute("SELECT count(*) FROM cell").fetchone()  # a file cut short shows itself here
        if application_id != APPLICATION_ID:
            raise StoreError(
                f"{self.path} was not written by wrklab; remove the folder, or name another results folder"
            )
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has format {version}, written by a newer wrklab; this one reads up to {SCHEMA_VERSION}: "
                "read it with the checkout that wrote it (environment.json names its commit), or update this one"
            )

        if version < SCHEMA_VERSION and not accepts_older:
            run_id = self.path.parent.name
            raise StoreError(
                f"run {run_id} is stored in format {version}, and this wrklab reads format {SCHEMA_VERSION}: "
                f"`invoke reparse {run_id}` reads its raw files again"
            )
        self.version = int(version)

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def add_cell(
        self, record: CellRecord, histograms: Mapping[str, bytes], samples: Iterable[StoredSample] = ()
    ) -> None:
        """Everything of one ended cell, in one transaction synced to disk."""
        cell_id = record.cell_id
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    cell_id,
                    record.position,
                    record.variant,
                    record.scenario,
                    record.round_number,
                    record.state,
                    without_known_secrets(record.model_dump_json()),
                ),
            )
            connection.executemany(
                "INSERT INTO histogram VALUES (?, ?, ?)",
                [(cell_id, kind, data) for kind, data in histograms.items()],
            )
            connection.executemany(
                "INSERT INTO sample VALUES (?, ?, ?, ?, ?, ?)", [(cell_id, *sample) for sample in samples]
            )

    def cells(self) -> list[CellRecord]:
        """Every cell that ended, in the order of the plan."""
        with self._reading() as connection:
            found = connection.execute("SELECT cell_id, record FROM cell ORDER BY position").fetchall()
        return [self._record(cell_id, text) for cell_id, text in found]

    def plain_records(self) -> dict[str, Mapping[str, Any]]:
        """Every cell's record as JSON by its id, whatever format it is of."""
        with self._reading() as connection:
            found = connection.execute("SELECT cell_id, record FROM cell ORDER BY position").fetchall()
        try:
            return {cell_id: dict(json.loads(text)) for cell_id, text in found}
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: a cell's record is no JSON: {error}; put back a copy") from error

    def _record(self, cell_id: str, text: str) -> CellRecord:
        try:
            return CellRecord.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StoreError(
                f"{self.path}: cell {cell_id}: {where}: {first['msg']}: the record is not of this wrklab's shape; "
                "read it with the checkout that wrote it (environment.json names its commit)"
            ) from error

    def state_counts(self) -> dict[str, int]:
        """How many cells ended in each state: {"measured": 60, "failed": 1}."""
        with self._reading() as connection:
            return dict(connection.execute("SELECT state, count(*) FROM cell GROUP BY state").fetchall())

    def histograms(self, cell_id: str) -> dict[str, bytes]:
        """The histograms of one cell by kind, as Histogram.from_bytes() takes them; {} for a failed or unknown cell."""
        with self._reading() as connection:
            found = connection.execute("SELECT kind, counts FROM histogram WHERE cell_id = ?", (cell_id,)).fetchall()
        return dict(found)

    def samples(self, cell_id: str, globs: Sequence[str] = ()) -> list[StoredSample]:
        """What was sampled on all hosts while one cell ran, by time; [] for an unknown cell.

        `globs`: only metrics that one of them fits (SQLite's GLOB), which is faster than to leave the others out later.
        """
        wanted = " OR ".join(["metric GLOB ?"] * len(globs)) or "1"
        query = f"SELECT host, metric, unit, at_s, value FROM sample WHERE cell_id = ? AND ({wanted})"  # noqa: S608
        with self._reading() as connection:
            found = connection.execute(f"{query} ORDER BY at_s, rowid", (cell_id, *globs)).fetchall()
        return [StoredSample(*row) for row in found]

    def add_journal(self, phase: str, text: str, cell_id: str | None = None, at_s: float | None = None) -> None:
        """Appends one event, synced to disk; `at_s` is now unless it is given."""
        self.add_journal_entries([JournalEntry(time.time() if at_s is None else at_s, cell_id, phase, text)])

    def add_journal_entries(self, entries: Iterable[JournalEntry]) -> None:
        """Appends events in one transaction, synced to disk."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO journal VALUES (?, ?, ?, ?)",
                [entry._replace(text=without_known_secrets(entry.text)) for entry in entries],
            )

    def journal_entries(self) -> list[JournalEntry]:
        """Every event, oldest first."""
        with self._reading() as connection:
            found = connection.execute("SELECT at_s, cell_id, phase, text FROM journal ORDER BY rowid").fetchall()
        return [JournalEntry(*row) for row in found]

    def set_meta(self, key: str, value: str) -> None:
        """Notes one fact about the run."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def meta(self) -> dict[str, str]:
        """The facts about the run."""
        with self._reading() as connection:
            return dict(connection.execute("SELECT key, value FROM meta").fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _explained(self.path, "written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite ends it itself on some errors (a full disk)
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _explained(self.path, "read"):
            yield self._connection


def _connect(path: Path) -> sqlite3.Connection:
    with _explained(path, "opened"):
        # isolation_level None: transactions begin and end where this module says, not where the driver guesses.
        connection = sqlite3.connect(path, timeout=BUSY_LIMIT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


@contextmanager
def _explained(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError(f"{path}: {error}: a cell is stored once, when it ends") from error
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be {verb}: {error}; {_next_step(str(error))}") from error


def _next_step(text: str) -> str:
    if "locked" in text:
        return f"another process has held it for {BUSY_LIMIT_S:.0f} s: end that one, then try again"
    if "full" in text:
        return "make room on its disk; the cells that were committed are complete"
    if "readonly" in text or "unable to open" in text:
        return "try again as the user who ran the bench"
    return "the file is damaged or no store: the raw files next to it are untouched; put back a copy or remove the run"
