"""The figures that charts show, read from a report's contents and a run's samples and histograms. No chart here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wrklab import formats
from wrklab.extract.histogram import Histogram
from wrklab.report.contents import Contents, ReportRow
from wrklab.report.screen import named_entries, set_by
from wrklab.results.probe_record import ProbeRecord
from wrklab.results.records import CellRecord, Measurement, StoredSample
from wrklab.results.run_folder import Run
from wrklab.summary.metrics import median_known

_MIB = 1024 * 1024
#: The kind of a spectrum after wrk's own correction.
AS_WRK_PRINTS = "as wrk prints it"
#: The percentiles of a spectrum, as "one in so many": 1 is the smallest latency, 100 the 99th percentile.
_ONE_IN = tuple(float(f"{value:.3g}") for value in np.logspace(0, 6, 55))
#: More points than this a line and round say nothing more in a panel of a few hundred pixels.
_POINTS_MAX = 60
#: A page of more cells than this shows one round a row inside the window, so that it stays small.
CELLS_MAX = 120
#: Of all that is sampled, what the parts of a request's cost, and the panels of a window, need.
_PART_METRICS = ("unit_cpu.user", "unit_cpu.system")
PANEL_METRICS = ("unit_cpu.usage", "node_cpu.usage", "listen.*.queued", "sockets.tcp_*")
_QUEUED = re.compile(r"listen\.\d+\.queued")


@dataclass(frozen=True)
class RateFigure:
    """A row of the ranking."""

    name: str
    rate_per_s: float
    low_per_s: float
    high_per_s: float
    published_per_s: float | None
    verdict: str
    set_by: str
    is_doubtful: bool
    #: Stands next to the mark.
    label: str


@dataclass(frozen=True)
class LatencyFigure:
    """A point of a latency spectrum."""

    name: str
    #: `observed`, or AS_WRK_PRINTS.
    kind: str
    one_in: float
    latency_ms: float


@dataclass(frozen=True)
class WindowFigure:
    """A value at a time within one round."""

    series: str
    round_number: int
    at_s: float
    value: float


@dataclass(frozen=True)
class CostFigure:
    """What a request cost: all of it (`total`), or one part."""

    name: str
    runtime: str
    rate_per_s: float
    part: str
    part_order: int
    cpu_us: float
    memory_mib: float | None


@dataclass(frozen=True)
class ArticleFigure:
    """A published row and the ratio of what was measured to it."""

    name: str
    variant: str
    ratio: float
    low: float
    high: float
    published_per_s: float
    measured_per_s: float
    is_doubtful: bool
    label: str


@dataclass(frozen=True)
class InFlightFigure:
    """How many of a probe's requests are at one place, and that place's limit."""

    name: str
    place: str
    place_order: int
    requests: int
    limit: int | None


@dataclass(frozen=True)
class TrendFigure:
    """A variant's ratio to the reference in one run."""

    run: str
    variant: str
    ratio: float
    is_step: bool
    #: What of the environment is not as in the run before; empty where all is.
    change: str


def rate_figures(contents: Contents) -> list[RateFigure]:
    """The rows with a rate, in the order of the short table."""
    found: list[RateFigure] = []
    for name, entry in named_entries(contents):
        row = entry.row
        if not row.requests_per_s:
            continue
        low, high = row.requests_per_s_low, row.requests_per_s_high
        found.append(
            RateFigure(
                name=name,
                rate_per_s=row.requests_per_s,
                low_per_s=low or row.requests_per_s_min or row.requests_per_s,
                high_per_s=high or row.requests_per_s_max or row.requests_per_s,
                published_per_s=entry.printed.requests_per_s if entry.printed else None,
                verdict=str(entry.verdict or ""),
                set_by=set_by(entry),
                is_doubtful=entry.is_doubtful,
                label=f"{formats.rate(row.requests_per_s)}  {set_by(entry)}",
            )
        )
    return found


def latency_figures(contents: Contents) -> list[LatencyFigure]:
    """The spectrum of each row, all rounds' histograms added: as observed, and as wrk would print it."""
    found: list[LatencyFigure] = []
    for name, entry in named_entries(contents):
        observed = list(_spectrum(name, "observed", entry.row.observed))
        printed = list(_spectrum(name, AS_WRK_PRINTS, entry.row.as_wrk_prints))
        found += observed
        if [one.latency_ms for one in observed] != [one.latency_ms for one in printed]:
            found += printed
    return found


