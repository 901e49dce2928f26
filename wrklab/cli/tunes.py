"""`invoke tune`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from invoke.exceptions import Exit
from rich.markup import escape

from wrklab.bench.capacity import parse_objectives
from wrklab.bench.cells import BenchResult
from wrklab.bench.plan import DEFAULT_SCENARIO
from wrklab.bench.resume import choose_run
from wrklab.bench.tune_run import (
    TuneRequest,
    estimate,
    found_in,
    read_tune_plan,
    resume_tune,
    run_tune,
    tune_plan,
)
from wrklab.catalogue.application import Application, read_application
from wrklab.catalogue.application_stack import EntryRecipe, added_files, choose_recipes
from wrklab.catalogue.cards import parse_duration_s
from wrklab.catalogue.catalogue import Catalogue, check_parameters, read_catalogue
from wrklab.catalogue.command_line import command_line
from wrklab.catalogue.current_command import CurrentServing, read_current
from wrklab.catalogue.grid import grid
from wrklab.cli.capacities import judged
from wrklab.cli.overrides import collect, parse_parameters
from wrklab.cli.own_application import (
    APPLICATION_FILE,
    ApplicationWords,
    ServedApplication,
    application_of_run,
    served,
)
from wrklab.cli.tune_text import TuneAnswer, answer_lines, as_values, left_out_notes, page, plan_lines
from wrklab.cli.verbs import console, one_interrupt, print_json, results
from wrklab.errors import CardError, ParameterError, ParseError, StoreError, UsageError
from wrklab.formats import count, rate
from wrklab.hosts.ansible import inventory_path
from wrklab.hosts.application import backends_of, pack, with_secrets_blanked
from wrklab.hosts.inventory import read_hosts
from wrklab.hosts.ready import bring_up
from wrklab.hosts.session import open_session
from wrklab.paths import RESULTS_DIR
from wrklab.report.escaping import terminal
from wrklab.report.reports import write_report
from wrklab.report.terminal import one_line
from wrklab.results.records import CellRecord, RunPlan
from wrklab.results.run_folder import TUNE_FILE, TUNE_PAGE_FILE, Run, write_file
from wrklab.summary.rows import cell_row
from wrklab.verdicts.rules import applying
from wrklab.verdicts.verdict import Verdict

_MEMORY = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>KiB|MiB|GiB)")
#: Enough for a few dozen configurations.
_BUDGET = "30m"
_ASK_LIMIT_S = 20.0
#: What can set a rate.
_BOUNDS = (Verdict.BACKEND_BOUND, Verdict.SERVER_BOUND, Verdict.LIMIT_BOUND, Verdict.GENERATOR_BOUND)
#: The note on connections to a backend that ran out (verdicts/backends.py).
_POOL_RULE = "pool_exhausted"
_UNIT_BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@dataclass(frozen=True)
class TuneWords:
    """What the command line says of a search, as it was typed."""

    objectives: str
    rate: str
    memory: str
    budget: str
    scenario: str
    assignments: Sequence[str]


def refuse_without_application() -> NoReturn:
    """Raises UsageError: what is searched is a configuration of a user's application."""
    raise UsageError("tune needs the folder of your application: invoke tune --app DIR (docs/your_application.md)")


def tune(own: ApplicationWords, words: TuneWords, lab: str, *, is_forced: bool, as_json: bool) -> None:
    """Plan, show, search, store, say. Exits with 1 where nothing serves, with 130 after Ctrl-C."""
    inventory_path(lab)
    asked = _asked(words, lab, is_forced=is_forced)
    application, known = read_application(Path(own.folder)), read_catalogue()
    with_secrets_blanked(application)
    current = read_current(application.current) if application.current else CurrentServing()
    pairs, refused = usable_recipes(known, application, own.recipes, current)
    recipes = tuple(dict.fromkeys(pair.recipe.name for pair in pairs))
    # The plan has the names of all candidates, so a resumed run needs no parameters.
    mine = served(ApplicationWords(folder=own.folder, recipes=recipes), lab)
    cpus_count = cpus_count_of(mine.catalogue, lab)
    asked = with_candidates(asked, mine, own, current, refused, cpus_count)
    catalogue = mine.catalogue.with_made(asked.candidates)
    plan = tune_plan(catalogue, asked)
    for line in plan_lines(plan, estimate(catalogue, plan)):
        console.print(terminal(line))

    def work() -> BenchResult:
        return run_tune(catalogue, plan, lab, console, one_line, judged, mine.attachments, is_forced=is_forced)

    _search(replace(mine, catalogue=catalogue), work, as_json=as_json)


