"""What a concurrency probe reads on the server host. It looks at fixed times and changes nothing.

    probe_snapshot.py settle <SettleSpec>   wait until the variant is idle; prints SettleAnswer
    probe_snapshot.py watch <WatchSpec>     a look at once, then one at each time; prints WatchResult
    probe_snapshot.py notes <NotesSpec>     the handlers' notes in the log; prints NotesResult

Handlers write their notes to stderr, which is the unit's log: a file of their own would cost a descriptor, and a server
that is limited by descriptors would be measured one short. Each command prints one packed line, and ends when nobody
reads it any more.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Iterable

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import node_io, sock_diag
from wrklab.node.sampler import unified_root
from wrklab.protocol.codec import encode_json, pack
from wrklab.protocol.probe import (
    DescriptorUse,
    DropCounters,
    ListenQueue,
    LoggedNote,
    NotesResult,
    NotesSpec,
    ServerLook,
    SettleAnswer,
    SettleSpec,
    WatchResult,
    WatchSpec,
)
from wrklab.protocol.server import LoggedErrors

#: Between two beats while nothing is to be done: how late a beat comes shows how late this host runs this script.
_BEAT_S = 0.02
#: Of a variant that is idle: the share of one CPU that it may still use.
_IDLE_RATIO = 0.1
_SETTLE_POLL_S = 0.05
#: Above this many threads their states are not read one by one: that would disturb what is looked at.
_TASKS_READ = 3000
_OPEN_FILES, _TASKS = "Max open files", "Max processes"
_NOTE = re.compile(rb"wrklab-probe ([^\n]{0,4000})[^\n]*\n")
#: Of what does not belong to the notes: the last part, its last lines, and each line's beginning.
_TAIL_BYTES, _TAIL_LINES, _TAIL_LINE_LENGTH = 6000, 30, 2000


def settle(spec: SettleSpec) -> SettleAnswer:
    """Wait until the unit uses next to no CPU, and no connection to its port is open."""
    folder = _cgroup(spec.unit)
    began = quiet_since = time.monotonic()
    usage_us, shape = _usage_us(folder), ""
    while True:
        _sleep_until(node_io.now() + _SETTLE_POLL_S)
        now, used_us = time.monotonic(), _usage_us(folder)
        open_count = sock_diag.local_connections(spec.port).open_count
        seen = f"{_words(folder, 'cgroup.procs')} {open_count}"
        if open_count or seen != shape or used_us - usage_us > _IDLE_RATIO * _SETTLE_POLL_S * 1e6:
            quiet_since = now
        usage_us, shape = used_us, seen
        is_quiet = now - quiet_since >= spec.quiet_s
        if is_quiet or now - began >= spec.limit_s:
            return SettleAnswer(is_quiet=is_quiet, took_s=now - began, open_count=open_count)


def watch(spec: WatchSpec) -> WatchResult:
    """A look at once and one at each planned time; how late this host ran the script in between."""
    looks = [look(spec, node_io.now())]
    late_s = 0.0
    for at_s in spec.looks_at_s:
        while node_io.now() < at_s:
            beat = min(at_s, node_io.now() + _BEAT_S)
            _sleep_until(beat)
            late_s = max(late_s, node_io.now() - beat)
        looks.append(look(spec, at_s))
    return WatchResult(looks=tuple(looks), beat_late_s=late_s)


def look(spec: WatchSpec, planned_at_s: float) -> ServerLook:
    """The server as it is now. What must belong together is read first."""
    folder, port = _cgroup(spec.unit), spec.port
    at_s = node_io.now()
    log_bytes = _size(spec.log)
    listeners = sock_diag.listeners(port)
    connections = sock_diag.local_connections(port)
    counters = _counters()
    usage_us, pressure_us = _usage_us(folder), _pressure_us(folder)
    pids = [int(word) for word in _words(folder, "cgroup.procs")]
    tasks = _words(folder, "cgroup.threads")
    limits = {pid: _limits(pid) for pid in pids}
    return ServerLook(
        planned_at_s=planned_at_s,
        at_s=at_s,
        log_bytes=log_bytes,
        listeners=tuple(ListenQueue(queued_count=item.queued_count, backlog=item.backlog) for item in listeners),
        states=connections.states,
        unaccepted_count=connections.unaccepted_count,
        counters=counters,
        cpu_usage_us=usage_us,
        cpu_pressure_us=pressure_us,
        pids=tuple(pids),
        threads_count=len(tasks),
        task_states=_task_states(tasks if len(tasks) <= _TASKS_READ else _words(folder, "cgroup.procs")),
        is_frozen="frozen 1" in (node_io.read_text(f"{folder}/cgroup.events") or ""),
        tasks_limit_hits=_tasks_limit_hits(folder),
        tasks_limit=_tasks_limit(folder, limits.values()),
        descriptors=tuple(found for pid in pids if (found := _descriptors(pid, limits[pid]))),
        took_s=node_io.now() - at_s,
    )


def notes(spec: NotesSpec) -> NotesResult:
    """The handlers' notes after an offset of the log, the log's errors, and how it ends."""
    from wrklab.node import unit_traces

    start = spec.from_bytes
    with open(spec.log, "rb") as stream:
        stream.seek(start)
        text = stream.read()
    others = _NOTE.sub(b"", text)
    last_lines = others[-_TAIL_BYTES:].decode("utf-8", "replace").splitlines()
    return NotesResult(
        notes=tuple(
            LoggedNote(end_bytes=start + match.end(), words=match[1].decode("ascii", "replace"))
            for match in _NOTE.finditer(text)
        ),
        log_tail=tuple([line[:_TAIL_LINE_LENGTH] for line in last_lines if line.strip()][-_TAIL_LINES:]),
        log_errors=LoggedErrors(
            errors=unit_traces.count_errors(others[: unit_traces.LOG_MAX_BYTES]),
            is_complete=len(others) <= unit_traces.LOG_MAX_BYTES,
        ),
    )


def _sleep_until(at: float) -> None:
    """Sleep to a time; end the script when nobody reads its answer any more."""
    poller = select.poll()
    poller.register(1, 0)
    if poller.poll(max(0.0, at - node_io.now()) * 1000):
        sys.exit("nobody reads this any more")


def _cgroup(unit: str) -> str:
    return f"{unified_root()}/system.slice/{unit}"


def _words(folder: str, name: str) -> list[str]:
    return (node_io.read_text(f"{folder}/{name}") or "").split()


def _usage_us(folder: str) -> int:
    words = _words(folder, "cpu.stat")
    return int(words[words.index("usage_usec") + 1]) if "usage_usec" in words else 0


def _pressure_us(folder: str) -> int | None:
    """How long a task of the unit waited for a CPU so far, µs; None where the kernel does not report it."""
    try:
        words = _words(folder, "cpu.pressure")
    except OSError:
        return None  # pressure accounting is switched off
    return int(words[4].partition("=")[2]) if words[:1] == ["some"] else None


def _tasks_limit_hits(folder: str) -> int:
    words = _words(folder, "pids.events")
    return int(words[words.index("max") + 1]) if "max" in words else 0


def _tasks_limit(folder: str, limits: Iterable[dict[str, int]]) -> int | None:
    """The most tasks that the unit may have: by its cgroup, or by the limit on its user's processes."""
    words = [word for word in _words(folder, "pids.max")[:1] if word.isdecimal()]
    return min([*map(int, words), *(found[_TASKS] for found in limits if _TASKS in found)], default=None)


