"""Driving one probe over open connections: server started, waves sent, both hosts looking, server stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from wrklab.catalogue.stack import Variant
from wrklab.catalogue.unit import variant_log
from wrklab.errors import CellError, HostError
from wrklab.hosts import node_calls
from wrklab.hosts.clocks import clock_of
from wrklab.hosts.remote import retry_on_disconnect
from wrklab.hosts.session import Session
from wrklab.probe.wave import WavePlan, WaveRaw
from wrklab.protocol.codec import Message, MessageType
from wrklab.protocol.phases import Phase
from wrklab.protocol.probe import (
    NotesResult,
    NotesSpec,
    ReadyAnswer,
    ReadySpec,
    SettleAnswer,
    SettleSpec,
    WatchResult,
    WatchSpec,
    WaveResult,
    WaveSpec,
)
from wrklab.protocol.server import ServerReport, ServerSpec
from wrklab.results.raw import Clock

PATH = "/probe"
_READY_PATH = "/"
# All of these are for hosts of usual speed; slow ones get the session's timeout_scale times as long.
#: A probe that its controller left is ended by the host so long after the latest start of its server.
_LEASE_S = 70.0
#: From the calls to the first arrival both hosts must have started their scripts: at least so long, and so many times
#: what a call takes there, by the measured clocks.
_LEAD_S = 0.35
_LEAD_CALLS = 6
#: A server that starts is asked this long before its unit's state is looked at.
_READY_STEP_S = 2.0
#: Before a first wave: workers that start late must be there. Before a second one: what was queued is served.
_QUIET_BEFORE_S = 0.25
_QUIET_AFTER_S = 0.1
_QUIET_LIMIT_S = 6.0
_CALL_LIMIT_S = 15.0
#: Beyond what a script takes by plan. After it the host ends the script, be it stopped.
_SLACK_S = 5.0


@dataclass
class Server:
    """A started server and the clocks of both hosts."""

    session: Session
    variant: Variant
    server_clock: Clock
    client_clock: Clock
    #: Why it was not idle before its first wave; empty where it was.
    instability: str = ""
    #: What the host reported of its end; None while it runs.
    finished: ServerReport | None = None

    @property
    def unit(self) -> str:
        """The variant's unit."""
        return self.variant.unit

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.session.port_of(self.variant)

    @property
    def log(self) -> str:
        """Where its stderr goes, and with it the handlers' notes."""
        return variant_log(self.variant)


@contextmanager
def running_server(session: Session, variant: Variant) -> Iterator[Server]:
    """The variant, started and answering, and idle but for its `instability`; stopped at the end whatever happens.

    Raises CellError, HostError.
    """
    lease_s = variant.start_limit_s + _LEASE_S * session.timeout_scale
    spec = ServerSpec(
        unit=variant.unit,
        variant=variant.file_name,
        cell=f"probe.{variant.file_name}",
        port=session.port_of(variant),
        environment={"WRKLAB_HOLD_MS": "0"},
        lease_s=lease_s,
        sample_interval_s=10 * lease_s,  # the sampler would be one more user of the server's CPU
        keep_log_lines=40,
    )
    server = Server(session, variant, clock_of(session.server), clock_of(session.generators[0]))

    def finish() -> ServerReport:
        return node_calls.finish_server(session.server, spec)

    try:
        _start(server, spec)
        _become_ready(server)
        server.instability = settle(server, _QUIET_BEFORE_S)
        yield server
    finally:
        # Also after a start that failed: where only the connection did, the server runs. A second end does no harm.
        server.finished = retry_on_disconnect(session.server, finish, finish, lambda _: None)


def _start(server: Server, spec: ServerSpec) -> None:
    """Raises CellError. A lost call is not repeated: it may have been carried out."""
    try:
        node_calls.start_server(server.session.server, spec)
    except HostError as error:
        raise CellError(Phase.START, str(error)) from error


def backlog(server: Server) -> int:
    """The backlog in force before anything arrives."""
    spec = WatchSpec(unit=server.unit, port=server.port, log=server.log, looks_at_s=())
    return sum(queue.backlog for queue in _snapshot(server, WatchResult, "watch", spec).looks[0].listeners)


def settle(server: Server, quiet_s: float) -> str:
    """Wait until the server is idle and holds no connection; why it did not come to that, empty where it did."""
    limit_s = _QUIET_LIMIT_S * server.session.timeout_scale
    spec = SettleSpec(unit=server.unit, port=server.port, quiet_s=quiet_s, limit_s=limit_s)
    found = _snapshot(server, SettleAnswer, "settle", spec)
    if found.is_quiet:
        return ""
    what = f"{found.open_count} connections open" if found.open_count else "its processes were at work"
    return f"the server was not idle within {limit_s:g} s: {what}"


