"""The report of probes: a table for the terminal, probe.md, an object a variant for programs. From the store alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wrklab import formats
from wrklab.articles.claim_result import ClaimResult
from wrklab.articles.published_probes import PublishedProbe
from wrklab.report import claims
from wrklab.report.escaping import markdown, markdown_block, markdown_code, terminal
from wrklab.results.probe_folder import ProbeFolder
from wrklab.results.probe_record import ProbeRecord
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


def to_rows(
    records: Sequence[ProbeRecord], results: Sequence[ClaimResult] = (), forced: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """An object a variant, for `--json`; among its keys `claims`, those of the articles that are about it, and
    `forced`, the reasons against probing that `--force` overrode.
    """
    return [
        record.model_dump(mode="json")
        | {"forced": list(forced)}
        | {"claims": claims.to_data([result for result in results if record.variant in result.variants])}
        for record in records
    ]


def cells(record: ProbeRecord) -> tuple[str, ...]:
    """One line of the table, by its headings."""
    if record.state != "measured":
        why = record.error or "; ".join(record.void_reasons[-1:])
        return (record.variant, record.state, why, *([formats.NONE] * (len(HEADINGS) - 4)), f"{record.seconds:.1f}")
    return (
        record.variant,
        formats.count(record.capacity),
        record.capacity_limited_by,
        formats.count(record.queued_process),
        _kernel(record),
        formats.count(record.kernel_limit),
        record.overflow,
        formats.count(record.processes),
        formats.count(record.threads),
        f"{record.serving} ({record.serving_detail})",
        {True: "yes", False: "no", None: formats.NONE}[record.reused],
        formats.NONE if record.displacement_mean is None else f"{record.displacement_mean:g}",
        f"{record.seconds:.1f}",
    )


def _kernel(record: ProbeRecord) -> str:
    if record.kernel_queue == "empty":
        return "0"
    found = formats.count(record.queued_kernel)
    return f"{found} (full)" if record.kernel_queue == "full" else f"at least {found}"


def details(record: ProbeRecord, published: PublishedProbe | None) -> list[str]:
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
    if published is not None:
        lines.append(f"article ({published.row}): {_published(published)}: {record.agrees or 'not compared'}")
    if record.state == "measured" and record.void_reasons:
        lines.append(f"{formats.plural(len(record.void_reasons), 'void try')}: {'; '.join(record.void_reasons)}")
    return lines


def _published(row: PublishedProbe) -> str:
    in_flight = "unbounded" if row.in_flight is None else f"{row.in_flight:,}"
    sent = f" of {row.requests_count:,}" if row.requests_count else ""
    queued = "" if row.queued is None else f", {row.queued:,} queued"
    reuse = f", used again: {row.worker_reuse}" if row.worker_reuse else ""
    return f"{in_flight} at once{sent}{queued}, beyond: {row.overflow or 'not said'}{reuse}"


def render(
    records: Sequence[ProbeRecord],
    published: dict[str, PublishedProbe],
    console: Console,
    results: Sequence[ClaimResult] = (),
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
        if lines := details(record, published.get(record.published_row or "")):
            console.print(Text.assemble("\n", terminal(record.variant, "bold")))
            for line in lines:
                console.print(terminal(f"  {line}"))
    if results:
        console.print()
    claims.render(results, console)


def write_report(folder: ProbeFolder, published: dict[str, PublishedProbe], results: Sequence[ClaimResult] = ()) -> str:
    """Write probe.md into the folder; its path. Raises StoreError."""
    path = folder.path / "probe.md"
    write_file(path, to_markdown(folder, folder.records(), published, results))
    return str(path)


def to_markdown(
    folder: ProbeFolder,
    records: Sequence[ProbeRecord],
    published: dict[str, PublishedProbe],
    results: Sequence[ClaimResult] = (),
) -> str:
    """The whole of probe.md."""
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
        if found := details(record, published.get(record.published_row or "")):
            lines += [f"## {record.variant}", "", *(f"- {markdown(line)}" for line in found), ""]
            if record.log_tail and not record.capacity:
                lines += [markdown_block(record.log_tail), ""]
    if results:
        lines += ["## What the articles claim", "", f"{claims.summary_line(results)} (docs/claims.md).", ""]
        lines += [f"| {' | '.join(claims.HEADERS)} |", f"|{'---|' * len(claims.HEADERS)}"]
        lines += [f"| {' | '.join(row)} |" for row in claims.markdown_rows(results, markdown)]
        lines.append("")
    return "\n".join(lines)
