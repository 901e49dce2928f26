"""What hosts say may be damaged in any way: a cell fails then, with a reason, and nothing else does."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.handmade_raw import SAME_CLOCK, captured, handmade_raw
from tests.unit.handmade_records import handmade_cell, handmade_planned
from wrklab.bench.cell_run import run_cell
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.errors import ParseError
from wrklab.extract.cell import cell_outcome
from wrklab.hosts import node_calls
from wrklab.hosts.inventory import LabHost, LabHosts
from wrklab.hosts.limits import ProcessLoad
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.protocol.codec import MessageType, ProtocolError, decode
from wrklab.protocol.load import LoadResult
from wrklab.protocol.phases import Phase
from wrklab.protocol.server import ServerReport
from wrklab.results.raw import CellRaw, Clock, ErrorSource, RawError
from wrklab.results.records import CellRecord

JUNK: list[Any] = [
    None,
    "",
    "junk",
    -1,
    0,
    10**400,
    float("nan"),
    float("inf"),
    True,
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
]


def lab_host(name: str, group: str) -> LabHost:
    """A host of the lab that the cell was captured on."""
    return LabHost(
        name=name,
        group=group,
        address="127.0.0.1",
        load_address="127.0.0.1",
        user="root",
        port=22,
        key_path=None,
        known_hosts_path=None,
        jump_host=None,
        cpus=(0,),
        lab="container",
        lab_kind="container",
    )


HOSTS = LabHosts("container", "container", lab_host("server", "server"), (lab_host("loadgen", "loadgen"),))


WHOLE = captured()


def record_of(told: dict[str, Any]) -> CellRecord:
    """The cell's record, made as a bench does: what cannot be decoded ends the cell."""
    try:
        raw = handmade_raw(decode(LoadResult, told["load"]), server=decode(ServerReport, told["server"]))
    except ProtocolError as error:
        raw = handmade_raw(error=RawError(phase=Phase.STOP, text=str(error), source=ErrorSource.ANSWER))
    return cell_outcome(raw, handmade_planned(handmade_cell("go_net_http")), 0).record


