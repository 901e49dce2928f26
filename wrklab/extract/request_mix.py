"""The requests of a mix: what all wrk processes counted of each, added, and checked against wrk's own latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wrklab.errors import ParseError
from wrklab.extract.histogram import Histogram
from wrklab.extract.wrk_report import Latencies, ProcessReport, latency_of
from wrklab.protocol.request_mix import RequestCounts
from wrklab.results.records import RequestRecord

#: The script reads the clock some µs after wrk does, and on a full CPU the kernel may come between.
_MEAN_OFF_MAX_US = 200.0
_MEAN_OFF_MAX_RATIO = 0.1


@dataclass(frozen=True)
class RequestWindow:
    """One request through a window."""

    name: str
    sent: int
    answers: int
    timeouts: int
    wrong_status: int
    wrong_body: int
    observed: Histogram

    def record(self) -> RequestRecord:
        """As it is stored; the histogram is stored beside it."""
        return RequestRecord(
            name=self.name,
            sent=self.sent,
            answers=self.answers,
            timeouts=self.timeouts,
            wrong_status=self.wrong_status,
            wrong_body=self.wrong_body,
            latency=latency_of(self.observed),
        )


def add_requests(reports: Sequence[ProcessReport], whole: Latencies) -> tuple[RequestWindow, ...]:
    """Each request over all processes, in the mix's order; none without a mix.

    Raises ParseError where processes had different mixes, or the latencies are not those that wrk itself has.
    """
    parts = [report.mix.requests for report in reports if report.mix]
    if not parts:
        return ()
    names = [counts.name for counts in parts[0]]
    if len(parts) != len(reports) or any([counts.name for counts in part] != names for part in parts):
        raise ParseError(f"wrk's reports: not every process has the requests {', '.join(names)}")
    found = tuple(_added(name, of_name) for name, of_name in zip(names, zip(*parts, strict=True), strict=True))
    if not whole.correction_note and not any(report.mix.unknown for report in reports if report.mix):
        _require_same_mean(found, whole.observed)
    return found


def _added(name: str, parts: Sequence[RequestCounts]) -> RequestWindow:
    observed = Histogram.empty()
    for part in parts:
        observed = observed.add(Histogram.from_deltas(part.histogram.values, part.histogram.counts))
    answers, timeouts = sum(part.answers for part in parts), sum(part.timeouts for part in parts)
    if observed.count != answers - timeouts:
        raise ParseError(f"wrk's report: {name} has {observed.count} latencies of {answers} answers, {timeouts} late")
    return RequestWindow(
        name=name,
        sent=sum(part.sent for part in parts),
        answers=answers,
        timeouts=timeouts,
        wrong_status=sum(part.wrong_status for part in parts),
        wrong_body=sum(part.wrong_body for part in parts),
        observed=observed,
    )


def _require_same_mean(requests: Sequence[RequestWindow], whole: Histogram) -> None:
    """An answer that was given to the wrong connection would have that one's send time. Raises ParseError."""
    count = sum(request.observed.count for request in requests)
    if not count or not whole.count:
        return
    mean_us = sum(request.observed.sum_us for request in requests) / count
    if abs(mean_us - whole.mean_us) > _MEAN_OFF_MAX_US + _MEAN_OFF_MAX_RATIO * whole.mean_us:
        raise ParseError(
            f"wrk's report: the requests' latencies have a mean of {mean_us:.0f} µs, and wrk's own {whole.mean_us:.0f} "
            "µs: they do not belong to the same answers. Is the generator's wrk Debian's?"
        )
