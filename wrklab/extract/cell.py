"""From what the hosts said of one cell to its record: pure, so that old runs can be read again."""

from __future__ import annotations

import ipaddress
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wrklab.errors import UNREADABLE, CellError
from wrklab.extract.samples import HostSamples, read_samples
from wrklab.extract.stalls import STALL_LIMIT_S, STALLS_COUNTED_AT
from wrklab.extract.windows import CellWindow, read_window
from wrklab.extract.wrk_report import add_errors, add_slots, busy_ratio, latency_of
from wrklab.protocol.blanking import blanked, blanked_lines, blanked_words
from wrklab.protocol.phases import Phase
from wrklab.protocol.server import ActiveState, ServerReport, UnitState
from wrklab.results.raw import CellRaw, ErrorSource, RawError, RunHost, RunHosts
from wrklab.results.records import (
    BackendRecord,
    CellRecord,
    Failure,
    Latency,
    LogError,
    Measurement,
    PlannedCell,
    ServerRecord,
    StoredSample,
)

#: What is the server's own time, and no cost of the harness: its start, its answering, the load.
_SERVERS_OWN = (Phase.WARMUP, Phase.SETTLE, Phase.WINDOW, Phase.VERIFY_AFTER)
#: In these a variant may fail as its card expects: by not coming up, or by ending under the load.
_UNTIL_READY = (Phase.START, Phase.READY)
_UNDER_LOAD = (Phase.WARMUP, Phase.WINDOW)
_LOG_LINES_IN_RECORD = 20
_STDERR_SHOWN_LENGTH = 1000


@dataclass(frozen=True)
class CellOutcome:
    """A cell as the store takes it."""

    record: CellRecord
    histograms: dict[str, bytes]
    samples: list[StoredSample]
    #: What the samplers could not read, with host and collector, for the journal.
    unread: tuple[str, ...] = ()

    def changed(self, **changes: object) -> CellOutcome:
        """The outcome with these fields of its record changed."""
        return replace(self, record=self.record.model_copy(update=changes))


def cell_outcome(raw: CellRaw, planned: PlannedCell, position: int) -> CellOutcome:
    """The record of a cell, with its histograms and samples; what cannot be read makes a failed cell, not a crash."""
    error = raw.error or _server_ended(raw, planned)
    if error is not None and raw.conditions.rebooted:
        # Whatever was seen of it, that is why; and a host's end is not its server's.
        text = f"{', '.join(raw.conditions.rebooted)} rebooted: {error.text}"
        error = error.model_copy(update={"text": text, "source": ErrorSource.HOST})
    if error is None:
        try:
            return _measured(raw, planned, position)
        except CellError as unseen:
            error = RawError.of(unseen, Phase.PULL)
        except UNREADABLE as unreadable:
            text = f"what the hosts said cannot be read: {unreadable!r}"
            error = RawError(phase=Phase.PULL, text=text, source=ErrorSource.ANSWER)
    return CellOutcome(_failed(raw, planned, position, error), {}, [])


def _measured(raw: CellRaw, planned: PlannedCell, position: int) -> CellOutcome:
    """Raises one of UNREADABLE where what the hosts said is not what it should be, CellError for a window not seen."""
    hosts, server, window = raw.hosts, _server(raw), _window(raw)
    clock, interval_s = raw.clocks[hosts.server.name], raw.conditions.sample_interval_s
    of_server = read_samples(server.samples, clock.on_host(window.start_s), clock.on_host(window.end_s))
    sampled = [(each.host.name, each.samples) for each in window.generators]
    for host, samples in sampled:
        _require_seen(host, samples, interval_s)
    sampled.insert(0, (hosts.server.name, of_server))
    _require_seen(hosts.server.name, of_server, interval_s, server.sampler_stderr)
    of_backend = _backend_samples(raw, window)
    if of_backend is not None and hosts.backend and raw.backend:
        sampled.append((hosts.backend.name, of_backend))
        _require_seen(hosts.backend.name, of_backend, interval_s, raw.backend.sampler_stderr)
    record = CellRecord(
        **_common(raw, planned, position),
        state="measured",
        measurement=_measurement(server, window, of_server, hosts, backend_record(raw, dict(sampled))),
        **_times(raw, window),
    )
    stored = [sample for host, samples in sampled for sample in samples.stored(host)]
    unread = [f"{host}: {name}: {why}" for host, samples in sampled for name, why in samples.errors().items()]
    return CellOutcome(record, window.histograms(), stored, tuple(unread))


