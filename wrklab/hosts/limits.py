"""Ceilings of hosts, and sharing a load out over generators and wrk processes so that none of them meets one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wrklab.catalogue.scenario import Scenario
from wrklab.errors import LimitError
from wrklab.hosts.inventory import LabHosts

#: Descriptors that a process needs beside its connections (epoll, pipes, the script, the test connection), with room.
RESERVED_DESCRIPTORS = 100


@dataclass(frozen=True)
class HostLimits:
    """What one host allows: hard RLIMIT_NOFILE of a unit, and local ports towards one address."""

    host: str
    descriptors_count: int
    ports_count: int

    @property
    def connections_per_process(self) -> int:
        """Connections that one process can hold."""
        return self.descriptors_count - RESERVED_DESCRIPTORS


@dataclass(frozen=True)
class ProcessLoad:
    """wrk's -t and -c of one process."""

    threads: int
    connections: int


#: The wrk processes of each generator that takes part, by its name, in the inventory's order.
LoadShares: TypeAlias = Mapping[str, Sequence[ProcessLoad]]


def share_load(connections: int, threads: int, generators: Sequence[HostLimits]) -> LoadShares:
    """The load over the generators as equally as can be; together just the connections that were asked.

    Every generator gets as many threads, and connections that are a multiple of them: 2,000 connections on 4 threads
    are 2 x (2 threads, 1,000 connections), or 668, 666 and 666 with 2 threads each. There are more threads in all than
    were asked for where each generator must have one; with fewer connections than generators the first ones are used.
    Raises LimitError naming the generator whose ceilings its share exceeds.
    """
    used = generators[:connections]
    threads_each = _threads_each(connections, threads, len(used))
    units = _equal_parts(connections // threads_each, len(used))
    return {
        limits.host: split_load(count * threads_each, threads_each, limits)
        for limits, count in zip(used, units, strict=True)
    }


def _threads_each(connections: int, threads: int, generators_count: int) -> int:
    """Threads of each generator: the least that together are as many as asked, and can share the connections equally.

    Where there are too few connections for so many threads, the most that there are enough for.
    """
    least = -(-threads // generators_count)
    candidates: list[int] = [*range(least, threads + 1), *range(least - 1, 0, -1)]
    return next(count for count in candidates if connections % count == 0 and connections // count >= generators_count)


def _equal_parts(total: int, parts_count: int) -> list[int]:
    """A whole number in parts that differ by one at most, the larger ones first."""
    base, extra = divmod(total, parts_count)
    return [base + 1] * extra + [base] * (parts_count - extra)


def split_load(connections: int, threads: int, limits: HostLimits) -> list[ProcessLoad]:
    """The load as wrk processes below the ceilings; together just what was asked.

    Every thread of every process has the same share of connections, so processes may be more than the ceiling alone
    demands: 22,000 connections on 4 threads under 4,096 descriptors are 8 processes, a thread of 2,750 each. Threads
    are raised where one thread's share alone would exceed the ceiling. Raises LimitError where no split can do it.
    """
    ceiling = limits.connections_per_process
    if connections > limits.ports_count:
        raise LimitError(
            f"{limits.host}: {connections} connections asked, but it has {limits.ports_count} local ports towards one "
            "address. Ask for fewer connections, widen its net.ipv4.ip_local_port_range, or add a generator."
        )
    shares = range(threads, connections + 1)
    total_threads = next((t for t in shares if connections % t == 0 and connections // t <= ceiling), None)
    if total_threads is None or ceiling < 1:
        raise LimitError(
            f"{limits.host}: a process may open {limits.descriptors_count} descriptors there: too few for "
            f"{connections} connections in equal shares of {threads} threads or more."
        )
    share = connections // total_threads
    threads_per_process = max(1, ceiling // share)
    processes = -(-total_threads // threads_per_process)
    counts = _equal_parts(total_threads, processes)
    return [ProcessLoad(threads=count, connections=count * share) for count in counts]


def share_notes(scenario: Scenario, generators: Sequence[HostLimits]) -> list[str]:
    """What is to be said of how a scenario's connections are shared out; nothing where one wrk process has them all."""
    shares = share_load(scenario.connections, scenario.threads, generators)
    notes = []
    if len(shares) < len(generators):
        notes.append(
            f"{scenario.name}: {scenario.connections} connections are fewer than the {len(generators)} generators: "
            f"only {', '.join(shares)} load the server."
        )
    ceilings = {limits.host: limits.descriptors_count for limits in generators}
    notes += [
        f"{scenario.name}: {sum(load.connections for load in loads)} connections go over {len(loads)} wrk processes: "
        f"one may open only {ceilings[host]} descriptors on {host}. Their histograms are added."
        for host, loads in shares.items()
        if len(loads) > 1
    ]
    return notes


def server_note(scenario: Scenario, limits: HostLimits) -> str | None:
    """A sentence where a single server process could not hold the scenario's connections, else None."""
    if scenario.connections <= limits.connections_per_process:
        return None
    return (
        f"{scenario.name}: {scenario.connections} connections, but a process on {limits.host} may open only "
        f"{limits.descriptors_count} descriptors: a variant of one process cannot hold them all."
    )


def shared_cpu_notes(hosts: LabHosts) -> list[str]:
    """A sentence for the generators that are on the same CPUs, each group of them once."""
    groups = {
        tuple(sorted([host.name, *(other.name for other in others)])): host.cpus
        for host in hosts.generators
        if (others := hosts.described.sharing_cpus_with(host.name))
    }
    return [
        f"{', '.join(names)} share CPU {', '.join(map(str, cpus))}: generators on the same CPUs take them from each "
        "other, and more of them give no more load."
        for names, cpus in groups.items()
    ]
