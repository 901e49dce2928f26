"""What a wave shows: counts at a snapshot, the figures of the probe, who serves, and why not to believe it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from wrklab.probe.wave import Note, RunsOn, Wave
from wrklab.protocol.probe import RequestState, ServerLook, StateCount
from wrklab.results.probe_record import CapacityLimit, KernelQueue, OverflowCount, OverflowKind, ServingKind

#: How late an arrival or a snapshot may be.
LATE_LIMIT_S = 0.25
#: From the last arrival to the first snapshot, and between the two, at least.
SETTLE_MIN_S = 0.2
BETWEEN_LOOKS_MIN_S = 0.5
#: Of the time between the snapshots: how long the variant may have waited for a CPU.
_STARVED_RATIO = 0.4
#: A connection may just have been made when the two hosts look.
_LOST_MIN = 1
#: What takes two threads a request (Flask's async views) fails with one task left.
_TASKS_A_REQUEST_MAX = 2

#: Of the requests beyond: at a limit of descriptors a few in a thousand fail instead of waiting, or none, by chance.
OVERFLOW_SHARE_RATIO = 0.01
#: So many requests must have started after others had finished before it is said that nothing is used again.
_LATER_MIN = 20
_SERVER_ERROR_STATUS = 500

#: Ends of requests that are the server's doing. End of file and reset are one: their split is chance.
_OVERFLOW_KINDS = {
    RequestState.PENDING: OverflowKind.SYN_PENDING,
    RequestState.REFUSED: OverflowKind.REFUSED,
    RequestState.CLOSED: OverflowKind.CLOSED,
    RequestState.RESET: OverflowKind.CLOSED,
}


@dataclass(frozen=True)
class Counts:
    """The server at one snapshot."""

    in_flight: int
    established: int
    queued_kernel: int
    #: The sum over the listening sockets; usually there is one.
    backlog: int
    is_queue_full: bool
    processes: int
    threads: int

    @property
    def queued_process(self) -> int:
        """Accepted, and not handed to a handler."""
        return self.established - self.queued_kernel - self.in_flight


@dataclass(frozen=True)
class Figures:
    """The figures of one wave that is not void."""

    requests_count: int
    counts: Counts
    kernel_queue: KernelQueue
    capacity_limited_by: CapacityLimit
    overflow: tuple[OverflowCount, ...]
    #: Open descriptors and their limit, of the process that is nearest to it; None where that is not known.
    descriptors: tuple[int, int] | None
    #: Every process that serves handles as many as each other.
    is_even: bool = True
    #: Processes of the unit in which no handler runs.
    idle_processes: int = 0


def running(wave: Wave, look: ServerLook) -> list[Note]:
    """The starts of the handlers that ran at a look: noted as started by then, not as finished, their process alive."""
    noted = [note for note in wave.notes if note.end_bytes <= look.log_bytes]
    finished = {(note.request_id, note.pid) for note in noted if not note.is_start}
    return [
        note
        for note in noted
        if note.is_start and (note.request_id, note.pid) not in finished and note.pid in look.pids
    ]


def count(wave: Wave, look: ServerLook) -> Counts:
    """What a look shows of the server."""
    return Counts(
        in_flight=len(running(wave, look)),
        established=look.established_count,
        queued_kernel=sum(queue.queued_count for queue in look.listeners),
        backlog=sum(queue.backlog for queue in look.listeners),
        # Linux admits one more than the backlog.
        is_queue_full=bool(look.listeners) and all(queue.queued_count > queue.backlog for queue in look.listeners),
        processes=len(look.pids),
        threads=look.threads_count,
    )


def figures(wave: Wave) -> Figures:
    """The figures at the last snapshot."""
    look = wave.looks[-1]
    counts, by_process = count(wave, look), Counter(note.pid for note in running(wave, look))
    return Figures(
        requests_count=wave.plan.requests_count,
        counts=counts,
        kernel_queue=_kernel_queue(wave, counts),
        capacity_limited_by=_limited_by(wave, counts),
        overflow=overflow(wave),
        descriptors=_descriptors(look),
        is_even=len(set(by_process.values())) <= 1,
        idle_processes=len(look.pids) - len(by_process),
    )


def overflow(wave: Wave) -> tuple[OverflowCount, ...]:
    """The state at the last snapshot of each request that is neither handled nor queued on the server."""
    found: Counter[tuple[OverflowKind, int | None]] = Counter()
    waiting_count = 0
    for each in wave.client_looks[-1].states:
        if each.state is RequestState.WAITING:
            waiting_count += each.count
        elif each.state is RequestState.ANSWERED and (each.status or 0) >= _SERVER_ERROR_STATUS:
            found[OverflowKind.SERVER_ERROR, None] += each.count
        elif each.state is RequestState.ANSWERED:
            found[OverflowKind.ANSWERED, each.status] += each.count
        elif each.state in _OVERFLOW_KINDS:
            found[_OVERFLOW_KINDS[each.state], None] += each.count
    # In a burst a client may take itself for connected while the server has dropped its last ACK.
    found[OverflowKind.SYN_PENDING, None] += max(0, waiting_count - wave.looks[-1].established_count)
    ordered = sorted((key for key, count in found.items() if count), key=lambda key: (-found[key], key[0], key[1] or 0))
    return tuple(OverflowCount(kind=kind, status=status, count=found[kind, status]) for kind, status in ordered)


def overflow_kinds(found: Sequence[OverflowCount]) -> tuple[OverflowKind, ...]:
    """Each kind once, the most frequent first. What hardly any request met is left to the counts."""
    counts: Counter[OverflowKind] = Counter()
    for each in found:
        counts[each.kind] += each.count
    least = OVERFLOW_SHARE_RATIO * counts.total()
    return tuple(sorted((kind for kind in counts if counts[kind] >= least), key=lambda kind: (-counts[kind], kind)))


def _kernel_queue(wave: Wave, counts: Counts) -> KernelQueue:
    if counts.queued_kernel == 0:
        return KernelQueue.EMPTY
    before, after = (look.counters.listen_overflows for look in (wave.looks[0], wave.looks[-1]))
    rose = before is not None and after is not None and after > before
    return KernelQueue.FULL if counts.is_queue_full and rose else KernelQueue.AT_LEAST


def _limited_by(wave: Wave, counts: Counts) -> CapacityLimit:
    look = wave.looks[-1]
    if counts.in_flight == wave.plan.requests_count:
        return CapacityLimit.NO_LIMIT
    if counts.queued_process <= 0 and _is_a_table_full(look):
        return CapacityLimit.DESCRIPTORS
    if look.tasks_limit_hits > wave.looks[0].tasks_limit_hits or (counts.queued_process <= 0 and _has_no_task(look)):
        return CapacityLimit.TASKS
    if counts.in_flight == 0 and any(each.kind is OverflowKind.SERVER_ERROR for each in overflow(wave)):
        return CapacityLimit.FAILS
    return CapacityLimit.OWN


def _is_a_table_full(look: ServerLook) -> bool:
    """Whether a process has as many descriptors open as it may."""
    return any(use.open_count >= use.limit for use in look.descriptors)


def _has_no_task(look: ServerLook) -> bool:
    """Whether the unit has as many tasks as it may. The kernel counts no event where it is the user's own limit."""
    return look.tasks_limit is not None and look.threads_count > look.tasks_limit - _TASKS_A_REQUEST_MAX


