"""Driving one cell on hosts that answer at once: what they report of a failure is the cell's."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.unit.handmade_messages import handmade_complete_load, handmade_failure, handmade_server_report
from wrklab.bench.cell_run import run_cell
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import HostError, ParseError
from wrklab.hosts import node_calls
from wrklab.hosts.inventory import LabHost, LabHosts
from wrklab.hosts.limits import ProcessLoad
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.protocol.backend import BackendReport, BackendSampleSpec
from wrklab.protocol.load import LoadPhase, LoadResult
from wrklab.protocol.phases import Phase
from wrklab.results.raw import CellRaw, Clock, ErrorSource, RawError

SERVER = LabHost("server", "server", "192.0.2.1", "192.0.2.1", "root", 22, None, None, None, (0,), "own", "ssh")
LOADGEN = LabHost("loadgen", "loadgen", "192.0.2.2", "192.0.2.2", "root", 22, None, None, None, (0,), "own", "ssh")
BACKEND = LabHost("backend", "backend", "192.0.2.3", "192.0.2.3", "root", 22, None, None, None, (0,), "own", "ssh")
SAME_CLOCK = Clock(0.0, 0.0, 0.0)


class SayingSession:
    """A server and a generator; the calls to them are replaced."""

    hosts = LabHosts("own", "ssh", SERVER, (LOADGEN,))
    server = RemoteHost(SERVER)
    generators = (RemoteHost(LOADGEN),)
    timeout_scale = 1.0
    backends: tuple[str, ...] = ()

    def on_all(self, _: object) -> dict[str, Clock]:
        return {"server": SAME_CLOCK, "loadgen": SAME_CLOCK}

    def port_of(self, _: object) -> int:
        return 8080


def driven(
    monkeypatch: pytest.MonkeyPatch,
    load: LoadResult | Exception,
    lost: str = "",
    session: SayingSession | None = None,
) -> CellRaw:
    """What comes of a cell whose generator reports this; the call named `lost` loses its host."""

    def answer(*words: Any) -> LoadResult:  # noqa: ANN401  as run_load takes
        if lost == "run_load":
            words[3](LoadPhase.WINDOW)
            lose()
        if isinstance(load, Exception):
            raise load
        return load

    def lose(*_: object) -> None:
        raise HostError(f"{lost}: the connection ended")

    session = session or SayingSession()
    monkeypatch.setattr(node_calls, "start_server", lambda *_: 1000.0)
    monkeypatch.setattr(node_calls, "run_load", answer)
    monkeypatch.setattr(node_calls, "cancel_load", lambda *_: None)
    monkeypatch.setattr(node_calls, "finish_server", lambda *_: handmade_server_report())
    if lost and lost != "run_load":
        monkeypatch.setattr(session if lost == "on_all" else node_calls, lost, lose)
    catalogue = read_catalogue()
    cell = Cell(catalogue.variants["go_net_http"], catalogue.scenario("smoke"), round_number=1)
    return run_cell(cast("Session", session), cell, {"loadgen": [ProcessLoad(1, 10)]}, lambda _: None)


def test_a_failure_comes_with_its_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none is none."""
    raw = driven(monkeypatch, handmade_failure(LoadPhase.SETTLE, "no answer"))

    assert raw.error == RawError(phase=Phase.SETTLE, text="no answer", source=ErrorSource.CELL)
    assert driven(monkeypatch, handmade_complete_load()).error is None


def test_a_result_that_cannot_be_read_is_the_cells_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window counts of which it is not known whether something failed; the server was stopped all the same."""
    raw = driven(monkeypatch, ParseError("loadgen: load_ctl.py: failed: expected an object"))

    assert raw.error is not None
    assert raw.error.source is ErrorSource.ANSWER
    assert raw.error.text == "loadgen: load_ctl.py: failed: expected an object"
    assert raw.server


@pytest.mark.parametrize(
    ("lost", "phase"),
    [
        ("on_all", Phase.CLOCKS),
        ("start_server", Phase.START),
        ("run_load", Phase.WINDOW),
        ("finish_server", Phase.STOP),
    ],
)
def test_a_host_that_is_lost_is_to_blame_in_the_phase_in_which_it_was_lost(
    monkeypatch: pytest.MonkeyPatch, lost: str, phase: Phase
) -> None:
    """At each call of a cell: the clocks, the start, the load in its window, the end."""
    error = driven(monkeypatch, handmade_complete_load(), lost).error

    assert error == RawError(phase=phase, text=f"{lost}: the connection ended", source=ErrorSource.HOST)


class WithBackends(SayingSession):
    """The same with a host for backends, of which the variants use one."""

    hosts = LabHosts("own", "ssh", SERVER, (LOADGEN,), BACKEND)
    backend = RemoteHost(BACKEND)
    backends = ("postgres",)


def test_the_backends_host_is_sampled_from_before_the_start_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the cell's own name and interval; what was seen is the cell's."""
    calls: list[str] = []

    def sample(host: RemoteHost, spec: BackendSampleSpec) -> None:
        calls.append(f"sample on {host.name} every {spec.interval_s} s")

    def report(host: RemoteHost, _: BackendSampleSpec) -> BackendReport:
        calls.append(f"report of {host.name}")
        return BackendReport(samples=(), sampler_stderr="", connections={"postgres": 3})

    monkeypatch.setattr(node_calls, "sample_backends", sample)
    monkeypatch.setattr(node_calls, "report_backends", report)

    raw = driven(monkeypatch, handmade_complete_load(), session=WithBackends())

    assert calls == ["sample on backend every 0.5 s", "report of backend"]
    assert raw.backend is not None
    assert raw.backend.connections == {"postgres": 3}
    assert raw.error is None
    assert driven(monkeypatch, handmade_complete_load()).backend is None


def test_a_cell_whose_backend_is_lost_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it was the limit; the server is stopped all the same."""

    def lose(*_: object) -> None:
        raise HostError("backend: the connection ended")

    monkeypatch.setattr(node_calls, "sample_backends", lambda *_: None)
    monkeypatch.setattr(node_calls, "report_backends", lose)

    raw = driven(monkeypatch, handmade_complete_load(), session=WithBackends())

    assert raw.error == RawError(phase=Phase.STOP, text="backend: the connection ended", source=ErrorSource.HOST)
    assert raw.server
