"""A handmade run in which every field that a report reads has a value, drawn from a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_failure,
    handmade_histogram,
    handmade_latency,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.protocol.load import AnswerKind
from wrklab.results.records import CellRecord, RunPlan

_SEED = 20261128
#: What a GET after a window found, and of which kind that is.
_FOUND_AFTER = (("", AnswerKind.RIGHT), ("", AnswerKind.RIGHT), ("timed out", AnswerKind.TIMED_OUT))
#: Under the load of the articles, so that published rows compare without a remark.
_SCENARIOS = (
    handmade_scenario(name="article", duration_s=60, timeout_s=2),
    handmade_scenario(name="plain", path="/", connections=500),
)
_VARIANTS = {
    "flask_dev_sync": "flask-dev-sync",
    "flask_gunicorn_gevent": "flask-gunicorn-gevent",
    "go_net_http": None,
    "openresty": None,
}
Histograms = dict[str, Mapping[str, bytes]]


def handmade_run(rounds: int = 3, copies: int = 1) -> tuple[RunPlan, list[CellRecord], Histograms]:
    """Plan, cells and the histograms of each cell. Every second variant has its load from two generators.

    One variant failed in a round, one failed in every round, and one was not reached. `copies` multiplies the variants.
    """
    draw = random.Random(_SEED)
    cells: list[CellRecord] = []
    planned: list[CellRecord] = []
    histograms: Histograms = {}
    for scenario in _SCENARIOS:
        for place, (variant, published) in enumerate(list(_VARIANTS.items()) * copies):
            name = variant if place < len(_VARIANTS) else f"{variant}_{place}"
            for round_number in range(1, rounds + 1):
                cell, kinds = _cell(draw, name, scenario.name, round_number, published, 1 + place % 2)
                planned.append(cell)
                cells.append(cell)
                histograms[cell.cell_id] = kinds
    for name, rate in (("fastapi_uvicorn_async", 14_000.0), ("fastapi_uvicorn_workers", 17_000.0)):
        sound = [_sound_cell(draw, name, number, rate) for number in range(1, rounds + 1)]
        planned += sound
        cells += sound
        histograms |= {cell.cell_id: {kind: _histogram(draw) for kind in ("observed", "wrk")} for cell in sound}
    failed = handmade_cell("sanic", "plain", failure=handmade_failure(), published_row=None)
    missing = handmade_cell("waitress", "plain", published_row="flask-dev-sync")
    plan = handmade_plan(
        [*planned, failed, missing],
        scenarios=list(_SCENARIOS),
        baseline="go_net_http",
        generators=("loadgen", "loadgen_2"),
        server_cpus_count=2,
    )
    return plan, [*cells, failed], histograms


def _cell(  # noqa: PLR0913, PLR0917  what tells cells apart
    draw: random.Random, variant: str, scenario: str, round_number: int, published: str | None, generators: int
) -> tuple[CellRecord, Mapping[str, bytes]]:
    kinds = {kind: _histogram(draw) for kind in ("observed", "wrk")}
    hosts = [f"loadgen_{number}" if number > 1 else "loadgen" for number in range(1, generators + 1)]
    if generators > 1:
        kinds |= {f"observed@{host}": _histogram(draw) for host in hosts}
    parts = [_generator(draw, host) for host in hosts]
    requests = sum(part["requests"] for part in parts)
    measurement = handmade_measurement(
        duration_s=draw.uniform(4.0, 4.1),
        requests=requests,
        requests_per_s=requests / 4,
        bytes_read=requests * 119 + draw.randrange(3000),
        errors=_errors(draw),
        latency=handmade_latency(),
        connections_open=draw.randrange(1980, 2001),
        busy_ratio=draw.uniform(0.7, 1.0),
        first_answer_s=draw.uniform(0.1, 0.11),
        warmup={"requests": 144, "bytes_read": 144 * 119, "connections": 16, "errors": {"status": draw.randrange(2)}},
        server=_server(draw),
        generators=parts,
    )
    changes: dict[str, Any] = {"failure": handmade_failure()} if (variant, round_number) == ("openresty", 2) else {}
    cell = handmade_cell(
        variant,
        scenario,
        round_number,
        measurement=measurement,
        published_row=published if scenario == "article" else None,
        in_flight_limit=40 if variant == "flask_dev_sync" else None,
        startup_s=draw.uniform(0.2, 2.0),
        harness_s=draw.uniform(0.2, 2.0),
        attempts=draw.choice([1, 1, 2]),
        **changes,
    )
    return cell, kinds


def _sound_cell(draw: random.Random, variant: str, round_number: int, rate_per_s: float) -> CellRecord:
    """A cell that no rule doubts but one: its server ended in the first attempt of the last round."""
    rate_per_s *= draw.uniform(0.99, 1.01)
    requests = round(4 * rate_per_s)
    measurement = handmade_measurement(
        requests=requests,
        requests_per_s=rate_per_s,
        bytes_read=requests * 117,
        warmup={"requests": 144, "bytes_read": 144 * 117, "connections": 16, "errors": {}},
    )
    ended = handmade_failure(phase="window", text="the server ended", is_servers_end=True)
    is_last = (variant, round_number) == ("fastapi_uvicorn_workers", 3)
    changes: dict[str, Any] = {"attempts": 2, "first_failure": ended} if is_last else {}
    return handmade_cell(variant, "article", round_number, measurement=measurement, published_row=None, **changes)


def _histogram(draw: random.Random) -> bytes:
    return handmade_histogram({100_000 + draw.randrange(50_000): draw.randrange(1, 500) for _ in range(40)})


def _errors(draw: random.Random) -> dict[str, int]:
    return {kind: draw.choice([0, 0, 3]) for kind in ("connect", "read", "write", "status", "timeout", "body")}


def _percents(draw: random.Random, *names: str) -> dict[str, float]:
    return {name: draw.uniform(0.0, 99.0) for name in names}


def _counts(draw: random.Random, *names: str) -> dict[str, int]:
    return {name: draw.randrange(100) for name in names}


def _server(draw: random.Random) -> dict[str, Any]:
    return {
        "cpus_count": 2,
        **_percents(draw, "cpu_percent", "host_cpu_percent", "neighbours_cpu_percent", "others_cpu_percent"),
        **_percents(draw, "softirq_cpu_percent", "cpus_busy_percent", "steal_percent", "unit_waiting_percent"),
        **_percents(draw, "unit_stalled_percent", "busiest_process_cpu_percent"),
        **_counts(
            draw, "serving_processes_count", "saturated_processes_count", "processes_max", "threads_max", "backlog"
        ),
        **_counts(draw, "accept_queue_max", "accept_queue_counted", "accept_queue_before", "listen_overflows"),
        **_counts(draw, "retransmits", "segments_lost"),
        "lasting_listen_overflows": draw.choice([0, 0, 5]),
        "memory_max_bytes": draw.randrange(10**8),
        "foreign_connections": draw.choice([{}, {"10.0.0.9": draw.randrange(9)}]),
        "unit_state": draw.choice(["active/success", "active/success", "failed/exit-code"]),
        "log_errors": ({"text": f"WORKER TIMEOUT (pid:{draw.randrange(99)})", "count": draw.randrange(1, 9)},),
    }


def _generator(draw: random.Random, host: str) -> dict[str, Any]:
    requests = draw.randrange(20_000, 30_000)
    return {
        "host": host,
        "wrk_processes": draw.randrange(1, 4),
        "requests": requests,
        "requests_per_s": requests / draw.uniform(4.0, 4.1),
        "connections_asked": 1000,
        "connections_open": draw.randrange(980, 1001),
        "wrk_cpu_percent_of_one": 45.0,
        "cpus_count": 1,
        **_percents(draw, "cpu_percent", "shared_cpu_percent", "host_cpu_percent", "neighbours_cpu_percent"),
        **_percents(draw, "steal_percent", "busiest_thread_cpu_percent", "busiest_thread_waiting_percent"),
        **_percents(draw, "others_cpu_percent"),
        **_counts(draw, "connections_unread", "connections_reopening", "connections_unanswered", "connections_stalled"),
        **_counts(draw, "segments_lost", "answers_checked"),
        "errors": _errors(draw),
        "paused_s": draw.uniform(0.0, 0.7),
        "start_skew_s": draw.uniform(0.0, 0.05),
        "clock_uncertainty_s": draw.uniform(0.0, 0.004),
        **dict(zip(("verify_after", "verify_after_kind"), draw.choice(_FOUND_AFTER), strict=True)),
        "wrk_threads": 4,
        "latency": None,
        "clock_ahead_s": 0.0,
    }
