"""One wave of a probe as values: what was planned, and what both hosts saw. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wrklab.errors import ParseError
from wrklab.protocol.blanking import blanked, blanked_lines
from wrklab.protocol.codec import Json, Message, ProtocolError, decode
from wrklab.protocol.probe import (
    ClientLook,
    LoggedNote,
    NotesResult,
    RequestTimes,
    ServerLook,
    WatchResult,
    WaveResult,
)

_WORDS_COUNT = 6


class WavePlan(Message):
    """When what happens in a wave. Times are seconds after its start; the driver maps them to both hosts' clocks."""

    requests_count: int
    #: The first requests come one by one, this far apart; the others at the rate.
    slow_count: int
    slow_step_s: float
    rate_per_s: float
    #: Requests that are sent at once (after the slow ones); the rate stays what it is.
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


class WaveRaw(Message):
    """A wave as the hosts' scripts reported it; stored with the probe."""

    plan: WavePlan
    #: The wave's start by the clock of each host, epoch seconds.
    server_start_s: float
    client_start_s: float
    client: WaveResult
    server: WatchResult
    notes: NotesResult


class RunsOn(StrEnum):
    """What a handler says that it runs on."""

    THREAD = "thread"
    LOOP = "loop"
    UNSAID = ""


@dataclass(frozen=True)
class Note:
    """A handler's note of its start (S) or finish (F)."""

    is_start: bool
    request_id: int
    pid: int
    #: 0, with the serial 0, where the language has no such number.
    native_tid: int
    serial: str
    at_s: float
    runs_on: RunsOn
    #: Where the note ends in the log.
    end_bytes: int

    @property
    def worker(self) -> tuple[int, int, str]:
        """The thread that ran it; the serial distinguishes it from a later thread of the same number."""
        return (self.pid, self.native_tid, self.serial)

    @property
    def knows_thread(self) -> bool:
        """Whether its handler could say on which thread it runs."""
        return (self.native_tid, self.serial) != (0, "0")


@dataclass(frozen=True)
class Wave:
    """A wave that has happened. `looks`: one before the first arrival, then as planned."""

    plan: WavePlan
    server_start_s: float
    requests: tuple[RequestTimes, ...]
    client_looks: tuple[ClientLook, ...]
    looks: tuple[ServerLook, ...]
    notes: tuple[Note, ...]
    #: How late the snapshots' process was run at worst between its looks.
    beat_late_s: float
    #: The first answer that was not 200, with its head.
    error_answer: str
    log_tail: tuple[str, ...]
    #: (text, how often), the most frequent first.
    log_errors: tuple[tuple[str, int], ...] = ()


def decode_wave(value: Json) -> Wave:
    """A wave from a stored WaveRaw. Raises ParseError."""
    try:
        return read_wave(decode(WaveRaw, value))
    except ProtocolError as error:
        raise ParseError(f"a stored wave of a probe: {error}") from error


def read_wave(raw: WaveRaw) -> Wave:
    """A wave from what the scripts reported. Raises ParseError for a handler's note that is none."""
    plan, client, server, log = raw.plan, raw.client, raw.server, raw.notes
    ids = range(plan.first_id, plan.first_id + plan.requests_count)
    return Wave(
        plan=plan,
        server_start_s=raw.server_start_s,
        requests=client.requests,
        client_looks=client.looks,
        looks=server.looks,
        notes=tuple(note for note in read_notes(log.notes) if note.request_id in ids),
        beat_late_s=server.beat_late_s,
        error_answer=blanked(client.error_text),
        log_tail=blanked_lines(log.log_tail),
        log_errors=tuple((error.text, error.count) for error in log.log_errors.errors),
    )


def read_notes(lines: Iterable[LoggedNote]) -> list[Note]:
    """Handlers' notes: `S id pid native_tid serial epoch_s [runs_on]`. Raises ParseError for one that is none."""
    notes = []
    for line in lines:
        try:
            notes.append(_note(line.words.split(), line.end_bytes))
        except (ValueError, IndexError, KeyError) as error:
            raise ParseError(f"a handler's note that is none: {line.words!r}; docs/probe.md has its format") from error
    return notes


def _note(words: Sequence[str], end_bytes: int) -> Note:
    return Note(
        is_start={"S": True, "F": False}[words[0]],
        request_id=int(words[1]),
        pid=int(words[2]),
        native_tid=int(words[3]),
        serial=words[4],
        at_s=float(words[5]),
        runs_on=RunsOn(words[_WORDS_COUNT]) if len(words) > _WORDS_COUNT else RunsOn.UNSAID,
        end_bytes=end_bytes,
    )
