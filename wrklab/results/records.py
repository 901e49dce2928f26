"""What is stored of a cell and of a run: the only thing that reports read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import AliasChoices, ConfigDict, Field

from wrklab.catalogue.cards import Card, Name
from wrklab.catalogue.recipe import plain
from wrklab.catalogue.scenario import Scenario, ScenarioName
from wrklab.catalogue.stack import Variant, VariantName
from wrklab.protocol.load import AnswerKind
from wrklab.protocol.phases import Phase

#: Which of the two that `bench --aa` makes of a variant; empty in every other run.
Twin = Literal["", "a", "b"]


class Record(Card):
    """The base of what is stored: inf and nan are refused when they arise, not when they are read."""

    model_config = ConfigDict(allow_inf_nan=False)


def _once(name: str, former_name: str) -> Any:  # noqa: ANN401  pydantic's own signature
    """A field that older stores have by another name; None where it is missing."""
    return Field(default=None, validation_alias=AliasChoices(name, former_name))


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
    min_us: float


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

    @classmethod
    def sum_of(cls, parts: Iterable[Errors]) -> Errors:
        """Each kind of all parts added up."""
        total = dict.fromkeys(cls.model_fields, 0)
        for part in parts:
            for kind, number in part.model_dump().items():
                total[kind] += number
        return cls(**total)


class RequestRecord(Record):
    """One request of a mix through one window, all wrk processes together."""

    name: Name
    #: By wrk, answered or not: when the window ends some are on their way, one a connection at most.
    sent: int
    answers: int
    #: Later than wrk's time-out: answers, but no latencies.
    timeouts: int
    #: Another status than expected; of every answer.
    wrong_status: int
    #: The right status, but not the text (of every answer) or the values of JSON (of those compared) as expected.
    wrong_body: int
    #: Observed; None: no answer was timed.
    latency: Latency | None


class WarmupRecord(Record):
    """What wrk counted in a warm-up, where every answer's status and body are compared."""

    requests: int
    bytes_read: int
    connections: int
    errors: Errors


class GeneratorRecord(Record):
    """One generator host through one window."""

    host: str
    wrk_processes: int
    #: wrk's -t over all its processes, with the thread that compares answers.
    wrk_threads: int
    requests: int
    requests_per_s: float
    connections_asked: int
    #: Established at the median of the counts taken within the window.
    connections_open: int
    #: Of wrk's processes together, in percent of one CPU.
    wrk_cpu_percent_of_one: float
    cpus_count: int
    #: Of the CPUs given to the host (0-100), wrk alone.
    cpu_percent: float
    #: wrk of this generator and of those that are given the same CPUs; None where it has them for itself.
    shared_cpu_percent: float | None = None
    #: Of the CPUs given to the host (0-100), everything on it; None where it was not sampled.
    host_cpu_percent: float | None = None
    errors: Errors
    #: Of this generator alone, observed; None: no answer was timed.
    latency: Latency | None
    #: From the mark to the start of its first wrk.
    start_skew_s: float
    #: Its clock less the controller's, and by how much that can be wrong at most.
    clock_ahead_s: float
    clock_uncertainty_s: float
    #: How full these CPUs were, with neighbours and the kernel's own work.
    cpus_busy_percent: float | None = None
    neighbours_cpu_percent: float | None = None
    steal_percent: float | None = None
    #: Of the window, the wrk thread with the least time to spare: on a CPU, and runnable without one.
    busiest_thread_cpu_percent: float | None = None
    busiest_thread_waiting_percent: float | None = None
    #: Established connections whose answer wrk had not read yet, the median of the counts.
    connections_unread: int
    #: Connections that were being opened again, the median of the counts.
    connections_reopening: int
    #: Near the window's end: established connections that never got an answer, and those long without one. None: it was
    #: not looked in time.
    connections_unanswered: int | None = None
    connections_stalled: int | None = _once("connections_stalled", "connections_silent")
    #: What its GET after the window found, or empty when it was right.
    verify_after: str
    verify_after_kind: AnswerKind
    #: What the server needed, at the window's rate, for all that could be queued then. None: there was no answer.
    queue_after_s: float | None = None
    #: As the server's: requests that got lost on the way.
    segments_lost: int | None = None
    #: CPU time of the host itself, but of others than wrk and than the kernel's softirq.
    others_cpu_percent: float | None = None
    #: Of the window: wrk was found stopped, or nothing on the host looked. None: wrk never ran.
    paused_s: float | None = _once("paused_s", "held_up_s")
    #: Answers of which status and body were compared.
    answers_checked: int

    @property
    def busy_percent(self) -> float:
        """What wrk leaves none of at 100: of its CPUs, all generators counted that share them."""
        return self.cpu_percent if self.shared_cpu_percent is None else self.shared_cpu_percent

    @property
    def busiest_thread_percent(self) -> float | None:
        """Of the window: the wrk thread with the least time to spare was on a CPU or waited for one."""
        if self.busiest_thread_cpu_percent is None:
            return None
        return self.busiest_thread_cpu_percent + (self.busiest_thread_waiting_percent or 0.0)


