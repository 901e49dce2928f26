"""What a host's kernel reports of CPUs, memory, limits of cgroups, clock, and the network interface of the load.

What a host does not have is None or left out.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
import time
from collections.abc import Iterable
from glob import glob
from typing import Any

from wrklab.node import host_look, node_io
from wrklab.node.sampler import own_cgroup, unified_root

_CPUS = "/sys/devices/system/cpu"
_CLOCK = "/sys/devices/system/clocksource/clocksource0"
#: Words of the kernel's command line that bear on speed; the others may say what is nobody's business.
_SPEED_WORDS = re.compile(
    r"(?:mitigations|spectre_v2|spec_store_bypass_disable|l1tf|mds|pti|nopti|kpti|retbleed|srbds|tsx|nosmt|maxcpus|"
    r"isolcpus|nohz|nohz_full|rcu_nocbs|irqaffinity|preempt|idle|clocksource|tsc|transparent_hugepage|numa_balancing|"
    r"intel_pstate|amd_pstate|intel_idle\.max_cstate|processor\.max_cstate|cgroup_no_v1|"
    r"systemd\.unified_cgroup_hierarchy)(?:=.*)?"
)
#: Controllers of cgroups whose limits concern a server.
_CONTROLLERS = frozenset({"cpu", "cpuset", "memory", "pids"})
#: cgroup v1 shows a memory without limit as a number near 2^63.
_V1_UNLIMITED_BYTES = 1 << 60
_NET = "/sys/class/net"
# linux/sockios.h and linux/ethtool.h: the old calls, which need no library and which every driver answers.
_SIOCETHTOOL = 0x8946
_GET_DRIVER = 0x03
_GET_VALUE = {
    "receive_checksums": 0x14,
    "transmit_checksums": 0x16,
    "scatter_gather": 0x18,
    "tcp_segmentation": 0x1E,
    "generic_segmentation": 0x23,
    "generic_receive": 0x2B,
}
#: struct ethtool_drvinfo: u32 cmd, char driver[32], version[32], fw_version[32], bus_info[32], ...
_DRIVER_BYTES = 196
_NAME_BYTES = 32


def cpu() -> dict[str, Any]:
    """Model, counts, what may be used, what makes its speed change."""
    info = node_io.read_text("/proc/cpuinfo") or ""
    model = re.search(r"^(?:model name|Model|CPU part)\s*:\s*(.*)$", info, re.MULTILINE)
    allowed = sorted(os.sched_getaffinity(0))
    return {
        "model": model.group(1).strip() if model else "",
        "microcode": _field(info, "microcode"),
        "cache": _field(info, "cache size"),
        "seen_count": os.cpu_count(),
        "allowed": allowed,
        "online": node_io.line(f"{_CPUS}/online"),
        "isolated": node_io.line(f"{_CPUS}/isolated") or None,
        "smt": node_io.line(f"{_CPUS}/smt/control"),
        "siblings": {str(number): _sibling(number) for number in allowed},
        "governors": _each("cpufreq/scaling_governor"),
        "drivers": _each("cpufreq/scaling_driver"),
        "turbo": turbo(),
        "numa_nodes_count": len(glob("/sys/devices/system/node/node[0-9]*")) or None,
    }


def cpu_mhz() -> list[float]:
    """Of each CPU that is seen, just now."""
    info = node_io.read_text("/proc/cpuinfo") or ""
    return [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", info, re.MULTILINE)]


def turbo() -> bool | None:
    """Whether CPUs may run above their nominal frequency; None where the kernel does not say (in most VMs)."""
    if disabled := node_io.line(f"{_CPUS}/intel_pstate/no_turbo"):
        return disabled == "0"
    if boost := node_io.line(f"{_CPUS}/cpufreq/boost"):
        return boost == "1"
    return None


def _field(info: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*:\s*(.*)$", info, re.MULTILINE)
    return found.group(1).strip() if found else None


def _sibling(number: int) -> str | None:
    """The CPUs that are threads of the same core as this one, it included."""
    return node_io.line(f"{_CPUS}/cpu{number}/topology/thread_siblings_list")


def _each(name: str) -> list[str]:
    """The values that a file of each CPU has, each once."""
    found = {node_io.line(path) for path in glob(f"{_CPUS}/cpu[0-9]*/{name}")}
    return sorted(value for value in found if value)


def memory() -> dict[str, int]:
    """Total and swap, bytes. What is free of it is a matter of the moment (host_state.py)."""
    rows = dict(re.findall(r"^(\w+):\s+(\d+) kB$", node_io.read_text("/proc/meminfo") or "", re.MULTILINE))
    names = {"total": "MemTotal", "swap_total": "SwapTotal", "hugepages": "Hugetlb"}
    return {name: int(rows[key]) * 1024 for name, key in names.items() if key in rows}


def cgroup_limits() -> dict[str, Any]:
    """The tightest of the limits that this process and a system unit are under, as far as they can be seen from here.

    `cpus_count`: quota / period, in CPUs. `cpuset`: as the kernel writes it. None: no limit is seen. A container does
    not see the limits of the cgroups that it lies in. `unit_controllers`: what systemd can limit and count for a unit
    here; without `memory`, say, MemoryMax of a unit has no effect.
    """
    root = unified_root()
    v1_folders = _v1_folders()
    folders = {*_upwards(root, own_cgroup()[len(root) :]), *_upwards(root, "/system.slice"), *v1_folders}
    return {
        "version": 1 if unified_root().endswith("/unified") else 2,
        "cpus_count": _least(_cpus_count(folder) for folder in folders),
        "cpuset": _first(folders, ("cpuset.cpus.effective", "cpuset.effective_cpus")),
        "memory_bytes": _least(_number(folder, ("memory.max", "memory.limit_in_bytes")) for folder in folders),
        "unit_controllers": sorted(_unit_controllers(root, v1_folders)),
        "tasks_count": _least(_number(folder, ("pids.max",)) for folder in folders),
    }


def _unit_controllers(root: str, v1_folders: Iterable[str]) -> set[str]:
    """Of version 2 as its root lists them; of version 1 those that are mounted here."""
    listed = (node_io.line(f"{root}/cgroup.controllers") or "").split()
    mounted = [folder.removeprefix("/sys/fs/cgroup/").split("/")[0].split(",") for folder in v1_folders]
    return {*listed, *(name for names in mounted for name in names)} & _CONTROLLERS


def _v1_folders() -> set[str]:
    """Where version 1 keeps the limits of this process: a tree each for CPUs, memory and tasks."""
    found: set[str] = set()
    for row in (node_io.read_text("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = row.split(":", 2)
        mounted = f"/sys/fs/cgroup/{controllers}"
        if _CONTROLLERS & set(controllers.split(",")) and os.path.isdir(mounted):
            found |= _upwards(mounted, path)
    return found


def _upwards(mounted: str, path: str) -> set[str]:
    """The folder of a cgroup and of all that it lies in, up to where cgroups are mounted."""
    found = {mounted}
    while path.strip("/"):
        found.add(mounted + path)
        path = path.rpartition("/")[0]
    return found


def _cpus_count(folder: str) -> float | None:
    words = (node_io.line(f"{folder}/cpu.max") or "").split()
    if not words:
        words = [node_io.line(f"{folder}/cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
    numbers = [int(word) for word in words if word.isdecimal()]
    return round(numbers[0] / numbers[1], 3) if len(numbers) == 2 and numbers[1] else None  # noqa: PLR2004  quota, period


def _number(folder: str, names: tuple[str, ...]) -> int | None:
    for name in names:
        text = node_io.line(f"{folder}/{name}") or ""
        if text.isdecimal() and int(text) < _V1_UNLIMITED_BYTES:
            return int(text)
    return None


def _first(folders: set[str], names: tuple[str, ...]) -> str | None:
    """The deepest folder's word: of cpusets the one below is never larger."""
    for folder in sorted(folders, key=len, reverse=True):
        for name in names:
            if text := node_io.line(f"{folder}/{name}"):
                return text
    return None


