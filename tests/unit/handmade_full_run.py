"""A handmade run of every variant with plausible figures, histograms and samples, for looking at reports.

`python -m tests.unit.handmade_full_run FOLDER [COPIES] [ROUNDS]` writes one, with hostile text in what hosts sent.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_latency,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.articles.library import attachments, read_library
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.extract.histogram import Histogram
from wrklab.results.records import CellRecord, RunEnvironment, StoredSample
from wrklab.results.run_folder import Run

HOSTILE = "<script>alert('log')</script> | `x` \x1b[2J [red]y[/red] ![z](https://evil.example/z.png)"
_PORT = 8000
_TICK_S = 0.2


@dataclass(frozen=True)
class _Kind:
    """What one variant is like."""

    variant: str
    rate_per_s: float
    cpu_percent: float
    #: Of the rate, between rounds.
    spread: float = 0.01
    p50_ms: float = 120.0
    tail_ms: float = 60.0
    open_count: int = 2000
    neighbours_percent: float = 0.5
    published: str | None = None
    in_flight_limit: int | None = None
    memory_mib: int = 90
    stalled_count: int = 0
    errors_timeout: int = 0


_KINDS = (
    _Kind("go_net_http", 18_774, 31, p50_ms=101, tail_ms=6, memory_mib=41),
    _Kind("openresty_lua", 18_381, 27, p50_ms=101, tail_ms=8, published="openresty", memory_mib=18),
    _Kind("sanic", 9_120, 99, p50_ms=214, tail_ms=20, memory_mib=60),
    _Kind("sanic_workers_4", 8_900, 99, spread=0.08, p50_ms=219, memory_mib=190),
    _Kind("fastapi_uvicorn_async", 5_674, 100, p50_ms=350, published="uvicorn-async", memory_mib=52),
    _Kind("fastapi_uvicorn_workers", 5_610, 100, p50_ms=351, memory_mib=210),
    _Kind("fastapi_gunicorn_uvicorn", 5_519, 100, p50_ms=356, memory_mib=220),
    _Kind("fastapi_uvicorn_httptools", 5_480, 99, p50_ms=360, neighbours_percent=29.0, memory_mib=50),
    _Kind("flask_gunicorn_gevent", 3_997, 100, p50_ms=480, published="flask-gunicorn-gevent", memory_mib=160),
    _Kind("flask_gevent", 3_890, 100, p50_ms=500, published="flask-gevent", memory_mib=61),
    _Kind("fastapi_hypercorn_asyncio", 2_555, 100, spread=0.12, p50_ms=760, memory_mib=70),
    _Kind("fastapi_hypercorn_trio", 2_010, 100, p50_ms=970, memory_mib=80),
    _Kind("flask_waitress", 1_980, 61, p50_ms=1000, in_flight_limit=200, memory_mib=70),
    _Kind("flask_dev_sync", 1_698, 84, spread=0.3, p50_ms=300, open_count=834, stalled_count=700,
          published="flask-dev-sync", errors_timeout=144),
    _Kind("flask_uwsgi_gevent", 1_640, 100, p50_ms=1200, published="flask-uwsgi-gevent"),
    _Kind("flask_gunicorn_gthread@threads=16,workers=2", 1_600, 100, p50_ms=1230),
    _Kind("flask_gunicorn_gthread", 385, 18, p50_ms=2000, tail_ms=1500, in_flight_limit=40, memory_mib=120),
    _Kind("fastapi_uvicorn_sync", 370, 11, p50_ms=2000, tail_ms=1600, in_flight_limit=40, published="uvicorn-sync"),
    _Kind("flask_uwsgi_threads", 312, 9, p50_ms=2100, in_flight_limit=32),
    _Kind("fastapi_granian", 7_400, 98, p50_ms=262, open_count=1990, stalled_count=31),
    _Kind("flask_gunicorn_sync", 39.6, 2, p50_ms=2100, tail_ms=900, in_flight_limit=4, published="flask-gunicorn-sync"),
    _Kind("fastapi_gunicorn_sync", 0, 0),
)  # fmt: skip


def handmade_full_run(results_dir: Path, *, copies: int = 1, rounds: int = 3, run_id: str = "") -> Run:
    """A finished run of 22 variants x `rounds`, times `copies`, written into a results folder and open."""
    draw = random.Random(20261128)
    kinds = [(kind, number) for number in range(copies) for kind in _KINDS]
    cells = []
    order = [(kind, number, round_) for round_ in range(1, rounds + 1) for kind, number in kinds]
    for position, (kind, number, round_number) in enumerate(order):
        cells.append(_cell(draw, kind, number, round_number, position))
    scenario = handmade_scenario(rounds=rounds)
    plan = handmade_plan(
        cells,
        scenarios=[scenario],
        server_cpus_count=1,
        runtimes={"go": "go", "openresty": "openresty", "sanic": "python", "fastapi": "python", "flask": "python"},
        notes=("Both nodes are containers of one machine.",),
        **({"run_id": run_id} if run_id else {}),
    )
    articles = attachments(read_library(read_catalogue()))
    run = Run.create(results_dir, plan, _environment(), articles)
    for cell in cells:
        run.add_cell(cell, _histograms(draw, cell), _samples(draw, cell))
        raw = run.raw_dir(cell.cell_id)
        (raw / "wrk_loadgen.txt").write_text("Requests/sec: ...\n")
    run.end("finished")
    return run


def _cell(draw: random.Random, kind: _Kind, number: int, round_number: int, position: int) -> CellRecord:
    variant = kind.variant if not number else f"{kind.variant}_copy_{number}"
    started_s = 1_795_221_012.0 + 10 * position
    common: dict[str, Any] = {
        "position": position,
        "started_at_s": started_s,
        "finished_at_s": started_s + 9,
        "in_flight_limit": kind.in_flight_limit,
        "is_one_cpu_a_process": not variant.startswith(("go", "openresty")),
        "published_row": kind.published,
        "startup_s": 0.2 + draw.random(),
        "harness_s": 0.4,
    }
    if not kind.rate_per_s:
        failure = handmade_failure(
            text=f"no right answer in 20 s; found 500 {HOSTILE}",
            log_tail=("[2026-11-28] Exception in ASGI application", HOSTILE, "TypeError: __call__() missing 'send'"),
            unit_state="active/success",
        )
        return handmade_cell(variant, round_number=round_number, failure=failure, **common)
    rate = kind.rate_per_s * (1 + kind.spread * (draw.random() * 2 - 1))
    requests = round(rate * 4)
    p50_us = kind.p50_ms * 1000
    latency = handmade_latency(
        count=requests, mean_us=p50_us * 1.03, p50_us=p50_us, p90_us=p50_us + kind.tail_ms * 300,
        p99_us=p50_us + kind.tail_ms * 1000, p999_us=p50_us + kind.tail_ms * 1600, max_us=p50_us + kind.tail_ms * 2500,
    )  # fmt: skip
    measurement = handmade_measurement(
        requests=requests,
        requests_per_s=requests / 4,
        bytes_read=requests * 117,
        window_start_s=started_s + 3,
        window_end_s=started_s + 7,
        latency=latency,
        wrk_latency=latency,
        connections_open=kind.open_count,
        errors={"timeout": kind.errors_timeout},
        busy_ratio=min(1.0, rate * latency.mean_us / 1e6 / 2000),
        warmup={"requests": 144, "bytes_read": 144 * 117, "connections": 16, "errors": {}},
        server={
            "cpu_percent": min(100.0, kind.cpu_percent * (1 + draw.random() * 0.01)),
            "cpus_busy_percent": min(100.0, kind.cpu_percent + 2),
            "softirq_cpu_percent": kind.cpu_percent / 12,
            "neighbours_cpu_percent": kind.neighbours_percent,
            "memory_max_bytes": kind.memory_mib * 1024 * 1024,
            "busiest_process_cpu_percent": kind.cpu_percent,
            "argv": ("/opt/wrklab/stacks/venv/bin/python", "-m", variant, "--title", HOSTILE),
            "log_errors": ({"text": f"WARNING {HOSTILE}", "count": 3},) if kind.stalled_count else (),
        },
        generator={
            "requests": requests,
            "cpu_percent": 5 + 30 * rate / 20_000,
            "host_cpu_percent": 8 + 30 * rate / 20_000,
            "connections_open": kind.open_count,
            "connections_unanswered": 0,
            "connections_stalled": kind.stalled_count,
            "connections_unread": 0,
        },
    )
    return handmade_cell(variant, round_number=round_number, measurement=measurement, **common)


def _histograms(draw: random.Random, cell: CellRecord) -> dict[str, bytes]:
    """About 2,000 distinct values, as a real one; wrk's correction adds to the tail."""
    measured = cell.measurement
    if measured is None or measured.latency is None:
        return {}
    numbers = np.random.default_rng(draw.randrange(2**32))
    middle, tail = measured.latency.p50_us, (measured.latency.p99_us - measured.latency.p50_us) / 4.6
    count = min(measured.requests, 6000)
    values = np.concatenate([middle + numbers.normal(0, 800, count), middle + numbers.exponential(tail, count)])
    observed = np.maximum(100_000, np.round(values, -1 if count > 2000 else 0)).astype(np.int64)
    corrected = np.concatenate([observed, observed[-count // 40 :] * 2])
    return {"observed": _bytes(observed), "wrk": _bytes(corrected)}


def _bytes(values: np.ndarray) -> bytes:
    found, counts = np.unique(values, return_counts=True)
    return Histogram(found.astype(np.int64), counts.astype(np.int64)).to_bytes()


def _samples(draw: random.Random, cell: CellRecord) -> list[StoredSample]:
    """Both hosts five times a second, from a second before the window to a second after it."""
    measured = cell.measurement
    if measured is None:
        return []
    found: list[StoredSample] = []
    cpu = (measured.server.cpu_percent or 0.0) / 100
    usage = {"server": 50.0, "loadgen": 20.0}
    busy = {"server": cpu, "loadgen": measured.generators[0].cpu_percent / 100}
    for tick in range(int(6 / _TICK_S)):
        at_s = measured.window_start_s - 1 + tick * _TICK_S
        is_inside = measured.window_start_s <= at_s < measured.window_end_s
        for host, share in busy.items():
            usage[host] += _TICK_S * (share * (0.9 + 0.1 * draw.random()) if is_inside else 0.02)
            found += [
                StoredSample(host, "node_cpu.usage", "s", at_s, usage[host]),
                StoredSample(host, "cpu.0.busy", "s", at_s, usage[host] * 1.02),
                StoredSample(host, "cpu.0.softirq", "s", at_s, usage[host] * 0.08),
                StoredSample(host, "sockets.tcp_in_use", "count", at_s, measured.connections_open if is_inside else 12),
                StoredSample(host, "sockets.tcp_time_wait", "count", at_s, 3),
                StoredSample(host, "sockets.tcp_orphan", "count", at_s, 0),
                *(StoredSample(host, f"cpu.{n}.busy", "s", at_s, 5.0 + tick * 0.01) for n in range(1, 8)),
            ]
        unit_s = usage["server"] - 45
        queued = 0 if cpu < 0.9 else draw.randrange(400) + (900 if measured.connections_stalled else 0)
        found += [
            StoredSample("server", "unit_cpu.usage", "s", at_s, unit_s),
            StoredSample("server", "unit_cpu.user", "s", at_s, unit_s * 0.7),
            StoredSample("server", "unit_cpu.system", "s", at_s, unit_s * 0.3),
            StoredSample("server", f"listen.{_PORT}.queued", "count", at_s, queued if is_inside else 0),
            StoredSample("server", f"listen.{_PORT}.backlog", "count", at_s, 2048),
            StoredSample("server", "listen.22.queued", "count", at_s, 0),
            StoredSample("server", "unit.processes", "count", at_s, 5),
            # wrk's unit is sampled like the variant's.
            StoredSample("loadgen", "unit_cpu.usage", "s", at_s, usage["loadgen"] - 15),
            StoredSample("loadgen", "unit_cpu.user", "s", at_s, (usage["loadgen"] - 15) * 0.1),
            StoredSample("loadgen", "unit_cpu.system", "s", at_s, (usage["loadgen"] - 15) * 0.9),
        ]
    return found


def _environment() -> RunEnvironment:
    found = handmade_environment()
    return found.model_copy(update={"controller": {**found.controller, "banner": HOSTILE}})


if __name__ == "__main__":
    folder, copies, rounds = [*sys.argv[1:], *["", "1", "3"][len(sys.argv) - 1 :]]
    with handmade_full_run(Path(folder), copies=int(copies), rounds=int(rounds)) as written:
        sys.stdout.write(f"{written.path}\n")