def resume(run_id: str, others: Sequence[object], budget: str, *, is_forced: bool, as_json: bool) -> None:
    """Go on with a search that ended early (the newest one without a `run_id`), at its next window.

    A larger `budget` goes on with one that its budget ended.
    """
    if any(others):
        raise UsageError("--resume continues a search as it was planned and takes only --budget, --json and --force")
    budget_s = parse_budget_s(budget) if budget else None
    chosen = choose_run(RESULTS_DIR, run_id, kind="tune")

    with Run.open(RESULTS_DIR, chosen.run_id) as run:
        read_tune_plan(run)
        mine = application_of_run(run)
    if mine is None:
        raise StoreError(f"{chosen.path / APPLICATION_FILE} is gone: nobody knows which application the run is of")

    def work() -> BenchResult:
        return resume_tune(
            mine.catalogue, chosen.run_id, console, one_line, judged, budget_s=budget_s, is_forced=is_forced
        )

    _search(mine, work, as_json=as_json)


def _asked(words: TuneWords, lab: str, *, is_forced: bool) -> TuneRequest:
    """The request without its candidates. Raises UsageError."""
    parse_objectives(words.objectives)
    overrides = collect({}, words.assignments)
    if {"rate_per_s", "rounds"} & set(overrides):
        raise UsageError("--set rate_per_s and --set rounds are what a search decides itself: leave them out")
    return TuneRequest(
        candidates=(),
        current=None,
        objectives=words.objectives,
        budget_s=parse_budget_s(words.budget or _BUDGET),
        rate_per_s=parse_rate(words.rate) if words.rate else None,
        memory_limit_bytes=parse_memory_bytes(words.memory) if words.memory else None,
        lab=lab,
        scenario=words.scenario or DEFAULT_SCENARIO,
        overrides=overrides,
        is_forced=is_forced,
    )


def parse_budget_s(text: str) -> float:
    """Seconds from `30m`. Raises UsageError."""
    try:
        found = parse_duration_s(text)
    except ValueError as error:
        raise UsageError(f"--budget: {error}") from None
    if not 0 < found < math.inf:
        raise UsageError(f"--budget {text!r}: a time above 0 was expected, for instance 30m")
    return found


def parse_rate(text: str) -> float:
    """Requests/s. Raises UsageError."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise UsageError(f"--rate {text!r}: requests/s above 0 were expected, for instance 300")
    return found


def parse_memory_bytes(text: str) -> int:
    """Bytes from `1GiB` or `512MiB`. Raises UsageError."""
    match = _MEMORY.fullmatch(text.strip())
    if not match or float(match["number"]) <= 0:
        raise UsageError(f"--memory {text!r}: a size in KiB, MiB or GiB was expected, for instance 1GiB")
    return round(float(match["number"]) * _UNIT_BYTES[match["unit"]])


def usable_recipes(
    catalogue: Catalogue, application: Application, words: Sequence[str], current: CurrentServing
) -> tuple[list[EntryRecipe], dict[str, str]]:
    """The recipes to try (all that fit, where none is named), and those whose packages the application excludes.

    Raises CardError where none is left, UsageError for names that are not there.
    """
    pairs = choose_recipes(catalogue, application, words or ["all"])
    if current.recipe and not any(pair.recipe.name == current.recipe for pair in pairs):
        with suppress(UsageError):
            pairs += choose_recipes(catalogue, application, [current.recipe])
    usable: list[EntryRecipe] = []
    refused: dict[str, str] = {}
    for requirements in dict.fromkeys(pair.recipe.requirements for pair in pairs):
        these = [pair for pair in pairs if pair.recipe.requirements == requirements]
        try:
            pack(application, these)
        except CardError as error:
            refused[", ".join(dict.fromkeys(pair.recipe.name for pair in these))] = f"{error}".replace("\n", " ")
        else:
            usable += these
    if not usable:
        raise CardError("\n".join(refused.values()))
    return usable, refused


def cpus_count_of(catalogue: Catalogue, lab: str) -> int:
    """How many CPUs the lab's server has; a lab of this machine is brought up for that. Raises LabError."""
    hosts = read_hosts(lab)
    if not hosts.server.cpus:
        bring_up(lab, hosts.kind, console, backends=bool(backends_of(catalogue)))
        hosts = read_hosts(lab)
    if hosts.server.cpus:
        return len(hosts.server.cpus)
    with open_session(catalogue, lab) as session:
        # As environment.py counts them, which may not be there yet: those that a process may use.
        said = session.server.run(["nproc"], limit_s=_ASK_LIMIT_S).stdout.strip()
    if not said.isdigit() or int(said) < 1:
        raise ParseError(f"{hosts.server.name}: nproc said {said!r}; a number of CPUs was expected. Give lab_cpus")
    return int(said)


