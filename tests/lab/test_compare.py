"""A variant beside itself, and beside a slower one, on real nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.benches import status_due
from tests.lab.conftest import invoke
from tests.lab.known_servers import known_server
from wrklab.hosts.session import Session

#: Three rounds of a second: enough for the test to tell a quarter of the rate from all of it.
LOAD = ("--scenario", "smoke", "--rounds", "3", "--json")


def bench(*words: str) -> dict[str, Any]:
    """`invoke bench WORDS --json`; doubtful numbers (exit status 1) are let pass."""
    done = invoke("bench", *words, *LOAD)
    assert done.stdout.strip(), done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == status_due(data["rows"]), done.stderr
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


#: What a row may be where others used this machine meanwhile: it is not compared then.
NOT_COMPARED = {"disturbed", "generator-bound", "polluted", "failed"}


def expected(row: dict[str, Any], outcome: str) -> str:
    """The outcome of a row that has a rate in both runs."""
    return "unsound" if NOT_COMPARED & {row["old_verdict"], row["new_verdict"]} else outcome


def test_a_run_is_equal_to_itself(aa_run: dict[str, Any]) -> None:
    """Every row that can be compared is equal, no change of the environment; exit status 0 where there is one."""
    status, found = compare(aa_run["run"], aa_run["run"])

    outcomes = [row["outcome"] for row in found["rows"]]
    assert outcomes == [expected(row, "equal") for row in found["rows"]]
    assert status == (0 if "equal" in outcomes else 1)
    assert found["regressions"] == found["to_measure_again"] == []
    assert found["environment"] == []


def test_a_slower_server_is_found(aa_run: dict[str, Any], session: Session) -> None:
    """A server that holds far longer under the same load is worse: exit status 1, and its command is told."""
    with known_server(session, "go_net_http", "right", hold_ms=450):
        slower = bench("--variant", "go_net_http", "--force")

    status, found = compare(aa_run["run"], slower["run"])

    assert status == 1
    rows = {row["variant"]: row for row in found["rows"]}
    assert rows["openresty_lua"]["outcome"] == "unplanned"
    # Where neighbours made one of them slower, it may still be clear that it is worse.
    assert rows["go_net_http"]["outcome"] in {"worse", expected(rows["go_net_http"], "worse")}
    assert rows["go_net_http"]["ratio"] < 0.5
    changed = {(change["where"], change["key"]) for change in found["environment"]}
    assert ("go_net_http", "argv") in changed
