"""What stood still within a window: wrk's threads without a CPU, answers that wrk did not read, connections without an
answer, and all of wrk.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from wrklab.errors import ParseError
from wrklab.protocol.load import LoadResult, Paused, Silences, WrkThreads

#: A connection is stalled when it waits longer than this and than so many times what 99 of 100 answers took.
STALL_LIMIT_S = 1.0
STALL_P99_FACTOR = 3.0
#: One that never received a byte through this share of the time is unanswered, however slow the answers are.
UNANSWERED_SHARE = 0.9
#: When in a window the host counts stalled connections (load_cell.py).
STALLS_COUNTED_AT = 0.95
#: The host counts silence in steps of 100 ms, rounded down.
_STEPS_PER_S = 10
#: With more answers after wrk's time-out than this share of all, the p99 of the others says too little.
_TIMED_OUT_SHARE = 0.01


@dataclass(frozen=True)
class BusiestThread:
    """The wrk thread with the least time to spare: each is an event loop that can use one CPU at most."""

    #: Of the time from wrk's start to the last look: on a CPU, and runnable without one.
    cpu_percent: float
    waiting_percent: float


@dataclass(frozen=True)
class StalledConnections:
    """Established connections that wait too long for an answer, by the kernel's socket table near the window's end."""

    #: They never received a byte; or bytes came to them, but through two looks less than one answer.
    unanswered_count: int
    #: They had answers before.
    silent_count: int


@dataclass(frozen=True)
class Stalls:
    """All of these of one generator. None: not looked at, or not in time."""

    thread: BusiestThread | None
    #: As the host counted them.
    silences: Silences | None
    #: Of the looks within the window the median.
    unread_count: int
    reopening_count: int
    #: Seconds of the window in which wrk was found stopped, or nothing on the host looked.
    paused_s: float | None

    def figures(self, slow_answer_s: float | None) -> dict[str, float | None]:
        """As GeneratorRecord's fields; `slow_answer_s` as below, None where there was no answer."""
        stalled = stalled_connections(self.silences, slow_answer_s)
        return {
            "held_up_s": self.paused_s,
            "busiest_thread_cpu_percent": self.thread.cpu_percent if self.thread else None,
            "busiest_thread_waiting_percent": self.thread.waiting_percent if self.thread else None,
            "connections_unread": self.unread_count,
            "connections_reopening": self.reopening_count,
            "connections_unanswered": stalled.unanswered_count if stalled else None,
            "connections_silent": stalled.silent_count if stalled else None,
        }


def read_stalls(load: LoadResult) -> Stalls:
    """From a generator's result. Raises ParseError where connections or threads were not counted at all."""
    counts = load.open_connections
    if not counts:
        raise ParseError("connections were not counted within the window")
    return Stalls(
        busiest_thread(load.wrk_threads),
        load.silences,
        round(statistics.median(found.unread_count for found in counts)),
        round(statistics.median(found.reopening_count for found in counts)),
        paused_s(load.paused),
    )


def paused_s(paused: Paused | None) -> float | None:
    """How long wrk was stopped, or the longest time in which nothing on its host looked; None where it never ran."""
    return None if paused is None else max(paused.stopped_s, paused.gap_s)


def slow_answer_s(p99_s: float, answers: int, timeouts: int, answers_per_s: float, connections: int) -> float:
    """What 99 of 100 answers take at most, those after wrk's time-out included, which are in no latency.

    Where there are more of those than the p99 leaves out, connections / rate stands in: what an answer takes on average
    where every connection waits for one (Little's law).
    """
    if not are_latencies_cut(answers, timeouts) or answers_per_s <= 0:
        return p99_s
    return max(p99_s, connections / answers_per_s)


def are_latencies_cut(answers: int, timeouts: int) -> bool:
    """Whether so many answers came after wrk's time-out that the latencies of the others say nothing of slow ones."""
    return timeouts > _TIMED_OUT_SHARE * answers


def busiest_thread(looked: WrkThreads | None) -> BusiestThread | None:
    """None without schedstat or a look in time. Raises ParseError where there is no thread, or no time passed."""
    if looked is None:
        return None
    threads = [(thread.run_s, thread.wait_s) for process in looked.processes for thread in process]
    if not threads or looked.elapsed_s <= 0:
        raise ParseError(f"wrk's threads cannot be read: {len(threads)} threads in {looked.elapsed_s} s")
    run_s, wait_s = max(threads, key=sum)
    return BusiestThread(100 * run_s / looked.elapsed_s, 100 * wait_s / looked.elapsed_s)


def stalled_connections(counted: Silences | None, slow_answer_s: float | None) -> StalledConnections | None:
    """From a host's count and what slow answers take (None: no answer); None where it was not counted."""
    if counted is None:
        return None
    trickling = counted.trickling
    limit_s = max(STALL_LIMIT_S, STALL_P99_FACTOR * (slow_answer_s or 0.0))
    unanswered_count = _longer(counted.unanswered, min(limit_s, UNANSWERED_SHARE * counted.elapsed_s))
    return StalledConnections(
        unanswered_count=unanswered_count + (trickling.count if trickling.seen_s >= limit_s else 0),
        silent_count=_longer(counted.answered, limit_s),
    )


def _longer(counts: Mapping[int, int], limit_s: float) -> int:
    """How many are silent for longer than the limit; a step is rounded down, so the next one counts."""
    return sum(count for step, count in counts.items() if step >= limit_s * _STEPS_PER_S)