def _server(raw: CellRaw) -> ServerReport:
    """Raises LookupError: cell_outcome never asks for that of a cell without it."""
    if raw.server is None:
        raise LookupError("server")
    return raw.server


def _require_seen(host: str, samples: HostSamples, interval_s: float, stderr: str = "") -> None:
    """Raises CellError where a host was not sampled from edge to edge: its CPU, steal, neighbours are unknown."""
    if samples.reach_both_edges(interval_s):
        return
    said = [
        stderr[-_STDERR_SHOWN_LENGTH:].strip(),
        *(f"{name}: {why}" for name, why in samples.errors().items()),
    ]
    why = "; ".join(filter(None, said)) or "it said nothing: was it ended, its disk full, or the clock stepped?"
    raise CellError(
        Phase.WINDOW, f"the sampler on {host} saw only {samples.seen_s:.1f} of {samples.window_s:.1f} s: {why}"
    )


def _server_ended(raw: CellRaw, planned: PlannedCell) -> RawError | None:
    """A server that was gone at the end makes the numbers of its last seconds worthless."""
    if raw.server is None:
        text = f"nothing is known of how {planned.variant} ended"
        return RawError(phase=Phase.STOP, text=text, source=ErrorSource.CELL)
    if _is_active(raw):
        return None
    text = f"the server of {planned.variant} ended under the load: {_state_text(raw.server.state)}"
    return RawError(phase=Phase.WINDOW, text=text, source=ErrorSource.CELL)


def _is_active(raw: CellRaw) -> bool:
    """Whether the server's unit was active when the cell ended."""
    return raw.server is not None and raw.server.state.active_state is ActiveState.ACTIVE


def _state_text(state: UnitState) -> str:
    return (
        f"{state.active_state} ({state.sub_state}), result {state.result}, "
        f"{_how_ended(state.exec_main_code, state.exec_main_status)}"
    )


def _how_ended(code: int, status: int) -> str:
    """The end of a unit's main process: `code` is siginfo's si_code (sigaction(2)), 2 and 3 for a signal's."""
    if code in {2, 3} and status in set(signal.Signals):
        return f"killed by {signal.Signals(status).name}"
    return f"exit status {status}"


def _common(raw: CellRaw, planned: PlannedCell, position: int) -> dict[str, Any]:
    return planned.kept_in_record() | {
        "position": position,
        "started_at_s": raw.conditions.started_at_s,
        "finished_at_s": raw.conditions.finished_at_s,
    }


def _failed(raw: CellRaw, planned: PlannedCell, position: int, error: RawError) -> CellRecord:
    text = blanked(error.text)
    log_tail = blanked_lines(raw.server.log_tail[-_LOG_LINES_IN_RECORD:]) if raw.server else ()
    failure = Failure(
        phase=error.phase,
        text=text,
        expected=_is_servers_doing(raw, error) and _is_expected(planned.expect_failure, [error.text, *log_tail]),
        log_tail=log_tail,
        unit_state=_state_text(raw.server.state) if raw.server else "",
        generator_stderr=blanked("\n".join(wrk.stderr for load in raw.loads.values() for wrk in load.wrk).strip()),
        is_servers_end=(
            not raw.conditions.rebooted and _was_ready(raw) and raw.server is not None and not _is_active(raw)
        ),
    )
    return CellRecord(**_common(raw, planned, position), state="failed", failure=failure, phases_s=_phases_s(raw))


def _was_ready(raw: CellRaw) -> bool:
    return any(load.ready for load in raw.loads.values())


