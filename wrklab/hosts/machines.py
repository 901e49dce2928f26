"""What the environments tell of the machines behind a lab's names: one or several, and how fast they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from wrklab.hosts.inventory import LabHosts

Environments = Mapping[str, Mapping[str, Any]]

#: What environment.py's computation takes on a slow machine of today (a quick one: 3 ms). Emulated ones take 50 to 130.
_PACE_S = 0.006
_SLOWNESS_MAX_RATIO = 20.0


def are_cpus_shared(one: Collection[int], other: Collection[int]) -> bool:
    """Whether two hosts on one machine run on a CPU in common; no CPUs given means all of them."""
    return not one or not other or bool(set(one) & set(other))


def generators_on_the_servers_machine(hosts: LabHosts, environments: Environments) -> tuple[str, ...]:
    """The generators that are the server under another name."""
    own = _moment(environments, hosts.server.name).get("identity")
    return tuple(host.name for host in hosts.generators if own and _moment(environments, host.name)["identity"] == own)


def _moment(environments: Environments, name: str) -> Mapping[str, Any]:
    """What environment.py tells that changes from boot to boot."""
    return environments[name].get("moment") or {}


def is_a_cpu_shared(hosts: LabHosts, environments: Environments) -> bool:
    """Whether the server and a generator take CPU from each other."""
    there = generators_on_the_servers_machine(hosts, environments)
    return hosts.described.are_cpus_shared or any(
        are_cpus_shared(host.cpus, hosts.server.cpus) for host in hosts.generators if host.name in there
    )


def slowness_ratio(environment: Mapping[str, Any]) -> float:
    """How many times as long as usual things take on a host: 1 to 20, by how fast it computes."""
    pace_s = (environment.get("moment") or {}).get("pace_s")
    return min(max(1.0, pace_s / _PACE_S), _SLOWNESS_MAX_RATIO) if isinstance(pace_s, int | float) else 1.0


def timeout_scale(environments: Environments) -> float:
    """How many times as long as usual anything that waits for a lab's hosts may take: as its slowest host needs."""
    return max(map(slowness_ratio, environments.values()), default=1.0)


def machine_notes(hosts: LabHosts, environments: Environments) -> list[str]:
    """What a report says of them."""
    notes = []
    there = generators_on_the_servers_machine(hosts, environments)
    if there:
        notes.append(
            f"{' and '.join(there)} and {hosts.server.name} are one machine: the load does not cross a network, and "
            "server and wrk share its memory, caches and kernel."
        )
    ratio = timeout_scale(environments)
    if ratio > 1:
        slow = [host.name for host in hosts.all if slowness_ratio(environments[host.name]) > 1]
        notes.append(
            f"{' and '.join(slow)} compute{'' if slow[1:] else 's'} slowly (emulated?): variants had {ratio:.1f} times "
            "as long as usual to start and to answer before and after a window."
        )
    return notes
