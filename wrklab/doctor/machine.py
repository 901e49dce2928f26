"""What a look finds; and this machine: what it can do, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wrklab.hosts import container_lab

#: `bad`: a bench is refused, or fails, or its figures are worth nothing; `note` is worth knowing before one.
Level = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """`host` is empty for this machine; `remedy` is a command or an action, empty when nothing is to be done."""

    subject: str
    level: Level
    found: str
    remedy: str = ""
    host: str = ""


#: The base system, two nodes' upper layers, package caches.
_DISK_NEEDED_BYTES = 4 * 2**30
_MEMORY_NEEDED_BYTES = 2 * 2**30
#: A wrk process of 2,000 connections and its reserve; the articles' 25,000 are shared over processes where needed.
_DESCRIPTORS_NEEDED = 4096
_CAP_SYS_RESOURCE = 24
_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")
_LAB_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
}


_PLUGINS_LIMIT_S = 30
_VAGRANT_REMEDY = "only if you want them: install Vagrant with VirtualBox, or apt-get install vagrant-libvirt"


def container_looks() -> list[Callable[[], Finding]]:
    """What the container lab needs of this machine."""
    return [
        _system,
        _root,
        _namespaces,
        _overlay,
        _control_groups,
        _memory_limits,
        _tools,
        _disk,
        _cpus,
        _memory,
        _descriptors,
    ]


def labs(findings: Sequence[Finding]) -> Finding:
    """Which labs this machine can have, by what was found before."""
    is_container_possible = not any(finding.level == "bad" for finding in findings)
    is_vagrant_possible = any(finding.subject == "vagrant" and finding.level == "good" for finding in findings)
    possible = [
        *(["container"] if is_container_possible else []),
        *(["vagrant"] if is_vagrant_possible else []),
        "your own hosts over ssh",
    ]
    return Finding("labs", "good" if is_container_possible else "note", f"possible from here: {', '.join(possible)}")


def _system() -> Finding:
    if platform.system() != "Linux":
        return Finding("system", "bad", platform.system(), "use --lab vagrant, or hosts of your own (docs/labs.md)")
    return Finding("system", "good", f"Linux {platform.release()}, {platform.machine()}")


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", "good", "running as root")
    if problem := container_lab.root_problem():
        found, _, remedy = problem.partition(". ")
        return Finding("root", "bad", found, remedy)
    return Finding("root", "good", "not root; sudo needs no password, and Ansible will use it")


def _namespaces() -> Finding:
    if os.geteuid() != 0:
        return Finding("namespaces", "note", "not tried: needs root", "sudo ./inv doctor")
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"], capture_output=True, check=False
    )
    if tried.returncode == 0:
        return Finding("namespaces", "good", "mount, net, pid, uts and ipc can be made")
    reason = tried.stderr.decode().strip()
    return Finding("namespaces", "bad", reason, "run on a machine, or in a container with CAP_SYS_ADMIN")


def _overlay() -> Finding:
    if "overlay" in Path("/proc/filesystems").read_text(encoding="ascii"):
        return Finding("overlay", "good", "nodes are clones over the base system")
    return Finding("overlay", "note", "no overlayfs yet: nodes are copies (slower)", "modprobe overlay")


def _control_groups() -> Finding:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Finding("cgroups", "good", "version 2")
    if Path("/sys/fs/cgroup/cpuset").is_dir():
        return Finding("cgroups", "good", "version 1 with cpuset")
    return Finding("cgroups", "note", "no cpuset: CPUs are kept apart by affinity only", "mount the cpuset controller")


def _memory_limits() -> Finding:
    """Whether MemoryMax of a node's unit has an effect: systemd within a node needs the controller given to it."""
    try:
        controllers = _CONTROLLERS.read_text(encoding="ascii").split()
    except OSError:
        controllers = []
    if "memory" in controllers:
        return Finding("memory limits", "good", "MemoryMax of a unit holds: the memory controller is version 2")
    return Finding(
        "memory limits",
        "note",
        "MemoryMax of a node's unit has no effect: its systemd has no memory controller (cgroup version 2)",
        "boot with systemd.unified_cgroup_hierarchy=1 where such limits are to be measured",
    )


def _tools() -> Finding:
    missing = sorted({package for tool, package in _LAB_TOOLS.items() if not shutil.which(tool)})
    if not missing:
        return Finding("tools", "good", ", ".join(_LAB_TOOLS))
    if shutil.which("apt-get"):
        words = " ".join(missing)
        return Finding("tools", "note", f"missing: {words}", f"lab.up installs them (apt-get install {words})")
    return Finding("tools", "bad", f"missing: {' '.join(missing)}", "install these packages")


def _disk() -> Finding:
    folder = Path("/var/cache")
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.0f} GiB free below {folder}"
    if free < _DISK_NEEDED_BYTES:
        return Finding("disk", "bad", found, f"make room: {_DISK_NEEDED_BYTES // 2**30} GiB are needed")
    return Finding("disk", "good", found)


def _cpus() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if count > 1:
        return Finding("CPUs", "good", f"{count}")
    return Finding("CPUs", "note", "1: server and generator share it, and every report says so", "use two CPUs or more")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = f"{total / 2**30:.1f} GiB"
    if total < _MEMORY_NEEDED_BYTES:
        return Finding("memory", "bad", found, f"{_MEMORY_NEEDED_BYTES // 2**30} GiB are needed")
    return Finding("memory", "good", found)


def _descriptors() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if _has_capability(_CAP_SYS_RESOURCE):
        return Finding("descriptors", "good", f"hard limit {hard}, and it can be raised")
    if hard < _DESCRIPTORS_NEEDED:
        return Finding("descriptors", "bad", f"hard limit {hard}", f"ulimit -Hn {_DESCRIPTORS_NEEDED} or more")
    found = f"hard limit {hard}, not to be raised here: more connections go over several wrk processes"
    return Finding("descriptors", "good", found)


def _has_capability(number: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return False
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)


def vagrant() -> Finding:
    """Vagrant, and VirtualBox or the libvirt provider."""
    program, virtualbox = shutil.which("vagrant"), shutil.which("VBoxManage")
    if program is None:
        return Finding("vagrant", "note", "no vagrant: virtual machines are not possible here", _VAGRANT_REMEDY)
    if virtualbox:
        return Finding("vagrant", "good", f"{program}, {virtualbox}")
    if "vagrant-libvirt" in _vagrant_plugins(program):
        return Finding("vagrant", "good", f"{program}, vagrant-libvirt")
    return Finding("vagrant", "note", f"{program}, but neither VirtualBox nor vagrant-libvirt", _VAGRANT_REMEDY)


def _vagrant_plugins(program: str) -> str:
    try:
        done = subprocess.run(
            [program, "plugin", "list"], capture_output=True, text=True, timeout=_PLUGINS_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