def _descriptors(look: ServerLook) -> tuple[int, int] | None:
    """Of the process that is nearest to its limit."""
    if not look.descriptors:
        return None
    use = max(look.descriptors, key=lambda each: each.open_count / each.limit)
    return use.open_count, use.limit


def void_reasons(wave: Wave) -> list[str]:
    """Why this wave must not be reported; empty where it may."""
    reasons = [*_generators_doing(wave), *_late(wave), *_changing(wave), *_starved(wave)]
    if not reasons:
        reasons = _lost(wave)
    return reasons


def _generators_doing(wave: Wave) -> list[str]:
    """Requests that the generator itself could not make or keep (no port, no descriptor): not the server's doing."""
    states = wave.client_looks[-1].states if wave.client_looks else ()
    mine = [each for each in states if not _is_servers_doing(each)]
    return sorted(f"the generator failed with {each.count} requests: {each.error or each.state}" for each in mine)


def _is_servers_doing(each: StateCount) -> bool:
    """Whether what became of requests, or keeps them waiting, is on the server's side."""
    return each.state in (RequestState.WAITING, RequestState.ANSWERED) or each.state in _OVERFLOW_KINDS


def _late(wave: Wave) -> list[str]:
    late_s, number = max((request.sent_at_s - request.due_at_s, k) for k, request in enumerate(wave.requests))
    reasons = []
    if late_s > LATE_LIMIT_S:
        reasons.append(f"arrivals fell behind schedule: request {number} was sent {late_s:.2f} s late")
    for side, looks in (("server", wave.looks[1:]), ("generator", wave.client_looks)):
        if len(looks) != len(wave.plan.looks_s):
            reasons.append(f"the {side} looked {len(looks)} times instead of {len(wave.plan.looks_s)}")
            continue
        late_s = max((look.at_s - look.planned_at_s for look in looks), default=0.0)
        if late_s > LATE_LIMIT_S:
            reasons.append(f"a snapshot on the {side} was {late_s:.2f} s late")
    if wave.beat_late_s > LATE_LIMIT_S:
        reasons.append(f"the server host did not run the snapshots' script for {wave.beat_late_s:.2f} s")
    last = wave.looks[-1]
    if last.at_s + last.took_s >= wave.server_start_s + wave.plan.until_s:
        reasons.append("the last snapshot came after the deadline")
    return reasons


