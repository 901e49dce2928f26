"""Looks at what goes on on this host now, for a while, and prints the kernel's texts.

    host_state.py <HostStateSpec>       prints HostStateReport

Nothing is judged here: wrklab/hosts/preflight.py does.
"""

from __future__ import annotations

import os
import sys
import time

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import node_io
from wrklab.protocol.host import BusyProcess, DiskSpace, HostStateReport, HostStateSpec, LoadTool

#: Programs that make load: one that runs while a bench begins belongs to another one.
LOAD_TOOLS = frozenset(
    {"wrk", "wrk2", "ab", "hey", "h2load", "k6", "bombardier", "vegeta", "oha", "siege", "locust", "autocannon"}
)
_BUSIEST_COUNT = 3
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: In /proc/<pid>/stat behind the name: user and system time, ticks.
_USER_FIELD, _SYSTEM_FIELD = 11, 12


def state(spec: HostStateSpec) -> HostStateReport:
    """Raw text of the kernel at both ends of a look, and the processes that used CPU within it."""
    before = _process_ticks()
    began = time.monotonic()
    stat_before, vmstat_before = _cpu_lines(), _swap_lines()
    time.sleep(spec.look_s)
    stat, vmstat = (stat_before, _cpu_lines()), (vmstat_before, _swap_lines())
    look_s = time.monotonic() - began
    after = _process_ticks()
    first, second, third, *_ = (node_io.line("/proc/loadavg") or "").split()
    return HostStateReport(
        look_s=look_s,
        load_average=(float(first), float(second), float(third)),
        uptime_s=float((node_io.line("/proc/uptime") or "").split()[0]),
        stat=stat,
        vmstat=vmstat,
        meminfo=node_io.read_text("/proc/meminfo") or "",
        pressure=node_io.read_text("/proc/pressure/memory") or "",
        busiest=_busiest(before, after, look_s),
        load_tools=tuple(
            LoadTool(pid=pid, name=name) for pid, (name, _) in sorted(after.items()) if name in LOAD_TOOLS
        ),
        disks=tuple(_disk(path) for path in spec.paths if os.path.isdir(path)),
    )


def _cpu_lines() -> str:
    text = node_io.read_text("/proc/stat") or ""
    return "".join(row for row in text.splitlines(keepends=True) if row.startswith("cpu"))


def _swap_lines() -> str:
    text = node_io.read_text("/proc/vmstat") or ""
    return "".join(row for row in text.splitlines(keepends=True) if row.startswith("pswp"))


def _process_ticks() -> dict[int, tuple[str, int]]:
    """Name and CPU ticks so far of every process, by pid, but this one."""
    found = {}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        text = node_io.read_text(f"/proc/{pid}/stat")
        if text and int(pid) != os.getpid():
            fields = text.rpartition(")")[2].split()
            ticks = int(fields[_USER_FIELD]) + int(fields[_SYSTEM_FIELD])
            found[int(pid)] = (text.partition("(")[2].rpartition(")")[0], ticks)
    return found


def _busiest(
    before: dict[int, tuple[str, int]], after: dict[int, tuple[str, int]], look_s: float
) -> tuple[BusyProcess, ...]:
    """The processes that used most CPU within the look, the busiest first; those that used none are left out."""
    used = {pid: ticks - before.get(pid, ("", 0))[1] for pid, (_, ticks) in after.items()}
    ordered = sorted((pid for pid, ticks in used.items() if ticks > 0), key=lambda pid: -used[pid])[:_BUSIEST_COUNT]
    return tuple(
        BusyProcess(pid=pid, name=after[pid][0], cpu_percent_of_one=round(100 * used[pid] / _TICKS_PER_S / look_s, 1))
        for pid in ordered
    )


def _disk(path: str) -> DiskSpace:
    """What a file system has left."""
    found = os.statvfs(path)
    return DiskSpace(
        path=path,
        free_bytes=found.f_bavail * found.f_frsize,
        size_bytes=found.f_blocks * found.f_frsize,
        free_inodes=found.f_favail if found.f_files else None,
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  the script and its spec
        node_io.refuse("host_state.py <HostStateSpec>")
    node_io.answer(state(node_io.read_spec(HostStateSpec, sys.argv[1])))
