"""What the tables for people show, in the terminal and in report.md alike: headers with units, text for each cell."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wrklab import formats
from wrklab.articles.comparison import NOT_MEASURED, Comparison
from wrklab.catalogue.scenario import Scenario
from wrklab.report.contents import Contents, ReportRow
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.doubt import Doubt
from wrklab.verdicts.notes import doubts, row_notes
from wrklab.verdicts.verdict import Verdict
from wrklab.verdicts.verdicts import verdict_figures, verdict_of

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
        """A doubtful rate spoils all, as does a verdict that is not sound; doubtful latencies leave the rate."""
        if self.doubt == "none":
            return False
        return entry.is_doubtful or self.doubt in entry.doubts


def _errors(row: SummaryRow) -> str:
    if row.errors is None:
        return formats.NONE
    kinds = [f"{number:,} {kind}" for kind, number in row.errors.model_dump().items() if number]
    return ", ".join(kinds) or "0"


def _latency(name: str) -> Callable[[ReportRow], str]:
    def text(entry: ReportRow) -> str:
        return formats.ms(getattr(entry.row.latency, name) if entry.row.latency else None)

    return text


def _wrk_p99(entry: ReportRow) -> str:
    return formats.ms(entry.row.wrk_latency.p99_us if entry.row.wrk_latency else None)


def _requests_per_s(entry: ReportRow) -> str:
    return "failed" if entry.row.state == "failed" else formats.rate(entry.row.requests_per_s)


def _percent(ratio: float | None) -> str:
    return formats.percent_number(None if ratio is None else ratio * 100)


MAIN_COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("verdict", "rate", "none", lambda e: e.verdict or formats.NONE),
    TableColumn("rank", "rate", "rate", lambda e: str(e.rank) if e.rank else formats.NONE),
    TableColumn("requests per s", "rate", "rate", _requests_per_s),
    TableColumn(
        "interval from-to",
        "rate",
        "rate",
        lambda e: formats.rate_range(e.row.requests_per_s_low, e.row.requests_per_s_high),
    ),
    TableColumn("of ideal %", "rate", "rate", lambda e: _percent(e.row.ideal_ratio)),
    TableColumn("ours / publ.", "rate", "rate", lambda e: formats.times(e.published_ratio)),
    TableColumn("conn. open", "rate", "rate", lambda e: formats.count(e.row.connections_open)),
    TableColumn("errors", "rate", "rate", lambda e: _errors(e.row)),
    TableColumn("server CPU %", "rate", "rate", lambda e: formats.percent_number(e.row.server_cpu_percent)),
    TableColumn("wrk CPU %", "rate", "rate", lambda e: formats.percent_number(e.row.generator_cpu_percent)),
    TableColumn("start s", "rate", "none", lambda e: formats.seconds(e.row.startup_s)),
    TableColumn("requests", "latency", "rate", lambda e: formats.count(e.row.requests)),
    TableColumn("mean ms", "latency", "latency", _latency("mean_us")),
    TableColumn("p50 ms", "latency", "latency", _latency("p50_us")),
    TableColumn("p90 ms", "latency", "latency", _latency("p90_us")),
    TableColumn("p99 ms", "latency", "latency", _latency("p99_us")),
    TableColumn("p99.9 ms", "latency", "latency", _latency("p999_us")),
    TableColumn("max ms", "latency", "latency", _latency("max_us")),
    TableColumn("wrk's p99 ms", "latency", "latency", _wrk_p99),
    TableColumn("procs", "latency", "none", lambda e: formats.count(e.row.processes_max)),
    TableColumn("threads", "latency", "none", lambda e: formats.count(e.row.threads_max)),
    TableColumn("memory MiB", "latency", "none", lambda e: formats.mib(e.row.memory_max_bytes)),
    TableColumn("harness s", "latency", "none", lambda e: formats.seconds(e.row.harness_s)),
)


#: What a limit on requests at once allows, beside `of ideal %`; a terminal of 120 columns has no room for it.
_CEILING_COLUMNS = (
    TableColumn("ceiling per s", "rate", "none", lambda e: formats.rate(e.row.ceiling_per_s)),
    TableColumn("of ceiling %", "rate", "rate", lambda e: _percent(e.row.ceiling_ratio)),
)


def report_columns(half: Half, entries: Sequence[ReportRow]) -> list[TableColumn]:
    """The columns of a half of the main table in report.md: with those of the ceiling where any row has one."""
    columns = [column for column in MAIN_COLUMNS if column.half == half]
    if half == "latency" or all(entry.row.ceiling_per_s is None for entry in entries):
        return columns
    place = next(i for i, column in enumerate(columns, 1) if column.header == "of ideal %")
    return [*columns[:place], *_CEILING_COLUMNS, *columns[place:]]


def note_numbers(entry: ReportRow) -> str:
    """The numbers of a row's notes: 1 4."""
    return " ".join(str(number) for number in entry.numbers)


