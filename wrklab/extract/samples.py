"""The sampler's raw lines of one host, and what they say of one window.

Three ways to read a metric over a window, each for what it suits:

rate      between the first and the last sample inside (a busy phase that begins between two samples does not blur
          it); where those span less than half of the window, between its edges, interpolated
increase  from the last sample before the window to the first after it: nothing that happened inside is missed
maximum   of all samples inside

A rate or an increase is None where the samples end well inside an edge of the window: what came after them is not
known, and must not be taken for nothing.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from collectors import Sample, parse
from collectors.base import SourceError
from wrklab.errors import ParseError
from wrklab.protocol.codec import ProtocolError, decode, parse_json
from wrklab.protocol.server import SampleLine
from wrklab.results.records import StoredSample

_WORTH_OF_WINDOW = 0.5
#: Samples may end so many of their distances inside an edge of the window: on full CPUs a sampler comes late.
_EDGE_INTERVALS = 2.0
#: A process that uses this much of one CPU has none to spare: the sampler's ticks and the load's pauses take the rest.
FULL_PERCENT = 90.0
_SERVING_SHARE = 0.1
_PROCESS_CPU = re.compile(r"process\.\d+\.cpu")


@dataclass(frozen=True)
class HostSample:
    """All metrics of one sampling instant."""

    at_s: float
    by_metric: dict[str, Sample]
    #: What could not be read, by collector, as the host said it.
    errors: Mapping[str, str]


@dataclass(frozen=True)
class HostSamples:
    """One host's samples in order of time, and the window that they are asked about (the host's clock)."""

    samples: tuple[HostSample, ...]
    start_s: float
    end_s: float

    def rate(self, metric: str) -> float | None:
        """Growth per second of a counter; None where it was not sampled often enough."""
        points = self._points_to_both_edges(metric)
        if not points:
            return None
        inside = self._rate_inside(metric)
        if inside is not None:
            return inside
        first_s, last_s = max(self.start_s, points[0][0]), min(self.end_s, points[-1][0])
        if last_s <= first_s or last_s - first_s < _WORTH_OF_WINDOW * self.window_s:
            return None
        return (_interpolated(points, last_s) - _interpolated(points, first_s)) / (last_s - first_s)

    def _rate_inside(self, metric: str) -> float | None:
        """Between the first and the last sample inside; None where these span less than half of the window."""
        inside = [point for point in self._points(metric) if self.start_s <= point[0] <= self.end_s]
        if len(inside) < 2 or inside[-1][0] - inside[0][0] < _WORTH_OF_WINDOW * self.window_s:  # noqa: PLR2004  a difference needs two
            return None
        (first_s, first), (last_s, last) = inside[0], inside[-1]
        return (last - first) / (last_s - first_s)

    def increase(self, metric: str) -> int | None:
        """Growth of a counter from just before the window to just after; None where it was not sampled so far."""
        points = self._points_to_both_edges(metric)
        before = [value for at_s, value in points if at_s <= self.start_s] or [value for _, value in points[:1]]
        after = [value for at_s, value in points if at_s >= self.end_s] or [value for _, value in points[-1:]]
        return round(after[0] - before[-1]) if len(points) > 1 else None

    def maximum(self, metric: str) -> int | None:
        """The largest value inside the window (of all samples where none was inside); None where there is none."""
        points = self._points(metric)
        inside = [value for at_s, value in points if self.start_s <= at_s <= self.end_s]
        return round(max(inside or [value for _, value in points])) if points else None

    def value_at(self, metric: str, at_most_s: float) -> int | None:
        """The last value that was seen in the window until then (its clock's); None where none was."""
        inside = [value for at_s, value in self._points(metric) if self.start_s <= at_s <= at_most_s]
        return round(inside[-1]) if inside else None

    def segments_lost(self) -> int | None:
        """TCP segments that this host had to send again through the window; None where it was not sampled for that.

        Without those of a handshake (a server that does not take connections causes them) and those that the other end
        reports to have had already (tail loss probes, RFC 8985, where acknowledgements are late). What a burst loses
        while connections open is no loss of the network: an interval counts for as much as the median one.
        """
        metrics = ("tcp.segments_retransmitted", "tcp.syn_retransmitted", "tcp.duplicates_reported")
        sent_again, handshakes, duplicates = (
            [value for at_s, value in self._points(metric) if at_s <= self.end_s] for metric in metrics
        )
        inside_count = sum(self.start_s <= sample.at_s <= self.end_s for sample in self.samples)
        if len(sent_again) != len(duplicates) or inside_count < 2 or len(sent_again) < 2:  # noqa: PLR2004  a difference needs two
            return None
        counts = [
            again - opening - known for again, opening, known in zip(sent_again, handshakes, duplicates, strict=True)
        ]
        return _lasting(counts, inside_count)

    def lasting_increase(self, metric: str) -> int | None:
        """Growth of a counter all through the window, bursts left out; None where it was not sampled for that."""
        points = [value for at_s, value in self._points(metric) if at_s <= self.end_s]
        inside_count = sum(self.start_s <= sample.at_s <= self.end_s for sample in self.samples)
        if inside_count < 2 or len(points) < 2:  # noqa: PLR2004  a difference needs two
            return None
        return _lasting(points, inside_count)

    def cpu_percent(self, metric: str, cpus_count: int) -> float | None:
        """A counter of CPU seconds as a percentage of so many CPUs."""
        rate = self.rate(metric)
        return None if rate is None else 100 * rate / cpus_count

    def time_percent(self, metric: str) -> float | None:
        """A counter of seconds as a percentage of the time; None where it was not sampled often enough."""
        return self.cpu_percent(metric, 1)

    def machine_cpu_percent(self, kind: str, cpus: Sequence[int]) -> float | None:
        """busy, softirq or steal of these CPUs, in percent of them; None where one of them was not sampled."""
        rates = [self.rate(f"cpu.{number}.{kind}") for number in cpus]
        known = [rate for rate in rates if rate is not None]
        return 100 * sum(known) / len(rates) if rates and len(known) == len(rates) else None

    def neighbours_cpu_percent(self, cpus: Sequence[int]) -> float | None:
        """What others than this host took of its CPUs: busy in /proc/stat less the host's own cgroup. Never below 0."""
        busy, own = self.machine_cpu_percent("busy", cpus), self.cpu_percent("node_cpu.usage", max(1, len(cpus)))
        return None if busy is None or own is None else max(0.0, busy - own)

    def others_cpu_percent(self, cpus: Sequence[int], own_percent: float | None) -> float | None:
        """What others of this host took than those whose share of its CPUs is given. Never below 0.

        The host's cgroup less theirs, and less softirq: the kernel counts it for a host's root cgroup, and for no unit.
        """
        host = self.cpu_percent("node_cpu.usage", max(1, len(cpus)))
        if host is None or own_percent is None:
            return None
        return max(0.0, host - own_percent - (self.machine_cpu_percent("softirq", cpus) or 0.0))

    def process_cpus(self) -> ProcessCpus | None:
        """The CPU of the unit's processes that lived through the window; None where none was sampled so."""
        metrics = {metric for sample in self.samples for metric in sample.by_metric if _PROCESS_CPU.fullmatch(metric)}
        percents = [100 * rate for metric in metrics if (rate := self._rate_inside(metric)) is not None]
        return _process_cpus(percents)

    @property
    def window_s(self) -> float:
        """How long the window is."""
        return self.end_s - self.start_s

    @property
    def seen_s(self) -> float:
        """Of the window, what lies between the first and the last sample."""
        if not self.samples:
            return 0.0
        return max(0.0, min(self.end_s, self.samples[-1].at_s) - max(self.start_s, self.samples[0].at_s))

    def reach_both_edges(self, interval_s: float) -> bool:
        """Whether the samples, wanted at this interval, reach from the window's start to its end, or nearly so."""
        return self._is_near_both_edges([sample.at_s for sample in self.samples], interval_s)

    def errors(self) -> dict[str, str]:
        """What could not be read, by collector; the last that was said of each."""
        return {name: text for sample in self.samples for name, text in sample.errors.items()}

    def stored(self, host: str) -> list[StoredSample]:
        """Every metric of every sample, for the store."""
        return [
            StoredSample(host, sample.metric, sample.unit, each.at_s, sample.value)
            for each in self.samples
            for sample in each.by_metric.values()
        ]

    def _points_to_both_edges(self, metric: str) -> list[tuple[float, float]]:
        """A metric's points; none where they end well inside an edge of the window."""
        points = self._points(metric)
        return points if self._is_near_both_edges([at_s for at_s, _ in points], 0.0) else []

    def _is_near_both_edges(self, times_s: Sequence[float], interval_s: float) -> bool:
        if not times_s:
            return False
        slack_s = _EDGE_INTERVALS * max(interval_s, self._usual_interval_s())
        return times_s[0] <= self.start_s + slack_s and times_s[-1] >= self.end_s - slack_s

    def _usual_interval_s(self) -> float:
        """As it was: longer than requested where the sampler waited for a CPU. 0 where there is none."""
        gaps = [after.at_s - before.at_s for before, after in pairwise(self.samples)]
        return statistics.median(gaps) if gaps else 0.0

    def _points(self, metric: str) -> list[tuple[float, float]]:
        return [(sample.at_s, sample.by_metric[metric].value) for sample in self.samples if metric in sample.by_metric]


def _lasting(counts: Sequence[float], inside_count: int) -> int:
    """Growth over the last so many samples, as if each interval were the median one."""
    grown = [max(0.0, after - before) for before, after in pairwise(counts[-inside_count - 1 :])]
    return round(statistics.median_low(grown) * len(grown))


@dataclass(frozen=True)
class ProcessCpus:
    """How the unit's processes shared the work."""

    #: Percent of one CPU.
    busiest_percent: float
    #: Those with a tenth of the busiest's CPU time or more: a supervisor has less.
    serving_count: int
    #: Of these, those that fill one CPU.
    full_count: int


def _process_cpus(percents: Sequence[float]) -> ProcessCpus | None:
    if not percents:
        return None
    busiest = max(percents)
    serving = [percent for percent in percents if percent >= _SERVING_SHARE * busiest]
    return ProcessCpus(busiest, len(serving), sum(percent >= FULL_PERCENT for percent in serving))


def read_samples(lines: Iterable[str], start_s: float, end_s: float) -> HostSamples:
    """A sampler's lines, to be asked about the window from start to end. Raises ParseError with the line's number.

    A last line that was cut off (the sampler was killed while it wrote) is left out.
    """
    texts = list(lines)
    samples: list[HostSample] = []
    for number, text in enumerate(texts, 1):
        try:
            value = parse_json(text)
        except ProtocolError as error:
            if number == len(texts):
                break
            raise ParseError(f"samples, line {number}: {error}") from error
        try:
            samples.append(_sample(decode(SampleLine, value)))
        except (ProtocolError, SourceError) as error:
            raise ParseError(f"samples, line {number}: {error}") from error
    return HostSamples(tuple(sorted(samples, key=lambda sample: sample.at_s)), start_s, end_s)


def _sample(line: SampleLine) -> HostSample:
    return HostSample(line.at, parse(line.raw), line.errors)


def _interpolated(points: Sequence[tuple[float, float]], at_s: float) -> float:
    """A counter's value at a time from the first of its points to the last."""
    (low_s, low) = [point for point in points if point[0] <= at_s][-1]
    (high_s, high) = next(point for point in points if point[0] >= at_s)
    return low if high_s == low_s else low + (high - low) * (at_s - low_s) / (high_s - low_s)
