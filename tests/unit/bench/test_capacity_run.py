"""What the windows of a search are like, and what stored windows come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bench.search_rehearsal import Outcome, console, ready, rehearse
from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_latency,
    handmade_measurement,
    handmade_plan,
    handmade_planned,
    handmade_scenario,
)
from wrklab.bench.capacity import Keeping, Window, figures_of
from wrklab.bench.capacity_run import (
    CapacityPlan,
    CapacityTarget,
    _Searches,
    read_capacity_plan,
    results_of,
    store_results,
    window_scenario,
)
from wrklab.bench.resume import choose_run
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import UsageError
from wrklab.report.terminal import one_line
from wrklab.results.records import CellRecord, Errors, RunPlan
from wrklab.results.run_folder import CAPACITY_FILE, CAPACITY_RESULT_FILE, Run


def capacity_plan(**given: object) -> CapacityPlan:
    """A search for one variant that begins at 400/s."""
    return CapacityPlan(
        objectives="p99<=100ms",
        precision_ratio=0.05,
        scenario=handmade_scenario(**given),
        given=tuple(given),
        targets=(CapacityTarget(variant="flask_gunicorn_gevent", start_per_s=400.0),),
    )


def judged(plan: RunPlan, record: CellRecord) -> Window:
    """As it was measured."""
    assert record.measurement is not None
    rate_per_s = plan.scenarios[record.scenario].rate_per_s or 0.0
    return Window(rate_per_s, figures_of(record.measurement), Keeping.KEPT)


@pytest.mark.parametrize(("rate_per_s", "duration_s"), [(50.0, 10.0), (1000.0, 5.0), (20_000.0, 4.0)])
def test_a_window_is_as_long_as_its_answers_need(rate_per_s: float, duration_s: float) -> None:
    """Between 4 and 10 s, whatever a bench at that rate would take."""
    found = window_scenario(handmade_scenario(), (), rate_per_s)

    assert (found.name, found.rate_per_s, found.duration_s) == (f"standard@{rate_per_s:g}", rate_per_s, duration_s)


def test_what_was_given_is_kept() -> None:
    """In each window."""
    plan = capacity_plan(duration_s=3.0, connections=64)
    found = window_scenario(plan.scenario, plan.given, 50.0)

    assert (found.duration_s, found.connections) == (3.0, 64)


def test_a_stored_search_has_its_result_and_goes_on(tmp_path: Path) -> None:
    """Its plan grows cell by cell; a bench does not take it for a run of its own."""
    plan = capacity_plan()
    empty = handmade_plan([], scenarios=[handmade_scenario()])
    files = {CAPACITY_FILE: plan.model_dump_json()}
    with Run.create(tmp_path, empty, handmade_environment(), files) as run:
        for position, (rate, number) in enumerate([(400.0, 1), (800.0, 1)]):
            scenario = window_scenario(plan.scenario, plan.given, rate)
            latency = handmade_latency(p99_us=rate * 200)
            cell = handmade_cell(
                scenario=scenario.name, round_number=number, measurement=handmade_measurement(latency=latency)
            ).model_copy(update={"position": position})
            assert run.extend_plan(handmade_planned(cell), scenario) == position
            assert run.extend_plan(handmade_planned(cell), scenario) == position
            run.add_cell(cell, {})
        run.end("interrupted")

    with Run.open(tmp_path, empty.run_id) as again:
        [found] = results_of(again, judged)
        store_results(again, (found,))
        assert [cell.cell_id for cell in again.plan.cells] == [cell.cell_id for cell in again.cells()]
        assert read_capacity_plan(again) == plan
        assert "estimate_per_s" in (again.path / CAPACITY_RESULT_FILE).read_text(encoding="utf-8")
    assert (found.capacity.passed_per_s, found.capacity.failed_per_s) == (400.0, 800.0)
    assert found.capacity.estimate_per_s == pytest.approx(500, rel=0.2)
    assert choose_run(tmp_path, "", kind="capacity").run_id == empty.run_id
    with pytest.raises(UsageError):
        choose_run(tmp_path, "")


@pytest.mark.parametrize(
    ("look", "first_per_s"),
    [
        (handmade_measurement(requests_per_s=1000.0, requests=4000), 700.0),
        # Half of it answered with another status; late answers are answers all the same.
        (handmade_measurement(requests_per_s=1000.0, requests=4000, errors=Errors(status=2000, timeout=9000)), 350.0),
        (handmade_failure(), 50.0),
    ],
)
def test_where_nothing_is_known_a_closed_loop_shows_where_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Outcome, first_per_s: float
) -> None:
    """It is measured once, also where the search is interrupted just after it, and is no window of the curve."""
    target = CapacityTarget(variant="go_net_http", start_per_s=None)
    plan = capacity_plan().model_copy(update={"targets": (target,)})
    count = iter(range(1000))

    def outcome_of(_: str, rate_per_s: float | None) -> Outcome:
        if next(count) == 1:
            return KeyboardInterrupt()
        return look if rate_per_s is None else handmade_measurement(latency=handmade_latency(p99_us=rate_per_s * 200))

    rehearse(monkeypatch, outcome_of, [])
    known, empty = read_catalogue(), handmade_plan([], scenarios=[handmade_scenario()])
    with Run.create(tmp_path, empty, handmade_environment(), {CAPACITY_FILE: plan.model_dump_json()}) as run:
        ends = [_Searches(ready(known), run, plan, one_line, judged).run(console()).is_finished for _ in range(2)]
        rates = [run.plan.scenarios[cell.scenario].rate_per_s for cell in run.cells()]
        [found] = results_of(run, judged)

    assert ends == [False, True]
    assert rates[:2] == [None, first_per_s]
    assert None not in rates[1:]
    assert found.capacity.windows_count == len(found.windows) == len(rates) - 1
    assert found.capacity.estimate_per_s == pytest.approx(500, rel=0.05)
