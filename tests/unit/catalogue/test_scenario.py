"""Scenarios that are made of another one: the window at half of a measured rate."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import handmade_scenario
from wrklab.catalogue.scenario import half_rate_scenario


@pytest.mark.parametrize(
    ("closed_loop_per_s", "name", "duration_s"),
    [(18_774.0, "standard@9390", 2.0), (5_000.0, "standard@2500", 5.0), (39.6, "standard@19_8", 10.0)],
)
def test_a_window_at_half_rate_is_as_long_as_its_answers_need(
    closed_loop_per_s: float, name: str, duration_s: float
) -> None:
    """10,500 answers, or 10 s; 2 s at least, so that samples judge it."""
    found = half_rate_scenario(handmade_scenario(half_rate_window=True), closed_loop_per_s)

    assert found is not None
    assert (found.name, found.duration_s, found.rounds) == (name, duration_s, 1)
    assert not found.half_rate_window
    assert found.published_scenario == name


def test_nothing_is_half_of_no_rate() -> None:
    """A timetable has a least rate."""
    assert half_rate_scenario(handmade_scenario(), 0.1) is None
