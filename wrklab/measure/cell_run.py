"""Driving one cell: server started, verified from the generator, warmed, measured, verified, pulled, stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from wrklab.doors import node_calls
from wrklab.doors.remote import ConnectionLostError, RemoteHost
from wrklab.errors import CellError, HostError, WrklabError
from wrklab.measure.limits import ProcessLoad
from wrklab.measure.session import Session
from wrklab.model.plan import Cell

#: One GET of the verification; a healthy local server answers in its hold plus a millisecond.
ATTEMPT_LIMIT_S = 2.0
#: A warm-up of few connections leaves little queued; a server that needs longer than this to drain it is hung.
SETTLE_LIMIT_S = 10.0
#: How long after a lost connection the generator is tried again; the load goes on there meanwhile.
RECONNECT_LIMIT_S = 20.0
#: Between two looks at the server's unit while the generator waits for it to be ready.
STATE_POLL_S = 0.7
#: Room in every deadline for what is not planned: waiting for free ports, a slow stop, a busy machine.
DEADLINE_SLACK_S = 30.0

_STATES_ALIVE = ("active", "activating", "reloading")


@dataclass
class CellRaw:
    """What the hosts said of one cell, before anything of it is interpreted."""

    started_at_s: float
    finished_at_s: float = 0.0
    #: The server host's clock when its unit was started.
    server_started_s: float | None = None
    load: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    #: Why the load has no result; the cell has failed then.
    error: WrklabError | None = None


def run_cell(session: Session, cell: Cell, loads: list[ProcessLoad], on_phase: Callable[[str], None]) -> CellRaw:
    """Drive one cell to its end. Failures are in `error`; whatever happens, the server is stopped and read."""
    raw = CellRaw(started_at_s=time.time())
    phase = _Phase(on_phase)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="load") as pool:
        # The generator begins to knock while the server starts: what ssh costs is then no part of either.
        load = pool.submit(_load, session, cell, loads, phase)
        try:
            raw.server_started_s = _start(session, cell, load)
            _watch_until_ready(session, cell, load, phase)
            raw.load = load.result()
        except WrklabError as error:
            raw.error = error
        except KeyboardInterrupt:
            # The pool waits for the load's thread: without this, for the whole window.
            _cancel(session, load)
            raise
        finally:
            on_phase("stop")
            _finish(session, cell, raw)
    raw.finished_at_s = time.time()
    return raw


class _Phase:
    """The phase that the generator is in, told by its thread, waited for by the main one."""

    def __init__(self, on_phase: Callable[[str], None]) -> None:
        self._on_phase = on_phase
        self.is_past_ready = threading.Event()

    def __call__(self, name: str) -> None:
        self._on_phase(name)
        if name != "ready":
            self.is_past_ready.set()


def deadline_s(cell: Cell) -> float:
    """The longest that a cell may take on the hosts; then systemd ends what is left of it there."""
    scenario = cell.scenario
    planned_s = cell.variant.start_limit_s + scenario.warmup_s + SETTLE_LIMIT_S + scenario.duration_s
    return planned_s + 2 * ATTEMPT_LIMIT_S + min(scenario.wrk_timeout_s, 10) + DEADLINE_SLACK_S


def server_spec(session: Session, cell: Cell) -> dict[str, object]:
    """What server_ctl.py is told of a cell."""
    hold_ms = cell.scenario.hold_ms
    return {
        "unit": cell.variant.unit,
        "variant": cell.variant.name,
        "cell": cell.cell_id,
        "port": session.port_of(cell.variant),
        "environment": {} if hold_ms is None else {"WRKLAB_HOLD_MS": str(hold_ms)},
        "lease_s": deadline_s(cell),
        "sample_interval_s": cell.scenario.sample_interval_s,
        "keep_log_lines": 40,
    }


def load_spec(session: Session, cell: Cell, loads: list[ProcessLoad]) -> dict[str, object]:
    """What load_ctl.py is told of a cell."""
    scenario = cell.scenario
    warmup = None
    if scenario.warmup_s > 0:
        warmup = {"duration_s": scenario.warmup_s, "connections": scenario.warmup_connections, "threads": 1}
    return {
        "cell": cell.cell_id,
        "target": {
            "host": session.hosts.server.load_address,
            "port": session.port_of(cell.variant),
            "path": scenario.path,
        },
        "expect": {"status": 200, "body": cell.body},
        "ready_limit_s": cell.variant.start_limit_s,
        "attempt_limit_s": ATTEMPT_LIMIT_S,
        "warmup": warmup,
        "settle_limit_s": SETTLE_LIMIT_S,
        "processes": [{"threads": load.threads, "connections": load.connections} for load in loads],
        "duration_s": scenario.duration_s,
        "timeout_s": scenario.wrk_timeout_s,
        "validate_bodies": scenario.validate_bodies,
        "sample_interval_s": scenario.sample_interval_s,
        "start_at": None,
        "deadline_s": deadline_s(cell),
    }


def _start(session: Session, cell: Cell, load: Future[dict[str, Any]]) -> float:
    try:
        return node_calls.start_server(session.server, server_spec(session, cell))
    except HostError as error:
        _cancel(session, load)
        raise CellError("start", str(error)) from error


def _load(session: Session, cell: Cell, loads: list[ProcessLoad], phase: _Phase) -> dict[str, Any]:
    """The generator's whole part; a lost connection is made again and the load followed from there."""
    generator = session.generators[0]
    limit_s = deadline_s(cell) + node_calls.CALL_LIMIT_S
    try:
        result = node_calls.run_load(generator, load_spec(session, cell, loads), limit_s, phase)
    except ConnectionLostError:
        reconnect(generator)
        result = node_calls.follow_load(generator, cell.cell_id, limit_s, phase)
    finally:
        phase.is_past_ready.set()
    failed = result.get("failed")
    if failed:
        raise LoadFailedError(str(failed["phase"]), str(failed["text"]), result)
    return result


