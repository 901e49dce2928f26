"""The lab's network on the controller: a bridge, forwarding, and one nft table of our own."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
from pathlib import Path

from .commands import ContainerLabError, run, succeeds
from .plan import BRIDGE, STATE, LabPlan

TABLE = "wrklab"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
FORMER = STATE / "former.json"
ROUTES = Path("/proc/net/route")
LINKS = Path("/sys/class/net")
# `flags` of a link, bit 0: administratively up.
IFF_UP = 1


def parse_routes(text: str) -> list[tuple[str, ipaddress.IPv4Network]]:
    """Device and destination of each IPv4 route in /proc/net/route's text."""
    routes = []
    for line in text.splitlines()[1:]:
        device, destination, _, _, _, _, _, mask = line.split()[:8]
        address, netmask = (socket.inet_ntoa(struct.pack("=I", int(word, 16))) for word in (destination, mask))
        routes.append((device, ipaddress.IPv4Network(f"{address}/{netmask}")))
    return routes


def check_no_overlap(plan: LabPlan) -> None:
    """Raise ContainerLabError where a route of this machine, other than the default one, covers the lab's network."""
    for device, route in parse_routes(ROUTES.read_text()):
        if device != BRIDGE and route.prefixlen > 0 and route.overlaps(plan.network):
            raise ContainerLabError(
                f"the lab's network {plan.network} overlaps the route {route} on {device} of this machine; nothing was "
                "touched. Set LAB_NET to the first three numbers of a private network that is free, such as "
                "LAB_NET=10.86.78"
            )


def default_route_mtu_bytes() -> int | None:
    """MTU of the link that packets for the outside leave by; None without a default route."""
    for device, route in parse_routes(ROUTES.read_text()):
        if route.prefixlen == 0:
            return int((LINKS / device / "mtu").read_text())
    return None


def set_up(plan: LabPlan) -> bool:
    """Bring up the bridge, forwarding and the nft table as planned; whether anything changed."""
    changed = [_set_up_bridge(plan), _set_up_forwarding(), _set_up_table(plan)]
    raise_ports()
    return any(changed)


def _set_up_bridge(plan: LabPlan) -> bool:
    wanted = {(plan.bridge_address, plan.network.prefixlen)}
    changed = False
    if not (LINKS / BRIDGE).exists():
        run(["ip", "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
        changed = True
    shown = json.loads(run(["ip", "-json", "-4", "address", "show", "dev", BRIDGE]))
    found = {(entry["local"], entry["prefixlen"]) for link in shown for entry in link.get("addr_info", [])}
    if found != wanted:
        run(["ip", "-4", "address", "flush", "dev", BRIDGE])
        run(["ip", "address", "add", f"{plan.bridge_address}/{plan.network.prefixlen}", "dev", BRIDGE])
        changed = True
    if not is_up(BRIDGE):
        run(["ip", "link", "set", BRIDGE, "up"])
        changed = True
    return changed


def _set_up_forwarding() -> bool:
    former = FORWARDING.read_text().strip()
    # Recorded once, before the first change: a repair would else record our own value.
    if not FORMER.exists():
        FORMER.write_text(json.dumps({"ip_forward": former}))
    if former == "1":
        return False
    FORWARDING.write_text("1")
    return True


def table_text(plan: LabPlan) -> str:
    """The nft table: packets for the outside are masqueraded, those between nodes skip connection tracking.

    Packets of the controller itself are tracked as ever: a firewall of this machine may depend on it.
    """
    network, own = plan.network, plan.bridge_address
    return f"""\
table ip {TABLE} {{
	chain prerouting {{
		type filter hook prerouting priority raw; policy accept;
		ip saddr {network} ip saddr != {own} ip daddr {network} ip daddr != {own} notrack
	}}
	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {network} ip daddr != {network} masquerade
	}}
}}
"""


def _listed_table() -> str:
    listing = ["nft", "list", "table", "ip", TABLE]
    return run(listing) if succeeds(listing) else ""


def _set_up_table(plan: LabPlan) -> bool:
    # nft lists rules in its own words, so the listings before and after are what can be compared. The three commands
    # are one transaction: no packet sees the table missing.
    before = _listed_table()
    run(["nft", "-f", "-"], stdin=f"add table ip {TABLE}\ndelete table ip {TABLE}\n{table_text(plan)}")
    return _listed_table() != before


def take_down() -> bool:
    """Remove the table and the bridge and put forwarding back; whether there was anything."""
    changed = False
    if _listed_table():
        run(["nft", "delete", "table", "ip", TABLE])
        changed = True
    if (LINKS / BRIDGE).exists():
        # The kernel takes a dead node's link away in its own time.
        for port in (LINKS / BRIDGE / "brif").glob("*"):
            succeeds(["ip", "link", "delete", port.name])
        run(["ip", "link", "delete", BRIDGE])
        changed = True
    if FORMER.exists():
        FORWARDING.write_text(str(json.loads(FORMER.read_text())["ip_forward"]))
        FORMER.unlink()
        changed = True
    return changed


def is_up(link: str) -> bool:
    """Whether a link is administratively up."""
    return bool(int((LINKS / link / "flags").read_text(), 16) & IFF_UP)


def has_ports() -> bool:
    """Whether any node hangs on the bridge; after somebody deleted it none does, running or not."""
    return any((LINKS / BRIDGE / "brif").iterdir())


def raise_ports() -> None:
    """Bring up each link on the bridge that is down: without networkd on the controller nobody else does."""
    for port in (LINKS / BRIDGE / "brif").glob("*"):
        try:
            if not is_up(port.name):
                run(["ip", "link", "set", port.name, "up"])
        except (FileNotFoundError, ContainerLabError):
            if (LINKS / port.name).exists():
                raise
