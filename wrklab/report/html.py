"""report.html: the answer first, the table second, pictures and evidence third. One file, opened from disk."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from wrklab import formats
from wrklab.errors import StoreError
from wrklab.report import claims, tables
from wrklab.report.answer import compose
from wrklab.report.chart_figures import WindowPanels
from wrklab.report.charts import VERDICT_COLOURS, Spec
from wrklab.report.columns import COLUMNS, to_csv
from wrklab.report.contents import HOW_TO_READ, WHEN_NOT_TO_BELIEVE, Contents, ReportRow, reason
from wrklab.report.environment import environment_tables
from wrklab.report.half_rate import why_missing
from wrklab.report.html_page import Page, documents, write_page
from wrklab.report.html_table import ROUND_HEADERS, Values, round_cells, row_cells, table_columns
from wrklab.report.pictures import Pictures
from wrklab.report.screen import named_entries, title
from wrklab.results.environment_changes import environment_changes, plan_changes
from wrklab.results.records import CellRecord, RunEnvironment, RunPlan
from wrklab.results.run_folder import Run, run_ids
from wrklab.verdicts.rules import verdict_figures
from wrklab.verdicts.verdict import Verdict

#: A round's raw folder may hold more; the link to the folder has them all.
_FILES_SHOWN = 40
_LOG_LINES = 40
#: How many runs back an environment that can be read is looked for.
_RUNS_BACK = 5
_GREY = "#8a8a8a"
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def write_html(run: Run, contents: Contents, pictures: Pictures) -> Path:
    """Writes report.html into the run's folder, replaced as a whole; its path. Raises StoreError."""
    rows = list(csv.DictReader(io.StringIO(to_csv(contents))))
    values = {(row["scenario"], row["variant"]): row for row in rows}
    named = named_entries(contents)
    answer = compose(contents)
    windows = pictures.windows
    has_windows = any(entry.half_rate is not None for entry in contents.rows)
    page = Page(
        title=f"wrklab run {contents.info.run_id}",
        documents=documents(
            charts=pictures.page_specs,
            windows=_windows_data(pictures),
            figures={
                "columns": [[one.name, one.unit, _plain(one.definition)] for one in COLUMNS],
                "rows": {_key(row["scenario"], row["variant"]): list(row.values()) for row in rows},
            },
        ),
        has_charts=bool(pictures.page_specs),
    )
    path = run.path / "report.html"
    write_page(
        path,
        "report.html.j2",
        page,
        run_id=contents.info.run_id,
        subtitle=title(contents),
        sections=_sections(contents, pictures),
        answer=answer,
        run_notes=contents.run_notes,
        filters=_filters(contents),
        columns=table_columns(has_windows=has_windows),
        rows=[
            _row(run, contents, name, entry, values[entry.row.scenario, entry.row.variant], has_windows=has_windows)
            for name, entry in named
        ],
        round_headers=ROUND_HEADERS,
        pictures=pictures.sections,
        spectrum_rows=[name for name, entry in named if entry.row.latency is not None],
        spectrum_focus=pictures.focus,
        window_rows=[(key, found.title) for key, found in windows.items()],
        article_chart="articles" in pictures.page_specs,
        correlations=[claims.correlation_line(found) for found in contents.articles.correlations],
        claims_line=claims.summary_line(contents.articles.claims),
        claims=list(_claims(contents)),
        published=_published(contents),
        published_headers=tables.PUBLISHED_HEADERS,
        groups=list(tables.note_lines(contents)),
        changes=changes_since_before(run),
        environment=list(environment_tables(contents.environment)),
        how_to_read=_plain(HOW_TO_READ),
        when_not_to_believe=_plain(WHEN_NOT_TO_BELIEVE),
        command=contents.plan.command,
        lab=contents.plan.lab,
        harness=tables.harness_line(contents),
    )
    return path


