"""The load of one cell on one generator: what load_cell.py is to do, and what it found."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from wrklab.protocol.codec import Count, Limits, Message, Port, Seconds, Text, Word
from wrklab.protocol.phases import Phase
from wrklab.protocol.request_mix import MixReport, MixSpec

#: A slot that is taken later than this after its time was not sent at its time: delays have whole milliseconds.
LATE_SLOT_S = 0.001


class LoadPhase(StrEnum):
    """The phases of a cell that are the load's, in order.

    `DRAIN` is there only where local ports are short, `ARMED` only with several generators.
    """

    READY = Phase.READY.value
    WARMUP = Phase.WARMUP.value
    SETTLE = Phase.SETTLE.value
    DRAIN = Phase.DRAIN.value
    ARMED = Phase.ARMED.value
    WINDOW = Phase.WINDOW.value
    VERIFY_AFTER = Phase.VERIFY_AFTER.value


class AnswerKind(StrEnum):
    """What came of one GET."""

    RIGHT = "right"
    #: An answer, but not the expected one; or the connection was closed instead.
    WRONG = "wrong"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    #: No answer yet, from a server that answers, and has more queued than it serves within the limit.
    STILL_QUEUED = "still_queued"
    UNREACHABLE = "unreachable"


class FailureKind(StrEnum):
    """Why a load ended early."""

    #: The server did not answer, or not as expected.
    ANSWERS = "answers"
    #: The generator, or wrk on it, could not do its part.
    GENERATOR = "generator"
    CANCELLED = "cancelled"
    #: systemd ended the load at its deadline.
    DEADLINE = "deadline"


# --- What to do ---


class Target(Message):
    """Where requests go."""

    host: Word
    port: Port
    path: Word


class ExpectedAnswer(Message):
    """The only right answer."""

    status: Annotated[int, Limits(100, 599)]
    body: Text


class Arrivals(StrEnum):
    """How the gaps between requests are drawn in an open loop."""

    #: Exponential gaps, as independent visitors make them.
    POISSON = "poisson"
    #: All gaps are equal.
    CONSTANT = "constant"


class ConnectionMode(StrEnum):
    """What becomes of a connection after an answer."""

    #: It stays open and sends the next free slot's request.
    KEEP_ALIVE = "keep_alive"
    #: Each request says `Connection: close`, so each has a connection of its own.
    CLOSE = "close"


class Timetable(Message):
    """When the threads of one wrk process send, whatever the server does. Each thread has a timetable of its own."""

    arrivals: Arrivals
    #: Of one thread.
    rate_per_s: Annotated[float, Limits(1e-6, 1e7)]
    #: Constant arrivals: the first thread's first slot, and by how much each further thread begins later.
    offset_s: Seconds
    thread_offset_s: Seconds
    #: Of the first thread's gaps; each further thread takes the next number.
    seed: Count
    #: From the mark to the timetable's begin, in which wrk opens its connections.
    lead_s: Seconds
    #: The length of the timetable.
    duration_s: Seconds


class WarmupSpec(Message):
    """The load before the window."""

    duration_s: Seconds
    connections: Count
    threads: Count
    #: None: closed loop.
    timetable: Timetable | None = None


class WrkSpec(Message):
    """One wrk process of the window."""

    threads: Count
    connections: Count
    #: It compares every answer, which costs CPU.
    checks_answers: bool
    #: None: closed loop.
    timetable: Timetable | None = None
    #: With a mix, of each thread: what its order of requests is drawn from; above 0.
    mix_seeds: Annotated[tuple[Count, ...], Limits(0, 1000)] = ()


class LoadSpec(Message):
    """One cell's load on one generator."""

    #: The cell's folder on this host.
    cell: Word
    target: Target
    expect: ExpectedAnswer
    ready_limit_s: Seconds
    attempt_limit_s: Seconds
    #: None: another generator warms the server up.
    warmup: WarmupSpec | None
    settle_limit_s: Seconds
    processes: Annotated[tuple[WrkSpec, ...], Limits(1, 10_000)]
    duration_s: Seconds
    timeout_s: Seconds
    sample_interval_s: Seconds
    #: With several generators all begin at one mark.
    waits_for_mark: bool
    deadline_s: Seconds
    #: The CPUs that the inventory gives this host; empty: systemd decides.
    cpus: Annotated[tuple[Count, ...], Limits(0, 65536)]
    timeout_scale: Seconds
    wrk: Word = "/usr/bin/wrk"
    connection_mode: ConnectionMode = ConnectionMode.KEEP_ALIVE
    #: From the timetable's end to wrk's: answers on their way still count. 0 in a closed loop.
    drain_s: Seconds = 0.0
    #: Instead of the GET of the target's path and its one right answer.
    mix: MixSpec | None = None
    #: wrk's script and the sampler's sources; empty: those next to load_cell.py.
    script: Word = ""
    sources: Word = ""


