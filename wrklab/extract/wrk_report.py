"""What one wrk process reported through wrk_report.lua, checked, and as the records hold it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from wrklab.errors import ParseError
from wrklab.extract.histogram import CorrectionError, Histogram, MiscountError, undo_wrk_correction
from wrklab.protocol.codec import encode
from wrklab.protocol.load import SlotCounts, WrkReport
from wrklab.protocol.request_mix import MixReport
from wrklab.results.records import Errors, Latency, OpenLoopRecord

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class ProcessReport:
    """One wrk process's run. `corrected` is its histogram as done() sees it, after wrk's correction."""

    duration_us: int
    requests: int
    bytes_read: int
    threads: int
    #: wrk's -c of this process; wrk's correction depends on it.
    connections: int
    errors: Errors
    corrected: Histogram
    bodies_checked: bool
    #: None: closed loop.
    slots: SlotCounts | None = None
    #: None: no mix.
    mix: MixReport | None = None

    @property
    def duration_s(self) -> float:
        """wrk's own, real."""
        return self.duration_us / 1e6

    def requests_per_s(self, timetable_s: float) -> float:
        """Answers over its window; of an open loop those that came within the timetable, over its length."""
        if self.slots is None:
            return self.requests / self.duration_s
        return sum(self.slots.quarters_answered) / timetable_s

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
    #: Why the correction could not be undone (then `observed` is as wrk reported it), or empty.
    correction_note: str
    #: It could not because there are not as many samples as answers.
    is_miscounted: bool = False


def read_wrk_report(report: WrkReport, connections: int) -> ProcessReport:
    """From what done() wrote in a process with this `-c`. Raises ParseError where its parts do not fit together."""
    corrected = Histogram.from_deltas(report.histogram.values, report.histogram.counts)
    if report.latency.count != corrected.count:
        raise ParseError(f"wrk's report: latency.count is {report.latency.count}, the histogram has {corrected.count}")
    return ProcessReport(
        duration_us=report.duration_us,
        requests=report.requests,
        bytes_read=report.bytes,
        threads=report.threads,
        connections=connections,
        errors=_errors_of_requests(report),
        corrected=corrected,
        bodies_checked=report.bodies_checked,
        slots=report.slots,
        mix=_checked_mix(report),
    )


def _checked_mix(report: WrkReport) -> MixReport | None:
    """Raises ParseError where the requests' answers are not those of the whole."""
    if report.mix is not None:
        known = sum(counts.answers for counts in report.mix.requests)
        if known + report.mix.unknown != report.requests:
            raise ParseError(
                f"wrk's report: its requests have {known} answers and {report.mix.unknown} are unknown; "
                f"{report.requests} were expected together"
            )
    return report.mix


def _errors_of_requests(report: WrkReport) -> Errors:
    """wrk's errors, without those of connections that had no request on its way: closed by the server, or not open."""
    errors = Errors(**encode(report.errors))
    if report.slots is None:
        return errors
    others = {"read": errors.read - report.slots.idle_closed, "write": errors.write - report.slots.opened}
    return errors.model_copy(update={kind: max(0, count) for kind, count in others.items()})


def add_latencies(reports: Sequence[ProcessReport]) -> Latencies:
    """All processes' histograms, observed and as wrk reported them. If one cannot be undone, none is."""
    corrected = _sum([report.corrected for report in reports])
    try:
        return Latencies(_sum([report.observed() for report in reports]), corrected, "")
    except CorrectionError as error:
        return Latencies(corrected, corrected, str(error), isinstance(error, MiscountError))


def add_slots(reports: Sequence[ProcessReport]) -> OpenLoopRecord | None:
    """What became of all processes' slots; None in a closed loop."""
    slots = [report.slots for report in reports if report.slots]
    if not slots:
        return None
    sent = sum(part.sent for part in slots)
    return OpenLoopRecord(
        scheduled=sum(part.scheduled for part in slots),
        sent=sent,
        late=sum(part.late for part in slots),
        latest_s=max(part.latest_s for part in slots),
        unanswered=max(0, sent - sum(report.requests for report in reports)),
        quarters_scheduled=_by_quarter([part.quarters_scheduled for part in slots]),
        quarters_sent=_by_quarter([part.quarters_sent for part in slots]),
        quarters_answered=_by_quarter([part.quarters_answered for part in slots]),
        quarters_waiting_s=_by_quarter([part.quarters_waiting_s for part in slots]),
        idle_closed=sum(part.idle_closed for part in slots),
        opened=sum(part.opened for part in slots),
        wrk_late=sum(part.wrk_late for part in slots),
    )


def _by_quarter(parts: Sequence[Sequence[Number]]) -> tuple[Number, Number, Number, Number]:
    first, second, third, fourth = (sum(values[1:], values[0]) for values in zip(*parts, strict=True))
    return first, second, third, fourth


def add_errors(reports: Iterable[ProcessReport]) -> Errors:
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
