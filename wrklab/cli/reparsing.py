"""`invoke reparse`: a run's raw files read again with today's code, and what that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from wrklab import formats
from wrklab.bench.reparse import FigureChange, Reparsed, reparse
from wrklab.cli.verbs import console, print_json, results
from wrklab.paths import RESULTS_DIR
from wrklab.report.reports import write_report
from wrklab.results.run_folder import Run

_FIGURES_SHOWN = 15
_VALUE_SHOWN_LENGTH = 40


def reparse_run(run_id: str, *, as_json: bool) -> None:
    """A run's raw files read again, its store and its reports written again."""
    with Run.open(RESULTS_DIR, run_id, accepts_older=True) as run:
        found = reparse(run)
        paths = write_report(run)
    if as_json:
        print_json(asdict(found))
    else:
        results().print(escape(summary(run.plan.run_id, found)), soft_wrap=True)
        if found.changes:
            results().print(changes_table(found.changes))
    for cell_id, problem in found.problems.items():
        console.print(escape(f"{cell_id}: not read again: {problem}"), soft_wrap=True)
    if found.lost:
        console.print(escape(f"{run.path}/store.sqlite.before has what was stored of {', '.join(found.lost)}"))
    console.print(escape(f"{paths.markdown}\n{paths.csv}"), soft_wrap=True)


def summary(run_id: str, found: Reparsed) -> str:
    """One sentence: how many cells were read again, and how many changed."""
    read = f"run {run_id}: {formats.plural(found.cells_count - len(found.problems), 'cell')} read again"
    if not found.changes:
        return f"{read}, no figure changed"
    return f"{read}, {found.changed_cells_count} changed"


def changes_table(changes: Sequence[FigureChange]) -> Table:
    """The figures that changed in most cells first, each with one of its cells."""
    by_figure: dict[str, list[FigureChange]] = {}
    for change in changes:
        by_figure.setdefault(change.figure, []).append(change)
    ranked = sorted(by_figure.items(), key=lambda entry: (-_cells_count(entry[1]), entry[0]))
    table = Table(box=None, pad_edge=False)
    for heading in ("figure", "cells", "old", "new", "in cell"):
        table.add_column(heading, overflow="fold")
    for figure, found in ranked[:_FIGURES_SHOWN]:
        first = found[0]
        texts = (figure, str(_cells_count(found)), _text(first.old), _text(first.new), first.cell_id)
        table.add_row(*map(escape, texts))
    if len(ranked) > _FIGURES_SHOWN:
        table.add_row(f"and {len(ranked) - _FIGURES_SHOWN} more figures")
    return table


def _cells_count(changes: Sequence[FigureChange]) -> int:
    return len({change.cell_id for change in changes})


def _text(value: object) -> str:
    if value is None:
        return formats.NONE
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _VALUE_SHOWN_LENGTH else f"{text[:_VALUE_SHOWN_LENGTH]}…"
