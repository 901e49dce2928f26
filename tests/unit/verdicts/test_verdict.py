"""Rules check themselves, and a doubt that has no direction has a reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.verdicts.good_rows import good_row
from wrklab.verdicts.verdict import CLOSED, Bound, Direction, Rule, Severity


def handmade_rule(**changes: Any) -> Rule:  # noqa: ANN401  keys of the rule
    """A rule that doubts the rate of every row: too low, and of busy servers unknown."""
    values: dict[str, Any] = {
        "name": "mine",
        "severity": Severity.OTHER_LOAD,
        "doubt": "rate",
        "applies": lambda _: True,
        "figures": lambda _: "figures",
        "meaning": "it means something",
        "next_step": "Do something",
        "words": lambda _: "mine",
        "direction": Direction.TOO_LOW,
        "direction_where": lambda row: (row.server_cpu_percent or 0.0) < 90.0,
    }
    return Rule(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"direction": Direction.UNKNOWN}, "either a direction or the reason why it is unknown"),
        ({"unknown_because": "nobody thought about it"}, "either a direction or the reason why it is unknown"),
        ({"doubt": "none"}, "doubts nothing, so its doubt has no direction"),
        ({"doubt": "none", "direction": Direction.UNKNOWN, "unknown_because": "why"}, "doubts nothing"),
        ({"doubt": "latency", "cost_stands": True}, "does not doubt the rate"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(changes: dict[str, Any], problem: str) -> None:
    """When it is defined, and by its name."""
    with pytest.raises(ValueError, match=f"rule mine.*{problem}"):
        handmade_rule(**changes)


def test_a_direction_may_hold_of_some_rows_only() -> None:
    """Of the others it is unknown; that of latencies is another matter."""
    rule = handmade_rule(latency_direction=Direction.TOO_HIGH)
    idle, busy = good_row(server_cpu_percent=5.0), good_row()

    assert [rule.direction_of(row) for row in (idle, busy)] == [Direction.TOO_LOW, Direction.UNKNOWN]
    assert [rule.latency_direction_of(row) for row in (idle, busy)] == [Direction.TOO_HIGH] * 2


def test_a_rule_on_latencies_moves_them_and_one_that_explains_nothing() -> None:
    """`direction` is that of the figure which is doubted."""
    assert handmade_rule(doubt="latency").latency_direction_of(good_row(server_cpu_percent=5.0)) is Direction.TOO_LOW
    explaining = handmade_rule(doubt="none", direction=Direction.UNKNOWN, direction_where=None)
    assert explaining.latency_direction_of(good_row()) is None


@pytest.mark.parametrize(
    ("changes", "is_slower"),
    [
        ({"doubt": "latency"}, True),
        ({"doubt": "latency", "direction": Direction.TOO_HIGH}, False),
        ({"doubt": "latency", "direction": Direction.TOO_HIGH, "leaves_slowest_open": True}, True),
        ({}, False),
    ],
)
def test_the_slowest_answer_is_a_bound_where_only_slower_ones_are_missing(
    changes: dict[str, Any], *, is_slower: bool
) -> None:
    """Doubts on the rate leave it no bound."""
    assert handmade_rule(**changes).is_slower_still is is_slower


LOW, HIGH, UNKNOWN = Direction.TOO_LOW, Direction.TOO_HIGH, Direction.UNKNOWN
AT_LEAST, AT_MOST = Bound(may_be_higher=True), Bound(may_be_lower=True)
OPEN = Bound(may_be_higher=True, may_be_lower=True)


@pytest.mark.parametrize(
    ("directions", "bound"),
    [
        ([], CLOSED),
        ([LOW, LOW], AT_LEAST),
        ([HIGH], AT_MOST),
        ([LOW, HIGH], OPEN),
        ([UNKNOWN], OPEN),
        ([LOW, UNKNOWN], OPEN),
    ],
)
def test_doubts_add_up(directions: list[Direction], bound: Bound) -> None:
    """A figure that is too low may be higher; of opposite doubts nothing is left."""
    assert Bound.of(directions) == bound
    assert (bound.is_closed, bound.is_unknown) == (bound == CLOSED, bound == OPEN)


@pytest.mark.parametrize(
    ("above", "below", "stays"),
    [
        (CLOSED, CLOSED, True),
        (AT_LEAST, CLOSED, True),
        (AT_LEAST, AT_MOST, True),
        (CLOSED, AT_MOST, True),
        (CLOSED, AT_LEAST, False),
        (AT_MOST, CLOSED, False),
        (AT_LEAST, AT_LEAST, False),
        (OPEN, CLOSED, False),
        (CLOSED, OPEN, False),
    ],
)
def test_an_order_stands_where_no_bound_can_turn_it_round(above: Bound, below: Bound, *, stays: bool) -> None:
    """The higher one cannot be lower, and the lower one cannot be higher."""
    assert above.stays_above(below) is stays