def _changing(wave: Wave) -> list[str]:
    """The two snapshots must agree, and must show a server that is there."""
    if len(wave.looks) < 3:  # noqa: PLR2004  one before, two snapshots
        return ["there are not two snapshots"]
    first, second = wave.looks[-2:]
    if not second.pids or not second.listeners:
        return ["the server was gone at the snapshot"]
    if second.at_s - first.at_s < BETWEEN_LOOKS_MIN_S:
        return [f"the snapshots are {second.at_s - first.at_s:.2f} s apart"]
    before, after = count(wave, first), count(wave, second)
    reasons = [
        f"{name} changed between the snapshots: {getattr(before, attribute)}, then {getattr(after, attribute)}"
        for attribute, name in (
            ("in_flight", "handlers running"),
            ("established", "connections"),
            ("queued_kernel", "the kernel's queue"),
        )
        if getattr(before, attribute) != getattr(after, attribute)
    ]
    if after.queued_process < 0:
        reasons.append(f"{after.in_flight} handlers ran on {after.established - after.queued_kernel} connections")
    return reasons


def _starved(wave: Wave) -> list[str]:
    if len(wave.looks) < 3:  # noqa: PLR2004  one before, two snapshots
        return []
    first, second = wave.looks[-2:]
    stopped = second.task_states.get("T", 0) + second.task_states.get("t", 0)
    if second.is_frozen or stopped:
        return ["the server was stopped (frozen)" if second.is_frozen else f"{stopped} of the server's threads stopped"]
    # A server whose descriptors are all taken may spin on accept(): that one waits for a CPU whenever another works.
    if _is_a_table_full(second) or first.cpu_pressure_us is None or second.cpu_pressure_us is None:
        return []
    ratio = (second.cpu_pressure_us - first.cpu_pressure_us) / 1e6 / max(0.001, second.at_s - first.at_s)
    if ratio > _STARVED_RATIO:
        return [f"the server waited for a CPU {ratio:.0%} of the time between the snapshots"]
    return []


def _lost(wave: Wave) -> list[str]:
    """Requests that are neither on the server nor explained by a full queue."""
    counts = count(wave, wave.looks[-1])
    found = overflow(wave)
    pending = sum(each.count for each in found if each.kind is OverflowKind.SYN_PENDING)
    if pending >= _LOST_MIN and _kernel_queue(wave, counts) is not KernelQueue.FULL:
        held = f"{counts.queued_kernel} of {counts.backlog} + 1"
        cause = "arrivals were too fast for the server, or packets were lost"
        return [f"{pending} connections pending although the kernel's queue holds {held}: {cause}"]
    known = counts.established + sum(each.count for each in found)
    if known != wave.plan.requests_count:
        return [f"{wave.plan.requests_count} requests sent, {known} of them found again on both hosts"]
    return []


