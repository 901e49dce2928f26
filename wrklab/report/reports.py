"""Writing and showing a run's reports, from its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from wrklab.doors.results import Run, write_file
from wrklab.report import terminal
from wrklab.report.columns import Value
from wrklab.report.contents import Contents, read_contents
from wrklab.report.markdown import to_markdown
from wrklab.report.tabular import to_csv, to_rows


@dataclass(frozen=True)
class ReportPaths:
    """What was written."""

    markdown: Path
    csv: Path


def write_report(run: Run, contents: Contents | None = None) -> ReportPaths:
    """Writes report.md and report.csv into the run's folder, each replaced as a whole. Raises StoreError."""
    found = contents or read_contents(run)
    paths = ReportPaths(run.path / "report.md", run.path / "report.csv")
    write_file(paths.markdown, to_markdown(found))
    write_file(paths.csv, to_csv(found))
    return paths


def render_terminal(run: Run, console: Console, contents: Contents | None = None) -> None:
    """Prints the report: tables, notes, the articles beside it."""
    terminal.render(contents or read_contents(run), console)


def report_rows(run: Run, contents: Contents | None = None) -> list[dict[str, Value]]:
    """The lines of report.csv as plain data, for `--json`."""
    return to_rows(contents or read_contents(run))
