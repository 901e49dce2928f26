"""From cells to rows: how figures of several rounds become one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_failure,
    handmade_histogram,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.articles.published_rows import read_published
from wrklab.paths import PROJECT_DIR
from wrklab.results.records import CellRecord, Errors
from wrklab.summary.rows import SummaryRow, summarise

PUBLISHED = read_published(PROJECT_DIR / "reference")
#: Three rounds of one variant: rates 14,000, 16,000 and 15,000.
ROUNDS = [
    handmade_cell(
        round_number=1,
        startup_s=0.9,
        harness_s=0.2,
        measurement=handmade_measurement(
            requests=56_000,
            requests_per_s=14_000.0,
            errors=Errors(read=1, timeout=2),
            connections_open=2000,
            busy_ratio=0.95,
            server={"cpu_percent": 90.0, "threads_max": 9, "memory_max_bytes": 100, "listen_overflows": 3},
            generator={"cpu_percent": 40.0},
        ),
    ),
    handmade_cell(
        round_number=2,
        startup_s=0.7,
        harness_s=0.4,
        measurement=handmade_measurement(
            requests=64_000,
            requests_per_s=16_000.0,
            errors=Errors(read=10),
            connections_open=1980,
            busy_ratio=0.80,
            server={"cpu_percent": 98.0, "threads_max": 12, "memory_max_bytes": 300, "listen_overflows": 4},
            generator={"cpu_percent": 60.0},
        ),
    ),
    handmade_cell(
        round_number=3,
        startup_s=0.8,
        harness_s=0.3,
        measurement=handmade_measurement(
            requests=60_000,
            requests_per_s=15_000.0,
            server={"cpu_percent": 97.0, "memory_max_bytes": 200, "listen_overflows": 0},
            generator={"cpu_percent": 45.0},
        ),
    ),
]


def no_histograms(_: str) -> Mapping[str, bytes]:
    return {}


def row_of(cells: list[CellRecord], planned: list[CellRecord] | None = None) -> SummaryRow:
    plan = handmade_plan(planned or cells)
    [row] = summarise(plan, cells, no_histograms, PUBLISHED)
    return row


def test_rates_are_the_median_of_rounds_with_their_range() -> None:
    """Requests add up; the rate is the middle round's, beside the lowest and the highest."""
    row = row_of(ROUNDS)

    assert (row.rounds, row.requests) == (3, 180_000)
    assert (row.requests_per_s, row.requests_per_s_min, row.requests_per_s_max) == (15_000.0, 14_000.0, 16_000.0)
    assert row.spread_ratio == pytest.approx(2 / 15)


def test_each_figure_is_combined_in_its_own_way() -> None:
    """Errors and overflows add; connections open and the busy ratio are the worst; CPU and times are medians."""
    row = row_of(ROUNDS)

    assert row.errors == Errors(read=11, timeout=2)
    assert (row.connections_asked, row.connections_open, row.busy_ratio) == (2000, 1980, 0.80)
    assert (row.server_cpu_percent, row.generator_cpu_percent) == (97.0, 45.0)
    assert (row.startup_s, row.harness_s) == (0.8, 0.3)
    assert (row.processes_max, row.threads_max, row.memory_max_bytes) == (5, 12, 300)
    assert row.listen_overflows == 7


def test_ideal_is_connections_over_hold() -> None:
    """2,000 connections held 100 ms give 20,000 requests/s at most."""
    row = row_of(ROUNDS)

    assert row.ideal_per_s == 20_000.0
    assert row.ideal_ratio == pytest.approx(0.75)


def test_without_a_hold_there_is_no_ideal() -> None:
    """A path that answers at once has no ideal rate and no ceiling."""
    row = row_of([handmade_cell(hold_ms=0, in_flight_limit=40)])

    assert (row.ideal_per_s, row.ideal_ratio, row.ceiling_per_s, row.ceiling_ratio) == (None, None, None, None)


def test_ceiling_is_the_in_flight_limit_over_hold() -> None:
    """40 threads held 100 ms give 400 requests/s at most."""
    measurement = handmade_measurement(requests_per_s=390.0)
    row = row_of([handmade_cell(in_flight_limit=40, measurement=measurement)])

    assert row.ceiling_per_s == 400.0
    assert row.ceiling_ratio == pytest.approx(0.975)


def test_cpu_time_of_one_request() -> None:
    """90 % of one CPU for 4 s over 56,000 requests are 64.3 µs each."""
    assert row_of(ROUNDS[:1]).server_cpu_us_per_request == pytest.approx(64.2857, abs=0.001)


def test_what_was_not_sampled_is_none_not_zero() -> None:
    """A CPU share that no round could tell has no value."""
    measurement = handmade_measurement(server={"cpu_percent": None, "memory_max_bytes": None})
    row = row_of([handmade_cell(measurement=measurement)])

    assert (row.server_cpu_percent, row.server_cpu_us_per_request, row.memory_max_bytes) == (None, None, None)


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
    [row] = summarise(plan, ROUNDS[:2], lambda cell_id: stored[cell_id], PUBLISHED)

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
    [row] = summarise(handmade_plan([cell]), [cell], lambda _: {"observed": handmade_histogram({})}, PUBLISHED)

    assert row.latency is None
    assert (row.requests, row.requests_per_s) == (0, 0.0)


