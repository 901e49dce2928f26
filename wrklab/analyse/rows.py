"""From cells to one line a variant and scenario. How each figure is combined over rounds: docs/metrics.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from wrklab.analyse.latencies import added_latency
from wrklab.model.published import PublishedRow
from wrklab.model.record import CellRecord, Errors, Latency, Measurement, PlannedCell, RunPlan, ServerRecord
from wrklab.model.scenario import Scenario

#: `partial`: some rounds failed or were not reached; `missing`: planned, but no round of it ended.
RowState = Literal["measured", "partial", "failed", "missing"]

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One variant under one scenario, all rounds together. None: there is no such number."""

    variant: str
    stack: str
    scenario: str
    state: RowState
    path: str
    hold_ms: int
    threads: int
    duration_s: float
    timeout_s: int
    connections_asked: int
    rounds: int = 0
    rounds_planned: int
    rounds_failed: int = 0
    requests: int | None = None
    requests_per_s: float | None = None
    requests_per_s_min: float | None = None
    requests_per_s_max: float | None = None
    ideal_per_s: float | None = None
    ideal_ratio: float | None = None
    in_flight_limit: int | None = None
    is_limit_probed: bool = False
    ceiling_per_s: float | None = None
    ceiling_ratio: float | None = None
    latency: Latency | None = None
    wrk_latency: Latency | None = None
    errors: Errors | None = None
    connections_open: int | None = None
    busy_ratio: float | None = None
    server_cpu_percent: float | None = None
    server_host_cpu_percent: float | None = None
    server_cpu_us_per_request: float | None = None
    generator_cpu_percent: float | None = None
    generator_host_cpu_percent: float | None = None
    neighbours_cpu_percent: float | None = None
    steal_percent: float | None = None
    startup_s: float | None = None
    harness_s: float | None = None
    processes_max: int | None = None
    threads_max: int | None = None
    memory_max_bytes: int | None = None
    backlog: int | None = None
    accept_queue_max: int | None = None
    listen_overflows: int | None = None
    retransmits: int | None = None
    wrk_processes: int | None = None
    argv: tuple[str, ...] = ()
    units_ended: tuple[str, ...] = ()
    verify_after: tuple[str, ...] = ()
    correction_notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    failure_expected: bool = False
    published_row: str | None = None
    published_requests_per_s: float | None = None
    published_duration_s: float | None = None
    published_ratio: float | None = None

    @property
    def spread_ratio(self) -> float | None:
        """(max - min) / median of the rounds' rates; None with fewer than two rounds or without answers."""
        if self.rounds < 2 or not self.requests_per_s:  # noqa: PLR2004  two make a spread
            return None
        return ((self.requests_per_s_max or 0.0) - (self.requests_per_s_min or 0.0)) / self.requests_per_s


def summarise(
    plan: RunPlan,
    cells: Sequence[CellRecord],
    histograms_of: Callable[[str], Mapping[str, bytes]],
    published: Mapping[str, PublishedRow],
) -> tuple[SummaryRow, ...]:
    """A row for every variant and scenario of the plan: scenarios in the plan's order, variants by name.

    `histograms_of` gives a cell's histograms by kind (Run.histograms), `published` the articles' rows by key.
    """
    planned: dict[tuple[str, str], list[PlannedCell]] = {}
    for entry in plan.cells:
        planned.setdefault((entry.scenario, entry.variant), []).append(entry)
    ended: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        ended.setdefault((cell.scenario, cell.variant), []).append(cell)
    order = {name: place for place, name in enumerate(plan.scenarios)}
    return tuple(
        _row(
            plan.scenarios[scenario],
            planned[scenario, variant],
            ended.get((scenario, variant), []),
            histograms_of,
            published,
        )
        for scenario, variant in sorted(planned, key=lambda pair: (order[pair[0]], pair[1]))
    )


def _row(
    scenario: Scenario,
    planned: Sequence[PlannedCell],
    cells: Sequence[CellRecord],
    histograms_of: Callable[[str], Mapping[str, bytes]],
    published: Mapping[str, PublishedRow],
) -> SummaryRow:
    first = planned[0]
    measured = [cell for cell in cells if cell.measurement is not None]
    failed = [cell for cell in cells if cell.measurement is None]
    figures = _load_figures(measured, first, scenario.connections)
    figures |= _host_figures(measured) | _latency_figures(measured, histograms_of)
    figures |= _published_figures(first, published, figures.get("requests_per_s"))
    return SummaryRow(
        variant=first.variant,
        stack=first.stack,
        scenario=first.scenario,
        state=_state(len(planned), len(measured), len(failed)),
        path=scenario.path,
        hold_ms=first.hold_ms,
        threads=scenario.threads,
        duration_s=scenario.duration_s,
        timeout_s=scenario.wrk_timeout_s,
        connections_asked=scenario.connections,
        rounds=len(measured),
        rounds_planned=len(planned),
        rounds_failed=len(failed),
        in_flight_limit=first.in_flight_limit,
        is_limit_probed=first.is_limit_probed,
        startup_s=_median(cell.startup_s for cell in measured),
        harness_s=_median(cell.harness_s for cell in measured),
        failures=_distinct(f"{cell.failure.phase}: {cell.failure.text}" for cell in failed if cell.failure),
        failure_expected=bool(failed) and all(cell.failure is not None and cell.failure.expected for cell in failed),
        **figures,
    )


