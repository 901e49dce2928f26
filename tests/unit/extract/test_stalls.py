"""What stood still within a window, from a generator's result."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_raw import captured_load
from wrklab.errors import ParseError
from wrklab.extract.stalls import busiest_thread, paused_s, read_stalls, slow_answer_s, stalled_connections
from wrklab.protocol.codec import decode
from wrklab.protocol.load import Paused, Silences, WrkThreads


def silences(**changes: Any) -> Silences:  # noqa: ANN401  JSON
    """A count near the end of 4 s, with nobody silent but for the changes."""
    trickling = {"count": 0, "seen_s": 1.8}
    counted = {"elapsed_s": 3.8, "answered": {}, "unanswered": {}, "trickling": trickling}
    return decode(Silences, counted | changes)


def looks(*counts: tuple[int, int]) -> list[dict[str, Any]]:
    """Looks at connections that found so many unread, and so many being opened again."""
    return [
        {"at_s": 0.0, "states": {"ESTABLISHED": 5}, "unread_count": unread, "reopening_count": reopening}
        for unread, reopening in counts
    ]


def test_the_busiest_thread_is_the_one_with_the_least_time_to_spare() -> None:
    """Of two processes with a thread of their own and two event loops each; waiting counts as much as running."""
    threads = [[[0.01, 0.0], [1.0, 0.2], [1.1, 0.2]], [[0.01, 0.0], [0.4, 3.2], [0.3, 0.1]]]

    found = busiest_thread(decode(WrkThreads, {"elapsed_s": 4.0, "processes": threads}))

    assert found is not None
    assert (found.cpu_percent, found.waiting_percent) == pytest.approx((10.0, 80.0))


def test_what_was_not_looked_at_is_none() -> None:
    """A look that came too late."""
    assert busiest_thread(None) is None
    assert stalled_connections(None, 0.1) is None
    load = captured_load(silences=None, wrk_threads=None, paused=None, open_connections=looks((3, 4)))
    figures = read_stalls(load).figures(None)
    assert (figures.pop("connections_unread"), figures.pop("connections_reopening")) == (3, 4)
    assert set(figures.values()) == {None}


def test_what_cannot_be_read_is_an_error() -> None:
    """Not a number that is missing."""
    with pytest.raises(ParseError, match="wrk's threads"):
        busiest_thread(WrkThreads(elapsed_s=4.0, processes=()))
    with pytest.raises(ParseError, match="wrk's threads"):
        busiest_thread(decode(WrkThreads, {"elapsed_s": 0.0, "processes": [[[1.0, 0.0]]]}))
    with pytest.raises(ParseError, match="connections were not counted"):
        read_stalls(captured_load(open_connections=[]))


@pytest.mark.parametrize(
    ("answered", "unanswered", "slow_answer_s", "expected"),
    [
        # 8 of 64 are served; the others were open from the beginning.
        ({"0": 7, "1": 1}, {"37": 56}, 0.101, (56, 0)),
        # Connections died one by one; 1 s is the least that counts.
        ({"0": 40, "9": 3, "10": 2, "25": 4}, {}, 0.02, (0, 6)),
        # A server that closes after each answer: its connections are young.
        ({}, {"0": 50, "2": 14}, 0.15, (0, 0)),
        # Slow answers: 3 s of silence are no sign, a whole window without a byte is a fact.
        ({"30": 10}, {"30": 5, "36": 7}, 1.5, (7, 0)),
        # Not one answer.
        ({}, {"37": 64}, None, (64, 0)),
    ],
)
def test_silence_is_measured_by_what_answers_take(
    answered: dict[str, int], unanswered: dict[str, int], slow_answer_s: float | None, expected: tuple[int, int]
) -> None:
    """Longer than a second and than three times what 99 of 100 answers took."""
    found = stalled_connections(silences(answered=answered, unanswered=unanswered), slow_answer_s)

    assert found is not None
    assert (found.unanswered_count, found.silent_count) == expected


@pytest.mark.parametrize(("slow_answer_s", "unanswered_count"), [(0.1, 5), (0.7, 0), (None, 5)])
def test_a_trickle_is_no_answer(slow_answer_s: float | None, unanswered_count: int) -> None:
    """Less than one of them came in 1.8 s, where three times a slow answer takes less."""
    counted = silences(answered={"1": 5}, trickling={"count": 5, "seen_s": 1.8})

    found = stalled_connections(counted, slow_answer_s)

    assert found is not None
    assert found.unanswered_count == unanswered_count


def test_slow_answers_are_those_after_the_time_out_too() -> None:
    """2,000 connections at 500 answers/s wait 4 s each, whatever the p99 of those within 2 s."""
    assert slow_answer_s(1.9, 30_000, 29_000, 500.0, 2000) == 4.0
    assert slow_answer_s(1.9, 30_000, 300, 500.0, 2000) == 1.9
    assert slow_answer_s(1.9, 0, 0, 0.0, 2000) == 1.9


def test_wrk_is_paused_by_a_stop_or_with_its_host() -> None:
    """The longer of both."""
    assert paused_s(Paused(stopped_s=1.4, gap_s=0.2)) == 1.4
    assert paused_s(Paused(stopped_s=0.0, gap_s=2.5)) == 2.5
    assert paused_s(None) is None


def test_counts_are_the_median_of_the_looks() -> None:
    """One look at a bad time does not decide."""
    found = read_stalls(captured_load(open_connections=looks((0, 3), (900, 5), (4, 4))))

    assert (found.unread_count, found.reopening_count) == (4, 4)
