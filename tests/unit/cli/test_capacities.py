"""What a search for a capacity makes of a window, by the rules that apply to it."""

from __future__ import annotations

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
from wrklab.bench.capacity import Keeping, Window
from wrklab.cli.capacities import judged
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
