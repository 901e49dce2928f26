"""What a search for a capacity makes of a window, by the rules that apply to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_failure,
    handmade_measurement,
    handmade_open_loop,
    handmade_plan,
    handmade_scenario,
)
from wrklab.bench.capacity import Ending, Keeping, Search, Window, parse_objectives
from wrklab.bench.capacity_run import CapacityResult
from wrklab.cli.capacities import answer, judged
from wrklab.results.records import CellRecord

SCENARIO = handmade_scenario(name="standard@500", rate_per_s=500.0, compares_with=None)


def window_of(cell: CellRecord) -> Window:
    """The cell as a search sees it."""
    return judged(handmade_plan([cell], scenarios=[SCENARIO]), cell)


@pytest.mark.parametrize(
    ("changes", "keeping", "why"),
    [
        ({}, Keeping.KEPT, ""),
        ({"open_loop": handmade_open_loop(unanswered=100)}, Keeping.BEHIND, "overloaded at 500.0"),
        ({"open_loop": handmade_open_loop(late=100)}, Keeping.BEHIND, "5 % sent late"),
        ({"generator": {"cpu_percent": 75.0}}, Keeping.VOID, "generator busy"),
        # A neighbour does not hide that the server is behind; the search knows that both are true.
        ({"server": {"neighbours_cpu_percent": 40.0}}, Keeping.KEPT, ""),
        (
            {"server": {"neighbours_cpu_percent": 40.0}, "open_loop": handmade_open_loop(unanswered=100)},
            Keeping.BEHIND,
            "overloaded at 500.0",
        ),
    ],
)
def test_a_window_is_kept_behind_or_void(changes: dict[str, Any], keeping: Keeping, why: str) -> None:
    """By the rules on rows."""
    measured = handmade_measurement(
        **{"requests_per_s": 500.0, "requests": 2000, "open_loop": handmade_open_loop()} | changes
    )
    found = window_of(handmade_cell(scenario=SCENARIO.name, measurement=measured))

    assert (found.rate_per_s, found.keeping, found.why) == (500.0, keeping, why)
    assert found.is_disturbed == ("server" in changes)


def test_a_server_that_fails_under_the_load_is_behind() -> None:
    """It has no figures, so it meets no objective."""
    found = window_of(handmade_cell(scenario=SCENARIO.name, failure=handmade_failure(text="the server ended")))

    assert (found.keeping, found.why) == (Keeping.BEHIND, "the server ended")
    assert found.figures["errors"] == 1.0


def search_of(windows: Sequence[Window]) -> CapacityResult:
    """The search for p99<=100ms that these windows are."""
    capacity = Search(parse_objectives("p99<=100ms"), 300.0).capacity(windows)
    return CapacityResult("go", "", capacity, 60.0, tuple(windows))


def window_at(rate_per_s: float, p99_ms: float, why_void: str = "", *, is_disturbed: bool = False) -> Window:
    """One with this tail."""
    keeping = Keeping.VOID if why_void else Keeping.KEPT
    return Window(rate_per_s, {"p99": p99_ms * 1000}, keeping, why_void, is_disturbed=is_disturbed)


_BOTH_SIDES = (
    "go serves 300.0 requests/s within p99<=100ms, and fails at 700.0 (p99<=100ms); nothing more precise can be said: "
    "at 400.0 others used the hosts' CPUs, so that window says nothing: run it again."
)
_LOWER_BOUND = (
    "go serves 300.0 requests/s or more within p99<=100ms; at 440.0 the generator was the limit (generator busy): more "
    "generators show more (invoke lab.up --loadgens 2)."
)
_FAILS = (
    "go fails at 700.0 requests/s (p99<=100ms); nothing can be said below that: at 21.9 the generator was the limit "
    "(generator busy): more generators show more (invoke lab.up --loadgens 2)."
)
_NOTHING = "Nothing can be said of go: at 18.8 others used the hosts' CPUs, so that window says nothing: run it again."


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ([*[window_at(300, 20)] * 2, window_at(700, 900), *[window_at(400, 300, is_disturbed=True)] * 3], _BOTH_SIDES),
        # The window that ends the search is one that passed; the reason is another's.
        ([*[window_at(440, 20, "generator busy")] * 3, *[window_at(300, 20)] * 2], _LOWER_BOUND),
        ([window_at(700, 900), *[window_at(rate, 20, "generator busy") for rate in (350, 87.5, 21.9) * 3]], _FAILS),
        ([window_at(rate, 300, is_disturbed=True) for rate in (300, 75, 18.8) for _ in range(3)], _NOTHING),
    ],
)
def test_a_search_that_void_windows_ended_says_what_it_still_knows(windows: list[Window], said: str) -> None:
    """The rate that it could not judge, and both sides as far as they are known."""
    found = search_of(windows)

    assert found.capacity.ending is Ending.VOID_WINDOWS
    assert answer(found, "p99<=100ms") == said
