"""What the hosts had left, over rounds."""

from __future__ import annotations

import pytest

from tests.unit.handmade_records import (
    ROUNDS,
    handmade_cell,
    handmade_measurement,
    row_of,
)


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

    assert row_of([cell]).unit_held_back_percent == (None if expected is None else pytest.approx(expected))


def test_what_was_not_sampled_is_none_not_zero() -> None:
    """A CPU share that no round could tell has no value."""
    measurement = handmade_measurement(server={"cpu_percent": None, "memory_max_bytes": None})
    row = row_of([handmade_cell(measurement=measurement)])

    assert (row.server_cpu_percent, row.server_cpu_us_per_request, row.memory_max_bytes) == (None, None, None)
