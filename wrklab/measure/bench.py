"""A whole bench: plan, prepare, every cell in turn, each stored as it ends, and at the end a run to report from."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from wrklab.doors.controller import controller_environment, controller_name
from wrklab.doors.inventory import read_hosts
from wrklab.doors.results import Run, new_run_id, write_file
from wrklab.errors import StoreError, WrklabError
from wrklab.measure import prepare
from wrklab.measure.cell_run import CellRaw, run_cell
from wrklab.measure.limits import HostLimits, ProcessLoad, server_note, split_load
from wrklab.measure.records import cell_outcome
from wrklab.measure.session import Session, hold_hosts, limits_of, open_session, with_known_cpus
from wrklab.model.catalogue import Catalogue
from wrklab.model.plan import BenchRequest, Cell, Pair, order_cells, resolve
from wrklab.model.record import CellRecord, HostEnvironment, PlannedCell, RunEnvironment, RunPlan
from wrklab.paths import RESULTS_DIR
from wrklab.probe.ceiling import probed_limit
from wrklab.probe.store import newest_probe
from wrklab.progress import BenchProgress


@dataclass(frozen=True)
class BenchResult:
    """How a bench ended; everything else is in the run's folder."""

    run_dir: Path
    run_id: str
    is_interrupted: bool
    failed_cells: tuple[str, ...]


def run_bench(catalogue: Catalogue, request: BenchRequest, console: Console) -> BenchResult:
    """Do all that a request means. Raises UsageError before anything is touched, LabError for unusable hosts."""
    pairs = resolve(catalogue, request)
    seed = secrets.randbelow(2**31) if request.seed is None else request.seed
    hosts = read_hosts(request.lab)
    prepare.ensure_lab(request.lab, hosts.kind, console)
    with open_session(catalogue, request.lab) as opened, hold_hosts(opened, controller_name()):
        prepare.ensure_deployed(opened, console)
        environments = opened.environments()
        session = with_known_cpus(opened, environments)
        limits = {name: limits_of(name, found) for name, found in environments.items()}
        loads = _split_loads(pairs, limits[session.generators[0].name])
        cells = order_cells(pairs, seed)
        plan = _plan(session, request, cells, seed, _notes(session, pairs, limits))
        run = Run.create(RESULTS_DIR, plan, run_environment(session, environments))
        with run:
            return _run_cells(session, run, cells, loads, console)


def _split_loads(pairs: Sequence[Pair], limits: HostLimits) -> dict[str, list[ProcessLoad]]:
    """The wrk processes of every scenario. Raises LimitError before anything runs."""
    return {
        scenario.name: split_load(scenario.connections, scenario.threads, limits)
        for scenario in {scenario.name: scenario for _, scenario in pairs}.values()
    }


def _notes(session: Session, pairs: Sequence[Pair], limits: dict[str, HostLimits]) -> list[str]:
    notes = []
    if len(session.generators) > 1:
        notes.append(f"Of {len(session.generators)} generators only {session.generators[0].name} was used.")
    for scenario in {scenario.name: scenario for _, scenario in pairs}.values():
        note = server_note(scenario, limits[session.server.name])
        if note:
            notes.append(note)
        processes = len(split_load(scenario.connections, scenario.threads, limits[session.generators[0].name]))
        if processes > 1:
            ceiling = limits[session.generators[0].name].descriptors_count
            notes.append(
                f"{scenario.name}: {scenario.connections} connections go over {processes} wrk processes: one may open "
                f"only {ceiling} descriptors on {session.generators[0].name}. Their histograms are added."
            )
    return notes


def _plan(session: Session, request: BenchRequest, cells: Sequence[Cell], seed: int, notes: Sequence[str]) -> RunPlan:
    return RunPlan(
        run_id=new_run_id(),
        lab=request.lab,
        created_at_s=time.time(),
        seed=seed,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        scenarios={cell.scenario.name: cell.scenario for cell in cells},
        cells=tuple(planned_cell(session.catalogue, cell, request.lab) for cell in cells),
        notes=tuple(notes),
        server_cpus_count=max(1, len(session.hosts.server.cpus)),
        generator_cpus_count=max(1, len(session.hosts.generators[0].cpus)),
        cpus_shared=session.hosts.cpus_shared,
        suite=request.suite,
    )


