"""Small builders of plans and cells for tests: handmade, not captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wrklab.catalogue.scenario import Scenario, half_rate_scenario
from wrklab.catalogue.stack import file_name_of
from wrklab.extract.histogram import Histogram
from wrklab.results.records import (
    CellRecord,
    Errors,
    Failure,
    GeneratorRecord,
    HostEnvironment,
    Latency,
    Measurement,
    OpenLoopRecord,
    PlannedCell,
    RunEnvironment,
    RunPlan,
    ServerRecord,
)
from wrklab.summary.rows import GeneratorShare, SummaryRow, summarise

RUN_ID = "20261121T003012Z_ab12"


def handmade_scenario(**changes: Any) -> Scenario:  # noqa: ANN401  keys of the card
    """The shape of `standard`: 2,000 connections for 4 s, three rounds."""
    values: dict[str, Any] = {
        "name": "standard",
        "description": "Short rounds at the articles' load",
        "threads": 4,
        "connections": 2000,
        "duration_s": 4,
        "compares_with": "article",
    }
    return Scenario.model_validate(values | changes)


def handmade_latency(**changes: Any) -> Latency:  # noqa: ANN401
    """Latencies near the hold of 100 ms."""
    values: dict[str, Any] = {
        "count": 60_000,
        "mean_us": 126_000.0,
        "stdev_us": 9_000.0,
        "p50_us": 125_000.0,
        "p90_us": 135_000.0,
        "p99_us": 150_000.0,
        "p999_us": 170_000.0,
        "max_us": 200_000.0,
        "min_us": 100_000.0,
    }
    return Latency.model_validate(values | changes)


def handmade_measurement(**changes: Any) -> Measurement:  # noqa: ANN401
    """A window without any fault: 15,000 requests/s, all connections open. `server`, `generator`: keys to change."""
    server = {
        "cpus_count": 1,
        "cpu_percent": 97.0,
        "host_cpu_percent": 99.0,
        "neighbours_cpu_percent": 0.5,
        "steal_percent": 0.0,
        "memory_max_bytes": 200 * 1024 * 1024,
        "processes_max": 5,
        "threads_max": 9,
        "backlog": 2048,
        "listen_overflows": 0,
        "argv": ("/opt/wrklab/stacks/flask/venv/bin/gunicorn", "-w", "4", "app:app"),
        "unit_state": "active/success",
        "foreign_connections": {},
        "log_errors": (),
    } | changes.pop("server", {})
    generator = handmade_generator(**changes.pop("generator", {}))
    values: dict[str, Any] = {
        "duration_s": 4.0,
        "window_start_s": 1000.0,
        "window_end_s": 1004.0,
        "requests": 60_000,
        "requests_per_s": 15_000.0,
        "bytes_read": 9_000_000,
        "latency": handmade_latency(),
        "wrk_latency": handmade_latency(),
        "errors": Errors(),
        "connections_asked": 2000,
        "connections_open": 2000,
        "busy_ratio": 0.95,
        "server": ServerRecord.model_validate(server),
        "generators": (generator,),
        "correction_note": "",
        "verify_after": "",
        "first_answer_s": 0.101,
        "warmup": None,
        "is_miscounted": False,
    }
    return Measurement.model_validate(values | changes)


def handmade_generator(**changes: Any) -> GeneratorRecord:  # noqa: ANN401
    """The only generator of handmade_measurement."""
    values: dict[str, Any] = {
        "host": "loadgen",
        "wrk_processes": 1,
        "wrk_threads": 4,
        "requests": 60_000,
        "requests_per_s": 15_000.0,
        "connections_asked": 2000,
        "connections_open": 2000,
        "wrk_cpu_percent_of_one": 45.0,
        "cpus_count": 1,
        "cpu_percent": 45.0,
        "host_cpu_percent": 50.0,
        "errors": Errors(),
        "latency": None,
        "start_skew_s": 0.0,
        "clock_ahead_s": 0.0,
        "clock_uncertainty_s": 0.0,
        "connections_unread": 0,
        "connections_reopening": 0,
        "connections_unanswered": 0,
        "connections_stalled": 0,
        "verify_after": "",
        "verify_after_kind": "right",
        "answers_checked": 600,
    }
    return GeneratorRecord.model_validate(values | changes)


def handmade_cell(
    variant: str = "flask_gunicorn_gevent",
    scenario: str = "standard",
    round_number: int = 1,
    *,
    measurement: Measurement | None = None,
    **changes: Any,  # noqa: ANN401
) -> CellRecord:
    """One measured cell; with `failure=...` a failed one."""
    failed = "failure" in changes
    values: dict[str, Any] = {
        "cell_id": f"{scenario}.{file_name_of(variant)}.{round_number}",
        "position": round_number - 1,
        "variant": variant,
        "stack": variant.split("_", maxsplit=1)[0],
        "scenario": scenario,
        "round_number": round_number,
        "state": "failed" if failed else "measured",
        "started_at_s": 990.0,
        "finished_at_s": 1005.0,
        "startup_s": None if failed else 0.8,
        "harness_s": None if failed else 0.4,
        "phases_s": {"start": 0.1, "ready": 0.7, "window": 4.0},
        "measurement": None if failed else measurement or handmade_measurement(),
        "published_row": "flask-gunicorn-gevent" if variant == "flask_gunicorn_gevent" else None,
        "hold_ms": 100,
    }
    return CellRecord.model_validate(values | changes)


def handmade_failure(**changes: Any) -> Failure:  # noqa: ANN401
    """A server that never became ready."""
    values: dict[str, Any] = {"phase": "ready", "text": "no right answer in 20 s; found 500 Internal Server Error"}
    return Failure.model_validate(values | changes)


def handmade_plan(cells: list[CellRecord], *, scenarios: list[Scenario] | None = None, **changes: Any) -> RunPlan:  # noqa: ANN401
    """A plan of just these cells."""
    values: dict[str, Any] = {
        "run_id": RUN_ID,
        "lab": "container",
        "created_at_s": 1_795_221_012.0,
        "seed": 7,
        "command": "invoke bench --variant all",
        "scenarios": {scenario.name: scenario for scenario in scenarios or [handmade_scenario()]},
        "cells": tuple(handmade_planned(cell) for cell in cells),
        "server_cpus_count": 1,
        "generator_cpus_count": 1,
        "runtimes": {"flask": "python", "fastapi": "python", "go": "go", "openresty": "openresty"},
        "generators": ("loadgen",),
        "cpus_shared": False,
        "one_machine": False,
        "variant_digests": {},
        "fingerprint": "",
    }
    return RunPlan.model_validate(values | changes)


def handmade_planned(cell: CellRecord) -> PlannedCell:
    """The plan's entry of a cell."""
    return PlannedCell(
        cell_id=cell.cell_id,
        variant=cell.variant,
        stack=cell.stack,
        scenario=cell.scenario,
        round_number=cell.round_number,
        twin=cell.twin,
        hold_ms=cell.hold_ms,
        in_flight_limit=cell.in_flight_limit,
        published_row=cell.published_row,
    )