def _is_servers_doing(raw: CellRaw, error: RawError) -> bool:
    """Whether the server itself is why the cell failed: its log may hold what was expected whatever else went wrong."""
    # A lost host is somebody else's doing, and so is a port that another program holds.
    if error.source is not ErrorSource.CELL:
        return False
    if error.phase in _UNTIL_READY:
        # Where one generator had its answer, what keeps it from another is the way there.
        return not _was_ready(raw)
    # wrk and samplers fail in these phases too.
    return error.phase in _UNDER_LOAD and raw.server is not None and not _is_active(raw)


def _is_expected(pattern: str | None, texts: Sequence[str]) -> bool:
    """Whether the failure is the one that the variant's card expects."""
    return pattern is not None and re.search(pattern, "\n".join(texts)) is not None


def _phases_s(raw: CellRaw) -> dict[str, float]:
    """Seconds by phase of the first generator's part; one that occurs twice is added up."""
    found: dict[str, float] = {}
    first = next((raw.loads[host.name] for host in raw.hosts.generators if host.name in raw.loads), None)
    for phase in first.phases if first else ():
        if phase.end_at_s is not None:
            found[phase.name.value] = found.get(phase.name.value, 0.0) + phase.end_at_s - phase.start_at_s
    return found


def _times(raw: CellRaw, window: CellWindow) -> dict[str, Any]:
    phases_s = _phases_s(raw)
    startup_s = max(0.0, _ready_at_s(raw) - _server_started_s(raw))
    own_s = startup_s + sum(phases_s.get(name, 0.0) for name in _SERVERS_OWN if name is not Phase.WINDOW)
    own_s += window.end_s - window.start_s
    return {"startup_s": startup_s, "harness_s": raw.conditions.took_s - own_s, "phases_s": phases_s}


def _ready_at_s(raw: CellRaw) -> float:
    """The first right answer on any generator, by the controller's clock."""
    return min(raw.clocks[name].on_controller(load.ready.at_s) for name, load in raw.loads.items() if load.ready)


def _server_started_s(raw: CellRaw) -> float:
    """The start of the unit, by the controller's clock."""
    if raw.conditions.server_started_s is None:
        return raw.conditions.started_at_s
    return raw.clocks[raw.hosts.server.name].on_controller(raw.conditions.server_started_s)


def _window(raw: CellRaw) -> CellWindow:
    """Raises ParseError where a generator's result is not complete, or their windows have nothing in common."""
    used = [host for host in raw.hosts.generators if host.name in raw.loads]
    return CellWindow(tuple(read_window(raw.loads[host.name], host, raw.clocks[host.name]) for host in used))


def _backend_samples(raw: CellRaw, window: CellWindow) -> HostSamples | None:
    """What was sampled on the backends' host; None where the application uses none."""
    host = raw.hosts.backend
    if raw.backend is None or host is None:
        return None
    clock = raw.clocks[host.name]
    return read_samples(raw.backend.samples, clock.on_host(window.start_s), clock.on_host(window.end_s))


def backend_record(raw: CellRaw, sampled: Mapping[str, HostSamples]) -> BackendRecord | None:
    """The backends' host through the window, from the samples of every host; None where it was not sampled."""
    host = raw.hosts.backend
    if raw.backend is None or host is None:
        return None
    samples, cpus_count = sampled[host.name], host.cpus_count
    sharing = [other for other in raw.hosts.on_a_cpu_of(host) if other.name in sampled]
    taken = [sampled[other.name].cpu_percent("node_cpu.usage", cpus_count) for other in sharing]
    known = [percent for percent in taken if percent is not None]
    neighbours = samples.neighbours_cpu_percent(host.cpus) if host.cpus else None
    return BackendRecord(
        host=host.name,
        cpus_count=cpus_count,
        cpu_percent=samples.cpu_percent("unit_cpu.usage", cpus_count),
        host_cpu_percent=samples.cpu_percent("node_cpu.usage", cpus_count),
        cpus_busy_percent=samples.machine_cpu_percent("busy", host.cpus),
        # What the lab's own hosts took on the same CPUs is no neighbour's.
        neighbours_cpu_percent=None if neighbours is None else max(0.0, neighbours - sum(known)),
        shared_with=tuple(other.name for other in sharing),
        shared_cpu_percent=sum(known) if sharing and len(known) == len(taken) else None,
        steal_percent=samples.machine_cpu_percent("steal", host.cpus),
        connections=dict(raw.backend.connections),
    )


