"""What the Python stacks note down of GET /probe: which thread of which process holds which request.

A note is one write of one line to descriptor 2, as docs/probe.md has it: no file of its own, which would take a
descriptor from a server that may be limited by just these, and no lock, so it is the same in threads and in forks.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

_worker = threading.local()


@contextmanager
def noted(request_id: int, runs_on: Literal["thread", "loop"]) -> Iterator[None]:
    """Notes that a handler starts here, and at the end, however it ends, that it has finished."""
    _note("S", request_id, runs_on)
    try:
        yield
    finally:
        _note("F", request_id, runs_on)


def left_s(until: float) -> float:
    """Seconds from now to the deadline of a request's URL (seconds since 1970); 0 when it has passed."""
    return max(0.0, until - time.time())


def _note(mark: str, request_id: int, runs_on: str) -> None:
    # The pid is asked for each time: a server may fork for each request.
    who = f"{os.getpid()} {threading.get_native_id()} {_serial()}"
    os.write(2, f"wrklab-probe {mark} {request_id} {who} {time.time():.6f} {runs_on}\n".encode())


def _serial() -> str:
    """A token of this thread's own: a later thread may inherit the number of one that ended, but not this."""
    if not hasattr(_worker, "serial"):
        _worker.serial = os.urandom(4).hex()
    serial: str = _worker.serial
    return serial
