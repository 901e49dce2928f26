"""TCP sockets of the host's network: /proc/net/sockstat. MPTCP's (Go's listeners, from 1.24 on) are not among them."""

from __future__ import annotations

from collectors.base import Sample, Source, SourceError, whole_number

NAME = "sockets"
SOURCE = Source(kind="file", path="/proc/net/sockstat", prefixes=("TCP:",))

_KEYS = {"inuse": "sockets.tcp_in_use", "orphan": "sockets.tcp_orphan", "tw": "sockets.tcp_time_wait"}


def parse(text: str) -> tuple[Sample, ...]:
    """sockets.tcp_in_use, .tcp_orphan, .tcp_time_wait. Raises SourceError."""
    words = text.split()
    pairs = dict(zip(words[1::2], words[2::2], strict=False))
    if missing := _KEYS.keys() - pairs.keys():
        raise SourceError(f"sockstat's TCP line lacks {', '.join(sorted(missing))}: {text[:80]!r}")
    return tuple(Sample(metric, whole_number(pairs[key], key), "count") for key, metric in _KEYS.items())
