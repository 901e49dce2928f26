"""One load on several generators: their order, the common mark, and one that fails. The hosts are rehearsed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.handmade_hosts import handmade_host
from tests.unit.handmade_messages import handmade_failure, handmade_load_result
from wrklab.bench.cell_run import server_spec
from wrklab.bench.load import CellLoad, LoadOrder, deadline_s, load_spec, with_scaled_timeouts, wrk_specs
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.scenario import override
from wrklab.errors import CellError, HostError
from wrklab.hosts import node_calls, remote
from wrklab.hosts.inventory import LabHosts
from wrklab.hosts.limits import ProcessLoad
from wrklab.hosts.node_calls import OnPhase
from wrklab.hosts.remote import ConnectionLostError, RemoteHost, retry_on_disconnect
from wrklab.hosts.session import Session, with_known_machines
from wrklab.probe import drive
from wrklab.protocol.load import LoadPhase, LoadResult, LoadSpec
from wrklab.protocol.server import ServerSpec
from wrklab.results.raw import Clock

CLOCKS = {"loadgen": Clock(3600.0, 0.001, 0.01), "loadgen_2": Clock(-5.0, 0.001, 0.02)}
HOST = SimpleNamespace(cpus=(2, 3))
#: What a rehearsed generator does; it ends with this as its result, or raises.
Act = Callable[["Stage", str, OnPhase], LoadResult]


class Stage:
    """Generators that do as they are told, and what the controller did to them."""

    def __init__(self, acts: Mapping[str, Act]) -> None:
        self.acts = acts
        self.done: list[str] = []
        self.specs: dict[str, LoadSpec] = {}
        self.marks_s: dict[str, float] = {}
        self.told = {name: threading.Event() for name in acts}
        self.cancelled = {name: threading.Event() for name in acts}

    def run_load(self, host: Any, spec: Any, _limit_s: float, on_phase: OnPhase) -> LoadResult:  # noqa: ANN401
        self.done.append(f"begin {host.name}")
        self.specs[host.name] = spec
        return self.acts[host.name](self, host.name, on_phase)

    def mark_load(self, host: Any, _cell: str, at_s: float) -> None:  # noqa: ANN401
        self.marks_s[host.name] = at_s
        self.told[host.name].set()

    def cancel_load(self, host: Any) -> None:  # noqa: ANN401
        self.done.append(f"cancel {host.name}")
        self.cancelled[host.name].set()


def measures(stage: Stage, name: str, on_phase: OnPhase) -> LoadResult:
    """Ready, armed, and begins when it is told."""
    on_phase(LoadPhase.READY)
    stage.done.append(f"ready {name}")
    on_phase(LoadPhase.ARMED)
    if stage.specs[name].waits_for_mark:
        assert stage.told[name].wait(5)
    on_phase(LoadPhase.WINDOW)
    return handmade_load_result(cell=name)


def until_cancelled(stage: Stage, name: str, on_phase: OnPhase) -> LoadResult:
    """Is armed, and goes on for as long as nobody ends it."""
    on_phase(LoadPhase.READY)
    on_phase(LoadPhase.ARMED)
    assert stage.cancelled[name].wait(5)
    return handmade_failure(LoadPhase.ARMED, "cancelled by a signal")


def finds_no_route(_stage: Stage, _name: str, on_phase: OnPhase) -> LoadResult:
    """Never gets an answer."""
    on_phase(LoadPhase.READY)
    return handmade_failure(LoadPhase.READY, "not ready within 6 s")


def is_lost(_stage: Stage, name: str, on_phase: OnPhase) -> LoadResult:
    """Its host cannot be used."""
    on_phase(LoadPhase.READY)
    raise HostError(f"{name}: gone")


@pytest.fixture
def stage_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Stage, CellLoad]]:
    """A stage and a load on it, from an act a generator."""

    def make(*acts: Act) -> tuple[Stage, CellLoad]:
        stage = Stage(dict(zip(CLOCKS, acts, strict=False)))
        for name in ("run_load", "mark_load", "cancel_load"):
            monkeypatch.setattr(node_calls, name, getattr(stage, name))
        hosts = tuple(
            cast("RemoteHost", SimpleNamespace(name=name, close=lambda: None, timeout_scale=1.0, host=HOST))
            for name in stage.acts
        )
        catalogue = read_catalogue()
        server = SimpleNamespace(load_address="10.0.0.1")
        session = SimpleNamespace(
            generators=hosts, hosts=SimpleNamespace(server=server), port_of=lambda _: 8080, timeout_scale=1.0
        )
        scenario = override(catalogue.scenario("smoke"), {"warmup_s": 1})
        cell = Cell(catalogue.variants["go_net_http"], scenario, round_number=1)
        shares = {name: [ProcessLoad(1, 10)] for name in stage.acts}
        order = LoadOrder(cast("Session", session), cell, "run.cell", shares)
        return stage, CellLoad(order, lambda _: None, lambda phase, text: stage.done.append(f"{phase} {text}"))

    return make


def test_all_begin_at_one_moment_by_their_own_clocks(stage_of: Callable[..., tuple[Stage, CellLoad]]) -> None:
    """The first waits for the server and warms it up; only then do the others come, and none without the mark."""
    stage, load = stage_of(measures, measures)
    began_s = time.time()
    load.run(CLOCKS)

    assert stage.done[:3] == ["begin loadgen", "ready loadgen", "begin loadgen_2"]
    first_s, second_s = (CLOCKS[name].on_controller(stage.marks_s[name]) for name in CLOCKS)
    assert first_s == pytest.approx(second_s, abs=1e-6)
    assert began_s < first_s < time.time() + 1
    assert load.results == {name: handmade_load_result(cell=name) for name in CLOCKS}
    assert stage.specs["loadgen"].warmup is not None
    assert stage.specs["loadgen_2"].warmup is None
    assert stage.specs["loadgen_2"].cpus == (2, 3)
    assert not [text for text in stage.done if text.startswith("cancel")]


def test_one_generator_needs_no_mark(stage_of: Callable[..., tuple[Stage, CellLoad]]) -> None:
    """It begins when it is ready."""
    stage, load = stage_of(measures)
    load.run(CLOCKS)

    assert stage.marks_s == {}
    assert set(load.results) == {"loadgen"}


@pytest.mark.parametrize(
    ("acts", "error", "text"),
    [
        ((until_cancelled, finds_no_route), CellError, "loadgen_2: not ready within 6 s"),
        ((until_cancelled, is_lost), HostError, "loadgen_2: gone"),
        ((finds_no_route, measures), CellError, "loadgen: not ready within 6 s"),
    ],
)
def test_one_that_fails_ends_the_others_and_is_named(
    stage_of: Callable[..., tuple[Stage, CellLoad]], acts: tuple[Act, ...], error: type[Exception], text: str
) -> None:
    """At once: a load that is armed would wait for its mark until its deadline."""
    stage, load = stage_of(*acts)
    with pytest.raises(error, match=text):
        load.run(CLOCKS)

    assert stage.marks_s == {}
    assert stage.cancelled["loadgen"].is_set() == (acts[0] is until_cancelled)
    assert "begin loadgen_2" in stage.done or acts[0] is finds_no_route


def test_one_that_fails_in_the_window_ends_the_others(stage_of: Callable[..., tuple[Stage, CellLoad]]) -> None:
    """What the others measure without it is not the load that was asked for."""

    def dies(stage: Stage, name: str, on_phase: OnPhase) -> LoadResult:
        measures(stage, name, on_phase)
        return handmade_failure(LoadPhase.WINDOW, "wrk process 1 of 1 left no complete report")

    stage, load = stage_of(until_cancelled, dies)
    with pytest.raises(CellError, match="loadgen_2: wrk process 1 of 1"):
        load.run(CLOCKS)

    assert stage.cancelled["loadgen"].is_set()
    assert set(load.results) == {"loadgen", "loadgen_2"}


def test_a_load_that_was_ended_before_it_began_never_begins(
    stage_of: Callable[..., tuple[Stage, CellLoad]],
) -> None:
    """The server did not start: nobody knocks for the whole of its start limit."""
    stage, load = stage_of(measures, measures)
    load.cancel()
    with pytest.raises(CellError, match="ended before its load began"):
        load.run(CLOCKS)

    assert stage.done == []


def test_whoever_waits_for_the_mark_can_be_ended(stage_of: Callable[..., tuple[Stage, CellLoad]]) -> None:
    """Ctrl-C while the second generator gets ready."""

    def is_slow(stage: Stage, name: str, on_phase: OnPhase) -> LoadResult:
        on_phase(LoadPhase.READY)
        assert stage.cancelled[name].wait(5)
        return handmade_failure(LoadPhase.READY, "cancelled by a signal")

    stage, load = stage_of(until_cancelled, is_slow)
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(load.run, CLOCKS)
        while "begin loadgen_2" not in stage.done:
            time.sleep(0.005)
        load.cancel()
        with pytest.raises(CellError):
            running.result(timeout=5)

    assert stage.marks_s == {}


def test_a_lost_connection_is_followed_again(
    stage_of: Callable[..., tuple[Stage, CellLoad]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the one where it was lost; the other does not notice."""

    def is_cut(_stage: Stage, name: str, _on_phase: OnPhase) -> LoadResult:
        raise ConnectionLostError(f"{name}: the connection ended")

    stage, load = stage_of(measures, is_cut)
    monkeypatch.setattr(remote, "reconnect", lambda host: stage.done.append(f"reconnect {host.name}"))
    monkeypatch.setattr(
        node_calls, "follow_load", lambda host, _cell, _limit_s, on_phase: measures(stage, host.name, on_phase)
    )
    load.run(CLOCKS)

    assert "reconnect loadgen_2" in stage.done
    assert "followed loadgen_2: loadgen_2: the connection ended" in stage.done
    assert set(stage.marks_s) == set(CLOCKS)


