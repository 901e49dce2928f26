"""The window of one cell on its generators: each on its own, and all of them as one load."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from wrklab.errors import ParseError
from wrklab.extract.request_mix import RequestWindow, add_requests
from wrklab.extract.samples import HostSamples, read_samples
from wrklab.extract.stalls import Stalls, read_stalls, slow_answer_s
from wrklab.extract.wrk_report import Latencies, ProcessReport, add_errors, add_latencies, latency_of, read_wrk_report
from wrklab.protocol.load import AnswerKind, LoadResult, WrkResult
from wrklab.results.raw import Clock, RunHost, RunHosts
from wrklab.results.records import BackendRecord, GeneratorRecord, WarmupRecord


@dataclass(frozen=True)
class GeneratorWindow:
    """One generator's window. Times are by its own clock."""

    host: RunHost
    clock: Clock
    reports: tuple[ProcessReport, ...]
    mark_s: float
    #: From the first wrk's start to the last one's end, as they reported.
    start_s: float
    end_s: float
    connections_open: int
    #: CPU seconds of wrk's processes.
    cpu_s: float
    #: What came of the GET after the window; `wrong_after` says what it found, and is empty when it was right.
    answer_after: AnswerKind
    #: What the server needed then, at its rate, for all that could be queued; None where there was no answer.
    queue_after_s: float | None
    wrong_after: str
    samples: HostSamples
    stalls: Stalls
    #: What the GET that found the idle server ready took.
    first_answer_s: float
    #: None: this generator had none.
    warmup: WarmupRecord | None

    @cached_property
    def latencies(self) -> Latencies:
        """Histograms of its processes, added."""
        return add_latencies(self.reports)

    @property
    def duration_s(self) -> float:
        """wrk's own, real, of the process that took longest; of an open loop the timetable's."""
        if any(report.slots for report in self.reports):
            return self.end_s - self.start_s
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
        return sum(report.requests_per_s(self.duration_s) for report in self.reports)

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
    """The windows of all generators. Times are by the controller's clock."""

    generators: tuple[GeneratorWindow, ...]

    def __post_init__(self) -> None:
        """Raises ParseError where there is no time at which all generators were at work."""
        if self.end_s <= self.start_s:
            windows = [
                f"{each.host.name} {each.clock.on_controller(each.start_s):.3f} to "
                f"{each.clock.on_controller(each.end_s):.3f}"
                for each in self.generators
            ]
            raise ParseError(
                f"the generators' windows have no time in common (controller's clock, s): {', '.join(windows)}"
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
    def reports(self) -> tuple[ProcessReport, ...]:
        """wrk's processes on all generators."""
        return tuple(report for each in self.generators for report in each.reports)

    @cached_property
    def latencies(self) -> Latencies:
        """Histograms of all processes, wrk's correction undone for each, then added."""
        return add_latencies(self.reports)

    @property
    def duration_s(self) -> float:
        """The longest of the generators'."""
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
    def first_answer_s(self) -> float:
        """The quickest generator's."""
        return min(each.first_answer_s for each in self.generators)

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
        found |= {f"request:{request.name}": request.observed for request in self.requests_by_name}
        return {kind: histogram.to_bytes() for kind, histogram in found.items()}

    @cached_property
    def requests_by_name(self) -> tuple[RequestWindow, ...]:
        """Each request of a mix, in its order; empty without one."""
        return add_requests(self.reports, self.latencies)

    def records(self, hosts: RunHosts, backend: BackendRecord | None = None) -> tuple[GeneratorRecord, ...]:
        """Each generator's record; a backend on its CPUs is no neighbour of it."""
        return tuple(self._record(each, hosts, backend) for each in self.generators)

    def _record(self, each: GeneratorWindow, hosts: RunHosts, backend: BackendRecord | None) -> GeneratorRecord:
        cpus_count = each.host.cpus_count
        names = {host.name for host in hosts.sharing_cpus_with(each.host.name)}
        sharing = [other for other in self.generators if other.host.name in names]
        of_all = each.wrk_cpu_percent_of_one + sum(other.wrk_cpu_percent_of_one for other in sharing)
        latency = latency_of(each.latencies.observed)
        return GeneratorRecord(
            host=each.host.name,
            wrk_processes=len(each.reports),
            wrk_threads=sum(report.threads for report in each.reports),
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
            **each.stalls.figures(each.slow_answer_s),
            **_cpus(each, of_all - each.wrk_cpu_percent_of_one + _backend_percent_of_one(each, backend)),
            answers_checked=each.answers_checked,
            start_skew_s=each.start_skew_s,
            clock_ahead_s=each.clock.ahead_s,
            clock_uncertainty_s=each.clock.uncertainty_s,
            verify_after=each.wrong_after,
            verify_after_kind=each.answer_after,
            queue_after_s=each.queue_after_s,
            segments_lost=each.samples.segments_lost(),
        )


def read_window(load: LoadResult, host: RunHost, clock: Clock) -> GeneratorWindow:
    """One generator's window from its result. Raises ParseError where that lacks a part."""
    times, verified, ready = load.window, load.verify_after, load.ready
    if times is None or verified is None or ready is None:
        missing = [name for name in ("ready", "window", "verify_after") if getattr(load, name) is None]
        raise ParseError(f"{host.name}: the generator's result has no complete window: {', '.join(missing)} is missing")
    if not load.wrk:
        raise ParseError(f"{host.name}: the generator's result has no wrk process")
    try:
        return GeneratorWindow(
            host=host,
            clock=clock,
            reports=tuple(_report(wrk) for wrk in load.wrk),
            mark_s=times.mark_at_s,
            start_s=times.start_at_s,
            end_s=times.end_at_s,
            stalls=read_stalls(load),
            connections_open=_open_connections(load),
            cpu_s=sum(wrk.cpu_s for wrk in load.wrk),
            answer_after=verified.kind,
            queue_after_s=verified.queue_s,
            wrong_after="" if verified.kind is AnswerKind.RIGHT else verified.found or verified.kind,
            samples=read_samples(load.samples, times.start_at_s, times.end_at_s),
            first_answer_s=ready.first_answer_s,
            warmup=_warmup(load.warmup),
        )
    except ParseError as error:
        raise ParseError(f"{host.name}: {error}") from error


def _backend_percent_of_one(each: GeneratorWindow, backend: BackendRecord | None) -> float:
    """What the backends' host took of this generator's CPUs, percent of one; 0 where they share none."""
    if backend is None or each.host.name not in backend.shared_with:
        return 0.0
    return (backend.host_cpu_percent or 0.0) * backend.cpus_count


def _cpus(each: GeneratorWindow, sharing_percent_of_one: float) -> dict[str, float | None]:
    """How full its CPUs were, and by whom; hosts of the lab on the same CPUs (they took so much) are no neighbours."""
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


def _report(wrk: WrkResult) -> ProcessReport:
    """Raises ParseError."""
    if wrk.report is None:
        raise ParseError(f"a wrk process left no report: {wrk.report_problem}")
    return read_wrk_report(wrk.report, _connections(wrk.argv))


def _warmup(wrk: WrkResult | None) -> WarmupRecord | None:
    """Raises ParseError."""
    if wrk is None:
        return None
    report = _report(wrk)
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


def _open_connections(load: LoadResult) -> int:
    """Established connections to the target: the median of the counts within the window."""
    return round(statistics.median(found.states.get("ESTABLISHED", 0) for found in load.open_connections))
