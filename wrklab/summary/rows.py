"""From cells to one line a variant and scenario. How each figure is combined over rounds: docs/metrics.md."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from wrklab.catalogue.scenario import Scenario
from wrklab.results.records import CellRecord, Errors, Latency, Measurement, PlannedCell, RunPlan, ServerRecord
from wrklab.summary.answer_sizes import AnswerSizes, answer_sizes
from wrklab.summary.generator_rows import GeneratorRow, generator_rows
from wrklab.summary.latencies import added_latency
from wrklab.summary.statistics import median_interval

#: `partial`: some rounds failed or were not reached; `missing`: planned, but no round of it ended.
RowState = Literal["measured", "partial", "failed", "missing"]

Number = TypeVar("Number", int, float)

_DIGITS = re.compile(r"\d+")


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
    #: Rounds that needed a second attempt, and why the first one failed.
    rounds_retried: int = 0
    first_failures: tuple[str, ...] = ()
    #: Rounds in which the server itself ended in one of their attempts, after it had answered.
    rounds_server_ended: int = 0
    requests: int | None = None
    requests_per_s: float | None = None
    requests_per_s_min: float | None = None
    requests_per_s_max: float | None = None
    #: Both ends of the median's bootstrap interval; None below two rounds.
    requests_per_s_low: float | None = None
    requests_per_s_high: float | None = None
    #: Of each measured round, in the plan's order.
    rates_per_s: tuple[float, ...] = ()
    ideal_per_s: float | None = None
    ideal_ratio: float | None = None
    in_flight_limit: int | None = None
    is_limit_probed: bool = False
    ceiling_per_s: float | None = None
    ceiling_ratio: float | None = None
    latency: Latency | None = None
    wrk_latency: Latency | None = None
    errors: Errors | None = None
    #: (read + write errors) / answers; the worst round. None: of all rounds together.
    broken_ratio: float | None = None
    #: Answers of which status and body were compared, all rounds; None where that was not stored.
    answers_checked: int | None = None
    connections_open: int | None = None
    #: Open, or being opened anew by a server that closes after each answer; the worst round.
    connections_held: int | None = None
    connections_reopening: int | None = None
    #: Near a window's end: never answered, and long without an answer; the worst round.
    connections_unanswered: int | None = None
    connections_silent: int | None = None
    #: Of those that were never answered, what the server was still letting in, one after the other; and all others that
    #: are counted above. The worst round of each.
    connections_not_let_in: int | None = None
    connections_unexplained: int | None = None
    busy_ratio: float | None = None
    server_cpu_percent: float | None = None
    server_host_cpu_percent: float | None = None
    server_cpu_us_per_request: float | None = None
    generator_cpu_percent: float | None = None
    generator_host_cpu_percent: float | None = None
    neighbours_cpu_percent: float | None = None
    others_cpu_percent: float | None = None
    server_cpus_busy_percent: float | None = None
    unit_waiting_percent: float | None = None
    #: Runnable, with none of its tasks on the CPU, and nobody else there either; the worst round.
    unit_held_back_percent: float | None = None
    busiest_process_cpu_percent: float | None = None
    serving_processes_count: int | None = None
    full_processes_count: int | None = None
    is_one_cpu_a_process: bool = False
    #: wrk's thread with the least time to spare, percent of the window: on a CPU or waiting for one, and waiting alone.
    generator_thread_percent: float | None = None
    generator_thread_waiting_percent: float | None = None
    #: Share of the connections whose answer wrk had not read yet.
    generator_unread_ratio: float | None = None
    generator_neighbours_cpu_percent: float | None = None
    generator_others_cpu_percent: float | None = None
    generator_steal_percent: float | None = None
    #: Seconds of the worst window in which wrk was found stopped, or nobody on its host came to look.
    generator_held_up_s: float | None = None
    steal_percent: float | None = None
    startup_s: float | None = None
    harness_s: float | None = None
    processes_max: int | None = None
    threads_max: int | None = None
    memory_max_bytes: int | None = None
    backlog: int | None = None
    accept_queue_max: int | None = None
    #: Of others than the lab's hosts, to the variant's port, when wrk had ended; the worst round's, by address.
    foreign_connections: Mapping[str, int] = field(default_factory=dict)
    listen_overflows: int | None = None
    retransmits: int | None = None
    #: Segments lost on the way, both directions / answers; the worst round.
    segments_lost_ratio: float | None = None
    wrk_processes: int | None = None
    #: Empty where the load came from one generator.
    generators: tuple[GeneratorRow, ...] = ()
    #: How far apart they began, as a share of the window; the worst round.
    start_skew_ratio: float | None = None
    argv: tuple[str, ...] = ()
    units_ended: tuple[str, ...] = ()
    verify_after: tuple[str, ...] = ()
    correction_notes: tuple[str, ...] = ()
    #: In some round wrk counted another number of answers than it timed.
    is_miscounted: bool = False
    #: What the idle server's answer took; the quickest round.
    first_answer_s: float | None = None
    #: Of all rounds; None where there was no warm-up, or its answers were not stored.
    warmup_errors: Errors | None = None
    warmup_requests: int | None = None
    #: Of the round in which window and warm-up differ most.
    answer_sizes: AnswerSizes | None = None
    #: Measured rounds in which a generator did not get to count the connections without answers.
    rounds_without_silences: int = 0
    #: What the server's log says of its errors, all rounds together: text -> how often.
    log_errors: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    failure_expected: bool = False
    #: The variant's card says that it fails; a regular expression. None: it is to work, or that is not known.
    expect_failure: str | None = None
    #: Server and generator were one machine.
    one_machine: bool = False
    #: Its rate / the baseline's under the same scenario; None where the run has no baseline.
    baseline_ratio: float | None = None
    #: The same, of as many such workers as the server has CPUs.
    baseline_cpus_ratio: float | None = None

    @property
    def busiest_generator(self) -> str:
        """For sentences: `the generator`, or of several the name of the one with the least CPU to spare."""
        return max(self.generators, key=lambda part: part.cpu_percent).host if self.generators else "the generator"

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
) -> tuple[SummaryRow, ...]:
    """A row for every variant and scenario of the plan: scenarios in the plan's order, variants by name.

    `histograms_of` gives a cell's histograms by kind (Run.histograms).
    """
    planned: dict[tuple[str, str], list[PlannedCell]] = {}
    for entry in plan.cells:
        planned.setdefault((entry.scenario, entry.variant), []).append(entry)
    ended: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        ended.setdefault((cell.scenario, cell.variant), []).append(cell)
    order = {name: place for place, name in enumerate(plan.scenarios)}
    rows = tuple(
        _row(
            plan.scenarios[scenario],
            planned[scenario, variant],
            ended.get((scenario, variant), []),
            histograms_of,
        )
        for scenario, variant in sorted(planned, key=lambda pair: (order[pair[0]], pair[1]))
    )
    return tuple(replace(row, one_machine=plan.one_machine) for row in _against_baseline(plan, rows))


def cell_row(plan: RunPlan, cell: CellRecord) -> SummaryRow:
    """One cell as a row of its own, so that the same rules judge it."""
    row = _row(plan.scenarios[cell.scenario], [cell], [cell], lambda _: {})
    row, measured = replace(row, one_machine=plan.one_machine), cell.measurement
    return row if measured is None else replace(row, latency=measured.latency, wrk_latency=measured.wrk_latency)


def _against_baseline(plan: RunPlan, rows: tuple[SummaryRow, ...]) -> tuple[SummaryRow, ...]:
    """The rows with their ratios to the plan's baseline, where it has one that was measured."""
    bases = {row.scenario: row.requests_per_s for row in rows if row.variant == plan.baseline}
    return tuple(
        replace(
            row,
            baseline_ratio=_ratio(row.requests_per_s, base),
            baseline_cpus_ratio=_ratio(row.requests_per_s, base * plan.server_cpus_count),
        )
        if (base := bases.get(row.scenario))
        else row
        for row in rows
    )


