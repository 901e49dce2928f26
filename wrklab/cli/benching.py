"""`invoke bench`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from invoke.exceptions import Exit
from rich.markup import escape

from wrklab.articles.library import attachments, read_library
from wrklab.bench.bench import resume_bench, run_bench
from wrklab.bench.cells import BenchResult
from wrklab.bench.plan import HALF_RATE_KEY, BenchRequest
from wrklab.bench.rates import parse_rates
from wrklab.bench.resume import choose_run
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.cli.overrides import collect, with_parameters
from wrklab.cli.own_application import ApplicationWords, catalogue_of_run, served
from wrklab.cli.reporting import show_report
from wrklab.cli.verbs import console, one_interrupt
from wrklab.errors import StoreError, UsageError
from wrklab.hosts.ansible import inventory_path
from wrklab.paths import RESULTS_DIR
from wrklab.report.terminal import one_line
from wrklab.results.records import CellRecord, RunPlan
from wrklab.results.run_folder import Run
from wrklab.summary.rows import cell_row
from wrklab.verdicts.rules import is_doubtful


@dataclass(frozen=True)
class Show:
    """How a bench reports, and when doubt makes its exit status 1."""

    as_json: bool = False
    #: Every table and note, not one screen.
    is_verbose: bool = False
    #: A doubtful row makes the exit status 1, for CI.
    is_strict: bool = False


def bench(  # noqa: PLR0913, PLR0917  what the command line can say
    variants: Sequence[str],
    scenario: str,
    suite: str,
    lab: str,
    seed: str,
    flags: Mapping[str, str],
    assignments: Sequence[str],
    rates: str,
    *,
    parameters: Sequence[str] = (),
    aa: bool,
    half_rate: bool = False,
    no_half_rate: bool = False,
    is_forced: bool,
    show: Show,
    own: ApplicationWords | None = None,
) -> None:
    """Measure, store, report. Exits with 1 when a cell failed, with 130 after Ctrl-C; see Show for doubtful rows.

    `own` is a user's application, measured instead of `variants`.
    """
    inventory_path(lab)  # an unknown lab is told before anything else
    catalogue, words = with_parameters(read_catalogue(), variants, parameters, lab=lab, suite=suite)
    several = _several_connections(flags.get("connections", ""))
    if several:
        flags = {**flags, "connections": ""}
    request = BenchRequest(
        variants=words,
        scenario=scenario or None,
        suite=suite or None,
        lab=lab,
        overrides=with_half_rate(collect(flags, assignments), is_on=half_rate, is_off=no_half_rate),
        rates=parse_rates(rates),
        connections=several,
        seed=_seed(seed),
        aa=aa,
        is_forced=is_forced,
    )

    def work() -> BenchResult:
        if own is not None:
            mine = served(own, lab)
            asked = replace(request, variants=mine.variants)
            return run_bench(mine.catalogue, asked, console, one_line, is_sound, mine.attachments)
        # A wrong claim is refused before a host is touched.
        return run_bench(catalogue, request, console, one_line, is_sound, attachments(read_library(catalogue)))

    measure(work, lambda result: _report(result, show=show), is_strict=show.is_strict)


def resume(run_id: str, words: Sequence[object], *, is_forced: bool, show: Show) -> None:
    """Go on with a run that ended early (the newest one without a `run_id`); exits as `bench` does.

    `words` are what else was said on the command line: a stored plan takes none of it.
    """
    if any(words):
        raise UsageError(
            "--resume continues a run as it was planned and takes only --json, --verbose, --strict, --force. "
            "Leave them out, or begin a new run without --resume."
        )
    chosen = choose_run(RESULTS_DIR, run_id)
    if chosen.state == "finished":
        what = f"run {chosen.run_id} is finished" if run_id else "every run is finished"
        console.print(f"{what}: nothing to resume. `invoke report {chosen.run_id}` shows it.")
        return
    console.print(
        f"run {chosen.run_id}: {chosen.measured_count + chosen.failed_count} of {chosen.planned_count} cells are there"
    )

    def work() -> BenchResult:
        with Run.open(RESULTS_DIR, chosen.run_id) as run:
            catalogue = catalogue_of_run(run)
        return resume_bench(catalogue, chosen.run_id, console, one_line, is_sound, is_forced=is_forced)

    measure(work, lambda result: _report(result, show=show), is_strict=show.is_strict)


def measure(work: Callable[[], BenchResult], report: Callable[[BenchResult], int], *, is_strict: bool = False) -> None:
    """Do the work, report, and exit with what came of it. `report` returns how many rows are doubtful."""
    with one_interrupt() as interruption:
        result = work()
        doubtful_count = report(result)
    if not result.is_finished:
        why = f"the run ended early: {result.problem}" if result.problem else "interrupted"
        raise Exit(
            f"{why}\nwhat was measured is stored; go on with: invoke bench --resume {result.run_id}",
            code=1 if result.problem else interruption.exit_status,
        )
    if result.failed_cells:
        raise Exit(f"failed: {', '.join(result.failed_cells)}", code=1)
    if doubtful_count and is_strict:
        rows = "1 row is" if doubtful_count == 1 else f"{doubtful_count} rows are"
        raise Exit(f"everything was measured; {rows} doubtful, and --strict was given", code=1)


def _report(result: BenchResult, *, show: Show) -> int:
    try:
        with Run.open(RESULTS_DIR, result.run_id) as run:
            return show_report(run, as_json=show.as_json, is_verbose=show.is_verbose)
    except StoreError as error:
        if result.is_finished:
            raise
        # What ended the run (a full disk) may well keep its report from being written.
        console.print(escape(f"no report: {error}"))
        return 0


def is_sound(plan: RunPlan, record: CellRecord) -> bool:
    """Whether a cell has a rate that can be believed, by the rules of rows."""
    return record.measurement is not None and not is_doubtful(cell_row(plan, record))


def with_half_rate(changes: Mapping[str, object], *, is_on: bool, is_off: bool) -> dict[str, object]:
    """Keys of the scenario with what `--half-rate` and `--no-half-rate` say. Raises UsageError for both."""
    if is_on and is_off:
        raise UsageError("--half-rate and --no-half-rate: leave one out")
    return {**changes, **({HALF_RATE_KEY: is_on} if is_on or is_off else {})}


def _several_connections(text: str) -> tuple[int, ...]:
    """The numbers in `1,64`; none in one number alone, which is a key of the scenario. Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    if len(words) == 1:
        return ()
    if not all(word.isdecimal() and int(word) for word in words):
        raise UsageError(f"--connections {text!r}: whole numbers above 0 were expected, with commas between")
    return tuple(map(int, words))


def _seed(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--seed {text!r}: a whole number was expected") from None