def _spectrum(name: str, kind: str, histogram: Histogram) -> Iterator[LatencyFigure]:
    """Points up to the percentile above which a single answer lies; equal latencies in between are left out."""
    if not histogram.values_us.size:
        return
    last_us = -1
    for one_in in _ONE_IN:
        is_last = one_in >= histogram.count
        percent = 100.0 * (1 - 1 / one_in)
        value_us = histogram.max_us if is_last else histogram.percentile(percent) if percent else histogram.min_us
        if value_us != last_us or is_last:
            yield LatencyFigure(name, kind, one_in, float(f"{value_us / 1000:.5g}"))
        last_us = value_us
        if is_last:
            return


def cost_figures(contents: Contents, run: Run) -> list[CostFigure]:
    """CPU us a request of each row with its parts, as the cgroup and the kernel's softirq share say."""
    found = []
    for name, entry in named_entries(contents):
        row = entry.row
        total_us, rate = row.server_cpu_us_per_request, row.requests_per_s
        if total_us is None or not rate:
            continue
        memory = None if row.memory_max_bytes is None else row.memory_max_bytes / _MIB
        runtime = contents.plan.runtimes.get(row.stack, row.stack)
        parts = {"total": total_us, **_cpu_parts(run, entry, total_us, rate, contents.plan.server_cpus_count)}
        found += [
            CostFigure(name, runtime, rate, part, place, round(value, 3), memory)
            for place, (part, value) in enumerate(parts.items())
        ]
    return found


def _cpu_parts(run: Run, entry: ReportRow, total_us: float, rate: float, cpus_count: int) -> dict[str, float]:
    """The row's CPU us a request, split as the cgroup of its first round was; softirq stands next to the cgroup's."""
    parts = {}
    cell = next(iter(entry.row.measured), None)
    if cell is not None and cell.measurement is not None:
        samples = run.samples(cell.cell_id, _PART_METRICS)
        grown = {kind: _growth(cell.measurement, samples, f"unit_cpu.{kind}") for kind in ("user", "system")}
        whole = sum(grown.values())
        if whole:
            parts = {kind: total_us * value / whole for kind, value in grown.items()}
    softirq = median_known(window.server.softirq_cpu_percent for window in entry.row.windows)
    if softirq is not None:
        parts["softirq"] = softirq / 100 * cpus_count * 1e6 / rate
    return parts


def _growth(window: Measurement, samples: Sequence[StoredSample], metric: str) -> float:
    """How much a counter of the server's grew within the window."""
    others = _beside_the_server(window)
    inside = [
        sample.value
        for sample in samples
        if sample.metric == metric
        and sample.host not in others
        and window.window_start_s <= sample.at_s <= window.window_end_s
    ]
    return inside[-1] - inside[0] if inside else 0.0


def _beside_the_server(window: Measurement) -> set[str]:
    """The hosts that were sampled and are not the server. What they run is in a unit too: wrk, a backend's services."""
    backend = {window.backend.host} if window.backend else set()
    return backend | {part.host for part in window.generators}


def article_figures(contents: Contents) -> list[ArticleFigure]:
    """The published rows that were measured, table by table."""
    by_row = {(entry.row.scenario, entry.row.variant): entry for entry in contents.rows}
    found = []
    for comparisons in contents.published.values():
        for one in comparisons:
            row, ratio = one.ours, one.requests_per_s_ratio
            if row is None or row.requests_per_s is None or not ratio:
                continue
            entry = by_row[row.scenario, row.variant]
            there = one.published.requests_per_s
            found.append(
                ArticleFigure(
                    name=one.published.row,
                    variant=row.variant,
                    ratio=ratio,
                    low=(row.requests_per_s_low or row.requests_per_s) / there,
                    high=(row.requests_per_s_high or row.requests_per_s) / there,
                    published_per_s=there,
                    measured_per_s=row.requests_per_s,
                    is_doubtful=entry.is_doubtful,
                    label=formats.times(ratio) + (", doubtful" if entry.is_doubtful else ""),
                )
            )
    return found


