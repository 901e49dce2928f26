"""From cells to rows, and from a row to the part of each generator."""

from __future__ import annotations

from tests.unit.handmade_records import (
    ROUNDS,
    handmade_cell,
    handmade_generator,
    handmade_histogram,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
    no_histograms,
    row_of,
)
from wrklab.results.records import CellRecord, Errors, GeneratorRecord
from wrklab.summary.rows import summarise


def test_each_metric_is_combined_in_its_own_way() -> None:
    """Errors and overflows add; connections open and the busy ratio are the worst; CPU and times are medians."""
    row = row_of(ROUNDS)

    assert row.errors == Errors(read=11, timeout=2)
    assert (row.connections_asked, row.connections_open, row.busy_ratio) == (2000, 1980, 0.80)
    assert (row.server_cpu_percent, row.generator_cpu_percent) == (97.0, 45.0)
    assert (row.startup_s, row.harness_s) == (0.8, 0.3)
    assert (row.processes_max, row.threads_max, row.memory_max_bytes) == (5, 12, 300)
    assert row.listen_overflows == 7


def test_what_was_planned_and_not_reached_has_its_row() -> None:
    """After an interruption a variant without any round is `missing`, one with some is `partial`."""
    other = handmade_cell(variant="go_net_http")
    plan = handmade_plan([*ROUNDS, other])
    rows = summarise(plan, ROUNDS[:1], no_histograms)

    assert [(row.variant, row.state) for row in rows] == [
        ("flask_gunicorn_gevent", "partial"),
        ("go_net_http", "missing"),
    ]


def test_rows_stand_in_the_plans_order_of_scenarios() -> None:
    """Scenarios as the plan lists them, variants by name within."""
    cells = [
        handmade_cell("go_net_http", "plain_100"),
        handmade_cell("go_net_http"),
        handmade_cell("fastapi_uvicorn_async"),
    ]
    plan = handmade_plan(cells, scenarios=[handmade_scenario(), handmade_scenario(name="plain_100", path="/")])
    rows = summarise(plan, cells, no_histograms)

    assert [(row.scenario, row.variant) for row in rows] == [
        ("standard", "fastapi_uvicorn_async"),
        ("standard", "go_net_http"),
        ("plain_100", "go_net_http"),
    ]


def part(host: str, **changes: object) -> GeneratorRecord:
    """One generator's window: half of 2,000 connections."""
    values = {
        "host": host,
        "wrk_processes": 1,
        "requests": 30_000,
        "requests_per_s": 7500.0,
        "connections_asked": 1000,
        "connections_open": 1000,
        "wrk_cpu_percent_of_one": 40.0,
        "cpus_count": 1,
        "cpu_percent": 40.0,
        "start_skew_s": 0.004,
    }
    return handmade_generator(**(values | changes))


def cell(round_number: int, *parts: GeneratorRecord) -> CellRecord:
    """A round on these generators."""
    return handmade_cell(round_number=round_number, measurement=handmade_measurement(generators=parts))


def test_one_generator_is_no_matter_of_its_own() -> None:
    """Its figures are the row's."""
    assert row_of([cell(1, part("loadgen")), cell(2, part("loadgen"))]).generators == ()


def test_rounds_are_combined_as_the_rows_are() -> None:
    """Counts are added, rates and CPU in the middle, the worst of connections and skew, histograms added."""
    first = cell(
        1,
        part("loadgen", shared_cpu_percent=80.0),
        part("loadgen_2", connections_open=990, errors=Errors(read=2)),
    )
    second = cell(
        2,
        part("loadgen", requests_per_s=7300.0, start_skew_s=0.012),
        part("loadgen_2", errors=Errors(read=1, timeout=4)),
    )
    histograms = {
        first.cell_id: {"observed": b"", "observed@loadgen": handmade_histogram({100: 1, 300: 1})},
        second.cell_id: {"observed": b"", "observed@loadgen": handmade_histogram({200: 3})},
    }
    one, other = row_of([first, second], histograms=histograms).generators

    assert (one.host, one.requests, one.requests_per_s, one.start_skew_s) == ("loadgen", 60_000, 7400.0, 0.012)
    assert one.generator_cpu_percent == 60.0
    assert one.latency is not None
    assert (one.latency.count, one.latency.p50_us, one.latency.max_us) == (5, 200, 300)
    assert (other.connections_open, other.errors, other.latency) == (990, Errors(read=3, timeout=4), None)
