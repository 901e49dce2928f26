"""The search for a configuration, against simulated applications whose best one is known by construction."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from tests.unit.bench.simulated_applications import APPLICATIONS, OBJECTIVES, PLENTY_S, grid, measuring, tuned
from wrklab.bench.capacity import Keeping, Search, Window, no_figures
from wrklab.bench.contest import Aim, Fate, Look, Step
from wrklab.bench.tuning import Ending, Left, Tuned, Tuner


@cache
def searched(kind: str, seed: int) -> tuple[Tuned, list[Look]]:
    """The search of one application, without a limit of time."""
    ways = grid()
    tuner = Tuner(tuple(ways), Aim(OBJECTIVES, PLENTY_S), current="sync_1")
    return tuned(tuner, measuring(APPLICATIONS[kind], ways, seed))


@cache
def whole_grid(kind: str, seed: int) -> tuple[str, float]:
    """The candidate with the highest capacity where each is searched to 5 %, and the seconds that all took."""
    ways = grid()
    measure = measuring(APPLICATIONS[kind], ways, seed)
    capacities, took_s = {}, 0.0
    for name in ways:
        look = measure(Step(name, None))
        search = Search(OBJECTIVES, 0.7 * look.window.rate_per_s)
        windows: list[Window] = []
        while (rate := search.next_rate(windows)) is not None:
            look = measure(Step(name, rate))
            windows.append(look.window)
            took_s += look.took_s
        capacities[name] = search.capacity(windows).estimate_per_s or 0.0
    return max(capacities, key=lambda name: capacities[name]), took_s


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_the_whole_grids_winner_is_among_the_ties_in_two_fifths_of_its_time(kind: str) -> None:
    """With windows of another noise; the search has looked at each candidate."""
    winner, grid_s = whole_grid(kind, 99)

    for seed in (1, 2):
        found, _ = searched(kind, seed)
        assert found.ending is Ending.FOUND
        assert winner in found.ties
        assert found.spent_s <= 0.4 * grid_s
        assert all(one.windows_count >= 1 for one in found.standings)


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_the_best_by_construction_ties_and_nothing_far_from_it_does(kind: str) -> None:
    """Within 2 % of the best capacity: tied; below four fifths of it: not."""
    ways, app = grid(), APPLICATIONS[kind]
    truth = {name: app.capacity_per_s(way) for name, way in ways.items()}
    best = max(truth.values())

    for seed in (1, 2):
        found, _ = searched(kind, seed)
        assert {name for name, rate in truth.items() if rate > 0.98 * best} <= set(found.ties)
        assert {name for name, rate in truth.items() if rate < 0.8 * best}.isdisjoint(found.ties)


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_twice_running_gives_overlapping_sets(kind: str) -> None:
    """And the capacities of what both recommend agree."""
    (first, _), (second, _) = searched(kind, 1), searched(kind, 2)

    assert set(first.ties) & set(second.ties)
    assert set(first.cheapest) & set(second.ties)


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_an_interrupted_search_goes_on_where_it_was(kind: str) -> None:
    """The next window follows from those before alone, so a resumed search measures the same."""
    ways, (_, looks) = grid(), searched(kind, 1)
    tuner = Tuner(tuple(ways), Aim(OBJECTIVES, PLENTY_S), current="sync_1")

    for count in range(len(looks)):
        assert tuner.next_step(looks[:count]) == looks[count].step


def test_the_leader_is_known_precisely_and_what_is_far_from_it_roughly() -> None:
    """The one to 5 % by two windows on each side, the others after a look and no or two windows."""
    found, looks = searched("blocking", 1)
    best = found.standing("uwsgi_16x16")
    far = [one for one in found.standings if one.fate is Fate.SLOWER and one.candidate != "sync_1"]

    assert best.passed_per_s is not None
    assert best.failed_per_s is not None
    assert best.failed_per_s / best.passed_per_s <= 1.05
    for rate in (best.passed_per_s, best.failed_per_s):
        assert sum(look.step == Step("uwsgi_16x16", rate) for look in looks) >= 2
    assert sum(one.windows_count for one in far) / len(far) < 2


def test_what_runs_today_has_its_capacity_too() -> None:
    """However far from the best it is."""
    found, _ = searched("mixed", 1)
    today = found.standing("sync_1")

    assert today.fate is Fate.SLOWER
    assert today.passed_per_s == pytest.approx(50, rel=0.12)
    assert today.failed_per_s == pytest.approx(50, rel=0.12)


def test_a_budget_that_ends_it_leaves_open_what_was_not_compared() -> None:
    """The leader is confirmed first, nothing is measured beyond the budget, and no one is called slower by that."""
    ways = grid()
    tuner = Tuner(tuple(ways), Aim(OBJECTIVES, 600.0), current="sync_1")

    found, _ = tuned(tuner, measuring(APPLICATIONS["cpu"], ways, 1))

    assert found.spent_s <= 600
    assert found.recommended is not None
    assert any(one.fate is Fate.OPEN for one in found.standings)
    truth = {name: APPLICATIONS["cpu"].capacity_per_s(way) for name, way in ways.items()}
    best = max(truth.values())
    assert not any(one.fate is Fate.SLOWER and truth[one.candidate] > 0.98 * best for one in found.standings)


def test_the_time_left_never_exceeds_the_budget() -> None:
    """And is nothing at the end."""
    ways, (_, looks) = grid(), searched("cpu", 1)
    tuner = Tuner(tuple(ways), Aim(OBJECTIVES, PLENTY_S), current="sync_1")
    short = replace(tuner, aim=replace(tuner.aim, budget_s=300.0))
    begun = tuner.left([], 6.0, 10.0)

    assert begun.seconds == pytest.approx(36 * 6 + 10 * (22 + 1.7 * 35))
    assert begun.windows_count == pytest.approx(36 + 22 + 1.7 * 35, abs=1)
    assert begun.windows_count == pytest.approx(len(looks), rel=0.3)
    assert short.left([], 6.0, 10.0).seconds == 300.0
    assert short.left([], 6.0, 10.0).windows_count < begun.windows_count
    assert tuner.left(looks, 6.0, 10.0) == Left(0, 0.0)


def test_an_application_that_runs_nowhere_is_not_tried_everywhere() -> None:
    """What runs today is looked at first, then one of each server; three that fail are enough."""
    names = ("sync@workers=1", "sync@workers=4", "gthread@workers=1", "gthread@workers=4", "uwsgi", "gevent")
    tuner = Tuner(names, Aim(OBJECTIVES, PLENTY_S), current="gthread@workers=4")

    def measure(step: Step) -> Look:
        return Look(step, Window(0.0, no_figures(), Keeping.BEHIND, "it does not start"), None, 60.0)

    found, looks = tuned(tuner, measure)

    tried = [look.step.candidate for look in looks]
    assert tried == ["gthread@workers=4", "sync@workers=1", "gthread@workers=1", "uwsgi"]
    assert (found.ending, found.recommended) == (Ending.NONE_SERVES, None)
    assert found.standing("gevent").reason == "not looked at"


def test_one_server_that_runs_is_enough_to_go_on() -> None:
    """The application can run."""
    ways = {"sync_4": grid()["sync_4"]}
    names = ("uwsgi@workers=1", "granian@workers=1", "gevent", "sync_4", "granian@workers=4")
    works = measuring(APPLICATIONS["cpu"], ways, 1)

    def measure(step: Step) -> Look:
        if step.candidate in ways:
            return works(step)
        return Look(step, Window(0.0, no_figures(), Keeping.BEHIND, "it does not start"), None, 60.0)

    found, _ = tuned(Tuner(names, Aim(OBJECTIVES, PLENTY_S), current="sync_4"), measure)

    assert found.recommended == "sync_4"
    assert sum(one.fate is Fate.FAILED for one in found.standings) == 4
