"""CPU time of the whole host: the root of its cgroups. In a container that leaves the neighbours out."""

from __future__ import annotations

from collectors.base import Sample, Source, named_numbers, pick

NAME = "node_cpu"
SOURCE = Source(kind="file", path="/sys/fs/cgroup/cpu.stat", prefixes=("usage_usec",))


def parse(text: str) -> tuple[Sample, ...]:
    """Seconds since boot: node_cpu.usage. Raises SourceError."""
    return (Sample("node_cpu.usage", pick(named_numbers(text, "cpu.stat"), "usage_usec", "cpu.stat") / 1e6, "s"),)
