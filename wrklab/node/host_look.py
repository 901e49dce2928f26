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
from typing import Any

ANY_ADDRESS = "0.0.0.0"  # noqa: S104  where variants listen
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
        "listen_address": listen_address(load_address),
        "peer_addresses": {peer: number_of(peer) for peer in peers},
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
        family, name = resolve(address)
        if family == socket.AF_INET6:
            return f"{name[0]} is of IPv6, and variants listen on IPv4 addresses only"
        with socket.socket(family, socket.SOCK_STREAM) as own:
            own.bind((listen_address(address), 0))
    except OSError as error:
        return str(error)
    return ""


def listen_address(address: str) -> str:
    """What to listen on to be found at an address of this host: its number, or any where that is not known here."""
    number = number_of(address)
    return ANY_ADDRESS if number is None or ":" in number or is_loopback_name(address) else number


def is_loopback_name(address: str) -> bool:
    """Whether it is a name for this host's loopback, where no other host finds anything.

    Debian writes a host's own name so into /etc/hosts: what others take it for is not known here.
    """
    number = number_of(address) or ""
    return number != address and number.startswith("127.")


def mtu_bytes(own_address: str, peer_address: str) -> int | None:
    """MTU of the route from one address to the other; None without a route. No packet is sent.

    From whichever address the route takes where the one given is not this host's, as behind a translation of addresses.
    """
    try:
        family, name = resolve(peer_address)
        with socket.socket(family, socket.SOCK_DGRAM) as own:
            if family == socket.AF_INET and not address_problem(own_address):
                own.bind((listen_address(own_address), 0))
            own.connect((name[0], _ANY_PORT, *name[2:]))
            if family == socket.AF_INET6:
                return own.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
            return own.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        return None


def number_of(address: str) -> str | None:
    """The number that an address or a name stands for here; None where it stands for nothing."""
    try:
        return str(resolve(address)[1][0])
    except OSError:
        return None


def resolve(address: str) -> tuple[int, tuple[Any, ...]]:
    """Family and socket name: the first of IPv4 that getaddrinfo gives; where it knows none, of IPv6. Raises OSError.

    Everything that looks a name up on a host does it by this function, so that all of them mean the same address.
    """
    found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    family, _, _, _, name = next((entry for entry in found if entry[0] == socket.AF_INET), found[0])
    return family, name


def is_taken(port: int) -> bool:
    """Whether a program listens on a port here, on any address of IPv4."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        # Connections that have just ended are no listener.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind((ANY_ADDRESS, port))  # nothing listens on it
        except OSError:
            return True
    return False


if __name__ == "__main__":
    own_address, peer_words, port_words = sys.argv[1:4]
    wanted = [int(word) for word in port_words.split(",") if word]
    sys.stdout.write(json.dumps(look(own_address, peer_words.split(","), wanted)) + "\n")
