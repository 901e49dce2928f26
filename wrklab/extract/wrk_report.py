"""What one wrk process told through wrk_report.lua, checked, and as the records hold it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wrklab.errors import ParseError
from wrklab.extract.histogram import CorrectionError, Histogram, MiscountError, undo_wrk_correction
from wrklab.results.records import Errors, Latency

_ERROR_KINDS = ("connect", "read", "write", "status", "timeout", "body")


@dataclass(frozen=True)
class WrkReport:
    """One wrk process's run. `corrected` is its histogram as done() sees it, after wrk's correction."""

    duration_us: int
    requests: int
    bytes_read: int
    threads: int
    #: wrk's -c of this process; wrk's correction depends on it.
    connections: int
    errors: Errors
    corrected: Histogram
    #: wrk's own percentiles by their name in the JSON (p50_us, ...); None where it timed no answer.
    printed_us: Mapping[str, float] | None
    bodies_checked: bool
    #: Bodies with bytes of a cut-off answer in front, which are wrk's doing, not the server's.
    bodies_stale: int

    @property
    def duration_s(self) -> float:
        """wrk's own, real."""
        return self.duration_us / 1e6

    def observed(self) -> Histogram:
        """The latencies that wrk saw, its correction undone. Raises CorrectionError."""
        return undo_wrk_correction(
            self.corrected,
            duration_us=self.duration_us,
            requests=self.requests,
            connections=self.connections,
            timeouts=self.errors.timeout,
        )


@dataclass(frozen=True)
class Latencies:
    """The histograms of several wrk processes, added."""

    observed: Histogram
    corrected: Histogram
    #: Why the correction could not be undone (`observed` is as wrk told it then), or empty.
    correction_note: str
    #: It could not because there are not as many samples as answers.
    is_miscounted: bool = False


def parse_wrk_report(value: object, connections: int) -> WrkReport:
    """The JSON value that done() wrote in a process with this `-c`. Raises ParseError saying what is wrong with it."""
    report = _mapping(value, "wrk's report")
    errors = _mapping(report.get("errors"), "errors")
    coded = _mapping(report.get("histogram"), "histogram")
    corrected = Histogram.from_deltas(_list(coded, "values"), _list(coded, "counts"))
    printed = _printed(_mapping(report.get("latency"), "latency"), corrected)
    return WrkReport(
        duration_us=_count(report, "duration_us"),
        requests=_count(report, "requests"),
        bytes_read=_count(report, "bytes"),
        threads=_count(report, "threads"),
        connections=connections,
        errors=Errors(**{kind: _count(errors, kind) for kind in _ERROR_KINDS}),
        corrected=corrected,
        printed_us=printed,
        bodies_checked=report.get("bodies_checked") is True,
        bodies_stale=_count(report, "bodies_stale"),
    )


def add_latencies(reports: Sequence[WrkReport]) -> Latencies:
    """All processes' histograms, observed and as wrk told them. One that cannot be undone leaves all as told."""
    corrected = _sum([report.corrected for report in reports])
    try:
        return Latencies(_sum([report.observed() for report in reports]), corrected, "")
    except CorrectionError as error:
        return Latencies(corrected, corrected, str(error), isinstance(error, MiscountError))


def add_errors(reports: Iterable[WrkReport]) -> Errors:
    """All processes' errors by kind."""
    return Errors.sum_of(report.errors for report in reports)


def latency_of(histogram: Histogram) -> Latency | None:
    """A histogram's statistics as a record; None where it has no sample."""
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
        min_us=histogram.min_us,
    )


def busy_ratio(observed: Histogram, duration_us: int, connections: int) -> float:
    """Share of the connections' time that was spent waiting for answers which came: sum / (duration x connections)."""
    if duration_us <= 0 or connections <= 0:
        raise ParseError(f"busy ratio over {duration_us} µs and {connections} connections")
    return observed.sum_us / (duration_us * connections)


def _sum(histograms: list[Histogram]) -> Histogram:
    total = Histogram.empty()
    for histogram in histograms:
        total = total.add(histogram)
    return total


def _printed(latency: Mapping[str, Any], corrected: Histogram) -> Mapping[str, float] | None:
    if _count(latency, "count") != corrected.count:
        raise ParseError(f"wrk's report: latency.count is {latency['count']}, the histogram has {corrected.count}")
    if corrected.count == 0:
        return None
    found: dict[str, float] = {}
    for name, number in latency.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ParseError(f"wrk's report: latency.{name} is {number!r}; a number was expected")
        found[name] = float(number)
    return found


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ParseError(f"{where} is {type(value).__name__}; an object was expected")
    return value


def _list(values: Mapping[str, Any], key: str) -> list[int]:
    found = values.get(key)
    if not isinstance(found, list):
        raise ParseError(f"wrk's report: histogram.{key} is {type(found).__name__}; a list was expected")
    return found


def _count(values: Mapping[str, Any], key: str) -> int:
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise ParseError(f"wrk's report: {key} is {found!r}; a whole number was expected")
    return found
