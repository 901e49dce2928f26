"""Latencies of several cells together: histograms are added, percentiles never averaged."""

from __future__ import annotations

from collections.abc import Iterable

from wrklab.measure.histogram import Histogram
from wrklab.model.record import Latency


def added_latency(parts: Iterable[bytes]) -> Latency | None:
    """The latencies of stored histograms (Histogram.to_bytes) added up; None when not one answer was timed."""
    total: Histogram | None = None
    for data in parts:
        histogram = Histogram.from_bytes(data)
        total = histogram if total is None else total.add(histogram)
    if total is None or total.count == 0:
        return None
    return Latency(
        count=total.count,
        mean_us=total.mean_us,
        stdev_us=total.stdev_us,
        p50_us=total.percentile(50),
        p90_us=total.percentile(90),
        p99_us=total.percentile(99),
        p999_us=total.percentile(99.9),
        max_us=total.max_us,
    )