def test_a_failed_variant_has_its_row_with_the_reason() -> None:
    """Its figures are empty; what was asked and why it failed are there."""
    cells = [handmade_cell(round_number=number, failure=handmade_failure(expected=True)) for number in (1, 2)]
    row = row_of(cells)

    assert (row.state, row.rounds, row.rounds_planned, row.rounds_failed) == ("failed", 0, 2, 2)
    assert (row.requests, row.requests_per_s, row.latency, row.errors, row.published_ratio) == (None,) * 5
    assert row.failures == ("ready: no right answer in 20 s; found 500 Internal Server Error",)
    assert row.failure_expected
    assert row.connections_asked == 2000


def test_a_failed_round_leaves_the_others_figures() -> None:
    """Two good rounds and a failed one: a partial row over the good ones."""
    row = row_of([*ROUNDS[:2], handmade_cell(round_number=3, failure=handmade_failure())])

    assert (row.state, row.rounds, row.rounds_failed, row.requests_per_s) == ("partial", 2, 1, 15_000.0)
    assert not row.failure_expected


def test_what_was_planned_and_not_reached_has_its_row() -> None:
    """After an interruption a variant without any round is `missing`, one with some is `partial`."""
    other = handmade_cell(variant="go_net_http")
    plan = handmade_plan([*ROUNDS, other])
    rows = summarise(plan, ROUNDS[:1], no_histograms, PUBLISHED)

    assert [(row.variant, row.state) for row in rows] == [
        ("flask_gunicorn_gevent", "partial"),
        ("go_net_http", "missing"),
    ]


def test_rows_stand_in_the_plans_order_of_scenarios() -> None:
    """Scenarios as the plan lists them, variants by name within."""
    cells = [
        handmade_cell("go_net_http", "plain_100"),
        handmade_cell("go_net_http"),
        handmade_cell("fastapi_uvicorn_async"),
    ]
    plan = handmade_plan(cells, scenarios=[handmade_scenario(), handmade_scenario(name="plain_100", path="/")])
    rows = summarise(plan, cells, no_histograms, PUBLISHED)

    assert [(row.scenario, row.variant) for row in rows] == [
        ("standard", "fastapi_uvicorn_async"),
        ("standard", "go_net_http"),
        ("plain_100", "go_net_http"),
    ]


def test_the_published_figure_stands_beside_ours() -> None:
    """flask-gunicorn-gevent was published with 15,799.31 requests/s."""
    row = row_of(ROUNDS)

    assert (row.published_row, row.published_requests_per_s) == ("flask-gunicorn-gevent", 15_799.31)
    assert row.published_ratio == pytest.approx(15_000 / 15_799.31)


def test_a_unit_that_ended_and_a_wrong_answer_are_kept_once() -> None:
    """Texts of several rounds stand once each; a unit that ran on leaves none."""
    dead = handmade_measurement(server={"unit_state": "failed/oom-kill"}, verify_after="no answer in 4 s")
    row = row_of(
        [
            handmade_cell(round_number=1, measurement=dead),
            handmade_cell(round_number=2, measurement=dead),
            handmade_cell(round_number=3),
        ]
    )

    assert (row.units_ended, row.verify_after) == (("failed/oom-kill",), ("no answer in 4 s",))


def test_rates_stand_against_the_baseline_of_the_same_scenario() -> None:
    """Twice one worker's rate is all that a server of two CPUs can give; without a baseline there is no ratio."""
    cells = [
        handmade_cell("flask_gunicorn_sync_1", measurement=handmade_measurement(requests_per_s=200.0)),
        handmade_cell("flask_gunicorn_sync", measurement=handmade_measurement(requests_per_s=400.0)),
    ]
    plan = handmade_plan(cells).model_copy(update={"baseline": "flask_gunicorn_sync_1", "server_cpus_count": 2})
    rows = {row.variant: row for row in summarise(plan, cells, lambda _: {}, PUBLISHED)}
    assert rows["flask_gunicorn_sync"].baseline_ratio == 2
    assert rows["flask_gunicorn_sync"].baseline_cpus_ratio == 1
    assert rows["flask_gunicorn_sync_1"].baseline_cpus_ratio == pytest.approx(0.5)
    without = summarise(handmade_plan(cells), cells, lambda _: {}, PUBLISHED)
    assert all(row.baseline_ratio is None and row.baseline_cpus_ratio is None for row in without)


