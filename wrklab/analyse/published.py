"""The articles' tables beside ours: every row that was printed, measured in this run or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wrklab import figures
from wrklab.analyse.rows import SummaryRow
from wrklab.model.published import PublishedRow

NOT_MEASURED = "not measured in this run"


@dataclass(frozen=True)
class Comparison:
    """One published row and what this run has to say to it. Ratios: ours / published."""

    published: PublishedRow
    ours: SummaryRow | None
    requests_per_s_ratio: float | None = None
    latency_mean_ratio: float | None = None
    latency_max_ratio: float | None = None
    #: What keeps the two from being the same measurement, and what is wrong with either.
    remarks: tuple[str, ...] = ()


def compare_published(
    published: Mapping[str, PublishedRow], rows: Sequence[SummaryRow]
) -> dict[str, tuple[Comparison, ...]]:
    """By article (the CSV's stem), in the CSV's order: at least one comparison for each published row.

    A published row to which several rows of ours answer (two scenarios) has one comparison each.
    """
    answers: dict[str, list[SummaryRow]] = {}
    for row in rows:
        if row.published_row is not None and row.state != "missing":
            answers.setdefault(row.published_row, []).append(row)
    found: dict[str, list[Comparison]] = {}
    for key, printed in published.items():
        ours = answers.get(key, [])
        comparisons = [_comparison(printed, row) for row in ours] or [
            Comparison(printed, None, remarks=(NOT_MEASURED,))
        ]
        found.setdefault(printed.source, []).extend(comparisons)
    return {source: tuple(comparisons) for source, comparisons in found.items()}


def _comparison(printed: PublishedRow, row: SummaryRow) -> Comparison:
    latency = row.latency
    return Comparison(
        published=printed,
        ours=row,
        requests_per_s_ratio=_ratio(row.requests_per_s, printed.requests_per_s),
        latency_mean_ratio=_ratio(latency.mean_us / 1000 if latency else None, printed.latency_mean_ms),
        latency_max_ratio=_ratio(latency.max_us / 1000 if latency else None, printed.latency_max_ms),
        remarks=tuple(_remarks(printed, row)),
    )


def _remarks(printed: PublishedRow, row: SummaryRow) -> Iterable[str]:
    if row.state == "failed":
        yield f"failed here ({'; '.join(row.failures)})"
        return
    if row.duration_s != printed.duration_s:
        yield f"{row.duration_s:g} s here, {printed.duration_s:g} s there"
    if row.connections_asked != printed.connections:
        yield f"{row.connections_asked:,} connections here, {printed.connections:,} there"
    if row.threads != printed.threads:
        yield f"{figures.plural(row.threads, 'thread')} of wrk here, {printed.threads} there"
    if row.hold_ms != printed.hold_ms:
        yield f"held {row.hold_ms} ms here, {printed.hold_ms} ms there"
    if printed.errors_timeout and row.timeout_s != _WRK_DEFAULT_TIMEOUT_S:
        yield f"its {printed.errors_timeout:,} answers after {_WRK_DEFAULT_TIMEOUT_S} s are missing from its latencies"


#: The articles ran wrk with its own default.
_WRK_DEFAULT_TIMEOUT_S = 2


def _ratio(value: float | None, of: float) -> float | None:
    return value / of if value is not None and of else None