def with_candidates(  # noqa: PLR0913, PLR0917  what decides them
    asked: TuneRequest,
    mine: ServedApplication,
    own: ApplicationWords,
    current: CurrentServing,
    refused: Mapping[str, str],
    cpus_count: int,
) -> TuneRequest:
    """The request with the grid on so many CPUs, and what runs today. Raises ParameterError."""
    chosen = choose_recipes(mine.catalogue, mine.application, own.recipes or ["all"])
    tried = {pair.recipe.name for pair in chosen}
    variants = [mine.catalogue.variants[name] for name in mine.variants]
    names = grid(
        [variant for variant in variants if variant.recipe in tried], cpus_count, parse_parameters(own.parameters)
    )
    served_now = [variant for variant in variants if current.recipe and variant.recipe == current.recipe]
    said = (mine.application.current or "").split()
    # Of several entries the one that the command names.
    base = next((variant for variant in served_now if variant.entry in said), next(iter(served_now), None))
    today, problem = None, current.problem
    if base is not None:
        try:
            made = base.with_words(current.parameters) if current.parameters else base
            check_parameters([made], cpus_count)
            today = made.name
        except ParameterError as error:
            problem = str(error)
    elif current.recipe:
        problem = f"{current.recipe} is not among the recipes that this application can have"
    return replace(
        asked,
        candidates=tuple(dict.fromkeys([*names, *([today] if today else [])])),
        current=today,
        notes=left_out_notes(refused, problem, current.left_out if today else ()),
    )


def _search(mine: ServedApplication, work: Callable[[], BenchResult], *, as_json: bool) -> None:
    with one_interrupt() as interruption:
        ended = work()
        answer = _report(mine, ended, as_json=as_json)
    if not ended.is_finished:
        why = f"the search ended early: {ended.problem}" if ended.problem else "interrupted"
        raise Exit(
            f"{why}\nwhat was measured is stored; go on with: invoke tune --resume {ended.run_id}",
            code=1 if ended.problem else interruption.exit_status,
        )
    if answer.tuned.recommended is None:
        raise Exit("no configuration is known to serve it", code=1)


def _report(mine: ServedApplication, ended: BenchResult, *, as_json: bool) -> TuneAnswer:
    with Run.open(RESULTS_DIR, ended.run_id) as run:
        answer = answer_of(run, mine)
        values = as_values(answer)
        if run.cells():
            # A full disk that ended the search may keep its files from being written.
            with suppress(StoreError):
                write_file(run.path / TUNE_FILE, json.dumps(values, indent=1, ensure_ascii=False))
                write_file(run.path / TUNE_PAGE_FILE, page(answer))
                console.print(escape(f"a row for each configuration: {run.path / TUNE_PAGE_FILE}"))
                console.print(escape(f"a row for each window: {write_report(run).markdown}"))
        if as_json:
            print_json(values)
        else:
            out = results()
            for line in answer_lines(answer):
                out.print(terminal(line), highlight=False, soft_wrap=True)
    return answer


def answer_of(run: Run, mine: ServedApplication) -> TuneAnswer:
    """What the windows stored in a run come to, in the words of the application that it is of."""
    plan, tuned, application = read_tune_plan(run), found_in(run, judged), mine.application
    made, cpus_count = mine.catalogue.with_made(plan.candidates), run.plan.server_cpus_count
    return TuneAnswer(
        run_id=run.plan.run_id,
        plan=plan,
        tuned=tuned,
        commands={name: command_line(made.variants[name], application, cpus_count) for name in plan.candidates},
        bound=bound_of(run, tuned.recommended),
        current_command=application.current,
        server_cpus_count=cpus_count,
        lab=run.plan.lab,
        backends=run.plan.backends,
        factory_files=added_files(application),
    )


def bound_of(run: Run, name: str | None) -> str:
    """What set the rate of a candidate under its closed loop, by the rules of rows; empty where no window says it.

    With it a pool of connections that ran out in any of its windows.
    """
    cells = [cell for cell in run.cells() if cell.variant == name]
    looks = [cell for cell in cells if run.plan.scenarios[cell.scenario].rate_per_s is None]
    if not looks:
        return ""
    row = cell_row(run.plan, looks[0])
    # Not what decides the row: that connections starve in a look is no news.
    rule = next((rule for rule in applying(row) if rule.verdict in _BOUNDS), None)
    found = f"{rule.verdict} ({rule.words(row)})" if rule else _waits(looks[0].in_flight_limit)
    pools = [pool for cell in cells for pool in _pools(run.plan, cell)]
    return "; ".join([f"{found}, at {rate(row.requests_per_s)} requests/s", *pools[:1]])


def _waits(limit: int | None) -> str:
    at_once = f"the {count(limit)} requests that it handles at once, or " if limit else ""
    return f"no CPU was full, so likely {at_once}what its requests wait for"


def _pools(plan: RunPlan, cell: CellRecord) -> list[str]:
    row = cell_row(plan, cell)
    return [rule.words(row) for rule in applying(row) if rule.name == _POOL_RULE]
