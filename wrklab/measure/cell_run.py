"""Driving one cell: server started, verified from the generator, warmed, measured, verified, pulled, stopped."""

from __future__ import annotations

import secrets
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
    #: What happened beside the plan, for the journal: (phase, text).
    events: list[tuple[str, str]] = field(default_factory=list)


def run_cell(
    session: Session, cell: Cell, loads: list[ProcessLoad], on_phase: Callable[[str], None], run_id: str = ""
) -> CellRaw:
    """Drive one cell to its end. Failures are in `error`; whatever happens, the server is stopped and read.

    `run_id` tells this cell's files on the hosts from those of an earlier run; without one a name is drawn.
    """
    drive = _Drive(session, cell, f"{run_id or secrets.token_hex(4)}.{cell.cell_id}", on_phase)
    raw = drive.raw
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="load") as pool:
        # The generator begins to knock while the server starts: what ssh costs is then no part of either.
        load = pool.submit(drive.load, loads)
        try:
            raw.server_started_s = drive.start()
            drive.watch_until_ready()
            raw.load = load.result()
        except WrklabError as error:
            raw.error = error
            drive.cancel(load)
        except KeyboardInterrupt:
            # The pool waits for the load's thread: without this, for the whole window.
            drive.cancel(load)
            raise
        finally:
            on_phase("stop")
            drive.finish()
    raw.finished_at_s = time.time()
    return raw


class _Drive:
    """One cell under way: the calls on both sides, each tried once more after a lost connection."""

    def __init__(self, session: Session, cell: Cell, name: str, on_phase: Callable[[str], None]) -> None:
        self._session = session
        self._cell = cell
        self._name = name
        self._on_phase = on_phase
        self._is_past_ready = threading.Event()
        self.raw = CellRaw(started_at_s=time.time())

    def start(self) -> float:
        """Start the server; its host's clock then. A lost call is not repeated: it may have been carried out."""
        try:
            return node_calls.start_server(self._session.server, server_spec(self._session, self._cell, self._name))
        except WrklabError as error:
            raise CellError("start", str(error)) from error

    def load(self, loads: list[ProcessLoad]) -> dict[str, Any]:
        """The generator's whole part; a lost connection is made again and the load followed from there."""
        generator = self._session.generators[0]
        limit_s = deadline_s(self._cell) + node_calls.CALL_LIMIT_S
        spec = load_spec(self._session, self._cell, self._name, loads)
        try:
            result = node_calls.run_load(generator, spec, limit_s, self._enter)
        except ConnectionLostError as error:
            self.raw.events.append(("followed", f"{generator.name}: {error}"))
            reconnect(generator)
            result = node_calls.follow_load(generator, self._name, limit_s, self._enter)
        finally:
            self._is_past_ready.set()
        if failed := result.get("failed"):
            raise LoadFailedError(str(failed["phase"]), str(failed["text"]), result)
        return result

    def _enter(self, phase: str) -> None:
        """The generator's thread tells each phase; the main one waits for the end of the first."""
        self._on_phase(phase)
        if phase != "ready":
            self._is_past_ready.set()

    def watch_until_ready(self) -> None:
        """A server that dies while it starts costs a second, not its whole start limit."""
        unit = self._cell.variant.unit
        while not self._is_past_ready.wait(STATE_POLL_S):
            state = self._on_server(lambda server: node_calls.server_state(server, unit))
            if state["active_state"] not in _STATES_ALIVE and not self._is_past_ready.is_set():
                raise CellError(
                    "start",
                    f"{unit} ended before it answered: {state['active_state']}, result {state['result']}, "
                    f"exit status {state['exec_main_status']}",
                )

    def cancel(self, load: Future[dict[str, Any]]) -> None:
        """End a load that nobody will use, and wait for its end."""
        until = time.monotonic() + node_calls.CALL_LIMIT_S
        while not load.done() and time.monotonic() < until:
            try:
                node_calls.cancel_load(self._session.generators[0])
            except WrklabError:
                return  # its deadline on the host ends it
            time.sleep(0.1)

    def finish(self) -> None:
        """Stop the server and keep what was seen of it; without an answer the lease on the host ends it."""
        spec = server_spec(self._session, self._cell, self._name)
        try:
            self.raw.server = self._on_server(lambda server: node_calls.finish_server(server, spec))
        except WrklabError as error:
            # An earlier failure is the better explanation.
            self.raw.error = self.raw.error or error

    def _on_server(self, call: Callable[[RemoteHost], dict[str, Any]]) -> dict[str, Any]:
        """A call that may be made twice."""
        try:
            return call(self._session.server)
        except ConnectionLostError:
            reconnect(self._session.server)
            return call(self._session.server)


def deadline_s(cell: Cell) -> float:
    """The longest that a cell may take on the hosts; then systemd ends what is left of it there."""
    scenario = cell.scenario
    planned_s = cell.variant.start_limit_s + scenario.warmup_s + SETTLE_LIMIT_S + scenario.duration_s
    return planned_s + 2 * ATTEMPT_LIMIT_S + min(scenario.wrk_timeout_s, 10) + DEADLINE_SLACK_S


def server_spec(session: Session, cell: Cell, name: str) -> dict[str, object]:
    """What server_ctl.py is told of a cell; `name` is its folder on the host."""
    hold_ms = cell.scenario.hold_ms
    return {
        "unit": cell.variant.unit,
        "variant": cell.variant.name,
        "cell": name,
        "port": session.port_of(cell.variant),
        "environment": {} if hold_ms is None else {"WRKLAB_HOLD_MS": str(hold_ms)},
        "lease_s": deadline_s(cell),
        "sample_interval_s": cell.scenario.sample_interval_s,
        "keep_log_lines": 40,
    }


def load_spec(session: Session, cell: Cell, name: str, loads: list[ProcessLoad]) -> dict[str, object]:
    """What load_ctl.py is told of a cell; `name` is its folder on the host."""
    scenario = cell.scenario
    warmup = None
    if scenario.warmup_s > 0:
        warmup = {"duration_s": scenario.warmup_s, "connections": scenario.warmup_connections, "threads": 1}
    return {
        "cell": name,
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
