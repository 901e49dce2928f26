"""What the tables for people show, in the terminal and in report.md alike: headers with units, text for each cell."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wrklab import formats
from wrklab.articles.comparison import NOT_MEASURED, Comparison
from wrklab.catalogue.scenario import Scenario
from wrklab.report.contents import Contents, ReportRow
from wrklab.summary.metrics import DoubtedBy, Half, Header, Metric
from wrklab.summary.metrics_answers import errors_text
from wrklab.summary.metrics_load import RateMetrics
from wrklab.summary.noise_floor import NoiseFloor
from wrklab.summary.rows import METRICS, SummaryRow
from wrklab.summary.statistics import median
from wrklab.verdicts.rules import doubts, is_doubtful, row_notes, verdict_figures, verdict_of
from wrklab.verdicts.verdict import Verdict


@dataclass(frozen=True)
class TableColumn:
    """A column of the main table."""

    header: str
    half: Half
    #: The doubt that makes its value doubtful; `none`: it stands whatever the load did.
    doubt: DoubtedBy
    text: Callable[[ReportRow], str]
    #: Shown in report.md alone, and only where some row has a value: a terminal of 120 columns has no room for it.
    is_optional: bool = False

    def is_doubtful(self, entry: ReportRow) -> bool:
        """A doubtful rate spoils all, as does a verdict that is not sound; doubtful latencies leave the rate."""
        if self.doubt == "none":
            return False
        return entry.is_doubtful or self.doubt in entry.doubts


def _of_metric(metric: Metric[object], header: Header[object]) -> TableColumn:
    def text(entry: ReportRow) -> str:
        if metric.name == "requests_per_s" and entry.row.state == "failed":
            return "failed"
        return metric.text_of(entry.row)

    return TableColumn(header.title, header.half, metric.doubt, text, header.is_optional)


def _main_columns() -> Iterator[TableColumn]:
    """The report's own columns, and those of the registry in its order; the article's ratio ends those of the rate."""
    yield TableColumn("verdict", "rate", "none", lambda entry: entry.verdict or formats.NONE)
    yield TableColumn("rank", "rate", "rate", lambda entry: str(entry.rank) if entry.rank else formats.NONE)
    shown = [(metric, metric.header) for metric in METRICS if metric.header]
    yield from (_of_metric(metric, header) for metric, header in shown if metric.theme == RateMetrics.THEME)
    yield TableColumn("ours / publ.", "rate", "rate", lambda entry: formats.times(entry.published_ratio))
    yield from (_of_metric(metric, header) for metric, header in shown if metric.theme != RateMetrics.THEME)


_ALL_COLUMNS = tuple(_main_columns())
#: The columns that every report shows.
MAIN_COLUMNS = tuple(column for column in _ALL_COLUMNS if not column.is_optional)


def report_columns(half: Half, entries: Sequence[ReportRow]) -> list[TableColumn]:
    """The columns of a half of the main table in report.md: the optional ones where any row has a value."""
    return [
        column
        for column in _ALL_COLUMNS
        if column.half == half
        and (not column.is_optional or any(column.text(entry) != formats.NONE for entry in entries))
    ]


def note_numbers(entry: ReportRow) -> str:
    """The numbers of a row's notes: 1 4."""
    return " ".join(str(number) for number in entry.numbers)


def scenario_line(scenario: Scenario, holds_ms: Sequence[int]) -> str:
    """What a scenario asked for: path, hold, connections, threads, length, rounds, time-out."""
    held = " or ".join(str(hold) for hold in sorted(set(holds_ms)))
    asked = f"GET {scenario.path} held {held} ms"
    if scenario.mix:
        asked = f"a mix of {formats.plural(len(scenario.requests), 'request')}"
    return (
        f"{scenario.name}: {asked}, {scenario.connections:,} connections, "
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
    if is_doubtful(row):
        return _OUR_RATE | _OUR_LATENCY
    return _OUR_LATENCY if "latency" in doubts(row_notes(row)) else frozenset()


def _remarkable(row: SummaryRow) -> Verdict | None:
    """A verdict that says not to believe the row, or that nothing explains it; None where there is no such."""
    verdict = verdict_of(row)
    return None if verdict is None or verdict.is_explained else verdict


def published_cells(comparison: Comparison, *, with_scenario: bool = True) -> tuple[str, ...]:
    """One line of a published table, by PUBLISHED_HEADERS."""
    printed, row = comparison.published, comparison.ours
    latency = row.latency if row else None
    ours = NOT_MEASURED if row is None else f"{row.variant} ({row.scenario})" if with_scenario else row.variant
    verdict = _remarkable(row) if row else None
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
        errors_text(row.errors) if row else formats.NONE,
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
        formats.ratio_percent_number(share),
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


TWIN_HEADERS = ("variant", "scenario", "A per s", "B per s", "B / A", "from-to", "told apart")


def floor_line(floor: NoiseFloor) -> str:
    """What the noise floor is and means; why there is none where nothing could be said."""
    if floor.ratio is None:
        return (
            "Noise floor: none can be said: no variant has two rounds with answers as A and as B. "
            "Measure with --rounds 3 or more."
        )
    return (
        f"Noise floor {floor.ratio * 100:.2g} %: each variant was measured as two, A and B, which differ by nothing; "
        "nineteen of twenty differences between them are smaller than this. Smaller differences are called equal."
    )


def twin_lines(floor: NoiseFloor) -> Iterator[tuple[str, ...]]:
    """One line a variant and scenario, by TWIN_HEADERS; `told apart`: the lab was not steady while it ran."""
    for pair in floor.pairs:
        interval = pair.interval
        yield (
            pair.variant,
            pair.scenario,
            formats.rate(median(pair.a_per_s)),
            formats.rate(median(pair.b_per_s)),
            formats.near_one(pair.ratio),
            formats.near_one_range(interval.low, interval.high) if interval else formats.NONE,
            "yes" if (pair.scenario, pair.variant) in floor.told_apart else "no",
        )


def twins_data(floor: NoiseFloor) -> list[dict[str, Any]]:
    """Each variant's twins as plain data: rates in requests/s, `ratio` B / A with both ends of its interval."""
    return [
        {
            "variant": pair.variant,
            "scenario": pair.scenario,
            "a_per_s": list(pair.a_per_s),
            "b_per_s": list(pair.b_per_s),
            "ratio": pair.ratio,
            "ratio_low": pair.interval.low if pair.interval else None,
            "ratio_high": pair.interval.high if pair.interval else None,
            "told_apart": (pair.scenario, pair.variant) in floor.told_apart,
        }
        for pair in floor.pairs
    ]
