"""A row: one variant under one scenario, all rounds together, with every metric of the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wrklab.results.records import CellRecord, GeneratorRecord, Measurement, PlannedCell, RunPlan
from wrklab.summary.metrics import (
    Better,
    HistogramsOf,
    Metric,
    Over,
    Source,
    Unit,
    derived,
    largest,
    largest_known,
    median,
    metrics_of,
    of_row,
)
from wrklab.summary.metrics_hosts import HarnessMetrics


class SummaryRow(HarnessMetrics):
    """One variant under one scenario, all rounds together. None: there is no such value."""

    @cached_property
    def generators(self) -> tuple[GeneratorShare, ...]:
        """Each generator's part, in the inventory's order; empty where the whole load came from one."""
        hosts = tuple(dict.fromkeys(part.host for window in self.windows for part in window.generators))
        return tuple(GeneratorShare.of_host(self, host) for host in hosts) if len(hosts) > 1 else ()

    @property
    def half_rate(self) -> SummaryRow | None:
        """The window at half of its rate, as a row that rules judge by itself; None: none is planned."""
        return self.half_rate_window if isinstance(self.half_rate_window, SummaryRow) else None

    @property
    def busiest_generator(self) -> str:
        """For sentences: `the generator`, or of several the name of the one with the least CPU to spare."""
        return max(self.generators, key=_cpu_percent).host if self.generators else "the generator"


@dataclass(frozen=True, eq=False, kw_only=True)
class GeneratorShare(SummaryRow):
    """One generator's part of a row: the row's metrics over that generator's share of each window.

    Only metrics with a key `share` have a meaning here: the server's, and what is known only of all generators
    together, are those of the complete row.
    """

    host: str
    of: SummaryRow

    @classmethod
    def of_host(cls, row: SummaryRow, host: str) -> GeneratorShare:
        """The part of one generator, over the rounds in which it took part."""
        shares = {
            cell.cell_id: cell.model_copy(update={"measurement": generator_share(cell.measurement, host)})
            for cell in row.measured
            if cell.measurement is not None and any(part.host == host for part in cell.measurement.generators)
        }
        return cls(
            planned=tuple(cell for cell in row.planned if cell.cell_id in shares),
            cells=tuple(shares.values()),
            load=row.load,
            histograms_of=_share_histograms(row.histograms_of, host),
            server_cpus_count=row.server_cpus_count,
            one_machine=row.one_machine,
            cpus_shared=row.cpus_shared,
            host=host,
            of=row,
        )

    connections_asked = of_row(
        lambda row: row.windows[0].connections_asked,
        Unit.CONNECTIONS,
        "its share of `connections_asked`",
        source=Source.PLAN,
        share="connections_asked",
    )
    requests_per_s = median(
        lambda window: window.generators[0].requests_per_s,
        Unit.PER_SECOND,
        "the rate of the answers to its connections",
        source=Source.WRK,
        better=Better.HIGHER,
        share="requests_per_s",
    )
    start_skew_s = largest(
        lambda window: window.generators[0].start_skew_s,
        Unit.SECONDS,
        "from the common mark to the start of its first wrk",
        source=Source.HARNESS,
        better=Better.LOWER,
        share="start_skew_s",
    )

    @derived(Unit.SECONDS, source=Source.HARNESS, rounds=Over.LARGEST, better=Better.LOWER, share="start_apart_s")
    def start_apart_s(self) -> float | None:
        """how much later than the first generator it may have begun, with its clock's uncertainty"""
        return largest_known(_start_apart_s(window, self.host) for window in self.of.windows)

    @derived(Unit.RATIO, rounds=Over.LARGEST, better=Better.LOWER)
    def start_skew_ratio(self) -> float | None:
        """`start_apart_s` / length of the window"""
        return None if self.start_apart_s is None else self.start_apart_s / self.duration_s

    @derived(Unit.CONNECTIONS, source=Source.SAMPLES)
    def connections_unaccepted(self) -> int | None:
        """those of all generators: nobody knows whose connections wait in the server's accept queue"""
        return self.of.connections_unaccepted

    @derived(Unit.CONNECTIONS, source=Source.SAMPLES, better=Better.LOWER)
    def connections_unexplained(self) -> int | None:
        """its connections that were never answered or stalled"""
        return self.connections_lost

    @property
    def connections_lost(self) -> int | None:
        """Never answered, or stalled; None where neither was counted."""
        if self.connections_unanswered is None and self.connections_stalled is None:
            return None
        return (self.connections_unanswered or 0) + (self.connections_stalled or 0)

    @cached_property
    def broken_ratio(self) -> float | None:
        """Not of the worst round: a generator's errors count over all rounds together."""
        return None

    @cached_property
    def generators(self) -> tuple[GeneratorShare, ...]:
        """A part has no parts."""
        return ()


