"""What of the hosts' make a report should say, since it moves rates and no sample of a window shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wrklab.hosts.inventory import LabHost, LabHosts

#: The governor that keeps the clock where it is (Documentation/admin-guide/pm/cpufreq.rst).
_STEADY_GOVERNOR = "performance"


def circumstances(hosts: LabHosts, facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences on clocks that follow the load, CPUs that are less than they look, and cores that both sides share.

    `facts` are what environment.py told, by host.
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
    """The cores that a host has CPUs of, each told by the CPUs that are its threads, as the kernel writes them."""
    siblings = facts[host.name].get("cpu", {}).get("siblings", {})
    return {core for cpu in host.cpus if (core := siblings.get(str(cpu)))}
