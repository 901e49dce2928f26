"""How long the unit had to wait for a CPU: its cgroup's cpu.pressure (PSI), which shows quotas set from outside too."""

from __future__ import annotations

from collectors.base import Sample, Source, SourceError, whole_number

NAME = "unit_pressure"
SOURCE = Source(kind="file", path="{cgroup}/cpu.pressure", prefixes=("some", "full"))

_TOTAL = "total="
#: The kernel's word for it -> ours. Kernels before 5.13 have no `full` for CPUs.
_METRICS = {"some": "waiting", "full": "stalled"}


def parse(text: str) -> tuple[Sample, ...]:
    """Seconds since the unit's start: unit_pressure.waiting and .stalled. Raises SourceError.

    waiting   some task of the unit was runnable and had no CPU; another one of the unit may have had it
    stalled   that, and on the CPU in question ran none of the unit's (PSI, "full"); the mean over the CPUs that it uses
    """
    totals = {words[0]: _total_s(words) for words in map(str.split, text.splitlines()) if words}
    if "some" not in totals:
        raise SourceError(f"no line `some` in {text[:60]!r}")
    return tuple(
        Sample(f"unit_pressure.{_METRICS[kind]}", total_s, "s") for kind, total_s in totals.items() if kind in _METRICS
    )


def _total_s(words: list[str]) -> float:
    total = next((word.removeprefix(_TOTAL) for word in words if word.startswith(_TOTAL)), None)
    if total is None:
        raise SourceError(f"no {_TOTAL} in {' '.join(words)[:60]!r}")
    return whole_number(total, "cpu.pressure") / 1e6
