"""What a rule casts doubt on, and which way the doubt moves the figure."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

#: What a note casts doubt on: the rate (and with it everything), the latencies alone, or nothing (it explains).
Doubt = Literal["rate", "latency", "none"]


class Direction(StrEnum):
    """How a doubtful figure relates to the true one."""

    #: The true figure is at least the measured one: something kept the server from giving more.
    TOO_LOW = "too low"
    #: The true figure is at most the measured one.
    TOO_HIGH = "too high"
    #: Nothing can be said.
    UNKNOWN = "unknown"