class LogError(Record):
    """One kind of error in a server's log, and how often it stands there (at least, where the log was very long)."""

    text: str
    count: int


#: Accepted within a second or so, and of those that waited: uvicorn and gunicorn under 2,000 connections took 7 of 691,
#: 12 of 608, 18 of 64.
_ACCEPTED_MIN = 3
_ACCEPTED_RATIO = 0.005


class ServerRecord(Record):
    """The server host and the variant's unit through one window."""

    cpus_count: int
    #: Of the CPUs given to the host (0-100), the unit's cgroup alone.
    cpu_percent: float | None
    host_cpu_percent: float | None = None
    #: CPU time that others than the host took on its CPUs, percent of them; None where it was not sampled.
    neighbours_cpu_percent: float | None = None
    #: CPU time of the host itself, but of others than the unit and than the kernel's softirq.
    others_cpu_percent: float | None = None
    softirq_cpu_percent: float | None = None
    #: How full its CPUs were, whoever used them.
    cpus_busy_percent: float | None = None
    steal_percent: float | None = None
    #: Of the window: some task of the unit was runnable and had no CPU (PSI).
    unit_waiting_percent: float | None = None
    #: Of the window: tasks of the unit were runnable, and on their CPU ran none of them (PSI, "full").
    unit_stalled_percent: float | None = None
    #: The unit's busiest process, percent of one CPU.
    busiest_process_cpu_percent: float | None = None
    #: Processes that serve (a tenth of the busiest's CPU time or more), and those of them that fill one CPU.
    serving_processes_count: int | None = None
    saturated_processes_count: int | None = _once("saturated_processes_count", "full_processes_count")
    memory_max_bytes: int | None = None
    processes_max: int | None = None
    threads_max: int | None = None
    #: The listen backlog in force (`ss -ltn` Send-Q).
    backlog: int | None = None
    accept_queue_max: int | None = None
    #: When connections without answers were counted near the window's end, and as long before as answers take.
    accept_queue_counted: int | None = None
    accept_queue_before: int | None = None
    #: Connections to the variant's port when wrk had ended, by address: somebody else uses this server.
    foreign_connections: Mapping[str, int]
    listen_overflows: int | None = None
    #: Of these, what came all through the window and not in a burst, such as while connections open.
    lasting_listen_overflows: int | None = None
    listen_drops: int | None = None
    retransmits: int | None = None
    #: Of these, what was lost on the way all through the window (HostSamples.segments_lost).
    segments_lost: int | None = None
    argv: tuple[str, ...]
    #: ActiveState/Result of the unit as it was before we stopped it.
    unit_state: str
    #: The most frequent first.
    log_errors: tuple[LogError, ...]


