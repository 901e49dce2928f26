"""The columns of report.csv and of the JSON rows, in their order. What each means: docs/metrics.md."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from wrklab.formats import occurrences
from wrklab.report.contents import ReportRow
from wrklab.results.records import Errors, Latency
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.verdicts import verdict_figures

Value: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Column:
    """One column; its name ends in its unit."""

    name: str
    value: Callable[[ReportRow], Value]


def row_values(entry: ReportRow) -> dict[str, Value]:
    """One line by column. Rates and times are rounded to what their measurement can carry."""
    return {column.name: _rounded(column.value(entry)) for column in COLUMNS}


def _rounded(value: Value) -> Value:
    return round(value, 4) if isinstance(value, float) else value


def _of_row(name: str) -> Column:
    """A column that is the row's attribute of the same name."""

    def value(entry: ReportRow) -> Value:
        found: Value = getattr(entry.row, name)
        return found

    return Column(name, value)


def _of_latency(name: str) -> Column:
    """A column latency_X from the observed latencies' attribute X."""

    def value(entry: ReportRow) -> Value:
        latency: Latency | None = entry.row.latency
        found: Value = getattr(latency, name) if latency else None
        return found

    return Column(f"latency_{name}", value)


def _of_errors(kind: str) -> Column:
    """A column errors_X from the errors' attribute X."""

    def value(entry: ReportRow) -> Value:
        errors: Errors | None = entry.row.errors
        found: Value = getattr(errors, kind) if errors else None
        return found

    return Column(f"errors_{kind}", value)


def _wrk_p99_us(entry: ReportRow) -> Value:
    return entry.row.wrk_latency.p99_us if entry.row.wrk_latency else None


def _of_warmup(row: SummaryRow, kind: str) -> Value:
    """How many of the warm-up's answers were wrong so."""
    found: Value = getattr(row.warmup_errors, kind) if row.warmup_errors else None
    return found


def _of_sizes(row: SummaryRow, name: str) -> Value:
    """Bytes an answer."""
    found: Value = getattr(row.answer_sizes, name) if row.answer_sizes else None
    return found


def _foreign(row: SummaryRow) -> str:
    return " ".join(f"{address}={number}" for address, number in row.foreign_connections.items())


def _command(row: SummaryRow) -> str:
    return shlex.join(row.argv)


def _published_per_s(entry: ReportRow) -> Value:
    return entry.printed.requests_per_s if entry.printed else None


COLUMNS: tuple[Column, ...] = (
    *map(_of_row, ("variant", "scenario", "rounds", "requests")),
    *map(_of_row, ("requests_per_s", "requests_per_s_min", "requests_per_s_max", "ideal_ratio")),
    *map(_of_latency, ("mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us")),
    Column("wrk_p99_us", _wrk_p99_us),
    *map(_of_errors, ("connect", "read", "write", "status", "timeout", "body")),
    *map(_of_row, ("connections_asked", "connections_open", "server_cpu_percent", "generator_cpu_percent")),
    *map(_of_row, ("startup_s", "harness_s")),
    Column("published_row", lambda entry: entry.printed.row if entry.printed else None),
    Column("published_requests_per_s", _published_per_s),
    Column("published_ratio", lambda entry: entry.published_ratio),
    Column("verdict", lambda entry: entry.verdict),
    *map(_of_row, ("state", "stack", "path", "hold_ms", "threads", "duration_s", "timeout_s")),
    *map(_of_row, ("rounds_planned", "rounds_failed", "rounds_retried", "spread_ratio")),
    *map(_of_row, ("ideal_per_s", "in_flight_limit", "ceiling_per_s", "ceiling_ratio")),
    *map(_of_latency, ("stdev_us", "count")),
    *map(_of_row, ("busy_ratio", "server_cpu_us_per_request", "server_host_cpu_percent")),
    *map(_of_row, ("generator_host_cpu_percent", "neighbours_cpu_percent", "steal_percent")),
    *map(_of_row, ("processes_max", "threads_max", "memory_max_bytes")),
    *map(_of_row, ("baseline_ratio", "baseline_cpus_ratio")),
    *map(
        _of_row, ("backlog", "accept_queue_max", "listen_overflows", "retransmits", "wrk_processes", "start_skew_ratio")
    ),
    *map(_of_row, ("requests_per_s_low", "requests_per_s_high")),
    Column("rank", lambda entry: entry.rank.number if entry.rank else None),
    Column("rank_shared", lambda entry: str(entry.rank.is_shared).lower() if entry.rank else None),
    Column("log_errors", lambda entry: occurrences(entry.row.log_errors.items())),
    Column("foreign_connections", lambda entry: _foreign(entry.row)),
    Column("command", lambda entry: _command(entry.row)),
    *map(_of_row, ("connections_held", "connections_reopening", "connections_unanswered", "connections_silent")),
    *map(_of_row, ("others_cpu_percent", "server_cpus_busy_percent", "unit_waiting_percent", "unit_held_back_percent")),
    *map(_of_row, ("connections_not_let_in", "connections_unexplained")),
    *map(_of_row, ("busiest_process_cpu_percent", "serving_processes_count", "full_processes_count")),
    *map(_of_row, ("generator_thread_percent", "generator_thread_waiting_percent", "generator_unread_ratio")),
    *map(_of_row, ("generator_neighbours_cpu_percent", "generator_steal_percent")),
    *map(_of_row, ("generator_others_cpu_percent", "generator_held_up_s", "answers_checked", "rounds_server_ended")),
    *map(_of_latency, ("min_us",)),
    *map(_of_row, ("first_answer_s", "warmup_requests", "segments_lost_ratio")),
    Column("warmup_errors_status", lambda entry: _of_warmup(entry.row, "status")),
    Column("warmup_errors_body", lambda entry: _of_warmup(entry.row, "body")),
    Column("answer_bytes", lambda entry: _of_sizes(entry.row, "window_bytes")),
    Column("warmup_answer_bytes", lambda entry: _of_sizes(entry.row, "warmup_bytes")),
    Column("verdict_figures", lambda entry: verdict_figures(entry.row)),
    Column("doubts", lambda entry: " ".join(sorted(entry.doubts))),
    Column("note_names", lambda entry: " ".join(note.rule for note in entry.notes)),
    Column("note", lambda entry: " ".join(note.sentence for note in entry.notes)),
)
