"""Who serves: a process or thread for each request, a pool, an event loop; whether it is used again; in which order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from wrklab.probe.wave import Note

PROCESS_PER_REQUEST = "process per request"
THREAD_PER_REQUEST = "thread per request"
POOL = "pool"
EVENT_LOOP = "event loop"
SINGLE_THREAD = "single thread"
NOTHING = "nothing"
#: What serves is known, but not whether it is used again.
THREADS = "threads"

#: So many requests must have started after others had finished before it is said that nothing is used again.
_LATER_MIN = 20


@dataclass(frozen=True)
class Serving:
    """What serves, in a word and in numbers; `reused` is None where nothing served twice over."""

    kind: str
    detail: str
    reused: bool | None


def serving(
    running: Sequence[Note], first: Sequence[Note], second: Sequence[Note], *, is_bounded: bool = True
) -> Serving:
    """From the handlers that ran at the snapshot, and all notes of the first and the second wave.

    `is_bounded`: the server itself limits how many it handles at once.
    """
    starts = [note for note in first if note.is_start]
    again = [note for note in second if note.is_start]
    if not starts:
        return Serving(NOTHING, "no handler ran", None)
    shares_threads = max(Counter((note.pid, note.native_tid) for note in running).values(), default=0) > 1
    reused = _reused(first, again, shares_threads=shares_threads)
    if shares_threads or (reused and any(note.runs_on == "loop" for note in starts)):
        number = len({note.pid for note in running or starts})
        return Serving(EVENT_LOOP, "1 loop" if number == 1 else f"{number} processes, a loop each", reused)
    # Threads that grow with the connections until something else ends them are no pool, seen to be used again or not.
    if reused is False or (reused is None and not is_bounded):
        is_a_process = len({note.pid for note in (*starts, *again)}) == len(starts) + len(again)
        kind = PROCESS_PER_REQUEST if is_a_process else THREAD_PER_REQUEST
        return Serving(kind, "a new one for each request", reused)
    return _pool({note.worker for note in running or starts}, reused)


def _pool(workers: set[tuple[int, int, str]], reused: bool | None) -> Serving:
    if len(workers) == 1:
        return Serving(SINGLE_THREAD, "1 thread in 1 process", reused)
    threads = Counter(pid for pid, _, _ in workers)
    each = "/".join(str(number) for number in sorted(set(threads.values())))
    processes = "1 process" if len(threads) == 1 else f"{len(threads)} processes"
    kind = POOL if reused else THREADS
    return Serving(kind, f"{len(workers)} workers: {processes} of {each} thread{'s' if each != '1' else ''}", reused)


def _reused(notes: Sequence[Note], again: Sequence[Note], *, shares_threads: bool) -> bool | None:
    """Whether anything serves twice, within the first wave or over both. None: it cannot be told.

    A pool that is not full yet may meet a second wave with new threads; a thread for each request never serves twice.
    Without a second wave nothing is used again if new ones served what came after others had finished.
    Where handlers share a native thread, that thread is what serves: a thread-local serial is a greenlet's there.
    """

    def identity(note: Note) -> tuple[object, ...]:
        return (note.pid, note.native_tid) if shares_threads else note.worker

    starts = [note for note in notes if note.is_start]
    known = {identity(note) for note in starts}
    if len(known) < len(starts) or any(identity(note) in known for note in again):
        return True
    if again:
        return False
    first_finish_s = min((note.at_s for note in notes if not note.is_start), default=math.inf)
    later = sum(note.at_s > first_finish_s for note in starts)
    return False if later >= _LATER_MIN else None


def displacement_mean(first: Sequence[Note]) -> float | None:
    """Mean distance between the place of arrival and the place of start, over the requests that started."""
    starts = sorted((note for note in first if note.is_start), key=lambda note: note.at_s)
    if not starts:
        return None
    arrival = {note.request_id: place for place, note in enumerate(sorted(starts, key=lambda note: note.request_id))}
    return sum(abs(place - arrival[note.request_id]) for place, note in enumerate(starts)) / len(starts)