def handmade_summary(**values: Any) -> SummaryRow:  # noqa: ANN401
    """A row of `standard` with these values and no cell: metrics that are not given have none, or follow from these."""
    row = SummaryRow(
        planned=(handmade_planned(handmade_cell()),),
        cells=(),
        load=handmade_scenario(),
        histograms_of=lambda _: {},
        server_cpus_count=1,
        one_machine=False,
        cpus_shared=False,
    )
    if unknown := [name for name in values if not hasattr(SummaryRow, name) and name not in vars(row)]:
        raise AttributeError(f"a row has no {', '.join(unknown)}")
    vars(row).update(values, _given=values)
    return row


def changed(row: SummaryRow, **values: Any) -> SummaryRow:  # noqa: ANN401
    """The row of `handmade_summary` with other values; what follows from them follows again."""
    return handmade_summary(**(vars(row)["_given"] | values))


def handmade_share(host: str, **values: Any) -> GeneratorShare:  # noqa: ANN401
    """One generator's part of a row, with these values and no cell."""
    row = handmade_summary()
    share = GeneratorShare(
        planned=row.planned,
        cells=(),
        load=row.load,
        histograms_of=row.histograms_of,
        server_cpus_count=1,
        one_machine=False,
        cpus_shared=False,
        host=host,
        of=row,
    )
    vars(share).update(values)
    return share


def handmade_environment() -> RunEnvironment:
    """Two hosts with a few facts each, and one stack."""
    stacks = {"flask": {"packages": {"werkzeug": "3.1.3", "flask": "3.1.2"}, "python": "3.11.2"}}
    server = {"kernel": "6.1.0-25-amd64", "cpu": {"model": "EPYC", "governors": []}, "stacks": stacks}
    return RunEnvironment(
        hosts=(
            HostEnvironment(host="server", group="server", facts=server),
            HostEnvironment(host="loadgen", group="loadgen", facts={"kernel": "6.1.0-25-amd64", "stacks": {}}),
        ),
        units={},
        controller={"git": {"commit": "0123abc", "is_dirty": False}},
    )


