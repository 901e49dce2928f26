"""What hosts say may be damaged in any way: a cell fails then, with a reason, and nothing else does."""

from __future__ import annotations

import copy
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.handmade_records import handmade_cell, handmade_planned
from wrklab.bench.cell_run import CellRaw
from wrklab.extract.cell import cell_outcome
from wrklab.hosts.clocks import Clock
from wrklab.hosts.inventory import LabHost, LabHosts
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
