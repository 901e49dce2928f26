"""A network that loses packets on their way to a node."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from container_lab import cgroups, plan

from wrklab.hosts.inventory import LabHost

_TABLE = "wrklab_loss"


def _inside(pids: set[int]) -> int:
    """A process with a network of its own: the node's launcher is among them, and has this machine's."""
    own = Path("/proc/self/ns/net").readlink()
    return next(pid for pid in pids if Path(f"/proc/{pid}/ns/net").readlink() != own)


@contextmanager
def lossy_network(host: LabHost, from_port: int, one_in: int) -> Iterator[None]:
    """Of the packets that come to the host from a port (a server's), one in so many is lost, by chance."""
    node = plan.Node(host.name, host.group, host.address, host.cpus)
    nft = ["nsenter", f"--target={_inside(cgroups.pids(node))}", "--net", "nft"]
    rule = f"tcp sport {from_port} numgen random mod {one_in} == 0 drop"
    table = f"table ip {_TABLE} {{\nchain input {{\ntype filter hook input priority 0\n{rule}\n}}\n}}\n"
    subprocess.run([*nft, "-f", "-"], input=table, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*nft, "delete", "table", "ip", _TABLE], check=True)
