"""One load from two generators: as from one, and never half of it. The lab has one generator again at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.lab.benches import (
    CONNECTIONS,
    assert_nothing_runs,
    bench,
    cells_of,
    journal_of,
    running_units,
    state_of,
    status_due,
    wait_for_window,
)
from tests.lab.conftest import invoke
from tests.lab.known_servers import known_server
from tests.pace import allowed_s
from wrklab.bench.bench import planned_cell
from wrklab.bench.cell_run import run_cell
from wrklab.bench.plan import Cell
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.scenario import override
from wrklab.errors import HostError
from wrklab.extract.cell import CellOutcome, cell_outcome
from wrklab.extract.histogram import Histogram
from wrklab.hosts import container_lab
from wrklab.hosts.limits import HostLimits, share_load
from wrklab.hosts.ready import ensure_deployed, held_lab
from wrklab.hosts.remote import CommandResult
from wrklab.hosts.session import Session, open_session
from wrklab.paths import RESULTS_DIR
from wrklab.results.raw import CellRaw
from wrklab.results.records import Measurement
from wrklab.results.run_folder import Run


@pytest.fixture(scope="module")
def session(deployed_lab: str, catalogue: Catalogue) -> Iterator[Session]:
    """Open connections to the lab with two generators."""
    container_lab.up(loadgens=2)
    try:
        with held_lab(catalogue, deployed_lab, Console(quiet=True)) as (found, held):
            ensure_deployed(found, held, Console(quiet=True))
        with open_session(catalogue, deployed_lab) as found:
            yield found
    finally:
        container_lab.up(loadgens=1)


def cell_of(session: Session, variant: str, **changes: object) -> Cell:
    """400 connections for 2 s, but for the changes."""
    scenario = session.catalogue.scenario("standard")
    values = {"connections": 400, "threads": 2, "duration_s": 2, "warmup_s": 0.5} | changes
    return Cell(session.catalogue.variants[variant], override(scenario, values), round_number=1)


def drive(session: Session, cell: Cell, generators_count: int, on_phase: Callable[[str], None]) -> CellRaw:
    """The cell's load from so many generators."""
    limits = [HostLimits(host.name, 10_000, 20_000) for host in session.generators[:generators_count]]
    shares = share_load(cell.scenario.connections, cell.scenario.threads, limits)
    return run_cell(session, cell, shares, on_phase)


def measure(session: Session, cell: Cell, generators_count: int = 2) -> tuple[CellRaw, CellOutcome, Measurement]:
    """What the hosts said of a cell, and what that comes to."""
    raw = drive(session, cell, generators_count, lambda _: None)
    assert raw.error is None, raw.error
    outcome = cell_outcome(raw, planned_cell(session, cell, None), 0)
    assert outcome.record.measurement is not None, outcome.record.failure
    return raw, outcome, outcome.record.measurement


def pooled_us(raw: CellRaw) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Every latency that any wrk process on any generator observed, in order."""
    parts = []
    for process in [process for load in raw.loads.values() for process in load.wrk]:
        report = process.report
        assert report is not None
        connections = int(next(word for word in process.argv if word.startswith("-c")).removeprefix("-c"))
        told = dict(zip(np.cumsum(report.histogram.values).tolist(), report.histogram.counts, strict=True))
        # With fewer answers than connections wrk adds none of its own.
        interval_us = report.duration_us // max(1, report.requests // connections)
        observed = {us: told[us] - (told.get(us + interval_us, 0) if us > interval_us else 0) for us in told}
        parts.append(np.repeat(list(observed), list(observed.values())))
    return np.sort(np.concatenate(parts))


def ranked(values: np.ndarray[Any, np.dtype[np.int64]], percent: str) -> int:
    """The sample of wrk's rank, percent/100 x N + 1/2 with halves up: in exact fractions."""
    rank = math.floor(Fraction(percent) / 100 * len(values) + 1)
    return int(values[min(rank, len(values)) - 1])


@pytest.mark.parametrize(
    ("variant", "connections"), [("go_net_http", 400), ("flask_gunicorn_sync", 60)], ids=["held", "queued"]
)
def test_merged_latencies_are_those_of_the_pooled_samples(session: Session, variant: str, connections: int) -> None:
    """To the microsecond, also where answers queue for so long that wrk adds samples of its own."""
    raw, outcome, measured = measure(session, cell_of(session, variant, connections=connections, duration_s=3))
    pooled, latency = pooled_us(raw), measured.latency

    assert measured.correction_note == ""
    assert latency is not None
    assert latency.count == len(pooled) == sum(generator.requests for generator in measured.generators)
    merged = (latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us)
    assert merged == (*(ranked(pooled, percent) for percent in ("50", "90", "99", "99.9")), int(pooled[-1]))
    assert latency.mean_us == pytest.approx(float(pooled.mean()), rel=1e-12)
    stored = Histogram.from_bytes(outcome.histograms["observed"])
    assert np.array_equal(np.repeat(stored.values_us, stored.counts), pooled)


def test_two_generators_are_one_load(session: Session) -> None:
    """All connections are open, half on each; both begin at one moment; the rate is that of one generator."""
    cell = cell_of(session, "go_net_http", duration_s=3)
    _, _, alone = measure(session, cell, generators_count=1)
    _, _, shared = measure(session, cell)

    assert (shared.connections_asked, shared.connections_open) == (400, 400)
    assert [part.connections_open for part in shared.generators] == [200, 200]
    assert shared.start_skew_s < 0.05
    assert all(part.clock_uncertainty_s is not None and part.clock_uncertainty_s < 0.01 for part in shared.generators)
    assert len(alone.generators) == 1
    assert shared.requests_per_s == pytest.approx(alone.requests_per_s, rel=0.03)


