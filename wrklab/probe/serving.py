"""Who serves: a process or thread for each request, a pool, an event loop; whether it is used again; in which order."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Serving:
    """What serves, in a word and in numbers; `reused` is None where nothing served twice over."""

    kind: str
    detail: str
    reused: bool | None


def serving(running: Sequence[Note], first: Sequence[Note], second: Sequence[Note]) -> Serving:
    """From the handlers that ran at the snapshot, and all notes of the first and the second wave."""
    starts = [note for note in first if note.is_start]
    again = [note for note in second if note.is_start]
    if not starts:
        return Serving(NOTHING, "no handler ran", None)
    shares_threads = max(Counter((note.pid, note.native_tid) for note in running).values(), default=0) > 1
    reused = _reused(starts, again, shares_threads=shares_threads)
    if shares_threads or (reused and any(note.runs_on == "loop" for note in starts)):
        number = len({note.pid for note in running or starts})
        return Serving(EVENT_LOOP, "1 loop" if number == 1 else f"{number} processes, a loop each", reused)
    if reused is False:
        is_new_process = not {note.pid for note in again} & {note.pid for note in starts}
        kind = PROCESS_PER_REQUEST if is_new_process else THREAD_PER_REQUEST
        return Serving(kind, "a new one for each request", reused)
    return _pool({note.worker for note in running or starts}, reused)


def _pool(workers: set[tuple[int, int, str]], reused: bool | None) -> Serving:
    if len(workers) == 1:
        return Serving(SINGLE_THREAD, "1 thread in 1 process", reused)
    threads = Counter(pid for pid, _, _ in workers)
    each = "/".join(str(number) for number in sorted(set(threads.values())))
    processes = "1 process" if len(threads) == 1 else f"{len(threads)} processes"
    return Serving(POOL, f"{len(workers)} workers: {processes} of {each} thread{'s' if each != '1' else ''}", reused)


def _reused(starts: Sequence[Note], again: Sequence[Note], *, shares_threads: bool) -> bool | None:
    """Whether what served the first wave serves the second. Without one, whether anything served twice; None: unknown.

    Where handlers share a native thread, that thread is what serves: a thread-local serial is a greenlet's there.
    """

    def identity(note: Note) -> tuple[object, ...]:
        return (note.pid, note.native_tid) if shares_threads else note.worker

    if again:
        known = {identity(note) for note in starts}
        return any(identity(note) in known for note in again)
    return True if len({identity(note) for note in starts}) < len(starts) else None


def displacement_mean(first: Sequence[Note]) -> float | None:
    """Mean distance between the place of arrival and the place of start, over the requests that started."""
    starts = sorted((note for note in first if note.is_start), key=lambda note: note.at_s)
    if not starts:
        return None
    arrival = {note.request_id: place for place, note in enumerate(sorted(starts, key=lambda note: note.request_id))}
    return sum(abs(place - arrival[note.request_id]) for place, note in enumerate(starts)) / len(starts)