def _measurement(
    server: ServerReport, window: CellWindow, of_server: HostSamples, hosts: RunHosts, backend: BackendRecord | None
) -> Measurement:
    observed = window.latencies.observed
    latency = latency_of(observed)
    return Measurement(
        duration_s=window.duration_s,
        window_start_s=window.start_s,
        window_end_s=window.end_s,
        requests=sum(report.requests for report in window.reports),
        requests_per_s=sum(each.requests_per_s for each in window.generators),
        bytes_read=sum(report.bytes_read for report in window.reports),
        latency=latency,
        wrk_latency=latency_of(window.latencies.corrected),
        correction_note=window.latencies.correction_note,
        errors=add_errors(window.reports),
        connections_asked=window.connections_asked,
        connections_open=window.connections_open,
        busy_ratio=busy_ratio(observed, round(window.duration_s * 1e6), window.connections_asked),
        server=_server_record(server, of_server, hosts, latency),
        generators=window.records(hosts, backend),
        backend=backend,
        verify_after=window.wrong_after,
        first_answer_s=window.first_answer_s,
        warmup=window.warmup,
        is_miscounted=window.latencies.is_miscounted,
        open_loop=add_slots(window.reports),
        requests_by_name=tuple(request.record() for request in window.requests_by_name),
        requests_unknown=sum(report.mix.unknown for report in window.reports if report.mix),
    )


def _server_record(
    report: ServerReport, samples: HostSamples, hosts: RunHosts, latency: Latency | None
) -> ServerRecord:
    observed, host = report.observed, hosts.server
    counted_s = samples.start_s + STALLS_COUNTED_AT * samples.window_s
    slow_s = latency.p99_us / 1e6 if latency else 0.0
    cpus_count = host.cpus_count
    queue = f"listen.{observed.port}.queued"
    return ServerRecord(
        cpus_count=cpus_count,
        cpu_percent=samples.cpu_percent("unit_cpu.usage", cpus_count),
        host_cpu_percent=samples.cpu_percent("node_cpu.usage", cpus_count),
        neighbours_cpu_percent=samples.neighbours_cpu_percent(host.cpus) if host.cpus else None,
        **_server_cpus(samples, host),
        memory_max_bytes=samples.maximum("memory.rss"),
        processes_max=samples.maximum("unit.processes"),
        threads_max=samples.maximum("unit.threads"),
        backlog=max((listener.backlog for listener in observed.listeners), default=None),
        accept_queue_max=samples.maximum(queue),
        accept_queue_counted=samples.value_at(queue, counted_s),
        accept_queue_before=samples.value_at(queue, counted_s - max(STALL_LIMIT_S, slow_s)),
        foreign_connections=_foreign(observed.peers, hosts),
        listen_overflows=samples.increase("tcp.listen_overflows"),
        lasting_listen_overflows=samples.lasting_increase("tcp.listen_overflows"),
        listen_drops=samples.increase("tcp.listen_drops"),
        retransmits=samples.increase("tcp.segments_retransmitted"),
        segments_lost=samples.segments_lost(),
        argv=blanked_words(observed.argv),
        unit_state=_state_text(report.state),
        log_errors=tuple(LogError(text=blanked(found.text), count=found.count) for found in report.log_errors.errors),
    )


def _foreign(peers: Mapping[str, int], hosts: RunHosts) -> dict[str, int]:
    """Of those connected to the variant, neither the lab's hosts nor the server's own processes. Raises ValueError."""
    own = {_canonical(address) for host in hosts.all for address in (host.address, host.load_address)}
    return {
        address: count
        for address, count in peers.items()
        if _canonical(address) not in own and not ipaddress.ip_address(address).is_loopback
    }


def _canonical(address: str) -> str:
    """The one form of an address; a name as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _server_cpus(samples: HostSamples, host: RunHost) -> dict[str, Any]:
    """Who used the server's CPUs, and who waited for them."""
    shape = samples.process_cpus()
    unit_percent = samples.cpu_percent("unit_cpu.usage", host.cpus_count)
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
