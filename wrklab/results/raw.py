"""The raw of a cell: what the hosts said while it ran, stored before anything of it is interpreted.

A cell's folder, raw/<cell_id>/, holds

    load.<HOST>.json   a generator's result
    server.json        what was seen of the server; null where its host could not be asked
    backend.json       what was sampled on the backends' host; only where the application uses a backend
    clocks.json        every host's clock against the controller's
    cell.json          on which hosts and when the cell ran, and why its load has no result; written last
    attempt_1/         the files of the first attempt, where there were two

Everything that interpretation needs is in there, so that a better parser can read old runs (`invoke reparse`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from wrklab.errors import UNREADABLE, CellError, ParseError, StoreError, WrklabError
from wrklab.protocol.backend import BackendReport
from wrklab.protocol.codec import ProtocolError, decode, encode_json, parse_json
from wrklab.protocol.load import LoadResult
from wrklab.protocol.phases import Phase
from wrklab.protocol.server import ServerReport
from wrklab.results import raw_format_1
from wrklab.results.records import Record
from wrklab.results.run_folder import write_file

#: Within a cell's folder, the files of the first of two attempts.
FIRST_ATTEMPT = "attempt_1"

_CELL = "cell.json"
_CLOCKS = "clocks.json"
_SERVER = "server.json"
_BACKEND = "backend.json"


@dataclass(frozen=True)
class Clock:
    """A host's clock against the controller's, by the quickest of several round trips."""

    #: Host less controller, seconds.
    ahead_s: float
    #: Of that round trip. The true difference lies within half of it to either side.
    round_trip_s: float
    #: All questions together, with the start of an interpreter on the host: what a call there costs.
    call_s: float

    def __post_init__(self) -> None:
        """Raises ParseError where one of them is no finite number."""
        if not all(map(math.isfinite, (self.ahead_s, self.round_trip_s, self.call_s))):
            raise ParseError(f"a clock of no finite numbers: {self}")

    @property
    def uncertainty_s(self) -> float:
        """By how much `ahead_s` can be wrong at most."""
        return self.round_trip_s / 2

    def on_host(self, at_s: float) -> float:
        """The host's time at a time of the controller's clock."""
        return at_s + self.ahead_s

    def on_controller(self, at_s: float) -> float:
        """The controller's time at a time of the host's clock."""
        return at_s - self.ahead_s


class RunHost(Record):
    """One host of a cell. `load_address` is where measured traffic goes; no CPUs given means all that it has."""

    name: str
    address: str
    load_address: str
    cpus: tuple[int, ...]

    @property
    def cpus_count(self) -> int:
        """CPUs given to it."""
        return max(1, len(self.cpus))


class RunHosts(Record):
    """The hosts of a cell: one server, at least one generator, and the backends' host where the lab has one."""

    #: The lab's kind: only hosts of a container lab are on one machine by its making.
    kind: str
    server: RunHost
    generators: tuple[RunHost, ...] = Field(min_length=1)
    backend: RunHost | None = None

    @property
    def all(self) -> tuple[RunHost, ...]:
        """The server first, the backends' host last."""
        return (self.server, *self.generators, *((self.backend,) if self.backend else ()))

    @property
    def are_cpus_shared(self) -> bool:
        """Whether a generator is given a CPU of the server's on the same machine (the container lab on one CPU)."""
        taken = set(self.server.cpus)
        return self.kind == "container" and any(taken & set(host.cpus) for host in self.generators)

    @property
    def generator_cpus_count(self) -> int:
        """CPUs given to the generators; one that several share counts once."""
        if self.kind == "container":
            return max(1, len({cpu for host in self.generators for cpu in host.cpus}))
        return sum(host.cpus_count for host in self.generators)

    def on_a_cpu_of(self, host: RunHost) -> tuple[RunHost, ...]:
        """All other hosts that are given a CPU of this one's on the same machine."""
        if self.kind != "container":
            return ()
        return tuple(other for other in self.all if other.name != host.name and set(other.cpus) & set(host.cpus))

    def sharing_cpus_with(self, name: str) -> tuple[RunHost, ...]:
        """Other generators that are given a CPU of this one's on the same machine (a container lab on two CPUs)."""
        if self.kind != "container":
            return ()
        own = {cpu for host in self.generators if host.name == name for cpu in host.cpus}
        return tuple(host for host in self.generators if host.name != name and own & set(host.cpus))


class ErrorSource(StrEnum):
    """Who is to blame, as far as driving the cell showed it."""

    #: The server, wrk or a sampler: it was seen on a host while the cell ran.
    CELL = "cell"
    #: A host: a command failed there, or the connection did.
    HOST = "host"
    #: What a host answered cannot be read.
    ANSWER = "answer"


class RawError(Record):
    """Why a cell's load has no result."""

    phase: Phase
    text: str
    source: ErrorSource

    @classmethod
    def of(cls, error: WrklabError, phase: Phase) -> RawError:
        """What ended a cell; `phase` is where it was then, for an error that does not say so itself."""
        if not isinstance(error, CellError):
            return cls(phase=phase, text=str(error), source=_source_of(error))
        # A CellError that was made from another error says where that one happened.
        source = ErrorSource.CELL if error.__cause__ is None else _source_of(error.__cause__)
        return cls(phase=error.phase, text=error.text, source=source)


