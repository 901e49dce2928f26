"""Prints what a host is, as one JSON object, before anything of ours is on it. Changes nothing.

Sent as the text of `python3 -c`, so it imports nothing of ours: host_look.py LOAD_ADDRESS PEER,PEER,... PORT,PORT,...,
the addresses that carry the load here and on the other side, and the ports that a server needs.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys

#: Linux, in.h and in6.h: the MTU that the route to a connected socket's peer has, bytes.
_IP_MTU = 14
_IPV6_MTU = 24
_ANY_PORT = 9
_KIB_BYTES = 1024


def look(load_address: str, peers: list[str], ports: list[int]) -> dict[str, object]:
    """CPUs, room, whether the load's address is this host's, the MTU to each peer, and which ports others have."""
    return {
        "machine": machine(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "disk_free_bytes": min(free_bytes("/opt"), free_bytes("/var")),
        "memory_bytes": memory_bytes(),
        "load_address_problem": address_problem(load_address),
        "mtu_bytes": {peer: mtu_bytes(load_address, peer) for peer in peers},
        "ports_taken": [port for port in ports if is_taken(port)],
    }


def machine() -> str:
    """The same from every name of one running machine, and from no other: a digest, as a machine's id is private."""
    texts = []
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        try:
            with open(path, encoding="ascii") as file:
                texts.append(file.read().strip())
        except OSError:
            texts.append("")
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()[:16]


def free_bytes(path: str) -> int:
    """What root may still write there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize


def memory_bytes() -> int:
    """All of it."""
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["MemTotal"].split()[0]) * _KIB_BYTES


def address_problem(address: str) -> str:
    """Why nothing can listen on an address here; empty where something can. Variants listen on IPv4 alone."""
    try:
        family, kind, protocol, _, name = resolve(address, 0, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            return f"{name[0]} is of IPv6, and variants listen on IPv4 addresses only"
        with socket.socket(family, kind, protocol) as own:
            own.bind(name)
    except OSError as error:
        return str(error)
    return ""


def mtu_bytes(own_address: str, peer_address: str) -> int | None:
    """MTU of the route from one address to the other; None without a route. No packet is sent.

    From whichever address the route takes where the one given is not this host's, as behind a translation of addresses.
    """
    try:
        family, kind, protocol, _, name = resolve(peer_address, _ANY_PORT, socket.SOCK_DGRAM)
        with socket.socket(family, kind, protocol) as own:
            if not address_problem(own_address):
                own.bind((own_address, 0))
            own.connect(name)
            if family == socket.AF_INET6:
                return own.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
            return own.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        return None


def resolve(address: str, port: int, kind: socket.SocketKind) -> tuple[int, int, int, str, tuple[object, ...]]:
    """The first of IPv4 that getaddrinfo gives; where it knows none, of IPv6."""
    found = socket.getaddrinfo(address, port, type=kind)
    return next((entry for entry in found if entry[0] == socket.AF_INET), found[0])


def is_taken(port: int) -> bool:
    """Whether a program listens on a port here, on any address of IPv4."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        # Connections that have just ended are no listener.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("0.0.0.0", port))  # noqa: S104  as variants do; nothing listens on it
        except OSError:
            return True
    return False


if __name__ == "__main__":
    own_address, peer_words, port_words = sys.argv[1:4]
    wanted = [int(word) for word in port_words.split(",") if word]
    sys.stdout.write(json.dumps(look(own_address, peer_words.split(","), wanted)) + "\n")
