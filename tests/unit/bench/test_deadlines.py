"""Calls over connections that are lost, and what slow hosts are given more time for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from tests.unit.handmade_hosts import handmade_host
from wrklab.bench.cell_run import server_spec
from wrklab.bench.deadlines import deadline_s, with_scaled_timeouts
from wrklab.bench.load import LoadOrder, load_spec
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.hosts import node_calls
from wrklab.hosts.inventory import LabHosts
from wrklab.hosts.limits import ProcessLoad
from wrklab.hosts.remote import ConnectionLostError, RemoteHost, retry_on_disconnect
from wrklab.hosts.session import Session, with_known_machines
from wrklab.probe import drive
from wrklab.protocol.load import LoadSpec
from wrklab.protocol.server import ServerSpec
from wrklab.results.raw import Clock

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
