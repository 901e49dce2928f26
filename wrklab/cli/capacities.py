"""`invoke capacity`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from invoke.exceptions import Exit
from rich.markup import escape
from rich.table import Table

from wrklab.articles.library import attachments, read_library
from wrklab.bench.capacity import Capacity, Ending, Keeping, Window, figures_of, no_figures, parse_objectives
from wrklab.bench.capacity_run import (
    CapacityRequest,
    CapacityResult,
    read_capacity_plan,
    results_of,
    resume_capacity,
    run_capacity,
    store_results,
)
from wrklab.bench.cells import BenchResult
from wrklab.bench.plan import DEFAULT_SCENARIO
from wrklab.bench.resume import choose_run
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.cli.overrides import collect, with_parameters
from wrklab.cli.own_application import ApplicationWords, catalogue_of_run, served
from wrklab.cli.verbs import console, one_interrupt, print_json, results
from wrklab.errors import StoreError, UsageError
from wrklab.formats import NONE, ms, rate
from wrklab.hosts.ansible import inventory_path
from wrklab.paths import RESULTS_DIR
from wrklab.report.reports import write_report
from wrklab.report.terminal import one_line, plain_table
from wrklab.results.records import CellRecord, RunPlan
from wrklab.results.run_folder import Run
from wrklab.summary.rows import cell_row
from wrklab.verdicts.rules import applying
from wrklab.verdicts.verdict import Verdict

_PRECISION_MAX_PERCENT = 50.0
#: What a rule's verdict makes of a window, the first that applies.
_KEEPINGS = {
    Verdict.GENERATOR_BOUND: Keeping.VOID,
    Verdict.OVERLOADED: Keeping.BEHIND,
    Verdict.POLLUTED: Keeping.BEHIND,
}


def judged(plan: RunPlan, record: CellRecord) -> Window:
    """A cell as a search sees it. A window that is not the load requested fails, and one of a full generator is void.

    Neighbours may be why a window fails, so such a window is measured again; one that passes all the same counts.
    """
    rate_per_s = plan.scenarios[record.scenario].rate_per_s or 0.0
    if record.measurement is None:
        return Window(rate_per_s, no_figures(), Keeping.BEHIND, record.failure.text if record.failure else "failed")
    row, figures = cell_row(plan, record), figures_of(record.measurement)
    achieved_per_s = record.measurement.right_answers_per_s
    is_disturbed = any(rule.verdict is Verdict.DISTURBED for rule in applying(row))
    # Not the row's verdict: a neighbour may be said first, and the server is behind all the same.
    for verdict, keeping in _KEEPINGS.items():
        if rule := next((rule for rule in applying(row) if rule.verdict is verdict), None):
            return Window(rate_per_s, figures, keeping, rule.words(row), is_disturbed, achieved_per_s)
    return Window(rate_per_s, figures, Keeping.KEPT, is_disturbed=is_disturbed, achieved_per_s=achieved_per_s)


def capacity(  # noqa: PLR0913, PLR0917  what the command line can say
    variants: Sequence[str],
    objectives: str,
    precision: str,
    scenario: str,
    lab: str,
    assignments: Sequence[str],
    *,
    parameters: Sequence[str] = (),
    aa: bool,
    is_forced: bool,
    as_json: bool,
    own: ApplicationWords | None = None,
) -> None:
    """Search, store, report. Exits with 1 where a search found no rate within the objective, with 130 after Ctrl-C.

    `own` is a user's application, searched instead of `variants`.
    """
    inventory_path(lab)
    if not variants and own is None:
        raise UsageError("nothing to search: give --variant NAME (or all). `invoke list` shows them.")
    overrides = collect({}, assignments)
    if {"rate_per_s", "rounds"} & set(overrides):
        raise UsageError("--set rate_per_s and --set rounds are what a search decides itself: leave them out")
    catalogue, words = with_parameters(read_catalogue(), variants, parameters, lab=lab)
    request = CapacityRequest(
        variants=words,
        objectives=objectives,
        lab=lab,
        scenario=scenario or DEFAULT_SCENARIO,
        overrides=overrides,
        precision_ratio=_precision(precision),
        aa=aa,
        is_forced=is_forced,
    )

    def work() -> BenchResult:
        if own is not None:
            mine = served(own, lab)
            asked = replace(request, variants=mine.variants)
            return run_capacity(mine.catalogue, asked, console, one_line, judged, mine.attachments)
        return run_capacity(catalogue, request, console, one_line, judged, attachments(read_library(catalogue)))

    _search(work, as_json=as_json)


def resume(run_id: str, words: Sequence[object], *, is_forced: bool, as_json: bool) -> None:
    """Go on with a search that ended early (the newest one without a `run_id`), at its next window."""
    if any(words):
        raise UsageError("--resume continues a search as it was planned and takes only --json and --force")
    chosen = choose_run(RESULTS_DIR, run_id, kind="capacity")

    def work() -> BenchResult:
        with Run.open(RESULTS_DIR, chosen.run_id) as run:
            catalogue = catalogue_of_run(run)
        return resume_capacity(catalogue, chosen.run_id, console, one_line, judged, is_forced=is_forced)

    _search(work, as_json=as_json)


def _precision(text: str) -> float:
    try:
        percent = float(text.rstrip("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= _PRECISION_MAX_PERCENT:
        raise UsageError(f"--precision {text!r}: percent above 0 and at most {_PRECISION_MAX_PERCENT:g} were expected")
    return percent / 100


def _search(work: Callable[[], BenchResult], *, as_json: bool) -> None:
    with one_interrupt() as interruption:
        ended = work()
        found = _report(ended, as_json=as_json)
    if not ended.is_finished:
        why = f"the search ended early: {ended.problem}" if ended.problem else "interrupted"
        raise Exit(
            f"{why}\nwhat was measured is stored; go on with: invoke capacity --resume {ended.run_id}",
            code=1 if ended.problem else interruption.exit_status,
        )
    if missing := [one.variant for one in found if not _is_answered(one.capacity)]:
        raise Exit(f"no rate within the objective was found: {', '.join(missing)}", code=1)


def _report(ended: BenchResult, *, as_json: bool) -> tuple[CapacityResult, ...]:
    with Run.open(RESULTS_DIR, ended.run_id) as run:
        found = results_of(run, judged)
        if ended.is_finished:
            store_results(run, found)
        if as_json:
            print_json({"run": ended.run_id, "capacities": [as_values(one) for one in found]})
        else:
            objectives = read_capacity_plan(run).objectives
            for one in found:
                results().print(escape(answer(one, objectives)), highlight=False, soft_wrap=True)
            results().print()
            results().print(_table(found))
        if run.cells():
            # A full disk that ended the search may keep its report from being written.
            with suppress(StoreError):
                console.print(escape(f"a row for each rate: {write_report(run).markdown}"))
    return found


def as_values(found: CapacityResult) -> dict[str, Any]:
    """One search for programs, with its curve by rate."""
    capacity = found.capacity
    return {
        "variant": found.variant,
        "twin": found.twin,
        "ending": capacity.ending.value,
        "passed_per_s": capacity.passed_per_s,
        "failed_per_s": capacity.failed_per_s,
        "estimate_per_s": capacity.estimate_per_s,
        "failed_first": capacity.failed_first,
        "is_cliff": capacity.is_cliff,
        "windows_count": capacity.windows_count,
        "took_s": found.took_s,
        "curve": [
            {"rate_per_s": window.rate_per_s, "keeping": window.keeping.value, "why": window.why}
            | {name: window.figures[name] for name in ("p50", "p90", "p99") if window.keeping is not Keeping.VOID}
            for window in sorted(found.windows, key=lambda window: window.rate_per_s)
        ],
    }


def answer(found: CapacityResult, objectives: str) -> str:
    """One search in a sentence."""
    capacity, name = found.capacity, f"{found.variant}{found.twin and ' ' + found.twin}"
    passed, failed = rate(capacity.passed_per_s), rate(capacity.failed_per_s)
    by = f" ({capacity.failed_first})" if capacity.failed_first else ""
    match capacity.ending:
        case Ending.FOUND:
            return f"{name} serves {passed} requests/s within {objectives}; it fails at {failed}{by}."
        case Ending.NONE_PASSES:
            return f"{name} fails at every rate that was tried, down to {failed} requests/s{by}."
        case Ending.EVERY_RATE_PASSES:
            return f"{name} serves {passed} requests/s, the most that may be sent, within {objectives}."
        case Ending.VOID_WINDOWS:
            return _void_answer(found, name, objectives, by)
        case Ending.UNSETTLED:
            return f"{name}: {capacity.windows_count} windows did not agree; between {passed} and {failed} requests/s."


def _void_answer(found: CapacityResult, name: str, objectives: str, by: str) -> str:
    """What is known all the same, and why it is no more."""
    passed, failed = found.capacity.passed_per_s, found.capacity.failed_per_s
    reason = _void_reason(found, objectives)
    if passed and failed:
        known = f"{name} serves {rate(passed)} requests/s within {objectives}, and fails at {rate(failed)}{by}"
        return f"{known}; nothing more precise can be said: {reason}."
    if passed:
        return f"{name} serves {rate(passed)} requests/s or more within {objectives}; {reason}."
    if failed:
        return f"{name} fails at {rate(failed)} requests/s{by}; nothing can be said below that: {reason}."
    return f"Nothing can be said of {name}: {reason}."


def _void_reason(found: CapacityResult, objectives: str) -> str:
    """Why the search could not go on: the generator was full, or others used the hosts' CPUs."""
    asked = parse_objectives(objectives)
    last = next(window for window in reversed(found.windows) if window.is_void(asked))
    if last.keeping is Keeping.VOID:
        return (
            f"at {rate(last.rate_per_s)} the generator was the limit ({last.why}): "
            "more generators show more (invoke lab.up --loadgens 2)"
        )
    return f"at {rate(last.rate_per_s)} others used the hosts' CPUs, so that window says nothing: run it again"


