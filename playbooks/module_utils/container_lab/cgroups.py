"""A cgroup of its own for each node where systemd is not PID 1, in every hierarchy that matters, with its CPUs.

Two nodes in one cgroup would manage each other's services: the systemd of each takes all that it finds for its own.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from .commands import ContainerLabError, wait_until
from .cpus import format_cpu_list
from .plan import NODE_PREFIX, Node

KILL_LIMIT_S = 5.0
# Of cgroup v1: `systemd` is where nspawn looks for itself, `cpuset` holds a node to its CPUs.
WANTED_V1 = frozenset({"name=systemd", "cpuset"})


@dataclass(frozen=True)
class Hierarchy:
    """One mounted cgroup hierarchy: where it is, and whether it can hold a node to its CPUs."""

    mount: Path
    version: int
    has_cpuset: bool


def parse_hierarchies(mountinfo: str) -> list[Hierarchy]:
    """The hierarchies that a node needs a cgroup in, of /proc/self/mountinfo's text."""
    found: dict[Path, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount, (kind, _, options) = Path(before.split()[4]), after.split()[:3]
        if kind == "cgroup2":
            found[mount] = Hierarchy(mount, 2, has_cpuset=False)
        elif kind == "cgroup" and WANTED_V1.intersection(options.split(",")):
            found[mount] = Hierarchy(mount, 1, has_cpuset="cpuset" in options.split(","))
    return list(found.values())


def hierarchies() -> list[Hierarchy]:
    """The hierarchies of this machine that a node needs a cgroup in."""
    found = [
        Hierarchy(each.mount, 2, has_cpuset=_enable_cpuset(each.mount)) if each.version == 2 else each  # noqa: PLR2004
        for each in parse_hierarchies(Path("/proc/self/mountinfo").read_text())
    ]
    if not any(each.version == 2 for each in found):  # noqa: PLR2004
        raise ContainerLabError(
            "no cgroup2 file system is mounted here, and a node's systemd needs one: "
            "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
        )
    return found


def _enable_cpuset(mount: Path) -> bool:
    if "cpuset" not in (mount / "cgroup.controllers").read_text().split():
        return False
    switch = mount / "cgroup.subtree_control"
    if "cpuset" in switch.read_text().split():
        return True
    try:
        switch.write_text("+cpuset")
    except OSError:
        # The hierarchy's root holds processes that are not ours to move: CPU affinity has to do.
        return False
    return True


def make(node: Node) -> tuple[list[Path], bool]:
    """Make the node's cgroups; the folders to put its launcher into, and whether a cpuset holds it to its CPUs."""
    folders, held = [], False
    for each in hierarchies():
        folder = each.mount / node.cgroup
        folder.mkdir(exist_ok=True)
        if each.has_cpuset:
            (folder / "cpuset.cpus").write_text(format_cpu_list(node.cpus))
            if each.version == 1:
                (folder / "cpuset.mems").write_text((each.mount / "cpuset.mems").read_text())
            held = True
        folders.append(folder)
    return folders, held


def _folders(node: Node) -> list[Path]:
    mounts = [each.mount for each in parse_hierarchies(Path("/proc/self/mountinfo").read_text())]
    return [folder for mount in mounts if (folder := mount / node.cgroup).is_dir()]


def node_names() -> list[str]:
    """The names of the nodes that have a cgroup, whatever else is left of them."""
    mounts = [each.mount for each in parse_hierarchies(Path("/proc/self/mountinfo").read_text())]
    return [path.name.removeprefix(NODE_PREFIX) for mount in mounts for path in mount.glob(f"{NODE_PREFIX}*")]


def pids(node: Node) -> set[int]:
    """Every process in the node's cgroups and below."""
    found: set[int] = set()
    for folder in _folders(node):
        for procs in folder.rglob("cgroup.procs"):
            try:
                found.update(int(line) for line in procs.read_text().split())
            except OSError:
                # The folder went away with its last process.
                continue
    # 0 stands for a process outside this PID namespace.
    return found - {0}


def kill(node: Node) -> None:
    """End every process in the node's cgroups at once. Raises ContainerLabError when some do not end."""

    def all_gone() -> bool:
        left = pids(node)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left

    if not wait_until(all_gone, KILL_LIMIT_S):
        raise ContainerLabError(f"node {node.name}: processes {sorted(pids(node))} did not end on SIGKILL")


def remove(node: Node) -> bool:
    """Remove the node's empty cgroups; whether there were any."""
    tops = _folders(node)
    for top in tops:
        for folder in sorted([*(path for path in top.rglob("*") if path.is_dir()), top], reverse=True):
            # A cgroup is busy for a moment after its last process has gone.
            if not wait_until(lambda folder=folder: _removed(folder), KILL_LIMIT_S):  # type: ignore[misc]
                raise ContainerLabError(f"{folder}: the cgroup stays busy; look at its cgroup.procs")
    return bool(tops)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
