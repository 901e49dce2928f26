"""Which CPUs of this machine the server gets, and which the load generators and the backends get."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class CpuSplit:
    """CPU numbers for the server and for all generators together; `shared` when both hold the same ones."""

    server: tuple[int, ...]
    loadgen: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether any CPU is on both sides."""
        return bool(set(self.server) & set(self.loadgen))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of the kernel's list form: `0-2,5` is (0, 1, 2, 5)."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def format_cpu_list(cpus: Sequence[int]) -> str:
    """The kernel's list form, without ranges: (0, 1, 5) is `0,1,5`."""
    return ",".join(str(cpu) for cpu in cpus)


def usable_cores() -> list[tuple[int, ...]]:
    """The CPUs that this process may use, siblings (hyper-threads) of one core together, in order."""
    usable = os.sched_getaffinity(0)
    cores: dict[tuple[int, ...], None] = {}
    for cpu in sorted(usable):
        siblings = TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        # Some virtual machines and containers show no topology: every CPU counts as a core then.
        core = parse_cpu_list(siblings.read_text()) if siblings.exists() else (cpu,)
        cores[tuple(sorted(usable & set(core)))] = None
    return list(cores)


def split_cores(cores: Sequence[tuple[int, ...]]) -> CpuSplit:
    """Half of the cores for the server (the smaller half when odd), the rest for the generators.

    The generators get the larger half, as they must never be what limits. A core's siblings are never parted, except
    on a machine of one core with siblings, where parting them is the only separation there is.
    """
    if len(cores) == 1:
        cores = [(cpu,) for cpu in cores[0]]
    if len(cores) == 1:
        return CpuSplit(server=cores[0], loadgen=cores[0])
    half = len(cores) // 2
    return CpuSplit(
        server=tuple(cpu for core in cores[:half] for cpu in core),
        loadgen=tuple(cpu for core in cores[half:] for cpu in core),
    )


def with_backends(loadgen: Sequence[int], cores: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The generators' CPUs and those of the backends' node, which has them from the generators: half of their cores.

    The server keeps its own, so that its rates compare with and without backends. Generators of one core share it with
    the backends.
    """
    of_loadgen = [core for core in cores if set(core) <= set(loadgen)]
    if len(of_loadgen) < 2:  # noqa: PLR2004  one stays with the generators
        return tuple(loadgen), tuple(loadgen)
    given = {cpu for core in of_loadgen[len(of_loadgen) - len(of_loadgen) // 2 :] for cpu in core}
    return tuple(cpu for cpu in loadgen if cpu not in given), tuple(cpu for cpu in loadgen if cpu in given)


def share_out(cpus: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """`count` disjoint shares of the generators' CPUs; every share is all of them when there are too few."""
    if len(cpus) < count:
        return [tuple(cpus)] * count
    bounds = [len(cpus) * index // count for index in range(count + 1)]
    return [tuple(cpus[start:end]) for start, end in pairwise(bounds)]
