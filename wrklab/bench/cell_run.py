"""Driving one cell: server started, verified from the generators, warmed, measured, verified, pulled, stopped."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from wrklab.bench.load import CellLoad, LoadOrder, deadline_s
from wrklab.bench.plan import Cell
from wrklab.errors import CellError, WrklabError
from wrklab.hosts import node_calls
from wrklab.hosts.application import empty_backends, start_environment
from wrklab.hosts.limits import LoadShares
from wrklab.hosts.node_calls import clock_of
from wrklab.hosts.remote import RemoteHost, retry_on_disconnect
from wrklab.hosts.session import Session
from wrklab.protocol.backend import BackendReport, BackendSampleSpec
from wrklab.protocol.blanking import blanked
from wrklab.protocol.phases import Phase
from wrklab.protocol.server import ServerReport, ServerSpec
from wrklab.results.raw import CellConditions, CellEvent, CellRaw, Clock, RawError

Answer = TypeVar("Answer")

#: Between two looks at the server's unit while the generator waits for it to be ready.
STATE_POLL_S = 0.7


def run_cell(
    session: Session, cell: Cell, shares: LoadShares, on_phase: Callable[[str], None], run_id: str = ""
) -> CellRaw:
    """Drive one cell to its end. Failures are in `error`; whatever happens, the server is stopped and read.

    `run_id` keeps this cell's files on the hosts apart from those of an earlier run; without one a name is drawn.
    """
    drive = _Drive(LoadOrder(session, cell, f"{run_id or secrets.token_hex(4)}.{cell.cell_id}", shares), on_phase)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="load") as pool:
        try:
            clocks = drive.read_clocks()
            # The first generator begins to ask while the server starts: what ssh costs is then no part of either.
            load = pool.submit(drive.load.run, clocks)
            drive.start()
            drive.watch_until_ready()
            drive.follow(load)
        except WrklabError as error:
            drive.fail(error)
            drive.load.cancel()
        except KeyboardInterrupt:
            # The pool waits for the load's thread: without this, for the complete window.
            drive.load.cancel()
            raise
        finally:
            on_phase(Phase.STOP)
            drive.finish()
    return drive.raw()


class _Drive:
    """One cell under way: the calls on both sides, each tried once more after a lost connection."""

    def __init__(self, order: LoadOrder, on_phase: Callable[[str], None]) -> None:
        self._session = order.session
        self._cell = order.cell
        self._name = order.name
        self._started_at_s, self._began_mono_s = time.time(), time.monotonic()
        self._phase = Phase.CLOCKS
        self._events: list[CellEvent] = []
        self._clocks: dict[str, Clock] = {}
        self._server: ServerReport | None = None
        self._backend: BackendReport | None = None
        self._server_started_s: float | None = None
        self._error: RawError | None = None
        self.load = CellLoad(order, on_phase, self._note)

    def _note(self, phase: str, text: str) -> None:
        self._events.append(CellEvent(phase=phase, text=blanked(text)))

    def raw(self) -> CellRaw:
        """What was kept of it."""
        took_s = time.monotonic() - self._began_mono_s
        conditions = CellConditions(
            hosts=self._session.hosts.described,
            started_at_s=self._started_at_s,
            finished_at_s=self._started_at_s + took_s,
            took_s=took_s,
            sample_interval_s=self._cell.scenario.sample_interval_s,
            server_started_s=self._server_started_s,
            error=self._error,
            events=tuple(self._events),
        )
        return CellRaw(conditions, self.load.results, self._server, self._clocks, self._backend)

    def fail(self, error: WrklabError) -> None:
        """Keep why the cell ended: of several reasons the first one, which explains the others."""
        self._error = self._error or RawError.of(error, self._phase)

    def follow(self, load: Future[None]) -> None:
        """Wait for the load's end. Raises what ended it early."""
        try:
            load.result()
        finally:
            self._phase = self.load.phase

    def read_clocks(self) -> dict[str, Clock]:
        """Every host's clock, before anything is under load. Raises HostError."""

        def read(host: RemoteHost) -> Clock:
            return _again(host, clock_of)

        self._clocks = self._session.on_all(read)
        return self._clocks

    def start(self) -> None:
        """Start the server. A lost call is not repeated: it may have been carried out. Raises HostError, ParseError."""
        self._phase = Phase.START
        if host := self._sampled_backend:
            _again(host, lambda host: node_calls.sample_backends(host, self._backend_spec()))
        spec = server_spec(self._session, self._cell, self._name)
        empty_backends(self._session, self._cell.variant)
        self._server_started_s = node_calls.start_server(self._session.server, spec)

    def watch_until_ready(self) -> None:
        """A server that dies while it starts costs a second, not all of its start limit."""
        self._phase = Phase.READY
        unit = self._cell.variant.unit
        while not self.load.is_past_ready.wait(STATE_POLL_S):
            state = self._on_server(lambda server: node_calls.server_state(server, unit))
            if not state.is_up and not self.load.is_past_ready.is_set():
                raise CellError(
                    Phase.START,
                    f"{unit} ended before it answered: {state.active_state}, result {state.result}, "
                    f"exit status {state.exec_main_status}",
                )

    def finish(self) -> None:
        """Stop the server and keep what was seen of it; without an answer the lease on the host ends it."""
        spec = server_spec(self._session, self._cell, self._name)
        try:
            self._server = self._on_server(lambda server: node_calls.finish_server(server, spec))
        except WrklabError as error:
            self._phase = Phase.STOP
            self.fail(error)

        if host := self._sampled_backend:
            try:
                self._backend = _again(host, lambda host: node_calls.report_backends(host, self._backend_spec()))
            except WrklabError as error:
                self._phase = Phase.STOP
                self.fail(error)

    @property
    def _sampled_backend(self) -> RemoteHost | None:
        """The backends' host where the session's variants use any."""
        return self._session.backend if self._session.backends else None

    def _backend_spec(self) -> BackendSampleSpec:
        return BackendSampleSpec(
            cell=self._name,
            interval_s=self._cell.scenario.sample_interval_s,
            lease_s=deadline_s(self._cell, self._session.timeout_scale),
        )

    def _on_server(self, call: Callable[[RemoteHost], Answer]) -> Answer:
        return _again(self._session.server, call)


def _again(host: RemoteHost, call: Callable[[RemoteHost], Answer]) -> Answer:
    """A call that may be made more than once: it is, where the connection is lost."""
    return retry_on_disconnect(host, lambda: call(host), lambda: call(host), lambda _: None)


def server_spec(session: Session, cell: Cell, name: str) -> ServerSpec:
    """The server of a cell; `name` is its folder on the host."""
    hold_ms = cell.scenario.hold_ms
    environment = start_environment(session, cell.variant)
    return ServerSpec(
        unit=cell.variant.unit,
        variant=cell.variant.file_name,
        cell=name,
        port=session.port_of(cell.variant),
        environment=environment if hold_ms is None else {**environment, "WRKLAB_HOLD_MS": str(hold_ms)},
        lease_s=deadline_s(cell, session.timeout_scale),
        sample_interval_s=cell.scenario.sample_interval_s,
        keep_log_lines=40,
        start_limit_s=cell.variant.start_limit_s,
    )
