"""What the hosts had left, over rounds."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import (
    ROUNDS,
    handmade_cell,
    handmade_generator,
    handmade_measurement,
    handmade_plan,
    no_histograms,
    row_of,
)
from wrklab.summary.rows import summarise


def test_cpu_time_of_one_request() -> None:
    """90 % of one CPU for 4 s over 56,000 requests are 64.3 µs each."""
    assert row_of(ROUNDS[:1]).server_cpu_us_per_request == pytest.approx(64.2857, abs=0.001)


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

    assert row_of([cell]).unit_throttled_percent == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("plan", "taken_percent"),
    [
        # The generator's host took 12 % of its two CPUs, wrk 20 % of one: of the server's four CPUs that is 6 %.
        ({"cpus_shared": True}, 6.0),
        # On the server's own host only wrk is known to be the generator's.
        ({"cpus_shared": True, "one_machine": True}, 5.0),
        ({"cpus_shared": False}, None),
    ],
)
def test_what_a_generator_takes_of_shared_cpus(plan: dict[str, bool], taken_percent: float | None) -> None:
    """Of the server's CPU time, in the worst round."""
    quiet = handmade_generator(host_cpu_percent=1.0, cpus_count=2, wrk_cpu_percent_of_one=1.0)
    busy = handmade_generator(host_cpu_percent=12.0, cpus_count=2, wrk_cpu_percent_of_one=20.0)
    cells = [
        handmade_cell(
            round_number=number,
            measurement=handmade_measurement(generators=[generator], server={"cpus_count": 4}),
        )
        for number, generator in enumerate((quiet, busy), 1)
    ]
    [row] = summarise(handmade_plan(cells).model_copy(update=plan), cells, no_histograms)

    assert row.shared_cpus_taken_percent == (None if taken_percent is None else pytest.approx(taken_percent))


def test_what_was_not_sampled_is_none_not_zero() -> None:
    """A CPU share that no round could tell has no value."""
    measurement = handmade_measurement(server={"cpu_percent": None, "memory_max_bytes": None})
    row = row_of([handmade_cell(measurement=measurement)])

    assert (row.server_cpu_percent, row.server_cpu_us_per_request, row.memory_max_bytes) == (None, None, None)
