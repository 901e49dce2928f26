"""Who waited within a window, from a generator's result."""

from __future__ import annotations

import pytest

from wrklab.errors import ParseError
from wrklab.measure.waits import busiest_thread, read_waits, silent_connections


def test_the_busiest_thread_is_the_one_with_the_least_time_to_spare() -> None:
    """Of two processes with a thread of their own and two event loops each; waiting counts as much as running."""
    threads = [[[0.01, 0.0], [1.0, 0.2], [1.1, 0.2]], [[0.01, 0.0], [0.4, 3.2], [0.3, 0.1]]]

    found = busiest_thread({"wrk_threads": {"elapsed_s": 4.0, "threads": threads}})

    assert found is not None
    assert (found.cpu_percent, found.waiting_percent) == pytest.approx((10.0, 80.0))


def test_what_was_not_looked_at_is_none() -> None:
    """A result of an older host, or of one that came too late."""
    assert busiest_thread({}) is None
    assert busiest_thread({"wrk_threads": None}) is None
    assert silent_connections(None, 100_000.0) is None
    assert set(read_waits({"open_connections": [{"ESTABLISHED": 5}]}).figures(None).values()) == {None}


def test_what_cannot_be_read_is_an_error() -> None:
    """Not a number that is missing."""
    with pytest.raises(ParseError, match="wrk's threads"):
        busiest_thread({"wrk_threads": {"elapsed_s": 4.0, "threads": []}})
    with pytest.raises(ParseError, match="silences"):
        silent_connections({"elapsed_s": 4.0, "answered": {"x": 1}, "unanswered": {}}, None)


@pytest.mark.parametrize(
    ("answered", "unanswered", "p99_us", "expected"),
    [
        # 8 of 64 are served; the others were open from the beginning.
        ({"0": 7, "1": 1}, {"37": 56}, 101_000.0, (56, 0)),
        # Connections died one by one; 1 s is the least that counts.
        ({"0": 40, "9": 3, "10": 2, "25": 4}, {}, 20_000.0, (0, 6)),
        # A server that closes after each answer: its connections are young.
        ({}, {"0": 50, "2": 14}, 150_000.0, (0, 0)),
        # Slow answers: 3 s of silence are no sign, a whole window without a byte is a fact.
        ({"30": 10}, {"30": 5, "36": 7}, 1_500_000.0, (7, 0)),
        # Not one answer.
        ({}, {"37": 64}, None, (64, 0)),
    ],
)
def test_silence_is_measured_by_what_answers_take(
    answered: dict[str, int], unanswered: dict[str, int], p99_us: float | None, expected: tuple[int, int]
) -> None:
    """Longer than a second and than three times what 99 of 100 answers took."""
    counted = {"elapsed_s": 3.8, "answered": answered, "unanswered": unanswered}

    found = silent_connections(counted, p99_us)

    assert found is not None
    assert (found.unanswered_count, found.silent_count) == expected


def test_counts_are_the_median_of_the_looks() -> None:
    """One look in a bad moment does not decide."""
    looks = [{"unread": 0, "reopening": 3}, {"unread": 900, "reopening": 5}, {"unread": 4, "reopening": 4}]

    found = read_waits({"open_connections": looks})

    assert (found.unread_count, found.reopening_count) == (4, 4)
