"""How far the clocks of hosts are from the controller's, so that a moment can be named to each in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from wrklab.errors import HostError
from wrklab.hosts.remote import RemoteHost

#: Answers each line with the host's clock. One interpreter for all questions: its start is in none of the round trips.
_TELL_TIME = "import sys, time\nfor _ in sys.stdin: print(repr(time.time()), flush=True)"
_QUESTIONS_COUNT = 8
_ANSWER_LIMIT_S = 20.0


@dataclass(frozen=True)
class Clock:
    """A host's clock against the controller's, as the quickest of several round trips told it."""

    #: Host less controller, seconds.
    ahead_s: float
    #: Of that round trip. The true difference lies within half of it to either side.
    round_trip_s: float
    #: All questions together, with the start of an interpreter on the host: what a call there costs.
    call_s: float

    @property
    def uncertainty_s(self) -> float:
        """By how much `ahead_s` can be wrong at most."""
        return self.round_trip_s / 2

    def on_host(self, at_s: float) -> float:
        """A moment of the controller's clock, by the host's."""
        return at_s + self.ahead_s

    def on_controller(self, at_s: float) -> float:
        """A moment of the host's clock, by the controller's."""
        return at_s - self.ahead_s


def clock_of(host: RemoteHost) -> Clock:
    """A host's clock, asked over the open connection. Raises HostError."""
    with host.talk(["/usr/bin/python3", "-I", "-S", "-c", _TELL_TIME], limit_s=_ANSWER_LIMIT_S) as ask:
        try:
            return read_clock(lambda: float(ask("")))
        except ValueError as error:
            raise HostError(f"{host.name}: asked for its clock, it gave no number: {error}") from error


def read_clock(ask: Callable[[], float], now: Callable[[], float] = time.time) -> Clock:
    """The clock behind `ask`, epoch seconds, against ours.

    The answer is taken for the middle of its round trip (Cristian, Probabilistic clock synchronization, 1989): of the
    quickest, since whatever delayed the others need not have been the same in both directions.
    """
    began_s = now()
    reads = []
    for _ in range(_QUESTIONS_COUNT):
        before_s = now()
        told_s = ask()
        after_s = now()
        reads.append((after_s - before_s, told_s - (before_s + after_s) / 2))
    round_trip_s, ahead_s = min(reads)
    return Clock(ahead_s, round_trip_s, now() - began_s)
