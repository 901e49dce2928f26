"""The sampler's raw lines of one host, and what they say of one window.

Three ways to read a metric over a window, each for what it suits:

rate      between the first and the last sample inside (a busy phase that begins between two samples does not blur
          it); where those span less than half of the window, between its edges, interpolated
increase  from the last sample before the window to the first after it: nothing that happened inside is missed
maximum   of all samples inside
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collectors import Sample, parse
from wrklab.errors import ParseError
from wrklab.model.record import StoredSample

_WORTH_OF_WINDOW = 0.5


@dataclass(frozen=True)
class HostSample:
    """All metrics of one moment."""

    at_s: float
    #: CPU seconds of the sampler itself until then.
    cost_s: float
    by_metric: dict[str, Sample]
    #: What could not be read, by collector, as the host said it.
    errors: dict[str, str]


@dataclass(frozen=True)
class HostSamples:
    """One host's samples in order of time, and the window that they are asked about (the host's clock)."""

    samples: tuple[HostSample, ...]
    start_s: float
    end_s: float

    def rate(self, metric: str) -> float | None:
        """Growth per second of a counter; None where it was not sampled often enough."""
        points = self._points(metric)
        inside = [point for point in points if self.start_s <= point[0] <= self.end_s]
        if len(inside) > 1 and inside[-1][0] - inside[0][0] >= _WORTH_OF_WINDOW * (self.end_s - self.start_s):
            (first_s, first), (last_s, last) = inside[0], inside[-1]
            return (last - first) / (last_s - first_s)
        first_value, last_value = _interpolated(points, self.start_s), _interpolated(points, self.end_s)
        if first_value is None or last_value is None or self.end_s <= self.start_s:
            return None
        return (last_value - first_value) / (self.end_s - self.start_s)

    def increase(self, metric: str) -> int | None:
        """Growth of a counter from just before the window to just after; None where it was not sampled twice."""
        points = self._points(metric)
        before = [value for at_s, value in points if at_s <= self.start_s] or [value for _, value in points[:1]]
        after = [value for at_s, value in points if at_s >= self.end_s] or [value for _, value in points[-1:]]
        return round(after[0] - before[-1]) if len(points) > 1 else None

    def maximum(self, metric: str) -> int | None:
        """The largest value inside the window (of all samples where none was inside); None where there is none."""
        points = self._points(metric)
        inside = [value for at_s, value in points if self.start_s <= at_s <= self.end_s]
        return round(max(inside or [value for _, value in points])) if points else None

    def cpu_percent(self, metric: str, cpus_count: int) -> float | None:
        """A counter of CPU seconds as a percentage of so many CPUs."""
        rate = self.rate(metric)
        return None if rate is None else 100 * rate / cpus_count

    def machine_cpu_percent(self, kind: str, cpus: Sequence[int]) -> float | None:
        """busy, softirq or steal of these CPUs, in percent of them; None where one of them was not sampled."""
        rates = [self.rate(f"cpu.{number}.{kind}") for number in cpus]
        known = [rate for rate in rates if rate is not None]
        return 100 * sum(known) / len(rates) if rates and len(known) == len(rates) else None

    def neighbours_cpu_percent(self, cpus: Sequence[int]) -> float | None:
        """What others than this host took of its CPUs: busy in /proc/stat less the host's own cgroup. Never below 0."""
        busy, own = self.machine_cpu_percent("busy", cpus), self.cpu_percent("node_cpu.usage", max(1, len(cpus)))
        return None if busy is None or own is None else max(0.0, busy - own)

    def sampler_cpu_percent(self) -> float | None:
        """The sampler's own cost, percent of one CPU, from its first sample to its last."""
        if len(self.samples) < 2:  # noqa: PLR2004  a difference needs two
            return None
        first, last = self.samples[0], self.samples[-1]
        return 100 * (last.cost_s - first.cost_s) / (last.at_s - first.at_s)

    def errors(self) -> dict[str, str]:
        """What could not be read, by collector; the last that was said of each."""
        return {name: text for sample in self.samples for name, text in sample.errors.items()}

    def stored(self, host: str) -> list[StoredSample]:
        """Every metric of every sample, for the store."""
        return [
            StoredSample(host, sample.metric, sample.unit, moment.at_s, sample.value)
            for moment in self.samples
            for sample in moment.by_metric.values()
        ]

    def _points(self, metric: str) -> list[tuple[float, float]]:
        return [(moment.at_s, moment.by_metric[metric].value) for moment in self.samples if metric in moment.by_metric]


def read_samples(lines: Iterable[str], start_s: float, end_s: float) -> HostSamples:
    """A sampler's lines, to be asked about the window from start to end. Raises ParseError with the line's number.

    A last line that was cut off (the sampler was killed while it wrote) is left out.
    """
    texts = list(lines)
    samples: list[HostSample] = []
    for number, text in enumerate(texts, 1):
        try:
            samples.append(_sample(text))
        except ValueError as error:
            if number == len(texts):
                break
            raise ParseError(f"samples, line {number}: {error}; it begins {text[:60]!r}") from error
        except ParseError as error:
            raise ParseError(f"samples, line {number}: {error}") from error
    return HostSamples(tuple(sorted(samples, key=lambda sample: sample.at_s)), start_s, end_s)


def _sample(text: str) -> HostSample:
    found = json.loads(text)
    try:
        at_s, cost_s, raw = float(found["at"]), float(found["cost_s"]), dict(found["raw"])
        return HostSample(at_s, cost_s, parse(raw), dict(found.get("errors", {})))
    except (KeyError, TypeError) as error:
        raise ParseError(f"not a line of the sampler ({error!r}): {text[:60]!r}") from error


def _interpolated(points: list[tuple[float, float]], at_s: float) -> float | None:
    """A counter's value at a moment between two samples; the nearest sample's where it lies outside of all."""
    before = [point for point in points if point[0] <= at_s]
    after = [point for point in points if point[0] >= at_s]
    if not before or not after:
        return (before[-1] if before else after[0])[1] if points else None
    (low_s, low), (high_s, high) = before[-1], after[0]
    return low if high_s == low_s else low + (high - low) * (at_s - low_s) / (high_s - low_s)