class BackendRecord(Record):
    """The host of the backends through one window. CPU shares are of the CPUs given to it (0-100)."""

    host: str
    cpus_count: int
    #: The services alone, all of them together.
    cpu_percent: float | None = None
    host_cpu_percent: float | None = None
    #: How full its CPUs were, whoever used them.
    cpus_busy_percent: float | None = None
    #: Others than the lab's hosts.
    neighbours_cpu_percent: float | None = None
    #: The lab's other hosts that are given one of these CPUs, and what they took of them; None: it has them for itself.
    shared_with: tuple[str, ...] = ()
    shared_cpu_percent: float | None = None
    steal_percent: float | None = None
    #: Connections that were open when the load had ended, by service.
    connections: Mapping[str, int]


class Failure(Record):
    """Why a cell has no numbers, with the evidence."""

    phase: Phase
    text: str
    #: The variant is there because it fails (gunicorn's sync worker in front of an ASGI application).
    expected: bool = False
    log_tail: tuple[str, ...] = ()
    unit_state: str = ""
    generator_stderr: str = ""
    #: The server had answered rightly, and its unit was not active any more when the cell ended.
    is_servers_end: bool = False


class OpenLoopRecord(Record):
    """What became of the requests of a timetable, all wrk processes together. Quarters are those of the timetable."""

    #: Slots of the timetable; in overload not all of them find a free connection.
    scheduled: int
    #: Taken by a connection, which sent then.
    sent: int
    #: Of those, taken more than a millisecond after their time.
    late: int
    #: By how much the latest was.
    latest_s: float
    #: Sent, and without an answer when wrk ended, a second after the timetable.
    unanswered: int
    quarters_scheduled: tuple[int, int, int, int]
    quarters_sent: tuple[int, int, int, int]
    quarters_answered: tuple[int, int, int, int]
    #: The time that all requests together spent in flight within a quarter.
    quarters_waiting_s: tuple[float, float, float, float]
    #: Connections that the server closed while they waited for their slot: no request was on its way.
    idle_closed: int
    #: Connections that were opened because a request was due.
    opened: int = 0
    #: Requests that wrk itself sent late.
    wrk_late: int = 0

    @property
    def late_ratio(self) -> float:
        """Of the requests sent; 0 where none was."""
        return self.late / self.sent if self.sent else 0.0

    @property
    def wrk_late_ratio(self) -> float:
        """Of the requests sent; 0 where none was."""
        return self.wrk_late / self.sent if self.sent else 0.0

    @property
    def unanswered_ratio(self) -> float:
        """Of the requests sent; 0 where none was."""
        return self.unanswered / self.sent if self.sent else 0.0

    @property
    def answered_ratio(self) -> float:
        """Answers until wrk's end / slots; 0 where there was no slot."""
        return (self.sent - self.unanswered) / self.scheduled if self.scheduled else 0.0

    @property
    def achieved_ratio(self) -> float:
        """Answers within the last three quarters / slots in them: in the first one nothing is in flight yet.

        1 at most: what waited in the first quarter may be answered in the others.
        """
        scheduled = sum(self.quarters_scheduled[1:])
        return min(1.0, sum(self.quarters_answered[1:]) / scheduled) if scheduled else 0.0

    @property
    def quarters_mean_us(self) -> tuple[float, ...]:
        """The mean time in flight of each quarter's requests, by the area under the number in flight; 0 without one."""
        return tuple(
            1e6 * waiting_s / sent if sent else 0.0
            for waiting_s, sent in zip(self.quarters_waiting_s, self.quarters_sent, strict=True)
        )