def _row(
    scenario: Scenario,
    planned: Sequence[PlannedCell | CellRecord],
    cells: Sequence[CellRecord],
    histograms_of: Callable[[str], Mapping[str, bytes]],
) -> SummaryRow:
    first = planned[0]
    measured = [cell for cell in cells if cell.measurement is not None]
    failed = [cell for cell in cells if cell.measurement is None]
    figures = _load_figures(measured, first, scenario.connections)
    figures |= _answer_figures(measured)
    figures |= _host_figures(measured) | _generator_figures(measured) | _latency_figures(measured, histograms_of)
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
        rounds_retried=sum(cell.attempts > 1 for cell in cells),
        first_failures=_distinct(
            f"{cell.first_failure.phase}: {cell.first_failure.text}" for cell in cells if cell.first_failure
        ),
        rounds_server_ended=sum(
            any(failure.is_servers_end for failure in (cell.first_failure, cell.failure) if failure) for cell in cells
        ),
        in_flight_limit=first.in_flight_limit,
        is_limit_probed=first.is_limit_probed,
        is_one_cpu_a_process=first.is_one_cpu_a_process,
        startup_s=_median(cell.startup_s for cell in measured),
        harness_s=_median(cell.harness_s for cell in measured),
        generators=generator_rows(measured, histograms_of),
        failures=_distinct(f"{cell.failure.phase}: {cell.failure.text}" for cell in failed if cell.failure),
        expect_failure=first.expect_failure if isinstance(first, PlannedCell) else None,
        failure_expected=bool(failed) and all(cell.failure is not None and cell.failure.expected for cell in failed),
        **figures,
    )