def _sections(contents: Contents, pictures: Pictures) -> list[tuple[str, str]]:
    found = [("results", "Results"), *((one.id, one.title) for one in pictures.sections)]
    if pictures.windows:
        found.append(("window", "Inside the window"))
    if contents.articles.claims or contents.published:
        found.append(("articles", "The articles"))
    return [*found, ("notes", "Notes"), ("environment", "Environment"), ("reading", "How to read this")]


def _filters(contents: Contents) -> list[tuple[str, str, list[str]]]:
    """(attribute of a row, title, its values in this run)."""
    rows = contents.rows
    return [
        ("stack", "stack", sorted({entry.row.stack for entry in rows})),
        ("server", "server", sorted({server_of(entry) for entry in rows})),
        ("verdict", "set by", sorted({str(entry.verdict) for entry in rows if entry.verdict})),
        ("doubt", "doubt", ["sound", "doubtful"]),
    ]


def server_of(entry: ReportRow) -> str:
    """The program that serves, by the variant's name behind its stack's: gunicorn of flask_gunicorn_gevent."""
    stack, variant = entry.row.stack, entry.row.variant
    return variant.removeprefix(stack).strip("_").partition("_")[0] or stack


def _key(scenario: str, variant: str) -> str:
    return f"{scenario}/{variant}"


def _plain(text: str) -> str:
    """A sentence of our own Markdown without its marks."""
    return _LINK.sub(r"\1", text).replace("`", "").replace("**", "")


def _row(  # noqa: PLR0913  what a line shows
    run: Run, contents: Contents, name: str, entry: ReportRow, values: Values, *, has_windows: bool
) -> dict[str, object]:
    row = entry.row
    cells = (*row.cells, *(entry.half_rate.row.cells if entry.half_rate else ()))
    return {
        "key": _key(row.scenario, row.variant),
        "name": name,
        "variant": row.variant,
        "scenario": row.scenario,
        "stack": row.stack,
        "server": server_of(entry),
        "verdict": str(entry.verdict or ""),
        "colour": VERDICT_COLOURS.get(entry.verdict, _GREY) if entry.verdict else _GREY,
        "words": reason(entry),
        "is_doubtful": entry.is_doubtful,
        "is_failed": entry.verdict is Verdict.FAILED,
        "cells": row_cells(entry, values, has_windows=has_windows),
        "notes": _notes(entry),
        "half_rate_notes": _notes(entry.half_rate) if entry.half_rate else [],
        "half_rate_missing": why_missing(contents, entry),
        "half_rate": formats.rate(entry.half_rate.row.rate_per_s) if entry.half_rate else "",
        "verdict_figures": verdict_figures(row),
        "rounds": [{"cells": round_cells(contents.plan, cell)} for cell in cells],
        "files": list(_files(run, cells)),
        "command": shlex.join(row.argv),
        "logs": list(_logs(cells)),
    }


def _notes(entry: ReportRow) -> list[dict[str, str]]:
    return [
        {
            "title": note.rule.replace("_", " "),
            "doubt": {"rate": " (rate doubtful)", "latency": " (latencies doubtful)"}.get(note.doubt, ""),
            "sentence": note.sentence,
        }
        for note in entry.notes
    ]


def _files(run: Run, cells: Sequence[CellRecord]) -> Iterator[dict[str, str]]:
    """Links to what the hosts gave, round by round, relative to the page."""
    for cell in cells:
        folder = run.path / "raw" / cell.cell_id
        if not folder.is_dir():
            continue
        yield {"href": f"raw/{quote(cell.cell_id)}/", "title": f"round {cell.round_number}{cell.twin}"}
        for file in sorted(path for path in folder.iterdir() if path.is_file())[:_FILES_SHOWN]:
            yield {"href": f"raw/{quote(cell.cell_id)}/{quote(file.name)}", "title": file.name}