def _least(values: Any) -> Any:  # noqa: ANN401  numbers of either kind, None among them
    return min((value for value in values if value is not None), default=None)


def command_line() -> list[str]:
    """Of the kernel's command line what bears on speed."""
    return [word for word in (node_io.line("/proc/cmdline") or "").split() if _SPEED_WORDS.fullmatch(word)]


def vulnerabilities() -> dict[str, str]:
    """What the kernel does about each flaw of the CPUs that concerns this one: mitigations cost speed."""
    paths = sorted(glob(f"{_CPUS}/vulnerabilities/*"))
    found = {os.path.basename(path): node_io.line(path) or "" for path in paths}
    return {name: text for name, text in found.items() if text != "Not affected"}


def virtualisation() -> dict[str, str]:
    """systemd-detect-virt's words for container and machine; `none` where there is none."""
    kinds = ("container", "vm")
    return {kind: node_io.run(["systemd-detect-virt", f"--{kind}"]).output.strip() for kind in kinds}


def clock_source() -> dict[str, str | None]:
    """What the kernel reads the time from: reading some of them costs a system call each."""
    return {name: node_io.line(f"{_CLOCK}/{name}_clocksource") for name in ("current", "available")}


def chosen(path: str) -> str | None:
    """The word in brackets of `always [madvise] never`."""
    found = re.search(r"\[(.+?)\]", node_io.line(path) or "")
    return found.group(1) if found else None