def lead_s(server: Server) -> float:
    """From the calls that begin a wave to its first arrival."""
    return max(_LEAD_S, _LEAD_CALLS * max(server.server_clock.call_s, server.client_clock.call_s))


def run_wave(server: Server, plan: WavePlan) -> WaveRaw:
    """One wave, as the scripts reported it. Raises CellError where a host did not keep up, ParseError."""
    timeout_scale = server.session.timeout_scale
    start_s = time.time() + lead_s(server) + plan.requests_count / 50_000 * timeout_scale
    server_start_s, client_start_s = server.server_clock.on_host(start_s), server.client_clock.on_host(start_s)
    limit_s = start_s - time.time() + plan.last_release_s + plan.release_limit_s + _SLACK_S * timeout_scale
    watch, wave = _watch_spec(server, plan, server_start_s), _wave_spec(server, plan, server_start_s, client_start_s)
    try:
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="probe") as pool:
            watching = pool.submit(_snapshot, server, WatchResult, "watch", watch, limit_s)
            sending = pool.submit(_client, server, WaveResult, "wave", wave, limit_s)
            sent, watched = sending.result(), watching.result()
        notes = _snapshot(server, NotesResult, "notes", NotesSpec(log=server.log, from_bytes=0))
    except HostError as error:
        raise CellError(Phase.WAVE, str(error)) from error
    return WaveRaw(
        plan=plan,
        server_start_s=server_start_s,
        client_start_s=client_start_s,
        client=sent,
        server=watched,
        notes=notes,
    )


def drain(server: Server) -> bool:
    """Wait until what the wave left is served; whether it came to that."""
    return not settle(server, _QUIET_AFTER_S)


def _watch_spec(server: Server, plan: WavePlan, start_s: float) -> WatchSpec:
    looks_at_s = tuple(start_s + look_s for look_s in plan.looks_s)
    return WatchSpec(unit=server.unit, port=server.port, log=server.log, looks_at_s=looks_at_s)


def _wave_spec(server: Server, plan: WavePlan, server_start_s: float, client_start_s: float) -> WaveSpec:
    return WaveSpec(
        host=server.session.hosts.server.load_address,
        port=server.port,
        path=PATH,
        first_id=plan.first_id,
        requests_count=plan.requests_count,
        start_at_s=client_start_s,
        slow_count=plan.slow_count,
        slow_step_s=plan.slow_step_s,
        rate_per_s=plan.rate_per_s,
        burst_count=plan.burst_count,
        until_at_s=server_start_s + plan.until_s,
        until_step_s=plan.until_step_s,
        looks_at_s=tuple(client_start_s + look_s for look_s in plan.looks_s),
        release_at_s=client_start_s + plan.until_s,
        release_limit_s=plan.last_release_s - plan.until_s + plan.release_limit_s,
    )


def _become_ready(server: Server) -> None:
    """Wait for a first answer on the generator; a server that dies meanwhile is reported at once. Raises CellError."""
    spec = ReadySpec(
        host=server.session.hosts.server.load_address,
        port=server.port,
        path=_READY_PATH,
        limit_s=_READY_STEP_S * server.session.timeout_scale,
        any_answer=server.variant.expect_failure is not None,
    )
    until = time.monotonic() + server.variant.start_limit_s
    while True:
        answer = _client(server, ReadyAnswer, "ready", spec)
        if answer.is_ready:
            return
        state = node_calls.server_state(server.session.server, server.unit)
        if not state.is_up:
            raise CellError(Phase.START, f"{server.unit} ended before it answered: {state.result}: {answer.found}")
        if time.monotonic() > until:
            raise CellError(Phase.READY, f"no right answer within {server.variant.start_limit_s:g} s: {answer.found}")


def _snapshot(
    server: Server, kind: type[MessageType], verb: str, spec: Message, limit_s: float | None = None
) -> MessageType:
    host = server.session.server
    return node_calls.packed_call(host, kind, ("probe_snapshot.py", verb), spec, _limits_s(server, limit_s))


def _client(
    server: Server, kind: type[MessageType], verb: str, spec: Message, limit_s: float | None = None
) -> MessageType:
    host = server.session.generators[0]
    return node_calls.packed_call(host, kind, ("probe_client.py", verb), spec, _limits_s(server, limit_s))


def _limits_s(server: Server, limit_s: float | None) -> tuple[float, float]:
    """How long a script may take until its host ends it, and how much longer to wait for that."""
    scale = server.session.timeout_scale
    return (_CALL_LIMIT_S * scale if limit_s is None else limit_s), _SLACK_S * scale
