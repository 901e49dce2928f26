"""A host's clock against ours, from round trips."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrklab.hosts.clocks import read_clock


class Line:
    """A host whose clock is ahead, behind a line with the given delays there and back, in turn."""

    def __init__(self, ahead_s: float, delays_s: list[tuple[float, float]]) -> None:
        self.now_s = 1000.0
        self._ahead_s = ahead_s
        self._delays_s: Iterator[tuple[float, float]] = iter(delays_s)

    def now(self) -> float:
        return self.now_s

    def ask(self) -> float:
        there_s, back_s = next(self._delays_s)
        self.now_s += there_s
        told_s = self.now_s + self._ahead_s
        self.now_s += back_s
        return told_s


def test_the_quickest_round_trip_tells() -> None:
    """Seven answers that were held up on their way back do not count."""
    line = Line(-2.5, [(0.001, 0.4)] * 7 + [(0.001, 0.001)])
    clock = read_clock(line.ask, line.now)

    assert clock.ahead_s == pytest.approx(-2.5, abs=1e-6)
    assert clock.round_trip_s == pytest.approx(0.002, abs=1e-6)
    assert clock.call_s == pytest.approx(7 * 0.401 + 0.002, abs=1e-6)
    assert clock.on_host(1005.0) == pytest.approx(1002.5, abs=1e-6)
    assert clock.on_controller(clock.on_host(1005.0)) == 1005.0


@given(
    st.floats(-1e4, 1e4),
    st.lists(st.tuples(st.floats(1e-5, 2.0), st.floats(1e-5, 2.0)), min_size=8, max_size=8),
)
def test_the_difference_is_within_its_uncertainty(ahead_s: float, delays_s: list[tuple[float, float]]) -> None:
    """Whatever the delays in either direction are."""
    line = Line(ahead_s, delays_s)
    clock = read_clock(line.ask, line.now)

    assert abs(clock.ahead_s - ahead_s) <= clock.uncertainty_s + 1e-6
