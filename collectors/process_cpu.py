"""CPU time of each process of the unit (all its threads): a Python process has one CPU at most, because of its GIL."""

from __future__ import annotations

from collectors.base import Sample, Source, SourceError, per_process_lines, whole_number

NAME = "process_cpu"
SOURCE = Source(kind="per_process", path="{cgroup}/cgroup.procs", file="stat")

#: The kernel tells times to user space in hundredths of a second on every architecture that Debian knows.
_TICKS_PER_S = 100
#: utime and stime, counted from behind the command's name, which stands in parentheses and may hold anything.
_USER, _SYSTEM = 11, 12


def parse(text: str) -> tuple[Sample, ...]:
    """process.<pid>.cpu in seconds since the process began, for each that was left. Raises SourceError."""
    _, lines = per_process_lines(text)
    return tuple(_sample(line) for line in lines)


def _sample(line: str) -> Sample:
    pid = line.partition(" ")[0]
    words = line.rpartition(")")[2].split()
    if len(words) <= _SYSTEM:
        raise SourceError(f"{line[:40]!r}: a pid and what stat says were expected")
    ticks = sum(whole_number(words[place], f"CPU time of process {pid}") for place in (_USER, _SYSTEM))
    return Sample(f"process.{whole_number(pid, 'pid')}.cpu", ticks / _TICKS_PER_S, "s")
