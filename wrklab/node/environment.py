"""Prints what this host is: whatever may explain why two runs differ.

    environment.py [<load address>]     prints Environment

What changes from one sampling instant to the next stands under `moment`, and nowhere else, so that comparisons can
leave it out. No environment variables, no keys, and of the kernel's command line only what bears on speed.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from glob import glob
from typing import Any

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import hardware, host_look, node_io, sock_diag
from wrklab.node.load_ctl import descriptor_ceiling
from wrklab.protocol.host import Environment

_SYSCTLS = (
    "fs/file-max",
    "fs/nr_open",
    "kernel/pid_max",
    "kernel/sched_autogroup_enabled",
    "kernel/threads-max",
    "net/core/default_qdisc",
    "net/core/netdev_budget",
    "net/core/netdev_max_backlog",
    "net/core/rmem_max",
    "net/core/somaxconn",
    "net/core/wmem_max",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/tcp_abort_on_overflow",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_fin_timeout",
    "net/ipv4/tcp_max_orphans",
    "net/ipv4/tcp_max_syn_backlog",
    "net/ipv4/tcp_max_tw_buckets",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_syncookies",
    "net/ipv4/tcp_tw_reuse",
    "net/ipv4/tcp_wmem",
    "net/netfilter/nf_conntrack_max",
    "vm/max_map_count",
    "vm/overcommit_memory",
    "vm/swappiness",
)
#: What the settings were before provisioning first changed them (playbooks/library/kernel_settings.py).
_SYSCTLS_BEFORE = "/var/lib/wrklab/sysctl_before.json"
_STACKS = "/opt/wrklab/stacks"
_OPENRESTY_SOURCE = "/opt/wrklab/openresty/source.json"
_GO_BUILD_INFO = b"\xff Go buildinf:"
_SEARCH_BYTES = 1 << 24
#: Debian's packages whose revision may explain a difference; those that are not installed are left out.
_PACKAGES = (
    "wrk", "libluajit-5.1-2", "libluajit2-5.1-2", "nginx", "nginx-light", "libnginx-mod-http-lua", "openresty",
    "lua-resty-core", "libc6", "libssl3", "libssl3t64", "python3", "python3-minimal", "systemd", "iproute2",
)  # fmt: skip


def environment(address: str) -> dict[str, Any]:
    """Hardware, kernel, limits, settings, versions, clock. What a host does not have is None or left out."""
    return {
        "hostname": os.uname().nodename,
        "kernel": {
            "release": os.uname().release,
            "version": os.uname().version,
            "machine": os.uname().machine,
            "command_line": hardware.command_line(),
            "vulnerabilities": hardware.vulnerabilities(),
            "transparent_hugepages": hardware.chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        },
        "os_release": os_release(),
        "virtualisation": hardware.virtualisation(),
        "cpu": hardware.cpu(),
        "memory_bytes": hardware.memory(),
        "cgroup_limits": hardware.cgroup_limits(),
        "clock_source": hardware.clock_source(),
        "network": hardware.interface(address) if address else None,
        "limits": _limits(),
        "sysctls": {name.replace("/", "."): value for name in _SYSCTLS if (value := node_io.line(f"/proc/sys/{name}"))},
        "sysctls_before": _sysctls_before(),
        "versions": versions(),
        "packages": debian_packages(),
        "wrk_build": wrk_build(),
        "stacks": stacks(),
        "openresty": openresty(),
        "moment": {
            "clock_at_s": time.time(),
            "cpu_mhz": hardware.cpu_mhz(),
            "identity": host_look.machine(),
            "pace_s": hardware.pace_s(),
        },
    }


def _limits() -> dict[str, Any]:
    low, high = (int(word) for word in (node_io.line("/proc/sys/net/ipv4/ip_local_port_range") or "0 0").split())
    return {
        "unit_descriptors_max": descriptor_ceiling(),
        "own_descriptors_hard": _hard(resource.RLIMIT_NOFILE),
        "own_processes_hard": _hard(resource.RLIMIT_NPROC),
        "local_ports": [low, high],
        "local_ports_count": sock_diag.local_ports_count(),
    }


def _hard(kind: int) -> int | None:
    """A limit that may not be raised; None: unlimited."""
    found = resource.getrlimit(kind)[1]
    return None if found == resource.RLIM_INFINITY else found


def _sysctls_before() -> dict[str, str] | None:
    """By name, what provisioning found, as text; None where it never changed anything."""
    text = node_io.read_text(_SYSCTLS_BEFORE)
    try:
        return {str(name): str(value) for name, value in json.loads(text).items()} if text else None
    except (ValueError, AttributeError) as error:
        node_io.refuse(
            f"{_SYSCTLS_BEFORE} is no JSON object ({error}): `invoke provision` writes it again once it is removed"
        )


def os_release() -> dict[str, str]:
    """`id`, `version_id` and `pretty_name` of /etc/os-release, and Debian's point release."""
    rows = (line.partition("=") for line in (node_io.read_text("/etc/os-release") or "").splitlines())
    fields = {name: value.strip('"') for name, _, value in rows if value}
    found = {name.lower(): fields[name] for name in ("ID", "VERSION_ID", "PRETTY_NAME") if name in fields}
    point = node_io.line("/etc/debian_version")
    return found | ({"debian_version": point} if point else {})


