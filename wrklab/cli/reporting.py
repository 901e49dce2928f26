"""`invoke report`, `export` and `reparse`: stored runs shown, written out, and read again with today's code."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from wrklab import formats
from wrklab.cli.verbs import console, print_json, results
from wrklab.errors import UnknownNameError
from wrklab.paths import RESULTS_DIR
from wrklab.report.contents import read_contents
from wrklab.report.escaping import terminal
from wrklab.report.index import write_index
from wrklab.report.reports import render_terminal, report_data, write_report
from wrklab.report.trend import read_trend
from wrklab.results.run_folder import LATEST, Run, resolve_run_id, run_ids

if TYPE_CHECKING:
    # Reports are shown more often than raw files are read again, which takes 0.3 s to load.
    from wrklab.bench.reparse import FigureChange, Reparsed


def report(run_id: str, *, as_json: bool, is_verbose: bool, is_opened: bool = False) -> None:
    """Write a run's report again and show it; with `is_opened` the page in a browser as well."""
    with open_run(run_id) as run:
        show_report(run, as_json=as_json, is_verbose=is_verbose)
        if is_opened:
            open_page(run.path / "report.html")


def open_page(path: Path) -> None:
    """In the user's browser; where there is none, its path is printed."""
    if not _has_browser() or not webbrowser.open(path.resolve().as_uri()):
        console.print(terminal(f"no browser here; open {path.resolve()}"), soft_wrap=True)


def _has_browser() -> bool:
    """Whether a page would open in a window: not over SSH without a display, and not in a program of the terminal."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def export(run_id: str, formats: str, *, as_json: bool) -> None:
    """A run in the files of other tools."""
    from wrklab.report.export_formats import DEFAULT_FORMATS, export_as

    with open_run(run_id) as run:
        paths = [str(path) for path in export_as(run, formats or DEFAULT_FORMATS)]
    if as_json:
        print_json(paths)
    else:
        results().print(escape("\n".join(paths)), soft_wrap=True)


def open_run(run_id: str) -> Run:
    """A run by its id, `latest` or `latest~1`. Raises UnknownNameError (it tells the nearest), StoreError."""
    known = run_ids(RESULTS_DIR)
    found = resolve_run_id(known, run_id)
    if known and found not in known:
        raise UnknownNameError("run", run_id, [LATEST, *known])
    return Run.open(RESULTS_DIR, found)


def show_report(run: Run, *, as_json: bool, is_verbose: bool = False) -> int:
    """Write the run's reports and the index of all runs, and show the report. Returns how many rows are doubtful."""
    contents = read_contents(run)
    paths = write_report(run, contents)
    write_index(run.path.parent, read_trend(run.path.parent))
    if as_json:
        print_json(report_data(run, contents))
    else:
        render_terminal(run, results(), contents, is_verbose=is_verbose)
    if as_json or is_verbose:
        console.print(escape(f"{paths.html}\n{paths.markdown}\n{paths.csv}"), soft_wrap=True)
    return len(contents.doubtful_rows)


_FIGURES_SHOWN = 15
_VALUE_SHOWN_LENGTH = 40


def reparse_run(run_id: str, *, as_json: bool) -> None:
    """A run's raw files read again, its store and its reports written again."""
    from wrklab.bench.reparse import reparse

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
