"""The report of probes: a table for the terminal, probe.md, report.html, an object a variant for programs.

It is read from the store alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wrklab import formats
from wrklab.articles.comparison import ProbeComparison
from wrklab.articles.findings import ProbeFindings, probe_findings
from wrklab.articles.library import SNAPSHOT_FILE, parse_snapshot
from wrklab.articles.reference import PublishedProbe
from wrklab.report import charts, claims
from wrklab.report.chart_figures import in_flight_figures
from wrklab.report.escaping import markdown, markdown_block, markdown_code, terminal
from wrklab.report.html_page import Page, documents, write_page
from wrklab.results.probe_folder import ProbeFolder
from wrklab.results.probe_record import CapacityLimit, KernelQueue, ProbeRecord, ServingKind
from wrklab.results.run_folder import write_file

HEADINGS = (
    "variant",
    "at once",
    "limited by",
    "waiting in the process",
    "waiting in the kernel",
    "kernel's limit",
    "beyond",
    "processes",
    "threads",
    "what serves",
    "used again",
    "displacement",
    "s",
)


#: Of a folder that was stored without the articles.
_NO_FINDINGS = ProbeFindings()


def read_findings(folder: ProbeFolder) -> ProbeFindings:
    """What the folder's probes say about the articles, from the folder alone. Raises StoreError."""
    library = parse_snapshot(folder.attachment(SNAPSHOT_FILE), folder.path)
    return probe_findings(library, folder.records(), folder.plan.suite)


