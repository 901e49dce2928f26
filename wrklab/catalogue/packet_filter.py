"""Who may reach the variants of a server, and whom they may reach, as an nft table that is loaded while one runs.

Only packets that open a connection are looked at: the kernel's connection tracking would cost each one of a measured
load. The table is loaded and removed by a unit of its own, which variants' units require.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wrklab.errors import UsageError

TABLE = "wrklab_egress"
#: Not `wrklab-*`: such units are variants and what belongs to one cell.
UNIT = "wrklab_filter.service"
#: Below /opt/wrklab; where it is missing, nothing is filtered.
FILE = "filter.nft"
_PATH = f"/opt/wrklab/{FILE}"
#: An address family's name in nft, by the version of IP.
_FAMILIES = {4: "ip", 6: "ip6"}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIT_TEXT = f"""\
# Managed by wrklab (playbooks/roles/stacks); changes are lost at the next deploy.
[Unit]
Description=wrklab: who may reach variants, and whom they may reach
ConditionPathExists={_PATH}
# It holds while a variant runs, and what else listens on the host is not its business.
StopWhenUnneeded=yes

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {_PATH}
ExecStop=-/usr/sbin/nft delete table inet {TABLE}
"""


@dataclass(frozen=True)
class PacketFilter:
    """What the table of a server lets pass, besides what stays on the machine."""

    #: That variants listen on.
    ports: tuple[int, ...]
    #: Addresses that may connect to them: the generators.
    clients: tuple[Address, ...]
    #: Addresses that variants may connect to.
    backends: tuple[Address, ...]
    #: That variants run as.
    user: str

    @property
    def text(self) -> str:
        """The table for `nft -f`, put in place of an earlier one in one transaction."""
        ports = ", ".join(map(str, self.ports))
        entering = [f"tcp dport {{ {ports} }} {rule} accept" for rule in _rules("saddr", self.clients)]
        leaving = [f"{rule} accept" for rule in _rules("daddr", self.backends)]
        return f"""\
# Managed by wrklab (playbooks/roles/stacks); changes are lost at the next deploy.
add table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
	chain input {{
		type filter hook input priority filter; policy accept;
		{_lines([_NOT_OPENING, 'iifname "lo" accept', *entering, f"tcp dport {{ {ports} }} drop"])}
	}}
	chain output {{
		type filter hook output priority filter; policy accept;
		{_lines([_NOT_OPENING, 'oifname "lo" accept', f'meta skuid != "{self.user}" accept', *leaving, "drop"])}
	}}
}}
"""


#: The first rule is the only one that packets of an open connection meet. Without UDP and names: those are dropped too.
_NOT_OPENING = "tcp flags & (syn | ack) != syn accept"


def _rules(field: str, addresses: Iterable[Address]) -> Iterator[str]:
    """A condition for each version of IP that has addresses."""
    found = sorted(addresses, key=lambda address: (address.version, int(address)))
    for version, family in _FAMILIES.items():
        if of_version := [str(address) for address in found if address.version == version]:
            yield f"{family} {field} {{ {', '.join(of_version)} }}"


def _lines(rules: Iterable[str]) -> str:
    return "\n\t\t".join(rules)


def addresses_of(names: Iterable[str]) -> tuple[Address, ...]:
    """Each address as it is, each name as this machine resolves it. Raises UsageError naming one that is neither."""
    return tuple(dict.fromkeys(address for name in names for address in _resolved(name)))


def _resolved(name: str) -> Iterator[Address]:
    try:
        yield ipaddress.ip_address(name)
    except ValueError:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UsageError(
                f"{name} cannot be resolved ({error}), so that the server's packet filter cannot let it in. Write its "
                "address into the inventory, or leave lab_filter out"
            ) from error
        yield from (ipaddress.ip_address(entry[4][0]) for entry in found)


def load_addresses(names: Iterable[str], values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What an inventory says of where hosts are reached, and of where their load goes: each once.

    `values` are their variables, by name.
    """
    found: list[str] = []
    for name in names:
        address = str(values[name].get("ansible_host") or name)
        found += [address, str(values[name].get("lab_load_address") or address)]
    return sorted(set(found))
