"""Before the first cell: a host that is busy, or has too little left, is refused with the reason.

What goes on there is read from the text that node/host_state.py printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

from collectors import parse
from collectors.base import named_numbers, pick
from wrklab.errors import BusyHostError, ParseError
from wrklab.hosts import node_calls
from wrklab.hosts.controller import local_state
from wrklab.hosts.inventory import LabHost
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.protocol.host import BusyProcess, HostStateReport

_MEMINFO = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_SOME_PRESSURE = re.compile(r"^some avg10=([\d.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Disk:
    """What a file system has left. `free_inodes` is None where it does not count them."""

    path: str
    free_bytes: int
    free_inodes: int | None


@dataclass(frozen=True)
class HostState:
    """One look at a host. CPU shares are of the CPUs given to it (0-100)."""

    look_s: float
    #: Somebody's program at usual priority, the kernel, or the hypervisor that keeps the CPU for others.
    busy_percent: float
    #: User time of programs that gave themselves a low priority (nice): in no other figure.
    niced_percent: float
    #: Of `busy_percent`, what a hypervisor kept.
    steal_percent: float
    load_average: tuple[float, ...]
    uptime_s: float
    memory_bytes: int
    memory_available_bytes: int
    swap_used_bytes: int
    #: Read from and written to swap within the look.
    swapped_pages_per_s: float
    #: Share of the last 10 s in which some program waited for memory; None where the kernel does not say.
    memory_pressure_percent: float | None
    #: `name (pid 12, 99 % of a CPU)`, the busiest first.
    busiest: tuple[str, ...]
    #: `wrk (pid 12)`: programs that make load.
    load_tools: tuple[str, ...]
    disks: tuple[Disk, ...]

    def facts(self) -> dict[str, Any]:
        """What is kept of it in a run's environment."""
        return {
            "cpu_busy_percent": round(self.busy_percent, 1),
            "cpu_niced_percent": round(self.niced_percent, 1),
            "cpu_steal_percent": round(self.steal_percent, 1),
            "cpu_look_s": round(self.look_s, 2),
            "busiest": list(self.busiest),
            "load_average": list(self.load_average),
            "uptime_s": self.uptime_s,
            "memory_available_bytes": self.memory_available_bytes,
            "memory_pressure_percent": self.memory_pressure_percent,
            "swap_used_bytes": self.swap_used_bytes,
            "disk_free_bytes": {disk.path: disk.free_bytes for disk in self.disks},
        }


def read_state(host: str, report: HostStateReport, cpus: Sequence[int]) -> HostState:
    """One look at a host that is given `cpus` (all that it has where that is empty). Raises ParseError."""
    try:
        memory = {name: int(number) * 1024 for name, number in _MEMINFO.findall(report.meminfo)}
        shares = {kind: _cpu_percent(report.stat, kind, cpus, report.look_s) for kind in ("busy", "niced", "steal")}
        pressure = _SOME_PRESSURE.search(report.pressure)
        return HostState(
            look_s=report.look_s,
            busy_percent=shares["busy"] - shares["niced"] + shares["steal"],
            niced_percent=shares["niced"],
            steal_percent=shares["steal"],
            load_average=report.load_average,
            uptime_s=report.uptime_s,
            memory_bytes=memory["MemTotal"],
            memory_available_bytes=memory["MemAvailable"],
            swap_used_bytes=memory["SwapTotal"] - memory["SwapFree"],
            swapped_pages_per_s=_swapped_pages(report.vmstat) / report.look_s,
            memory_pressure_percent=float(pressure.group(1)) if pressure else None,
            busiest=tuple(_busy_text(found) for found in report.busiest),
            load_tools=tuple(f"{found.name} (pid {found.pid})" for found in report.load_tools),
            disks=tuple(Disk(found.path, found.free_bytes, found.free_inodes) for found in report.disks),
        )
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ParseError(f"{host}: host_state.py's answer is not complete: {error!r}") from error


def _busy_text(found: BusyProcess) -> str:
    return f"{found.name} (pid {found.pid}, {found.cpu_percent_of_one:.0f} % of a CPU)"


def _cpu_percent(stat: Sequence[str], kind: str, cpus: Sequence[int], look_s: float) -> float:
    before, after = ({name: sample.value for name, sample in parse({"cpu": text}).items()} for text in stat)
    names = [f"cpu.{cpu}.{kind}" for cpu in cpus] or [name for name in after if name.endswith(f".{kind}")]
    used_s = sum(after[name] - before[name] for name in names)
    return 100 * used_s / look_s / len(names)


def _swapped_pages(vmstat: Sequence[str]) -> int:
    before, after = (named_numbers(text, "vmstat") for text in vmstat)
    return sum(pick(after, name, "vmstat") - pick(before, name, "vmstat") for name in ("pswpin", "pswpout"))


