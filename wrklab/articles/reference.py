"""What the articles printed, as values, and how it is read from reference/*.csv."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from wrklab.errors import CardError
from wrklab.results.records import Record

Row = TypeVar("Row")
#: What became of the requests that an article's server did not handle at once.
PublishedOverflow = Literal["none seen", "queued", "blocked", "connect time-out", "closed", "5xx"]
_OVERFLOWS: tuple[PublishedOverflow, ...] = ("none seen", "queued", "blocked", "connect time-out", "closed", "5xx")
_REUSE = {"": None, "yes": True, "no": False}

#: wrk prints times in decimal units and bytes in binary ones (units.c of wrk).
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "B": 1.0, "KB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30, "": 1.0}
_PRINTED = re.compile(r"(?P<number>\d+(?:\.(?P<decimals>\d+))?)(?P<unit>[A-Za-z]*)(?:/s)?")


class Article(Record):
    """One of the articles; `table` is the stem of the CSV with its rows, empty where it gives no figures."""

    article: str
    title: str
    table: str
    machine: str


class PublishedRow(Record):
    """One row of wrk's figures that an article printed; `row` is its key in the CSV, `source` the file's stem."""

    row: str
    source: str
    label: str
    threads: int
    connections: int
    duration_s: float
    hold_ms: int
    requests: int
    requests_per_s: float
    latency_mean_ms: float
    latency_stdev_ms: float
    latency_max_ms: float
    errors_connect: int
    errors_read: int
    errors_write: int
    errors_timeout: int
    note: str


class PublishedProbe(Record):
    """One finding of an article on concurrency; `row` is its key in the CSV, `source` the file's stem.

    What the article does not say is None (numbers) or empty (texts).
    """

    row: str
    source: str
    label: str
    requests_count: int | None
    rate_per_s: float | None
    hold_s: float | None
    #: Requests handled at once; None: as many as were sent ("unbounded"). 0: none was ever answered correctly.
    in_flight: int | None
    established: int | None
    queued: int | None
    #: What became of the requests beyond.
    overflow: PublishedOverflow
    #: The same in the article's own words.
    overflow_text: str
    #: Whether a worker serves a second request; None where the article does not say.
    reused: bool | None
    #: The article's own words on it.
    reuse_text: str
    serving_worker: str
    note: str


class Printed(Record):
    """A number as it was printed: anything in [low, high] would have been printed so.

    Times are in ms and sizes in bytes, whatever unit they were printed in.
    """

    text: str
    value: float
    low: float
    high: float

    def allows(self, value: float) -> bool:
        """Whether this value, printed with the same digits, could be this text."""
        slack = 1e-9 * max(abs(value), 1.0)
        return self.low - slack <= value <= self.high + slack

    def overlaps(self, low: float, high: float) -> bool:
        """Whether any value of a range could be this text."""
        return self.low <= high and low <= self.high


class SummaryLine(Record):
    """One line of an article's summary table, as printed; `row` is that of the run it sums up."""

    row: str
    requests: Printed
    requests_per_s: Printed
    latency_mean: Printed
    latency_max: Printed


class WrkOutput(Record):
    """What an article shows of a run besides the columns of its row. None: it does not show it."""

    row: str
    command_url: str
    #: The address in wrk's first line ("Running 1m test @ ...").
    banner_url: str
    read: Printed
    transfer_per_s: Printed
    #: What the Lua script sets as time-out.
    script_timeout_s: float | None
    #: The server's processes that answer, and the CPU time that ps shows for them together.
    processes: int | None
    cpu_time_s: float | None


class RepeatedFigure(Record):
    """A figure, or a fact, that an article gives in two places."""

    row: str
    article: str
    figure: str
    first_place: str
    first: str
    second_place: str
    second: str


class ArticleData(Record):
    """Everything in reference/, by key."""

    articles: dict[str, Article]
    rows: dict[str, PublishedRow]
    probes: dict[str, PublishedProbe]
    summaries: dict[str, SummaryLine]
    outputs: dict[str, WrkOutput]
    repeated: dict[str, RepeatedFigure]


def parse_printed(text: str) -> Printed:
    """A number with its unit: 1.99s, 65.47ms, 22.82MB, 388.86KB/s, 2288.49. Raises ValueError on anything else."""
    found = _PRINTED.fullmatch(text.strip())
    if found is None or found["unit"] not in _UNITS:
        raise ValueError(f"{text!r} is not a number with one of the units {', '.join(filter(None, _UNITS))}")
    scale = _UNITS[found["unit"]]
    number = float(found["number"])
    half_step = 0.5 * 10 ** -len(found["decimals"] or "")
    return Printed(
        text=text.strip(), value=number * scale, low=(number - half_step) * scale, high=(number + half_step) * scale
    )


