"""CPU time of the unit alone (all its processes, those that ended too): its cgroup's cpu.stat."""

from __future__ import annotations

from collectors.base import Sample, Source, named_numbers, pick

NAME = "unit_cpu"
SOURCE = Source(kind="file", path="{cgroup}/cpu.stat", prefixes=("usage_usec", "user_usec", "system_usec"))

_KEYS = ("usage", "user", "system")


def parse(text: str) -> tuple[Sample, ...]:
    """Seconds since the unit's start: unit_cpu.usage, .user, .system. Raises SourceError."""
    numbers = named_numbers(text, "cpu.stat")
    return tuple(Sample(f"unit_cpu.{key}", pick(numbers, f"{key}_usec", "cpu.stat") / 1e6, "s") for key in _KEYS)
