"""report.html: the answer first, the table second, pictures and evidence third. One file, opened from disk."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from wrklab import formats
from wrklab.errors import StoreError
from wrklab.report import claims, tables
from wrklab.report.answer import compose, reason
from wrklab.report.chart_figures import WindowPanels
from wrklab.report.charts import VERDICT_COLOURS
from wrklab.report.columns import COLUMNS, to_csv
from wrklab.report.contents import HOW_TO_READ, WHEN_NOT_TO_BELIEVE, Contents, ReportRow
from wrklab.report.environment import environment_tables
from wrklab.report.html_page import Page, documents, write_page
from wrklab.report.pictures import Pictures
from wrklab.report.screen import named_entries, title
from wrklab.results.environment_changes import environment_changes, plan_changes
from wrklab.results.records import CellRecord, RunEnvironment, RunPlan
from wrklab.results.run_folder import Run, run_ids
from wrklab.verdicts.rules import cell_verdict, verdict_figures
from wrklab.verdicts.verdict import Verdict

#: A round's raw folder may hold more; the link to the folder has them all.
_FILES_SHOWN = 40
_LOG_LINES = 40
#: How many runs back an environment that can be read is looked for.
_RUNS_BACK = 5
_GREY = "#8a8a8a"
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")

Values = Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """A piece of a cell; with `column` a figure of report.csv, whose exact text is `value`."""

    text: str
    column: str = ""
    value: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of the short table."""

    parts: tuple[Part, ...]
    sort: str = ""
    css: str = ""


@dataclass(frozen=True)
class _Column:
    title: str
    meaning: str
    css: str = ""
    #: The order of the first click.
    first: str = "descending"


_COLUMNS = (
    _Column("variant", "the variant", "text", "ascending"),
    _Column("rank", "1 + the variants under the same load that are really better; empty: not known", "", "ascending"),
    _Column("requests/s", "median of the rounds"),
    _Column("from - to", "95 % interval of the median", "minor"),
    _Column("p50 ms", "half of the answers took no longer", "", "ascending"),
    _Column("p99 ms", "99 % of the answers took no longer", "", "ascending"),
    _Column("server CPU %", "of the CPUs given to the server, the variant alone", "minor"),
    _Column("CPU µs", "CPU time of the variant for one answer", "minor", "ascending"),
    _Column("MiB", "the most memory that the variant's unit had", "minor", "ascending"),
    _Column("open", "connections open, of those asked for", "minor"),
    _Column("errors", "wrk's errors by kind, and wrong bodies", "", "ascending"),
    _Column("set by", "what set the rate, or why it is doubtful", "text", "ascending"),
)
_ERRORS = ("connect", "read", "write", "status", "timeout", "body")
_ROUND_HEADERS = (
    *("round", "requests/s", "p50 ms", "p99 ms", "max ms", "errors", "open", "server CPU %", "wrk CPU %", "MiB"),
    "verdict",
)


def write_html(run: Run, contents: Contents, pictures: Pictures) -> Path:
    """Writes report.html into the run's folder, replaced as a whole; its path. Raises StoreError."""
    rows = list(csv.DictReader(io.StringIO(to_csv(contents))))
    values = {(row["scenario"], row["variant"]): row for row in rows}
    named = named_entries(contents)
    answer = compose(contents)
    windows = pictures.windows
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
        columns=_COLUMNS,
        rows=[_row(run, contents, name, entry, values[entry.row.scenario, entry.row.variant]) for name, entry in named],
        round_headers=_ROUND_HEADERS,
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


def _row(run: Run, contents: Contents, name: str, entry: ReportRow, values: Values) -> dict[str, object]:
    row = entry.row
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
        "cells": _cells(entry, values),
        "notes": [
            {
                "title": note.rule.replace("_", " "),
                "doubt": {"rate": " (rate doubtful)", "latency": " (latencies doubtful)"}.get(note.doubt, ""),
                "sentence": note.sentence,
            }
            for note in entry.notes
        ],
        "verdict_figures": verdict_figures(row),
        "rounds": [{"cells": _round(contents.plan, cell)} for cell in row.cells],
        "files": list(_files(run, row.cells)),
        "command": shlex.join(row.argv),
        "logs": list(_logs(row.cells)),
    }


