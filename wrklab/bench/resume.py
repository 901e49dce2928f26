"""Going on with a run that ended early: which one, with which servers, and what has changed since."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.deployment import fingerprint, variant_digest
from wrklab.errors import OtherMachineError, StoreError, UnknownNameError, UsageError
from wrklab.formats import NONE, plural
from wrklab.hosts.inventory import LabHosts
from wrklab.results.environment_changes import Change, environment_changes
from wrklab.results.records import RunEnvironment, RunPlan
from wrklab.results.run_folder import Run, RunInfo, RunKind, kind_of, list_runs, resolve_run_id

#: Of an environment's changes in a sentence; environment_2.json has them all.
_CHANGES_TOLD = 8
#: What makes another machine of a host by the same name, by the keys of environment.py's facts.
_MAKE_OF_A_MACHINE = frozenset(
    {"cpu.model", "kernel.machine", "kernel.release", "virtualisation.container", "virtualisation.vm"}
)
#: What serves and makes load there, by the first word of such keys.
_SOFTWARE = frozenset({"openresty", "packages", "stacks", "versions", "wrk_build"})
_STACK_FOLDER = re.compile(r"/stacks/(\w+)/")


def choose_run(results_dir: Path, run_id: str, *, kind: RunKind = "bench") -> RunInfo:
    """The run to go on with: the named one, or without a name the newest that is not finished (else the newest).

    Without a name only runs of this kind count.

    Raises UnknownNameError listing the runs, UsageError where there is none, StoreError for one that cannot be read.
    """
    runs = list_runs(results_dir)
    readable = [info for info in runs if not info.problem and kind_of(info.path) == kind]
    if run_id:
        named = resolve_run_id([info.run_id for info in runs], run_id)
        chosen = [info for info in runs if info.run_id == named]
    else:
        chosen = [info for info in readable if info.state != "finished"] or readable
    if not chosen and not run_id:
        raise UsageError(f"there is no run in {results_dir} to go on with: begin one with invoke bench --variant NAME")
    if not chosen:
        raise UnknownNameError("run", run_id, [info.run_id for info in runs])
    if chosen[-1].problem:
        raise StoreError(chosen[-1].problem)
    return chosen[-1]


def refuse_other_servers(catalogue: Catalogue, plan: RunPlan) -> None:
    """Raises UsageError where a variant's server is not the one that the run began with.

    A row is made of rounds: half of them with one server and half with another would be a number of neither.
    """
    known = {cell.variant for cell in plan.cells} & set(catalogue.variants)
    changed = [name for name in sorted(known) if _digest_of(catalogue, name) != plan.variant_digests.get(name)]
    if changed:
        raise UsageError(
            f"run {plan.run_id} cannot be resumed: the card, application or locked packages of {', '.join(changed)} "
            "are not those it began with, and rounds of two different servers make no row. Put them back, or begin a "
            f"new run: {plan.command}"
        )


def variant_digests(catalogue: Catalogue, names: Iterable[str]) -> dict[str, str]:
    """For plan.json: what made each variant's server when the run began."""
    return {name: _digest_of(catalogue, name) for name in sorted(names)}


def _digest_of(catalogue: Catalogue, name: str) -> str:
    variant = catalogue.variants[name]
    return variant_digest(catalogue.stacks[variant.stack], variant)


def refuse_other_hosts(hosts: LabHosts, plan: RunPlan) -> None:
    """Raises UsageError where the lab has not the generators and CPUs that the run began with."""
    now = _shape(len(hosts.server.cpus), hosts.described.generator_cpus_count, [host.name for host in hosts.generators])
    begun = _shape(plan.server_cpus_count, plan.generator_cpus_count, plan.generators)
    if now != begun:
        raise UsageError(
            f"run {plan.run_id} cannot be resumed: it began with {begun}; the lab {plan.lab} has {now} now. "
            f"Begin a new run: {plan.command}"
        )