def _source_of(error: BaseException) -> ErrorSource:
    return ErrorSource.ANSWER if isinstance(error, UNREADABLE) else ErrorSource.HOST


class CellEvent(Record):
    """What happened besides the plan, for the journal."""

    phase: str
    text: str


class CellConditions(Record):
    """cell.json: on which hosts and when a cell ran, and how driving it ended. Times are the controller's."""

    #: Of the other files: 1 has other keys (raw_format_1.py).
    raw_format: Literal[1, 2] = 2
    hosts: RunHosts
    started_at_s: float
    finished_at_s: float
    #: By the controller's monotonic clock.
    took_s: float
    #: The interval that the samplers were given.
    sample_interval_s: float
    #: The server host's clock when its unit was started; None where it never was.
    server_started_s: float | None
    error: RawError | None
    events: tuple[CellEvent, ...] = ()


@dataclass(frozen=True)
class CellRaw:
    """Everything that was kept of one attempt at a cell."""

    conditions: CellConditions
    #: What each generator said, by its name.
    loads: Mapping[str, LoadResult]
    #: None where the server's host could not be asked.
    server: ServerReport | None
    #: By host.
    clocks: Mapping[str, Clock]
    #: None where the application uses no backend, or their host could not be asked.
    backend: BackendReport | None = None

    @property
    def hosts(self) -> RunHosts:
        """The hosts that it ran on."""
        return self.conditions.hosts

    @property
    def error(self) -> RawError | None:
        """Why its load has no result."""
        return self.conditions.error


_CLOCKS_TYPE = TypeAdapter(dict[str, Clock])


def write_raw(folder: Path, raw: CellRaw) -> None:
    """Writes a cell's files. Raises StoreError."""
    for name, load in raw.loads.items():
        write_file(folder / f"load.{name}.json", encode_json(load))
    write_file(folder / _SERVER, "null" if raw.server is None else encode_json(raw.server))
    if raw.backend is not None:
        write_file(folder / _BACKEND, encode_json(raw.backend))
    write_file(folder / _CLOCKS, _CLOCKS_TYPE.dump_json(dict(raw.clocks)).decode())
    write_conditions(folder, raw.conditions)


def write_conditions(folder: Path, conditions: CellConditions) -> None:
    """Writes a cell's cell.json. Raises StoreError."""
    write_file(folder / _CELL, conditions.model_dump_json())


def read_raw(folder: Path, conditions: CellConditions | None = None) -> CellRaw:
    """What write_raw wrote; `conditions` stands in for a cell.json that was not written yet.

    Raises StoreError naming the file that is missing or damaged.
    """
    found = conditions or _conditions(folder)
    loads = {
        path.name.removeprefix("load.").removesuffix(".json"): _load(path, found.raw_format)
        for path in sorted(folder.glob("load.*.json"))
    }
    server = _server(folder / _SERVER, found.raw_format)
    return CellRaw(found, loads, server, _clocks(folder), _backend(folder / _BACKEND))


def _load(path: Path, raw_format: int) -> LoadResult:
    value = _json_of(path)
    try:
        return decode(LoadResult, raw_format_1.upgraded_load(value) if raw_format == raw_format_1.FORMAT else value)
    except (ProtocolError, ParseError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _server(path: Path, raw_format: int) -> ServerReport | None:
    """None where the server's host could not be asked: null, in format 1 an empty object."""
    value = _json_of(path)
    if value is None or (value == {} and raw_format == raw_format_1.FORMAT):
        return None
    try:
        return decode(ServerReport, raw_format_1.upgraded_server(value) if raw_format == raw_format_1.FORMAT else value)
    except (ProtocolError, ParseError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _backend(path: Path) -> BackendReport | None:
    """None where the application uses no backend."""
    if not path.exists():
        return None
    try:
        return decode(BackendReport, _json_of(path))
    except ProtocolError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def has_conditions(folder: Path) -> bool:
    """Whether a cell's raw is complete."""
    return (folder / _CELL).is_file()


def _conditions(folder: Path) -> CellConditions:
    path = folder / _CELL
    try:
        return CellConditions.model_validate_json(_read(path))
    except ValidationError as error:
        raise StoreError(f"{path} cannot be read: {_first_error(error)}") from error


def _clocks(folder: Path) -> dict[str, Clock]:
    path = folder / _CLOCKS
    try:
        return _CLOCKS_TYPE.validate_json(_read(path))
    except ValidationError as error:
        raise StoreError(f"{path} cannot be read: {_first_error(error)}") from error
    except ParseError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _json_of(path: Path) -> object:
    try:
        return parse_json(_read(path))
    except ProtocolError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def set_first_attempt_aside(folder: Path) -> None:
    """Moves a cell's files out of the second attempt's way. Raises StoreError."""
    try:
        (folder / FIRST_ATTEMPT).mkdir(exist_ok=True)
        for path in folder.glob("*.json"):
            shutil.move(path, folder / FIRST_ATTEMPT / path.name)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; is the disk full or the folder read-only?") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
