"""The waves of a concurrency probe: the client's requests on a generator, and the snapshots on the server host."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from wrklab.protocol.codec import Count, Limits, Message, Port, Seconds, Text, Word
from wrklab.protocol.server import LoggedErrors

_Times = Annotated[tuple[float, ...], Limits(0, 100)]


class RequestState(StrEnum):
    """Where a request is, or how it ended."""

    #: Not sent yet.
    UNSENT = "unsent"
    #: Its SYN is not answered.
    PENDING = "pending"
    #: Connected, without an answer.
    WAITING = "waiting"
    ANSWERED = "answered"
    REFUSED = "refused"
    #: The server closed the connection (FIN) instead of an answer.
    CLOSED = "closed"
    #: The server reset the connection (RST) instead of an answer.
    RESET = "reset"
    #: The kernel stopped sending SYNs.
    TIMED_OUT = "timed_out"
    #: The client ended it: no connection by the release, or no answer by the end of the wave.
    GIVEN_UP = "given_up"
    UNANSWERED = "unanswered"
    #: The generator could not make or keep the connection: no port, no descriptor, no route.
    GENERATOR_FAILED = "generator_failed"


# --- The client (probe_client.py). Times (`_at_s`) are epoch seconds of the generator unless said otherwise. ---


class ReadySpec(Message):
    """Wait for a first answer; with `any_answer` a wrong status will do."""

    host: Word
    port: Port
    path: Word
    limit_s: Seconds
    any_answer: bool


class ReadyAnswer(Message):
    """Whether an answer came; `found` is what the last attempt found instead."""

    is_ready: bool
    found: Text
    attempts: Count


class WaveSpec(Message):
    """N requests on a schedule.

    The first `slow_count` are sent `slow_step_s` apart, the others at the rate, `burst_count` at a time. Request k
    holds until until_at_s + k * until_step_s by the clock of the server host. At `release_at_s` those without a
    connection are given up, and the others waited for, at most `release_limit_s`.
    """

    host: Word
    port: Port
    path: Word
    first_id: Count
    requests_count: Annotated[int, Limits(1, 1_000_000)]
    start_at_s: float
    slow_count: Count
    slow_step_s: Seconds
    rate_per_s: Annotated[float, Limits(0.001, 1e6)]
    burst_count: Annotated[int, Limits(1, 1_000_000)]
    #: By the server host's clock.
    until_at_s: float
    until_step_s: Seconds
    looks_at_s: _Times
    release_at_s: float
    release_limit_s: Seconds


class RequestTimes(Message, is_row=True):
    """One request from its turn in the schedule to its end; None for what did not happen."""

    due_at_s: float
    sent_at_s: float
    connected_at_s: float | None
    answered_at_s: float | None
    status: Count | None
    ended: RequestState
    ended_at_s: float | None


class StateCount(Message):
    """How many requests were in one state: by status where answered, by error where the generator failed."""

    state: RequestState
    status: Count | None
    #: The errno's name: EADDRNOTAVAIL, EMFILE, ...
    error: Word
    count: Count


class ClientLook(Message):
    """All requests at one sampling instant."""

    planned_at_s: float
    at_s: float
    took_s: Seconds
    states: Annotated[tuple[StateCount, ...], Limits(0, 1000)]


class WaveResult(Message):
    """A wave as its client saw it."""

    requests: Annotated[tuple[RequestTimes, ...], Limits(0, 1_000_000)]
    looks: Annotated[tuple[ClientLook, ...], Limits(0, 100)]
    #: The first answer that was not 200.
    error_text: Text


# --- The server host (probe_snapshot.py). Times are epoch seconds of that host. ---


class SettleSpec(Message):
    """Wait until the unit was idle for `quiet_s`, at most `limit_s`."""

    unit: Word
    port: Port
    quiet_s: Seconds
    limit_s: Seconds


class SettleAnswer(Message):
    """Whether it came to that, and how many connections were open at the end."""

    is_quiet: bool
    took_s: Seconds
    open_count: Count


class WatchSpec(Message):
    """A look at once, and one at each of these times."""

    unit: Word
    port: Port
    log: Word
    looks_at_s: _Times


class ListenQueue(Message, is_row=True):
    """A listening socket's connections that wait to be accepted, and its backlog in force."""

    queued_count: Count
    backlog: Count


class DescriptorUse(Message, is_row=True):
    """A process's open descriptors and their limit."""

    pid: Count
    open_count: Count
    limit: Annotated[int, Limits(1)]


class DropCounters(Message):
    """The kernel's counters of dropped connections, of the network namespace; None where the kernel has none such."""

    listen_overflows: Count | None
    listen_drops: Count | None
    requests_dropped: Count | None
    requests_with_cookies: Count | None
    cookies_sent: Count | None


class ServerLook(Message):
    """The server at one sampling instant."""

    planned_at_s: float
    at_s: float
    took_s: Seconds
    log_bytes: Count
    listeners: Annotated[tuple[ListenQueue, ...], Limits(0, 10_000)]
    #: Connections at the port by TCP state.
    states: Annotated[Mapping[str, Count], Limits(0, 20)]
    #: Established, but not accepted yet.
    unaccepted_count: Count
    counters: DropCounters
    cpu_usage_us: Count
    #: How long a task of the unit waited for a CPU; None where the kernel does not report it.
    cpu_pressure_us: Count | None
    pids: Annotated[tuple[Count, ...], Limits(0, 1_000_000)]
    threads_count: Count
    #: Threads by their state in /proc: S, R, T, ...
    task_states: Annotated[Mapping[str, Count], Limits(0, 100)]
    is_frozen: bool
    tasks_limit_hits: Count
    #: The most tasks that the unit may have; None where nothing limits them.
    tasks_limit: Count | None
    descriptors: Annotated[tuple[DescriptorUse, ...], Limits(0, 1_000_000)]

    @property
    def established_count(self) -> int:
        """Connections that a process or the kernel's queue holds.

        A client that has gone leaves CLOSE_WAIT until the process looks; its connection is still held.
        """
        return self.states.get("ESTABLISHED", 0) + self.states.get("CLOSE_WAIT", 0)


class WatchResult(Message):
    """The looks, and how late this host ran the script between them at worst."""

    looks: Annotated[tuple[ServerLook, ...], Limits(1, 101)]
    beat_late_s: Seconds


class NotesSpec(Message):
    """The handlers' notes in a log from an offset on."""

    log: Word
    from_bytes: Count


class LoggedNote(Message, is_row=True):
    """A handler's note, and the offset in the log at which it ends."""

    end_bytes: Count
    words: Word


class NotesResult(Message):
    """The handlers' notes, and what else the log holds."""

    notes: tuple[LoggedNote, ...]
    log_tail: Annotated[tuple[Text, ...], Limits(0, 1000)]
    log_errors: LoggedErrors
