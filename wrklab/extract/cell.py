"""From what the hosts said of one cell to its record: pure, so that old runs can be read again."""

from __future__ import annotations

import ipaddress
import math
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from wrklab.bench.cell_run import CellRaw
from wrklab.errors import UNREADABLE, CellError, ParseError, WrklabError
from wrklab.extract.samples import HostSamples, read_samples
from wrklab.extract.waits import SILENCE_LIMIT_S, SILENCES_COUNTED_AT
from wrklab.extract.windows import CellWindow, read_window
from wrklab.extract.wrk_report import add_errors, busy_ratio, latency_of
from wrklab.hosts.inventory import LabHost, LabHosts
from wrklab.protocol.blanking import blanked, blanked_lines, blanked_words
from wrklab.results.records import (
    CellRecord,
    Failure,
    Latency,
    LogError,
    Measurement,
    PlannedCell,
    ServerRecord,
    StoredSample,
)

Evidence = TypeVar("Evidence")

#: What is the server's own time, and no cost of the harness: its start, its answering, the load.
_SERVERS_OWN = ("warmup", "settle", "window", "verify_after")
#: In these a variant may fail as its card expects: by not coming up, or by ending under the load.
_UNTIL_READY = ("start", "ready")
_UNDER_LOAD = ("warmup", "window")
_LOG_LINES_IN_RECORD = 20
_STDERR_TOLD = 1000


@dataclass(frozen=True)
class CellOutcome:
    """A cell as the store takes it."""

    record: CellRecord
    histograms: dict[str, bytes]
    samples: list[StoredSample]
    #: What the samplers could not read, with host and collector, for the journal.
    unread: tuple[str, ...] = ()

    def changed(self, **changes: object) -> CellOutcome:
        """The same with these fields of its record changed."""
        return replace(self, record=self.record.model_copy(update=changes))


def cell_outcome(raw: CellRaw, planned: PlannedCell, position: int, hosts: LabHosts) -> CellOutcome:
    """The record of a cell, with its histograms and samples; what cannot be read makes a failed cell, not a crash."""
    error = raw.error or _server_ended(raw, planned)
    if error is None:
        try:
            return _measured(raw, planned, position, hosts)
        except CellError as unseen:
            error = unseen
        except UNREADABLE as unreadable:
            error = CellError("pull", f"what the hosts said cannot be read: {unreadable!r}")
    return CellOutcome(_failed(raw, planned, position, hosts, error), {}, [])


def _measured(raw: CellRaw, planned: PlannedCell, position: int, hosts: LabHosts) -> CellOutcome:
    """Raises one of UNREADABLE where what the hosts said is not what it should be, CellError for a window not seen."""
    window = _window(raw, hosts)
    clock = raw.clocks[hosts.server.name]
    server = read_samples(raw.server.get("samples", []), clock.on_host(window.start_s), clock.on_host(window.end_s))
    sampled = [(each.host.name, each.samples) for each in window.generators]
    for host, samples in sampled:
        _require_seen(host, samples, raw.sample_interval_s)
    sampled.insert(0, (hosts.server.name, server))
    _require_seen(hosts.server.name, server, raw.sample_interval_s, str(raw.server.get("sampler_stderr", "")))
    measurement = _measurement(raw, window, server, hosts)
    record = CellRecord(
        **_common(raw, planned, position), state="measured", measurement=measurement, **_times(raw, window, hosts)
    )
    stored = [sample for host, samples in sampled for sample in samples.stored(host)]
    unread = [f"{host}: {name}: {why}" for host, samples in sampled for name, why in samples.errors().items()]
    return CellOutcome(record, window.histograms(), stored, tuple(unread))


def _require_seen(host: str, samples: HostSamples, interval_s: float, stderr: str = "") -> None:
    """Raises CellError where a host was not sampled over the whole window: its CPU, steal, neighbours are unknown."""
    if samples.reach_both_edges(interval_s):
        return
    said = [stderr[-_STDERR_TOLD:].strip(), *(f"{name}: {why}" for name, why in samples.errors().items())]
    why = "; ".join(filter(None, said)) or "it said nothing: was it ended, its disk full, or the clock stepped?"
    raise CellError("window", f"the sampler on {host} saw only {samples.seen_s:.1f} of {samples.window_s:.1f} s: {why}")


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
        f"{_how_ended(state.get('exec_main_code'), state.get('exec_main_status'))}"
    )


def _how_ended(code: object, status: object) -> str:
    """The end of a unit's main process: `code` is siginfo's si_code (sigaction(2)), 2 and 3 for a signal's."""
    if code in {2, 3} and isinstance(status, int) and status in set(signal.Signals):
        return f"killed by {signal.Signals(status).name}"
    return f"exit status {status}"


def _common(raw: CellRaw, planned: PlannedCell, position: int) -> dict[str, Any]:
    return planned.model_dump(exclude={"expect_failure"}) | {
        "position": position,
        "started_at_s": raw.started_at_s,
        "finished_at_s": raw.finished_at_s,
    }