@dataclass(frozen=True)
class Serving:
    """What runs the handlers; `reused` is None where that cannot be known."""

    kind: ServingKind
    reused: bool | None
    #: Processes that ran handlers, and how many threads did so in each.
    processes_count: int
    threads_each: tuple[int, ...]


def serving(wave: Wave, second: Sequence[Note] = ()) -> Serving:
    """Who served a wave: from the handlers that ran at the last snapshot, its notes, and those of a second wave."""
    look = wave.looks[-1]
    is_bounded = _limited_by(wave, count(wave, look)) is CapacityLimit.OWN
    spare_threads = look.threads_count > len(look.pids)
    return serving_of(running(wave, look), wave.notes, second, is_bounded=is_bounded, has_spare_threads=spare_threads)


def serving_of(
    running: Sequence[Note],
    first: Sequence[Note],
    second: Sequence[Note],
    *,
    is_bounded: bool = True,
    has_spare_threads: bool = False,
) -> Serving:
    """From the handlers that ran at the snapshot, and all notes of the first and the second wave.

    `is_bounded`: the server itself limits how many it handles at once. `has_spare_threads`: its unit has more threads
    than processes.
    """
    starts = [note for note in first if note.is_start]
    again = [note for note in second if note.is_start]
    if not starts:
        return Serving(ServingKind.NOTHING, None, 0, ())
    by_thread = Counter((note.pid, note.native_tid) for note in running)
    shares_threads = max(by_thread.values(), default=0) > 1
    reused = _reused(first, again, shares_threads=shares_threads)
    shown = running or starts
    processes_count, threads_each = _shape(shown, by_worker=not shares_threads)
    if shares_threads or (reused and any(note.runs_on is RunsOn.LOOP for note in starts)):
        kind = _sharing_kind(shown, has_spare_threads=has_spare_threads)
    # Threads that grow with the connections until something else ends them are no pool, seen to be used again or not.
    elif reused is False or (reused is None and not is_bounded):
        is_a_process = len({note.pid for note in (*starts, *again)}) == len(starts) + len(again)
        kind = ServingKind.PROCESS_PER_REQUEST if is_a_process else ServingKind.THREAD_PER_REQUEST
    elif len({note.worker for note in shown}) == 1:
        kind = ServingKind.SINGLE_THREAD
    else:
        kind = ServingKind.POOL if reused else ServingKind.THREADS
    return Serving(kind, reused, processes_count, threads_each)


def _sharing_kind(notes: Sequence[Note], *, has_spare_threads: bool) -> ServingKind:
    """What runs several handlers at once on a thread: a loop on the only one of its process, or a scheduler over many.

    A language whose handlers do not know their thread (Go, Lua) is judged by the threads that its processes have.
    """
    threads_each = _shape(notes, by_worker=False)[1]
    several = max(threads_each) > 1 if threads_each else has_spare_threads
    return ServingKind.RUNTIME_SCHEDULER if several else ServingKind.EVENT_LOOP


def _shape(notes: Sequence[Note], *, by_worker: bool) -> tuple[int, tuple[int, ...]]:
    """How many processes, and each number of threads that one of them has; none where handlers do not know theirs.

    Where handlers share a native thread, that thread is what serves: a thread-local serial is a greenlet's there.
    """
    threads = Counter(pid for pid, *_ in {note.worker if by_worker else (note.pid, note.native_tid) for note in notes})
    are_known = all(note.knows_thread for note in notes)
    return len(threads), tuple(sorted(set(threads.values()))) if are_known else ()


def _reused(notes: Sequence[Note], again: Sequence[Note], *, shares_threads: bool) -> bool | None:
    """Whether anything serves twice, within the first wave or over both. None: it cannot be known.

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
