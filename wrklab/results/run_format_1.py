"""Runs of store format 1, read so that `invoke reparse` can bring them to today's.

Their raw files have other keys, and lack when and on which hosts a cell ran (cell.json): this is taken from the records
in the old store and from environment.json, and cell.json is added. Their raw files stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from wrklab.errors import UNREADABLE, StoreError
from wrklab.protocol.phases import Phase
from wrklab.results.raw import (
    CellConditions,
    CellRaw,
    ErrorSource,
    RawError,
    RunHost,
    RunHosts,
    has_conditions,
    read_raw,
    write_conditions,
)
from wrklab.results.raw_format_1 import FORMAT
from wrklab.results.records import HostEnvironment, RunEnvironment, RunPlan

#: A value of JSON as it was read.
_Object: TypeAlias = Mapping[str, Any]

#: Their failures in these phases come from reading the raw, and are found again where they still hold.
_OF_READING = (Phase.STOP, Phase.PULL)


def add_conditions(run_path: Path, plan: RunPlan, records: Mapping[str, _Object]) -> dict[str, str]:
    """Adds cell.json to each cell of a run; `records` are the old store's, by cell. Cells that have one keep it.

    Returns why raw files could not be read, by cell: such a cell gets none. Raises StoreError for what concerns all.
    """
    problems: dict[str, str] = {}
    environments = _environments(run_path)
    try:
        kind = _lab_kind(plan, records.values())
    except UNREADABLE as error:
        raise StoreError(
            f"{run_path}: its records are older than those of format {FORMAT} that can be read again ({error!r}): "
            "read the run with the checkout that wrote it (environment.json names its commit)"
        ) from error
    for planned in plan.cells:
        folder, record = run_path / "raw" / planned.cell_id, records.get(planned.cell_id)
        if record is None or not folder.is_dir() or has_conditions(folder):
            continue
        try:
            hosts = _hosts(kind, _environment_at(environments, float(record["started_at_s"])))
            conditions = _conditions(folder, record, hosts, plan.scenarios[planned.scenario].sample_interval_s)
        except StoreError as error:
            problems[planned.cell_id] = str(error)
        except UNREADABLE as error:
            problems[planned.cell_id] = f"{folder}, or what is stored of the cell, lacks a part: {error!r}"
        else:
            write_conditions(folder, conditions)
    return problems


def _conditions(folder: Path, record: _Object, hosts: RunHosts, sample_interval_s: float) -> CellConditions:
    conditions = CellConditions(
        raw_format=FORMAT,
        hosts=hosts,
        started_at_s=record["started_at_s"],
        finished_at_s=record["finished_at_s"],
        took_s=record["finished_at_s"] - record["started_at_s"],
        sample_interval_s=sample_interval_s,
        server_started_s=None,
        error=_error(record),
    )
    raw = read_raw(folder, conditions)
    return conditions.model_copy(update={"server_started_s": _server_started_s(raw, record.get("startup_s"))})


def _server_started_s(raw: CellRaw, startup_s: float | None) -> float | None:
    """By the server host's clock: as long before the first answer as the record says."""
    answers = [raw.clocks[name].on_controller(load.ready.at_s) for name, load in raw.loads.items() if load.ready]
    if startup_s is None or not answers:
        return None
    return raw.clocks[raw.hosts.server.name].on_host(min(answers) - startup_s)


def _error(record: _Object) -> RawError | None:
    """Why a cell failed while it was driven. Who was to blame was not stored: only what was expected is known."""
    failure = record.get("failure")
    if failure is None or Phase(failure["phase"]) in _OF_READING:
        return None
    source = ErrorSource.CELL if failure["expected"] else ErrorSource.HOST
    return RawError(phase=Phase(failure["phase"]), text=failure["text"], source=source)


def _lab_kind(plan: RunPlan, records: Iterable[_Object]) -> str:
    """Only the container lab's hosts share CPUs, which its records show; other labs' kinds decide nothing."""
    shares = any(
        generator["shared_cpu_percent"] is not None
        for record in records
        if record["measurement"]
        for generator in record["measurement"]["generators"]
    )
    return "container" if shares or plan.lab == "container" else "ssh"


def _environments(run_path: Path) -> list[RunEnvironment]:
    """The hosts as they were when the run began, and each time when it was resumed."""
    paths = [run_path / "environment.json"]
    paths += sorted(run_path.glob("environment_*.json"), key=lambda path: int(path.stem.rpartition("_")[2]))
    try:
        return [RunEnvironment.model_validate_json(path.read_bytes()) for path in paths]
    except (OSError, ValueError) as error:
        raise StoreError(f"{run_path}: its environment files cannot be read: {error}") from error


def _environment_at(environments: Sequence[RunEnvironment], at_s: float) -> RunEnvironment:
    """The newest of before a time."""
    earlier = [each for each in environments if _read_at_s(each) <= at_s]
    return earlier[-1] if earlier else environments[0]


def _read_at_s(environment: RunEnvironment) -> float:
    """When a host's facts were read, by the controller's clock; 0 where it is not known."""
    facts: _Object = environment.hosts[0].facts.get("moment") or {}
    return float(facts.get("clock_at_s") or 0.0) - float((facts.get("clock") or {}).get("ahead_s") or 0.0)


def _hosts(kind: str, environment: RunEnvironment) -> RunHosts:
    servers = [_host(host) for host in environment.hosts if host.group == "server"]
    generators = tuple(_host(host) for host in environment.hosts if host.group != "server")
    if not servers:
        raise StoreError("environment.json names no server")
    return RunHosts(kind=kind, server=servers[0], generators=generators)


def _host(host: HostEnvironment) -> RunHost:
    address = str(host.facts["address"])
    return RunHost(name=host.host, address=address, load_address=address, cpus=tuple(host.facts["cpus_given"]))
