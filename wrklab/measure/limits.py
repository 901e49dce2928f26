"""Ceilings of hosts, and sharing a load out over wrk processes so that none of them meets one."""

from __future__ import annotations

from dataclasses import dataclass

from wrklab.errors import LimitError
from wrklab.model.scenario import Scenario

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
            "address. Ask for fewer connections, or widen its net.ipv4.ip_local_port_range."
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
    base, extra = divmod(total_threads, processes)
    counts = [base + 1] * extra + [base] * (processes - extra)
    return [ProcessLoad(threads=count, connections=count * share) for count in counts]


def server_note(scenario: Scenario, limits: HostLimits) -> str | None:
    """A sentence where a single server process could not hold the scenario's connections, else None."""
    if scenario.connections <= limits.connections_per_process:
        return None
    return (
        f"{scenario.name}: {scenario.connections} connections, but a process on {limits.host} may open only "
        f"{limits.descriptors_count} descriptors: a variant of one process cannot hold them all."
    )