def test_a_load_is_bound_to_the_cpus_of_its_generator(session: Session) -> None:
    """To those that its percentages are of; the node's own limits may be wider."""
    found: dict[str, str] = {}

    def on_phase(phase: str) -> None:
        if phase == "window":
            show = ["systemctl", "show", "--property=CPUAffinity", "--value", "wrklab-load.service"]
            found.update({host.name: host.run(show, limit_s=10).stdout.strip() for host in session.generators})

    raw = drive(session, cell_of(session, "go_net_http"), 2, on_phase)

    assert raw.error is None, raw.error
    assert found == {host.name: " ".join(map(str, host.host.cpus)) for host in session.generators}


def test_a_bench_over_two_generators_tells_each_share(session: Session) -> None:
    """As a user runs it: the lab keeps its two generators, and the report has a line for each."""
    words = ("bench", "--variant", "go_net_http", "--connections", "400", "--duration", "2s", "--rounds", "1", "--json")
    done = invoke(*words)
    assert done.stdout.strip(), done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == status_due(found["rows"]), done.stderr
    assert [part["host"] for part in found["generators"]] == ["loadgen", "loadgen_2"]
    assert sum(part["requests"] for part in found["generators"]) == found["rows"][0]["requests"]
    with Run.open(RESULTS_DIR) as run:
        assert run.plan.generators == ("loadgen", "loadgen_2")
        assert "## Generators" in (run.path / "report.md").read_text(encoding="utf-8")
        record = run.cells()[0]
        assert record.harness_s is not None
        assert record.harness_s < allowed_s(1)


def test_an_open_loop_is_split_between_generators(session: Session) -> None:
    """One timetable of 500/s: a stall of a second in five gives the percentiles that one generator finds."""
    words = ("--rate", "500", "--arrivals", "constant", "--duration", "5s", "--hold-ms", "0", "--rounds", "1")
    with known_server(session, "go_net_http", "stall", hold_ms=0):
        done = invoke("bench", "--variant", "go_net_http", *words, "--json", "--force")
    assert done.stdout.strip(), done.stderr
    [row] = json.loads(done.stdout)["rows"]

    assert row["latency_p50_us"] < 20_000, row["note"]
    assert row["latency_p90_us"] == pytest.approx(500_000, abs=25_000)
    assert row["latency_p99_us"] == pytest.approx(950_000, abs=15_000)
    assert row["offered_per_s"] == pytest.approx(500, rel=0.001)
    assert (row["late_ratio"], row["unanswered_ratio"]) == (pytest.approx(0, abs=0.001), 0)


def test_a_wrk_killed_on_one_generator_ends_the_load_on_both(session: Session) -> None:
    """The cell fails in its window and names the generator, seconds before the window's end; nothing is left."""
    second = session.generators[1]

    # The window's two processes: one has the load, one compares answers.
    kill = "until [ $(pgrep --count --exact wrk) = 2 ]; do sleep 0.02; done; pkill --signal KILL --exact wrk"
    with ThreadPoolExecutor() as pool:
        killing: list[Future[CommandResult]] = []

        def on_phase(phase: str) -> None:
            if phase == "window":
                killing.append(pool.submit(second.run, ["sh", "-c", kill], limit_s=10))

        raw = drive(session, cell_of(session, "go_net_http", duration_s=15), 2, on_phase)
    assert [each.result().exit_code for each in killing] == [0]

    assert raw.error is not None
    assert raw.error.phase == "window"
    assert raw.error.text.startswith("loadgen_2: wrk process 1 of 2 left no complete report (exit -9)")
    assert raw.conditions.took_s < 10
    stopped = raw.loads["loadgen"].failed
    assert stopped is not None
    assert "cancelled" in stopped.text
    assert_nothing_runs(session)


def test_a_generator_without_a_way_to_the_server_is_named(session: Session) -> None:
    """The others have one: the cell fails before its window and says where to look."""
    second, address = session.generators[1], session.hosts.server.load_address
    second.run(["ip", "route", "add", "unreachable", f"{address}/32"], limit_s=10)
    try:
        raw = drive(session, cell_of(session, "go_net_http"), 2, lambda _: None)
    finally:
        second.run(["ip", "route", "delete", "unreachable", f"{address}/32"], limit_s=10)

    assert raw.error is not None
    assert raw.error.phase == "ready"
    assert raw.error.text.startswith(f"loadgen_2: http://{address}:")
    unsent = raw.loads["loadgen"].failed
    assert unsent is not None
    assert unsent.phase == "armed"
    assert_nothing_runs(session)


def test_a_generator_powered_off_in_its_window_ends_the_run(session: Session) -> None:
    """The last test here: it stays away. It is named, nothing runs on the others, the run can be resumed."""
    first, second = session.generators
    quick = ("--variant", "go_net_http", "--connections", str(2 * CONNECTIONS), "--warmup", "500ms", "--force")
    with bench(*quick, "--duration", "3s", "--rounds", "2", is_impatient=True) as running:
        wait_for_window(session)
        with suppress(HostError):  # it does not live to say that it did
            second.run(["systemctl", "poweroff", "--force", "--force"], limit_s=5)
        run_id = running.run_id()
        status, output = running.wait()

    assert status == 1, output
    assert "loadgen_2" in output
    assert f"invoke bench --resume {run_id}" in output
    assert state_of(run_id) == "interrupted"
    assert cells_of(run_id) == []
    assert "loadgen_2" in journal_of(run_id, "attempt_failed")[0]
    assert running_units(session.server) == running_units(first) == []