def _failed(raw: CellRaw, planned: PlannedCell, position: int, hosts: LabHosts, error: WrklabError) -> CellRecord:
    text = blanked(error.text if isinstance(error, CellError) else str(error))
    log_tail: tuple[str, ...] = _readable(lambda: blanked_lines([*map(str, raw.server.get("log_tail", ()))]), ())
    failure = Failure(
        phase=error.phase if isinstance(error, CellError) else "start",
        text=text,
        expected=_is_servers_doing(raw, error)
        and _is_expected(planned.expect_failure, [text, *log_tail[-_LOG_LINES_IN_RECORD:]]),
        log_tail=log_tail[-_LOG_LINES_IN_RECORD:],
        unit_state=_readable(lambda: _state_text(raw.server["state"]), ""),
        generator_stderr=_readable(lambda: _stderr(raw), ""),
        is_servers_end=_readable(lambda: _was_ready(raw) and raw.server["state"]["active_state"] != "active", False),
    )
    phases_s: dict[str, float] = _readable(lambda: _phases_s(raw, hosts), {})
    return CellRecord(**_common(raw, planned, position), state="failed", failure=failure, phases_s=phases_s)


def _was_ready(raw: CellRaw) -> bool:
    return any(load.get("ready") for load in raw.loads.values())


def _readable(read: Callable[[], Evidence], otherwise: Evidence) -> Evidence:
    """A piece of evidence; one that cannot be read must not keep a failure from being recorded."""
    try:
        return read()
    except UNREADABLE:
        return otherwise


def _stderr(raw: CellRaw) -> str:
    return "\n".join(str(wrk.get("stderr", "")) for load in raw.loads.values() for wrk in load.get("wrk", ())).strip()


def _is_servers_doing(raw: CellRaw, error: WrklabError) -> bool:
    """Whether the server itself is why the cell failed: its log may hold what was expected whatever else went wrong."""
    # A lost host is no CellError, or what one was made from; so is a port that another program holds.
    if not isinstance(error, CellError) or error.__cause__ is not None:
        return False
    if error.phase in _UNTIL_READY:
        # Where one generator had its answer, what keeps it from another is the way there.
        return not _readable(lambda: _was_ready(raw), True)
    # wrk and samplers fail in these phases too.
    return error.phase in _UNDER_LOAD and _readable(lambda: raw.server["state"]["active_state"] != "active", False)


def _is_expected(pattern: str | None, texts: Sequence[str]) -> bool:
    """Whether the failure is the one that the variant's card expects."""
    return pattern is not None and re.search(pattern, "\n".join(texts)) is not None


def _phases_s(raw: CellRaw, hosts: LabHosts) -> dict[str, float]:
    """Seconds by phase of the first generator's part; one that occurs twice is added up."""
    found: dict[str, float] = {}
    first = next((raw.loads[host.name] for host in hosts.generators if host.name in raw.loads), {})
    for phase in first.get("phases", ()):
        if phase["end"] is not None:
            found[str(phase["name"])] = found.get(phase["name"], 0.0) + float(phase["end"]) - float(phase["start"])
    if not all(map(math.isfinite, found.values())):
        raise ParseError(f"phases of no finite length: {found}")
    return found


def _times(raw: CellRaw, window: CellWindow, hosts: LabHosts) -> dict[str, Any]:
    phases_s = _phases_s(raw, hosts)
    startup_s = max(0.0, _ready_at_s(raw) - _server_started_s(raw, hosts))
    own_s = startup_s + sum(phases_s.get(name, 0.0) for name in _SERVERS_OWN if name != "window")
    own_s += window.end_s - window.start_s
    harness_s = raw.took_s - own_s
    return {"startup_s": startup_s, "harness_s": harness_s, "phases_s": phases_s}


def _ready_at_s(raw: CellRaw) -> float:
    """The first right answer on any generator, by the controller's clock."""
    return min(raw.clocks[name].on_controller(float(load["ready"]["at"])) for name, load in raw.loads.items())


def _server_started_s(raw: CellRaw, hosts: LabHosts) -> float:
    """The start of the unit, by the controller's clock."""
    if raw.server_started_s is None:
        return raw.started_at_s
    return raw.clocks[hosts.server.name].on_controller(raw.server_started_s)


def _window(raw: CellRaw, hosts: LabHosts) -> CellWindow:
    """Raises ParseError where a generator's result is not whole, or their windows have nothing in common."""
    used = [host for host in hosts.generators if host.name in raw.loads]
    return CellWindow(tuple(read_window(raw.loads[host.name], host, raw.clocks[host.name]) for host in used))