#: Half of a host's CPUs gone moves rates by as much. What is left of a deploy, or a machine's usual noise, is below.
#: Programs of low priority (nice) are left out: who set it meant not to disturb. They are noted, and what they take
#: within a window counts as the neighbours' there.
BUSY_REFUSED_PERCENT = 50.0
#: From here on a report says so: as the rule `neighbours` does of a window (verdicts/hosts.py).
BUSY_NOTED_PERCENT = 10.0
#: A host is busy only if it is in every one of so many looks: a deploy that just ended needs a few seconds to settle.
LOOKS_COUNT = 5
#: Of a host that is calm so much is enough; then looks are longer, so that one short burst weighs less.
FIRST_LOOK_S, LOOK_S = 0.5, 1.0
#: Below this share of its memory (or this much) a host begins to drop what it should keep, and then to swap.
MEMORY_REFUSED_RATIO, MEMORY_REFUSED_BYTES = 0.05, 192 << 20
#: Programs that wait for memory for more than this share of the time: thrashing begins.
PRESSURE_REFUSED_PERCENT = 10.0
#: Pages of 4 KiB: a megabyte a second through swap.
SWAPPING_REFUSED_PAGES_PER_S = 256.0
#: What lies in swap and is not asked for does no harm; it tells that memory was short.
SWAP_NOTED_RATIO = 0.01
#: A cell's raw files are a few MiB, a server that logs each request writes some 100 MiB a minute.
DISK_REFUSED_BYTES, DISK_NOTED_BYTES = 256 << 20, 1 << 30
#: Of /run, a file system in memory that has a tenth of it (systemd, api-vfs): units and our lock take kilobytes there.
RUN_REFUSED_BYTES, RUN_NOTED_BYTES = 8 << 20, 16 << 20
INODES_REFUSED_COUNT = 1000
#: Where cells and logs go on a host.
PATHS = ("/var/lib/wrklab", "/var/log/wrklab", "/tmp", "/run")  # noqa: S108  looked at, not written to

_NEXT_STEP = "End what is in the way or wait for it, or measure anyway with --force: the report then says so."


@dataclass(frozen=True)
class Readiness:
    """What was found on each host before the first cell."""

    #: The last look, by host.
    states: dict[str, HostState]
    #: Why hosts should not be measured now; not empty only where that was overridden.
    forced: tuple[str, ...] = ()
    #: What a report should say and nobody needs to wait for.
    notes: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """All that a report repeats, forced ones first."""
        return [f"Measured by --force although {reason}" for reason in self.forced] + list(self.notes)


@dataclass(frozen=True)
class _Finding:
    """Something that a report should say; a reason to refuse the host where `is_refused`."""

    is_refused: bool
    text: str


@dataclass
class Findings:
    """What is to be said of one host: why it should not be measured now, and what a report should say of it."""

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_hosts(session: Session, console: Console, *, is_forced: bool = False) -> Readiness:
    """Look at every host, busy ones for a few seconds. Raises BusyHostError with every reason unless it is forced."""
    hosts = {host.name: host for host in session.hosts.all}
    looks = session.on_all(lambda host: looks_at(lambda look_s: _look(host, hosts[host.name].cpus, look_s)))
    found = {name: findings(hosts[name], states) for name, states in looks.items()}
    reasons = [reason for each in found.values() for reason in each.reasons]
    notes = [note for each in found.values() for note in each.notes]
    if reasons and not is_forced:
        raise BusyHostError("\n".join([*reasons, *_seen_from_here(session.hosts.kind), _NEXT_STEP]))
    readiness = Readiness({name: states[-1] for name, states in looks.items()}, tuple(reasons), tuple(notes))
    for sentence in readiness.sentences():
        console.print(f"[yellow]![/yellow] {escape(sentence)}")
    return readiness


def looks_at(look: Callable[[float], HostState]) -> list[HostState]:
    """Looks at a host until one is calm: once more where it is not quite, several times where it is busy.

    What does not pass by waiting is seen in the first.
    """
    states = [look(FIRST_LOOK_S)]
    while (states[-1].busy_percent > BUSY_REFUSED_PERCENT and len(states) < LOOKS_COUNT) or (
        states[-1].busy_percent > BUSY_NOTED_PERCENT and len(states) == 1
    ):
        states.append(look(LOOK_S))
    return states


def _look(host: RemoteHost, cpus: Sequence[int], look_s: float) -> HostState:
    return read_state(host.name, node_calls.host_state(host, look_s, PATHS), cpus)


