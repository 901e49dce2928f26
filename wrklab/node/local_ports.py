"""Local ports: how many connections this host can open towards one target."""

from __future__ import annotations

import node_io
import sock_diag

_SETTINGS = "/proc/sys/net/ipv4"


def all_count() -> int:
    """Local ports that connections may take: ip_local_port_range less those reserved."""
    low, high = (int(word) for word in (node_io.read_text(f"{_SETTINGS}/ip_local_port_range") or "").split())
    reserved = 0
    for part in (node_io.read_text(f"{_SETTINGS}/ip_local_reserved_ports") or "").strip().split(","):
        first, _, last = part.partition("-")
        if first:
            reserved += max(0, min(high, int(last or first)) - max(low, int(first)) + 1)
    return high - low + 1 - reserved


def free_count(address: str, port: int) -> int:
    """Those that no socket towards address:port holds, be it only in TIME_WAIT."""
    states = sock_diag.connection_states(address, port)
    if (node_io.read_text(f"{_SETTINGS}/tcp_tw_reuse") or "").strip() == "1":
        states.pop("TIME_WAIT", None)  # the kernel takes those over after a second
    return all_count() - sum(states.values())