def to_rows(
    records: Sequence[ProbeRecord], findings: ProbeFindings = _NO_FINDINGS, forced: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """An object a variant, for `--json`.

    Besides the record's own keys: `published_row` and `agrees` (the article's finding, null where there is none),
    `claims` (those of the articles that are about it) and `forced` (reasons against probing that `--force` overrode).
    """
    return [
        record.model_dump(mode="json")
        | _article_data(findings.compared.get(record.variant))
        | {"forced": list(forced)}
        | {"claims": claims.to_data([result for result in findings.claims if record.variant in result.variants])}
        for record in records
    ]


def _article_data(found: ProbeComparison | None) -> dict[str, str | None]:
    return {"published_row": found.published.row if found else None, "agrees": found.agrees if found else None}


def cells(record: ProbeRecord) -> tuple[str, ...]:
    """One line of the table, by its headings."""
    if record.state != "measured":
        why = record.error or "; ".join(record.void_reasons[-1:])
        found = {"variant": record.variant, "at once": record.state, "limited by": why, "s": f"{record.seconds:.1f}"}
        return tuple(found.get(heading, formats.NONE) for heading in HEADINGS)
    return (
        record.variant,
        formats.count(record.capacity),
        limited_by(record),
        formats.count(record.queued_process),
        _kernel(record),
        formats.count(record.kernel_limit),
        overflow(record),
        formats.count(record.processes),
        formats.count(record.threads),
        f"{serving(record)} ({_serving_detail(record)})",
        {True: "yes", False: "no", None: formats.NONE}[record.reused],
        formats.NONE if record.displacement_mean is None else f"{record.displacement_mean:g}",
        f"{record.seconds:.1f}",
    )


def limited_by(record: ProbeRecord) -> str:
    """What limits the requests handled at once, in words."""
    if record.capacity_limited_by is CapacityLimit.NO_LIMIT:
        return f"no limit up to {record.requests_count}"
    return record.capacity_limited_by or formats.NONE


def overflow(record: ProbeRecord) -> str:
    """What becomes of requests beyond, in words."""
    return ", ".join(record.overflow) or "none seen"


def serving(record: ProbeRecord) -> str:
    """What runs the handlers, in a word."""
    return record.serving or formats.NONE


def _serving_detail(record: ProbeRecord) -> str:
    """How many of them there are."""
    processes = record.serving_processes or 0
    if record.serving in (ServingKind.PROCESS_PER_REQUEST, ServingKind.THREAD_PER_REQUEST):
        return "a new one for each request"
    if record.serving is ServingKind.NOTHING:
        return "no handler ran"
    if record.serving is ServingKind.EVENT_LOOP:
        return "1 loop" if processes == 1 else f"{processes} processes, a loop each"
    of_processes = "1 process" if processes == 1 else f"{processes} processes"
    if record.serving is ServingKind.RUNTIME_SCHEDULER:
        return f"many requests on each of several threads in {of_processes}"
    each = "/".join(map(str, record.threads_each)) or formats.NONE
    return f"{of_processes} of {each} thread{'' if each == '1' else 's'}"


def _kernel(record: ProbeRecord) -> str:
    if record.kernel_queue is KernelQueue.EMPTY:
        return "0"
    found = formats.count(record.queued_kernel)
    return f"{found} (full)" if record.kernel_queue is KernelQueue.FULL else f"at least {found}"


def details(record: ProbeRecord, compared: ProbeComparison | None = None) -> list[str]:
    """What else there is to say of a probe, a line each."""
    lines = []
    if record.error and record.expected_failure and not record.is_expected_failure:
        lines.append(record.error)
    elif record.error and record.capacity:
        lines.append(f"answers beyond: {record.error}")
    elif record.error:
        expected = " (as expected)" if record.is_expected_failure else ""
        lines.append(f"fails{expected}: {record.error}")
    if record.log_errors:
        found = formats.occurrences((error.text, error.count) for error in record.log_errors)
        lines.append(f"its log: {found}")
    if record.capacity_setting:
        lines.append(f"at once: {record.capacity_setting}")
    if record.queue_setting:
        lines.append(f"queue: {record.queue_setting}")
    if compared is not None:
        row = compared.published
        lines.append(f"article ({row.row}): {_published(row)}: {compared.agrees or 'not compared'}")
    if record.state == "measured" and record.void_reasons:
        lines.append(f"{formats.plural(len(record.void_reasons), 'void try')}: {'; '.join(record.void_reasons)}")
    return lines


def _published(row: PublishedProbe) -> str:
    in_flight = "unbounded" if row.in_flight is None else f"{row.in_flight:,}"
    sent = f" of {row.requests_count:,}" if row.requests_count else ""
    queued = "" if row.queued is None else f", {row.queued:,} queued"
    reuse = f", used again: {row.reuse_text}" if row.reuse_text else ""
    return f"{in_flight} at once{sent}{queued}, beyond: {row.overflow_text}{reuse}"


def render(
    records: Sequence[ProbeRecord],
    console: Console,
    findings: ProbeFindings = _NO_FINDINGS,
    forced: Sequence[str] = (),
) -> None:
    """Print why it should not have been probed, the table, below it a paragraph a variant, and the claims."""
    for reason in forced:
        console.print(terminal(f"! Probed by --force although {reason}"))
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        is_number = heading not in ("variant", "limited by", "beyond", "what serves", "used again")
        table.add_column(heading, overflow="fold", justify="right" if is_number else "left")
    for record in records:
        table.add_row(*(terminal(cell) for cell in cells(record)), style="" if record.state == "measured" else "dim")
    console.print(table)
    for record in records:
        if lines := details(record, findings.compared.get(record.variant)):
            console.print(Text.assemble("\n", terminal(record.variant, "bold")))
            for line in lines:
                console.print(terminal(f"  {line}"))
    if findings.claims:
        console.print()
    claims.render(findings.claims, console)


def write_report(folder: ProbeFolder, findings: ProbeFindings = _NO_FINDINGS) -> str:
    """Write probe.md into the folder; its path. Raises StoreError."""
    path = folder.path / "probe.md"
    write_file(path, to_markdown(folder, folder.records(), findings))
    return str(path)


def to_markdown(folder: ProbeFolder, records: Sequence[ProbeRecord], findings: ProbeFindings = _NO_FINDINGS) -> str:
    """The complete text of probe.md."""
    plan = folder.plan
    lines = [
        f"# Probes {plan.probe_id}",
        "",
        f"{markdown_code(plan.command)} on the lab {plan.lab}. What each figure means: docs/probe.md.",
        "",
        *(f"- **{markdown(note)}**" for note in plan.notes),
        *([""] if plan.notes else []),
        f"| {' | '.join(HEADINGS)} |",
        f"|{'---|' * len(HEADINGS)}",
        *(f"| {' | '.join(markdown(cell) for cell in cells(record))} |" for record in records),
        "",
    ]
    for record in records:
        if found := details(record, findings.compared.get(record.variant)):
            lines += [f"## {record.variant}", "", *(f"- {markdown(line)}" for line in found), ""]
            if record.log_tail and not record.capacity:
                lines += [markdown_block(record.log_tail), ""]
    if results := findings.claims:
        lines += ["## What the articles claim", "", f"{claims.summary_line(results)} (docs/claims.md).", ""]
        lines += [f"| {' | '.join(claims.HEADERS)} |", f"|{'---|' * len(claims.HEADERS)}"]
        lines += [f"| {' | '.join(row)} |" for row in claims.markdown_rows(results, markdown)]
        lines.append("")
    return "\n".join(lines)


def write_probe_page(folder: ProbeFolder, findings: ProbeFindings) -> Path:
    """Writes the page into the folder, replaced as a whole; its path. Raises StoreError."""
    records = folder.records()
    figures = in_flight_figures(records)
    specs = {"in_flight": charts.page_spec(charts.plain(charts.in_flight(figures)))} if figures else {}
    path = folder.path / "report.html"
    css = {"holds": "holds", "does not hold": "fails"}
    rows = [dict(zip(claims.HEADERS, cells, strict=True)) for cells in claims.markdown_rows(findings.claims, str)]
    write_page(
        path,
        "probe.html.j2",
        Page(f"wrklab {folder.plan.probe_id}", documents(charts=specs), has_charts=bool(specs)),
        plan=folder.plan,
        has_chart=bool(specs),
        headers=HEADINGS,
        rows=[cells(record) for record in records],
        records=[
            {
                "variant": record.variant,
                "details": details(record, findings.compared.get(record.variant)),
                "log": "\n".join(record.log_tail),
            }
            for record in records
        ],
        claims=[{**row, "css": css.get(row["answer"], "unclear")} for row in rows],
    )
    return path
