"""What hosts say may be damaged in any way: a cell fails then, with a reason, and nothing else does."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.handmade_records import handmade_cell, handmade_planned
from wrklab.bench.cell_run import CellRaw, run_cell
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.errors import ParseError, WrklabError
from wrklab.extract.cell import cell_outcome
from wrklab.hosts import node_calls
from wrklab.hosts.clocks import Clock
from wrklab.hosts.inventory import LabHost, LabHosts
from wrklab.hosts.limits import ProcessLoad
from wrklab.hosts.node_calls import (
    clean_up,
    environment,
    run_load,
    server_state,
    start_server,
    unit_files,
    unpack_result,
)
from wrklab.hosts.remote import CommandResult, RemoteHost
from wrklab.hosts.session import Session
from wrklab.results.records import CellRecord

CAPTURED = Path(__file__).parents[1] / "captured" / "cell" / "go_net_http.json.gz"
SAME_CLOCK = Clock(0.0, 0.0, 0.0)
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


def captured() -> dict[str, Any]:
    """A real cell: what loadgen and server said."""
    found: dict[str, Any] = json.loads(gzip.decompress(CAPTURED.read_bytes()))
    return found


WHOLE = captured()


def record_of(told: dict[str, Any]) -> CellRecord:
    """The cell's record."""
    raw = CellRaw(
        1000.0,
        sample_interval_s=0.5,
        finished_at_s=1005.0,
        took_s=5.0,
        server_started_s=1000.0,
        loads={"loadgen": told["load"]},
        server=told["server"],
        clocks={"server": SAME_CLOCK, "loadgen": SAME_CLOCK},
    )
    return cell_outcome(raw, handmade_planned(handmade_cell("go_net_http")), 0, HOSTS).record


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

    def on_all(self, _: object) -> dict[str, Clock]:
        return {"server": SAME_CLOCK, "loadgen": SAME_CLOCK}

    def port_of(self, _: object) -> int:
        return 8080


@cache
def catalogue() -> Catalogue:
    """Read once: hundreds of damaged cells are driven with it."""
    return read_catalogue()


def said_in_a_cell(told: dict[str, Any]) -> CellRaw:
    """What comes of a cell that is driven on hosts which say this."""
    cell = Cell(catalogue().variants["go_net_http"], catalogue().scenario("smoke"), round_number=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(node_calls, "start_server", lambda *_: 1000.0)
        patched.setattr(node_calls, "run_load", lambda *_: told["load"])
        patched.setattr(node_calls, "cancel_load", lambda *_: None)
        patched.setattr(node_calls, "finish_server", lambda *_: told["server"])
        session = cast("Session", SayingSession())
        return run_cell(session, cell, {"loadgen": [ProcessLoad(1, 10)]}, lambda _: None)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([("load", "failed"), *(path for path in places(WHOLE) if len(path) == 2)]), st.sampled_from(JUNK)
)
def test_no_damage_goes_through_the_driving_of_a_cell(path: tuple[Any, ...], junk: Any) -> None:  # noqa: ANN401  JSON
    """Whatever the hosts said, it ends with an error of ours, if any: another would end the bench with a traceback."""
    raw = said_in_a_cell(damaged(path, junk))
    assert raw.error is None or isinstance(raw.error, WrklabError)


@pytest.mark.parametrize("failed", ["x", {}, [], 0, "", {"phase": "window"}, {"text": "?"}, [{}], True])
def test_a_failure_that_cannot_be_read_is_told_as_such(failed: object) -> None:
    """No window counts where its generator says that something failed, however it says so."""
    raw = said_in_a_cell(damaged(("load", "failed"), failed))
    assert isinstance(raw.error, ParseError)
    assert "loadgen: the generator's result says of its failure" in str(raw.error)


def test_a_failure_is_told_with_its_phase() -> None:
    """And none is none."""
    raw = said_in_a_cell(damaged(("load", "failed"), {"phase": "settle", "text": "no answer"}))
    assert str(raw.error) == "settle: no answer"
    assert said_in_a_cell(captured()).error is None


