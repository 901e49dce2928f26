"""Reading how far the clocks of hosts are from the controller's."""

from __future__ import annotations

import time
from collections.abc import Callable

from wrklab.errors import HostError
from wrklab.hosts.remote import RemoteHost
from wrklab.results.raw import Clock

#: Answers each line with the host's clock. One interpreter for all questions: its start is in none of the round trips.
_TELL_TIME = "import sys, time\nfor _ in sys.stdin: print(repr(time.time()), flush=True)"
_QUESTIONS_COUNT = 8
_ANSWER_LIMIT_S = 20.0


def clock_of(host: RemoteHost) -> Clock:
    """A host's clock, asked over the open connection. Raises HostError."""
    with host.talk(["/usr/bin/python3", "-I", "-S", "-c", _TELL_TIME], limit_s=_ANSWER_LIMIT_S) as ask:
        try:
            return read_clock(lambda: float(ask("")))
        except ValueError as error:
            raise HostError(f"{host.name}: its clock gave no number: {error}") from error


def read_clock(ask: Callable[[], float], now: Callable[[], float] = time.time) -> Clock:
    """The clock behind `ask`, epoch seconds, against the controller's.

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
