"""One wave of a probe as values: what was planned, and what both hosts saw. Pure: takes what the scripts printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wrklab.errors import ParseError
from wrklab.protocol.blanking import blanked, blanked_lines

_NOTE_WORDS = 6


@dataclass(frozen=True)
class WavePlan:
    """When what happens in a wave. Times are seconds after its start; both hosts' clocks are mapped by the driver."""

    requests_count: int
    #: The first requests come one by one, this far apart; the others at the rate.
    slow_count: int
    slow_step_s: float
    rate_per_s: float
    #: Requests that are sent at one moment (after the slow ones); the rate stays what it is.
    burst_count: int
    #: The two snapshots.
    looks_s: tuple[float, ...]
    #: The one deadline that all handlers hold until.
    until_s: float
    #: Each further request holds so much longer, so that a thousand handlers do not wake at once.
    until_step_s: float
    release_limit_s: float
    first_id: int = 0

    def arrival_s(self, number: int) -> float:
        """When request `number` (from 0) is sent (node/probe_client.py computes the same)."""
        slow = min(number, self.slow_count)
        behind = (number - slow) // self.burst_count * self.burst_count
        return slow * self.slow_step_s + behind / self.rate_per_s

    @property
    def last_release_s(self) -> float:
        """When the last handler is released."""
        return self.until_s + self.until_step_s * self.requests_count


@dataclass(frozen=True)
class Note:
    """A handler's note of its start (S) or finish (F)."""

    is_start: bool
    request_id: int
    pid: int
    native_tid: int
    serial: str
    at_s: float
    #: What the handler says it runs on: `thread`, or `loop` (an event loop); empty where it does not say.
    runs_on: str
    #: Where the note ends in the log.
    log_offset: int

    @property
    def worker(self) -> tuple[int, int, str]:
        """The thread that ran it; the serial tells it from a later thread of the same number."""
        return (self.pid, self.native_tid, self.serial)


@dataclass(frozen=True)
class Look:
    """The server at one moment (node/probe_snapshot.py says what each is)."""

    planned_at_s: float
    at_s: float
    took_s: float
    log_bytes: int
    #: (waiting in the kernel, backlog in force) of each listening socket.
    listeners: tuple[tuple[int, int], ...]
    established_count: int
    unaccepted_count: int
    listen_overflows: int
    listen_drops: int
    cpu_usage_us: int
    cpu_pressure_us: int | None
    pids: frozenset[int]
    threads_count: int
    task_states: Mapping[str, int]
    is_frozen: bool
    tasks_limit_hits: int
    #: The most tasks that the unit may have; None where nothing limits them.
    tasks_limit: int | None
    #: (pid, open, limit)
    descriptors: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class ClientRequest:
    """One request as its client saw it; epoch seconds of the generator."""

    due_at_s: float
    sent_at_s: float
    connected_at_s: float | None
    answered_at_s: float | None
    status: int | None
    ended: str
    ended_at_s: float | None


@dataclass(frozen=True)
class ClientLook:
    """How many requests were in which state at one moment: pending, waiting, answered_200, refused, closed, reset, …"""

    planned_at_s: float
    at_s: float
    states: Mapping[str, int]


@dataclass(frozen=True)
class Wave:
    """A wave that has happened. `looks`: one before the first arrival, then as planned."""

    plan: WavePlan
    #: The wave's start by the clock of each host, epoch seconds.
    server_start_s: float
    client_start_s: float
    requests: tuple[ClientRequest, ...]
    client_looks: tuple[ClientLook, ...]
    looks: tuple[Look, ...]
    notes: tuple[Note, ...]
    #: How late the snapshots' process was run at worst between its looks.
    beat_late_s: float
    #: The first answer that was not 200, whole.
    error_answer: str
    log_tail: tuple[str, ...]
    #: (text, how often), the most frequent first.
    log_errors: tuple[tuple[str, int], ...] = ()


def parse_wave(raw: Mapping[str, Any]) -> Wave:
    """A wave from {"plan","server_start_s","client_start_s","client","server","notes"}. Raises ParseError."""
    try:
        plan = WavePlan(**{**raw["plan"], "looks_s": tuple(raw["plan"]["looks_s"])})
        client, server, log = raw["client"], raw["server"], raw["notes"]
        ids = range(plan.first_id, plan.first_id + plan.requests_count)
        return Wave(
            plan=plan,
            server_start_s=float(raw["server_start_s"]),
            client_start_s=float(raw["client_start_s"]),
            requests=tuple(ClientRequest(*row) for row in client["requests"]),
            client_looks=tuple(
                ClientLook(found["planned_at"], found["at"], Counter(found["states"])) for found in client["looks"]
            ),
            looks=tuple(_look(found) for found in server["looks"]),
            notes=tuple(note for note in parse_notes(log["notes"]) if note.request_id in ids),
            beat_late_s=float(server["beat_late_s"]),
            error_answer=blanked(str(client["error_text"])),
            log_tail=blanked_lines(log["log_tail"]),
            log_errors=tuple((str(error["text"]), int(error["count"])) for error in log.get("log_errors", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"the probe's scripts answered in another shape than expected: {error!r}") from error


def _look(found: Mapping[str, Any]) -> Look:
    states = found["states"]
    return Look(
        planned_at_s=found["planned_at"],
        at_s=found["at"],
        took_s=found["took_s"],
        log_bytes=found["log_bytes"],
        listeners=tuple((queued, backlog) for queued, backlog in found["listeners"]),
        # A client that has gone leaves CLOSE_WAIT until the process looks; its connection is still held.
        established_count=states.get("ESTABLISHED", 0) + states.get("CLOSE_WAIT", 0),
        unaccepted_count=found["unaccepted"],
        listen_overflows=found["counters"].get("ListenOverflows", 0),
        listen_drops=found["counters"].get("ListenDrops", 0),
        cpu_usage_us=found["usage_us"],
        cpu_pressure_us=found["pressure_us"],
        pids=frozenset(found["pids"]),
        threads_count=found["threads"],
        task_states=dict(found["task_states"]),
        is_frozen=found["frozen"],
        tasks_limit_hits=found["tasks_limit_hits"],
        tasks_limit=found.get("tasks_limit"),
        descriptors=tuple((pid, used, limit) for pid, used, limit in found["descriptors"]),
    )


def parse_notes(lines: Sequence[Sequence[Any]]) -> list[Note]:
    """Handlers' notes: `S id pid native_tid serial epoch_s [runs_on]`. Raises ParseError for one that is none."""
    notes = []
    for end, text in lines:
        try:
            notes.append(_note(str(text).split(), int(end)))
        except (ValueError, IndexError, KeyError) as error:
            raise ParseError(f"a handler's note that is none: {text!r}; docs/probe.md has its format") from error
    return notes


def _note(words: Sequence[str], end: int) -> Note:
    return Note(
        is_start={"S": True, "F": False}[words[0]],
        request_id=int(words[1]),
        pid=int(words[2]),
        native_tid=int(words[3]),
        serial=words[4],
        at_s=float(words[5]),
        runs_on=words[_NOTE_WORDS] if len(words) > _NOTE_WORDS else "",
        log_offset=end,
    )
