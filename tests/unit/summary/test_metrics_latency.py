"""Latencies of added histograms, and connections that got no answer."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import (
    ROUNDS,
    handmade_cell,
    handmade_histogram,
    handmade_measurement,
    handmade_plan,
    row_of,
)
from wrklab.summary.rows import summarise


def test_percentiles_come_from_histograms_added_over_rounds() -> None:
    """One fast round and one slow: p90 of the 1,000 answers together, not the mean of two p90."""
    stored = {
        ROUNDS[0].cell_id: {
            "observed": handmade_histogram({100_000: 890, 101_000: 10}),
            "wrk": handmade_histogram({100_000: 900}),
        },
        ROUNDS[1].cell_id: {
            "observed": handmade_histogram({101_000: 5, 500_000: 95}),
            "wrk": handmade_histogram({500_000: 100}),
        },
    }
    plan = handmade_plan(ROUNDS[:2])
    [row] = summarise(plan, ROUNDS[:2], lambda cell_id: stored[cell_id])

    assert row.latency is not None
    assert row.wrk_latency is not None
    assert row.latency.count == 1000
    assert (row.latency.p50_us, row.latency.p90_us, row.latency.p99_us) == (100_000, 101_000, 500_000)
    assert row.latency.max_us == 500_000
    assert row.latency.mean_us == pytest.approx((890 * 100 + 15 * 101 + 95 * 500) * 1000 / 1000)
    assert row.wrk_latency.p99_us == 500_000


def test_without_an_answer_there_are_no_latencies() -> None:
    """Empty histograms give no percentiles at all."""
    cell = handmade_cell(measurement=handmade_measurement(requests=0, requests_per_s=0.0, latency=None))
    [row] = summarise(handmade_plan([cell]), [cell], lambda _: {"observed": handmade_histogram({})})

    assert row.latency is None
    assert (row.requests, row.requests_per_s) == (0, 0.0)


def test_a_look_that_did_not_happen_is_counted() -> None:
    """On full CPUs it comes too late."""
    looks: tuple[dict[str, int | None], ...] = ({"connections_unanswered": 0}, {"connections_unanswered": None})
    cells = [
        handmade_cell(round_number=number, measurement=handmade_measurement(generator=found))
        for number, found in enumerate(looks, start=1)
    ]

    assert row_of(cells).rounds_without_silences == 1


def test_lost_segments_of_both_directions_count_for_the_worst_round() -> None:
    """Not those of a round whose accept queue was full: the server's host drops segments itself then."""
    cells = [
        handmade_cell(
            round_number=number,
            measurement=handmade_measurement(
                server={"segments_lost": lost, "listen_overflows": overflows}, generator={"segments_lost": lost}
            ),
        )
        for number, lost, overflows in ((1, 60, 0), (2, 300, 0), (3, 9000, 340))
    ]

    assert row_of(cells).segments_lost_ratio == pytest.approx(600 / 60_000)
    burst = handmade_measurement(server={"segments_lost": 90, "listen_overflows": 340, "lasting_listen_overflows": 0})
    assert row_of([handmade_cell(measurement=burst)]).segments_lost_ratio == pytest.approx(90 / 60_000)
    assert row_of(ROUNDS).segments_lost_ratio is None


@pytest.mark.parametrize(
    ("unanswered", "queue", "expected"),
    [
        # uvicorn, uvicorn with workers, gunicorn with gevent, as they were measured: the queue of a second before
        # holds those too that were just let in.
        (684, (691, 684), (684, 0)),
        (58, (64, 46), (58, 0)),
        (593, (608, 596), (593, 0)),
        # Eight workers that keep their connections: nobody is let in.
        (56, (56, 56), (0, 56)),
        # The same, and one of the workers was restarted just now.
        (1900, (1900, 1899), (0, 1900)),
        (1900, (1900, 1891), (0, 1900)),
        # Let in, and without an answer: more than the queue held.
        (100, (40, 30), (40, 60)),
        (209, (0, 0), (0, 209)),
        (209, (None, 0), (None, 209)),
    ],
)
def test_a_queue_that_grows_shorter_tells_who_is_being_let_in(
    unanswered: int, queue: tuple[int | None, int], expected: tuple[int | None, int]
) -> None:
    """Those, and the others without an answer, who starve."""
    before, counted = queue
    cell = handmade_cell(
        measurement=handmade_measurement(
            server={"accept_queue_before": before, "accept_queue_counted": counted},
            generator={"connections_unanswered": unanswered},
        )
    )
    row = row_of([cell])

    assert (row.connections_unaccepted, row.connections_unexplained) == expected


def test_others_that_use_the_server_are_those_of_the_worst_round() -> None:
    """By address."""
    found = [{"10.0.0.9": 20}, {"10.0.0.9": 3, "10.0.0.8": 30}, {}]
    cells = [
        handmade_cell(round_number=number, measurement=handmade_measurement(server={"foreign_connections": foreign}))
        for number, foreign in enumerate(found, 1)
    ]

    assert row_of(cells).foreign_connections == {"10.0.0.9": 3, "10.0.0.8": 30}
    assert row_of(ROUNDS).foreign_connections == {}
