"""From what the hosts said of one cell to its record: pure, so that old runs can be read again."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from wrklab.doors.inventory import LabHost, LabHosts
from wrklab.errors import CellError, ParseError, WrklabError
from wrklab.measure.cell_run import CellRaw, LoadFailedError
from wrklab.measure.samples import HostSamples, read_samples
from wrklab.measure.wrk_report import (
    Latencies,
    WrkReport,
    add_errors,
    add_latencies,
    busy_ratio,
    latency_of,
    parse_wrk_report,
)
from wrklab.model.record import (
    CellRecord,
    Failure,
    GeneratorRecord,
    Measurement,
    PlannedCell,
    ServerRecord,
    StoredSample,
)

#: What is the server's own time, and no cost of the harness: its start, its answering, the load.
_SERVERS_OWN = ("warmup", "settle", "window", "verify_after")
_LOG_LINES_IN_RECORD = 20


@dataclass(frozen=True)
class CellOutcome:
    """A cell as the store takes it."""

    record: CellRecord
    histograms: dict[str, bytes]
    samples: list[StoredSample]


@dataclass(frozen=True)
class _Window:
    """One generator's window, parsed."""

    reports: list[WrkReport]
    latencies: Latencies
    start_s: float
    end_s: float

    @property
    def duration_us(self) -> int:
        return max(report.duration_us for report in self.reports)

    @property
    def requests(self) -> int:
        return sum(report.requests for report in self.reports)


def cell_outcome(raw: CellRaw, planned: PlannedCell, position: int, hosts: LabHosts) -> CellOutcome:
    """The record of a cell, with its histograms and samples; what cannot be read makes a failed cell, not a crash."""
    error = raw.error or _server_ended(raw, planned)
    if error is not None:
        return CellOutcome(_failed(raw, planned, position, error), {}, [])
    try:
        window = _window(raw.load)
        server = read_samples(raw.server.get("samples", []), window.start_s, window.end_s)
        generator = read_samples(raw.load.get("samples", []), window.start_s, window.end_s)
        measurement = _measurement(raw, window, server, generator, hosts)
    except (ParseError, ValidationError, KeyError, TypeError) as unreadable:
        return CellOutcome(
            _failed(raw, planned, position, CellError("pull", f"what the hosts said cannot be read: {unreadable}")),
            {},
            [],
        )
    record = CellRecord(
        **_common(raw, planned, position), state="measured", measurement=measurement, **_times(raw, window)
    )
    histograms = {"observed": window.latencies.observed.to_bytes(), "wrk": window.latencies.corrected.to_bytes()}
    samples = server.stored(hosts.server.name) + generator.stored(hosts.generators[0].name)
    return CellOutcome(record, histograms, samples)


def _server_ended(raw: CellRaw, planned: PlannedCell) -> CellError | None:
    """A server that was not there any more at the end makes the numbers of its last moments worthless."""
    state = raw.server.get("state")
    if not isinstance(state, Mapping):
        return CellError("stop", f"nothing is known of how {planned.variant} ended")
    if state.get("active_state") == "active":
        return None
    return CellError(
        "window",
        f"the server of {planned.variant} ended under the load: {_state_text(state)}",
    )


def _state_text(state: Mapping[str, Any]) -> str:
    return (
        f"{state.get('active_state')} ({state.get('sub_state')}), result {state.get('result')}, "
        f"exit status {state.get('exec_main_status')}"
    )


def _common(raw: CellRaw, planned: PlannedCell, position: int) -> dict[str, Any]:
    return planned.model_dump(exclude={"expect_failure"}) | {
        "position": position,
        "started_at_s": raw.started_at_s,
        "finished_at_s": raw.finished_at_s,
    }


def _failed(raw: CellRaw, planned: PlannedCell, position: int, error: WrklabError) -> CellRecord:
    load = error.result if isinstance(error, LoadFailedError) else raw.load
    state = raw.server.get("state")
    text = error.text if isinstance(error, CellError) else str(error)
    log_tail = tuple(raw.server.get("log_tail", ())[-_LOG_LINES_IN_RECORD:])
    failure = Failure(
        phase=error.phase if isinstance(error, CellError) else "start",
        text=text,
        expected=_is_expected(planned.expect_failure, [text, *log_tail]),
        log_tail=log_tail,
        unit_state=_state_text(state) if isinstance(state, Mapping) else "",
        generator_stderr="\n".join(str(wrk.get("stderr", "")) for wrk in load.get("wrk", ())).strip(),
    )
    return CellRecord(**_common(raw, planned, position), state="failed", failure=failure, phases_s=_phases_s(load))


def _is_expected(pattern: str | None, texts: Sequence[str]) -> bool:
    """Whether the failure is the one that the variant's card expects."""
    return pattern is not None and re.search(pattern, "\n".join(texts)) is not None