def planned_cell(catalogue: Catalogue, cell: Cell, lab: str) -> PlannedCell:
    """A cell by names, as plan.json holds it."""
    row = catalogue.published_row(cell.variant, cell.scenario)
    probed = probed_limit(newest_probe(RESULTS_DIR, cell.variant.name, lab))
    return PlannedCell(
        cell_id=cell.cell_id,
        variant=cell.variant.name,
        stack=cell.variant.stack,
        scenario=cell.scenario.name,
        round_number=cell.round_number,
        hold_ms=cell.hold_ms,
        in_flight_limit=cell.variant.in_flight_limit if probed is None else probed,
        is_limit_probed=probed is not None,
        expect_failure=cell.variant.expect_failure,
        published_row=row.row if row else None,
    )


def run_environment(session: Session, facts: dict[str, dict[str, Any]]) -> RunEnvironment:
    """Every host as environment.py told it (`facts`, by name), and this machine."""
    return RunEnvironment(
        hosts=tuple(
            HostEnvironment(
                host=host.name,
                group="server" if host.group == "server" else "loadgen",
                facts=facts[host.name] | {"address": host.load_address, "cpus_given": list(host.cpus)},
            )
            for host in session.hosts.all
        ),
        controller=controller_environment(),
    )


def _run_cells(
    session: Session, run: Run, cells: Sequence[Cell], loads: dict[str, list[ProcessLoad]], console: Console
) -> BenchResult:
    failed: list[str] = []
    state: Literal["finished", "interrupted"] = "interrupted"
    try:
        with BenchProgress(console, len(cells), sum(cell.planned_s for cell in cells)) as progress:
            for position, cell in enumerate(cells):
                record = _one_cell(session, run, cell, position, loads[cell.scenario.name], progress)
                if record.failure is not None and not record.failure.expected:
                    failed.append(record.cell_id)
        state = "finished"
    except KeyboardInterrupt:
        console.print("interrupted: ending what runs on the hosts; what was measured is stored")
        run.journal("interrupted", "by the user")
    finally:
        if state != "finished":
            with contextlib.suppress(WrklabError):
                session.clean_up()
        with contextlib.suppress(StoreError):  # the error that brought us here says more
            run.end(state)
    return BenchResult(run.path, run.plan.run_id, state == "interrupted", tuple(failed))


def _one_cell(  # noqa: PLR0913, PLR0917  a cell needs all of its run
    session: Session, run: Run, cell: Cell, position: int, loads: list[ProcessLoad], progress: BenchProgress
) -> CellRecord:
    progress.begin(cell.cell_id)
    run.journal("begin", "", cell.cell_id)
    raw = run_cell(session, cell, loads, progress.phase, run.plan.run_id)
    for phase, text in raw.events:
        run.journal(phase, text, cell.cell_id)
    record = _store(session, run, cell, position, raw)
    progress.end(one_line(record), cell.planned_s, record.finished_at_s - record.started_at_s)
    return record


def _store(session: Session, run: Run, cell: Cell, position: int, raw: CellRaw) -> CellRecord:
    """Raw files first, then what they come to, committed to the store."""
    _keep_raw(run, cell, raw)
    outcome = cell_outcome(raw, run.plan.cells[position], position, session.hosts)
    record = outcome.record
    finished_at_s = time.time()
    if record.harness_s is not None:
        # What interpreting cost belongs to the harness as well.
        harness_s = record.harness_s + finished_at_s - raw.finished_at_s
        record = record.model_copy(update={"harness_s": harness_s, "finished_at_s": finished_at_s})
    run.add_cell(record, outcome.histograms, outcome.samples)
    return record


def _keep_raw(run: Run, cell: Cell, raw: CellRaw) -> None:
    """What the hosts said, before anything of it is parsed: a better parser can read old runs again."""
    folder = run.raw_dir(cell.cell_id)
    for name, data in (("load", raw.load), ("server", raw.server)):
        write_file(folder / f"{name}.json", json.dumps(data, separators=(",", ":")))


def one_line(record: CellRecord) -> str:
    """What came of one cell, for the progress, as rich markup."""
    name = f"{escape(record.variant)} [dim]{escape(record.scenario)} round {record.round_number}[/dim]"
    if record.measurement is None:
        text = record.failure.text.splitlines()[0] if record.failure else "no measurement"
        return f"{name}  [red]failed[/red] {escape(text[:120])}"
    measured = record.measurement
    errors = f"  {measured.errors.total} errors" if measured.errors.total else ""
    p99 = f"  p99 {measured.latency.p99_us / 1000:,.1f} ms" if measured.latency else ""
    return (
        f"{name}  {measured.requests_per_s:,.0f} requests/s{p99}  "
        f"{measured.connections_open}/{measured.connections_asked} open{errors}"
    )
