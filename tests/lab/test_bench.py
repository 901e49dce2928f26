"""Benches on real nodes, run as a user runs them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.benches import status_due
from tests.lab.conftest import invoke
from tests.pace import allowed_s
from wrklab.bench.bench import planned_cell
from wrklab.bench.cell_run import run_cell
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.scenario import override
from wrklab.extract.cell import cell_outcome
from wrklab.hosts.limits import ProcessLoad, split_load
from wrklab.hosts.session import Session, limits_of
from wrklab.paths import RESULTS_DIR
from wrklab.results.run_folder import Run

#: A second of one open question for each variant: enough to see that it answers under load.
SMOKE = ("--scenario", "smoke")


def bench_rows(*words: str) -> dict[str, dict[str, Any]]:
    """The report's rows of `invoke bench WORDS --json`, by variant. Doubtful numbers (exit status 1) are let pass."""
    done = invoke("bench", *words, "--json", limit_s=590)
    assert done.stdout.strip(), done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert done.returncode == status_due(rows), done.stderr
    return {row["variant"]: row for row in rows}


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
    ratios = {name: row["ideal_ratio"] for name, row in smoke_rows.items() if row["hold_ms"] > 0}
    assert ratios
    assert not [name for name, ratio in ratios.items() if ratio is None]
    assert not {name: ratio for name, ratio in ratios.items() if ratio > 1.05}


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
    assert costs[len(costs) // 2] < allowed_s(0.5)


def test_many_connections_go_over_several_wrk_processes(deployed_lab: str) -> None:
    """22,000 connections are shared by the wrk processes that the host's ceilings demand, and are really open.

    Go has the longest backlog: what its one process has no descriptors for is established and waits in the kernel.
    """
    rows = bench_rows("--variant", "go_net_http", "--connections", "22000", "--duration", "6s", "--rounds", "1")
    row = rows["go_net_http"]
    with Run.open(RESULTS_DIR) as run:
        record = run.cells()[0]
        facts = next(host.facts for host in run.environment.hosts if host.host == "loadgen")
    assert record.measurement is not None
    generator = record.measurement.generators[0]
    # One more compares answers.
    assert generator.wrk_processes == 1 + len(split_load(22_000, row["threads"], limits_of("loadgen", facts)))
    assert generator.answers_checked
    assert row["connections_asked"] == 22_000
    assert row["connections_open"] > 21_000
    assert record.measurement.requests > 0


def test_two_wrk_processes_are_one_load(session: Session, catalogue: Catalogue) -> None:
    """Whatever the descriptor ceiling is: two processes run in one window, and all that they did is counted."""
    scenario = override(catalogue.scenario("smoke"), {"connections": 100, "threads": 2, "duration_s": 3})
    cell = Cell(catalogue.variants["go_net_http"], scenario, round_number=1)

    raw = run_cell(session, cell, {"loadgen": [ProcessLoad(threads=1, connections=50)] * 2}, lambda _: None)

    assert raw.error is None, raw.error
    of_each = [wrk.report.requests for wrk in raw.loads["loadgen"].wrk if wrk.report]
    assert len(of_each) == 3  # the third compares answers
    assert all(of_each)
    measured = cell_outcome(raw, planned_cell(session, cell, None), 0).record.measurement
    assert measured is not None
    assert measured.generators[0].wrk_processes == 3
    assert measured.connections_asked == 100
    assert measured.connections_open == 100
    assert measured.requests == sum(of_each)
    assert measured.requests_per_s == pytest.approx(1000, rel=0.1)


def test_variants_made_on_the_command_line_are_measured_and_probed(deployed_lab: str) -> None:
    """Six threads that hold for 100 ms serve 60/s, whoever asks; the probe finds the six, as the recipe has it."""
    made = ("--variant", "flask_gunicorn_gthread", "--param", "workers=1", "--param", "threads=6", "--force")
    name = "flask_gunicorn_gthread@threads=6,workers=1"

    row = bench_rows(*made, *SMOKE, "--connections", "30", "--duration", "3s", "--rounds", "1")[name]
    probed = invoke("probe", *made, "--json")

    assert row["requests_per_s"] == pytest.approx(60, rel=0.1)
    assert (row["in_flight_limit"], row["errors_status"]) == (6, 0)
    assert probed.returncode == 0, probed.stderr
    [found] = json.loads(probed.stdout)
    assert (found["variant"], found["capacity"], found["capacity_limited_by"]) == (name, 6, "the server's own limit")