def shapes(*loads: tuple[int, int], are_all_checked: bool = False) -> list[tuple[int, int, bool]]:
    """Threads, connections, and whether it compares, of each process."""
    specs = wrk_specs([ProcessLoad(*load) for load in loads], are_all_checked=are_all_checked)
    return [(spec.threads, spec.connections, spec.checks_answers) for spec in specs]


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        # A hundredth, and the others stay a multiple of their threads.
        ([(4, 2000)], [(4, 1980, False), (1, 20, True)]),
        ([(4, 64)], [(4, 60, False), (1, 4, True)]),
        ([(2, 11_000), (2, 11_000)], [(2, 10_780, False), (2, 11_000, False), (1, 220, True)]),
        # None to spare.
        ([(4, 4)], [(4, 4, False)]),
        ([(1, 1)], [(1, 1, False)]),
        ([(1, 2)], [(1, 1, False), (1, 1, True)]),
    ],
)
def test_a_hundredth_of_the_connections_compares(
    loads: list[tuple[int, int]], expected: list[tuple[int, int, bool]]
) -> None:
    """By a process of their own, out of the first one's share."""
    assert shapes(*loads) == expected
    assert sum(connections for _, connections, _ in expected) == sum(connections for _, connections in loads)


def test_where_all_are_compared_nothing_is_split() -> None:
    """As the articles did."""
    assert shapes((4, 2000), are_all_checked=True) == [(4, 2000, True)]


