"""What the tables for people show, in the terminal and in report.md alike: headers with units, text for each cell."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wrklab import figures
from wrklab.analyse.published import NOT_MEASURED, Comparison
from wrklab.analyse.rows import SummaryRow
from wrklab.analyse.rules import Doubt
from wrklab.model.scenario import Scenario
from wrklab.report.contents import Contents, ReportRow

#: The two halves of the main table: the load and its answers, the latencies and the server's size.
Half = Literal["rate", "latency"]


@dataclass(frozen=True)
class TableColumn:
    """A column of the main table."""

    header: str
    half: Half
    #: The doubt that makes its figure doubtful; `none`: it stands whatever the load did.
    doubt: Doubt
    text: Callable[[ReportRow], str]

    def is_doubtful(self, entry: ReportRow) -> bool:
        """A doubtful rate spoils the latencies too; doubtful latencies leave the rate."""
        return self.doubt != "none" and ("rate" in entry.doubts or self.doubt in entry.doubts)


def _errors(row: SummaryRow) -> str:
    if row.errors is None:
        return figures.NONE
    kinds = [f"{number:,} {kind}" for kind, number in row.errors.model_dump().items() if number]
    return ", ".join(kinds) or "0"


def _latency(name: str) -> Callable[[ReportRow], str]:
    def text(entry: ReportRow) -> str:
        return figures.ms(getattr(entry.row.latency, name) if entry.row.latency else None)

    return text


def _wrk_p99(entry: ReportRow) -> str:
    return figures.ms(entry.row.wrk_latency.p99_us if entry.row.wrk_latency else None)


def _requests_per_s(entry: ReportRow) -> str:
    return "failed" if entry.row.state == "failed" else figures.rate(entry.row.requests_per_s)


def _ideal_percent(entry: ReportRow) -> str:
    ratio = entry.row.ideal_ratio
    return figures.percent_number(None if ratio is None else ratio * 100)


MAIN_COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("requests per s", "rate", "rate", _requests_per_s),
    TableColumn(
        "rounds from-to",
        "rate",
        "rate",
        lambda e: figures.rate_range(e.row.requests_per_s_min, e.row.requests_per_s_max),
    ),
    TableColumn("of ideal %", "rate", "rate", _ideal_percent),
    TableColumn("ours / publ.", "rate", "rate", lambda e: figures.times(e.row.published_ratio)),
    TableColumn("conn. open", "rate", "rate", lambda e: figures.count(e.row.connections_open)),
    TableColumn("errors", "rate", "rate", lambda e: _errors(e.row)),
    TableColumn("server CPU %", "rate", "rate", lambda e: figures.percent_number(e.row.server_cpu_percent)),
    TableColumn("wrk CPU %", "rate", "rate", lambda e: figures.percent_number(e.row.generator_cpu_percent)),
    TableColumn("start s", "rate", "none", lambda e: figures.seconds(e.row.startup_s)),
    TableColumn("requests", "latency", "rate", lambda e: figures.count(e.row.requests)),
    TableColumn("mean ms", "latency", "latency", _latency("mean_us")),
    TableColumn("p50 ms", "latency", "latency", _latency("p50_us")),
    TableColumn("p90 ms", "latency", "latency", _latency("p90_us")),
    TableColumn("p99 ms", "latency", "latency", _latency("p99_us")),
    TableColumn("p99.9 ms", "latency", "latency", _latency("p999_us")),
    TableColumn("max ms", "latency", "latency", _latency("max_us")),
    TableColumn("wrk's p99 ms", "latency", "latency", _wrk_p99),
    TableColumn("procs", "latency", "none", lambda e: figures.count(e.row.processes_max)),
    TableColumn("threads", "latency", "none", lambda e: figures.count(e.row.threads_max)),
    TableColumn("memory MiB", "latency", "none", lambda e: figures.mib(e.row.memory_max_bytes)),
    TableColumn("harness s", "latency", "none", lambda e: figures.seconds(e.row.harness_s)),
)


def note_numbers(entry: ReportRow) -> str:
    """The numbers of a row's notes: 1 4."""
    return " ".join(str(number) for number in entry.numbers)


def scenario_line(scenario: Scenario, holds_ms: Sequence[int]) -> str:
    """What a scenario asked for: path, hold, connections, threads, length, rounds, time-out."""
    held = " or ".join(str(hold) for hold in sorted(set(holds_ms)))
    return (
        f"{scenario.name}: GET {scenario.path} held {held} ms, {scenario.connections:,} connections, "
        f"{figures.plural(scenario.threads, 'thread')} of wrk, {figures.plural(scenario.rounds, 'round')} of "
        f"{scenario.duration_s:g} s, time-out {scenario.wrk_timeout_s} s"
        + (", every body checked" if scenario.validate_bodies else "")
    )


PUBLISHED_HEADERS = (
    "published row",
    "ours",
    "requests/s there",
    "here",
    "ratio",
    "mean ms there",
    "here",
    "ratio",
    "max ms there",
    "here",
    "ratio",
    "errors there",
    "here",
    "remarks",
)


def published_cells(comparison: Comparison, *, with_scenario: bool = True) -> tuple[str, ...]:
    """One line of a published table, by PUBLISHED_HEADERS."""
    printed, row = comparison.published, comparison.ours
    latency = row.latency if row else None
    ours = NOT_MEASURED if row is None else f"{row.variant} ({row.scenario})" if with_scenario else row.variant
    remarks = list(comparison.remarks) + ([f"article: {printed.note}"] if printed.note else [])
    return (
        printed.row,
        ours,
        figures.rate(printed.requests_per_s),
        figures.rate(row.requests_per_s if row else None),
        figures.times(comparison.requests_per_s_ratio),
        figures.ms(printed.latency_mean_ms * 1000),
        figures.ms(latency.mean_us if latency else None),
        figures.times(comparison.latency_mean_ratio),
        figures.ms(printed.latency_max_ms * 1000),
        figures.ms(latency.max_us if latency else None),
        figures.times(comparison.latency_max_ratio),
        _published_errors(comparison),
        _errors(row) if row else figures.NONE,
        "; ".join(remark for remark in remarks if remark != NOT_MEASURED),
    )


def _published_errors(comparison: Comparison) -> str:
    printed = comparison.published
    kinds = {
        "connect": printed.errors_connect,
        "read": printed.errors_read,
        "write": printed.errors_write,
        "timeout": printed.errors_timeout,
    }
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number) or "0"


def harness_line(contents: Contents) -> str:
    """What the harness cost beside the servers' own start, warm-up and window; empty when nothing was measured."""
    known = [entry.row.harness_s for entry in contents.rows if entry.row.harness_s is not None]
    if not known:
        return ""
    low, middle, high = (figures.seconds(value) for value in (min(known), statistics.median(known), max(known)))
    return (
        "The harness itself cost (harness_s: a cell's wall clock less start-up, warm-up, settling and window) "
        f"{middle} s in the middle; by variant {low} to {high} s."
    )


def note_lines(contents: Contents) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """(number, heading, lines) of every group: 1, `spread (rate doubtful): meaning. Next step.`, [`variant: text`]."""
    doubtful = {"rate": " (rate doubtful)", "latency": " (latencies doubtful)", "none": ""}
    for group in contents.groups:
        heading = f"{group.rule}{doubtful[group.doubt]}: {group.meaning}. {group.next_step}."
        yield group.number, heading, tuple(f"{', '.join(who)}: {text}" for who, text in group.entries)
