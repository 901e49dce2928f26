"""`invoke probe`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from invoke.exceptions import Exit
from rich.markup import escape

from wrklab.cli.verbs import INTERRUPTED, console, one_interrupt, print_json, results
from wrklab.doors.controller import controller_name
from wrklab.doors.inventory import read_hosts
from wrklab.errors import UsageError, WrklabError
from wrklab.measure import prepare
from wrklab.measure.bench import run_environment
from wrklab.measure.session import Session, hold_hosts, open_session
from wrklab.model.catalogue import Catalogue, read_catalogue
from wrklab.model.published_probe import PublishedProbe
from wrklab.model.stack import Variant
from wrklab.paths import RESULTS_DIR
from wrklab.probe.probing import probe_variant
from wrklab.probe.record import ProbePlan, ProbeRecord
from wrklab.probe.report import render, to_rows, write_report
from wrklab.probe.store import ProbeFolder, new_probe_id
from wrklab.progress import doing

#: What is probed, and the article's row that it answers to.
Target = tuple[Variant, PublishedProbe | None]


def probe(variants: Sequence[str], suite: str, lab: str, *, as_json: bool) -> None:
    """Probe, store, report. Exits with 1 when a probe was void or a variant failed unexpectedly, 130 after Ctrl-C."""
    catalogue = read_catalogue()
    targets = select(catalogue, variants, suite)
    hosts = read_hosts(lab)
    prepare.ensure_lab(lab, hosts.kind, console)
    with one_interrupt(), open_session(catalogue, lab) as session, hold_hosts(session, controller_name()):
        prepare.ensure_deployed(session, console)
        plan = _plan(targets, suite, lab)
        folder = ProbeFolder.create(RESULTS_DIR, plan, run_environment(session, session.environments()))
        is_interrupted = _probe_all(session, folder, targets)
    records = folder.records()
    if as_json:
        print_json(to_rows(records))
    else:
        render(records, catalogue.published_probes, results())
    console.print(escape(write_report(folder, catalogue.published_probes)))
    if is_interrupted:
        raise Exit("interrupted; what was probed is in the report", code=INTERRUPTED)
    if wrong := [f"{record.variant} ({_problem(record)})" for record in records if _problem(record)]:
        raise Exit(f"not as it should be: {', '.join(wrong)}", code=1)


def select(catalogue: Catalogue, variants: Sequence[str], suite: str) -> list[Target]:
    """What a command line means. Raises UsageError, UnknownNameError."""
    chosen = catalogue.select_variants(variants, with_unbenched=True) if variants else None
    if suite:
        rows = catalogue.suite(suite).probes
        if not rows:
            raise UsageError(f"suite {suite} has nothing to probe; `invoke bench --suite {suite}` runs it.")
        targets = []
        for row in rows:
            variant = catalogue.variants[row.variant]
            if chosen is None or variant in chosen:
                published = catalogue.published_probes[row.published] if row.published else None
                targets.append((variant, published or catalogue.published_probe(variant)))
        return targets
    if not chosen:
        raise UsageError("nothing to probe: give --variant NAME (or all), or --suite NAME. `invoke list` shows them.")
    return [(variant, catalogue.published_probe(variant)) for variant in chosen]


def _plan(targets: Sequence[Target], suite: str, lab: str) -> ProbePlan:
    return ProbePlan(
        probe_id=new_probe_id(),
        lab=lab,
        created_at_s=time.time(),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        variants=tuple(variant.name for variant, _ in targets),
        suite=suite or None,
        published={variant.name: row.row for variant, row in targets if row is not None},
    )


def _probe_all(session: Session, folder: ProbeFolder, targets: Sequence[Target]) -> bool:
    """Every probe in turn, each stored as it ends; whether Ctrl-C ended them early."""
    try:
        for number, (variant, published) in enumerate(targets, 1):
            with doing(console, f"{number:>3}/{len(targets)}  {variant.name}") as step:
                outcome = probe_variant(session, variant, published, step.at)
                folder.add(outcome.record, outcome.raw)
                step.outcome = one_line(outcome.record)
    except KeyboardInterrupt:
        console.print("interrupted: ending what runs on the hosts; what was probed is stored")
        with suppress(WrklabError):
            session.clean_up()
        return True
    return False


def one_line(record: ProbeRecord) -> str:
    """What came of one probe, for the progress: plain text, which StepStatus takes."""
    if record.state != "measured":
        return f"{record.state}: {record.error or '; '.join(record.void_reasons[-1:])}"
    return (
        f"{record.capacity} at once ({record.capacity_limited_by}), {record.queued_process} wait in the process, "
        f"{record.queued_kernel} in the kernel ({record.kernel_queue}), {record.serving}"
    )


def _problem(record: ProbeRecord) -> str:
    """Why a probe is not as it should be; empty where it is."""
    if record.is_expected_failure:
        return ""
    if record.state != "measured":
        return record.state
    return "fails" if record.capacity_limited_by == "fails" else ""