SERVER = handmade_host(cpus=(0,))
LOADGENS = tuple(replace(SERVER, name=name, group="loadgen") for name in ("loadgen", "loadgen_2"))


class OpenHost:
    """A host whose connection opens each time."""

    opened = 0
    timeout_scale = 1.0

    def open(self) -> None:
        self.opened += 1


class Losing:
    """A call whose connection is lost so many times."""

    def __init__(self, losses_count: int) -> None:
        self.losses_count, self.said = losses_count, list[str]()

    def __call__(self, what: str) -> str:
        self.said.append(what)
        if len(self.said) <= self.losses_count:
            raise ConnectionLostError("server: the connection ended")
        return "answer"


@pytest.mark.parametrize("losses_count", [0, 1, 4])
def test_a_call_is_followed_over_each_new_connection(losses_count: int) -> None:
    """It is begun once, and asked for its answer as often as it takes; every loss is told."""
    host, call, lost = OpenHost(), Losing(losses_count), list[str]()
    found = retry_on_disconnect(cast("RemoteHost", host), lambda: call("run"), lambda: call("follow"), lost.append)

    assert found == "answer"
    assert call.said == ["run", *["follow"] * losses_count]
    assert host.opened == len(lost) == losses_count


def test_connections_that_end_one_after_the_other_are_given_up() -> None:
    """The last loss is what is told."""
    call = Losing(100)
    with pytest.raises(ConnectionLostError):
        retry_on_disconnect(cast("RemoteHost", OpenHost()), lambda: call("run"), lambda: call("follow"), lambda _: None)
    assert len(call.said) == 6


