"""What a lab could leave on this machine."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml
from container_lab import plan

from wrklab.hosts.container_lab import wanted_network
from wrklab.paths import INVENTORY_DIR

SSH_PORT = 22
#: `st` of /proc/net/tcp.
ESTABLISHED = "01"


def run(*argv: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout


def control_sockets() -> list[str]:
    """Sockets of Ansible's connections that outlive a playbook."""
    variables = yaml.safe_load((INVENTORY_DIR / "container/group_vars/all.yml").read_text(encoding="utf-8"))
    folder = Path(variables.get("ansible_control_path_dir", "~/.ansible/cp")).expanduser()
    return sorted(str(path) for path in folder.glob("*") if path.is_socket())


def ssh_connections() -> Iterator[tuple[str, int]]:
    """Address and own port of each open ssh connection to the lab's network: a master of Ansible's holds one."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, own, other, state, *_ = line.split()
        number, port = (int(part, 16) for part in other.split(":"))
        address = socket.inet_ntoa(struct.pack("=I", number))
        if state == ESTABLISHED and port == SSH_PORT and address.startswith(f"{wanted_network()}."):
            yield address, int(own.split(":")[1], 16)


def traces() -> dict[str, object]:
    """Everything that a lab could leave on this machine."""
    processes = {
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/comm")
        if path.exists() and path.read_text().strip() == "systemd-nspawn" and (path.parent / "cmdline").read_bytes()
    }
    return {
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").rglob(f"*{plan.NODE_PREFIX}*")),
        "tables": run("nft", "list", "tables"),
        "nspawns": processes,
        "control_sockets": control_sockets(),
        "ssh_connections": sorted(ssh_connections()),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "state": plan.STATE.exists(),
    }