def _phases_s(load: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by phase of the generator's part; one that occurs twice is added up."""
    found: dict[str, float] = {}
    for phase in load.get("phases", ()):
        if phase["end"] is not None:
            found[phase["name"]] = found.get(phase["name"], 0.0) + phase["end"] - phase["start"]
    return found


def _times(raw: CellRaw, window: _Window) -> dict[str, Any]:
    phases_s = _phases_s(raw.load)
    # Both clocks are the hosts' own; in the container lab they are one.
    startup_s = max(0.0, float(raw.load["ready"]["at"]) - float(raw.server_started_s or raw.started_at_s))
    own_s = startup_s + sum(phases_s.get(name, 0.0) for name in _SERVERS_OWN if name != "window")
    own_s += window.end_s - window.start_s
    harness_s = raw.finished_at_s - raw.started_at_s - own_s
    return {"startup_s": startup_s, "harness_s": harness_s, "phases_s": phases_s}


def _window(load: Mapping[str, Any]) -> _Window:
    """Raises ParseError where the generator's result is not whole."""
    try:
        reports = [parse_wrk_report(wrk["report"], _connections(wrk["argv"])) for wrk in load["wrk"]]
        start_s, end_s = float(load["window"]["start"]), float(load["window"]["end"])
    except (KeyError, TypeError) as error:
        raise ParseError(f"the generator's result has no whole window: {error!r}") from error
    if not reports:
        raise ParseError("the generator's result has no wrk process")
    return _Window(reports, add_latencies(reports), start_s, end_s)


def _connections(argv: Sequence[str]) -> int:
    """wrk's -c from its command line. Raises ParseError."""
    found = next((word.removeprefix("-c") for word in argv if word.startswith("-c")), "")
    if not found.isdigit():
        raise ParseError(f"no -c in wrk's command line: {' '.join(argv)}")
    return int(found)


def _measurement(
    raw: CellRaw, window: _Window, server: HostSamples, generator: HostSamples, hosts: LabHosts
) -> Measurement:
    load = raw.load
    asked = sum(report.connections for report in window.reports)
    verified = load["verify_after"]
    return Measurement(
        duration_s=window.duration_us / 1e6,
        window_start_s=window.start_s,
        window_end_s=window.end_s,
        requests=window.requests,
        requests_per_s=sum(report.requests / report.duration_s for report in window.reports),
        bytes_read=sum(report.bytes_read for report in window.reports),
        latency=latency_of(window.latencies.observed),
        wrk_latency=latency_of(window.latencies.corrected),
        correction_note=window.latencies.correction_note,
        errors=add_errors(window.reports),
        connections_asked=asked,
        connections_open=_open_connections(load),
        busy_ratio=busy_ratio(window.latencies.observed, window.duration_us, asked),
        server=_server_record(raw.server, server, hosts.server),
        generators=(_generator_record(load, window, generator, hosts.generators[0]),),
        verify_after="" if verified["ok"] else str(verified["found"]),
    )


def _open_connections(load: Mapping[str, Any]) -> int:
    """Established connections to the target: the median of the counts within the window. Raises ParseError."""
    counts = [int(found.get("ESTABLISHED", 0)) for found in load["open_connections"]]
    if not counts:
        raise ParseError("connections were not counted within the window")
    return round(statistics.median(counts))


def _server_record(told: Mapping[str, Any], samples: HostSamples, host: LabHost) -> ServerRecord:
    observed = told["observed"]
    cpus_count = _cpus_count(host)
    ports = [listener["backlog"] for listener in observed["listeners"]]
    port = _port_with_most_queued(samples)
    return ServerRecord(
        cpus_count=cpus_count,
        cpu_percent=samples.cpu_percent("unit_cpu.usage", cpus_count),
        host_cpu_percent=samples.cpu_percent("node_cpu.usage", cpus_count),
        neighbours_cpu_percent=samples.neighbours_cpu_percent(host.cpus) if host.cpus else None,
        steal_percent=samples.machine_cpu_percent("steal", host.cpus) if host.cpus else None,
        memory_max_bytes=samples.maximum("memory.rss"),
        processes_max=samples.maximum("unit.processes"),
        threads_max=samples.maximum("unit.threads"),
        backlog=max(ports) if ports else None,
        accept_queue_max=samples.maximum(port) if port else None,
        listen_overflows=samples.increase("tcp.listen_overflows"),
        listen_drops=samples.increase("tcp.listen_drops"),
        retransmits=samples.increase("tcp.segments_retransmitted"),
        argv=tuple(observed["argv"]),
        unit_state=_state_text(told["state"]),
    )


def _port_with_most_queued(samples: HostSamples) -> str | None:
    """The accept queue that was longest: the variant's, since nothing else on the host is under load."""
    queues = {
        metric
        for moment in samples.samples
        for metric in moment.by_metric
        if metric.startswith("listen.") and metric.endswith(".queued") and metric != "listen.22.queued"
    }
    return max(sorted(queues), key=lambda metric: samples.maximum(metric) or 0, default=None)


def _generator_record(load: Mapping[str, Any], window: _Window, samples: HostSamples, host: LabHost) -> GeneratorRecord:
    cpus_count = _cpus_count(host)
    of_one = 100 * sum(float(wrk["cpu_s"]) for wrk in load["wrk"]) / (window.duration_us / 1e6)
    return GeneratorRecord(
        host=host.name,
        wrk_processes=len(window.reports),
        requests=window.requests,
        connections_asked=sum(report.connections for report in window.reports),
        connections_open=_open_connections(load),
        wrk_cpu_percent_of_one=of_one,
        cpus_count=cpus_count,
        cpu_percent=of_one / cpus_count,
        host_cpu_percent=samples.cpu_percent("node_cpu.usage", cpus_count),
    )


def _cpus_count(host: LabHost) -> int:
    return max(1, len(host.cpus))