def test_errors_of_the_servers_logs_are_added_over_rounds() -> None:
    """Numbers within a text (pids) do not tell errors apart; the most frequent comes first."""
    logs = (
        [{"text": "WORKER TIMEOUT (pid:1)", "count": 1}, {"text": "RuntimeError: can't start new thread", "count": 5}],
        [{"text": "WORKER TIMEOUT (pid:2)", "count": 2}],
    )
    cells = [
        handmade_cell(round_number=number, measurement=handmade_measurement(server={"log_errors": found}))
        for number, found in enumerate(logs, start=1)
    ]
    (row,) = summarise(handmade_plan(cells), cells, lambda _: {}, PUBLISHED)
    assert list(row.log_errors.items()) == [("RuntimeError: can't start new thread", 5), ("WORKER TIMEOUT (pid:1)", 3)]


def test_what_tells_right_answers_is_combined_over_rounds() -> None:
    """The quickest idle answer; the warm-ups' errors added; the round whose answers differ most."""
    cells = [
        handmade_cell(
            round_number=number,
            measurement=handmade_measurement(
                first_answer_s=first_answer_s,
                bytes_read=60_000 * size,
                warmup={"requests": 100, "bytes_read": 11_900, "connections": 4, "errors": {"status": 2}},
            ),
        )
        for number, first_answer_s, size in ((1, 0.102, 119), (2, 0.101, 62), (3, 0.103, 119))
    ]
    row = row_of(cells)

    assert (row.first_answer_s, row.warmup_errors, row.warmup_requests) == (0.101, Errors(status=6), 300)
    assert row.answer_sizes is not None
    assert (row.answer_sizes.window_bytes, row.answer_sizes.warmup_bytes) == (62, 119)


def test_a_look_that_did_not_happen_is_counted() -> None:
    """On full CPUs it comes too late."""
    looks: tuple[dict[str, int | None], ...] = ({"connections_unanswered": 0}, {"connections_unanswered": None})
    cells = [
        handmade_cell(round_number=number, measurement=handmade_measurement(generator=found))
        for number, found in enumerate(looks, start=1)
    ]

    assert row_of(cells).rounds_without_silences == 1


def test_each_generators_get_after_the_window_stands_alone() -> None:
    """So that one that was refused is not lost behind one that only waited."""
    [generator] = handmade_measurement().generators
    parts = [
        generator.model_copy(update={"host": host, "verify_after": found})
        for host, found in (("loadgen", "timed out"), ("loadgen_2", "connection refused"), ("loadgen_3", ""))
    ]
    row = row_of([handmade_cell(measurement=handmade_measurement(generators=parts, verify_after="both, as one text"))])

    assert row.verify_after == ("timed out (from loadgen)", "connection refused (from loadgen_2)")


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
    ("server", "expected"),
    [
        # A quota of half a CPU: nobody else was on it.
        ({"unit_stalled_percent": 50.0, "cpus_busy_percent": 51.0, "cpu_percent": 50.0}, 49.0),
        # The kernel's own threads had it (ksoftirqd): its work stalls the unit, and the CPU is not idle.
        (
            {"unit_stalled_percent": 14.0, "cpus_busy_percent": 99.0, "cpu_percent": 80.0, "softirq_cpu_percent": 18.0},
            1.0,
        ),
        # A hypervisor had it.
        ({"unit_stalled_percent": 14.0, "cpus_busy_percent": 82.0, "cpu_percent": 82.0, "steal_percent": 18.0}, 0.0),
        # A neighbour had the other half, and a quarter is the kernel's, which stalls nobody.
        ({"unit_stalled_percent": 45.0, "cpus_busy_percent": 99.0, "cpu_percent": 50.0}, 0.0),
        (
            {
                "unit_stalled_percent": 30.0,
                "cpus_busy_percent": 80.0,
                "cpu_percent": 50.0,
                "softirq_cpu_percent": 25.0,
            },
            20.0,
        ),
        # All of it may have been on the one CPU that the unit uses.
        ({"unit_stalled_percent": 30.0, "cpus_busy_percent": 35.0, "cpu_percent": 25.0, "cpus_count": 4}, 0.0),
        ({"cpus_busy_percent": 51.0, "cpu_percent": 50.0}, None),
    ],
)
def test_a_unit_is_held_back_by_what_nobody_else_ran(server: dict[str, float], expected: float | None) -> None:
    """What PSI calls "full", less what others that ran there explain."""
    cell = handmade_cell(measurement=handmade_measurement(server=server))

    assert row_of([cell]).unit_held_back_percent == (None if expected is None else pytest.approx(expected))


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

    assert (row.connections_not_let_in, row.connections_unexplained) == expected


def test_others_that_use_the_server_are_those_of_the_worst_round() -> None:
    """By address."""
    found = [{"10.0.0.9": 20}, {"10.0.0.9": 3, "10.0.0.8": 30}, {}]
    cells = [
        handmade_cell(round_number=number, measurement=handmade_measurement(server={"foreign_connections": foreign}))
        for number, foreign in enumerate(found, 1)
    ]

    assert row_of(cells).foreign_connections == {"10.0.0.9": 3, "10.0.0.8": 30}
    assert row_of(ROUNDS).foreign_connections == {}
