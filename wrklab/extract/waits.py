"""Who waited within a window: wrk's threads for a CPU, answers for wrk to read them, connections for an answer."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wrklab.errors import ParseError

#: A connection is silent when it waits longer than this and than so many times what 99 of 100 answers took.
SILENCE_LIMIT_S = 1.0
SILENCE_P99_FACTOR = 3.0
#: One that never received a byte through this share of the time is unanswered, however slow the answers are.
UNANSWERED_SHARE = 0.9
#: When in a window it counts the silences (load_cell.py).
SILENCES_COUNTED_AT = 0.95
#: The host counts silences in steps of 100 ms, rounded down.
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
class SilentConnections:
    """Established connections that wait too long for an answer, by the kernel's socket table near the window's end."""

    #: They never received a byte; or bytes came to them, but through two looks less than one answer.
    unanswered_count: int
    #: They had answers before.
    silent_count: int


@dataclass(frozen=True)
class Waits:
    """All of these of one generator. None: not looked at, or not in time."""

    thread: BusiestThread | None
    #: As the host counted them.
    silences: Mapping[str, Any] | None
    #: Of three looks the median.
    unread_count: int | None
    reopening_count: int | None
    #: Seconds of the window in which wrk was found stopped, or nobody on the host came to look.
    held_up_s: float | None = None

    def figures(self, slow_answer_s: float | None) -> dict[str, float | None]:
        """As GeneratorRecord's fields; `slow_answer_s` as below, None where there was no answer. Raises ParseError."""
        silent = silent_connections(self.silences, slow_answer_s)
        return {
            "held_up_s": self.held_up_s,
            "busiest_thread_cpu_percent": self.thread.cpu_percent if self.thread else None,
            "busiest_thread_waiting_percent": self.thread.waiting_percent if self.thread else None,
            "connections_unread": self.unread_count,
            "connections_reopening": self.reopening_count,
            "connections_unanswered": silent.unanswered_count if silent else None,
            "connections_silent": silent.silent_count if silent else None,
        }


def read_waits(load: Mapping[str, Any]) -> Waits:
    """From a generator's result. Raises ParseError."""
    counts = load.get("open_connections", ())
    return Waits(
        busiest_thread(load),
        load.get("silences"),
        _median(counts, "unread"),
        _median(counts, "reopening"),
        held_up_s(load),
    )


def held_up_s(load: Mapping[str, Any]) -> float | None:
    """From a generator's result: how long wrk was stopped, or (the longest time) nobody there came to look.

    None in results of older hosts. Raises ParseError.
    """
    told = load.get("held_up")
    if not told:
        return None
    try:
        return max(float(told["stopped_s"]), float(told["gap_s"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"how long wrk was held up cannot be read: {error!r}") from error


def slow_answer_s(p99_s: float, answers: int, timeouts: int, answers_per_s: float, connections: int) -> float:
    """What 99 of 100 answers take at most, those after wrk's time-out included, which are in no latency.

    Where there are more of those than the p99 leaves out, connections / rate stands in: what an answer takes on average
    where every connection waits for one (Little's law).
    """
    if not are_latencies_cut(answers, timeouts) or answers_per_s <= 0:
        return p99_s
    return max(p99_s, connections / answers_per_s)


def are_latencies_cut(answers: int, timeouts: int) -> bool:
    """Whether so many answers came after wrk's time-out that the latencies of the others tell of no slow ones."""
    return timeouts > _TIMED_OUT_SHARE * answers


def busiest_thread(load: Mapping[str, Any]) -> BusiestThread | None:
    """From a generator's result; None without schedstat or a look in time. Raises ParseError."""
    looked = load.get("wrk_threads")
    if not looked:
        return None
    try:
        elapsed_s = float(looked["elapsed_s"])
        threads = [(float(run_s), float(wait_s)) for process in looked["threads"] for run_s, wait_s in process]
        run_s, wait_s = max(threads, key=sum)
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"wrk's threads cannot be read: {error!r}") from error
    return BusiestThread(100 * run_s / elapsed_s, 100 * wait_s / elapsed_s)


def silent_connections(counted: Mapping[str, Any] | None, slow_answer_s: float | None) -> SilentConnections | None:
    """From a host's count and what slow answers take (None: no answer); None where not counted. Raises ParseError."""
    if not counted:
        return None
    try:
        elapsed_s = float(counted["elapsed_s"])
        answered, unanswered = (_steps(counted[kind]) for kind in ("answered", "unanswered"))
        dripping = counted.get("dripping") or {"count": 0, "seen_s": 0.0}
        dripping_count, dripping_s = int(dripping["count"]), float(dripping["seen_s"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ParseError(f"the silences of connections cannot be read: {error!r}") from error
    limit_s = max(SILENCE_LIMIT_S, SILENCE_P99_FACTOR * (slow_answer_s or 0.0))
    unanswered_count = _longer(unanswered, min(limit_s, UNANSWERED_SHARE * elapsed_s))
    return SilentConnections(
        unanswered_count=unanswered_count + (dripping_count if dripping_s >= limit_s else 0),
        silent_count=_longer(answered, limit_s),
    )


def _median(counts: Sequence[Mapping[str, Any]], key: str) -> int | None:
    """None in results of older hosts."""
    known = [int(found[key]) for found in counts if key in found]
    return round(statistics.median(known)) if known else None


def _steps(found: Mapping[str, Any]) -> dict[int, int]:
    return {int(step): int(count) for step, count in found.items()}


def _longer(counts: Mapping[int, int], limit_s: float) -> int:
    """How many are silent for longer than the limit; a step is rounded down, so the next one counts."""
    return sum(count for step, count in counts.items() if step >= limit_s * _STEPS_PER_S)