def _cells(entry: ReportRow, values: Values) -> tuple[Cell, ...]:
    row = entry.row
    latency = row.latency
    rank = Cell((Part(str(entry.rank or formats.NONE), "rank", values["rank"]),), values["rank"])
    rate = "failed" if row.state == "failed" else formats.rate(row.requests_per_s)
    return (
        rank,
        _one(rate, "requests_per_s", values),
        Cell(
            (
                Part(formats.rate(row.requests_per_s_low), "requests_per_s_low", values["requests_per_s_low"]),
                Part(" - " if row.requests_per_s_low is not None else ""),
                Part(
                    formats.rate(row.requests_per_s_high) if row.requests_per_s_high is not None else "",
                    "requests_per_s_high",
                    values["requests_per_s_high"],
                ),
            ),
            values["requests_per_s_low"],
            "minor",
        ),
        _one(formats.ms(latency.p50_us if latency else None), "latency_p50_us", values),
        _one(formats.ms(latency.p99_us if latency else None), "latency_p99_us", values),
        _one(formats.percent_number(row.server_cpu_percent), "server_cpu_percent", values, "minor"),
        _one(formats.whole(row.server_cpu_us_per_request), "server_cpu_us_per_request", values, "minor"),
        _one(formats.mib(row.memory_max_bytes), "memory_max_bytes", values, "minor"),
        _one(formats.count(row.connections_open), "connections_open", values, "minor"),
        _errors(values),
    )


def _one(text: str, column: str, values: Values, css: str = "") -> Cell:
    return Cell((Part(text, column, values[column]),), values[column], css)


def _errors(values: Values) -> Cell:
    """Each kind that was counted, or 0; a dash where nothing was measured."""
    counts = {kind: values[f"errors_{kind}"] for kind in _ERRORS}
    if not any(counts.values()):
        return Cell((Part(formats.NONE),))
    parts: list[Part] = []
    for kind, text in counts.items():
        if text not in {"", "0"}:
            parts += [Part(formats.count(int(text)), f"errors_{kind}", text), Part(f" {kind} ")]
    total = sum(int(text) for text in counts.values() if text)
    return Cell(tuple(parts) or (Part("0"),), str(total))


def _round(plan: RunPlan, cell: CellRecord) -> tuple[str, ...]:
    """One round's line, by _ROUND_HEADERS."""
    number = f"{cell.round_number}{cell.twin}" + (" (second attempt)" if cell.attempts > 1 else "")
    verdict = str(cell_verdict(plan, cell))
    found = cell.measurement
    if found is None:
        return (number, "failed", *([formats.NONE] * (len(_ROUND_HEADERS) - 3)), verdict)
    latency = found.latency
    return (
        number,
        formats.rate(found.requests_per_s),
        formats.ms(latency.p50_us if latency else None),
        formats.ms(latency.p99_us if latency else None),
        formats.ms(latency.max_us if latency else None),
        formats.count(found.errors.total),
        formats.count(found.connections_open),
        formats.percent_number(found.server.cpu_percent),
        formats.percent_number(found.generator_cpu_percent),
        formats.mib(found.server.memory_max_bytes),
        verdict,
    )


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
        "spec": pictures.window_spec,
        "colours": pictures.window_colours,
        "dashes": pictures.window_dashes,
        "rows": {
            key: {"length_s": found.panels.length_s, "why": found.why, "panels": _panels_data(found.panels)}
            for key, found in pictures.windows.items()
        },
    }


def _panels_data(found: WindowPanels) -> list[dict[str, object]]:
    panels: list[dict[str, object]] = []
    for heading, figures in found.panels:
        lines: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for figure in figures:
            lines.setdefault((figure.series, figure.round_number), []).append((figure.at_s, figure.value))
        panels.append({"title": heading, "lines": [[*key, points] for key, points in lines.items()]})
    return panels