def scenario_line(scenario: Scenario, holds_ms: Sequence[int]) -> str:
    """What a scenario asked for: path, hold, connections, threads, length, rounds, time-out."""
    held = " or ".join(str(hold) for hold in sorted(set(holds_ms)))
    return (
        f"{scenario.name}: GET {scenario.path} held {held} ms, {scenario.connections:,} connections, "
        f"{formats.plural(scenario.threads, 'thread')} of wrk, {formats.plural(scenario.rounds, 'round')} of "
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


#: Places of our own figures in it, and of ratios with them.
_OUR_RATE = frozenset({3, 4, 12})
_OUR_LATENCY = frozenset({6, 7, 9, 10})


def published_doubtful(comparison: Comparison) -> frozenset[int]:
    """The places of doubtful figures in a line of a published table."""
    row = comparison.ours
    if row is None:
        return frozenset()
    found = doubts(row_notes(row))
    if _unsound(row) or "rate" in found:
        return _OUR_RATE | _OUR_LATENCY
    return _OUR_LATENCY if "latency" in found else frozenset()


def _unsound(row: SummaryRow) -> Verdict | None:
    """A verdict that says not to believe the row; None where there is no such."""
    verdict = verdict_of(row)
    return None if verdict is None or verdict.is_sound else verdict


def published_cells(comparison: Comparison, *, with_scenario: bool = True) -> tuple[str, ...]:
    """One line of a published table, by PUBLISHED_HEADERS."""
    printed, row = comparison.published, comparison.ours
    latency = row.latency if row else None
    ours = NOT_MEASURED if row is None else f"{row.variant} ({row.scenario})" if with_scenario else row.variant
    verdict = _unsound(row) if row else None
    remarks = [*([str(verdict)] if verdict else []), *comparison.remarks]
    remarks += [f"article: {printed.note}"] if printed.note else []
    return (
        printed.row,
        ours,
        formats.rate(printed.requests_per_s),
        formats.rate(row.requests_per_s if row else None),
        formats.times(comparison.requests_per_s_ratio),
        formats.ms(printed.latency_mean_ms * 1000),
        formats.ms(latency.mean_us if latency else None),
        formats.times(comparison.latency_mean_ratio),
        formats.ms(printed.latency_max_ms * 1000),
        formats.ms(latency.max_us if latency else None),
        formats.times(comparison.latency_max_ratio),
        _published_errors(comparison),
        _errors(row) if row else formats.NONE,
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


BASELINE_HEADERS = (
    "variant",
    "requests per s",
    "rounds from-to",
    "x baseline",
    "of all CPUs %",
    "server CPU %",
    "CPU ms a request",
    "procs",
    "threads",
)


def baseline_line(contents: Contents) -> str:
    """What the table of the baseline shows; empty where the run has no baseline that was measured."""
    if contents.plan.baseline is None or all(entry.row.baseline_ratio is None for entry in contents.rows):
        return ""
    cpus = formats.plural(contents.plan.server_cpus_count, "CPU")
    return (
        f"Against {contents.plan.baseline}: `x baseline` is its rate times as much, `of all CPUs` the share of what so "
        f"many of it could give as the server has CPUs ({cpus}). What is bound to one CPU stays at x 1 however "
        f"many there are.{_doubtful_baselines(contents)}"
    )


def _doubtful_baselines(contents: Contents) -> str:
    """That ratios rest on a doubtful rate, and under which scenarios; empty where they do not."""
    found = [entry for entry in contents.rows if entry.row.variant == contents.plan.baseline and entry.is_doubtful]
    told = ", ".join(f"{entry.row.scenario} ({entry.verdict or 'no verdict'})" for entry in found)
    return f" The baseline's own rate is doubtful, and so is every ratio to it: {told}." if told else ""


#: Places of the ratios to the baseline in a line of its table.
_BASELINE_RATIOS = frozenset({3, 4})


def baseline_doubtful(contents: Contents, entry: ReportRow) -> frozenset[int]:
    """The places of doubtful figures in a line of the baseline's table: all but the name, or the ratios alone."""
    if entry.is_doubtful:
        return frozenset(range(1, len(BASELINE_HEADERS)))
    base = (found for found in contents.rows if found.row.variant == contents.plan.baseline and found.is_doubtful)
    return _BASELINE_RATIOS if entry.row.scenario in {found.row.scenario for found in base} else frozenset()


def baseline_cells(entry: ReportRow) -> tuple[str, ...]:
    """One line of the baseline's table, by BASELINE_HEADERS."""
    row = entry.row
    share, cpu_us = row.baseline_cpus_ratio, row.server_cpu_us_per_request
    return (
        row.variant,
        formats.rate(row.requests_per_s),
        formats.rate_range(row.requests_per_s_min, row.requests_per_s_max),
        formats.times(row.baseline_ratio),
        _percent(share),
        formats.percent_number(row.server_cpu_percent),
        formats.ms(cpu_us),
        formats.count(row.processes_max),
        formats.count(row.threads_max),
    )


def harness_line(contents: Contents) -> str:
    """What the harness cost beside the servers' own start, warm-up and window; empty when nothing was measured."""
    known = [entry.row.harness_s for entry in contents.rows if entry.row.harness_s is not None]
    if not known:
        return ""
    low, middle, high = (formats.seconds(value) for value in (min(known), statistics.median(known), max(known)))
    return (
        "The harness itself cost (harness_s: a cell's wall clock less start-up, warm-up, settling and window) "
        f"{middle} s in the middle; by variant {low} to {high} s."
    )


def verdict_lines(contents: Contents) -> Iterator[str]:
    """What each verdict rests on: `variant (scenario): server-bound: server CPU 97 % ...`."""
    for entry in contents.rows:
        figures_text = verdict_figures(entry.row)
        if figures_text:
            yield f"{entry.row.variant} ({entry.row.scenario}): {entry.verdict}: {figures_text}"


def note_lines(contents: Contents) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """(number, heading, lines) of every group: 1, `spread (rate doubtful): meaning. Next step.`, [`variant: text`]."""
    doubtful = {"rate": " (rate doubtful)", "latency": " (latencies doubtful)", "none": ""}
    for group in contents.groups:
        heading = f"{group.rule}{doubtful[group.doubt]}: {group.meaning}. {group.next_step}."
        yield group.number, heading, tuple(f"{', '.join(who)}: {text}" for who, text in group.entries)