def _seen_from_here(lab_kind: str) -> Iterator[str]:
    """Who uses the CPUs of a lab that is a part of this machine: its hosts do not see each other's neighbours."""
    report = local_state(LOOK_S) if lab_kind == "container" else None
    if report and (busiest := read_state("this machine", report, ()).busiest):
        yield f"This machine, which the hosts are a part of, is used most by {', '.join(busiest)}."


def findings(host: LabHost, states: Sequence[HostState]) -> Findings:
    """Why a host should not be measured now, and what should be said of it, from the looks at it."""
    found = Findings()
    for finding in (*_cpu(host, states), *_memory(states[-1]), *_disks(states[-1])):
        (found.reasons if finding.is_refused else found.notes).append(f"{host.name}: {finding.text}")
    if tools := states[-1].load_tools:
        found.reasons.append(f"{host.name}: {', '.join(tools)} runs there: somebody else makes load")
    return found


def _cpu(host: LabHost, states: Sequence[HostState]) -> Iterator[_Finding]:
    calmest = min(states, key=lambda state: state.busy_percent)
    shares = sorted({f"{state.busy_percent:.0f}" for state in states}, key=int)
    is_refused = calmest.busy_percent > BUSY_REFUSED_PERCENT
    if is_refused or calmest.busy_percent > BUSY_NOTED_PERCENT:
        cpus = f" ({', '.join(map(str, host.cpus))})" if host.cpus else ""
        steal = f", {calmest.steal_percent:.0f} % by its hypervisor" if calmest.steal_percent >= 1 else ""
        looks = f"{len(states)} looks in {sum(state.look_s for state in states):.1f} s"
        expected = f"; at most {BUSY_REFUSED_PERCENT:.0f} % was expected" if is_refused else ""
        busiest = f"; most by {', '.join(calmest.busiest)}" if calmest.busiest else ""
        yield _Finding(
            is_refused,
            f"others used {'-'.join((shares[0], *shares[1:][-1:]))} % of its CPUs{cpus} before the first cell{steal} "
            f"({looks}){expected}{busiest}",
        )
    if states[-1].niced_percent > BUSY_NOTED_PERCENT:
        yield _Finding(
            False,
            f"programs of low priority (nice) used {states[-1].niced_percent:.0f} % of its CPUs before the first "
            "cell: they give way within their own session or cgroup only",
        )


def _memory(state: HostState) -> Iterator[_Finding]:
    least_bytes = max(MEMORY_REFUSED_RATIO * state.memory_bytes, MEMORY_REFUSED_BYTES)
    if state.memory_available_bytes < least_bytes:
        yield _Finding(
            True,
            f"only {_mib(state.memory_available_bytes)} of {_mib(state.memory_bytes)} memory is available; "
            f"at least {_mib(least_bytes)} was expected",
        )
    if (state.memory_pressure_percent or 0.0) > PRESSURE_REFUSED_PERCENT:
        yield _Finding(
            True,
            f"its programs waited for memory {state.memory_pressure_percent:.0f} % of the last 10 s; "
            f"at most {PRESSURE_REFUSED_PERCENT:.0f} % was expected",
        )
    if state.swapped_pages_per_s > SWAPPING_REFUSED_PAGES_PER_S:
        yield _Finding(
            True,
            f"it swaps {state.swapped_pages_per_s:,.0f} pages a second; at most {SWAPPING_REFUSED_PAGES_PER_S:,.0f} "
            "was expected",
        )
    elif state.swap_used_bytes > SWAP_NOTED_RATIO * state.memory_bytes:
        yield _Finding(
            False, f"{_mib(state.swap_used_bytes)} lay in swap before the first cell: memory was short there"
        )


def _disks(state: HostState) -> Iterator[_Finding]:
    said = set()
    for disk in state.disks:
        # Several paths of one file system have the same figures.
        if (disk.free_bytes, disk.free_inodes) in said:
            continue
        said.add((disk.free_bytes, disk.free_inodes))
        is_run = disk.path == "/run"
        refused_bytes = RUN_REFUSED_BYTES if is_run else DISK_REFUSED_BYTES
        if disk.free_bytes < (RUN_NOTED_BYTES if is_run else DISK_NOTED_BYTES):
            is_refused = disk.free_bytes < refused_bytes
            expected = f"; at least {_mib(refused_bytes)} was expected" if is_refused else ""
            yield _Finding(is_refused, f"{disk.path} has only {_mib(disk.free_bytes)} left{expected}")
        if disk.free_inodes is not None and disk.free_inodes < INODES_REFUSED_COUNT:
            yield _Finding(
                True,
                f"{disk.path} has room for {disk.free_inodes:,} more files only; "
                f"at least {INODES_REFUSED_COUNT:,} was expected",
            )


def _mib(number: float) -> str:
    return f"{number / (1 << 20):,.0f} MiB"
