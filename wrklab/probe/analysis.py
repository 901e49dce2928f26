"""What a wave shows: counts at a snapshot, the figures of the probe, and every reason not to believe them. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from wrklab.probe.wave import Look, Note, Wave

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

OWN_LIMIT, FAILS = "the server's own limit", "fails"

#: Of the requests beyond: at a limit of descriptors a few in a thousand fail instead of waiting, or none, by chance.
OVERFLOW_SHARE_RATIO = 0.01

KernelQueue = Literal["empty", "at least", "full"]

SYN_PENDING, REFUSED, CLOSED, SERVER_ERROR, NONE_SEEN = "SYN pending", "refused", "closed", "5xx", "none seen"
#: The client's words for a request's end -> the report's. End of file and reset are one: their split is chance.
_OVERFLOW_WORDS = {"pending": SYN_PENDING, "refused": REFUSED, "closed": CLOSED, "reset": CLOSED}
_WAITING, _ANSWERED = "waiting", "answered_"


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
    capacity_limited_by: str
    #: Each kind of overflow and how many requests met it.
    overflow: dict[str, int]
    descriptors: str
    #: Every process that serves handles as many as each other.
    is_even: bool = True
    #: Processes of the unit in which no handler runs.
    idle_processes: int = 0


def running(wave: Wave, look: Look) -> list[Note]:
    """The starts of the handlers that ran at a look: noted as started by then, not as finished, their process alive."""
    noted = [note for note in wave.notes if note.log_offset <= look.log_bytes]
    finished = {(note.request_id, note.pid) for note in noted if not note.is_start}
    return [
        note
        for note in noted
        if note.is_start and (note.request_id, note.pid) not in finished and note.pid in look.pids
    ]


def count(wave: Wave, look: Look) -> Counts:
    """What a look shows of the server."""
    return Counts(
        in_flight=len(running(wave, look)),
        established=look.established_count,
        queued_kernel=sum(queued for queued, _ in look.listeners),
        backlog=sum(backlog for _, backlog in look.listeners),
        # Linux admits one more than the backlog.
        is_queue_full=bool(look.listeners) and all(queued > backlog for queued, backlog in look.listeners),
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


def overflow(wave: Wave) -> dict[str, int]:
    """The state at the last snapshot of each request that is neither handled nor queued on the server."""
    states = wave.client_looks[-1].states
    found: Counter[str] = Counter()
    for state, number in states.items():
        if state.startswith(_ANSWERED):
            status = int(state.removeprefix(_ANSWERED))
            found[SERVER_ERROR if status >= 500 else f"answered {status}"] += number  # noqa: PLR2004  5xx
        elif state != _WAITING:
            found[_OVERFLOW_WORDS.get(state, state)] += number
    # In a burst a client may take itself for connected while the server has dropped its last ACK.
    found[SYN_PENDING] += max(0, states.get(_WAITING, 0) - wave.looks[-1].established_count)
    return {kind: number for kind, number in sorted(found.items()) if number}


def overflow_text(found: dict[str, int]) -> str:
    """`SYN pending`; several kinds by their number; `none seen`. What befell hardly any is left to the counts."""
    least = OVERFLOW_SHARE_RATIO * sum(found.values())
    kinds = [kind for kind, number in found.items() if number >= least]
    return ", ".join(sorted(kinds, key=lambda kind: (-found[kind], kind))) or NONE_SEEN


def _kernel_queue(wave: Wave, counts: Counts) -> KernelQueue:
    if counts.queued_kernel == 0:
        return "empty"
    rose = wave.looks[-1].listen_overflows > wave.looks[0].listen_overflows
    return "full" if counts.is_queue_full and rose else "at least"


def _limited_by(wave: Wave, counts: Counts) -> str:
    look = wave.looks[-1]
    if counts.in_flight == wave.plan.requests_count:
        return f"no limit up to {wave.plan.requests_count}"
    if counts.queued_process <= 0 and any(used >= limit for _, used, limit in look.descriptors):
        return "descriptor-limited"
    if look.tasks_limit_hits > wave.looks[0].tasks_limit_hits or (counts.queued_process <= 0 and _has_no_task(look)):
        return "task-limited"
    if counts.in_flight == 0 and overflow(wave).get(SERVER_ERROR):
        return FAILS
    return OWN_LIMIT


def _has_no_task(look: Look) -> bool:
    """Whether the unit has as many tasks as it may. The kernel counts no event where it is the user's own limit."""
    return look.tasks_limit is not None and look.threads_count > look.tasks_limit - _TASKS_A_REQUEST_MAX


def _descriptors(look: Look) -> str:
    """The process that is nearest to its limit: `1019 of 20000`."""
    if not look.descriptors:
        return ""
    _, used, limit = max(look.descriptors, key=lambda found: found[1] / found[2])
    return f"{used} of {limit}"


def void_reasons(wave: Wave) -> list[str]:
    """Why this wave must not be reported; empty where it may."""
    reasons = [*_generators_own(wave), *_late(wave), *_changing(wave), *_starved(wave)]
    if not reasons:
        reasons = _lost(wave)
    return reasons


def _generators_own(wave: Wave) -> list[str]:
    """Requests that the generator itself could not make or keep (no port, no descriptor): no server's doing."""
    states = wave.client_looks[-1].states if wave.client_looks else {}
    return [
        f"the generator failed with {number} requests: {state}"
        for state, number in sorted(states.items())
        if number and state != _WAITING and state not in _OVERFLOW_WORDS and not state.startswith(_ANSWERED)
    ]


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
        reasons.append(f"the server host ran nothing of ours for {wave.beat_late_s:.2f} s")
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
    is_spinning = any(used >= limit for _, used, limit in second.descriptors)
    if is_spinning or first.cpu_pressure_us is None or second.cpu_pressure_us is None:
        return []
    ratio = (second.cpu_pressure_us - first.cpu_pressure_us) / 1e6 / max(0.001, second.at_s - first.at_s)
    if ratio > _STARVED_RATIO:
        return [f"the server waited for a CPU {ratio:.0%} of the time between the snapshots"]
    return []


def _lost(wave: Wave) -> list[str]:
    """Requests that are neither on the server nor explained by a full queue."""
    counts = count(wave, wave.looks[-1])
    found = overflow(wave)
    pending = found.get(SYN_PENDING, 0)
    if pending >= _LOST_MIN and _kernel_queue(wave, counts) != "full":
        held = f"{counts.queued_kernel} of {counts.backlog} + 1"
        cause = "arrivals were too fast for the server, or packets were lost"
        return [f"{pending} connections pending although the kernel's queue holds {held}: {cause}"]
    known = counts.established + sum(found.values())
    if known != wave.plan.requests_count:
        return [f"{wave.plan.requests_count} requests sent, {known} of them found again on both hosts"]
    return []
