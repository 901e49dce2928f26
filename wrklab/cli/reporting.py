"""`invoke report` and `invoke export`, and the end of `invoke bench`."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path

from rich.markup import escape

from wrklab.cli.verbs import console, print_json, results
from wrklab.errors import UnknownNameError
from wrklab.paths import RESULTS_DIR
from wrklab.report.contents import read_contents
from wrklab.report.escaping import terminal
from wrklab.report.index import write_index
from wrklab.report.reports import render_terminal, report_data, write_report
from wrklab.report.trend import read_trend
from wrklab.results.run_folder import LATEST, Run, resolve_run_id, run_ids


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