def _logs(cells: Sequence[CellRecord]) -> Iterator[dict[str, str]]:
    """What failed with its evidence, and what the server's log says of errors."""
    for cell in cells:
        for failure, what in ((cell.first_failure, "first attempt"), (cell.failure, "failed")):
            if failure is None:
                continue
            unit = f" Unit: {failure.unit_state}." if failure.unit_state else ""
            lines = [*failure.log_tail[-_LOG_LINES:], *failure.generator_stderr.splitlines()[-_LOG_LINES:]]
            yield {
                "title": f"Round {cell.round_number}{cell.twin}: {what} in {failure.phase}",
                "text": f"{failure.text}.{unit}",
                "lines": "\n".join(lines),
            }
        if cell.measurement is not None and cell.measurement.server.log_errors:
            errors = cell.measurement.server.log_errors
            yield {
                "title": f"Round {cell.round_number}{cell.twin}: the server's log",
                "text": "Errors by how often they stand there:",
                "lines": "\n".join(f"{error.count:,} x {error.text}" for error in errors),
            }


def _claims(contents: Contents) -> Iterator[dict[str, object]]:
    """Each claim with its answer; those that are answered first."""
    css = {"holds": "holds", "does not hold": "fails"}
    found = [
        dict(zip(claims.HEADERS, cells, strict=True)) for cells in claims.markdown_rows(contents.articles.claims, str)
    ]
    for one in sorted(found, key=lambda line: line["answer"] not in css):
        yield {
            "says": one["claim"],
            "answer": one["answer"],
            "css": css.get(one["answer"], "unclear"),
            "figures": f"claimed {one['claimed']}, measured {one['measured']}",
            "details": [(name, text) for name, text in one.items() if name not in {"claim", "answer"} and text],
        }


def _published(contents: Contents) -> dict[str, list[tuple[str, ...]]]:
    return {
        source: [tables.published_cells(one) for one in comparisons]
        for source, comparisons in contents.published.items()
        if any(one.ours is not None for one in comparisons)
    }


@dataclass(frozen=True)
class ChangesSince:
    """What is not as in an earlier run."""

    run_id: str
    rows: tuple[tuple[str, str, str, str], ...]


def changes_since_before(run: Run) -> ChangesSince | None:
    """What differs from the newest earlier run of the same lab that can be read; None where there is none."""
    before = [run_id for run_id in run_ids(run.path.parent) if run_id < run.plan.run_id]
    for run_id in reversed(before[-_RUNS_BACK:]):
        try:
            plan, environment = read_plan_and_environment(run.path.parent / run_id)
        except StoreError:
            continue
        if plan.lab == run.plan.lab:
            changes = (*plan_changes(plan, run.plan), *environment_changes(environment, run.environment))
            return ChangesSince(run_id, tuple((one.where, one.key, one.old, one.new) for one in changes))
    return None


def read_plan_and_environment(path: Path) -> tuple[RunPlan, RunEnvironment]:
    """Of a stored run, without its store. Raises StoreError."""
    try:
        return (
            RunPlan.model_validate_json((path / "plan.json").read_bytes()),
            RunEnvironment.model_validate_json((path / "environment.json").read_bytes()),
        )
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _windows_data(pictures: Pictures) -> object:
    """What page.js draws the panels from: one spec, and the points of each row as lists."""
    if not pictures.windows:
        return None
    return {
        "spec": _without_points(pictures.window_spec),
        "colours": pictures.window_colours,
        "dashes": pictures.window_dashes,
        "rows": {
            key: {"length_s": found.panels.length_s, "why": found.why, "panels": _panels_data(found.panels)}
            for key, found in pictures.windows.items()
        },
    }


def _without_points(spec: Spec) -> Spec:
    """The page's script puts the chosen row's own points in."""
    return {**spec, "layer": [{**layer, "data": {"values": []}} for layer in spec["layer"]]}


def _panels_data(found: WindowPanels) -> list[dict[str, object]]:
    panels: list[dict[str, object]] = []
    for heading, figures in found.panels:
        lines: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for figure in figures:
            # Thousands of points: a count does not need its ".0".
            value = int(figure.value) if figure.value.is_integer() else figure.value
            lines.setdefault((figure.series, figure.round_number), []).append((figure.at_s, value))
        panels.append({"title": heading, "lines": [[*key, points] for key, points in lines.items()]})
    return panels
