"""Writing and showing a run's reports, from its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from wrklab.report import claims, screen, terminal
from wrklab.report.at_once import at_once, at_once_values
from wrklab.report.columns import to_csv, to_rows
from wrklab.report.contents import Contents, read_contents
from wrklab.report.generators import generator_values
from wrklab.report.html import write_html
from wrklab.report.markdown import to_markdown
from wrklab.report.pictures import run_pictures, write_pictures
from wrklab.report.requests import request_values, to_requests_csv
from wrklab.report.tables import twins_data
from wrklab.results.run_folder import Run, write_file


@dataclass(frozen=True)
class ReportPaths:
    """What was written."""

    markdown: Path
    csv: Path
    html: Path


def write_report(run: Run, contents: Contents | None = None) -> ReportPaths:
    """Writes report.html, report.md with its pictures, and report.csv into the run's folder, and requests.csv of a mix.

    Raises StoreError.
    """
    found = contents or read_contents(run)
    paths = ReportPaths(run.path / "report.md", run.path / "report.csv", run.path / "report.html")
    pictures = run_pictures(run, found)
    write_pictures(run.path, pictures.files)
    write_html(run, found, pictures)
    write_file(paths.markdown, to_markdown(found, pictures.files))
    write_file(paths.csv, to_csv(found))
    if requests := to_requests_csv(found):
        write_file(run.path / "requests.csv", requests)
    return paths


def render_terminal(run: Run, console: Console, contents: Contents | None = None, *, is_verbose: bool = False) -> None:
    """Prints one screen: the answer, a line a variant, where the rest is. `is_verbose` prints every table and note."""
    found = contents or read_contents(run)
    if is_verbose:
        terminal.render(found, console)
    else:
        screen.render(found, console, _shown(run.path))


def report_data(run: Run, contents: Contents | None = None) -> dict[str, Any]:
    """All of `--json`: the run, its rows, what bears on believing them, the environment.

    Of an A/A run the noise floor (a ratio: 0.02 is 2 %) with its twins. `generators` has an entry a row and generator
    where there are several, else none; `requests` one a row and request of a mix; `at_once` one a variant that was
    measured with one connection and with many.
    """
    found = contents or read_contents(run)
    floor = found.noise_floor
    return {
        "run": run.plan.run_id,
        "noise_floor_ratio": floor.ratio if floor else None,
        "twins": twins_data(floor) if floor else [],
        "rows": to_rows(found),
        "at_once": at_once_values(at_once(found)),
        "generators": generator_values(found),
        "requests": request_values(found),
        "claims": claims.to_data(found.articles.claims),
        "rank_correlations": [claims.correlation_data(one) for one in found.articles.correlations],
        "article_inconsistencies": [claims.inconsistency_data(one) for one in found.articles.inconsistencies],
        "notes": [note.sentence for note in found.run_notes],
        "forced": list(found.plan.forced),
        "environment": found.environment.model_dump(mode="json"),
    }


def _shown(path: Path) -> str:
    """A path as short as it can be typed: relative where it lies below the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