# --- What was found. Times (`_at_s`) are epoch seconds by the generator's own clock. ---


class PhaseTime(Message):
    """When a phase began and ended; `end_at_s` is None while it goes on."""

    name: LoadPhase
    start_at_s: float
    end_at_s: float | None


class ReadyResult(Message):
    """The first right answer."""

    at_s: float
    attempts: Count
    first_answer_s: Seconds


class SettleResult(Message):
    """After the warm-up: `is_calm` once a GET was answered about as fast as by the idle server."""

    took_s: Seconds
    attempts: Count
    answer_s: Seconds
    is_calm: bool


class VerifyResult(Message):
    """The GET after the window; `found` is empty when the answer was right."""

    kind: AnswerKind
    found: Text
    took_s: Seconds
    #: What the server needs, at the rate of the window, for all that wrk can have left queued. None: wrk had no answer.
    queue_s: Seconds | None = None


class WrkErrors(Message):
    """wrk's errors by kind."""

    connect: Count
    read: Count
    write: Count
    status: Count
    timeout: Count
    body: Count


class WrkLatency(Message):
    """Latencies as wrk computes them; None where it timed no answer."""

    count: Count
    min_us: float | None
    max_us: float | None
    mean_us: float | None
    stdev_us: float | None
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p999_us: float | None


class WrkHistogram(Message):
    """Distinct latencies as differences (the first one from 0), µs, and how often each came."""

    values: tuple[Count, ...]
    counts: tuple[Count, ...]


class SlotCounts(Message):
    """An open loop: what became of the timetables' slots, of all threads of one wrk process."""

    #: In the timetables; in overload not all of them find a free connection.
    scheduled: Count
    #: Taken by a connection, which sent then.
    sent: Count
    #: Of those, taken more than LATE_SLOT_S after their time, or sent a second after it.
    late: Count
    #: By how much the latest was.
    latest_s: Seconds
    #: By quarter of the timetable: slots in it, requests sent, and answers that came.
    quarters_scheduled: Annotated[tuple[Count, ...], Limits(4, 4)]
    quarters_sent: Annotated[tuple[Count, ...], Limits(4, 4)]
    quarters_answered: Annotated[tuple[Count, ...], Limits(4, 4)]
    #: The time that all requests together spent in flight within a quarter.
    quarters_waiting_s: Annotated[tuple[float, ...], Limits(4, 4)]
    #: Connections that the server closed while they waited for their slot; wrk counts each as a read error.
    idle_closed: Count
    #: Connections that were opened because a request was due; wrk counts each as a write error (wrk_connections.lua).
    opened: Count = 0
    #: Requests that wrk sent later than it should have, though its connection was open, or opened well.
    wrk_late: Count = 0


