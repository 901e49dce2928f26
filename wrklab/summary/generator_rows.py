"""What each of several generators did, all rounds of a row together. How figures are combined: docs/metrics.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from wrklab.results.records import CellRecord, Errors, GeneratorRecord, Latency
from wrklab.summary.latencies import added_latency

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class GeneratorRow:
    """One generator's part of a row. None: there is no such number."""

    host: str
    requests: int
    requests_per_s: float | None
    connections_asked: int
    #: In the worst round.
    connections_open: int
    #: Open, or being opened anew; being opened anew; near a window's end never answered, and long without an answer.
    #: In the worst round each.
    connections_held: int | None = None
    connections_reopening: int | None = None
    connections_unanswered: int | None = None
    connections_silent: int | None = None
    errors: Errors
    #: wrk's, percent of the generator's CPUs; with that of the generators that share them.
    cpu_percent: float
    host_cpu_percent: float | None
    #: As SummaryRow's figures of the generator, of this one alone.
    thread_percent: float | None = None
    thread_waiting_percent: float | None = None
    unread_ratio: float | None = None
    neighbours_cpu_percent: float | None = None
    others_cpu_percent: float | None = None
    steal_percent: float | None = None
    held_up_s: float | None = None
    latency: Latency | None
    #: From the mark to the start of its first wrk, in the worst round.
    start_skew_s: float | None
    #: How much later than the first of them it may have begun: told by clocks that may be wrong. In the worst round.
    start_apart_s: float | None = None

    @property
    def connections_lost(self) -> int | None:
        """Never answered, or silent for long; None where neither was counted."""
        if self.connections_unanswered is None and self.connections_silent is None:
            return None
        return (self.connections_unanswered or 0) + (self.connections_silent or 0)

    def values(self) -> dict[str, Any]:
        """Plain data: `errors` and `latency` are mappings."""
        return asdict(self) | {
            "errors": self.errors.model_dump(),
            "latency": self.latency.model_dump() if self.latency else None,
        }


def generator_rows(
    cells: Sequence[CellRecord], histograms_of: Callable[[str], Mapping[str, bytes]]
) -> tuple[GeneratorRow, ...]:
    """A row's generators in the inventory's order; none where the whole load came from one.

    `histograms_of` gives a cell's histograms by kind: those of one generator are `observed@HOST`.
    """
    parts: dict[str, list[GeneratorRecord]] = {}
    apart_s: dict[str, list[float]] = {}
    for cell in cells:
        together = cell.measurement.generators if cell.measurement else ()
        first_s = min((part.start_skew_s for part in together if part.start_skew_s is not None), default=0.0)
        for part in together:
            parts.setdefault(part.host, []).append(part)
            if part.start_skew_s is not None:
                later_s = part.start_skew_s - first_s + (part.clock_uncertainty_s or 0.0)
                apart_s.setdefault(part.host, []).append(later_s)
    if len(parts) <= 1:
        return ()
    kept = [histograms_of(cell.cell_id) for cell in cells]
    return tuple(
        _row(
            found,
            [kinds[f"observed@{host}"] for kinds in kept if f"observed@{host}" in kinds],
            max(apart_s.get(host, ()), default=None),
        )
        for host, found in parts.items()
    )


def _row(rounds: Sequence[GeneratorRecord], histograms: Sequence[bytes], start_apart_s: float | None) -> GeneratorRow:
    return GeneratorRow(
        host=rounds[0].host,
        requests=sum(part.requests for part in rounds),
        requests_per_s=_median([part.requests_per_s for part in rounds]),
        connections_asked=rounds[0].connections_asked,
        connections_open=min(part.connections_open for part in rounds),
        connections_held=min(part.connections_open + (part.connections_reopening or 0) for part in rounds),
        connections_reopening=_largest(part.connections_reopening for part in rounds),
        connections_unanswered=_largest(part.connections_unanswered for part in rounds),
        connections_silent=_largest(part.connections_silent for part in rounds),
        errors=Errors.sum_of(part.errors for part in rounds),
        cpu_percent=statistics.median(part.busy_percent for part in rounds),
        host_cpu_percent=_median([part.host_cpu_percent for part in rounds]),
        thread_percent=_largest(part.busiest_thread_percent for part in rounds),
        thread_waiting_percent=_largest(part.busiest_thread_waiting_percent for part in rounds),
        unread_ratio=_largest(
            None if part.connections_unread is None else part.connections_unread / max(part.connections_asked, 1)
            for part in rounds
        ),
        neighbours_cpu_percent=_largest(part.neighbours_cpu_percent for part in rounds),
        others_cpu_percent=_largest(part.others_cpu_percent for part in rounds),
        steal_percent=_largest(part.steal_percent for part in rounds),
        held_up_s=_largest(part.held_up_s for part in rounds),
        latency=added_latency(histograms),
        start_skew_s=_largest(part.start_skew_s for part in rounds),
        start_apart_s=start_apart_s,
    )


def _largest(values: Iterable[Number | None]) -> Number | None:
    return max((value for value in values if value is not None), default=None)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
