"""Driving one probe over open connections: server started, waves sent, both hosts looking, server stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from wrklab.catalogue.stack import Variant
from wrklab.catalogue.unit import LOG_DIR
from wrklab.errors import CellError, HostError, ParseError
from wrklab.hosts import node_calls
from wrklab.hosts.clocks import Clock, clock_of
from wrklab.hosts.remote import RemoteHost, failure_text, retry_on_disconnect
from wrklab.hosts.session import Session
from wrklab.probe.wave import Wave, WavePlan, parse_wave

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
#: The exit status of timeout(1) when it had to end the script.
_TIMED_OUT = 124


@dataclass
class Server:
    """A started server and the clocks of both hosts."""

    session: Session
    variant: Variant
    server_clock: Clock
    client_clock: Clock
    #: Why it was not idle before its first wave; empty where it was.
    unrest: str = ""
    finished: dict[str, Any] = field(default_factory=dict)

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
        return f"{LOG_DIR}/{self.variant.name}.log"


@contextmanager
def running_server(session: Session, variant: Variant) -> Iterator[Server]:
    """The variant, started and answering, and idle but for its `unrest`; stopped at the end whatever happens.

    Raises CellError, HostError.
    """
    lease_s = variant.start_limit_s + _LEASE_S * session.timeout_scale
    spec = {
        "unit": variant.unit,
        "variant": variant.name,
        "cell": f"probe.{variant.name}",
        "port": session.port_of(variant),
        "environment": {"WRKLAB_HOLD_MS": "0"},
        "lease_s": lease_s,
        "sample_interval_s": 10 * lease_s,  # the sampler would be one more user of the server's CPU
        "keep_log_lines": 40,
    }
    server = Server(session, variant, clock_of(session.server), clock_of(session.generators[0]))

    def finish() -> dict[str, Any]:
        return node_calls.finish_server(session.server, spec)

    try:
        _start(server, spec)
        _become_ready(server)
        server.unrest = settle(server, _QUIET_BEFORE_S)
        yield server
    finally:
        # Also after a start that failed: where only the connection did, the server runs. A second end does no harm.
        server.finished = retry_on_disconnect(session.server, finish, finish, lambda _: None)


def _start(server: Server, spec: Mapping[str, object]) -> None:
    """Raises CellError. A lost call is not repeated: it may have been carried out."""
    try:
        node_calls.start_server(server.session.server, spec)
    except HostError as error:
        raise CellError("start", str(error)) from error


def backlog(server: Server) -> int:
    """The backlog in force before anything arrives."""
    found = _snapshot(server, "watch", {"unit": server.unit, "port": server.port, "log": server.log, "looks_at": []})
    return sum(number for _, number in found["looks"][0]["listeners"])


def settle(server: Server, quiet_s: float) -> str:
    """Wait until the server is idle and holds no connection; why it did not come to that, empty where it did."""
    limit_s = _QUIET_LIMIT_S * server.session.timeout_scale
    found = _snapshot(
        server, "settle", {"unit": server.unit, "port": server.port, "quiet_s": quiet_s, "limit_s": limit_s}
    )
    if found["quiet"]:
        return ""
    what = f"{found['open_count']} connections open" if found["open_count"] else "its processes were at work"
    return f"the server was not idle within {limit_s:g} s: {what}"


def lead_s(server: Server) -> float:
    """From the calls that begin a wave to its first arrival."""
    return max(_LEAD_S, _LEAD_CALLS * max(server.server_clock.call_s, server.client_clock.call_s))


def run_wave(server: Server, plan: WavePlan) -> tuple[Wave, dict[str, Any]]:
    """One wave, and what the scripts said of it as they said it. Raises CellError where a host did not keep up."""
    timeout_scale = server.session.timeout_scale
    start_s = time.time() + lead_s(server) + plan.requests_count / 50_000 * timeout_scale
    server_start_s, client_start_s = server.server_clock.on_host(start_s), server.client_clock.on_host(start_s)
    limit_s = start_s - time.time() + plan.last_release_s + plan.release_limit_s + _SLACK_S * timeout_scale
    watch, wave = _watch_spec(server, plan, server_start_s), _wave_spec(server, plan, server_start_s, client_start_s)
    try:
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="probe") as pool:
            watching = pool.submit(_snapshot, server, "watch", watch, limit_s)
            sending = pool.submit(_client, server, "wave", wave, limit_s)
            raw: dict[str, Any] = {"plan": asdict(plan)}
            raw |= {"server_start_s": server_start_s, "client_start_s": client_start_s}
            raw |= {"client": sending.result(), "server": watching.result()}
        raw["notes"] = _snapshot(server, "notes", {"log": server.log, "from": 0})
    except HostError as error:
        raise CellError("wave", str(error)) from error
    return parse_wave(raw), raw


def drain(server: Server) -> bool:
    """Wait until what the wave left is served; whether it came to that."""
    return not settle(server, _QUIET_AFTER_S)


def _watch_spec(server: Server, plan: WavePlan, start_s: float) -> dict[str, object]:
    return {
        "unit": server.unit,
        "port": server.port,
        "log": server.log,
        "looks_at": [start_s + look_s for look_s in plan.looks_s],
    }


def _wave_spec(server: Server, plan: WavePlan, server_start_s: float, client_start_s: float) -> dict[str, object]:
    return {
        "host": server.session.hosts.server.load_address,
        "port": server.port,
        "path": PATH,
        "first_id": plan.first_id,
        "requests_count": plan.requests_count,
        "start_at": client_start_s,
        "slow_count": plan.slow_count,
        "slow_step_s": plan.slow_step_s,
        "rate_per_s": plan.rate_per_s,
        "burst_count": plan.burst_count,
        "until_at": server_start_s + plan.until_s,
        "until_step_s": plan.until_step_s,
        "looks_at": [client_start_s + look_s for look_s in plan.looks_s],
        "release_at": client_start_s + plan.until_s,
        "release_limit_s": plan.last_release_s - plan.until_s + plan.release_limit_s,
    }


def _become_ready(server: Server) -> None:
    """Wait for a first answer on the generator; a server that dies meanwhile is told at once. Raises CellError."""
    spec = {
        "host": server.session.hosts.server.load_address,
        "port": server.port,
        "path": _READY_PATH,
        "limit_s": _READY_STEP_S * server.session.timeout_scale,
        "any_answer": server.variant.expect_failure is not None,
    }
    until = time.monotonic() + server.variant.start_limit_s
    while True:
        found = _client(server, "ready", spec)
        if found["ready"]:
            return
        state = node_calls.server_state(server.session.server, server.unit)
        if state["active_state"] not in ("active", "activating", "reloading"):
            raise CellError("start", f"{server.unit} ended before it answered: {state['result']}: {found['found']}")
        if time.monotonic() > until:
            raise CellError("ready", f"no right answer within {server.variant.start_limit_s:g} s: {found['found']}")


def _snapshot(server: Server, verb: str, spec: Mapping[str, object], limit_s: float | None = None) -> dict[str, Any]:
    return _packed_call(server.session.server, "probe_snapshot.py", verb, spec, limit_s)


def _client(server: Server, verb: str, spec: Mapping[str, object], limit_s: float | None = None) -> dict[str, Any]:
    return _packed_call(server.session.generators[0], "probe_client.py", verb, spec, limit_s)


def _packed_call(
    host: RemoteHost, script: str, verb: str, spec: Mapping[str, object], limit_s: float | None
) -> dict[str, Any]:
    limit_s = _CALL_LIMIT_S * host.timeout_scale if limit_s is None else limit_s
    command = [
        *("/usr/bin/timeout", "--kill-after=1", f"{limit_s:.1f}"),
        *("/usr/bin/python3", "-I", "-S", f"{node_calls.NODE_DIR}/{script}", verb, node_calls.pack_spec(spec)),
    ]
    result = host.run(command, limit_s=limit_s + _SLACK_S * host.timeout_scale, check=False)
    if result.exit_code == _TIMED_OUT:
        raise HostError(f"{host.name}: {script} {verb} had not ended after {limit_s:.1f} s and was ended there")
    if result.exit_code != 0:
        raise HostError(failure_text(result))
    try:
        return node_calls.unpack_result(host.name, result.stdout.strip())
    except ParseError as error:
        raise HostError(f"{host.name}: {script} {verb}: {error}") from error
