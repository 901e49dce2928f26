"""Latencies of several cells together: histograms are added, percentiles never averaged."""

from __future__ import annotations

from collections.abc import Iterable

from wrklab.extract.histogram import Histogram
from wrklab.extract.wrk_report import latency_of
from wrklab.results.records import Latency


def added_latency(parts: Iterable[bytes]) -> Latency | None:
    """The latencies of stored histograms (Histogram.to_bytes) added up; None when not one answer was timed."""
    total = Histogram.empty()
    for data in parts:
        total = total.add(Histogram.from_bytes(data))
    return latency_of(total)
