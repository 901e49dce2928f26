"""The conditions that hosts give a measurement: one machine or several, how fast, with which CPUs and clocks.

A report says what of it moves rates and shows in no sample of a window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from wrklab.hosts.inventory import LabHost, LabHosts

Environments = Mapping[str, Mapping[str, Any]]

#: What environment.py's computation takes on a slow machine of today (a quick one: 3 ms). Emulated ones take 50 to 130.
_PACE_S = 0.006
_SLOWNESS_MAX_RATIO = 20.0
#: The governor that keeps the clock where it is (Documentation/admin-guide/pm/cpufreq.rst).
_STEADY_GOVERNOR = "performance"


def are_cpus_shared(one: Collection[int], other: Collection[int]) -> bool:
    """Whether two hosts on one machine run on a CPU in common; no CPUs given means all of them."""
    return not one or not other or bool(set(one) & set(other))


def generators_on_the_servers_machine(hosts: LabHosts, environments: Environments) -> tuple[str, ...]:
    """The generators that are the server under another name."""
    own = _moment(environments, hosts.server.name).get("identity")
    return tuple(host.name for host in hosts.generators if own and _moment(environments, host.name)["identity"] == own)


def _on_the_backends_machine(hosts: LabHosts, environments: Environments) -> tuple[str, ...]:
    """Hosts of other groups that are the backends' host under another name, and may run on a CPU of it.

    Nodes of a container lab are on one machine by its making; their samples say what each took.
    """
    backend = hosts.backend
    own = _moment(environments, backend.name).get("identity") if backend else None
    if backend is None or not own or hosts.kind == "container":
        return ()
    others = (hosts.server, *hosts.generators)
    return tuple(
        host.name
        for host in others
        if _moment(environments, host.name).get("identity") == own and are_cpus_shared(host.cpus, backend.cpus)
    )


def _moment(environments: Environments, name: str) -> Mapping[str, Any]:
    """What environment.py reports that changes from boot to boot."""
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
    """What a report says about machines: several names of one, and slow ones."""
    notes = []
    there = generators_on_the_servers_machine(hosts, environments)
    if there:
        notes.append(
            f"{' and '.join(there)} and {hosts.server.name} are one machine: the load does not cross a network, and "
            "server and wrk share its memory, caches and kernel."
        )
    if others := _on_the_backends_machine(hosts, environments):
        notes.append(
            f"{hosts.backend.name if hosts.backend else ''} and {' and '.join(others)} are one machine: what the "
            "backend uses the others lack, and no sample says how much that was."
        )
    ratio = timeout_scale(environments)
    if ratio > 1:
        slow = [host.name for host in hosts.all if slowness_ratio(environments[host.name]) > 1]
        notes.append(
            f"{' and '.join(slow)} compute{'' if slow[1:] else 's'} slowly (emulated?): variants had {ratio:.1f} times "
            "as long as usual to start and to answer before and after a window."
        )
    return notes


def condition_notes(hosts: LabHosts, facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences on clocks that follow the load, CPUs that are less than they look, and cores that both sides share.

    `facts` are what environment.py reported, by host.
    """
    found = [text for host in hosts.all for text in _of_host(host, facts[host.name])]
    if hosts.kind == "container" and not hosts.described.are_cpus_shared:
        found += _shared_cores(hosts, facts)
    return found


def _of_host(host: LabHost, facts: Mapping[str, Any]) -> Iterator[str]:
    governors = [name for name in facts.get("cpu", {}).get("governors", ()) if name != _STEADY_GOVERNOR]
    if governors:
        yield (
            f"{host.name}: the governor of its CPUs is {', '.join(governors)}: their clock follows the load, and rates "
            f"follow the clock ({_STEADY_GOVERNOR} keeps it steady)."
        )
    allowed_count = facts.get("cgroup_limits", {}).get("cpus_count")
    if allowed_count is not None and allowed_count < len(host.cpus):
        yield (
            f"{host.name}: a limit of its cgroup allows it {allowed_count:g} of the {len(host.cpus)} CPUs that it is "
            "given: CPU shares in percent of those cannot reach 100."
        )


def _shared_cores(hosts: LabHosts, facts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Two hosts of one machine whose CPUs are threads of the same core slow each other, and no CPU share tells."""
    of_server = _cores(hosts.server, facts)
    for generator in hosts.generators:
        if shared := sorted(of_server & _cores(generator, facts)):
            yield (
                f"{hosts.server.name} and {generator.name} run on threads of the same core (CPUs {'; '.join(shared)}): "
                "each slows the other."
            )


def _cores(host: LabHost, facts: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The cores that a host has CPUs of, each named by the CPUs that are its threads, as the kernel writes them."""
    siblings = facts[host.name].get("cpu", {}).get("siblings", {})
    return {core for cpu in host.cpus if (core := siblings.get(str(cpu)))}
