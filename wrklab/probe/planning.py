"""How a probe is done: how many requests, when they are sent, when both hosts look, what follows a wave. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from wrklab.probe.analysis import Figures
from wrklab.probe.wave import WavePlan
from wrklab.results.probe_record import KernelQueue, OverflowKind

#: Requests of the first complete wave, as many as the articles sent.
USUAL_COUNT = 1000
#: The most that a wave is raised to in order to see a queue full, unless a card or a suite asks for more.
CEILING_COUNT = 5000
RATE_PER_S = 500.0
#: Every try is one fresh start of the server.
TRIES_MAX = 5
#: After so many tries no wave is repeated any more because its requests were not spread over all workers.
_SPREAD_TRIES_MAX = 4
#: A supervisor alone serves nothing; from so many idle processes on one of them may be a worker that got no turn.
_IDLE_SUSPICIOUS = 2

#: The first requests come one by one: two that a loop reads in one turn would make its figure a matter of chance.
SLOW_COUNT = 20
_SLOW_STEP_S = 0.02
#: A backlog that the usual wave can fill needs no scout.
_SCOUT_FROM_BACKLOG = USUAL_COUNT - 150
_SCOUT_COUNT = 60
_SCOUT_MAX_COUNT = USUAL_COUNT // 2
#: Of workers that wait for the same socket the last one gets a turn only when the others have spent theirs.
_BURST_COUNT = 250
#: Beyond what is needed to see the kernel's queue full.
_MARGIN_COUNT = 60
#: A limit that the card knows is exceeded by so much.
_KNOWN_LIMIT_FACTOR = 1.5
#: A variant that is there to fail needs no thousand tracebacks.
_FAILING_COUNT = 100
#: N above this is sent faster, so that the hold stays far from servers' own time-outs and the probe is short.
_FAST_ABOVE_COUNT = CEILING_COUNT
_FAST_RATE_PER_S = 1000.0

#: From the last arrival to the first snapshot; longer where handlers are slow to begin.
_SETTLE_S = 0.6
_BETWEEN_LOOKS_S = 0.6
_BEFORE_DEADLINE_S = 0.35
#: The most that a slow host's snapshot, and its settling, may take of a hold: what is left must do for the arrivals.
_LOOK_MAX_S = 3.0
_SETTLE_MAX_S = 1.8
#: A slow host's client sends slower, but not so slowly that holds are cut short by it.
_RATE_MIN_PER_S = 100.0
_RELEASE_STEP_S = 0.001
_RELEASE_MAX_S = 2.0
_RELEASE_LIMIT_S = 3.0
#: No hold may come near the time-outs that servers have themselves, at 30 s and more.
HOLD_LIMIT_S = 25.0

SECOND_WAVE_COUNT = 12
#: Ids of the second wave and of a scout begin here, so that no note is taken for another wave's.
SECOND_WAVE_ID = 1_000_000
SCOUT_ID = 2_000_000


@dataclass(frozen=True)
class Pace:
    """How fast requests arrive, and how long the server is given before it is looked at."""

    rate_per_s: float = RATE_PER_S
    settle_s: float = _SETTLE_S
    burst_count: int = 1
    #: From the second snapshot to the end of the hold.
    before_deadline_s: float = _BEFORE_DEADLINE_S

    def with_scaled_timeouts(self, timeout_scale: float) -> Pace:
        """For hosts that need so many times as long as usual."""
        return replace(
            self,
            rate_per_s=max(self.rate_per_s / timeout_scale, _RATE_MIN_PER_S),
            settle_s=min(self.settle_s * timeout_scale, _SETTLE_MAX_S),
            before_deadline_s=min(self.before_deadline_s * timeout_scale, _LOOK_MAX_S),
        )

    def slower(self) -> Pace:
        """After a void wave."""
        return replace(self, rate_per_s=self.rate_per_s / 1.6, settle_s=self.settle_s * 1.6)

    def in_bursts(self, backlog: int) -> Pace:
        """After a wave that did not reach all worker processes: many at once keep each of them busy accepting."""
        return replace(self, burst_count=max(1, min(_BURST_COUNT, backlog // 2)))


@dataclass(frozen=True)
class Opening:
    """With what a probe begins, before its server was seen."""

    #: N, where it is known by then.
    requests_count: int | None
    ceiling_count: int
    pace: Pace


def opening(asked_count: int | None, *, is_to_fail: bool = False, timeout_scale: float = 1.0) -> Opening:
    """How a probe begins: by the number of requests that its card asks for, and whether all are to fail."""
    count = _FAILING_COUNT if is_to_fail else asked_count
    pace = Pace(rate_per_s=_FAST_RATE_PER_S) if (count or 0) > _FAST_ABOVE_COUNT else Pace()
    return Opening(count, max(CEILING_COUNT, count or 0), pace.with_scaled_timeouts(timeout_scale))


def plan_wave(requests_count: int, pace: Pace, first_id: int = 0) -> WavePlan:
    """A wave of N requests with its snapshots and its deadline; faster than its pace where it would be held too long.

    Raises ValueError where no pace is fast enough.
    """
    slow_s = SLOW_COUNT * _SLOW_STEP_S
    # Snapshots of many handlers take longer themselves.
    after_s = pace.settle_s + _BETWEEN_LOOKS_S + pace.before_deadline_s + requests_count / 20_000
    left_s = HOLD_LIMIT_S - _RELEASE_MAX_S - slow_s - after_s
    if left_s <= 0:
        raise ValueError(
            f"{requests_count} requests would be held longer than {HOLD_LIMIT_S:g} s; servers have time-outs of their "
            "own from 30 s on"
        )
    fast_count = max(0, requests_count - SLOW_COUNT)
    rate_per_s = max(pace.rate_per_s, fast_count / left_s)
    first_look_s = slow_s + fast_count / rate_per_s + pace.settle_s
    second_look_s = first_look_s + _BETWEEN_LOOKS_S
    until_s = slow_s + fast_count / rate_per_s + after_s
    return WavePlan(
        requests_count=requests_count,
        slow_count=SLOW_COUNT,
        slow_step_s=_SLOW_STEP_S,
        rate_per_s=rate_per_s,
        burst_count=pace.burst_count,
        looks_s=(first_look_s, second_look_s),
        until_s=until_s,
        until_step_s=min(_RELEASE_STEP_S, _RELEASE_MAX_S / requests_count),
        release_limit_s=_RELEASE_LIMIT_S if has_second_wave(requests_count) else _RELEASE_LIMIT_S / 3,
        first_id=first_id,
    )


def has_second_wave(requests_count: int) -> bool:
    """Very many requests take too long to be served; their own notes show who serves twice."""
    return requests_count <= CEILING_COUNT


def plan_second_wave() -> WavePlan:
    """A few requests after the release, to see who serves them."""
    return WavePlan(
        requests_count=SECOND_WAVE_COUNT,
        slow_count=SECOND_WAVE_COUNT,
        slow_step_s=_SLOW_STEP_S,
        rate_per_s=RATE_PER_S,
        burst_count=1,
        looks_s=(),
        until_s=SECOND_WAVE_COUNT * _SLOW_STEP_S + 0.15,
        until_step_s=0.0,
        release_limit_s=_RELEASE_LIMIT_S,
        first_id=SECOND_WAVE_ID,
    )


def plan_scout(in_flight_limit: int | None) -> WavePlan:
    """A small wave that shows whether what is not handled waits in the kernel.

    A limit that it cannot exceed makes it no larger: nothing would wait.
    """
    limit = in_flight_limit if in_flight_limit is not None and in_flight_limit < _SCOUT_MAX_COUNT else 0
    number = min(int(limit * _KNOWN_LIMIT_FACTOR) + _SCOUT_COUNT, _SCOUT_MAX_COUNT)
    return plan_wave(number, Pace(settle_s=0.25), first_id=SCOUT_ID)


def wants_scout(backlog: int, ceiling_count: int) -> bool:
    """Whether a long queue makes it worthwhile to know first if it is used at all."""
    return _SCOUT_FROM_BACKLOG < backlog < ceiling_count - _MARGIN_COUNT


def first_count(in_flight_limit: int | None, ceiling_count: int) -> int:
    """N of the first complete wave, when nothing is known of the queues: beyond a known limit, or the usual number."""
    known = int((in_flight_limit or 0) * _KNOWN_LIMIT_FACTOR)
    return known if USUAL_COUNT < known < ceiling_count else USUAL_COUNT


def unreached(figures: Figures, in_flight_limit: int | None, most_before: int | None = None) -> str:
    """Why the wave has not shown what all worker processes together can handle at once; empty where it has.

    Which worker takes a connection is a matter of chance. One that has taken few handles few, while others let theirs
    wait: then the figure is too small. Where connections wait in the kernel, no worker wants any more. Without a limit
    to go by, a wave that only one of several workers served looks even as well: then a further one must show no more
    (`most_before` is the most that one before it showed), because processes that never serve are idle in all of them.
    """
    counts = figures.counts
    if counts.queued_process == 0 or counts.queued_kernel > 0:
        return ""
    if in_flight_limit is not None and counts.in_flight < in_flight_limit:
        return f"the card's in_flight_limit of {in_flight_limit} was not met"
    if not figures.is_even:
        return "some processes handled fewer than others"
    if in_flight_limit is None and figures.idle_processes >= _IDLE_SUSPICIOUS and counts.in_flight != most_before:
        return f"{figures.idle_processes} processes handled nothing, and no other try showed the same"
    return ""


def needed_count(figures: Figures) -> int:
    """N that fills the kernel's queue behind what this wave showed."""
    counts = figures.counts
    answered = sum(each.count for each in figures.overflow if each.kind is not OverflowKind.SYN_PENDING)
    return counts.in_flight + counts.queued_process + counts.backlog + 1 + answered + _MARGIN_COUNT


def next_count(figures: Figures, ceiling_count: int) -> int | None:
    """N of a further wave, or None where this one says all that can be seen below the ceiling.

    Only a queue that is used can be filled: a process that takes every connection itself leaves the kernel's empty.
    """
    if figures.kernel_queue is not KernelQueue.AT_LEAST:
        return None
    wanted = needed_count(figures)
    return wanted if figures.requests_count < wanted <= ceiling_count else None


Step = Literal["report", "again", "raise", "spread", "give up"]


def next_step(
    figures: Figures | None,
    tries: int,
    ceiling_count: int,
    in_flight_limit: int | None = None,
    most_before: int | None = None,
) -> Step:
    """What follows a wave: a void one (None), or one that did not reach every worker, is tried again, never reported.

    `most_before`: the most that an earlier wave of the probe showed to be handled at once.
    """
    if figures is None:
        return "again" if tries < TRIES_MAX else "give up"
    if unreached(figures, in_flight_limit, most_before):
        return "spread" if tries < _SPREAD_TRIES_MAX else "give up"
    if next_count(figures, ceiling_count) is not None and tries < TRIES_MAX:
        return "raise"
    return "report"
