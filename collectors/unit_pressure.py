"""How long the unit had to wait for a CPU: its cgroup's cpu.pressure (PSI), which shows quotas set from outside too."""

from __future__ import annotations

from collectors.base import Sample, Source, whole_number
from wrklab.errors import ParseError

NAME = "unit_pressure"
SOURCE = Source(kind="file", path="{cgroup}/cpu.pressure", prefixes=("some",))

_TOTAL = "total="


def parse(text: str) -> tuple[Sample, ...]:
    """Seconds in which some task of the unit was runnable and had no CPU: unit_pressure.waiting. Raises ParseError."""
    total = next((word.removeprefix(_TOTAL) for word in text.split() if word.startswith(_TOTAL)), None)
    if total is None:
        raise ParseError(f"no {_TOTAL} in {text[:60]!r}")
    return (Sample("unit_pressure.waiting", whole_number(total, "cpu.pressure") / 1e6, "s"),)
