"""What is to be there: the nodes, their addresses and CPUs, and the places on this machine. Nothing is touched here."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .commands import ContainerLabError
from .cpus import share_out, split_cores, usable_cores, with_backends
from .machine import MachineSettings, read_settings

STATE = Path("/var/lib/wrklab/container")
NODES = STATE / "nodes"
CACHE = Path("/var/cache/wrklab")
BRIDGE = "wrklab0"
SERVER_NUMBER = 11
FIRST_GENERATOR_NUMBER = 21
MOST_GENERATORS = 100
# Above every generator's.
BACKEND_NUMBER = 131
NODE_PREFIX = "wrklab-node-"
# What of the request lab.json repeats: not the overrides, whose URLs may carry passwords.
REQUEST_KEYS = (
    "network",
    "loadgens",
    "backends",
    "server_takes_all_cpus",
    "server_cpus",
    "loadgen_cpus",
    "backend_cpus",
)


@dataclass(frozen=True)
class Node:
    """One node: `name` in the inventory, its group, its address, the CPUs that it may use."""

    name: str
    group: str
    address: str
    cpus: tuple[int, ...]

    @property
    def machine(self) -> str:
        """Its host name; the host end of its link is called after it, in at most 15 characters."""
        return self.name.replace("_", "-")

    @property
    def place(self) -> Path:
        """The folder that holds its file system, log and record."""
        return NODES / self.name

    @property
    def root(self) -> Path:
        """Where its file system is mounted."""
        return self.place / "root"

    @property
    def unit(self) -> str:
        """The unit that runs it where systemd is PID 1."""
        return f"{NODE_PREFIX}{self.name}.service"

    @property
    def cgroup(self) -> str:
        """Its cgroup below each hierarchy's root, where systemd is not PID 1."""
        return f"{NODE_PREFIX}{self.name}"


@dataclass(frozen=True)
class LabPlan:
    """Everything about the lab that is decided before anything is touched."""

    network: ipaddress.IPv4Network
    nodes: tuple[Node, ...]
    cpus_shared: bool
    settings: MachineSettings
    request: dict[str, Any]

    def sharing(self, node: Node) -> tuple[Node, ...]:
        """Nodes of other groups that may use a CPU of this one's."""
        return tuple(other for other in self.nodes if other.group != node.group and set(other.cpus) & set(node.cpus))

    @property
    def bridge_address(self) -> str:
        """The controller's own address on the lab's network: the nodes' gateway."""
        return str(self.network[1])


def make_plan(request: Mapping[str, Any]) -> LabPlan:
    """The plan for a request of the module's parameters, with this machine's CPUs and settings.

    Raises:
        ContainerLabError: the network, a CPU number or the number of generators cannot be.
    """
    network = _network(str(request["network"]))
    count = int(request["loadgens"])
    if not 1 <= count <= MOST_GENERATORS:
        raise ContainerLabError(f"container_lab_loadgens: {count} found, 1 to {MOST_GENERATORS} expected")
    split = split_cores(usable_cores())
    server = _cpus("container_lab_server_cpus", request.get("server_cpus")) or split.server
    if request.get("server_takes_all_cpus"):
        server = tuple(sorted(os.sched_getaffinity(0)))
    loadgen = _cpus("container_lab_loadgen_cpus", request.get("loadgen_cpus")) or split.loadgen
    nodes = [Node("server", "server", str(network[SERVER_NUMBER]), server)]
    backend: tuple[int, ...] = ()
    if request.get("backends"):
        backend = _cpus("container_lab_backend_cpus", request.get("backend_cpus"))
        if not backend and not request.get("loadgen_cpus"):
            loadgen, backend = with_backends(loadgen, usable_cores())
    for index, share in enumerate(share_out(loadgen, count)):
        name = "loadgen" if index == 0 else f"loadgen_{index + 1}"
        nodes.append(Node(name, "loadgen", str(network[FIRST_GENERATOR_NUMBER + index]), share))
    if request.get("backends"):
        nodes.append(Node("backend", "backend", str(network[BACKEND_NUMBER]), backend or loadgen))
    return LabPlan(
        network=network,
        nodes=tuple(nodes),
        cpus_shared=bool(set(server) & set(loadgen)),
        settings=read_settings(request.get("overrides") or {}, request.get("environment") or None),
        request={key: request.get(key) for key in REQUEST_KEYS},
    )


def _network(first_three: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(f"{first_three}.0/24")
    except ValueError as error:
        raise ContainerLabError(
            f"LAB_NET={first_three}: the first three numbers of a private network are expected, such as 10.86.77"
        ) from error
    if not network.is_private:
        raise ContainerLabError(f"LAB_NET={first_three}: {network} is not a private network; take one such as 10.86.77")
    return network


def _cpus(variable: str, wanted: list[int] | None) -> tuple[int, ...]:
    usable = os.sched_getaffinity(0)
    if wanted and not usable.issuperset(wanted):
        raise ContainerLabError(f"{variable}: {wanted} found, but this machine's usable CPUs are {sorted(usable)}")
    return tuple(wanted or ())
