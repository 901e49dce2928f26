"""`invoke trend`."""

from __future__ import annotations

from dataclasses import asdict

from rich import box
from rich.table import Table

from wrklab.cli.verbs import console, print_json, results
from wrklab.paths import RESULTS_DIR
from wrklab.report.change_points import change_points
from wrklab.report.escaping import terminal
from wrklab.report.index import write_index
from wrklab.report.trend import Trend, can_have_steps, read_history, step_lines, trend_of, with_steps

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
