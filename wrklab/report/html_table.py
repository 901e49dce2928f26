"""The cells of the page's table and of a row's rounds; each figure is one of report.csv, with its exact text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wrklab import formats
from wrklab.report.contents import ReportRow
from wrklab.results.records import CellRecord, RunPlan
from wrklab.verdicts.rules import cell_verdict

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
class Heading:
    """The header of a column of the short table, with what it says on a touch."""

    title: str
    meaning: str
    css: str = ""
    #: The order of the first click.
    first: str = "descending"
    #: Only shown where some row has a window at half rate.
    is_of_half_rate: bool = False


_COLUMNS = (
    Heading("variant", "the variant", "text", "ascending"),
    Heading("rank", "1 + the variants under the same load that are really better; empty: not known", "", "ascending"),
    Heading("requests/s", "median of the rounds"),
    Heading("from - to", "95 % interval of the median", "minor"),
    Heading("p50 ms", "half of the answers took no longer", "", "ascending"),
    Heading("p99 ms", "99 % of the answers took no longer", "", "ascending"),
    Heading("p50 ms at half rate", "of an open loop at half of its own rate", "", "ascending", is_of_half_rate=True),
    Heading("p99 ms at half rate", "of an open loop at half of its own rate", "", "ascending", is_of_half_rate=True),
    Heading("server CPU %", "of the CPUs given to the server, the variant alone", "minor"),
    Heading("CPU µs", "CPU time of the variant for one answer", "minor", "ascending"),
    Heading("MiB", "the most memory that the variant's unit had", "minor", "ascending"),
    Heading("open", "connections open, of those asked for", "minor"),
    Heading("errors", "wrk's errors by kind, and wrong bodies", "", "ascending"),
    Heading("set by", "what set the rate, or why it is doubtful", "text", "ascending"),
)
_ERRORS = ("connect", "read", "write", "status", "timeout", "body")
ROUND_HEADERS = (
    *("round", "requests/s", "p50 ms", "p99 ms", "max ms", "errors", "open", "server CPU %", "wrk CPU %", "MiB"),
    "verdict",
)


def table_columns(*, has_windows: bool) -> list[Heading]:
    """The columns of a run's table; `has_windows`: some row has a window at half rate."""
    return [column for column in _COLUMNS if has_windows or not column.is_of_half_rate]


def row_cells(entry: ReportRow, values: Values, *, has_windows: bool) -> tuple[Cell, ...]:
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
        *(_half_rate(entry, values) if has_windows else ()),
        _one(formats.percent_number(row.server_cpu_percent), "server_cpu_percent", values, "minor"),
        _one(formats.whole(row.server_cpu_us_per_request), "server_cpu_us_per_request", values, "minor"),
        _one(formats.mib(row.memory_max_bytes), "memory_max_bytes", values, "minor"),
        _one(formats.count(row.connections_open), "connections_open", values, "minor"),
        _errors(values),
    )


def _one(text: str, column: str, values: Values, css: str = "") -> Cell:
    return Cell((Part(text, column, values[column]),), values[column], css)


def _half_rate(entry: ReportRow, values: Values) -> tuple[Cell, ...]:
    """p50 and p99 of its window at half rate, marked by themselves: the row's own doubts are not theirs."""
    css = "half doubt" if entry.half_rate is not None and entry.half_rate.doubts else "half"
    return (
        _one(formats.ms(entry.row.half_rate_p50_us), "half_rate_p50_us", values, css),
        _one(formats.ms(entry.row.half_rate_p99_us), "half_rate_p99_us", values, css),
    )


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


def round_cells(plan: RunPlan, cell: CellRecord) -> tuple[str, ...]:
    """One round's line, by ROUND_HEADERS."""
    number = f"{cell.round_number}{cell.twin}"
    if (rate_per_s := plan.scenarios[cell.scenario].rate_per_s) is not None:
        number = f"{number} at {formats.rate(rate_per_s)}/s"
    number += " (second attempt)" if cell.attempts > 1 else ""
    verdict = str(cell_verdict(plan, cell))
    found = cell.measurement
    if found is None:
        return (number, "failed", *([formats.NONE] * (len(ROUND_HEADERS) - 3)), verdict)
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
