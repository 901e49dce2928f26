"""The phases of a cell and of a probe: where something took time, and where something failed."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """In order. Not every cell has all of them."""

    #: Reading the hosts' clocks, before anything runs.
    CLOCKS = "clocks"
    START = "start"
    READY = "ready"
    WARMUP = "warmup"
    SETTLE = "settle"
    #: Waiting for free local ports.
    DRAIN = "drain"
    #: Waiting for the mark at which all generators begin.
    ARMED = "armed"
    WINDOW = "window"
    #: Of a probe.
    WAVE = "wave"
    VERIFY_AFTER = "verify_after"
    STOP = "stop"
    #: Reading what the hosts said.
    PULL = "pull"
