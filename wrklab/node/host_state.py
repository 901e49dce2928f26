"""Looks at what goes on on this host now, for a while, and prints it as one JSON object.

    host_state.py <base64 of {"look_s": 1.0, "paths": ["/var/lib/wrklab"]}>

{"look_s", "load_average", "uptime_s", "stat": [/proc/stat before, after], "vmstat": [before, after], "meminfo",
"pressure", "busiest": [{"pid", "name", "cpu_percent_of_one"}], "load_tools": [{"pid", "name"}],
"disks": [{"path", "free_bytes", "size_bytes", "free_inodes"}]}

Nothing is judged here: wrklab/hosts/preflight.py does.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

sys.path.insert(0, __file__.rpartition("/")[0])

import node_io

#: Programs that make load: one that runs while a bench begins belongs to another one.
LOAD_TOOLS = frozenset(
    {"wrk", "wrk2", "ab", "hey", "h2load", "k6", "bombardier", "vegeta", "oha", "siege", "locust", "autocannon"}
)
_BUSIEST_COUNT = 3
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: In /proc/<pid>/stat behind the name: user and system time, ticks.
_USER_FIELD, _SYSTEM_FIELD = 11, 12


def state(spec: dict[str, Any]) -> dict[str, Any]:
    """Raw text of the kernel at both ends of a look, and the processes that used CPU within it."""
    before = _process_ticks()
    began = time.monotonic()
    stat, vmstat = [_cpu_lines()], [_swap_lines()]
    time.sleep(float(spec["look_s"]))
    stat.append(_cpu_lines())
    vmstat.append(_swap_lines())
    look_s = time.monotonic() - began
    after = _process_ticks()
    return {
        "look_s": look_s,
        "load_average": [float(word) for word in (node_io.line("/proc/loadavg") or "").split()[:3]],
        "uptime_s": float((node_io.line("/proc/uptime") or "0").split()[0]),
        "stat": stat,
        "vmstat": vmstat,
        "meminfo": node_io.read_text("/proc/meminfo") or "",
        "pressure": node_io.read_text("/proc/pressure/memory") or "",
        "busiest": _busiest(before, after, look_s),
        "load_tools": [{"pid": pid, "name": name} for pid, (name, _) in sorted(after.items()) if name in LOAD_TOOLS],
        "disks": [_disk(path) for path in spec["paths"] if os.path.isdir(path)],
    }


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
) -> list[dict[str, Any]]:
    """The processes that used most CPU within the look, the busiest first; those that used none are left out."""
    used = {pid: ticks - before.get(pid, ("", 0))[1] for pid, (_, ticks) in after.items()}
    ordered = sorted((pid for pid, ticks in used.items() if ticks > 0), key=lambda pid: -used[pid])[:_BUSIEST_COUNT]
    return [
        {"pid": pid, "name": after[pid][0], "cpu_percent_of_one": round(100 * used[pid] / _TICKS_PER_S / look_s, 1)}
        for pid in ordered
    ]


def _disk(path: str) -> dict[str, Any]:
    """What a file system has left; of inodes None where it does not count them (btrfs)."""
    found = os.statvfs(path)
    return {
        "path": path,
        "free_bytes": found.f_bavail * found.f_frsize,
        "size_bytes": found.f_blocks * found.f_frsize,
        "free_inodes": found.f_favail if found.f_files else None,
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  the script and its spec
        node_io.refuse("host_state.py <spec>")
    node_io.answer(state(node_io.read_spec(sys.argv[1])))
