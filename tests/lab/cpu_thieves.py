"""What takes a node's CPU from it: a quota set on this machine, a neighbour on its CPUs, a service on the node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from container_lab import cgroups, plan

from wrklab.hosts.inventory import LabHost
from wrklab.hosts.remote import RemoteHost

_PERIOD_US = 100_000
_V1_CPU = Path("/sys/fs/cgroup/cpu")
_BURN = "while True: pass"
_QUOTA_GROUP = "wrklab-test-quota"


@contextmanager
def quota(host: LabHost, cpus: float) -> Iterator[None]:
    """The whole node has this many CPUs at most, by a limit on this machine that the node itself cannot see."""
    node = plan.Node(host.name, host.group, host.address, host.cpus)
    if (_V1_CPU / "cpu.cfs_quota_us").exists() or (_V1_CPU / "tasks").exists():
        with _quota_v1(node, cpus):
            yield
    else:
        with _quota_v2(node, cpus):
            yield


@contextmanager
def _quota_v1(node: plan.Node, cpus: float) -> Iterator[None]:
    folder = _V1_CPU / _QUOTA_GROUP
    folder.mkdir(exist_ok=True)
    (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
    (folder / "cpu.cfs_quota_us").write_text(str(round(cpus * _PERIOD_US)))
    try:
        _move(cgroups.pids(node), folder)
        yield
    finally:
        (folder / "cpu.cfs_quota_us").write_text("-1")
        while found := {int(line) for line in (folder / "cgroup.procs").read_text().split()}:
            _move(found, _V1_CPU)
        folder.rmdir()


def _move(pids: set[int], folder: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            (folder / "cgroup.procs").write_text(str(pid))


@contextmanager
def _quota_v2(node: plan.Node, cpus: float) -> Iterator[None]:
    limits = [each.mount / node.cgroup / "cpu.max" for each in cgroups.hierarchies()]
    limit = next((path for path in limits if path.exists()), None)
    if limit is None:
        pytest.skip("no cpu controller for the node's cgroup here: a quota from outside was not tried")
    before = limit.read_text()
    limit.write_text(f"{round(cpus * _PERIOD_US)} {_PERIOD_US}")
    try:
        yield
    finally:
        limit.write_text(before)


@contextmanager
def neighbour(cpus: tuple[int, ...]) -> Iterator[None]:
    """A process of this machine that burns each of these CPUs."""
    burners = [subprocess.Popen(["taskset", "--cpu-list", str(cpu), sys.executable, "-c", _BURN]) for cpu in cpus]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def other_service(host: RemoteHost) -> Iterator[None]:
    """Another unit on the host that burns a CPU."""
    unit = "burner-of-a-test"  # a bench ends every wrklab-* that it finds
    host.run(["systemd-run", "--quiet", "--collect", f"--unit={unit}", "/usr/bin/python3", "-c", _BURN], limit_s=10)
    try:
        yield
    finally:
        host.run(["systemctl", "stop", unit], limit_s=10, check=False)
