"""What is stored of a cell and of a run: the only thing that reports read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wrklab.model.cards import Card, Name
from wrklab.model.scenario import Scenario


class Latency(Card):
    """Latencies in µs, from one histogram. wrk measures from the real send to the end of the answer (closed loop)."""

    count: int
    mean_us: float
    stdev_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float


class Errors(Card):
    """wrk's errors by kind, plus bodies that were not as expected."""

    connect: int = 0
    read: int = 0
    write: int = 0
    status: int = 0
    timeout: int = 0
    body: int = 0

    @property
    def total(self) -> int:
        """All kinds together."""
        return self.connect + self.read + self.write + self.status + self.timeout + self.body


class GeneratorRecord(Card):
    """One generator host through one window."""

    host: str
    wrk_processes: int
    requests: int
    connections_asked: int
    #: Established at the median of the counts taken within the window.
    connections_open: int
    #: Of wrk's processes together, in percent of one CPU.
    wrk_cpu_percent_of_one: float
    cpus_count: int
    #: Of the CPUs given to the host (0-100), wrk alone.
    cpu_percent: float
    #: Of the CPUs given to the host (0-100), everything on it; None where it cannot be told.
    host_cpu_percent: float | None = None


class ServerRecord(Card):
    """The server host and the variant's unit through one window."""

    cpus_count: int
    #: Of the CPUs given to the host (0-100), the unit's cgroup alone.
    cpu_percent: float | None
    host_cpu_percent: float | None = None
    #: CPU time that others than the host took on its CPUs, percent of them; None where it cannot be told.
    neighbours_cpu_percent: float | None = None
    steal_percent: float | None = None
    memory_max_bytes: int | None = None
    processes_max: int | None = None
    threads_max: int | None = None
    #: The listen backlog in force (`ss -ltn` Send-Q).
    backlog: int | None = None
    accept_queue_max: int | None = None
    listen_overflows: int | None = None
    listen_drops: int | None = None
    retransmits: int | None = None
    argv: tuple[str, ...] = ()
    #: ActiveState/Result of the unit as it was before we stopped it.
    unit_state: str = ""


class Failure(Card):
    """Why a cell has no numbers, with the evidence."""

    phase: str
    text: str
    log_tail: tuple[str, ...] = ()
    unit_state: str = ""
    generator_stderr: str = ""


class Measurement(Card):
    """The numbers of one cell."""

    #: wrk's own, real; the longest where several processes ran.
    duration_s: float
    #: Wall clock of the generator, epoch seconds.
    window_start_s: float
    window_end_s: float
    requests: int
    requests_per_s: float
    bytes_read: int
    #: Observed: wrk's correction undone, histograms of all processes added.
    latency: Latency
    #: As wrk would print it (after its correction), the histograms of all processes added.
    wrk_latency: Latency
    #: Why the correction could not be undone, or empty.
    correction_note: str = ""
    errors: Errors
    connections_asked: int
    #: Established at the median of the counts taken within the window, all generators.
    connections_open: int
    #: sum(observed latency) / (duration x connections): far below 1 with CPU to spare means hung or starved connections.
    busy_ratio: float
    server: ServerRecord
    generators: tuple[GeneratorRecord, ...]
    #: What the GET after the window found, or empty when it was right.
    verify_after: str = ""

    @property
    def generator_cpu_percent(self) -> float:
        """The busiest generator's, percent of the CPUs given to it."""
        return max((generator.cpu_percent for generator in self.generators), default=0.0)


class CellRecord(Card):
    """One cell as it ended."""

    cell_id: str
    #: Its place in the plan, from 0.
    position: int
    variant: Name
    stack: Name
    scenario: Name
    round_number: int
    state: Literal["measured", "failed"]
    started_at_s: float
    finished_at_s: float
    #: From the start of the unit to the first right answer on the generator; None when there was none.
    startup_s: float | None = None
    #: Wall clock of the cell less start-up, warm-up, settling and window: what the harness itself cost.
    harness_s: float | None = None
    #: Seconds by phase: start, ready, warmup, settle, window, verify_after, pull, ...
    phases_s: dict[str, float] = Field(default_factory=dict)
    measurement: Measurement | None = None
    failure: Failure | None = None
    published_row: str | None = None
    hold_ms: int
    in_flight_limit: int | None = None


class PlannedCell(Card):
    """A cell of the plan, by names."""

    cell_id: str
    variant: Name
    stack: Name
    scenario: Name
    round_number: int
    hold_ms: int
    in_flight_limit: int | None = None
    published_row: str | None = None


class RunPlan(Card):
    """plan.json of a run: what was asked, and every cell in order."""

    run_id: str
    lab: str
    created_at_s: float
    seed: int
    command: str
    scenarios: dict[Name, Scenario]
    cells: tuple[PlannedCell, ...]
    #: Plain sentences about the lab that every report repeats (one CPU shared by both nodes; a descriptor ceiling).
    notes: tuple[str, ...] = ()
    server_cpus_count: int
    generator_cpus_count: int
    suite: str | None = None