class WrkReport(Message):
    """What wrk_report.lua wrote at the end of one wrk process."""

    duration_us: Count
    requests: Count
    bytes: Count
    threads: Count
    #: By the wall clock; None where no thread noted it.
    started_at: float | None
    errors: WrkErrors
    bodies_checked: bool
    #: Bodies with bytes of a cut-off answer in front: wrk's doing.
    bodies_stale: Count
    latency: WrkLatency
    histogram_source: Word
    histogram: WrkHistogram
    #: None: closed loop.
    slots: SlotCounts | None = None
    #: None: no mix.
    mix: MixReport | None = None


class WrkResult(Message):
    """What one wrk process left."""

    argv: Annotated[tuple[Text, ...], Limits(0, 1000)]
    #: None: it was never collected.
    exit_code: int | None
    report: WrkReport | None
    #: Why there is no report; empty where there is one.
    report_problem: Text
    stdout: Text
    stderr: Text
    cpu_s: Seconds


class WindowTimes(Message):
    """The mark, the first wrk's start and the last one's end."""

    mark_at_s: float
    start_at_s: float
    end_at_s: float


class ConnectionCounts(Message):
    """Connections to the target at one sampling instant."""

    at_s: float
    #: By TCP state: ESTABLISHED, SYN_SENT, ...
    states: Annotated[Mapping[str, Count], Limits(0, 20)]
    #: Being opened again: a first SYN on its way, or ended by the target and not closed here yet.
    reopening_count: Count
    #: Established, with bytes that wrk has not read yet.
    unread_count: Count


class Trickling(Message):
    """Connections to which bytes came in `seen_s` seconds, but less than one answer."""

    count: Count
    seen_s: Seconds


class Silences(Message):
    """Established connections by the tenths of a second since their last byte (or since they were established)."""

    #: From the mark to the count.
    elapsed_s: float
    answered: Annotated[Mapping[int, Count], Limits(0, 100_000)]
    #: Those that never received a byte.
    unanswered: Annotated[Mapping[int, Count], Limits(0, 100_000)]
    trickling: Trickling


class ThreadTime(Message, is_row=True):
    """One thread of wrk: seconds on a CPU, and seconds runnable without one."""

    run_s: Seconds
    wait_s: Seconds


class WrkThreads(Message):
    """All threads of each wrk process from the mark on; a process's first thread only waits."""

    elapsed_s: float
    processes: Annotated[tuple[tuple[ThreadTime, ...], ...], Limits(0, 10_000)]


class Paused(Message):
    """How long wrk was found stopped, and the longest time in which load_cell.py itself did not run."""

    stopped_s: float
    gap_s: float


class LoadFailure(Message):
    """Why the load ended early."""

    phase: LoadPhase
    kind: FailureKind
    text: Text


class LoadResult(Message):
    """One cell on one generator. What a phase found is None where that phase was never reached."""

    cell: Word
    ready: ReadyResult | None
    warmup: WrkResult | None
    settle: SettleResult | None
    window: WindowTimes | None
    wrk: Annotated[tuple[WrkResult, ...], Limits(0, 10_000)]
    #: By how much the wall clock was stepped within the window.
    clock_step_s: float
    open_connections: Annotated[tuple[ConnectionCounts, ...], Limits(0, 1000)]
    silences: Silences | None
    wrk_threads: WrkThreads | None
    paused: Paused | None
    verify_after: VerifyResult | None
    #: The sampler's lines (sampler.py).
    samples: tuple[str, ...]
    phases: Annotated[tuple[PhaseTime, ...], Limits(0, 100)]
    failed: LoadFailure | None


# --- How it is followed ---


class PhaseStarted(Message):
    """A phase began; a watcher need not look again before `expected_end_mono_s` of the host's monotonic clock."""

    phase: LoadPhase
    at_s: float
    expected_end_mono_s: float


class LoadLine(Message):
    """One line of load_ctl.py's: a phase that begins, or last the result."""

    phase: PhaseStarted | None = None
    #: A packed LoadResult.
    packed: Annotated[str, Limits(0, 1 << 28)] | None = None
