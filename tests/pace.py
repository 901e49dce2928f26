"""How slow this machine is now: limits on time hold on a machine half as fast, with a neighbor, too.

A limit of 5 s is about the product on the machine that it was set on. Elsewhere, and while others work here, it is as
many times longer as this machine takes for a fixed piece of work.
"""

from __future__ import annotations

import subprocess
import sys
import time

#: What the work takes on two idle cores of 2.5 GHz, where the limits were set.
_WORK_S = 0.2
_STARTS_COUNT = 8
_SUM_COUNT = 2_000_000


def slowness_ratio() -> float:
    """1 on an idle machine of usual speed or a faster one, 2 on one that takes twice as long now."""
    began_s = time.monotonic()
    for _ in range(_STARTS_COUNT):
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    sum(range(_SUM_COUNT))
    return max(1.0, (time.monotonic() - began_s) / _WORK_S)


_AT_START = slowness_ratio()


def allowed_s(limit_s: float) -> float:
    """The limit for what has just been timed: by this machine's pace now or when the tests began, the slower one."""
    return limit_s * max(_AT_START, slowness_ratio())
