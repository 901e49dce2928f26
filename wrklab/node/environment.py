"""Prints what this host is, as one JSON object: whatever may explain why two runs differ."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from glob import glob
from typing import Any

sys.path.insert(0, __file__.rpartition("/")[0])

import node_io
from load_ctl import descriptor_ceiling

_SYSCTLS = (
    "fs/file-max",
    "fs/nr_open",
    "kernel/pid_max",
    "kernel/threads-max",
    "net/core/netdev_max_backlog",
    "net/core/somaxconn",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/tcp_abort_on_overflow",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_fin_timeout",
    "net/ipv4/tcp_max_syn_backlog",
    "net/ipv4/tcp_max_tw_buckets",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_syncookies",
    "net/ipv4/tcp_tw_reuse",
    "net/ipv4/tcp_wmem",
    "vm/max_map_count",
    "vm/swappiness",
)
_STACKS = "/opt/wrklab/stacks"
_OPENRESTY_SOURCE = "/opt/wrklab/openresty/source.json"
_GO_BUILD_INFO = b"\xff Go buildinf:"
_GO_SEARCH_BYTES = 1 << 24


def environment() -> dict[str, Any]:
    """Hardware, kernel, limits, settings, versions, clock. What a host does not have is None or left out."""
    return {
        "hostname": os.uname().nodename,
        "clock_at": time.time(),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "os_release": _os_release(),
        "virtualisation": _virtualisation(),
        "cpu": _cpu(),
        "memory_bytes": _memory(),
        "limits": _limits(),
        "sysctls": {name.replace("/", "."): value for name in _SYSCTLS if (value := _line(f"/proc/sys/{name}"))},
        "versions": _versions(),
        "stacks": _stacks(),
        "openresty": _openresty(),
        "load_average": [float(word) for word in (_line("/proc/loadavg") or "").split()[:3]],
        "uptime_s": float((_line("/proc/uptime") or "0").split()[0]),
    }


def _line(path: str) -> str | None:
    text = node_io.read_text(path)
    return " ".join(text.split()) if text is not None else None


def _os_release() -> dict[str, str]:
    rows = (line.partition("=") for line in (node_io.read_text("/etc/os-release") or "").splitlines())
    fields = {name: value.strip('"') for name, _, value in rows if value}
    return {name.lower(): fields[name] for name in ("ID", "VERSION_ID", "PRETTY_NAME") if name in fields}


def _virtualisation() -> dict[str, str]:
    """systemd-detect-virt's words for container and machine; `none` where there is none."""
    kinds = ("container", "vm")
    return {kind: node_io.run(["systemd-detect-virt", f"--{kind}"]).output.strip() for kind in kinds}


def _cpu() -> dict[str, Any]:
    info = node_io.read_text("/proc/cpuinfo") or ""
    model = re.search(r"^(?:model name|Model|CPU part)\s*:\s*(.*)$", info, re.MULTILINE)
    governors = {_line(path) for path in glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")}
    return {
        "model": model.group(1) if model else "",
        "seen_count": os.cpu_count(),
        "allowed": sorted(os.sched_getaffinity(0)),
        "governors": sorted(governor for governor in governors if governor),
        "mhz": [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", info, re.MULTILINE)],
    }


def _memory() -> dict[str, int]:
    """Total, available and swap, bytes."""
    rows = dict(re.findall(r"^(\w+):\s+(\d+) kB$", node_io.read_text("/proc/meminfo") or "", re.MULTILINE))
    names = {"total": "MemTotal", "available": "MemAvailable", "swap_total": "SwapTotal"}
    return {name: int(rows[key]) * 1024 for name, key in names.items() if key in rows}


def _limits() -> dict[str, Any]:
    low, high = (int(word) for word in (_line("/proc/sys/net/ipv4/ip_local_port_range") or "0 0").split())
    return {
        "unit_descriptors_max": descriptor_ceiling(),
        "own_descriptors_hard": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "local_ports": [low, high],
        "local_ports_count": high - low + 1,
    }


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    patterns = {
        "wrk": (["wrk", "-v"], r"wrk (\S+)"),
        "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
        "openresty": (["openresty", "-v"], r"openresty/(\S+)"),
        "systemd": (["systemctl", "--version"], r"\((\S+)\)"),
    }
    for name, (argv, pattern) in patterns.items():
        match = re.search(pattern, node_io.run(argv, limit_s=5.0).output)
        if match:
            found[name] = match.group(1)
    return found


def _stacks() -> dict[str, dict[str, Any]]:
    """By stack: what its venv holds, the Go version that its binary was built with."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted(glob(f"{_STACKS}/*")):
        entry: dict[str, Any] = {}
        packages = _packages(f"{folder}/venv")
        if packages:
            entry["packages"] = packages
            entry["python"] = _python_of(f"{folder}/venv")
        go_version = _go_version(f"{folder}/app/server")
        if go_version:
            entry["go"] = go_version
        found[os.path.basename(folder)] = entry
    return found


def _openresty() -> dict[str, Any] | None:
    """Which build serves the Lua variants, and its version, as deploy noted it; None where there is none."""
    text = node_io.read_text(_OPENRESTY_SOURCE)
    return dict(json.loads(text)) if text else None


def _packages(venv: str) -> dict[str, str]:
    """Name and version of each distribution in a venv, from the names of its dist-info folders."""
    folders = (os.path.basename(path) for path in glob(f"{venv}/lib/python3*/site-packages/*.dist-info"))
    parts = (name.removesuffix(".dist-info").partition("-") for name in sorted(folders))
    return {name.lower().replace("_", "-"): version for name, _, version in parts}


def _python_of(venv: str) -> str | None:
    match = re.search(r"^version(?:_info)?\s*=\s*(\S+)$", node_io.read_text(f"{venv}/pyvenv.cfg") or "", re.MULTILINE)
    return match.group(1) if match else None


def _go_version(binary: str) -> str | None:
    """The version that a Go program carries in itself (since Go 1.18: a length, then the text, after 32 bytes)."""
    try:
        with open(binary, "rb") as stream:
            data = stream.read(_GO_SEARCH_BYTES)
    except OSError:
        return None
    start = data.find(_GO_BUILD_INFO)
    if start < 0:
        return None
    length = data[start + 32]
    return data[start + 33 : start + 33 + length].decode("ascii", "replace")


if __name__ == "__main__":
    node_io.answer(environment())