def outcome_of(told: dict[str, Any]) -> str:
    """`measured`, or the text of the failure."""
    record = record_of(told)
    record.model_dump_json()
    return record.failure.text if record.failure else record.state


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401  JSON
    """The path of every value within a JSON value; of long lists the first entries."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:3]):
            found += places(inner, (*path, number))
    return found


def damaged(path: tuple[Any, ...], junk: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """The captured cell with one value replaced."""
    told = copy.deepcopy(WHOLE)
    inner = told
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return told


def test_the_captured_cell_is_a_good_one() -> None:
    """Otherwise the other tests here would show nothing."""
    assert outcome_of(captured()) == "measured"


def test_who_else_was_connected_is_neither_a_host_nor_the_server_itself() -> None:
    """The captured cell had 20 connections from another address."""
    told = captured()
    told["server"]["observed"]["peers"] |= {"127.0.0.1": 3, "::1": 2}
    measured = record_of(told).measurement

    assert measured is not None
    assert measured.server.foreign_connections == {"10.86.77.1": 20}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([path for path in places(WHOLE) if len(path) > 1]), st.sampled_from(JUNK))
def test_no_damage_to_a_cell_ends_the_run(path: tuple[Any, ...], junk: Any) -> None:  # noqa: ANN401  JSON
    """One value anywhere replaced by junk: the cell is measured (where nobody needs the value) or has failed."""
    assert outcome_of(damaged(path, junk))


class SayingSession:
    """A server and a generator that say what they are told to, at once."""

    hosts = HOSTS
    server = RemoteHost(HOSTS.server)  # never connected: the calls are rehearsed
    timeout_scale = 1.0
    generators = (RemoteHost(HOSTS.generators[0]),)
    backends: tuple[str, ...] = ()

    def on_all(self, _: object) -> dict[str, Clock]:
        return {"server": SAME_CLOCK, "loadgen": SAME_CLOCK}

    def port_of(self, _: object) -> int:
        return 8080


def answer(kind: type[MessageType], host: str, value: Any) -> MessageType:  # noqa: ANN401  JSON
    """As node_calls reads it. Raises ParseError."""
    try:
        return decode(kind, value)
    except ProtocolError as error:
        raise ParseError(f"{host}: {error}") from error


@cache
def catalogue() -> Catalogue:
    """Read once: hundreds of damaged cells are driven with it."""
    return read_catalogue()


def said_in_a_cell(told: dict[str, Any]) -> CellRaw:
    """What comes of a cell that is driven on hosts which say this."""
    cell = Cell(catalogue().variants["go_net_http"], catalogue().scenario("smoke"), round_number=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(node_calls, "start_server", lambda *_: 1000.0)
        patched.setattr(node_calls, "run_load", lambda *_: answer(LoadResult, "loadgen", told["load"]))
        patched.setattr(node_calls, "cancel_load", lambda *_: None)
        patched.setattr(node_calls, "finish_server", lambda *_: answer(ServerReport, "server", told["server"]))
        session = cast("Session", SayingSession())
        return run_cell(session, cell, {"loadgen": [ProcessLoad(1, 10)]}, lambda _: None)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([("load", "failed"), *(path for path in places(WHOLE) if len(path) == 2)]), st.sampled_from(JUNK)
)
def test_no_damage_goes_through_the_driving_of_a_cell(path: tuple[Any, ...], junk: Any) -> None:  # noqa: ANN401  JSON
    """Whatever the hosts said, it ends with an error of ours, if any: another would end the bench with a traceback."""
    raw = said_in_a_cell(damaged(path, junk))
    assert raw.error is None or raw.error.source is ErrorSource.ANSWER or path == ("load", "failed")


@pytest.mark.parametrize("failed", ["x", {}, [], 0, "", {"phase": "window"}, {"text": "?"}, [{}], True])
def test_a_failure_that_cannot_be_read_is_an_error(failed: object) -> None:
    """No window counts where its generator says that something failed, however it says so."""
    raw = said_in_a_cell(damaged(("load", "failed"), failed))
    assert raw.error is not None
    assert raw.error.source is ErrorSource.ANSWER
    assert raw.error.text.startswith("loadgen: failed")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (("load", "window"), "window: expected an object"),
        (("load", "wrk", 0, "report"), r"wrk\[0\]\.report: expected an object"),
        (("server", "observed"), "observed: expected an object"),
    ],
)
def test_what_is_needed_and_damaged_fails_the_cell_with_the_reason(path: tuple[Any, ...], where: str) -> None:
    """Never a number of it."""
    assert re.match(where, outcome_of(damaged(path, "junk")))


def test_parts_that_do_not_fit_together_fail_the_cell_with_the_reason() -> None:
    """Each is a message as it should be."""
    assert "what the hosts said cannot be read" in outcome_of(damaged(("load", "window"), None))
    assert "no -c in wrk's command line" in outcome_of(damaged(("load", "wrk", 0, "argv"), ["wrk"]))


@pytest.mark.parametrize("kept", [slice(0), slice(1), slice(2), slice(-2, None)])
@pytest.mark.parametrize("side", ["server", "load"])
def test_a_sampler_that_died_fails_the_cell(side: str, kept: slice) -> None:
    """With what it saw and said; its CPU, neighbours and steal are not taken for none."""
    told = captured()
    told[side]["samples"] = told[side]["samples"][kept]
    told["server"]["sampler_stderr"] = "OSError: [Errno 28] No space left on device"
    found = outcome_of(told)
    assert re.match(r"the sampler on \w+ saw only [0-2]\.\d of 3\.0 s: ", found)
    assert ("No space left" in found) == (side == "server")


def test_samples_of_another_time_fail_the_cell() -> None:
    """The host's wall clock was stepped between the question for it and the sampler's start."""
    told = captured()
    lines = [json.loads(line) for line in told["server"]["samples"]]
    told["server"]["samples"] = [json.dumps(line | {"at": line["at"] + 3600}) for line in lines]
    assert "the sampler on server saw only 0.0 of 3.0 s" in outcome_of(told)
