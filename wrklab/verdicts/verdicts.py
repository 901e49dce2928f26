"""A verdict for every cell and every row: of the rules that apply, the gravest one that decides."""

from __future__ import annotations

from wrklab import formats
from wrklab.results.records import CellRecord, RunPlan
from wrklab.summary.rows import SummaryRow, cell_row
from wrklab.verdicts.conditions import errors_of
from wrklab.verdicts.rules import RULES, UNEXPLAINED, Rule
from wrklab.verdicts.verdict import Verdict


def applying(row: SummaryRow) -> tuple[Rule, ...]:
    """The rules that apply to a row, the gravest first; UNEXPLAINED last where none of them decides."""
    found = tuple(rule for rule in RULES if rule.applies(row))
    is_decided = row.state == "missing" or any(rule.verdict for rule in found)
    return found if is_decided else (*found, UNEXPLAINED)


def verdict_of(row: SummaryRow) -> Verdict | None:
    """A row's verdict; None where no round of it ended."""
    return next((rule.verdict for rule in applying(row) if rule.verdict), None)


def cell_verdict(plan: RunPlan, cell: CellRecord) -> Verdict:
    """One cell's verdict, by the same rules."""
    return verdict_of(cell_row(plan, cell)) or Verdict.UNEXPLAINED


def verdict_figures(row: SummaryRow) -> str:
    """What a verdict rests on: CPU of both sides, errors, connections open, Little's law; empty without a round."""
    if not row.rounds:
        return ""
    return "; ".join([_cpus(row), _connections(row), _littles_law(row)])


def _cpus(row: SummaryRow) -> str:
    server, server_host, wrk, wrk_host, thread, others = map(
        formats.percent,
        (
            row.server_cpu_percent,
            row.server_host_cpu_percent,
            row.generator_cpu_percent,
            row.generator_host_cpu_percent,
            row.generator_thread_percent,
            row.neighbours_cpu_percent,
        ),
    )
    return (
        f"server CPU {server} (its host {server_host}), wrk CPU {wrk} (its host {wrk_host}, busiest thread {thread}), "
        f"others on the server's CPUs {others}"
    )


def _connections(row: SummaryRow) -> str:
    errors = formats.plural(errors_of(row).total, "error")
    lost = f"{formats.count(row.connections_unanswered)} never answered, {formats.count(row.connections_silent)} silent"
    return f"{errors}; {formats.count(row.connections_open)} of {row.connections_asked:,} connections open, {lost}"


def _littles_law(row: SummaryRow) -> str:
    """Little's law: requests in flight = rate x mean time of one; they should be nearly all connections."""
    if row.latency is None or row.requests_per_s is None:
        return "no answer was timed"
    in_flight = row.requests_per_s * row.latency.mean_us / 1e6
    return (
        f"{formats.rate(row.requests_per_s)} requests/s x {formats.duration_us(row.latency.mean_us)} = "
        f"{in_flight:,.0f} in flight"
    )
