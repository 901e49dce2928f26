"""`invoke compare` and `invoke trend`: runs against each other."""

from __future__ import annotations

from dataclasses import asdict

from invoke.exceptions import Exit
from rich import box
from rich.table import Table

from wrklab import formats
from wrklab.cli.reporting import open_run
from wrklab.cli.verbs import console, print_json, results
from wrklab.compare.runs import THRESHOLD_PERCENT, RunComparison, RunSide, compare_runs
from wrklab.errors import UsageError
from wrklab.paths import RESULTS_DIR
from wrklab.report.change_points import change_points
from wrklab.report.comparison import comparison_data, read_side, render_comparison, write_comparison
from wrklab.report.escaping import terminal
from wrklab.report.index import write_index
from wrklab.report.trend import Trend, can_have_steps, read_history, step_lines, trend_of, with_steps

_ALL_PERCENT = 100.0


def compare(old_id: str, new_id: str, threshold: str, *, with_page: bool = False, as_json: bool) -> None:
    """Two runs side by side. Exits with 1 when something got worse or failed, or it can't be said whether it did.

    Raises UnknownNameError for an unknown run, UsageError for a threshold that cannot be meant.
    """
    threshold_percent = parse_threshold(threshold)
    old, new = _read(old_id), _read(new_id)
    found = compare_runs(old, new, threshold_percent)
    if as_json:
        print_json(comparison_data(found))
    else:
        render_comparison(found, results())
    if with_page:
        with open_run(new_id) as run:
            console.print(terminal(str(write_comparison(run.path, found))), soft_wrap=True)
    if text := complaint(found):
        raise Exit(text, code=1)


def parse_threshold(text: str) -> float:
    """Percent from `5`, `2.5` or `5%`; the default where nothing was given. Raises UsageError outside of 0 to 100."""
    if not text:
        return THRESHOLD_PERCENT
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent < _ALL_PERCENT:
        raise UsageError(f"--threshold {text!r}: percent from 0 to below 100 was expected, for instance --threshold 5")
    return percent


def complaint(found: RunComparison) -> str:
    """Why the comparison does not end well; empty where it does."""
    texts, beyond = [], f"by more than {found.threshold_percent:g} %"
    if found.regressions:
        texts.append(f"worse {beyond}, failed or not reached: {formats.plural(len(found.regressions), 'row')}")
    if found.to_measure_again:
        rows = formats.plural(len(found.to_measure_again), "row")
        texts.append(
            f"slower {beyond} next to neighbours or a busy generator: {rows} could not be compared: measure again"
        )
    if not texts and not found.compared:
        texts.append("nothing could be compared")
    return "\n".join(texts)


def _read(run_id: str) -> RunSide:
    with open_run(run_id) as run:
        return read_side(run)


_RUNS_SHOWN = 5


def trend(reference: str, metric: str, *, as_json: bool) -> None:
    """The history of all runs, its steps, and results/index.html. Raises TrendError, UnknownNameError."""
    found = trend_of(read_history(RESULTS_DIR), reference, metric)
    if can_have_steps(found):
        console.print("looking for steps with Apache Otava (the first time it is installed, about a minute)")
        found = with_steps(found, change_points({one.name: [p.ratio for p in one.points] for one in found.series}))
    path = write_index(RESULTS_DIR, found)
    if as_json:
        print_json(asdict(found))
        return
    title = f"{found.metric} as a ratio to {found.reference} of the same run, {found.runs_count} runs"
    results().print(terminal(title))
    results().print(_table(found))
    for line in step_lines(found):
        results().print(terminal(line))
    if not any(one.steps for one in found.series):
        why = "no step was found" if can_have_steps(found) else "a step needs three runs on either side of it"
        results().print(terminal(f"{why}; {found.left_out_count} doubtful figures were left out"))
    console.print(terminal(str(path)), soft_wrap=True)


def _table(found: Trend) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for header in ("variant", "scenario", "runs", f"last {_RUNS_SHOWN}", "steps"):
        table.add_column(header, justify="left" if header in {"variant", "scenario"} else "right")
    for one in found.series:
        last = " ".join(f"{point.ratio:.3f}" for point in one.points[-_RUNS_SHOWN:])
        cells = (one.variant, one.scenario, str(len(one.points)), last, str(len(one.steps)))
        table.add_row(*map(terminal, cells))
    return table