def _state(planned_count: int, measured_count: int, failed_count: int) -> RowState:
    if measured_count == 0:
        return "failed" if failed_count else "missing"
    return "measured" if measured_count == planned_count else "partial"


def _load_figures(
    measured: Sequence[CellRecord], planned: PlannedCell | CellRecord, connections: int
) -> dict[str, Any]:
    """What wrk counted, against what was possible."""
    windows = _windows(measured)
    rates = [window.requests_per_s for window in windows]
    hold_s = planned.hold_ms / 1000
    median, interval = _median(rates), median_interval(rates)
    ideal = connections / hold_s if hold_s else None
    ceiling = planned.in_flight_limit / hold_s if hold_s and planned.in_flight_limit else None
    return {
        "requests": sum(window.requests for window in windows) if windows else None,
        "requests_per_s": median,
        "requests_per_s_min": min(rates, default=None),
        "requests_per_s_max": max(rates, default=None),
        "requests_per_s_low": interval.low if interval else None,
        "requests_per_s_high": interval.high if interval else None,
        "rates_per_s": tuple(rates),
        "ideal_per_s": ideal,
        "ideal_ratio": _ratio(median, ideal),
        "ceiling_per_s": ceiling,
        "ceiling_ratio": _ratio(median, ceiling),
        "errors": Errors.sum_of(window.errors for window in windows) if windows else None,
        "broken_ratio": _largest(
            (window.errors.read + window.errors.write) / max(window.requests, 1) for window in windows
        ),
        "connections_open": min((window.connections_open for window in windows), default=None),
        "connections_held": _least(window.connections_open + (window.connections_reopening or 0) for window in windows),
        "connections_reopening": _largest(window.connections_reopening for window in windows),
        "connections_unanswered": _largest(window.connections_unanswered for window in windows),
        "connections_silent": _largest(window.connections_silent for window in windows),
        "connections_not_let_in": _largest(window.connections_not_let_in for window in windows),
        "connections_unexplained": _largest(map(_starving, windows)),
        "busy_ratio": min((window.busy_ratio for window in windows), default=None),
        "wrk_processes": _largest(sum(part.wrk_processes for part in window.generators) for window in windows),
        "start_skew_ratio": _largest(window.start_skew_s / window.duration_s for window in windows),
        "verify_after": _distinct(text for window in windows for text in _after(window)),
        "correction_notes": _distinct(window.correction_note for window in windows),
        "is_miscounted": any(window.is_miscounted for window in windows),
        "rounds_without_silences": sum(not _has_silences(window) for window in windows),
    }


