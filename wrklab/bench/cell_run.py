"""Driving one cell: server started, verified from the generators, warmed, measured, verified, pulled, stopped."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wrklab.bench.deadlines import deadline_s
from wrklab.bench.load import CellLoad, LoadOrder
from wrklab.bench.plan import Cell
from wrklab.errors import CellError, WrklabError
from wrklab.hosts import node_calls
from wrklab.hosts.clocks import Clock, clock_of
from wrklab.hosts.limits import LoadShares
from wrklab.hosts.remote import RemoteHost, retry_on_disconnect
from wrklab.hosts.session import Session

Answer = TypeVar("Answer")

#: Between two looks at the server's unit while the generator waits for it to be ready.
STATE_POLL_S = 0.7

_STATES_ALIVE = ("active", "activating", "reloading")


@dataclass
class CellRaw:
    """What the hosts said of one cell, before anything of it is interpreted."""

    started_at_s: float
    #: At which the samplers were told to sample.
    sample_interval_s: float = 0.0
    finished_at_s: float = 0.0
    #: By the controller's monotonic clock: how long it took, and when it had ended.
    took_s: float = 0.0
    ended_mono_s: float = 0.0
    #: The server host's clock when its unit was started.
    server_started_s: float | None = None
    #: What each generator told, by its name.
    loads: dict[str, dict[str, Any]] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    #: Why the load has no result; the cell has failed then.
    error: WrklabError | None = None
    #: What happened beside the plan, for the journal: (phase, text).
    events: list[tuple[str, str]] = field(default_factory=list)


def run_cell(
    session: Session, cell: Cell, shares: LoadShares, on_phase: Callable[[str], None], run_id: str = ""
) -> CellRaw:
    """Drive one cell to its end. Failures are in `error`; whatever happens, the server is stopped and read.

    `run_id` tells this cell's files on the hosts from those of an earlier run; without one a name is drawn.
    """
    drive = _Drive(LoadOrder(session, cell, f"{run_id or secrets.token_hex(4)}.{cell.cell_id}", shares), on_phase)
    raw, began_mono_s = drive.raw, time.monotonic()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="load") as pool:
        try:
            raw.clocks = drive.read_clocks()
            # The first generator begins to knock while the server starts: what ssh costs is then no part of either.
            load = pool.submit(drive.load.run, raw.clocks)
            raw.server_started_s = drive.start()
            drive.watch_until_ready()
            load.result()
        except WrklabError as error:
            raw.error = error
            drive.load.cancel()
        except KeyboardInterrupt:
            # The pool waits for the load's thread: without this, for the whole window.
            drive.load.cancel()
            raise
        finally:
            on_phase("stop")
            drive.finish()
    raw.ended_mono_s = time.monotonic()
    raw.took_s = raw.ended_mono_s - began_mono_s
    raw.finished_at_s = raw.started_at_s + raw.took_s
    return raw


class _Drive:
    """One cell under way: the calls on both sides, each tried once more after a lost connection."""

    def __init__(self, order: LoadOrder, on_phase: Callable[[str], None]) -> None:
        self._session = order.session
        self._cell = order.cell
        self._name = order.name
        self.load = CellLoad(order, on_phase, lambda phase, text: self.raw.events.append((phase, text)))
        self.raw = CellRaw(time.time(), order.cell.scenario.sample_interval_s, loads=self.load.results)

    def start(self) -> float:
        """Start the server; its host's clock then. A lost call is not repeated: it may have been carried out."""
        try:
            return node_calls.start_server(self._session.server, server_spec(self._session, self._cell, self._name))
        except WrklabError as error:
            raise CellError("start", str(error)) from error

    def read_clocks(self) -> dict[str, Clock]:
        """Every host's clock, before anything is under load. Raises HostError."""

        def read(host: RemoteHost) -> Clock:
            return _again(host, clock_of)

        return self._session.on_all(read)

    def watch_until_ready(self) -> None:
        """A server that dies while it starts costs a second, not its whole start limit."""
        unit = self._cell.variant.unit
        while not self.load.is_past_ready.wait(STATE_POLL_S):
            state = self._on_server(lambda server: node_calls.server_state(server, unit))
            if state["active_state"] not in _STATES_ALIVE and not self.load.is_past_ready.is_set():
                raise CellError(
                    "start",
                    f"{unit} ended before it answered: {state['active_state']}, result {state['result']}, "
                    f"exit status {state['exec_main_status']}",
                )

    def finish(self) -> None:
        """Stop the server and keep what was seen of it; without an answer the lease on the host ends it."""
        spec = server_spec(self._session, self._cell, self._name)
        try:
            self.raw.server = self._on_server(lambda server: node_calls.finish_server(server, spec))
        except WrklabError as error:
            # An earlier failure is the better explanation.
            self.raw.error = self.raw.error or error

    def _on_server(self, call: Callable[[RemoteHost], dict[str, Any]]) -> dict[str, Any]:
        return _again(self._session.server, call)


def _again(host: RemoteHost, call: Callable[[RemoteHost], Answer]) -> Answer:
    """A call that may be made more than once: it is, where the connection is lost."""
    return retry_on_disconnect(host, lambda: call(host), lambda: call(host), lambda _: None)


def server_spec(session: Session, cell: Cell, name: str) -> dict[str, object]:
    """What server_ctl.py is told of a cell; `name` is its folder on the host."""
    hold_ms = cell.scenario.hold_ms
    return {
        "unit": cell.variant.unit,
        "variant": cell.variant.name,
        "cell": name,
        "port": session.port_of(cell.variant),
        "environment": {} if hold_ms is None else {"WRKLAB_HOLD_MS": str(hold_ms)},
        "lease_s": deadline_s(cell, session.timeout_scale),
        "sample_interval_s": cell.scenario.sample_interval_s,
        "keep_log_lines": 40,
    }
