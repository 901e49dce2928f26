"""Who may reach the variants of a server, and whom they may reach, as routing rules that hold while one runs.

The kernel looks for a route when a connection opens, and keeps what it found for all of its packets: a rule costs a
connection, not a packet (a packet filter costs every packet of a measured load). The rules concern what the variants'
user sends. A stranger's connection never opens, because the server's answer to it has no way out. A unit of its own
loads the rules and removes them; variants' units require it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wrklab.errors import UsageError

#: Marks the rules that are ours; `/etc/iproute2/rt_protos` leaves this number free.
PROTOCOL = 201
#: Before all rules but the first, which keeps what stays on the machine: Tailscale's begin at 5210, those of VRFs at
#: 1000, those of clouds at 512.
PASS_PRIORITY, STOP_PRIORITY, END_PRIORITY = 90, 91, 92
#: Stands for the number of the variants' user, which only the host knows.
USER_ID = "USER_ID"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def rules_file(version: int) -> str:
    """Where a version of IP has its rules, below /opt/wrklab; where the file is missing, nothing is filtered."""
    return f"filter_{version}.rules"


def unit_text(user: str) -> str:
    """The unit that loads the rules for a user and takes them away. A host without IPv6 needs no rules for it."""
    flush = _for_each_version(f"ip -{{version}} rule flush protocol {PROTOCOL}")
    load = _for_each_version(
        f"sed s/{USER_ID}/$$(id -u {user})/g /opt/wrklab/{{file}} | ip -{{version}} -batch -",
    )
    return f"""\
# Managed by wrklab (playbooks/roles/stacks); changes are lost at the next deploy.
[Unit]
Description=wrklab: who may reach variants, and whom they may reach
ConditionPathExists=/opt/wrklab/{rules_file(4)}
# It holds while a variant runs, and what else listens on the host is not its business.
StopWhenUnneeded=yes

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre={flush}
ExecStart={load}
ExecStopPost={flush}
"""


def _for_each_version(command: str) -> str:
    four, six = (command.format(version=version, file=rules_file(version)) for version in (4, 6))
    return f'/bin/sh -ec "{four}; if test -e /proc/net/if_inet6; then {six}; fi"'


@dataclass(frozen=True)
class RoutingFilter:
    """Where the packets of variants may go, besides what stays on the machine."""

    #: That variants listen on.
    ports: tuple[int, ...]
    #: Addresses that may connect to them: the generators. Variants may answer them, and no more.
    clients: tuple[Address, ...]
    #: Addresses that variants may connect to.
    backends: tuple[Address, ...]

    def rules(self, version: int) -> str:
        """What `ip -VERSION -batch` takes, with USER_ID for the number of the variants' user.

        Whatever passes goes on to the rules that the host has of its own.
        """
        passing = [
            f"to {address} ipproto 6 sport {port} goto {END_PRIORITY}"
            for address in _of_version(self.clients, version)
            for port in sorted(self.ports)
        ] + [f"to {address} goto {END_PRIORITY}" for address in _of_version(self.backends, version)]
        of_user = f"uidrange {USER_ID}-{USER_ID}"
        rules = [
            f"priority {END_PRIORITY} nop",
            *(f"priority {PASS_PRIORITY} {of_user} {rule}" for rule in passing),
            f"priority {STOP_PRIORITY} {of_user} unreachable",
        ]
        return "".join(f"rule add {rule} protocol {PROTOCOL}\n" for rule in rules)


def _of_version(addresses: Iterable[Address], version: int) -> list[Address]:
    return sorted({address for address in addresses if address.version == version}, key=int)


def names_in(hosts: Iterable[str]) -> list[str]:
    """Those that are no addresses: the server looks them up."""
    return sorted({host for host in hosts if _address(host) is None})


def addresses_of(hosts: Iterable[str], looked_up: Mapping[str, Iterable[str]]) -> tuple[Address, ...]:
    """Each address as it is, each name as the server looked it up. Raises UsageError for one that it does not know."""
    found: dict[Address, None] = {}
    for host in hosts:
        address = _address(host)
        known = [address] if address else [one for text in looked_up.get(host, ()) if (one := _address(text))]
        if not known:
            raise UsageError(
                f"the server does not know the name {host}, so that its rules cannot let it in. Write its address into "
                "the inventory, or lab_filter: false"
            )
        found |= dict.fromkeys(known)
    return tuple(found)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def load_addresses(names: Iterable[str], values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What an inventory says of where hosts are reached, and of where their load goes: each once.

    `values` are their variables, by name.
    """
    found: list[str] = []
    for name in names:
        address = str(values[name].get("ansible_host") or name)
        found += [address, str(values[name].get("lab_load_address") or address)]
    return sorted(set(found))
