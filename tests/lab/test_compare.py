"""A variant beside itself, and beside a slower one, on real nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.conftest import invoke
from tests.lab.known_servers import known_server
from wrklab.measure.session import Session

#: Three rounds of a second: enough for the test to tell a quarter of the rate from all of it.
LOAD = ("--scenario", "smoke", "--rounds", "3", "--json")


def bench(*words: str) -> dict[str, Any]:
    """`invoke bench WORDS --json`; doubtful numbers (exit status 1) are let pass."""
    done = invoke("bench", *words, *LOAD)
    assert done.returncode in (0, 1), done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def compare(*words: str) -> tuple[int, dict[str, Any]]:
    """`invoke compare WORDS --json`: exit status and what was printed."""
    done = invoke("compare", *words, "--json")
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def aa_run(deployed_lab: str) -> dict[str, Any]:
    """Two variants, each measured as two."""
    return bench("--aa", "--variant", "go_net_http,openresty_lua")


def test_twins_give_a_noise_floor(aa_run: dict[str, Any]) -> None:
    """A variant is near itself, and the floor says how near; rows hold the rounds of both twins.

    How wide the floor is depends on what else the machine does: one bad second of twelve makes it a third, and beside
    linters of others on both CPUs it was more than 1.
    """
    assert aa_run["noise_floor_ratio"] > 0
    assert {twin["variant"] for twin in aa_run["twins"]} == {"go_net_http", "openresty_lua"}
    for twin in aa_run["twins"]:
        assert (len(twin["a_per_s"]), len(twin["b_per_s"])) == (3, 3)
        assert twin["ratio_low"] <= twin["ratio"] <= twin["ratio_high"]
        assert 0.4 < twin["ratio"] < 2.5
    assert [row["rounds"] for row in aa_run["rows"]] == [6, 6]


def test_the_noise_floor_is_printed(aa_run: dict[str, Any]) -> None:
    """In the terminal's report of the run."""
    done = invoke("report", aa_run["run"])

    assert f"Noise floor {aa_run['noise_floor_ratio'] * 100:.2g} %" in done.stdout


def test_a_run_is_equal_to_itself(aa_run: dict[str, Any]) -> None:
    """Exit status 0, every row equal, no change of the environment."""
    status, found = compare(aa_run["run"], aa_run["run"])

    assert status == 0
    assert [row["outcome"] for row in found["rows"]] == ["equal", "equal"]
    assert found["environment"] == []


def test_a_slower_server_is_found(aa_run: dict[str, Any], session: Session) -> None:
    """A server that holds far longer under the same load is worse: exit status 1, and its command is told."""
    with known_server(session, "go_net_http", "right", hold_ms=450):
        slower = bench("--variant", "go_net_http")

    status, found = compare(aa_run["run"], slower["run"])

    assert status == 1
    outcomes = {row["variant"]: row["outcome"] for row in found["rows"]}
    assert outcomes == {"go_net_http": "worse", "openresty_lua": "vanished"}
    assert found["rows"][0]["ratio"] < 0.5
    changed = {(change["where"], change["key"]) for change in found["environment"]}
    assert ("go_net_http", "argv") in changed
