"""Benches on real nodes, run as a user runs them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.conftest import invoke
from wrklab.doors.results import Run
from wrklab.model.catalogue import Catalogue
from wrklab.paths import RESULTS_DIR

#: A second of one open question for each variant: enough to see that it answers under load.
SMOKE = ("--scenario", "smoke")


def bench_rows(*words: str) -> dict[str, dict[str, Any]]:
    """The report's rows of `invoke bench WORDS --json`, by variant. Doubtful numbers (exit status 1) are let pass."""
    done = invoke("bench", *words, "--json", limit_s=590)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.strip(), done.stderr
    return {row["variant"]: row for row in json.loads(done.stdout)["rows"]}


@pytest.fixture(scope="module")
def smoke_rows(deployed_lab: str) -> dict[str, dict[str, Any]]:
    """Every variant, measured for a second."""
    return bench_rows("--variant", "all", *SMOKE)


def test_every_variant_is_measured(smoke_rows: dict[str, dict[str, Any]], catalogue: Catalogue) -> None:
    """Each variant starts, gives the right answer to the load host before and after, and serves requests between."""
    assert set(smoke_rows) == {name for name, variant in catalogue.variants.items() if variant.benched}
    failed = {name: row for name, row in smoke_rows.items() if row["state"] != "measured"}
    assert not failed
    assert all(row["requests"] > 0 for row in smoke_rows.values())


def test_no_variant_exceeds_its_ideal(smoke_rows: dict[str, dict[str, Any]]) -> None:
    """At a hold of h and c connections no server can answer more than c/h; wrk's 100 ms ticks allow a few percent."""
    above = {name: row["ideal_ratio"] for name, row in smoke_rows.items() if (row["ideal_ratio"] or 0) > 1.05}
    assert not above


def test_both_sides_are_watched(smoke_rows: dict[str, dict[str, Any]]) -> None:
    """Every row has the CPU of both sides, and the server's processes and threads."""
    for row in smoke_rows.values():
        assert 0 < row["server_cpu_percent"] <= 105
        assert 0 < row["generator_cpu_percent"] <= 105
        assert row["processes_max"] >= 1
        assert row["threads_max"] >= 1


def test_what_is_serial_by_nature_is_seen_to_be_serial(smoke_rows: dict[str, dict[str, Any]]) -> None:
    """gevent without effective patching handles one request in 100 ms; patched first, one connection's worth each."""
    assert smoke_rows["flask_gevent_wsgi"]["requests_per_s"] < 15
    assert smoke_rows["flask_gevent_wsgi_monkeypatched"]["requests_per_s"] < 15
    assert smoke_rows["flask_gevent_wsgi_patched_first"]["requests_per_s"] > 200


def test_the_harness_costs_less_than_half_a_second(smoke_rows: dict[str, dict[str, Any]]) -> None:
    """Beside start-up, warm-up, settling and window, a cell takes under 0.5 s (the median over all variants)."""
    costs = sorted(row["harness_s"] for row in smoke_rows.values())
    assert costs[len(costs) // 2] < 0.5


def test_many_connections_go_over_several_wrk_processes(deployed_lab: str) -> None:
    """22,000 connections are shared by as many wrk processes as the descriptor ceiling demands, and are really open.

    Go has the longest backlog: what its one process has no descriptors for is established and waits in the kernel.
    """
    rows = bench_rows("--variant", "go_net_http", "--connections", "22000", "--duration", "6s", "--rounds", "1")
    row = rows["go_net_http"]
    with Run.open(RESULTS_DIR) as run:
        record = run.cells()[0]
        ceilings = {host.host: host.facts["limits"]["unit_descriptors_max"] for host in run.environment.hosts}
    assert record.measurement is not None
    generator = record.measurement.generators[0]
    expected_processes = -(-22_000 // (ceilings["loadgen"] - 100))
    assert generator.wrk_processes == max(1, expected_processes)
    assert row["connections_asked"] == 22_000
    assert row["connections_open"] > 21_000
    assert record.measurement.requests > 0
