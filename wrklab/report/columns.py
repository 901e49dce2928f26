"""The report's rows for programs: the columns of report.csv and of the JSON rows. What each means: docs/metrics.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from wrklab.report.contents import Contents, ReportRow
from wrklab.report.half_rate import half_rate_note
from wrklab.summary.metrics import Metric, Scalar, Unit
from wrklab.summary.rows import METRICS
from wrklab.verdicts.rules import verdict_figures

#: The columns that programs rely on, in this order. All others follow, in the registry's order.
_FIRST = (
    *("variant", "scenario", "rounds", "requests"),
    *("requests_per_s", "requests_per_s_min", "requests_per_s_max", "ideal_ratio"),
    *("latency_mean_us", "latency_p50_us", "latency_p90_us", "latency_p99_us", "latency_p999_us", "latency_max_us"),
    "wrk_p99_us",
    *("errors_connect", "errors_read", "errors_write", "errors_status", "errors_timeout", "errors_body"),
    *("connections_asked", "connections_open", "server_cpu_percent", "generator_cpu_percent", "startup_s", "harness_s"),
    *("published_row", "published_requests_per_s", "published_ratio", "verdict"),
)
#: Rates and times are rounded to what their measurement can carry.
_DIGITS = 4


@dataclass(frozen=True)
class Column:
    """One column; its name ends in its unit."""

    name: str
    unit: Unit
    definition: str
    value: Callable[[ReportRow], Scalar]


def to_rows(contents: Contents) -> list[dict[str, Scalar]]:
    """A mapping a variant and scenario, by the columns' names; None where there is no value."""
    return [{column.name: _rounded(column.value(entry)) for column in COLUMNS} for entry in contents.rows]


def to_csv(contents: Contents) -> str:
    """report.csv: a header and a line a variant and scenario; an empty field where there is no value."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, [column.name for column in COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(to_rows(contents))
    return stream.getvalue()


def _rounded(value: Scalar) -> Scalar:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _of_metric(metric: Metric[object]) -> Column:
    return Column(metric.name, metric.unit, metric.definition, lambda entry: metric.scalar_of(entry.row))


def _ordered(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    by_name = {column.name: column for column in columns}
    return (*(by_name.pop(name) for name in _FIRST), *by_name.values())


#: What the report adds to the metrics of a row: its verdict and notes, its rank, the article's figures.
REPORT_COLUMNS = (
    Column(
        "verdict",
        Unit.NONE,
        "what set the rate, or why that cannot be said ([Verdicts](#verdicts)); empty where no round ended",
        lambda entry: entry.verdict,
    ),
    Column(
        "verdict_figures",
        Unit.NONE,
        "what the verdict rests on: CPU of both sides, errors, connections, and requests in flight by Little's law",
        lambda entry: verdict_figures(entry.row),
    ),
    Column(
        "doubts",
        Unit.NONE,
        "what the notes cast doubt on: `rate` (and with it everything), `latency`, both, or nothing",
        lambda entry: " ".join(sorted(entry.doubts)),
    ),
    Column(
        "note_names",
        Unit.NONE,
        "names of the rules that applied, the most severe first ([Notes](#notes))",
        lambda entry: " ".join(note.rule for note in entry.notes),
    ),
    Column(
        "note",
        Unit.NONE,
        "the notes as sentences: values, what they mean, what to do",
        lambda entry: " ".join(note.sentence for note in entry.notes),
    ),
    Column(
        "rank",
        Unit.NONE,
        "1 + the variants under the same scenario that are really better ([method.md](method.md)); empty: not known",
        lambda entry: entry.rank.number if entry.rank else None,
    ),
    Column(
        "rank_shared",
        Unit.NONE,
        "`true` where another variant has the same rank",
        lambda entry: str(entry.rank.is_shared).lower() if entry.rank else None,
    ),
    Column(
        "half_rate_doubts",
        Unit.NONE,
        "what is doubtful of the window at half rate: `rate`, `latency`, both, or nothing; it concerns no other column",
        lambda entry: " ".join(sorted(entry.half_rate.doubts)) if entry.half_rate else None,
    ),
    Column(
        "half_rate_note",
        Unit.NONE,
        "the notes that say so, as sentences",
        lambda entry: half_rate_note(entry.half_rate) if entry.half_rate else None,
    ),
    Column(
        "published_row",
        Unit.NONE,
        "the `row` of `reference/wrk-*.csv` that this variant and scenario answer to",
        lambda entry: entry.row.published_row,
    ),
    Column(
        "published_requests_per_s",
        Unit.PER_SECOND,
        "the article's rate",
        lambda entry: entry.printed.requests_per_s if entry.printed else None,
    ),
    Column(
        "published_ratio",
        Unit.RATIO,
        "`requests_per_s` / `published_requests_per_s`",
        lambda entry: entry.published_ratio,
    ),
)

COLUMNS: tuple[Column, ...] = _ordered(
    (*(_of_metric(metric) for metric in METRICS if metric.is_column), *REPORT_COLUMNS)
)
