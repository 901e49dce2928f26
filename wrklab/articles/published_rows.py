"""The articles' figures (`reference/wrk-*.csv`) as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wrklab.articles.reference_csv import read_reference


@dataclass(frozen=True)
class PublishedRow:
    """One row that an article printed; `row` is its key in the CSV, `source` the file's stem."""

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


def read_published(folder: Path) -> dict[str, PublishedRow]:
    """Every published wrk row by its key. Raises CardError naming file, line and column."""
    return read_reference(folder, "wrk-*.csv", _row)


def _row(source: str, record: dict[str, str]) -> PublishedRow:
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
