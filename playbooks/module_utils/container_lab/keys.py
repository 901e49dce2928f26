"""SSH keys, made on the controller: the client's, and each node's host key, so that nothing is trusted on sight."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .commands import run
from .machine import invoking_user
from .plan import STATE, Node

CLIENT_KEY = STATE / "id_ed25519"
KNOWN_HOSTS = STATE / "known_hosts"
HOST_KEYS = STATE / "host_keys"


def host_key(node: Node) -> Path:
    """The private host key of a node."""
    return HOST_KEYS / node.name / "ssh_host_ed25519_key"


def _make(key: Path, comment: str) -> bool:
    public = key.with_name(f"{key.name}.pub")
    if key.exists() and public.exists():
        return False
    key.parent.mkdir(parents=True, exist_ok=True)
    key.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)])
    return True


def make_keys(nodes: Iterable[Node]) -> bool:
    """Make what is missing of the keys and write known_hosts from them; whether anything changed."""
    nodes = list(nodes)
    HOST_KEYS.mkdir(parents=True, exist_ok=True)
    HOST_KEYS.chmod(0o700)
    changed = [_make(CLIENT_KEY, "wrklab")]
    changed += [_make(host_key(node), node.name) for node in nodes]
    lines = []
    for node in nodes:
        kind, public = host_key(node).with_name("ssh_host_ed25519_key.pub").read_text().split()[:2]
        lines.append(f"{node.name},{node.address} {kind} {public}\n")
    text = "".join(lines)
    if not KNOWN_HOSTS.exists() or KNOWN_HOSTS.read_text() != text:
        KNOWN_HOSTS.write_text(text)
        changed.append(True)
    user = invoking_user()
    CLIENT_KEY.chmod(0o600)
    KNOWN_HOSTS.chmod(0o644)
    for path in (CLIENT_KEY, CLIENT_KEY.with_suffix(".pub"), KNOWN_HOSTS):
        os.chown(path, user.pw_uid, user.pw_gid)
    return any(changed)


def ssh_command(address: str, *words: str) -> list[str]:
    """An ssh command to a node as root that takes no key but the one in known_hosts and asks nothing."""
    options = {
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(KNOWN_HOSTS),
        "GlobalKnownHostsFile": os.devnull,
        "ConnectTimeout": "5",
    }
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", os.devnull, "-i", str(CLIENT_KEY), *settings, f"root@{address}", *words]
