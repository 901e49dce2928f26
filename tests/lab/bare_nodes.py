"""Debian 12 nodes that nobody has configured for a lab: bridge, addresses and place of their own, a user with sudo."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from container_lab import base, folders, network, node_files
from container_lab import node as nodes
from container_lab.commands import run, succeeds, wait_until
from container_lab.machine import read_settings
from container_lab.plan import Node

NETWORK = "10.86.78"
BRIDGE = "wrkbare0"
TABLE = "wrkbare"
USER = "tester"
ROOT = "root"
#: One that Debian runs on every host, and that the lab's base system masks.
TIMER = "systemd-tmpfiles-clean.timer"
BOOT_LIMIT_S = 90.0
#: Debian's sshd on a port of the host's own, for one user.
SSHD = "HostKey /etc/ssh/ssh_host_ed25519_key\nPort {port}\nAllowUsers {user}\nPasswordAuthentication no\nUseDNS no\n"
TABLE_TEXT = f"""\
table ip {TABLE} {{
	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {NETWORK}.0/24 ip daddr != {NETWORK}.0/24 masquerade
	}}
}}
"""


@dataclass(frozen=True)
class BareNode(Node):
    """A node elsewhere than the lab's own; `folder` holds its root, `second` is an address for the load."""

    folder: Path = Path()
    #: Who logs in.
    user: str = USER
    port: int = 22
    second: str = ""
    has_sudo: bool = True
    #: Lines that replace its os-release.
    os_release: str = ""
    #: Without what debootstrap leaves out and a host needs first.
    is_minimal: bool = False

    @property
    def load_name(self) -> str:
        """A name for where its load goes, which the other nodes know."""
        return f"{self.name}.bare.test"

    @property
    def place(self) -> Path:
        """Its root, log and record."""
        return self.folder / self.name

    @property
    def unit(self) -> str:
        """Not one that the lab would take for its own."""
        return f"wrklab-bare-{self.name}.service"

    @property
    def cgroup(self) -> str:
        """The same."""
        return f"wrklab-bare-{self.name}"


@contextmanager
def running(bare: Sequence[BareNode], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The nodes, up and answering on their ports; nothing of them is left afterwards.

    The lab must be up: its base system is theirs, and this machine forwards.
    """
    for module in (nodes, network):
        monkeypatch.setattr(module, "BRIDGE", BRIDGE)
    settings = read_settings({})
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id_ed25519")])
    with ExitStack() as undo:
        undo.callback(_network_down)
        run(["ip", "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
        run(["ip", "address", "add", f"{NETWORK}.1/24", "dev", BRIDGE])
        run(["ip", "link", "set", BRIDGE, "up"])
        run(["nft", "-f", "-"], stdin=TABLE_TEXT)
        for node in bare:
            undo.callback(nodes.remove, node)
            _launch(node, folder, settings, _hosts_text(node, bare))
        for node in bare:
            assert wait_until(lambda node=node: _greets(node), BOOT_LIMIT_S), nodes.console_tail(node)  # type: ignore[misc]
        yield


def _network_down() -> None:
    succeeds(["nft", "delete", "table", "ip", TABLE])
    succeeds(["ip", "link", "delete", BRIDGE])


def _hosts_text(node: BareNode, bare: Sequence[BareNode]) -> str:
    """As Debian's installer writes it: a host's own name stands for its loopback, which others know better."""
    others = [f"{other.second or other.address} {other.load_name}" for other in bare if other != node]
    lines = ["127.0.0.1 localhost", f"127.0.1.1 {node.machine} {node.load_name}", *others]
    return "".join(f"{line}\n" for line in lines)


def _launch(node: BareNode, folder: Path, settings: Any, hosts_text: str) -> None:  # noqa: ANN401  MachineSettings of another root
    clone = node_files.clone(node, base.base_path(settings))
    host_key = folder / f"{node.name}_host_key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)])
    addresses = "".join(f"Address={address}/24\n" for address in (node.address, node.second) if address)
    texts = {
        "etc/hostname": f"{node.machine}\n",
        "etc/hosts": hosts_text,
        "etc/resolv.conf": settings.resolv_conf,
        "etc/systemd/network/10-bare.network": f"[Match]\nName=host0\n[Network]\n{addresses}Gateway={NETWORK}.1\n",
        "etc/ssh/sshd_config.d/wrklab.conf": SSHD.format(port=node.port, user=node.user),
    }
    if node.has_sudo:
        texts["etc/sudoers.d/wrklab"] = f"{node.user} ALL=(ALL) NOPASSWD: ALL\n"
    if node.os_release:
        texts["usr/lib/os-release"] = node.os_release
    for name, text in texts.items():
        folders.write(node.root, name, text)
    folders.write(node.root, "etc/ssh/ssh_host_ed25519_key", host_key.read_text(), mode=0o600)
    (node.root / base.UNITS / TIMER).unlink()
    if node.is_minimal:
        run(["chroot", str(node.root), "dpkg", "--purge", "ca-certificates", "python3-apt"])
    if node.user != ROOT:
        run(["chroot", str(node.root), "useradd", "--create-home", "--shell", "/bin/bash", node.user])
    home = "root" if node.user == ROOT else f"home/{node.user}"
    folders.write(node.root, f"{home}/.ssh/authorized_keys", (folder / "id_ed25519.pub").read_text())
    run(["chroot", str(node.root), "chown", "-R", f"{node.user}:", f"/{home}/.ssh"])
    nodes.launch(node, "", clone)


def _greets(node: BareNode) -> bool:
    network.raise_ports()
    return succeeds(["timeout", "1", "bash", "-c", f"head -c4 </dev/tcp/{node.address}/{node.port} | grep -q SSH-"])


def known_hosts(bare: Sequence[BareNode], folder: Path) -> str:
    """The lines of their host keys, by address and port."""
    lines = []
    for node in bare:
        key = (folder / f"{node.name}_host_key.pub").read_text().split()[:2]
        address = node.address if node.port == nodes.SSH_PORT else f"[{node.address}]:{node.port}"
        lines.append(" ".join((address, *key)) + "\n")
    return "".join(lines)


def in_node(node: BareNode, folder: Path, *words: str) -> str:
    """What a command there says, over ssh as the login user."""
    options = ["-F", "/dev/null", "-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "BatchMode=yes"]
    login = ["-i", str(folder / "id_ed25519"), "-p", str(node.port), f"{node.user}@{node.address}"]
    return subprocess.run(["ssh", *options, *login, *words], capture_output=True, text=True, check=True).stdout