#: Every metric of a row, in the order of the columns.
METRICS: tuple[Metric[object], ...] = metrics_of(SummaryRow)
#: What `invoke compare` shows next to the rate, as new / old.
COMPARED_METRICS: tuple[Metric[object], ...] = tuple(metric for metric in METRICS if metric.compared is not None)
#: Every metric that a single generator's part has.
GENERATOR_METRICS: tuple[Metric[object], ...] = tuple(
    metric for metric in metrics_of(GeneratorShare) if metric.share is not None
)


def generator_share(window: Measurement, host: str) -> Measurement:
    """A window as if only this generator's connections had been there. Raises KeyError where it took no part.

    What is not known by generator stays that of all: the server, the bytes read, the busy ratio. Of the warm-up
    nothing remains: it has one generator, the first.
    """
    part = _part_of(window, host)
    return window.model_copy(
        update={
            "requests": part.requests,
            "requests_per_s": part.requests / window.duration_s if part.requests_per_s is None else part.requests_per_s,
            "errors": part.errors,
            "latency": part.latency,
            "wrk_latency": None,
            "connections_asked": part.connections_asked,
            "connections_open": part.connections_open,
            "generators": (part,),
            "verify_after": part.verify_after,
            "warmup": None,
        }
    )


def summarise(plan: RunPlan, cells: Sequence[CellRecord], histograms_of: HistogramsOf) -> tuple[SummaryRow, ...]:
    """A row for every variant and scenario of the plan: scenarios in the plan's order, variants by name.

    A window at half rate has no row among these: it is with that of its closed loop.
    """
    planned: dict[tuple[str, str], list[PlannedCell]] = {}
    #: By the closed loop that they belong to.
    windows: dict[tuple[str, str], list[PlannedCell]] = {}
    for entry in plan.cells:
        if entry.half_rate_of is None:
            planned.setdefault((entry.scenario, entry.variant), []).append(entry)
        else:
            windows.setdefault((entry.half_rate_of, entry.variant), []).append(entry)
    ended: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        ended.setdefault((cell.scenario, cell.variant), []).append(cell)

    def row_of(cells: Sequence[PlannedCell], baseline_per_s: float | None = None) -> SummaryRow:
        first = cells[0]
        window = windows.get((first.scenario, first.variant))
        return SummaryRow(
            planned=tuple(cells),
            cells=tuple(ended.get((first.scenario, first.variant), ())),
            load=plan.scenarios[first.scenario],
            histograms_of=histograms_of,
            server_cpus_count=plan.server_cpus_count,
            one_machine=plan.one_machine,
            cpus_shared=plan.cpus_shared,
            baseline_per_s=baseline_per_s,
            half_rate_window=row_of(window) if window else None,
        )

    baselines = {
        scenario: row_of(planned[scenario, variant]).requests_per_s
        for scenario, variant in planned
        if variant == plan.baseline
    }
    order = {name: place for place, name in enumerate(plan.scenarios)}
    return tuple(
        row_of(planned[scenario, variant], baselines.get(scenario))
        for scenario, variant in sorted(planned, key=lambda pair: (order[pair[0]], pair[1]))
    )


def cell_row(plan: RunPlan, cell: CellRecord) -> SummaryRow:
    """One cell as a row of its own, so that the same rules judge it. It has no baseline."""
    return SummaryRow(
        planned=(cell,),
        cells=(cell,),
        load=plan.scenarios[cell.scenario],
        histograms_of=None,
        server_cpus_count=plan.server_cpus_count,
        one_machine=plan.one_machine,
        cpus_shared=plan.cpus_shared,
    )


def _cpu_percent(share: GeneratorShare) -> float:
    return share.generator_cpu_percent or 0.0


def _part_of(window: Measurement, host: str) -> GeneratorRecord:
    return {part.host: part for part in window.generators}[host]


def _share_histograms(histograms_of: HistogramsOf | None, host: str) -> HistogramsOf | None:
    """A cell's histograms as those of one generator alone."""
    if histograms_of is None:
        return None

    def share_of(cell_id: str) -> Mapping[str, bytes]:
        kinds = histograms_of(cell_id)
        return {"observed": kinds[f"observed@{host}"]} if f"observed@{host}" in kinds else {}

    return share_of


def _start_apart_s(window: Measurement, host: str) -> float | None:
    """How much later than the first generator of a window this one may have begun; None where that is not known."""
    part = {one.host: one for one in window.generators}.get(host)
    if part is None or part.start_skew_s is None:
        return None
    first_s = min(one.start_skew_s for one in window.generators if one.start_skew_s is not None)
    return part.start_skew_s - first_s + (part.clock_uncertainty_s or 0.0)
