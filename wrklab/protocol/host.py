"""What a host is and does: its state and its environment; and how a script refuses."""

from collections.abc import Mapping
from typing import Annotated

from wrklab.protocol.codec import Count, Json, Limits, Message, Seconds, Text, Word

#: A script refused what it was asked; stdout holds a Refusal.
EXIT_REFUSED = 3
#: The load's unit ended without a result; stdout holds a Refusal.
EXIT_NO_RESULT = 4


class Refusal(Message):
    """Why a script did not do what it was asked."""

    error: Text


class Done(Message):
    """The answer of a script that has nothing else to report: whether it found something to do."""

    is_done: bool


# --- host_state.py ---


class HostStateSpec(Message):
    """How long to look, and of which folders' file systems to report the room."""

    look_s: Seconds
    paths: Annotated[tuple[Word, ...], Limits(0, 100)]


class BusyProcess(Message):
    """A process that used CPU within the look, percent of one CPU."""

    pid: Count
    name: Word
    cpu_percent_of_one: float


class LoadTool(Message):
    """A program that makes load."""

    pid: Count
    name: Word


class DiskSpace(Message):
    """What a file system has left; `free_inodes` is None where it does not count them (btrfs)."""

    path: Word
    free_bytes: Count
    size_bytes: Count
    free_inodes: Count | None


class HostStateReport(Message):
    """The kernel's texts at both ends of a look, and the processes that used CPU within it."""

    look_s: Annotated[float, Limits(1e-6, 3600)]
    load_average: tuple[float, float, float]
    uptime_s: Seconds
    #: /proc/stat (lines of CPUs) and /proc/vmstat (lines of swapping), before and after.
    stat: tuple[str, str]
    vmstat: tuple[str, str]
    meminfo: Text
    #: /proc/pressure/memory; empty where the kernel has none.
    pressure: Text
    busiest: Annotated[tuple[BusyProcess, ...], Limits(0, 100)]
    load_tools: Annotated[tuple[LoadTool, ...], Limits(0, 10_000)]
    disks: Annotated[tuple[DiskSpace, ...], Limits(0, 100)]


# --- environment.py: a free mapping that reports show; these parts of it are computed with ---


class CpuFacts(Message, is_partial=True):
    """CPUs that may be used, what sets their speed, and which share a core."""

    allowed: Annotated[tuple[Count, ...], Limits(1, 65536)]
    governors: Annotated[tuple[Word, ...], Limits(0, 65536)]
    siblings: Annotated[Mapping[str, Word | None], Limits(0, 65536)]


class CgroupFacts(Message, is_partial=True):
    """The CPUs' quota, None where there is none; and what systemd can limit of a unit there."""

    cpus_count: float | None
    unit_controllers: Annotated[tuple[Word, ...], Limits(0, 100)]


class LimitFacts(Message, is_partial=True):
    """What limits connections on this host."""

    unit_descriptors_max: Count
    local_ports_count: Count


class InstantFacts(Message, is_partial=True):
    """Which machine it is, and how long it takes for a fixed computation."""

    identity: Word
    pace_s: Seconds


class EnvironmentFacts(Message, is_partial=True):
    """The parts of a host's environment that are computed with."""

    cpu: CpuFacts
    cgroup_limits: CgroupFacts
    limits: LimitFacts
    moment: InstantFacts


class Environment(Message):
    """A host's environment: all its facts, as reports show them."""

    facts: Annotated[Mapping[str, Json], Limits(1, 1000)]