def handmade_histogram(counts_by_us: dict[int, int]) -> bytes:
    """The stored form of a histogram from {value in µs: count}."""
    values = sorted(counts_by_us)
    return Histogram(
        np.array(values, dtype=np.int64), np.array([counts_by_us[value] for value in values], dtype=np.int64)
    ).to_bytes()


#: Three rounds of one variant: rates 14,000, 16,000 and 15,000.
ROUNDS = [
    handmade_cell(
        round_number=1,
        startup_s=0.9,
        harness_s=0.2,
        measurement=handmade_measurement(
            requests=56_000,
            requests_per_s=14_000.0,
            errors=Errors(read=1, timeout=2),
            connections_open=2000,
            busy_ratio=0.95,
            server={"cpu_percent": 90.0, "threads_max": 9, "memory_max_bytes": 100, "listen_overflows": 3},
            generator={"cpu_percent": 40.0},
        ),
    ),
    handmade_cell(
        round_number=2,
        startup_s=0.7,
        harness_s=0.4,
        measurement=handmade_measurement(
            requests=64_000,
            requests_per_s=16_000.0,
            errors=Errors(read=10),
            connections_open=1980,
            busy_ratio=0.80,
            server={"cpu_percent": 98.0, "threads_max": 12, "memory_max_bytes": 300, "listen_overflows": 4},
            generator={"cpu_percent": 60.0},
        ),
    ),
    handmade_cell(
        round_number=3,
        startup_s=0.8,
        harness_s=0.3,
        measurement=handmade_measurement(
            requests=60_000,
            requests_per_s=15_000.0,
            server={"cpu_percent": 97.0, "memory_max_bytes": 200, "listen_overflows": 0},
            generator={"cpu_percent": 45.0},
        ),
    ),
]


def no_histograms(_: str) -> Mapping[str, bytes]:
    """Of a run whose histograms do not matter."""
    return {}


def row_of(
    cells: Sequence[CellRecord],
    planned: Sequence[CellRecord] = (),
    histograms: Mapping[str, Mapping[str, bytes]] | None = None,
) -> SummaryRow:
    """The one row of these cells; `planned` are those of the plan where it had more."""
    plan = handmade_plan(list(planned or cells))
    [row] = summarise(plan, cells, histograms.__getitem__ if histograms else no_histograms)
    return row


def handmade_open_loop(**changes: Any) -> OpenLoopRecord:  # noqa: ANN401
    """2,000 slots in 4 s, all sent at their time and answered after 100 ms."""
    values: dict[str, Any] = {
        "scheduled": 2000,
        "sent": 2000,
        "late": 0,
        "latest_s": 0.0,
        "unanswered": 0,
        "quarters_scheduled": (500, 500, 500, 500),
        "quarters_sent": (500, 500, 500, 500),
        "quarters_answered": (450, 500, 500, 500),
        "quarters_waiting_s": (50.0, 50.0, 50.0, 50.0),
        "idle_closed": 0,
    }
    return OpenLoopRecord.model_validate(values | changes)


def handmade_half_rate_cell(
    variant: str,
    rate_per_s: float,
    position: int,
    **changes: Any,  # noqa: ANN401  keys of the window
) -> tuple[CellRecord, Scenario]:
    """A window at half rate with 10,500 answers in time, unless `open_loop` and others say otherwise; its scenario."""
    scenario = half_rate_scenario(handmade_scenario(), 2 * rate_per_s)
    if scenario is None:
        raise ValueError(f"{rate_per_s}/s is below what a timetable can have")
    values: dict[str, Any] = {
        "requests": 10_500,
        "requests_per_s": rate_per_s,
        "duration_s": 10_500 / rate_per_s,
        "connections_asked": scenario.connections,
        "connections_open": scenario.connections,
        "open_loop": handmade_open_loop(),
        "server": {"cpu_percent": 48.0, "host_cpu_percent": 50.0},
    }
    measured = handmade_measurement(**values | changes)
    cell = handmade_cell(variant, scenario.name, measurement=measured, position=position, published_row=None)
    return cell, scenario


def with_half_rates(plan: RunPlan, windows: Sequence[tuple[CellRecord, Scenario]]) -> RunPlan:
    """A plan of `standard` whose cells have grown by these windows."""
    standard = plan.scenarios["standard"].model_copy(update={"half_rate_window": True})
    scenarios = {"standard": standard, **{scenario.name: scenario for _, scenario in windows}}
    grown = [handmade_planned(cell).model_copy(update={"half_rate_of": "standard"}) for cell, _ in windows]
    return plan.model_copy(update={"scenarios": scenarios, "cells": (*plan.cells, *grown)})