def _shape(server_cpus_count: int, generator_cpus_count: int, generators: Sequence[str]) -> str:
    server, load = max(1, server_cpus_count), max(1, generator_cpus_count)
    return f"{plural(server, 'CPU')} for the server, {plural(load, 'CPU')} for {', '.join(generators)}"


def other_machines(begun: RunEnvironment, now: RunEnvironment, *, is_forced: bool) -> tuple[str, ...]:
    """What of the hosts is not as it was when the run began and sets its rates; a sentence each and host.

    Their make, the software that serves and makes load, the settings that provisioning tunes. Raises OtherMachineError
    unless it is forced: half of a row's rounds on one CPU, kernel or server and half on another make no row.
    What one of the two did not store is not compared: a stack that came later.
    """
    hosts = {host.host for host in begun.hosts}
    changes = [
        change
        for change in environment_changes(begun, now)
        if change.where in hosts and NONE not in {change.old, change.new}
    ]
    made = [change for change in changes if change.key in _MAKE_OF_A_MACHINE]
    is_setting = _is_setting(begun, now)
    set_up = [change for change in changes if is_setting(change)]
    reasons = (
        *_by_host("is another machine than the run began on", made),
        *_by_host("has not the software and settings that the run began with", set_up),
    )
    if reasons and not is_forced:
        raise OtherMachineError(
            "\n".join([*reasons, "Begin a new run, or go on all the same with --force: the report then says so."])
        )
    return reasons


def _is_setting(begun: RunEnvironment, now: RunEnvironment) -> Callable[[Change], bool]:
    """Whether a change is of software that this run uses, or of a setting that provisioning tunes."""
    stacks = set(_STACK_FOLDER.findall("\n".join(file.text for files in begun.units.values() for file in files)))
    tuned = {
        f"sysctls.{name}" for host in (*begun.hosts, *now.hosts) for name in host.facts.get("sysctls_before") or ()
    }

    def is_setting(change: Change) -> bool:
        kind, _, name = change.key.partition(".")
        # Units that name no stack may use any.
        if kind == "stacks" and stacks:
            return name.partition(".")[0] in stacks
        return kind in _SOFTWARE or change.key in tuned

    return is_setting


def _by_host(what: str, changes: Sequence[Change]) -> tuple[str, ...]:
    """A sentence for each host of which something has changed."""
    return tuple(
        f"{host} {what}: {_listed([f'{c.key} {c.old} -> {c.new}' for c in changes if c.where == host], ', ')}"
        for host in dict.fromkeys(change.where for change in changes)
    )


def _listed(texts: Sequence[str], between: str) -> str:
    more = f" and {len(texts) - _CHANGES_TOLD} more" if len(texts) > _CHANGES_TOLD else ""
    return f"{between.join(texts[:_CHANGES_TOLD])}{more}"


def resume_notes(run: Run, cells_count: int, environment: RunEnvironment) -> list[str]:
    """What the report says of the resumption: when, after how many cells, and what is not as it was."""
    now = datetime.fromtimestamp(time.time(), UTC)
    notes = [f"Resumed {now:%Y-%m-%d %H:%M:%S} UTC after {cells_count} of {len(run.plan.cells)} cells."]
    if run.plan.fingerprint != fingerprint():
        notes.append("Resumed with another state of the checkout; the variants of this run are the same in it.")
    if changes := environment_changes(run.environment, environment):
        texts = [f"{change.where} {change.key} {change.old} -> {change.new}" for change in changes]
        notes.append(f"Since the run began the environment has changed: {_listed(texts, '; ')}.")
    return notes


def drop_half_written(run: Run) -> None:
    """Removes the raw files of cells that never came to a record: only the journal knows of them. Raises StoreError."""
    stored = {record.cell_id for record in run.cells()}
    try:
        for folder in sorted((run.path / "raw").iterdir()):
            if folder.name not in stored:
                shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{run.path / 'raw'}: {error}; resume as the user who began the run") from error
