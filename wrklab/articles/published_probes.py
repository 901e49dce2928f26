"""The articles' findings on concurrency (`reference/probe-*.csv`) as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wrklab.articles.reference_csv import read_reference


@dataclass(frozen=True)
class PublishedProbe:
    """One row that an article found out; `row` is its key in the CSV, `source` the file's stem.

    What the article does not say is None (numbers) or empty (texts).
    """

    row: str
    source: str
    label: str
    requests_count: int | None
    rate_per_s: float | None
    hold_s: float | None
    #: Requests handled at once; None: as many as were sent ("unbounded"). 0: none was ever answered rightly.
    in_flight: int | None
    established: int | None
    queued: int | None
    #: What became of the requests beyond, in the article's words.
    overflow: str
    #: Whether what serves is used again, in the article's words: "yes" or "no (...)".
    worker_reuse: str
    serving_worker: str
    note: str

    @property
    def reused(self) -> bool | None:
        """Whether a worker serves a second request; None where the article does not say."""
        return self.worker_reuse.startswith("yes") if self.worker_reuse else None


def read_published_probes(folder: Path) -> dict[str, PublishedProbe]:
    """Every published probe by its key. Raises CardError naming file, line and column."""
    return read_reference(folder, "probe-*.csv", _row)


def _row(source: str, record: dict[str, str]) -> PublishedProbe:
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
        overflow=record["overflow"],
        worker_reuse=record["worker_reuse"],
        serving_worker=record["serving_worker"],
        note=record["article_note"],
    )


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
