"""What the generators told of one cell's window: each on its own, and all of them as one load."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wrklab.errors import ParseError
from wrklab.extract.samples import HostSamples, read_samples
from wrklab.extract.waits import Waits, read_waits, slow_answer_s
from wrklab.extract.wrk_report import Latencies, WrkReport, add_errors, add_latencies, latency_of, parse_wrk_report
from wrklab.hosts.clocks import Clock
from wrklab.hosts.inventory import LabHost, LabHosts
from wrklab.results.records import GeneratorRecord, WarmupRecord


@dataclass(frozen=True)
class GeneratorWindow:
    """One generator's window. Moments are by its own clock."""

    host: LabHost
    clock: Clock
    reports: tuple[WrkReport, ...]
    mark_s: float
    #: From the first wrk's start to the last one's end, as they told.
    start_s: float
    end_s: float
    connections_open: int
    #: CPU seconds of wrk's processes.
    cpu_s: float
    #: What the GET after the window found, or empty when it was right.
    wrong_after: str
    samples: HostSamples
    waits: Waits
    #: What the GET that found the idle server ready took.
    first_answer_s: float | None = None
    #: None: this generator had none.
    warmup: WarmupRecord | None = None

    @cached_property
    def latencies(self) -> Latencies:
        """Histograms of its processes, added."""
        return add_latencies(self.reports)

    @property
    def duration_s(self) -> float:
        """wrk's own, real; of the process that took longest."""
        return max(report.duration_us for report in self.reports) / 1e6

    @property
    def requests(self) -> int:
        """Answers of all its processes."""
        return sum(report.requests for report in self.reports)

    @property
    def connections_asked(self) -> int:
        """wrk's -c of all its processes."""
        return sum(report.connections for report in self.reports)

    @property
    def answers_checked(self) -> int:
        """Answers of the processes that compare each."""
        return sum(report.requests for report in self.reports if report.bodies_checked)

    @property
    def requests_per_s(self) -> float:
        """Each process's answers over its own window, added up."""
        return sum(report.requests / report.duration_s for report in self.reports)

    @property
    def slow_answer_s(self) -> float | None:
        """What 99 of 100 answers take at most; None where there was none."""
        if not self.requests:
            return None
        latency, timeouts = latency_of(self.latencies.observed), add_errors(self.reports).timeout
        p99_s = latency.p99_us / 1e6 if latency else 0.0
        return slow_answer_s(p99_s, self.requests, timeouts, self.requests_per_s, self.connections_asked)

    @property
    def wrk_cpu_percent_of_one(self) -> float:
        """Of wrk's processes together, percent of one CPU."""
        return 100 * self.cpu_s / self.duration_s

    @property
    def start_skew_s(self) -> float:
        """How much later than the mark its first wrk began."""
        return self.start_s - self.mark_s


@dataclass(frozen=True)
class CellWindow:
    """The windows of all generators. Moments are by the controller's clock."""

    generators: tuple[GeneratorWindow, ...]

    def __post_init__(self) -> None:
        """Raises ParseError where there is no moment at which all generators were at work."""
        if self.end_s <= self.start_s:
            windows = [
                f"{each.host.name} {each.clock.on_controller(each.start_s):.3f} to "
                f"{each.clock.on_controller(each.end_s):.3f}"
                for each in self.generators
            ]
            raise ParseError(
                f"the generators' windows have no moment in common (controller's clock, s): {', '.join(windows)}"
            )

    @property
    def start_s(self) -> float:
        """When the last generator had begun."""
        return max(each.clock.on_controller(each.start_s) for each in self.generators)

    @property
    def end_s(self) -> float:
        """When the first generator ended."""
        return min(each.clock.on_controller(each.end_s) for each in self.generators)

    @property
    def reports(self) -> tuple[WrkReport, ...]:
        """wrk's processes on all generators."""
        return tuple(report for each in self.generators for report in each.reports)

    @cached_property
    def latencies(self) -> Latencies:
        """Histograms of all processes, wrk's correction undone for each, then added."""
        return add_latencies(self.reports)

    @property
    def duration_s(self) -> float:
        """wrk's own, real; of the process that took longest."""
        return max(each.duration_s for each in self.generators)

    @property
    def connections_asked(self) -> int:
        """wrk's -c of all processes."""
        return sum(each.connections_asked for each in self.generators)

    @property
    def connections_open(self) -> int:
        """Established at the median of each generator's counts, added up."""
        return sum(each.connections_open for each in self.generators)

    @property
    def first_answer_s(self) -> float | None:
        """The quickest generator's."""
        return min((each.first_answer_s for each in self.generators if each.first_answer_s is not None), default=None)

    @property
    def warmup(self) -> WarmupRecord | None:
        """One generator warms the server up for all."""
        return next((each.warmup for each in self.generators if each.warmup), None)

    @property
    def wrong_after(self) -> str:
        """What the GETs after the window found, each with its generator where there are several; empty when right."""
        found = [(each.wrong_after, each.host.name) for each in self.generators if each.wrong_after]
        return "; ".join(text if len(self.generators) == 1 else f"{text} (from {name})" for text, name in found)

    def histograms(self) -> dict[str, bytes]:
        """For the store: of all together by kind; with several generators, of each as `observed@HOST` too."""
        found = {"observed": self.latencies.observed, "wrk": self.latencies.corrected}
        if len(self.generators) > 1:
            found |= {f"observed@{each.host.name}": each.latencies.observed for each in self.generators}
        return {kind: histogram.to_bytes() for kind, histogram in found.items()}

    def records(self, hosts: LabHosts) -> tuple[GeneratorRecord, ...]:
        """Each generator's record."""
        return tuple(self._record(each, hosts) for each in self.generators)

    def _record(self, each: GeneratorWindow, hosts: LabHosts) -> GeneratorRecord:
        cpus_count = max(1, len(each.host.cpus))
        names = {host.name for host in hosts.sharing_cpus_with(each.host)}
        sharing = [other for other in self.generators if other.host.name in names]
        of_all = each.wrk_cpu_percent_of_one + sum(other.wrk_cpu_percent_of_one for other in sharing)
        latency = latency_of(each.latencies.observed)
        return GeneratorRecord(
            host=each.host.name,
            wrk_processes=len(each.reports),
            requests=each.requests,
            requests_per_s=each.requests_per_s,
            connections_asked=each.connections_asked,
            connections_open=each.connections_open,
            wrk_cpu_percent_of_one=each.wrk_cpu_percent_of_one,
            cpus_count=cpus_count,
            cpu_percent=each.wrk_cpu_percent_of_one / cpus_count,
            shared_cpu_percent=of_all / cpus_count if sharing else None,
            host_cpu_percent=each.samples.cpu_percent("node_cpu.usage", cpus_count),
            errors=add_errors(each.reports),
            latency=latency,
            **each.waits.figures(each.slow_answer_s),
            **_cpus(each, of_all - each.wrk_cpu_percent_of_one),
            answers_checked=each.answers_checked,
            start_skew_s=each.start_skew_s,
            clock_ahead_s=each.clock.ahead_s,
            clock_uncertainty_s=each.clock.uncertainty_s,
            verify_after=each.wrong_after,
            segments_lost=each.samples.segments_lost(),
        )


