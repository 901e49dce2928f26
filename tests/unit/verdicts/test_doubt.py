"""What doubts leave open: which side of a measured figure the true one may lie on."""

from __future__ import annotations

import pytest

from wrklab.verdicts.doubt import CLOSED, Bound, Direction

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
