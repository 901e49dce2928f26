"""One line a cell while a bench runs."""

from __future__ import annotations

from wrklab.report.escaping import terminal_markup
from wrklab.results.records import CellRecord, RunPlan
from wrklab.verdicts.rules import cell_verdict


def one_line(plan: RunPlan, record: CellRecord) -> str:
    """What came of one cell, for the progress, as rich markup: its verdict first."""
    cell = f"{terminal_markup(record.scenario)} round {record.round_number}{record.twin}"
    name = f"{terminal_markup(record.variant)} [dim]{cell}[/dim]"
    again = "" if record.attempts == 1 else "  [yellow]second attempt[/yellow]"
    verdict = cell_verdict(plan, record)
    if record.measurement is None:
        text = record.failure.text.splitlines()[0] if record.failure else "no measurement"
        return f"{name}  [red]{verdict}[/red] {terminal_markup(text[:120])}{again}"
    measured = record.measurement
    errors = f"  {measured.errors.total} errors" if measured.errors.total else ""
    p99 = f"  p99 {measured.latency.p99_us / 1000:,.1f} ms" if measured.latency else ""
    return (
        f"{name}  [{'green' if verdict.is_sound else 'yellow'}]{verdict}[/]  "
        f"{measured.requests_per_s:,.0f} requests/s{p99}  "
        f"{measured.connections_open}/{measured.connections_asked} open{errors}{again}"
    )
