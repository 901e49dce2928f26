"""Memory of the unit's processes: resident pages of each, added. Pages that forked workers share count for each."""

from __future__ import annotations

from collectors.base import Sample, Source, SourceError, per_process_lines, whole_number

NAME = "memory"
SOURCE = Source(kind="per_process", path="{cgroup}/cgroup.procs", file="statm")

_RESIDENT = 2
_FIELDS = 3


def parse(text: str) -> tuple[Sample, ...]:
    """memory.rss in bytes (0 where no process was left). Raises SourceError."""
    page_bytes, lines = per_process_lines(text)
    pages = 0
    for line in lines:
        words = line.split()
        if len(words) < _FIELDS:
            raise SourceError(f"{line[:40]!r}: a pid and what statm says were expected")
        pages += whole_number(words[_RESIDENT], f"resident pages of process {words[0]}")
    return (Sample("memory.rss", pages * page_bytes, "bytes"),)
