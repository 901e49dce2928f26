"""The lab's network on the controller: a bridge, forwarding, and one nft table of our own."""

from __future__ import annotations

import hashlib
import inspect
import ipaddress
import json
import socket
import struct
import sys
from pathlib import Path

from .commands import ContainerLabError, run, succeeds
from .plan import BRIDGE, STATE, LabPlan

TABLE = "wrklab"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
FORMER = STATE / "former.json"
ROUTES = Path("/proc/net/route")
LINKS = Path("/sys/class/net")
# The default route's is 0, a VPN's halves of all addresses have 1, and quarters of them 2.
LONGEST_OUTSIDE_PREFIX = 2
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
    """Raise ContainerLabError where a route of this machine to other private networks covers the lab's network.

    Routes to the outside world do no harm, as the lab's own is more specific: the default one, and the halves of all
    addresses by which a VPN takes everything.
    """
    for device, route in parse_routes(ROUTES.read_text()):
        if device != BRIDGE and not _is_to_the_outside(route) and route.overlaps(plan.network):
            raise ContainerLabError(
                f"the lab's network {plan.network} overlaps the route {route} on {device} of this machine; nothing was "
                "touched. Set LAB_NET to the first three numbers of a private network that is free, such as "
                "LAB_NET=10.86.78"
            )


def _is_to_the_outside(route: ipaddress.IPv4Network) -> bool:
    """Whether it holds public addresses as well as the private ones that a lab's network is taken from."""
    return route.prefixlen == 0 or not route.is_private


def default_route_mtu_bytes() -> int | None:
    """Smallest MTU of the links that packets for the outside may leave by; None without such a route."""
    devices = {
        device for device, route in parse_routes(ROUTES.read_text()) if route.prefixlen <= LONGEST_OUTSIDE_PREFIX
    }
    return min((int((LINKS / device / "mtu").read_text()) for device in devices), default=None)


def set_up(plan: LabPlan) -> bool:
    """Bring up the bridge, forwarding and the nft table as planned; whether anything changed."""
    # The table comes before forwarding: until it is there, this machine would forward for everybody.
    changed = [_set_up_bridge(plan), _set_up_table(plan, forwarded_before=_forwarded_before()), _set_up_forwarding()]
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


def _forwarded_before() -> bool:
    """Whether this machine forwarded before the lab was there, recorded before the first change."""
    if not FORMER.exists():
        FORMER.write_text(json.dumps({"ip_forward": FORWARDING.read_text().strip()}))
    return str(json.loads(FORMER.read_text())["ip_forward"]) != "0"


def _set_up_forwarding() -> bool:
    if FORWARDING.read_text().strip() == "1":
        return False
    FORWARDING.write_text("1")
    return True


#: Other bridges (Docker's, libvirt's) are left to those who made them. What only crosses one comes by here too, where
#: the kernel shows bridged packets to its filters. A physical card has no kind and matches neither.
_OTHERS = """
		meta iifkind "bridge" accept
		meta oifkind "bridge" accept
		drop"""


def table_text(plan: LabPlan, *, forwarded_before: bool) -> str:
    """The nft table: packets for the outside are masqueraded, those between nodes skip connection tracking.

    Of what is forwarded, nodes reach out under their own addresses, and only answers come in. A machine that did not
    forward before the lab was there does not become a router between its own network cards. Packets
    of the controller itself are tracked as ever: a firewall of this machine may depend on it. The comment lets
    whoever lists the table see whether this very file made it.
    """
    network, own = plan.network, plan.bridge_address
    others = "" if forwarded_before else _OTHERS
    return f"""\
table ip {TABLE} {{
	chain prerouting {{
		type filter hook prerouting priority raw; policy accept;
		ip saddr {network} ip saddr != {own} ip daddr {network} ip daddr != {own} notrack
	}}
	chain forward {{
		type filter hook forward priority filter; policy accept;
		iifname "{BRIDGE}" oifname "{BRIDGE}" accept
		iifname "{BRIDGE}" ip saddr != {network} drop
		iifname != "{BRIDGE}" oifname "{BRIDGE}" ct state established,related accept
		iifname != "{BRIDGE}" oifname "{BRIDGE}" drop{others}
	}}
	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {network} ip daddr != {network} masquerade comment "{definition()}"
	}}
}}
"""


def definition() -> str:
    """Stands for this file's text, which defines the table: another version of it has another one."""
    return hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()[:16]


def table_digest() -> str:
    """Stands for the table as nft lists it now."""
    return hashlib.sha256(_listed_table().encode()).hexdigest()


def _listed_table() -> str:
    listing = ["nft", "list", "table", "ip", TABLE]
    return run(listing) if succeeds(listing) else ""


def _set_up_table(plan: LabPlan, *, forwarded_before: bool) -> bool:
    # nft lists rules in its own words, so the listings before and after are what can be compared. The three commands
    # are one transaction: no packet sees the table missing.
    before = _listed_table()
    text = table_text(plan, forwarded_before=forwarded_before)
    run(["nft", "-f", "-"], stdin=f"add table ip {TABLE}\ndelete table ip {TABLE}\n{text}")
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
