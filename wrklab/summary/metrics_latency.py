"""The metrics of waiting: how long answers took, and what became of the connections that got none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import ClassVar, Unpack

from wrklab import formats
from wrklab.extract.histogram import Histogram
from wrklab.extract.wrk_report import latency_of
from wrklab.results.records import Latency, Measurement
from wrklab.summary.metrics import (
    About,
    Better,
    DoubtedBy,
    Metric,
    Over,
    Source,
    Unit,
    derived,
    distinct,
    largest,
    of_row,
    shown,
    smallest,
    total,
    total_known,
)
from wrklab.summary.metrics_load import RateMetrics


def _unexplained(window: Measurement) -> int | None:
    """Connections without an answer whose turn nothing promises; None where they were not counted."""
    if window.connections_unanswered is None:
        return None
    return window.connections_unanswered + (window.connections_stalled or 0) - (window.connections_unaccepted or 0)


def _has_silences(window: Measurement) -> bool:
    """Whether every generator looked for connections without answers: on full CPUs it may come too late."""
    return all(part.connections_unanswered is not None for part in window.generators)


def _lost_ratio(window: Measurement) -> float | None:
    """Lost segments / answers; None where the accept queue was full for long: the host drops segments itself then."""
    lasting = window.server.lasting_listen_overflows
    # Where it is not known how long the queue was full, any overflow counts.
    if window.server.listen_overflows if lasting is None else lasting:
        return None
    lost = total_known([window.server.segments_lost, *(part.segments_lost for part in window.generators)])
    return None if lost is None else lost / max(window.requests, 1)


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _latency(
    read: Callable[[Latency], float | None], definition: str, unit: Unit = Unit.MICROSECONDS, **about: Unpack[About]
) -> Metric[float | None]:
    """A metric of the observed latencies, all rounds together."""

    def compute(row: LatencyMetrics) -> float | None:
        return read(row.latency) if row.latency else None

    about = {"source": Source.OBSERVED, "generators": Over.ADDED, "better": Better.LOWER, **about}
    return Metric(compute, unit, definition, rounds=Over.ADDED, **about)


class LatencyMetrics(RateMetrics):
    """How long answers took. The latencies of all rounds come from added histograms, never from percentiles."""

    THEME: ClassVar[str] = "Latency"
    DOUBT: ClassVar[DoubtedBy] = "latency"

    @cached_property
    def _histograms(self) -> tuple[Mapping[str, bytes], ...]:
        found = self.histograms_of
        return () if found is None else tuple(found(cell.cell_id) for cell in self.measured)

    @cached_property
    def observed(self) -> Histogram:
        """The observed latencies of all rounds, added; empty where the row has no histograms (a cell's own row)."""
        return self.added("observed")

    @cached_property
    def as_wrk_prints(self) -> Histogram:
        """The same after wrk's correction."""
        return self.added("wrk")

    def added(self, kind: str) -> Histogram:
        """The histograms of one kind (`observed`, `wrk`, `request:NAME`) of all rounds together."""
        added = Histogram.empty()
        for kinds in self._histograms:
            if kind in kinds:
                added = added.add(Histogram.from_bytes(kinds[kind]))
        return added

    @cached_property
    def latency(self) -> Latency | None:
        """Observed: wrk's correction undone."""
        if self.histograms_of is None:
            return self.windows[0].latency if self.windows else None
        return latency_of(self.observed)

    @cached_property
    def wrk_latency(self) -> Latency | None:
        """As wrk would print it, after its correction."""
        if self.histograms_of is None:
            return self.windows[0].wrk_latency if self.windows else None
        return latency_of(self.as_wrk_prints)

    latency_mean_us = _latency(lambda found: found.mean_us, "arithmetic mean", share="latency.mean_us").shown(
        "mean ms", "latency", formats.ms
    )
    latency_stdev_us = _latency(
        lambda found: found.stdev_us,
        "standard deviation of the answers, not of the mean",
        share="latency.stdev_us",
    )
    latency_min_us = _latency(lambda found: found.min_us, "the quickest answer", share="latency.min_us")
    latency_p50_us = _latency(
        lambda found: found.p50_us,
        "half of the answers were not slower",
        share="latency.p50_us",
        compared="p50 x",
    ).shown("p50 ms", "latency", formats.ms)
    latency_p90_us = _latency(
        lambda found: found.p90_us, "90 % of the answers were not slower", share="latency.p90_us"
    ).shown("p90 ms", "latency", formats.ms)
    latency_p99_us = _latency(
        lambda found: found.p99_us,
        "99 % of the answers were not slower",
        share="latency.p99_us",
        compared="p99 x",
    ).shown("p99 ms", "latency", formats.ms)
    latency_p999_us = _latency(
        lambda found: found.p999_us, "99.9 % of the answers were not slower", share="latency.p999_us"
    ).shown("p99.9 ms", "latency", formats.ms)
    latency_max_us = _latency(lambda found: found.max_us, "the slowest answer", share="latency.max_us").shown(
        "max ms", "latency", formats.ms
    )
    latency_count = _latency(
        lambda found: found.count,
        "answers that the latencies rest on: `requests` - `errors_timeout`",
        Unit.ANSWERS,
        share="latency.count",
        better=Better.NEITHER,
    )

    @shown("wrk's p99 ms", "latency", formats.ms)
    @derived(
        Unit.MICROSECONDS,
        source=Source.WRK_HISTOGRAM,
        rounds=Over.ADDED,
        generators=Over.ADDED,
        better=Better.LOWER,
    )
    def wrk_p99_us(self) -> float | None:
        """p99 after wrk's own correction, as wrk prints it"""
        return self.wrk_latency.p99_us if self.wrk_latency else None

    first_answer_s = smallest(
        lambda window: window.first_answer_s,
        Unit.SECONDS,
        "what the GET took that found the idle server ready",
        source=Source.HARNESS,
        generators=Over.SMALLEST,
        better=Better.LOWER,
        doubt="none",
    )
    busy_ratio = smallest(
        lambda window: window.busy_ratio,
        Unit.RATIO,
        "sum of the latencies / (length of the window x `connections_asked`)",
        source=Source.OBSERVED,
        generators=Over.ADDED,
        better=Better.HIGHER,
        doubt="rate",
    )

    @cached_property
    def correction_notes(self) -> tuple[str, ...]:
        """Why wrk's correction could not be undone."""
        return distinct(window.correction_note for window in self.windows)

    @cached_property
    def is_miscounted(self) -> bool:
        """In some round wrk counted another number of answers than it timed."""
        return any(window.is_miscounted for window in self.windows)


class ConnectionMetrics(LatencyMetrics):
    """The connections, and what became of those that got no answer."""

    THEME: ClassVar[str] = "Connections"
    DOUBT: ClassVar[DoubtedBy] = "rate"

    connections_open = smallest(
        lambda window: window.connections_open,
        Unit.CONNECTIONS,
        "established to the server: the median of three counts within a window",
        source=Source.SAMPLES,
        generators=Over.SUM,
        better=Better.HIGHER,
        share="connections_open",
    ).shown("conn. open", "rate", formats.count)
    connections_held = smallest(
        lambda window: window.connections_open + (window.connections_reopening or 0),
        Unit.CONNECTIONS,
        "`connections_open` and `connections_reopening` of a window together",
        source=Source.SAMPLES,
        generators=Over.SUM,
        better=Better.HIGHER,
        share="connections_held",
    )
    connections_reopening = largest(
        lambda window: window.connections_reopening,
        Unit.CONNECTIONS,
        "being opened again: a first SYN on its way, or closed by the server alone",
        source=Source.SAMPLES,
        generators=Over.SUM,
        share="connections_reopening",
    )
    connections_unanswered = largest(
        lambda window: window.connections_unanswered,
        Unit.CONNECTIONS,
        "near the end still without a first answer ([how long](#connections-without-answers))",
        source=Source.SAMPLES,
        generators=Over.SUM,
        better=Better.LOWER,
        share="connections_unanswered",
    )
    connections_stalled = largest(
        lambda window: window.connections_stalled,
        Unit.CONNECTIONS,
        "stalled near the end: as long without an answer, after having had some",
        source=Source.SAMPLES,
        generators=Over.SUM,
        better=Better.LOWER,
        share="connections_stalled",
    )
    connections_unaccepted = largest(
        lambda window: window.connections_unaccepted,
        Unit.CONNECTIONS,
        "of these, what waits in a shrinking accept queue ([how many](#connections-without-answers))",
        source=Source.SAMPLES,
    )
    connections_unexplained = largest(
        _unexplained,
        Unit.CONNECTIONS,
        "of a window, `connections_unanswered` + `connections_stalled` - `connections_unaccepted`",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    backlog = largest(
        lambda window: window.server.backlog,
        Unit.CONNECTIONS,
        "length of the accept queue in force (`ss -ltn`, Send-Q)",
        source=Source.SAMPLES,
        doubt="none",
    )
    accept_queue_max = largest(
        lambda window: window.server.accept_queue_max,
        Unit.CONNECTIONS,
        "most connections seen waiting in the accept queue of the variant's port",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    listen_overflows = total(
        lambda window: window.server.listen_overflows,
        Unit.TIMES,
        "times that the accept queue was full (ListenOverflows of the server host)",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    foreign_connections = of_row(
        lambda row: max((window.server.foreign_connections for window in row.windows), key=_sum, default={}),
        Unit.CONNECTIONS,
        "of hosts outside of the lab to the variant's port when wrk had ended, as `address=number`",
        source=Source.SERVER,
        rounds=Over.WORST,
        better=Better.LOWER,
    ).written(lambda found: " ".join(f"{address}={number}" for address, number in found.items()))
    retransmits = total(
        lambda window: window.server.retransmits,
        Unit.SEGMENTS,
        "TCP segments that the server host sent again",
        source=Source.SAMPLES,
        better=Better.LOWER,
    )
    segments_lost_ratio = largest(
        _lost_ratio,
        Unit.RATIO,
        "segments lost on the way, both directions / answers ([which count](#lost-segments))",
        source=Source.SAMPLES,
        generators=Over.SUM,
        better=Better.LOWER,
    )

    @cached_property
    def rounds_without_silences(self) -> int:
        """Rounds in which a generator did not get to count the connections without answers."""
        return sum(not _has_silences(window) for window in self.windows)
