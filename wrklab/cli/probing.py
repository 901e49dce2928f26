"""`invoke probe`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from invoke.exceptions import Exit
from rich.markup import escape
from rich.table import Table

from wrklab.articles.library import attachments, read_library
from wrklab.bench.bench import run_bench
from wrklab.bench.cells import BenchResult, revive
from wrklab.bench.plan import HALF_RATE_KEY, BenchRequest
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.catalogue.stack import Variant
from wrklab.cli.benching import is_sound, measure
from wrklab.cli.overrides import possible_cpus, with_parameters
from wrklab.cli.own_application import ApplicationWords, served
from wrklab.cli.verbs import console, one_interrupt, print_json, results
from wrklab.errors import UNREADABLE, StoreError, UsageError, WrklabError
from wrklab.hosts.ansible import inventory_path
from wrklab.hosts.ready import ReadyHosts, ready_hosts
from wrklab.paths import RESULTS_DIR
from wrklab.probe.probing import ProbeOutcome, failed_probe, probe_variant
from wrklab.progress import doing
from wrklab.report.at_once import AT_ONCE_HEADERS, AT_ONCE_TEXTS, AtOnce, at_once, at_once_lines, at_once_values
from wrklab.report.contents import read_contents
from wrklab.report.escaping import terminal
from wrklab.report.probe import limited_by, read_findings, render, serving, to_rows, write_probe_page, write_report
from wrklab.report.reports import write_report as write_run_report
from wrklab.report.terminal import one_line as describe_cell
from wrklab.report.terminal import plain_table
from wrklab.results.probe_folder import ProbeFolder, new_probe_id
from wrklab.results.probe_record import CapacityLimit, ProbePlan, ProbeRecord
from wrklab.results.records import served_by
from wrklab.results.run_folder import Run

#: Of an application that cannot be probed by a request that holds: short windows, of which the mean of those with one
#: connection counts and the rate of those with many.
_APPLICATION_LOAD: Mapping[str, object] = {"duration_s": 3.0, "rounds": 2, HALF_RATE_KEY: False}
_CROWD_MIN_COUNT, _CROWD_MAX_COUNT = 64, 1000
#: So many times the limit of the recipe with the highest one.
_CROWD_LIMITS = 2
#: Of a server that nobody has looked at yet.
_USUAL_CPUS_COUNT = 4


def probe(  # noqa: PLR0913  what the command line can say
    variants: Sequence[str],
    suite: str,
    lab: str,
    *,
    parameters: Sequence[str] = (),
    is_forced: bool,
    as_json: bool,
) -> None:
    """Probe, store, report. Exits with 1 when a probe was void, a variant failed and should not have, or did not and
    should; with 130 after Ctrl-C.
    """
    catalogue, words = with_parameters(
        read_catalogue(), variants, parameters, lab=lab, suite=suite, with_unbenched=True
    )
    articles = attachments(read_library(catalogue))  # a wrong claim is refused before a host is touched
    targets = select(catalogue, words, suite)
    with (
        one_interrupt() as interruption,
        ready_hosts(catalogue, lab, console, targets, is_forced=is_forced) as ready,
    ):
        plan = _plan(targets, suite, lab, ready)
        folder = ProbeFolder.create(RESULTS_DIR, plan, ready.environment(targets), articles)
        ready.held.note_run(plan.probe_id)
        end = _probe_all(ready, folder, targets)
    _report(folder, end, as_json=as_json)
    if end.is_interrupted:
        raise Exit("interrupted; what was probed is in the report", code=interruption.exit_status)
    if end.problem:
        raise Exit(f"the probes ended early: {end.problem}\nwhat was probed is in the report", code=1)
    records = folder.records()
    if wrong := [f"{record.variant} ({_problem(record)})" for record in records if _problem(record)]:
        raise Exit(f"not as it should be: {', '.join(wrong)}", code=1)


def probe_application(own: ApplicationWords, lab: str, *, is_forced: bool, as_json: bool) -> None:
    """How many requests a user's application works on at once under each recipe, by Little's law.

    It has no GET /probe that holds, so that its requests cannot be counted one by one: an ordinary run measures it with
    one connection and with many instead. Exits as `bench` does.
    """
    inventory_path(lab)

    def work() -> BenchResult:
        mine = served(own, lab)
        cpus_count = max(cpus or _USUAL_CPUS_COUNT for cpus in possible_cpus(lab))
        limits = [mine.catalogue.variants[name].limit_at(cpus_count) or 0 for name in mine.variants]
        request = BenchRequest(
            variants=mine.variants,
            lab=lab,
            overrides=_APPLICATION_LOAD,
            connections=(1, _crowd_count(limits)),
            is_forced=is_forced,
        )
        return run_bench(mine.catalogue, request, console, describe_cell, is_sound, mine.attachments)

    measure(work, lambda result: _report_application(result, as_json=as_json))


def _crowd_count(limits: Sequence[int]) -> int:
    """Connections enough to fill every variant, by what its recipe says it takes at once; 0: it says nothing."""
    return min(max(_CROWD_MIN_COUNT, _CROWD_LIMITS * max(limits)), _CROWD_MAX_COUNT)


def _report_application(result: BenchResult, *, as_json: bool) -> int:
    with Run.open(RESULTS_DIR, result.run_id) as run:
        contents = read_contents(run)
        found = at_once(contents)
        if as_json:
            print_json({"run": result.run_id, "at_once": at_once_values(found)})
        else:
            for one in found:
                results().print(terminal(one.sentence), highlight=False, soft_wrap=True)
            results().print()
            results().print(_at_once_table(found))
        # A full disk that ended the run may keep its report from being written.
        with suppress(StoreError):
            console.print(escape(f"every row, with its evidence: {write_run_report(run, contents).markdown}"))
    return sum(1 for one in found if one.doubt)


def _at_once_table(found: tuple[AtOnce, ...]) -> Table:
    table = plain_table()
    for place, title in enumerate(AT_ONCE_HEADERS):
        table.add_column(title, justify="left" if place in AT_ONCE_TEXTS else "right")
    for cells in at_once_lines(found):
        table.add_row(*map(terminal, cells))
    return table


def _report(folder: ProbeFolder, end: _End, *, as_json: bool) -> None:
    """What is stored, on stdout and in probe.md."""
    records, plan, findings = folder.records(), folder.plan, read_findings(folder)
    if as_json:
        print_json(to_rows(records, findings, plan.forced))
    else:
        render(records, results(), findings, plan.forced)
    try:
        console.print(escape(write_report(folder, findings)))
        console.print(escape(str(write_probe_page(folder, findings))))
    except StoreError as error:
        if not end.problem:
            raise
        # What ended the probes (a full disk) may well keep their report from being written.
        console.print(escape(f"no report: {error}"))


def select(catalogue: Catalogue, variants: Sequence[str], suite: str) -> list[Variant]:
    """What a command line means. Raises UsageError, UnknownNameError."""
    chosen = catalogue.select_variants(variants, with_unbenched=True) if variants else None
    if suite:
        rows = catalogue.suite(suite).probes
        if not rows:
            raise UsageError(f"suite {suite} has nothing to probe; `invoke bench --suite {suite}` runs it.")
        of_suite = [catalogue.variants[row.variant] for row in rows]
        return [variant for variant in of_suite if chosen is None or variant in chosen]
    if not chosen:
        raise UsageError("nothing to probe: give --variant NAME (or all), or --suite NAME. `invoke list` shows them.")
    return chosen


def _plan(targets: Sequence[Variant], suite: str, lab: str, ready: ReadyHosts) -> ProbePlan:
    return ProbePlan(
        probe_id=new_probe_id(),
        lab=lab,
        created_at_s=time.time(),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        variants=tuple(variant.name for variant in targets),
        served_by=served_by(targets, ready.session.cpus_count),
        suite=suite or None,
        notes=tuple(ready.readiness.sentences()),
        forced=ready.readiness.forced,
    )


@dataclass(frozen=True)
class _End:
    """How the probes ended."""

    #: Ctrl-C and the like ended them.
    is_interrupted: bool = False
    #: Why they could not go on; empty where they could.
    problem: str = ""


def _probe_all(ready: ReadyHosts, folder: ProbeFolder, targets: Sequence[Variant]) -> _End:
    """Every probe in turn, each stored as it ends. One variant's failure is its record, and the next one's turn."""
    try:
        for number, variant in enumerate(targets, 1):
            with doing(console, f"{number:>3}/{len(targets)}  {variant.name}") as step:
                outcome = _probe_one(ready, variant, step.at)
                ready.held.check()  # another controller may have had its hands in it
                folder.add(outcome.record, outcome.raw)
                step.outcome = one_line(outcome.record)
    except KeyboardInterrupt:
        console.print("interrupted: ending what runs on the hosts; what was probed is stored")
        end = _End(is_interrupted=True)
    except WrklabError as error:
        end = _End(problem=str(error))
    else:
        return _End()
    if ready.held.are_ours:
        with suppress(WrklabError):
            ready.session.clean_up()
    return end


def _probe_one(ready: ReadyHosts, variant: Variant, on_step: Callable[[str], None]) -> ProbeOutcome:
    """Raises HostError where the hosts cannot go on after a failure, or are another's."""
    started_at_s = time.time()
    try:
        return probe_variant(ready.session, ready.session.with_scaled_timeouts(variant), on_step)
    except (WrklabError, *UNREADABLE) as error:
        why = str(error) if isinstance(error, WrklabError) else f"what the hosts said cannot be read: {error!r}"
    ready.held.check()
    revive(ready.session)
    return failed_probe(variant, started_at_s, why)


def one_line(record: ProbeRecord) -> str:
    """What came of one probe, for the progress: plain text, which StepStatus takes."""
    if record.state != "measured":
        return f"{record.state}: {record.error or '; '.join(record.void_reasons[-1:])}"
    return (
        f"{record.capacity} at once ({limited_by(record)}), {record.queued_process} wait in the process, "
        f"{record.queued_kernel} in the kernel ({record.kernel_queue}), {serving(record)}"
    )


def _problem(record: ProbeRecord) -> str:
    """Why a probe is not as it should be; empty where it is."""
    if record.is_expected_failure:
        return ""
    if record.state != "measured":
        return record.state
    if record.expected_failure:
        return "did not fail as expected"
    return CapacityLimit.FAILS if record.is_failing else ""
