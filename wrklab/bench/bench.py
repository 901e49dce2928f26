"""A complete bench: plan, prepare, and every cell in turn; or what an earlier one still lacks."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from rich.console import Console

from wrklab.bench.cells import Bench, BenchResult, DescribeCell, run_cells
from wrklab.bench.half_rate import HalfRateWindows, IsSound
from wrklab.bench.load import with_scaled_timeouts
from wrklab.bench.mixes import refuse_missing_secrets
from wrklab.bench.plan import BenchRequest, Cell, MaximumOf, cells_of_plan, made_again, order_cells, resolve
from wrklab.bench.rates import closed_loop_maximum
from wrklab.bench.resume import (
    drop_half_written,
    other_machines,
    refuse_other_hosts,
    refuse_other_servers,
    resume_notes,
    variant_digests,
)
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.deployment import fingerprint, variant_digest
from wrklab.catalogue.scenario import Scenario
from wrklab.catalogue.stack import ONE_CPU_A_PROCESS, Variant
from wrklab.errors import LabError, UsageError
from wrklab.formats import plural
from wrklab.hosts.application import backends_of, folder_of
from wrklab.hosts.conditions import generators_on_the_servers_machine, is_a_cpu_shared, machine_notes
from wrklab.hosts.inventory import LabHost
from wrklab.hosts.limits import LoadShares, server_note, share_load, share_notes, shared_cpu_notes
from wrklab.hosts.ready import ReadyHosts, ready_hosts
from wrklab.hosts.session import Session
from wrklab.paths import RESULTS_DIR
from wrklab.protocol.blanking import blanked_words
from wrklab.results.probe_folder import newest_probe
from wrklab.results.probe_record import probed_limit
from wrklab.results.records import PlannedCell, RunPlan, served_by
from wrklab.results.run_folder import Run, check_room, kind_of, new_run_id

#: CPUs from where on processes can run at the same time.
_SEVERAL = 2


def run_bench(  # noqa: PLR0913, PLR0917  what a run takes
    catalogue: Catalogue,
    request: BenchRequest,
    console: Console,
    describe: DescribeCell,
    is_sound: IsSound,
    attachments: Mapping[str, str] = MappingProxyType({}),
) -> BenchResult:
    """Measure all that a request asks for; `describe` writes the line that a finished cell gets.

    `is_sound` says which rounds count for windows at half rate.

    `attachments` are files that are stored with the run for its reports.

    Raises UsageError before anything is touched, LabError for unusable hosts.
    """
    pairs = resolve(catalogue, request, maximum_of(catalogue, request.lab))
    refuse_missing_secrets([scenario for _, scenario in pairs], os.environ)
    seed = secrets.randbelow(2**31) if request.seed is None else request.seed
    cells = order_cells(pairs, seed, aa=request.aa)
    check_room(RESULTS_DIR, _cells_count(cells))
    takes_all_cpus, variants = takes_all_cpus_for(catalogue, request.suite), [variant for variant, _ in pairs]
    with ready_hosts(
        catalogue,
        request.lab,
        console,
        variants,
        is_forced=request.is_forced,
        server_takes_all_cpus=takes_all_cpus,
        backends=backends_of(catalogue),
    ) as ready:
        if takes_all_cpus:
            require_several_cpus(ready.session.hosts.server, request)
        shares, notes = share_loads(ready, [cell.scenario for cell in cells])
        names = sorted({cell.variant.name for cell in cells})
        plan = new_plan(ready, names, cells, seed, notes, request.suite)
        environment = ready.environment([variant for variant, _ in pairs])
        with Run.create(RESULTS_DIR, plan, environment, attachments) as run:
            scaled = with_scaled_timeouts(ready.session, cells)
            bench = Bench(ready.session, ready.held, run, scaled, shares, describe)
            return run_cells(bench, console, _half_rates(ready, bench, shares, is_sound))


def maximum_of(catalogue: Catalogue, lab: str) -> MaximumOf:
    """Reads closed-loop maxima from the stored runs of a lab."""

    def read(variant: Variant, path: str) -> float | None:
        digest = variant_digest(catalogue.stacks[variant.stack], variant)
        return closed_loop_maximum(RESULTS_DIR, lab, variant.name, digest, path)

    return read


def resume_bench(  # noqa: PLR0913  what a run takes
    catalogue: Catalogue,
    run_id: str,
    console: Console,
    describe: DescribeCell,
    is_sound: IsSound,
    *,
    is_forced: bool = False,
) -> BenchResult:
    """Measure what an earlier run still lacks, by the plan stored with it.

    Raises UsageError where the servers or hosts are not the ones that it began with, StoreError where another process
    writes it, LabError for unusable hosts; of it OtherMachineError only unless it is forced.
    """
    with Run.open(RESULTS_DIR, run_id) as run:
        if (kind := kind_of(run.path)) != "bench":
            raise UsageError(f"run {run_id} is a search, and goes on with: invoke {kind} --resume {run_id}")
        run.hold()
        catalogue = made_again(catalogue, run.plan)
        cells = cells_of_plan(catalogue, run.plan)
        refuse_other_servers(catalogue, run.plan)
        refuse_missing_secrets(run.plan.scenarios.values(), os.environ)
        ended_count = len(run.cells())
        check_room(RESULTS_DIR, _cells_count(cells) - ended_count)
        with ready_hosts(
            catalogue,
            run.plan.lab,
            console,
            [cell.variant for cell in cells],
            is_forced=is_forced,
            server_takes_all_cpus=run.plan.server_takes_all_cpus,
            backends=run.plan.backends,
        ) as ready:
            refuse_other_hosts(ready.session.hosts, run.plan)
            shares, _ = share_loads(ready, [cell.scenario for cell in cells])
            environment = ready.environment([cell.variant for cell in cells])
            others = other_machines(run.environment, environment, is_forced=is_forced)
            readiness = replace(ready.readiness, forced=(*ready.readiness.forced, *others))
            drop_half_written(run)
            run.resumed(
                environment, [*resume_notes(run, ended_count, environment), *readiness.sentences()], readiness.forced
            )
            scaled = with_scaled_timeouts(ready.session, cells)
            bench = Bench(ready.session, ready.held, run, scaled, shares, describe)
            return run_cells(bench, console, _half_rates(ready, bench, shares, is_sound))


def _cells_count(cells: Sequence[Cell]) -> int:
    """With the windows at half rate, of which some may be planned already."""
    halved = {(cell.variant.name, cell.scenario.name) for cell in cells if cell.scenario.half_rate_window}
    return len(cells) + len(halved)


def _half_rates(ready: ReadyHosts, bench: Bench, shares: dict[str, LoadShares], is_sound: IsSound) -> HalfRateWindows:
    """The windows at half rate that a run lacks; `shares` gets how the load of each is shared out."""
    return HalfRateWindows(bench.run, bench.cells, shares, lambda scenario: share_loads(ready, [scenario])[0], is_sound)


def takes_all_cpus_for(catalogue: Catalogue, suite: str | None) -> bool:
    """Whether a suite needs a server of several CPUs."""
    return suite is not None and catalogue.suite(suite).server_cpus == "all"


def require_several_cpus(server: LabHost, request: BenchRequest) -> None:
    """Raises LabError for a server of one CPU: what the suite compares would be the same there."""
    if len(server.cpus) < _SEVERAL:
        raise LabError(
            f"{server.name}: it has {plural(len(server.cpus), 'CPU')}, and suites/{request.suite}.yml needs a server "
            "of several (server_cpus: all). Measure it on a lab whose server has more."
        )


def share_loads(ready: ReadyHosts, scenarios: Iterable[Scenario]) -> tuple[dict[str, LoadShares], list[str]]:
    """How every scenario's load is shared out, by its name, and what is to be said of it.

    Raises LimitError before anything runs.
    """
    session, limits = ready.session, ready.limits
    generators = [limits[host.name] for host in session.generators]
    shares, notes = {}, shared_cpu_notes(session.hosts)
    for scenario in {scenario.name: scenario for scenario in scenarios}.values():
        shares[scenario.name] = share_load(scenario.connections, scenario.threads, generators)
        if note := server_note(scenario, limits[session.server.name]):
            notes.append(note)
        notes += share_notes(scenario, generators)
    return shares, notes


def new_plan(  # noqa: PLR0913, PLR0917  what a run is made of
    ready: ReadyHosts,
    names: Sequence[str],
    cells: Sequence[Cell],
    seed: int,
    notes: Sequence[str],
    suite: str | None = None,
) -> RunPlan:
    """The plan of a run that begins now, with these variants; a search for capacities adds its cells as it goes."""
    session = ready.session
    catalogue, lab = session.catalogue, session.hosts.lab
    digests, cpus_count = variant_digests(catalogue, names), session.cpus_count
    probed = probed_limits(lab, digests, cpus_count)
    return RunPlan(
        run_id=new_run_id(),
        lab=lab,
        created_at_s=time.time(),
        seed=seed,
        command=shlex.join(blanked_words([Path(sys.argv[0]).name, *sys.argv[1:]])),
        scenarios={cell.scenario.name: cell.scenario for cell in cells},
        cells=tuple(planned_cell(session, cell, probed[cell.variant.name]) for cell in cells),
        notes=(*ready.readiness.sentences(), *machine_notes(session.hosts, ready.facts), *notes),
        forced=ready.readiness.forced,
        server_cpus_count=cpus_count,
        generator_cpus_count=session.hosts.described.generator_cpus_count,
        generators=tuple(host.name for host in session.generators),
        cpus_shared=is_a_cpu_shared(session.hosts, ready.facts),
        server_takes_all_cpus=takes_all_cpus_for(catalogue, suite),
        backends=tuple(map(str, session.backends)),
        one_machine=bool(generators_on_the_servers_machine(session.hosts, ready.facts)),
        suite=suite,
        runtimes={
            stack: catalogue.stacks[stack].runtime
            for stack in sorted({catalogue.variants[name].stack for name in names})
        },
        baseline=catalogue.suite(suite).baseline if suite else None,
        variant_digests=digests,
        application=folder_of(catalogue),
        served_by=served_by([catalogue.variants[name] for name in names], cpus_count),
        fingerprint=fingerprint(),
    )


def probed_limits(lab: str, digests: Mapping[str, str], server_cpus_count: int | None) -> dict[str, int | None]:
    """How many requests each variant handles at once by its newest probe; None where none found a limit."""
    return {
        name: probed_limit(newest_probe(RESULTS_DIR, name, lab, digest, server_cpus_count))
        for name, digest in digests.items()
    }


def planned_cell(session: Session, cell: Cell, probed: int | None) -> PlannedCell:
    """A cell by names, as plan.json holds it; `probed` is its variant's limit as a probe found it."""
    catalogue = session.catalogue
    return PlannedCell(
        cell_id=cell.cell_id,
        variant=cell.variant.name,
        stack=cell.variant.stack,
        scenario=cell.scenario.name,
        round_number=cell.round_number,
        twin=cell.twin,
        hold_ms=cell.hold_ms,
        in_flight_limit=cell.variant.limit_at(session.cpus_count) if probed is None else probed,
        is_limit_probed=probed is not None,
        is_one_cpu_a_process=catalogue.stacks[cell.variant.stack].runtime in ONE_CPU_A_PROCESS,
        expect_failure=cell.variant.expect_failure,
        published_row=catalogue.published_key(cell.variant, cell.scenario),
    )
