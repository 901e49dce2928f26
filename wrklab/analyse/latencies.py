"""From histograms to latencies: several are added, percentiles never averaged."""

from __future__ import annotations

from collections.abc import Iterable

from wrklab.measure.histogram import Histogram
from wrklab.model.record import Latency


def latency_of(histogram: Histogram) -> Latency | None:
    """Mean, spread and percentiles of one histogram; None when not one answer was timed."""
    if histogram.count == 0:
        return None
    return Latency(
        count=histogram.count,
        mean_us=histogram.mean_us,
        stdev_us=histogram.stdev_us,
        p50_us=histogram.percentile(50),
        p90_us=histogram.percentile(90),
        p99_us=histogram.percentile(99),
        p999_us=histogram.percentile(99.9),
        max_us=histogram.max_us,
    )


def added_latency(parts: Iterable[bytes]) -> Latency | None:
    """The latencies of stored histograms (Histogram.to_bytes) added up; None when not one answer was timed."""
    total = Histogram.empty()
    for data in parts:
        total = total.add(Histogram.from_bytes(data))
    return latency_of(total)