class LoadFailedError(CellError):
    """The generator ended a cell early; `result` is all that it saw."""

    def __init__(self, phase: str, text: str, result: dict[str, Any]) -> None:
        """As CellError, with the result beside it."""
        super().__init__(phase, text)
        self.result = result


def reconnect(host: RemoteHost) -> None:
    """Open a lost connection again, trying for a while. Raises HostError when it stays lost."""
    until = time.monotonic() + RECONNECT_LIMIT_S
    while True:
        try:
            host.open()
        except HostError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return


def _watch_until_ready(session: Session, cell: Cell, load: Future[dict[str, Any]], phase: _Phase) -> None:
    """A server that dies while it starts costs a second, not its whole start limit."""
    while not phase.is_past_ready.wait(STATE_POLL_S):
        state = node_calls.server_state(session.server, cell.variant.unit)
        if state["active_state"] not in _STATES_ALIVE and not phase.is_past_ready.is_set():
            _cancel(session, load)
            raise CellError(
                "start",
                f"{cell.variant.unit} ended before it answered: {state['active_state']}, result {state['result']}, "
                f"exit status {state['exec_main_status']}",
            )


def _cancel(session: Session, load: Future[dict[str, Any]]) -> None:
    """End a load whose server is not there, and wait for its end."""
    until = time.monotonic() + node_calls.CALL_LIMIT_S
    while not load.done() and time.monotonic() < until:
        try:
            node_calls.cancel_load(session.generators[0])
        except HostError:
            return
        time.sleep(0.1)


def _finish(session: Session, cell: Cell, raw: CellRaw) -> None:
    spec = server_spec(session, cell)
    try:
        try:
            raw.server = node_calls.finish_server(session.server, spec)
        except ConnectionLostError:
            reconnect(session.server)
            raw.server = node_calls.finish_server(session.server, spec)
    except WrklabError as error:
        # The lease on the host ends the server then; an earlier failure is the better explanation.
        raw.error = raw.error or error