class Measurement(Record):
    """The numbers of one cell."""

    #: wrk's own, real; the longest where several processes ran.
    duration_s: float
    #: Common to all generators, from the last one's start to the first one's end; epoch seconds, controller's clock.
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
    correction_note: str
    errors: Errors
    connections_asked: int
    #: Established at the median of the counts taken within the window, all generators.
    connections_open: int
    #: sum(observed latency) / (duration x connections); far below 1 with CPU to spare: hung or starved connections.
    busy_ratio: float
    server: ServerRecord
    generators: tuple[GeneratorRecord, ...]
    #: What the GET after the window found, or empty when it was right.
    verify_after: str
    #: What the GET that found the idle server ready took; the quickest generator's.
    first_answer_s: float
    #: None: there was none.
    warmup: WarmupRecord | None
    #: wrk counted another number of answers than it timed: some came unasked.
    is_miscounted: bool
    #: None: closed loop.
    open_loop: OpenLoopRecord | None = None
    #: Of a mix, in its order; their histograms are stored as `request:NAME`. Empty: one request only.
    requests_by_name: tuple[RequestRecord, ...] = ()
    #: Answers of which it is not known which request they belong to.
    requests_unknown: int = 0
    #: None: the application uses no backend.
    backend: BackendRecord | None = None

    @property
    def right_answers_per_s(self) -> float:
        """`requests_per_s` without answers of another status or body. Late ones count: the server turned them over."""
        wrong = self.errors.status + self.errors.body
        return self.requests_per_s * max(0.0, 1 - wrong / max(1, self.requests))

    @property
    def connections_unanswered(self) -> int | None:
        """All generators' together; None where none of them counted."""
        return _sum_known(generator.connections_unanswered for generator in self.generators)

    @property
    def connections_stalled(self) -> int | None:
        """All generators' together; None where none of them counted."""
        return _sum_known(generator.connections_stalled for generator in self.generators)

    @property
    def connections_unaccepted(self) -> int | None:
        """Of those without an answer, what waits in the server's accept queue while it accepts one after the other.

        With those that it has just accepted, whose answer is due. 0 where the queue hardly grows shorter: a server
        that accepts one where another has gone (a worker was restarted) leaves the others there for good.
        """
        before, counted = self.server.accept_queue_before, self.server.accept_queue_counted
        if before is None or counted is None or self.connections_unanswered is None:
            return None
        is_draining = before - counted >= max(_ACCEPTED_MIN, _ACCEPTED_RATIO * before)
        return min(self.connections_unanswered, before) if is_draining else 0

    @property
    def connections_reopening(self) -> int:
        """All generators' together."""
        return sum(generator.connections_reopening for generator in self.generators)

    @property
    def answers_checked(self) -> int:
        """All generators' together."""
        return sum(generator.answers_checked for generator in self.generators)

    @property
    def wrk_threads(self) -> int:
        """wrk's -t over all processes of all generators."""
        return sum(generator.wrk_threads for generator in self.generators)

    @property
    def generator_cpu_percent(self) -> float:
        """The busiest generator's, percent of the CPUs given to it."""
        return max((generator.busy_percent for generator in self.generators), default=0.0)

    @property
    def start_skew_s(self) -> float:
        """How far apart the generators began; 0 for one."""
        skews = [generator.start_skew_s for generator in self.generators]
        return max(skews) - min(skews)