def versions() -> dict[str, str]:
    """By program, the version that it reports."""
    found = {"python": sys.version.split()[0]}
    patterns = {
        "wrk": (["wrk", "-v"], r"wrk (\S+)"),
        "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
        "openresty": (["openresty", "-v"], r"openresty/(\S+)"),
        "systemd": (["systemctl", "--version"], r"\((\S+)\)"),
        "openssl": (["openssl", "version"], r"OpenSSL (\S+)"),
    }
    for name, (argv, pattern) in patterns.items():
        match = re.search(pattern, node_io.run(argv).output)
        if match:
            found[name] = match.group(1)
    return found


def debian_packages() -> dict[str, str]:
    """Versions with Debian's revision, by package; {} on a host without dpkg."""
    listed = node_io.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}|${Package}|${Version}\n", *_PACKAGES]
    )
    rows = [line.split("|") for line in listed.output.splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0].startswith("ii")}  # noqa: PLR2004  as shown


def wrk_build() -> dict[str, str | None] | None:
    """What wrk was made with: how it waits for sockets, and the LuaJIT that runs its scripts; None without wrk."""
    version = node_io.run(["wrk", "-v"]).output
    if not version.startswith("wrk "):
        return None
    polls = re.search(r"\[(\w+)\]", version)
    return {"polls_by": polls.group(1) if polls else None, "luajit": _luajit(node_io.run(["sh", "-c", _LINKED]).output)}


_LINKED = 'exec ldd "$(command -v wrk)"'


def _luajit(linked: str) -> str | None:
    """The version that the library wrk is linked with carries in itself, or wrk where it has none."""
    paths = re.findall(r"(/\S*libluajit\S*) \(", linked) or re.findall(r"^(/\S*/wrk)", linked, re.MULTILINE)
    return _search(paths[0], rb"LuaJIT (\d[\w.+-]*)") if paths else None


def stacks() -> dict[str, dict[str, Any]]:
    """By stack: what its venv holds, the Go version that its binary was built with."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted(glob(f"{_STACKS}/*")):
        entry: dict[str, Any] = {}
        packages = _packages(f"{folder}/venv")
        if packages:
            entry["packages"] = packages
            entry["python"] = _python_of(f"{folder}/venv")
        # A user's application has one for each server program.
        for venv in sorted(glob(f"{folder}/venv_*")):
            entry[os.path.basename(venv)] = {"packages": _packages(venv), "python": _python_of(venv)}
        go_version = _go_version(f"{folder}/app/server")
        if go_version:
            entry["go"] = go_version
        found[os.path.basename(folder)] = entry
    return found


def openresty() -> dict[str, Any] | None:
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


def _search(path: str, pattern: bytes) -> str | None:
    """The group of a pattern in a binary file's first part; None without the file or the pattern."""
    match = re.search(pattern, _first_bytes(path))
    return match.group(1).decode("ascii", "replace") if match else None


def _go_version(binary: str) -> str | None:
    """The version that a Go program carries in itself (since Go 1.18: a length, then the text, after 32 bytes)."""
    data = _first_bytes(binary)
    start = data.find(_GO_BUILD_INFO)
    if start < 0:
        return None
    length = data[start + 32]
    return data[start + 33 : start + 33 + length].decode("ascii", "replace")


def _first_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(_SEARCH_BYTES)
    except OSError:
        return b""


if __name__ == "__main__":
    node_io.answer(Environment(facts=environment(sys.argv[1] if len(sys.argv) > 1 else "")))
