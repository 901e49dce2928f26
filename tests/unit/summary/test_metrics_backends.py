"""The metrics of the backends' host: over rounds, and absent where an application uses none."""

from __future__ import annotations

from typing import Any

from tests.unit.handmade_records import handmade_cell, handmade_measurement, handmade_plan
from wrklab.summary.metrics_hosts import BackendMetrics
from wrklab.summary.rows import METRICS, SummaryRow, summarise


def row_of_backends(*backends: dict[str, Any] | None) -> SummaryRow:
    """The row of rounds whose backends' host was like this."""
    common = {"host": "backend", "cpus_count": 2, "connections": {"postgres": 4}}
    cells = [
        handmade_cell(
            round_number=number, measurement=handmade_measurement(backend=None if one is None else common | one)
        )
        for number, one in enumerate(backends, 1)
    ]
    [row] = summarise(handmade_plan(cells), cells, lambda _: {})
    return row


def test_each_metric_has_its_value() -> None:
    """What the services use is the middle round's; what others took from them is the worst round's."""
    row = row_of_backends(
        {
            "cpu_percent": 90.0,
            "host_cpu_percent": 92.0,
            "cpus_busy_percent": 99.0,
            "neighbours_cpu_percent": 1.0,
            "shared_with": ("loadgen",),
            "shared_cpu_percent": 4.0,
            "steal_percent": 0.0,
        },
        {
            "cpu_percent": 80.0,
            "host_cpu_percent": 82.0,
            "cpus_busy_percent": 89.0,
            "neighbours_cpu_percent": 3.0,
            "shared_with": ("loadgen",),
            "shared_cpu_percent": 6.0,
            "steal_percent": 2.0,
        },
    )

    assert {metric.name: getattr(row, metric.name) for metric in METRICS if metric.theme == BackendMetrics.THEME} == {
        "backend_cpu_percent": 85.0,
        "backend_host_cpu_percent": 87.0,
        "backend_cpus_busy_percent": 94.0,
        "backend_shared_percent": 6.0,
        "backend_neighbours_cpu_percent": 3.0,
        "backend_steal_percent": 2.0,
    }
    assert row.backend_shared_with == ("loadgen",)


def test_an_application_without_backends_has_none_of_them() -> None:
    """Not 0: nothing was sampled."""
    row = row_of_backends(None)

    assert {getattr(row, metric.name) for metric in METRICS if metric.theme == BackendMetrics.THEME} == {None}
    assert row.backend_shared_with == ()