def _sum_known(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


class CellRecord(Record):
    """One cell as it ended."""

    cell_id: str
    #: Its place in the plan, from 0.
    position: int
    variant: VariantName
    stack: Name
    scenario: ScenarioName
    round_number: int
    twin: Twin = ""
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
    #: 2: the first attempt failed, and `first_failure` says how.
    attempts: int = 1
    first_failure: Failure | None = None
    published_row: str | None = None
    hold_ms: int
    in_flight_limit: int | None = None
    is_limit_probed: bool = False
    #: A process of its runtime uses one CPU at most (Python's GIL, a single event loop).
    is_one_cpu_a_process: bool = False


class PlannedCell(Record):
    """A cell of the plan, by names."""

    cell_id: str
    variant: VariantName
    stack: Name
    scenario: ScenarioName
    round_number: int
    twin: Twin = ""
    hold_ms: int
    #: Requests handled at once: as the newest probe found it, else as the variant's card says.
    in_flight_limit: int | None = None
    is_limit_probed: bool = False
    #: A process of its runtime uses one CPU at most (Python's GIL, a single event loop).
    is_one_cpu_a_process: bool = False
    #: A regular expression: the variant is there because it fails so.
    expect_failure: str | None = None
    published_row: str | None = None
    #: Of a window at half rate: the closed-loop scenario whose rate was halved. Its figures stand on that row.
    half_rate_of: ScenarioName | None = None

    def kept_in_record(self) -> dict[str, Any]:
        """The values that the cell's own record has too, by field."""
        return self.model_dump(include=set(CellRecord.model_fields))


class ServedBy(Record):
    """How a recipe served a variant of a run."""

    recipe: Name
    #: What it served: module:attribute.
    entry: str
    #: Every parameter of the recipe by name, on the server's CPUs.
    parameters: dict[Name, int | str]
    #: Those that the command line gave; {} for a variant that a card has.
    given: dict[Name, int | str] = Field(default_factory=dict)


def served_by(variants: Iterable[Variant], cpus_count: int) -> dict[str, ServedBy]:
    """For a plan: the recipe of each variant that has one, and its parameters on a server of so many CPUs."""
    found = {}
    for variant in variants:
        if (serving := variant.serving) is not None:
            found[variant.name] = ServedBy(
                recipe=serving.recipe.name,
                entry=serving.entry,
                parameters=serving.values_at(cpus_count),
                given={name: plain(value) for name, value in serving.given.items()},
            )
    return found


class RunPlan(Record):
    """plan.json of a run: what was asked, and every cell in order."""

    run_id: str
    lab: str
    created_at_s: float
    seed: int
    command: str
    scenarios: dict[ScenarioName, Scenario]
    cells: tuple[PlannedCell, ...]
    #: Plain sentences about the lab that every report repeats (one CPU shared by both nodes; a descriptor ceiling).
    notes: tuple[str, ...] = ()
    server_cpus_count: int
    generator_cpus_count: int
    #: All that the lab has, by name; a load of fewer connections than these goes over the first of them.
    generators: tuple[str, ...]
    #: The server and the generators run on the same CPUs, so that each takes from the other.
    cpus_shared: bool
    #: The suite wanted a server of several CPUs (`server_cpus: all`); resumed, the run needs the same.
    server_takes_all_cpus: bool = False
    #: The services that the application uses, by name.
    backends: tuple[str, ...] = ()
    #: A generator is the server under another name: the load does not cross a network.
    one_machine: bool
    suite: str | None = None
    #: Why hosts should not have been measured then, where `--force` overrode it.
    forced: tuple[str, ...] = ()
    #: The variant against which the report sets all others.
    baseline: VariantName | None = None
    #: By stack: python, go or openresty.
    runtimes: dict[Name, str] = Field(default_factory=dict)
    #: catalogue.deployment.variant_digest of each variant: a run is resumed only with the servers that it began with.
    variant_digests: dict[VariantName, str]
    #: The folder of the user's application that was measured; None: variants of the checkout's own.
    application: str | None = None
    #: Of each variant that has a recipe: which, and with which parameters.
    served_by: dict[VariantName, ServedBy] = Field(default_factory=dict)
    #: catalogue.deployment.fingerprint of the checkout that began the run.
    fingerprint: str


#: The key, in a host's facts, of all that changes from one instant to the next: clock, load, free memory. Nothing to
#: compare.
MOMENT = "moment"


class UnitFile(Record):
    """One file of a variant's systemd unit as it stood on the server: its own, or a drop-in."""

    path: str
    text: str


class HostEnvironment(Record):
    """One host as it was when the run began."""

    host: str
    group: Literal["server", "loadgen", "backend"]
    #: What node/environment.py printed there; under MOMENT what was seen just before the first cell.
    facts: dict[str, Any] = Field(default_factory=dict)


class RunEnvironment(Record):
    """environment.json of a run: every host, and the machine that drove them."""

    hosts: tuple[HostEnvironment, ...] = ()
    #: By variant, in the order in which they count.
    units: dict[VariantName, tuple[UnitFile, ...]] = Field(default_factory=dict)
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
