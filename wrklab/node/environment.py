"""Prints what this host is, as one JSON object: whatever may explain why two runs differ.

    environment.py [<load address>]

What changes from one moment to the next stands under `moment`, and nowhere else, so that comparisons can leave it out.
No environment variables, no keys, and of the kernel's command line only what bears on speed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

sys.path.insert(0, __file__.rpartition("/")[0])

import environment_hardware as hardware
import environment_network as network
import environment_software as software
import host_look
import local_ports
import node_io
from load_ctl import descriptor_ceiling

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
        "os_release": software.os_release(),
        "virtualisation": hardware.virtualisation(),
        "cpu": hardware.cpu(),
        "memory_bytes": hardware.memory(),
        "cgroup_limits": hardware.cgroup_limits(),
        "clock_source": hardware.clock_source(),
        "network": network.interface(address) if address else None,
        "limits": _limits(),
        "sysctls": {name.replace("/", "."): value for name in _SYSCTLS if (value := node_io.line(f"/proc/sys/{name}"))},
        "sysctls_before": _sysctls_before(),
        "versions": software.versions(),
        "packages": software.debian_packages(),
        "wrk_build": software.wrk_build(),
        "stacks": software.stacks(),
        "openresty": software.openresty(),
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
        "local_ports_count": local_ports.all_count(),
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
        node_io.refuse(f"{_SYSCTLS_BEFORE} is no JSON object ({error}): `invoke provision` writes it anew once removed")


if __name__ == "__main__":
    node_io.answer(environment(sys.argv[1] if len(sys.argv) > 1 else ""))