@dataclass(frozen=True)
class WindowPanels:
    """What happened while a row was measured, by panel: (title of the axis, figures)."""

    length_s: float
    panels: tuple[tuple[str, tuple[WindowFigure, ...]], ...]


def window_panels(cells: Sequence[CellRecord], samples_of: Mapping[str, Sequence[StoredSample]]) -> WindowPanels:
    """CPU of both sides, the accept queue, TCP connections by state; all rounds that are given."""
    cpu: list[WindowFigure] = []
    queue: list[WindowFigure] = []
    connections: list[WindowFigure] = []
    length_s = 0.0
    for cell in cells:
        window, samples = cell.measurement, samples_of.get(cell.cell_id, ())
        if window is None:
            continue
        length_s = max(length_s, window.window_end_s - window.window_start_s)
        points = _points(window, samples)
        cpu += _cpu_lines(cell.round_number, window, points)
        others = _beside_the_server(window)
        for (host, metric), line in points.items():
            if host in others:
                continue
            if _QUEUED.fullmatch(metric) and any(value for _, value in line):
                queue += _line("accept queue", cell.round_number, line)
            elif metric.startswith("sockets.tcp_"):
                state = metric.removeprefix("sockets.tcp_").replace("_", " ")
                connections += _line(f"server: {state}", cell.round_number, line)
    panels = (
        ("CPU, % of the host's own", tuple(cpu)),
        ("connections waiting for accept", tuple(queue)),
        ("TCP connections", tuple(connections)),
    )
    return WindowPanels(length_s, tuple(panel for panel in panels if panel[1]))


Points = dict[tuple[str, str], list[tuple[float, float]]]


def _points(window: Measurement, samples: Sequence[StoredSample]) -> Points:
    """By host and metric: (seconds after the window's start, value)."""
    found: Points = {}
    for sample in samples:
        found.setdefault((sample.host, sample.metric), []).append((sample.at_s - window.window_start_s, sample.value))
    return found


def _cpu_lines(round_number: int, window: Measurement, points: Points) -> Iterator[WindowFigure]:
    """CPU seconds that grew between two samples, as a share of the CPUs that the host has."""
    others = {part.host: (f"{part.host} (generator)", part.cpus_count) for part in window.generators}
    if window.backend:
        others[window.backend.host] = f"{window.backend.host} (backends)", window.backend.cpus_count
    for (host, metric), line in points.items():
        if metric == "node_cpu.usage":
            series, cpus_count = others.get(host, (f"{host} (all of the host)", window.server.cpus_count))
            yield from _line(series, round_number, _rates(line, cpus_count))
        elif metric == "unit_cpu.usage" and host not in others:
            yield from _line("the variant", round_number, _rates(line, window.server.cpus_count))


def _rates(line: Sequence[tuple[float, float]], cpus_count: int) -> list[tuple[float, float]]:
    return [
        ((before_s + after_s) / 2, 100 * (after - before) / (after_s - before_s) / max(1, cpus_count))
        for (before_s, before), (after_s, after) in pairwise(line)
        if after_s > before_s
    ]


def _line(series: str, round_number: int, line: Sequence[tuple[float, float]]) -> Iterator[WindowFigure]:
    """At most so many points: of each group of neighbours the largest value, so that no peak is lost."""
    step = -(-len(line) // _POINTS_MAX) if line else 1
    for start in range(0, len(line), step):
        at_s, value = max(line[start : start + step], key=lambda point: point[1])
        yield WindowFigure(series, round_number, round(at_s, 2), round(value, 1))


def in_flight_figures(records: Sequence[ProbeRecord]) -> list[InFlightFigure]:
    """Where each probe's requests were, with the kernel's limit at its queue."""
    found = []
    for record in records:
        if record.state != "measured" or record.requests_count is None:
            continue
        known = [record.capacity or 0, record.queued_process or 0, record.queued_kernel or 0]
        beyond = max(0, record.requests_count - sum(known))
        queue_end = None if record.kernel_limit is None else sum(known[:2]) + record.kernel_limit
        places = ("in flight", "waiting in the process", "waiting in the kernel", "beyond")
        limits = (None, None, queue_end if record.queued_kernel else None, None)
        found += [
            InFlightFigure(record.variant, place, number, count, limit)
            for number, (place, count, limit) in enumerate(zip(places, (*known, beyond), limits, strict=True))
        ]
    return found