def session_at(**paces_s: float) -> Session:
    """A lab of a server and two generators, of which some compute so slowly; the others take 3 ms."""
    hosts = (SERVER, *LOADGENS)
    session = Session(
        read_catalogue(),
        LabHosts("own", "ssh", SERVER, LOADGENS),
        RemoteHost(SERVER),
        tuple(RemoteHost(host) for host in LOADGENS),
    )
    return with_known_machines(
        session, {host.name: {"moment": {"pace_s": paces_s.get(host.name, 0.003)}} for host in hosts}
    )


def specs_of(session: Session) -> tuple[ServerSpec, list[LoadSpec]]:
    """The specs of a cell: of the server, and of each generator."""
    catalogue = session.catalogue
    cell = with_scaled_timeouts(session, [Cell(catalogue.variants["go_net_http"], catalogue.scenario("smoke"), 1)])[0]
    order = LoadOrder(session, cell, "run.cell", {host.name: [ProcessLoad(1, 10)] for host in LOADGENS})
    return server_spec(session, cell, "run.cell"), [load_spec(order, host) for host in session.generators]


def test_a_slow_generator_makes_everything_patient() -> None:
    """The slowest host's ratio holds for all: limits of a cell, of calls, of connections that come back."""
    quick, slow = session_at(), session_at(loadgen_2=0.06)
    server, first, second = zip(
        *((of_server, *of_loads) for of_server, of_loads in (specs_of(quick), specs_of(slow))), strict=True
    )

    assert quick.timeout_scale == 1.0
    assert slow.timeout_scale == pytest.approx(10.0)
    assert {host.timeout_scale for host in slow.all} == {slow.timeout_scale}
    assert node_calls.call_limit_s(slow.server) == pytest.approx(10 * node_calls.call_limit_s(quick.server))
    for key in ("attempt_limit_s", "settle_limit_s", "timeout_scale", "ready_limit_s"):
        assert getattr(first[1], key) == pytest.approx(10 * getattr(first[0], key))
    assert second[1].ready_limit_s > 9 * second[0].ready_limit_s
    # What is measured is not made longer, what waits for hosts is.
    assert first[1].duration_s == first[0].duration_s
    assert server[1].lease_s == first[1].deadline_s > 7 * first[0].deadline_s


def test_usual_hosts_are_waited_for_as_ever() -> None:
    """A dead server costs seconds, not minutes."""
    session = session_at(server=0.005)
    first = specs_of(session)[1][0]

    assert (first.attempt_limit_s, first.settle_limit_s, first.timeout_scale) == (2.0, 10.0, 1.0)
    assert node_calls.call_limit_s(session.server) == 40.0


def test_a_deadline_lasts_longer_than_all_that_it_covers() -> None:
    """Every phase may use its own limit up."""
    catalogue = read_catalogue()
    for ratio in (1.0, 20.0):
        cell = Cell(catalogue.variants["go_net_http"], catalogue.scenario("standard"), 1)
        phases_s = cell.variant.start_limit_s + cell.scenario.warmup_s + cell.scenario.duration_s + (10 + 2 * 2) * ratio
        assert deadline_s(cell, ratio) > phases_s + 20


@pytest.mark.parametrize(("call_s", "lead_s"), [(0.03, 0.35), (1.2, 7.2)])
def test_a_probe_begins_its_wave_when_both_hosts_can_be_there(call_s: float, lead_s: float) -> None:
    """By what a call was measured to take on the slower one: ssh, sudo, an interpreter."""
    clocks = (Clock(0.0, 0.001, 0.02), Clock(0.0, 0.001, call_s))
    server = drive.Server(cast("Session", SimpleNamespace()), read_catalogue().variants["go_net_http"], *clocks)
    assert drive.lead_s(server) == pytest.approx(lead_s)