def _measurement(raw: CellRaw, window: CellWindow, server: HostSamples, hosts: LabHosts) -> Measurement:
    observed = window.latencies.observed
    latency = latency_of(observed)
    return Measurement(
        duration_s=window.duration_s,
        window_start_s=window.start_s,
        window_end_s=window.end_s,
        requests=sum(report.requests for report in window.reports),
        requests_per_s=sum(report.requests / report.duration_s for report in window.reports),
        bytes_read=sum(report.bytes_read for report in window.reports),
        latency=latency,
        wrk_latency=latency_of(window.latencies.corrected),
        correction_note=window.latencies.correction_note,
        errors=add_errors(window.reports),
        connections_asked=window.connections_asked,
        connections_open=window.connections_open,
        busy_ratio=busy_ratio(observed, round(window.duration_s * 1e6), window.connections_asked),
        server=_server_record(raw.server, server, hosts, latency),
        generators=window.records(hosts),
        verify_after=window.wrong_after,
        first_answer_s=window.first_answer_s,
        warmup=window.warmup,
        is_miscounted=window.latencies.is_miscounted,
    )


def _server_record(
    told: Mapping[str, Any], samples: HostSamples, hosts: LabHosts, latency: Latency | None
) -> ServerRecord:
    observed, host = told["observed"], hosts.server
    counted_s = samples.start_s + SILENCES_COUNTED_AT * samples.window_s
    slow_s = latency.p99_us / 1e6 if latency else 0.0
    cpus_count = _cpus_count(host)
    ports = [listener["backlog"] for listener in observed["listeners"]]
    port = f"listen.{observed['port']}.queued" if "port" in observed else _port_with_most_queued(samples)
    return ServerRecord(
        cpus_count=cpus_count,
        cpu_percent=samples.cpu_percent("unit_cpu.usage", cpus_count),
        host_cpu_percent=samples.cpu_percent("node_cpu.usage", cpus_count),
        neighbours_cpu_percent=samples.neighbours_cpu_percent(host.cpus) if host.cpus else None,
        **_server_cpus(samples, host),
        memory_max_bytes=samples.maximum("memory.rss"),
        processes_max=samples.maximum("unit.processes"),
        threads_max=samples.maximum("unit.threads"),
        backlog=max(ports) if ports else None,
        accept_queue_max=samples.maximum(port) if port else None,
        accept_queue_counted=samples.value_at(port, counted_s) if port else None,
        accept_queue_before=samples.value_at(port, counted_s - max(SILENCE_LIMIT_S, slow_s)) if port else None,
        foreign_connections=_foreign(observed.get("peers", {}), hosts),
        listen_overflows=samples.increase("tcp.listen_overflows"),
        lasting_listen_overflows=samples.lasting_increase("tcp.listen_overflows"),
        listen_drops=samples.increase("tcp.listen_drops"),
        retransmits=samples.increase("tcp.segments_retransmitted"),
        segments_lost=samples.segments_lost(),
        argv=blanked_words(observed["argv"]),
        unit_state=_state_text(told["state"]),
        log_errors=tuple(LogError(**found) for found in told.get("log_errors", {}).get("errors", ())),
    )


def _foreign(peers: Mapping[str, int], hosts: LabHosts) -> dict[str, int]:
    """Of those connected to the variant, neither the lab's hosts nor the server's own processes. Raises ValueError."""
    told = {address for host in (hosts.server, *hosts.generators) for address in (host.address, host.load_address)}
    ours = {_canonical(address) for address in told}
    return {
        address: int(count)
        for address, count in peers.items()
        if _canonical(address) not in ours and not ipaddress.ip_address(address).is_loopback
    }


def _canonical(address: str) -> str:
    """The one form of an address; a name as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _server_cpus(samples: HostSamples, host: LabHost) -> dict[str, Any]:
    """Who used the server's CPUs, and who waited for them."""
    shape = samples.process_cpus()
    unit_percent = samples.cpu_percent("unit_cpu.usage", _cpus_count(host))
    return {
        "others_cpu_percent": samples.others_cpu_percent(host.cpus, unit_percent) if host.cpus else None,
        "softirq_cpu_percent": samples.machine_cpu_percent("softirq", host.cpus),
        "cpus_busy_percent": samples.machine_cpu_percent("busy", host.cpus),
        "steal_percent": samples.machine_cpu_percent("steal", host.cpus),
        "unit_waiting_percent": samples.time_percent("unit_pressure.waiting"),
        "unit_stalled_percent": samples.time_percent("unit_pressure.stalled"),
        "busiest_process_cpu_percent": shape.busiest_percent if shape else None,
        "serving_processes_count": shape.serving_count if shape else None,
        "full_processes_count": shape.full_count if shape else None,
    }


def _port_with_most_queued(samples: HostSamples) -> str | None:
    """The accept queue that was longest, for cells of before the variant's port was told with them."""
    queues = {
        metric
        for moment in samples.samples
        for metric in moment.by_metric
        if metric.startswith("listen.") and metric.endswith(".queued") and metric != "listen.22.queued"
    }
    return max(sorted(queues), key=lambda metric: samples.maximum(metric) or 0, default=None)


def _cpus_count(host: LabHost) -> int:
    return max(1, len(host.cpus))