def read_articles(folder: Path) -> ArticleData:
    """What reference/ holds. Raises CardError naming file, line and column."""
    rows = read_reference(folder, "wrk-*.csv", _published_row)
    transfers = read_reference(folder, "wrk-*.csv", lambda _, record: parse_printed(record["transfer"]))

    def output(_: str, record: dict[str, str]) -> WrkOutput:
        if record["row"] not in transfers:
            raise ValueError(f"row {record['row']!r} is in no wrk-*.csv")
        return WrkOutput(
            row=record["row"],
            command_url=record["command_url"],
            banner_url=record["banner_url"],
            read=parse_printed(record["read"]),
            transfer_per_s=transfers[record["row"]],
            script_timeout_s=float(record["script_timeout_s"]) if record["script_timeout_s"] else None,
            processes=int(record["processes"]) if record["processes"] else None,
            cpu_time_s=float(record["cpu_time_s"]) if record["cpu_time_s"] else None,
        )

    return ArticleData(
        articles=read_reference(folder, "articles.csv", _article, key_column="article"),
        rows=rows,
        probes=read_reference(folder, "probe-*.csv", _published_probe),
        summaries=read_reference(folder, "summary-*.csv", _summary),
        outputs=read_reference(folder, "output-*.csv", output),
        repeated=read_reference(folder, "repeated-*.csv", _repeated),
    )


def read_reference(
    folder: Path, pattern: str, make: Callable[[str, dict[str, str]], Row], *, key_column: str = "row"
) -> dict[str, Row]:
    """Every row of the files that match a pattern, by its key; `make` gets the file's stem and the line's columns.

    Keys are unique over all of these files. Raises CardError where a column is missing, `make` raises ValueError, or a
    key is there twice.
    """
    rows: dict[str, Row] = {}
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", newline="") as stream:
            for line, record in enumerate(csv.DictReader(stream), start=2):
                try:
                    key, row = record[key_column], make(path.stem, record)
                except KeyError as error:
                    raise CardError(f"{path}:{line}: no column {error}") from error
                except ValueError as error:
                    raise CardError(f"{path}:{line}: {error}") from error
                if key in rows:
                    raise CardError(f"{path}:{line}: duplicate {key_column} {key!r}")
                rows[key] = row
    return rows


def _article(_: str, record: dict[str, str]) -> Article:
    return Article(article=record["article"], title=record["title"], table=record["table"], machine=record["machine"])


def _published_row(source: str, record: dict[str, str]) -> PublishedRow:
    return PublishedRow(
        row=record["row"],
        source=source,
        label=record["label"],
        threads=int(record["threads"]),
        connections=int(record["connections"]),
        duration_s=float(record["duration_s"]),
        hold_ms=int(record["hold_ms"]),
        requests=int(record["requests"]),
        requests_per_s=float(record["requests_per_s"]),
        latency_mean_ms=float(record["latency_mean_ms"]),
        latency_stdev_ms=float(record["latency_stdev_ms"]),
        latency_max_ms=float(record["latency_max_ms"]),
        errors_connect=int(record["err_connect"]),
        errors_read=int(record["err_read"]),
        errors_write=int(record["err_write"]),
        errors_timeout=int(record["err_timeout"]),
        note=record["article_note"],
    )


def _published_probe(source: str, record: dict[str, str]) -> PublishedProbe:
    return PublishedProbe(
        row=record["row"],
        source=source,
        label=record["label"],
        requests_count=_count(record, "requests"),
        rate_per_s=_number(record, "rate_per_s"),
        hold_s=_number(record, "hold_s"),
        in_flight=None if record["in_flight"] == "unbounded" else _in_flight(record),
        established=_count(record, "established"),
        queued=_count(record, "queued"),
        overflow=_overflow(record["overflow"]),
        overflow_text=record["overflow_text"] or record["overflow"],
        reused=_reused(record["reused"]),
        reuse_text=record["reuse_text"] or record["reused"],
        serving_worker=record["serving_worker"],
        note=record["article_note"],
    )


def _overflow(word: str) -> PublishedOverflow:
    for known in _OVERFLOWS:
        if word == known:
            return known
    raise ValueError(f"overflow: one of {', '.join(_OVERFLOWS)} was expected, found {word!r}")


def _reused(word: str) -> bool | None:
    if word not in _REUSE:
        raise ValueError(f"reused: yes, no or nothing was expected, found {word!r}")
    return _REUSE[word]


def _in_flight(record: dict[str, str]) -> int:
    found = _count(record, "in_flight")
    if found is None:
        raise ValueError("in_flight: a number or `unbounded` was expected, found nothing")
    return found


def _count(record: dict[str, str], column: str) -> int | None:
    try:
        return int(record[column]) if record[column] else None
    except ValueError:
        raise ValueError(f"{column}: {record[column]!r} is not a whole number") from None


def _number(record: dict[str, str], column: str) -> float | None:
    try:
        return float(record[column]) if record[column] else None
    except ValueError:
        raise ValueError(f"{column}: {record[column]!r} is not a number") from None


def _summary(_: str, record: dict[str, str]) -> SummaryLine:
    return SummaryLine(
        row=record["row"],
        requests=parse_printed(record["requests"]),
        requests_per_s=parse_printed(record["requests_per_s"]),
        latency_mean=parse_printed(record["latency_mean"]),
        latency_max=parse_printed(record["latency_max"]),
    )


def _repeated(_: str, record: dict[str, str]) -> RepeatedFigure:
    names = ("row", "article", "figure", "first_place", "first", "second_place", "second")
    return RepeatedFigure(**{name: record[name] for name in names})
