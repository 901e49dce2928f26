"""TCP as /proc/net/snmp counts it: segments sent again, resets, connections established now."""

from __future__ import annotations

from collectors.base import Sample, Source, header_and_numbers, pick

NAME = "tcp"
SOURCE = Source(kind="file", path="/proc/net/snmp", prefixes=("Tcp:",))

_KEYS = {
    "CurrEstab": "tcp.established",
    "PassiveOpens": "tcp.passive_opens",
    "ActiveOpens": "tcp.active_opens",
    "AttemptFails": "tcp.attempt_fails",
    "EstabResets": "tcp.established_resets",
    "InSegs": "tcp.segments_in",
    "OutSegs": "tcp.segments_out",
    "RetransSegs": "tcp.segments_retransmitted",
    "OutRsts": "tcp.resets_out",
}


def parse(text: str) -> tuple[Sample, ...]:
    """Counts since boot, but tcp.established (now). Raises SourceError."""
    numbers = header_and_numbers(text, "Tcp:", "snmp")
    return tuple(Sample(metric, pick(numbers, key, "snmp"), "count") for key, metric in _KEYS.items())
