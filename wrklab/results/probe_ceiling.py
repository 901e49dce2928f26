"""What a probe says about a bench: capacity / hold is the most requests/s that a variant can answer (Little's law)."""

from __future__ import annotations

from wrklab.results.probe_record import ProbeRecord


def probed_limit(record: ProbeRecord | None) -> int | None:
    """How many requests a probe found to be handled at once; None where it found no limit, or there is no probe."""
    if record is None or record.state != "measured" or not record.capacity:
        return None
    return None if record.capacity_limited_by.startswith("no limit") else record.capacity