@pytest.mark.parametrize("path", [("load", "window"), ("load", "wrk", 0, "report"), ("server", "observed")])
def test_what_is_needed_and_damaged_fails_the_cell_with_the_reason(path: tuple[Any, ...]) -> None:
    """Never a number of it."""
    assert "cannot be read" in outcome_of(damaged(path, "junk"))


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


class SayingHost:
    """A host whose commands say what they are told to."""

    name = "server"
    host = HOSTS.server
    timeout_scale = 1.0

    def __init__(self, said: str) -> None:
        self.said = said

    def run(self, *_: Any, on_line: Any = None, **__: Any) -> CommandResult:  # noqa: ANN401  as RemoteHost.run takes
        for line in self.said.splitlines() if on_line else []:
            on_line(line)
        return CommandResult("server", "x", 0, self.said, "", 0.0)


@pytest.mark.parametrize(
    "said", ["", "null", "[]", "{}", '{"started_at": "soon"}', '{"phase"', '{"phase": 1}\n!', "\x00\xff"]
)
@pytest.mark.parametrize("call", ["start", "state", "load", "environment", "units"])
def test_an_answer_that_is_none_is_an_error_of_ours(said: str, call: str) -> None:
    """With the host's name in it; no traceback of a parser."""
    host: RemoteHost = SayingHost(said)  # type: ignore[assignment]
    calls: dict[str, Callable[[], object]] = {
        "start": lambda: start_server(host, {}),
        "state": lambda: server_state(host, "x"),
        "load": lambda: run_load(host, {}, 1.0, lambda _: None),
        "environment": lambda: environment(host),
        "units": lambda: unit_files(host, ["x"]),
    }
    with pytest.raises(WrklabError, match="server") as told:
        calls[call]()
    assert isinstance(told.value, ParseError)


def test_half_a_character_is_read_as_a_question_mark() -> None:
    """A lone surrogate is valid JSON and no text: no file and no store would take it."""
    host: RemoteHost = SayingHost(r'{"active_state": "\ud800", "result": "\ud83d\ude00", "exec_main_status": 0}')  # type: ignore[assignment]
    assert server_state(host, "x") == {"active_state": "?", "result": "\U0001f600", "exec_main_status": 0}
    packed = base64.b64encode(zlib.compress(rb'{"failed": "\udcff"}')).decode()
    assert unpack_result("loadgen", packed) == {"failed": "?"}


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"cpu": {"allowed": "junk"}}, "cpu.allowed"),
        ({"cpu": {"allowed": [0], "governors": 5}}, "cpu.governors"),
        ({"cpu": {"allowed": [0], "siblings": []}}, "cpu.siblings"),
        ({"cpu": {"allowed": [0]}, "moment": []}, "moment"),
        ({"cpu": {"allowed": [0]}, "moment": {"pace_s": "fast"}}, "moment.pace_s"),
        ({"cpu": {"allowed": [0]}, "cgroup_limits": {"cpus_count": []}}, "cgroup_limits.cpus_count"),
    ],
)
def test_an_environment_that_cannot_be_computed_with_is_told_with_its_key(said: object, where: str) -> None:
    """Before a run begins."""
    host: RemoteHost = SayingHost(json.dumps(said))  # type: ignore[assignment]
    with pytest.raises(ParseError, match=rf"server: environment\.py: {re.escape(where)}: "):
        environment(host)


@pytest.mark.parametrize(
    "said", [{"ended": None}, {"removed": 5}, {"free_bytes": {"/run/wrklab": "some"}}, {"free_bytes": {"/run": None}}]
)
def test_a_clean_up_that_cannot_be_read_is_told(said: object) -> None:
    """An older deploy may tell less, not something else."""
    host: RemoteHost = SayingHost(json.dumps(said))  # type: ignore[assignment]
    with pytest.raises(ParseError, match=r"server: server_ctl\.py cleanup: "):
        clean_up(host)
    empty: RemoteHost = SayingHost("{}")  # type: ignore[assignment]
    assert clean_up(empty).free_bytes == {}