def _answer_figures(measured: Sequence[CellRecord]) -> dict[str, Any]:
    """What tells whether the answers were right, of scenarios too that do not compare each."""
    windows = _windows(measured)
    warmups = [window.warmup for window in windows if window.warmup]
    sizes = [found for found in map(answer_sizes, windows) if found]
    return {
        "first_answer_s": _least(window.first_answer_s for window in windows),
        "warmup_errors": Errors.sum_of(warmup.errors for warmup in warmups) if warmups else None,
        "warmup_requests": _total(warmup.requests for warmup in warmups),
        "answers_checked": _total(window.answers_checked for window in windows),
        "answer_sizes": max(sizes, key=lambda found: found.deviation_ratio, default=None),
    }


def _after(window: Measurement) -> Iterable[str]:
    """What the GETs after a window found, each on its own; older runs have them in one text."""
    parts = [part for part in window.generators if part.verify_after]
    if len(window.generators) == 1 or not parts:
        return [window.verify_after]
    return [f"{part.verify_after} (from {part.host})" for part in parts]


def _starving(window: Measurement) -> int | None:
    """Connections without an answer whose turn nothing promises; None where they were not counted."""
    if window.connections_unanswered is None:
        return None
    return window.connections_unanswered + (window.connections_silent or 0) - (window.connections_not_let_in or 0)


def _has_silences(window: Measurement) -> bool:
    """Whether every generator looked for silent connections. Those that did not count unread ones never do."""
    return all(part.connections_unanswered is not None or part.connections_unread is None for part in window.generators)


def _host_figures(measured: Sequence[CellRecord]) -> dict[str, Any]:
    """What was sampled on both sides."""
    windows = _windows(measured)
    servers = [window.server for window in windows]
    return {
        "server_cpu_percent": _median(server.cpu_percent for server in servers),
        "server_host_cpu_percent": _median(server.host_cpu_percent for server in servers),
        "server_cpu_us_per_request": _median(_cpu_us_per_request(window) for window in windows),
        "others_cpu_percent": _largest(server.others_cpu_percent for server in servers),
        "server_cpus_busy_percent": _median(server.cpus_busy_percent for server in servers),
        "unit_waiting_percent": _largest(server.unit_waiting_percent for server in servers),
        "unit_held_back_percent": _largest(map(_held_back_percent, servers)),
        "busiest_process_cpu_percent": _median(server.busiest_process_cpu_percent for server in servers),
        "serving_processes_count": _largest(server.serving_processes_count for server in servers),
        "full_processes_count": _least(server.full_processes_count for server in servers),
        "neighbours_cpu_percent": _largest(server.neighbours_cpu_percent for server in servers),
        "steal_percent": _largest(server.steal_percent for server in servers),
        "processes_max": _largest(server.processes_max for server in servers),
        "threads_max": _largest(server.threads_max for server in servers),
        "memory_max_bytes": _largest(server.memory_max_bytes for server in servers),
        "backlog": _largest(server.backlog for server in servers),
        "accept_queue_max": _largest(server.accept_queue_max for server in servers),
        "foreign_connections": max((server.foreign_connections for server in servers), key=_sum, default={}),
        "listen_overflows": _total(server.listen_overflows for server in servers),
        "retransmits": _total(server.retransmits for server in servers),
        "segments_lost_ratio": _largest(_lost_ratio(window) for window in windows),
        "argv": next((server.argv for server in servers if server.argv), ()),
        "log_errors": _log_errors(servers),
        "units_ended": _distinct(server.unit_state for server in servers if not _is_running(server)),
    }