def _task_states(tasks: list[str]) -> dict[str, int]:
    """How many threads are in each state of /proc's: {"S": 41, "R": 1}."""
    counts: dict[str, int] = {}
    for task in tasks:
        stat = node_io.read_text(f"/proc/{task}/stat")
        if stat:
            state = stat.rpartition(")")[2].split()[0]
            counts[state] = counts.get(state, 0) + 1
    return counts


def _limits(pid: int) -> dict[str, int]:
    """A process's own (soft) limits on descriptors and on its user's tasks; what is unlimited is not in it."""
    found = {}
    for line in (node_io.read_text(f"/proc/{pid}/limits") or "").splitlines():
        for name in (_OPEN_FILES, _TASKS):
            soft = line.removeprefix(name).split()[:1] if line.startswith(name) else []
            if soft and soft[0].isdecimal():
                found[name] = int(soft[0])
    return found


def _descriptors(pid: int, limits: dict[str, int]) -> DescriptorUse | None:
    """Open descriptors and the limit of a process; None where it has ended."""
    try:
        open_count = len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    limit = limits.get(_OPEN_FILES)
    return DescriptorUse(pid=pid, open_count=open_count, limit=limit) if limit else None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _counters() -> DropCounters:
    """Counters of this network namespace that report dropped connections."""
    found: dict[str, int] = {}
    lines = (node_io.read_text("/proc/net/netstat") or "").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names.startswith("TcpExt:"):
            found = dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
    return DropCounters(
        listen_overflows=found.get("ListenOverflows"),
        listen_drops=found.get("ListenDrops"),
        requests_dropped=found.get("TCPReqQFullDrop"),
        requests_with_cookies=found.get("TCPReqQFullDoCookies"),
        cookies_sent=found.get("SyncookiesSent"),
    )


def main() -> None:
    """The verb is the first word."""
    verb, *words = sys.argv[1:] or [""]
    found: SettleAnswer | WatchResult | NotesResult
    if verb == "settle" and len(words) == 1:
        found = settle(node_io.read_spec(SettleSpec, words[0]))
    elif verb == "watch" and len(words) == 1:
        found = watch(node_io.read_spec(WatchSpec, words[0]))
    elif verb == "notes" and len(words) == 1:
        found = notes(node_io.read_spec(NotesSpec, words[0]))
    else:
        node_io.refuse("probe_snapshot.py settle <spec> | watch <spec> | notes <spec>")
    sys.stdout.write(pack(encode_json(found).encode()) + "\n")


if __name__ == "__main__":
    main()
