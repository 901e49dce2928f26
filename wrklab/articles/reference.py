"""The articles, and what they print beside the rows of their runs: summaries, wrk's further output, repetitions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from wrklab.articles.reference_csv import read_reference

#: wrk prints times in decimal units and bytes in binary ones (units.c of wrk).
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "B": 1.0, "KB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30, "": 1.0}
_PRINTED = re.compile(r"(?P<number>\d+(?:\.(?P<decimals>\d+))?)(?P<unit>[A-Za-z]*)(?:/s)?")


@dataclass(frozen=True)
class Printed:
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


def parse_printed(text: str) -> Printed:
    """A number with its unit: 1.99s, 65.47ms, 22.82MB, 388.86KB/s, 2288.49. Raises ValueError on anything else."""
    found = _PRINTED.fullmatch(text.strip())
    if found is None or found["unit"] not in _UNITS:
        raise ValueError(f"{text!r} is not a number with one of the units {', '.join(filter(None, _UNITS))}")
    scale = _UNITS[found["unit"]]
    number = float(found["number"])
    half_step = 0.5 * 10 ** -len(found["decimals"] or "")
    return Printed(text.strip(), number * scale, (number - half_step) * scale, (number + half_step) * scale)


@dataclass(frozen=True)
class Article:
    """One of the articles; `table` is the stem of the CSV with its rows, empty where it gives no figures."""

    article: str
    title: str
    table: str
    machine: str


@dataclass(frozen=True)
class SummaryLine:
    """One line of an article's summary table, as printed; `row` is that of the run it sums up."""

    row: str
    requests: Printed
    requests_per_s: Printed
    latency_mean: Printed
    latency_max: Printed


@dataclass(frozen=True)
class WrkOutput:
    """What an article shows of a run beside the columns of its row. None: it does not show it."""

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


@dataclass(frozen=True)
class RepeatedFigure:
    """A figure, or a fact, that an article gives in two places."""

    row: str
    article: str
    figure: str
    first_place: str
    first: str
    second_place: str
    second: str


@dataclass(frozen=True)
class ArticleData:
    """All of this, by key."""

    articles: dict[str, Article]
    summaries: dict[str, SummaryLine]
    outputs: dict[str, WrkOutput]
    repeated: dict[str, RepeatedFigure]


def read_articles(folder: Path) -> ArticleData:
    """What reference/ holds of the articles beside their rows. Raises CardError naming file, line and column."""
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
        summaries=read_reference(folder, "summary-*.csv", _summary),
        outputs=read_reference(folder, "output-*.csv", output),
        repeated=read_reference(folder, "repeated-*.csv", _repeated),
    )


def _article(_: str, record: dict[str, str]) -> Article:
    return Article(record["article"], record["title"], record["table"], record["machine"])


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