def _generator_figures(measured: Sequence[CellRecord]) -> dict[str, Any]:
    """What was sampled of the generators: of each window the worst of them, then the worst round but for CPU shares."""
    windows = _windows(measured)
    parts = [part for window in windows for part in window.generators]
    return {
        "generator_cpu_percent": _median(window.generator_cpu_percent for window in windows),
        "generator_host_cpu_percent": _median(
            _largest(part.host_cpu_percent for part in window.generators) for window in windows
        ),
        "generator_thread_percent": _largest(part.busiest_thread_percent for part in parts),
        "generator_thread_waiting_percent": _largest(part.busiest_thread_waiting_percent for part in parts),
        "generator_unread_ratio": _largest(_ratio(part.connections_unread, part.connections_asked) for part in parts),
        "generator_neighbours_cpu_percent": _largest(part.neighbours_cpu_percent for part in parts),
        "generator_others_cpu_percent": _largest(part.others_cpu_percent for part in parts),
        "generator_steal_percent": _largest(part.steal_percent for part in parts),
        "generator_held_up_s": _largest(part.held_up_s for part in parts),
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


def _windows(measured: Sequence[CellRecord]) -> list[Measurement]:
    return [cell.measurement for cell in measured if cell.measurement is not None]


def _log_errors(servers: Iterable[ServerRecord]) -> dict[str, int]:
    """Counts by text, added up over rounds, the most frequent first. Numbers within a text may differ by round."""
    kinds: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for error in (error for server in servers for error in server.log_errors):
        counts[kinds.setdefault(_DIGITS.sub("N", error.text), error.text)] += error.count
    return dict(counts.most_common())


def _lost_ratio(window: Measurement) -> float | None:
    """Lost segments / answers; None where the accept queue was full for long: the host drops segments itself then."""
    lasting = window.server.lasting_listen_overflows
    # Runs of before that was told know only of all.
    if window.server.listen_overflows if lasting is None else lasting:
        return None
    lost = _total([window.server.segments_lost, *(part.segments_lost for part in window.generators)])
    return None if lost is None else lost / max(window.requests, 1)


def _held_back_percent(server: ServerRecord) -> float | None:
    """How long the unit stalled beyond what others that ran on its CPUs explain, percent of the window. Never below 0.

    A CPU that is free takes whoever is runnable, unless something forbids it. Others, and idle time, may all have been
    on the one CPU that the unit uses. An interrupt's work mostly stalls nobody, since the task that it interrupts stays
    on the CPU; a kernel thread's does (ksoftirqd), and the CPU is not idle then.
    """
    if server.unit_stalled_percent is None or server.cpus_busy_percent is None or server.cpu_percent is None:
        return None
    foreign_percent = max(0.0, server.cpus_busy_percent - server.cpu_percent - (server.softirq_cpu_percent or 0.0))
    idle_percent = max(0.0, 100.0 - server.cpus_busy_percent - (server.steal_percent or 0.0))
    unexplained_percent = server.unit_stalled_percent - server.cpus_count * foreign_percent
    return max(0.0, min(unexplained_percent, server.cpus_count * idle_percent))


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _is_running(server: ServerRecord) -> bool:
    return not server.unit_state or server.unit_state.startswith("active")


def _cpu_us_per_request(window: Measurement) -> float | None:
    """CPU time of the unit for one answer, in µs."""
    server = window.server
    if server.cpu_percent is None or not window.requests:
        return None
    return server.cpu_percent / 100 * server.cpus_count * window.duration_s * 1e6 / window.requests


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _largest(values: Iterable[Number | None]) -> Number | None:
    return max((value for value in values if value is not None), default=None)


def _least(values: Iterable[Number | None]) -> Number | None:
    return min((value for value in values if value is not None), default=None)


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _ratio(value: float | None, of: float | None) -> float | None:
    return value / of if value is not None and of else None


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts without the empty ones, each once, in the order of their coming."""
    return tuple(dict.fromkeys(text for text in texts if text))
