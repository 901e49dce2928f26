"""What this machine does to a node without ssh: commands within it, a lossy network, ssh cut and killed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from container_lab import cgroups, plan

from wrklab.hosts.inventory import LabHost

_LOSS_TABLE = "wrklab_loss"
_CUT_TABLE = "wrklab_test_fault"
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
_LIMIT_S = 60
#: Ends when another sshd than the killed one listens: no connection of this command's own can be lost by that.
_RESTART_SSH = """
main_pid() { systemctl show --property=MainPID --value ssh.service; }
old=$(main_pid)
systemctl kill --signal=KILL ssh.service
while new=$(main_pid); [ "$new" = 0 ] || [ "$new" = "$old" ]; do systemctl start ssh.service; sleep 0.05; done
"""


def in_node(host: LabHost, *words: str, stdin: str = "", namespaces: tuple[str, ...] = _NAMESPACES) -> str:
    """What a command within a node's namespaces says; it must succeed."""
    node = plan.Node(host.name, host.group, host.address, host.cpus)
    command = ["nsenter", f"--target={_inside(cgroups.pids(node))}", *namespaces, *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, timeout=_LIMIT_S).stdout


def _inside(pids: set[int]) -> int:
    """A process with a network of its own: the node's launcher is among them, and has this machine's."""
    own = Path("/proc/self/ns/net").readlink()
    return next(pid for pid in sorted(pids) if Path(f"/proc/{pid}/ns/net").readlink() != own)


def kill_ssh(host: LabHost) -> None:
    """Kills sshd with every session, and starts it again."""
    in_node(host, "sh", "-eu", "-c", _RESTART_SSH)


@contextmanager
def ssh_cut(host: LabHost) -> Iterator[None]:
    """Every packet of ssh to a host is dropped for as long as the block lasts; its load's network is another port."""
    rule = f"ip daddr {host.address} tcp dport 22 drop"
    table = f"add table ip {_CUT_TABLE}; add chain ip {_CUT_TABLE} out {{ type filter hook output priority 0; }}"
    subprocess.run(["nft", f"{table}; add rule ip {_CUT_TABLE} out {rule}"], check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", f"delete table ip {_CUT_TABLE}"], check=True)


@contextmanager
def lossy_network(host: LabHost, from_port: int, one_in: int) -> Iterator[None]:
    """Of the packets that come to the host from a port (a server's), one in so many is lost, by chance."""
    rule = f"tcp sport {from_port} numgen random mod {one_in} == 0 drop"
    table = f"table ip {_LOSS_TABLE} {{\nchain input {{\ntype filter hook input priority 0\n{rule}\n}}\n}}\n"
    in_node(host, "nft", "-f", "-", stdin=table, namespaces=("--net",))
    try:
        yield
    finally:
        in_node(host, "nft", "delete", "table", "ip", _LOSS_TABLE, namespaces=("--net",))
