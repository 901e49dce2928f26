"""What is stored of a cell and of a run: the only thing that reports read."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, Field

from wrklab.model.cards import Card, Name
from wrklab.model.scenario import Scenario


class Record(Card):
    """The base of what is stored: inf and nan are refused when they arise, not when they are read."""

    model_config = ConfigDict(allow_inf_nan=False)


class Latency(Record):
    """Latencies in µs, from one histogram. wrk measures from the real send to the end of the answer (closed loop)."""

    count: int
    mean_us: float
    stdev_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float


class Errors(Record):
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


class GeneratorRecord(Record):
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


class ServerRecord(Record):
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


class Failure(Record):
    """Why a cell has no numbers, with the evidence."""

    phase: str
    text: str
    #: The variant is there because it fails (gunicorn's sync worker in front of an ASGI application).
    expected: bool = False
    log_tail: tuple[str, ...] = ()
    unit_state: str = ""
    generator_stderr: str = ""


class Measurement(Record):
    """The numbers of one cell."""

    #: wrk's own, real; the longest where several processes ran.
    duration_s: float
    #: Wall clock of the generator, epoch seconds.
    window_start_s: float
    window_end_s: float
    requests: int
    requests_per_s: float
    bytes_read: int
    #: Observed: wrk's correction undone, histograms of all processes added. None: no answer was timed.
    latency: Latency | None
    #: As wrk would print it (after its correction), the histograms of all processes added.
    wrk_latency: Latency | None
    #: Why the correction could not be undone, or empty.
    correction_note: str = ""
    errors: Errors
    connections_asked: int
    #: Established at the median of the counts taken within the window, all generators.
    connections_open: int
    #: sum(observed latency) / (duration x connections); far below 1 with CPU to spare: hung or starved connections.
    busy_ratio: float
    server: ServerRecord
    generators: tuple[GeneratorRecord, ...]
    #: What the GET after the window found, or empty when it was right.
    verify_after: str = ""

    @property
    def generator_cpu_percent(self) -> float:
        """The busiest generator's, percent of the CPUs given to it."""
        return max((generator.cpu_percent for generator in self.generators), default=0.0)


class CellRecord(Record):
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
    is_limit_probed: bool = False


class PlannedCell(Record):
    """A cell of the plan, by names."""

    cell_id: str
    variant: Name
    stack: Name
    scenario: Name
    round_number: int
    hold_ms: int
    #: Requests handled at once: as the newest probe found it, else as the variant's card says.
    in_flight_limit: int | None = None
    is_limit_probed: bool = False
    #: A regular expression: the variant is there because it fails so.
    expect_failure: str | None = None
    published_row: str | None = None


class RunPlan(Record):
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
    #: The server and the generators run on the same CPUs, so that each takes from the other.
    cpus_shared: bool = False
    suite: str | None = None


class HostEnvironment(Record):
    """One host as it was when the run began."""

    host: str
    group: Literal["server", "loadgen"]
    #: What node/environment.py printed there, whole.
    facts: dict[str, Any] = Field(default_factory=dict)


class RunEnvironment(Record):
    """environment.json of a run: every host, and the machine that drove them."""

    hosts: tuple[HostEnvironment, ...] = ()
    #: Versions of wrklab's own tools, git state of the checkout, how the lab was reached.
    controller: dict[str, Any] = Field(default_factory=dict)


class StoredSample(NamedTuple):
    """One value read on a host while a cell ran; `at_s` is that host's clock, epoch seconds."""

    host: str
    metric: str
    unit: str
    at_s: float
    value: float


class JournalEntry(NamedTuple):
    """One event of a run; `cell_id` is None for what concerns no cell. `at_s` is the controller's clock."""

    at_s: float
    cell_id: str | None
    phase: str
    text: str