def read_window(load: Mapping[str, Any], host: LabHost, clock: Clock) -> GeneratorWindow:
    """One generator's window from what load_cell.py wrote. Raises ParseError where that is not whole."""
    try:
        reports = tuple(parse_wrk_report(wrk["report"], _connections(wrk["argv"])) for wrk in load["wrk"])
        mark_s, start_s, end_s = (float(load["window"][key]) for key in ("mark", "start", "end"))
        cpu_s = sum(float(wrk["cpu_s"]) for wrk in load["wrk"])
        verified = load["verify_after"]
        wrong_after = "" if verified["ok"] else str(verified["found"])
        connections_open = _open_connections(load["open_connections"])
        first_answer_s, warmup = _first_answer_s(load), _warmup(load)
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"{host.name}: the generator's result has no whole window: {error!r}") from error
    if not reports:
        raise ParseError(f"{host.name}: the generator's result has no wrk process")
    samples = read_samples(load.get("samples", []), start_s, end_s)
    return GeneratorWindow(
        host,
        clock,
        reports,
        mark_s,
        start_s,
        end_s,
        connections_open,
        cpu_s,
        wrong_after,
        samples,
        read_waits(load),
        first_answer_s,
        warmup,
    )


def _cpus(each: GeneratorWindow, sharing_percent_of_one: float) -> dict[str, float | None]:
    """How full its CPUs were, and by whom; other generators on the same CPUs (their wrk: so much) are no neighbours."""
    cpus, samples = each.host.cpus, each.samples
    neighbours = samples.neighbours_cpu_percent(cpus) if cpus else None
    if neighbours is not None:
        neighbours = max(0.0, neighbours - sharing_percent_of_one / len(cpus))
    others = samples.others_cpu_percent(cpus, each.wrk_cpu_percent_of_one / len(cpus)) if cpus else None
    return {
        "cpus_busy_percent": samples.machine_cpu_percent("busy", cpus),
        "neighbours_cpu_percent": neighbours,
        "others_cpu_percent": others,
        "steal_percent": samples.machine_cpu_percent("steal", cpus),
    }


def _first_answer_s(load: Mapping[str, Any]) -> float | None:
    ready = load.get("ready")
    return float(ready["first_answer_s"]) if ready else None


def _warmup(load: Mapping[str, Any]) -> WarmupRecord | None:
    """Raises ParseError."""
    told = load.get("warmup")
    if not told:
        return None
    report = parse_wrk_report(told["report"], _connections(told["argv"]))
    return WarmupRecord(
        requests=report.requests,
        bytes_read=report.bytes_read,
        connections=report.connections,
        errors=report.errors,
    )


def _connections(argv: Sequence[str]) -> int:
    """wrk's -c from its command line. Raises ParseError."""
    found = next((word.removeprefix("-c") for word in argv if word.startswith("-c")), "")
    if not found.isdigit():
        raise ParseError(f"no -c in wrk's command line: {' '.join(argv)}")
    return int(found)


def _open_connections(counted: Sequence[Mapping[str, Any]]) -> int:
    """Established connections to the target: the median of the counts within the window. Raises ParseError."""
    counts = [int(found.get("ESTABLISHED", 0)) for found in counted]
    if not counts:
        raise ParseError("connections were not counted within the window")
    return round(statistics.median(counts))
