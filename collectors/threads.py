"""Threads of the unit: the lines of its cgroup's cgroup.threads."""

from __future__ import annotations

from collectors.base import Sample, Source, whole_number

NAME = "threads"
SOURCE = Source(kind="line_count", path="{cgroup}/cgroup.threads")


def parse(text: str) -> tuple[Sample, ...]:
    """unit.threads. Raises SourceError."""
    return (Sample("unit.threads", whole_number(text.strip(), "cgroup.threads"), "count"),)
