"""Accept queues: connections that the kernel completed and the server has not accepted, by port (sock_diag)."""

from __future__ import annotations

from collectors.base import Sample, Source, SourceError, whole_number

NAME = "listen_queue"
SOURCE = Source(kind="listeners")

_FIELDS = 4


def parse(text: str) -> tuple[Sample, ...]:
    """listen.<port>.queued and .backlog; where sockets share a port (SO_REUSEPORT), added. Raises SourceError."""
    totals: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) != _FIELDS:
            raise SourceError(f"{line[:60]!r}: family, port, queued and backlog were expected")
        _, port, queued, backlog = words
        for key, word in (("queued", queued), ("backlog", backlog)):
            metric = f"listen.{whole_number(port, 'port')}.{key}"
            totals[metric] = totals.get(metric, 0) + whole_number(word, metric)
    return tuple(Sample(metric, value, "count") for metric, value in totals.items())
