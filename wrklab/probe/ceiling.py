"""What a probe says about a bench: capacity / hold is the most requests/s that a variant can answer (Little's law)."""

from __future__ import annotations

from dataclasses import dataclass

from wrklab.probe.record import ProbeRecord

#: wrk's rate over the ceiling from which on it meets it, and beyond which the probe was wrong.
_MEETS_RATIO = 0.9
_EXCEEDS_RATIO = 1.05


@dataclass(frozen=True)
class Ceiling:
    """A variant's ceiling under a hold, and wrk's rate beside it."""

    capacity: int
    hold_ms: int
    requests_per_s: float
    #: wrk's rate / the ceiling; None without a rate.
    ratio: float | None
    text: str


def ceiling(record: ProbeRecord | None, hold_ms: int, requests_per_s: float | None) -> Ceiling | None:
    """The ceiling that a probe found; None where none was found (never probed, no limit met, nothing is held)."""
    capacity = probed_limit(record)
    if capacity is None or not hold_ms:
        return None
    at_most = capacity * 1000 / hold_ms
    ratio = None if requests_per_s is None else requests_per_s / at_most
    found = f"{capacity} at once / {hold_ms} ms = {at_most:,.0f} requests/s"
    return Ceiling(capacity, hold_ms, at_most, ratio, f"{found}{_verdict(ratio)}")


def probed_limit(record: ProbeRecord | None) -> int | None:
    """How many requests a probe found to be handled at once; None where it found no limit, or there is no probe."""
    if record is None or record.state != "measured" or not record.capacity:
        return None
    return None if record.capacity_limited_by.startswith("no limit") else record.capacity


def _verdict(ratio: float | None) -> str:
    if ratio is None:
        return ""
    if ratio > _EXCEEDS_RATIO:
        return f"; wrk's rate is {ratio:.0%} of it, which cannot be: probe again"
    if ratio >= _MEETS_RATIO:
        return f"; wrk's rate meets it ({ratio:.0%})"
    return f"; wrk's rate does not meet it ({ratio:.0%}): something else is the limit"
