"""What goes on on a host before a bench, from the text that node/host_state.py printed there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collectors import parse
from collectors.base import named_numbers, pick
from wrklab.errors import ParseError
from wrklab.protocol.host import BusyProcess, HostStateReport

_MEMINFO = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_SOME_PRESSURE = re.compile(r"^some avg10=([\d.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Disk:
    """What a file system has left. `free_inodes` is None where it does not count them."""

    path: str
    free_bytes: int
    free_inodes: int | None


@dataclass(frozen=True)
class HostState:
    """One look at a host. CPU shares are of the CPUs given to it (0-100)."""

    look_s: float
    #: Somebody's program at usual priority, the kernel, or the hypervisor that keeps the CPU for others.
    busy_percent: float
    #: User time of programs that gave themselves a low priority (nice): in no other figure.
    niced_percent: float
    #: Of `busy_percent`, what a hypervisor kept.
    steal_percent: float
    load_average: tuple[float, ...]
    uptime_s: float
    memory_bytes: int
    memory_available_bytes: int
    swap_used_bytes: int
    #: Read from and written to swap within the look.
    swapped_pages_per_s: float
    #: Share of the last 10 s in which some program waited for memory; None where the kernel does not say.
    memory_pressure_percent: float | None
    #: `name (pid 12, 99 % of a CPU)`, the busiest first.
    busiest: tuple[str, ...]
    #: `wrk (pid 12)`: programs that make load.
    load_tools: tuple[str, ...]
    disks: tuple[Disk, ...]

    def facts(self) -> dict[str, Any]:
        """What is kept of it in a run's environment."""
        return {
            "cpu_busy_percent": round(self.busy_percent, 1),
            "cpu_niced_percent": round(self.niced_percent, 1),
            "cpu_steal_percent": round(self.steal_percent, 1),
            "cpu_look_s": round(self.look_s, 2),
            "busiest": list(self.busiest),
            "load_average": list(self.load_average),
            "uptime_s": self.uptime_s,
            "memory_available_bytes": self.memory_available_bytes,
            "memory_pressure_percent": self.memory_pressure_percent,
            "swap_used_bytes": self.swap_used_bytes,
            "disk_free_bytes": {disk.path: disk.free_bytes for disk in self.disks},
        }


def read_state(host: str, report: HostStateReport, cpus: Sequence[int]) -> HostState:
    """One look at a host that is given `cpus` (all that it has where that is empty). Raises ParseError."""
    try:
        memory = {name: int(number) * 1024 for name, number in _MEMINFO.findall(report.meminfo)}
        shares = {kind: _cpu_percent(report.stat, kind, cpus, report.look_s) for kind in ("busy", "niced", "steal")}
        pressure = _SOME_PRESSURE.search(report.pressure)
        return HostState(
            look_s=report.look_s,
            busy_percent=shares["busy"] - shares["niced"] + shares["steal"],
            niced_percent=shares["niced"],
            steal_percent=shares["steal"],
            load_average=report.load_average,
            uptime_s=report.uptime_s,
            memory_bytes=memory["MemTotal"],
            memory_available_bytes=memory["MemAvailable"],
            swap_used_bytes=memory["SwapTotal"] - memory["SwapFree"],
            swapped_pages_per_s=_swapped_pages(report.vmstat) / report.look_s,
            memory_pressure_percent=float(pressure.group(1)) if pressure else None,
            busiest=tuple(_busy_text(found) for found in report.busiest),
            load_tools=tuple(f"{found.name} (pid {found.pid})" for found in report.load_tools),
            disks=tuple(Disk(found.path, found.free_bytes, found.free_inodes) for found in report.disks),
        )
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ParseError(f"{host}: host_state.py's answer is not complete: {error!r}") from error


def _busy_text(found: BusyProcess) -> str:
    return f"{found.name} (pid {found.pid}, {found.cpu_percent_of_one:.0f} % of a CPU)"


def _cpu_percent(stat: Sequence[str], kind: str, cpus: Sequence[int], look_s: float) -> float:
    before, after = ({name: sample.value for name, sample in parse({"cpu": text}).items()} for text in stat)
    names = [f"cpu.{cpu}.{kind}" for cpu in cpus] or [name for name in after if name.endswith(f".{kind}")]
    used_s = sum(after[name] - before[name] for name in names)
    return 100 * used_s / look_s / len(names)


def _swapped_pages(vmstat: Sequence[str]) -> int:
    before, after = (named_numbers(text, "vmstat") for text in vmstat)
    return sum(pick(after, name, "vmstat") - pick(before, name, "vmstat") for name in ("pswpin", "pswpout"))