def pace_s() -> float:
    """Seconds of CPU for a fixed computation in Python, the quickest of three; emulated, it is twenty fold."""
    took = []
    for _ in range(3):
        began = time.process_time()
        sum(number * number for number in range(100_000))
        took.append(time.process_time() - began)
    return min(took)


def interface(address: str) -> dict[str, Any] | None:
    """The interface that has an address (or a host's name for it), else the one that leads there; None without either,
    and for a name that its host knows as its loopback.

    `speed_mbit_per_s` is what the driver says; a virtual one makes it up, or says nothing.
    """
    name = _interface_name(address)
    if name is None:
        return None
    folder = f"{_NET}/{name}"
    speed = node_io.line(f"{folder}/speed") or ""
    return {
        "interface": name,
        "driver": _interface_driver(name),
        "mtu_bytes": int(node_io.line(f"{folder}/mtu") or 0) or None,
        "speed_mbit_per_s": int(speed) if speed.isdecimal() else None,
        "duplex": node_io.line(f"{folder}/duplex"),
        "queues": sorted(os.listdir(f"{folder}/queues")) if os.path.isdir(f"{folder}/queues") else [],
        "receive_packet_steering": node_io.line(f"{folder}/queues/rx-0/rps_cpus"),
        "offloads": {word: _offload(name, code) for word, code in _GET_VALUE.items()},
    }


def _interface_name(address: str) -> str | None:
    number = host_look.number_of(address)
    if number is None or host_look.is_loopback_name(address):
        return None
    own = node_io.run(["ip", "-o", "address", "show", "to", number])
    if own.exit_code == 0 and own.output.strip():
        return own.output.split()[1].partition("@")[0]
    # Behind an address translation no interface has the address.
    route = re.search(r"\bdev (\S+)", node_io.run(["ip", "-o", "route", "get", number]).output)
    return route.group(1) if route else None


def _interface_driver(name: str) -> str | None:
    answer = _ethtool(name, struct.pack("I", _GET_DRIVER).ljust(_DRIVER_BYTES, b"\0"))
    return answer[4 : 4 + _NAME_BYTES].rstrip(b"\0").decode("ascii", "replace") if answer else None


def _offload(name: str, code: int) -> bool | None:
    answer = _ethtool(name, struct.pack("II", code, 0))
    return bool(struct.unpack("II", answer)[1]) if answer else None


def _ethtool(name: str, question: bytes) -> bytes | None:
    """The driver's answer to one of ethtool's questions; None where it has none to this."""
    buffer = array.array("B", question)
    # struct ifreq: the interface's name, then a pointer to the question.
    request = struct.pack("16sP", name.encode(), buffer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        try:
            fcntl.ioctl(channel, _SIOCETHTOOL, request)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ENODEV):
                return None
            raise
    return buffer.tobytes()