def _state(planned_count: int, measured_count: int, failed_count: int) -> RowState:
    if measured_count == 0:
        return "failed" if failed_count else "missing"
    return "measured" if measured_count == planned_count else "partial"


def _load_figures(measured: Sequence[CellRecord], planned: PlannedCell, connections: int) -> dict[str, Any]:
    """What wrk counted, against what was possible."""
    windows = _windows(measured)
    rates = [window.requests_per_s for window in windows]
    hold_s = planned.hold_ms / 1000
    median = _median(rates)
    ideal = connections / hold_s if hold_s else None
    ceiling = planned.in_flight_limit / hold_s if hold_s and planned.in_flight_limit else None
    return {
        "requests": sum(window.requests for window in windows) if windows else None,
        "requests_per_s": median,
        "requests_per_s_min": min(rates, default=None),
        "requests_per_s_max": max(rates, default=None),
        "ideal_per_s": ideal,
        "ideal_ratio": _ratio(median, ideal),
        "ceiling_per_s": ceiling,
        "ceiling_ratio": _ratio(median, ceiling),
        "errors": _sum_errors(window.errors for window in windows) if windows else None,
        "connections_open": min((window.connections_open for window in windows), default=None),
        "busy_ratio": min((window.busy_ratio for window in windows), default=None),
        "wrk_processes": _largest(sum(part.wrk_processes for part in window.generators) for window in windows),
        "verify_after": _distinct(window.verify_after for window in windows),
        "correction_notes": _distinct(window.correction_note for window in windows),
    }


def _host_figures(measured: Sequence[CellRecord]) -> dict[str, Any]:
    """What was sampled on both sides."""
    windows = _windows(measured)
    servers = [window.server for window in windows]
    return {
        "server_cpu_percent": _median(server.cpu_percent for server in servers),
        "server_host_cpu_percent": _median(server.host_cpu_percent for server in servers),
        "server_cpu_us_per_request": _median(_cpu_us_per_request(window) for window in windows),
        "generator_cpu_percent": _median(window.generator_cpu_percent for window in windows),
        "generator_host_cpu_percent": _median(
            _largest(part.host_cpu_percent for part in window.generators) for window in windows
        ),
        "neighbours_cpu_percent": _largest(server.neighbours_cpu_percent for server in servers),
        "steal_percent": _largest(server.steal_percent for server in servers),
        "processes_max": _largest(server.processes_max for server in servers),
        "threads_max": _largest(server.threads_max for server in servers),
        "memory_max_bytes": _largest(server.memory_max_bytes for server in servers),
        "backlog": _largest(server.backlog for server in servers),
        "accept_queue_max": _largest(server.accept_queue_max for server in servers),
        "listen_overflows": _total(server.listen_overflows for server in servers),
        "retransmits": _total(server.retransmits for server in servers),
        "argv": next((server.argv for server in servers if server.argv), ()),
        "units_ended": _distinct(server.unit_state for server in servers if not _is_running(server)),
    }


def _latency_figures(
    measured: Sequence[CellRecord], histograms_of: Callable[[str], Mapping[str, bytes]]
) -> dict[str, Any]:
    """Latencies of all rounds from their histograms, added: a percentile of percentiles would mean nothing."""
    found = [histograms_of(cell.cell_id) for cell in measured]
    return {
        "latency": added_latency(kinds["observed"] for kinds in found if "observed" in kinds),
        "wrk_latency": added_latency(kinds["wrk"] for kinds in found if "wrk" in kinds),
    }


def _published_figures(
    planned: PlannedCell, published: Mapping[str, PublishedRow], requests_per_s: float | None
) -> dict[str, Any]:
    row = published.get(planned.published_row) if planned.published_row else None
    return {
        "published_row": planned.published_row,
        "published_requests_per_s": row.requests_per_s if row else None,
        "published_duration_s": row.duration_s if row else None,
        "published_ratio": _ratio(requests_per_s, row.requests_per_s) if row else None,
    }


def _windows(measured: Sequence[CellRecord]) -> list[Measurement]:
    return [cell.measurement for cell in measured if cell.measurement is not None]


def _is_running(server: ServerRecord) -> bool:
    return not server.unit_state or server.unit_state.startswith("active")


def _cpu_us_per_request(window: Measurement) -> float | None:
    """CPU time of the unit for one answer, in µs."""
    server = window.server
    if server.cpu_percent is None or not window.requests:
        return None
    return server.cpu_percent / 100 * server.cpus_count * window.duration_s * 1e6 / window.requests


def _sum_errors(parts: Iterable[Errors]) -> Errors:
    total = dict.fromkeys(Errors.model_fields, 0)
    for part in parts:
        for kind, number in part.model_dump().items():
            total[kind] += number
    return Errors(**total)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _largest(values: Iterable[Number | None]) -> Number | None:
    return max((value for value in values if value is not None), default=None)


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _ratio(value: float | None, of: float | None) -> float | None:
    return value / of if value is not None and of else None


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts without the empty ones, each once, in the order of their coming."""
    return tuple(dict.fromkeys(text for text in texts if text))
