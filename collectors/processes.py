"""Processes of the unit: the lines of its cgroup's cgroup.procs."""

from __future__ import annotations

from collectors.base import Sample, Source, whole_number

NAME = "processes"
SOURCE = Source(kind="line_count", path="{cgroup}/cgroup.procs")


def parse(text: str) -> tuple[Sample, ...]:
    """unit.processes. Raises SourceError."""
    return (Sample("unit.processes", whole_number(text.strip(), "cgroup.procs"), "count"),)