def _is_answered(capacity: Capacity) -> bool:
    """Whether there is a rate that is served within the objective."""
    return capacity.passed_per_s is not None and capacity.ending is not Ending.UNSETTLED


def _table(found: Sequence[CapacityResult]) -> Table:
    table = plain_table()
    table.add_column("variant")
    for title in ("passed/s", "failed/s", "about", "p50 ms", "p99 ms", "shape", "windows", "took s"):
        table.add_column(title, justify="left" if title == "shape" else "right")
    for one in found:
        capacity = one.capacity
        shape = "cliff" if capacity.is_cliff else "smooth"
        table.add_row(
            escape(f"{one.variant}{one.twin and ' ' + one.twin}"),
            rate(capacity.passed_per_s),
            rate(capacity.failed_per_s),
            rate(capacity.estimate_per_s),
            *_latencies(one),
            shape if capacity.failed_per_s and capacity.passed_per_s else NONE,
            str(capacity.windows_count),
            f"{one.took_s:.0f}",
        )
    return table


def _latencies(found: CapacityResult) -> tuple[str, str]:
    """p50 and p99 of the first window at the highest rate that passed."""
    windows = [window for window in found.windows if window.rate_per_s == found.capacity.passed_per_s]
    return (ms(windows[0].figures["p50"]), ms(windows[0].figures["p99"])) if windows else (NONE, NONE)
