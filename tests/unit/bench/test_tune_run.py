"""What a search for a configuration makes of cells, and what its plan says before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bench.search_rehearsal import Outcome, console, ready, rehearse
from tests.unit.handmade_application import handmade_recipes
from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_latency,
    handmade_measurement,
    handmade_open_loop,
    handmade_plan,
    handmade_planned,
    handmade_scenario,
)
from tests.unit.handmade_tuning import GEVENT, GTHREAD, MIB, SYNC, handmade_tune_plan
from wrklab.bench.capacity import Keeping
from wrklab.bench.contest import Fate, Step
from wrklab.bench.resume import choose_run
from wrklab.bench.tune_run import (
    TuneRequest,
    _Tuning,
    estimate,
    found_in,
    look_of,
    looks_of,
    read_tune_plan,
    tune_plan,
    with_budget,
)
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.cli.capacities import judged
from wrklab.errors import UsageError
from wrklab.report.terminal import one_line
from wrklab.results.records import Errors
from wrklab.results.run_folder import TUNE_PLAN_FILE, Run, RunKind

AT_300 = handmade_scenario(name="standard@300", rate_per_s=300.0, compares_with=None)


def catalogue() -> Catalogue:
    """One scenario, and a variant that stands for all candidates."""
    any_one = read_catalogue().variants["flask_gunicorn_sync"]
    known = handmade_recipes()
    variants = dict.fromkeys(handmade_tune_plan().candidates, any_one)
    return Catalogue(
        stacks={}, variants=variants, scenarios=known.scenarios, suites={}, recipe_files=known.recipe_files
    )


def request(**changes: Any) -> TuneRequest:  # noqa: ANN401  keys of the request
    """Three candidates and half an hour."""
    values: dict[str, Any] = {
        "candidates": handmade_tune_plan().candidates,
        "current": SYNC,
        "objectives": "p99<=250ms",
        "budget_s": 1800.0,
    }
    return TuneRequest(**(values | changes))


def test_a_look_is_a_short_closed_loop_and_a_window_has_its_rate() -> None:
    """Unless a length was given."""
    plan = tune_plan(catalogue(), request())
    given = tune_plan(catalogue(), request(overrides={"duration_s": "6s"}))

    assert (plan.scenario_of(Step(SYNC, None)).rate_per_s, plan.scenario_of(Step(SYNC, None)).duration_s) == (None, 3.0)
    assert plan.scenario_of(Step(SYNC, 300.0)).rate_per_s == 300.0
    assert given.scenario_of(Step(SYNC, None)).duration_s == given.scenario_of(Step(SYNC, 300.0)).duration_s == 6.0


def test_an_estimate_is_less_than_the_whole_grid() -> None:
    """For a grid of the usual size."""
    expected = estimate(catalogue(), handmade_tune_plan(candidates=(SYNC,) * 30))

    assert expected.total_s < 0.4 * expected.whole_grid_s
    assert expected.least_s < expected.total_s


def test_a_budget_without_an_answer_in_it_is_refused() -> None:
    """Before anything is touched, with the time that is needed."""
    with pytest.raises(UsageError, match=r"--budget 20 s: 3 configurations need \d+ min \d\d s at least"):
        tune_plan(catalogue(), request(budget_s=20.0))
    with pytest.raises(UsageError, match="rate_per_s"):
        tune_plan(catalogue(), request(rate_per_s=1e9))
    with pytest.raises(UsageError, match="nothing to try"):
        tune_plan(catalogue(), request(candidates=()))


@pytest.mark.parametrize(
    ("changes", "rate_per_s", "keeping"),
    [
        ({}, 15_000.0, Keeping.KEPT),
        # What bounds nothing rules nothing out: a full generator, a neighbour, errors of too many connections.
        ({"generator": {"cpu_percent": 96.0, "wrk_cpu_percent_of_one": 96.0}}, 15_000.0, Keeping.VOID),
        ({"server": {"neighbours_cpu_percent": 40.0}}, 15_000.0, Keeping.VOID),
        ({"errors": Errors(status=30_000)}, 7_500.0, Keeping.VOID),
        # Connections that starve are no reason against it.
        ({"generator": {"connections_unanswered": 900}}, 15_000.0, Keeping.KEPT),
    ],
)
def test_a_closed_loop_bounds_what_a_server_can_do(
    changes: dict[str, Any], rate_per_s: float, keeping: Keeping
) -> None:
    """By its right answers a second."""
    cell = handmade_cell(measurement=handmade_measurement(**changes))

    look = look_of(handmade_plan([cell]), cell, judged)

    assert (look.step, look.window.rate_per_s, look.window.keeping) == (Step(cell.variant, None), rate_per_s, keeping)
    assert (look.memory_bytes, look.took_s) == (200 * MIB, 15.0)


def test_a_server_that_fails_at_its_look_has_a_reason() -> None:
    """The first line of what failed."""
    cell = handmade_cell(failure=handmade_failure(text="killed: out of memory\nmore"), attempts=2)

    look = look_of(handmade_plan([cell]), cell, judged)

    assert (look.window.keeping, look.window.why, look.memory_bytes) == (Keeping.BEHIND, "killed: out of memory", None)
    assert look.took_s == 30.0  # both attempts


def test_a_stored_search_has_its_answer_and_goes_on(tmp_path: Path) -> None:
    """From its windows alone, in the order in which they were measured; neither a bench nor a capacity goes on."""
    plan = handmade_tune_plan(candidates=(SYNC, GTHREAD), budget_s=60.0)
    empty = handmade_plan([], scenarios=[handmade_scenario()])
    with Run.create(tmp_path, empty, handmade_environment(), {TUNE_PLAN_FILE: plan.model_dump_json()}) as run:
        cells = [
            handmade_cell(GTHREAD, failure=handmade_failure(text="it does not start")),
            handmade_cell(SYNC),
            handmade_cell(SYNC, AT_300.name),
        ]
        for position, cell in enumerate(cells):
            scenario = AT_300 if cell.scenario == AT_300.name else handmade_scenario()
            assert run.extend_plan(handmade_planned(cell), scenario) == position
            run.add_cell(cell.model_copy(update={"position": position}), {})
        run.end("interrupted")

    with Run.open(tmp_path, empty.run_id) as again:
        looks = looks_of(again.plan, again.cells(), judged)
        found = found_in(again, judged)
        assert read_tune_plan(again) == plan
        assert with_budget(again, None) == plan
        longer = with_budget(again, 3600.0)
        assert longer.budget_s == read_tune_plan(again).budget_s == 3600.0
        assert longer.model_copy(update={"budget_s": plan.budget_s}) == plan
    assert [look.step for look in looks] == [Step(GTHREAD, None), Step(SYNC, None), Step(SYNC, 300.0)]
    assert found.standing(GTHREAD).fate is Fate.FAILED
    assert found.spent_s == 45.0
    assert choose_run(tmp_path, "", kind="tune").run_id == empty.run_id
    others: tuple[RunKind, ...] = ("bench", "capacity")
    for kind in others:
        with pytest.raises(UsageError):
            choose_run(tmp_path, "", kind=kind)


#: By construction.
CAPACITIES = {SYNC: 200.0, GTHREAD: 400.0, GEVENT: 100.0}


def outcome_of(candidate: str, rate_per_s: float | None) -> Outcome:
    """A window of an application of these capacities; one of the candidates does not start."""
    capacity = CAPACITIES[candidate]
    if candidate == GEVENT:
        return handmade_failure(text="it does not start")
    if rate_per_s is None:
        return handmade_measurement(requests_per_s=capacity, requests=round(4 * capacity))
    latency = handmade_latency(p99_us=100_000.0 if rate_per_s <= capacity else 900_000.0)
    values = {"requests_per_s": rate_per_s, "requests": round(4 * rate_per_s), "latency": latency}
    return handmade_measurement(**values, open_loop=handmade_open_loop())


def test_a_search_is_interrupted_resumed_and_finds_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on at the window that was not measured, and comes to what it would have come to."""
    made = catalogue()
    named = {name: variant.model_copy(update={"name": name}) for name, variant in made.variants.items()}
    known = replace(made, variants=named)
    plan = tune_plan(known, request())
    ended: list[str] = []
    count = iter(range(1000))

    def interrupted(candidate: str, rate_per_s: float | None) -> Outcome:
        return KeyboardInterrupt() if next(count) == 5 else outcome_of(candidate, rate_per_s)

    rehearse(monkeypatch, interrupted, ended)
    empty = handmade_plan([], scenarios=[handmade_scenario()])
    with Run.create(tmp_path, empty, handmade_environment(), {TUNE_PLAN_FILE: plan.model_dump_json()}) as run:
        first = _Tuning(ready(known), run, plan, one_line, judged).run(console())
        before = [cell.cell_id for cell in run.cells()]
        second = _Tuning(ready(known), run, plan, one_line, judged).run(console())
        found, cells = found_in(run, judged), [cell.cell_id for cell in run.cells()]
        journal = [entry.text for entry in run.journal_entries() if entry.phase == "tune"]

    assert (first.is_interrupted, second.is_finished) == (True, True)
    assert ended == ["interrupted by the user", "finished "]
    assert len(before) == 5
    assert cells[:5] == before
    assert len(set(cells)) == len(cells)
    assert found.ties == (GTHREAD,)
    assert found.standing(GEVENT).reason == "it does not start"
    assert found.standing(SYNC).passed_per_s == pytest.approx(200, rel=0.1)
    assert journal == [f"ties: {GTHREAD}"]
