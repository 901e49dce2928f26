"""What a concurrency probe reads on the server host. It looks at fixed times and changes nothing.

    probe_snapshot.py settle <base64 spec>   {"unit","port","quiet_s","limit_s"}: wait until the variant is idle
    probe_snapshot.py watch <base64 spec>    {"unit","port","log","looks_at":[epoch s of this host]}: a look at once,
                                             then one at each time
    probe_snapshot.py notes <base64 spec>    {"log","from"}: the handlers' notes in the log from an offset on

Handlers write their notes to stderr, which is the unit's log: a file of their own would cost a descriptor, and a server
that is limited by descriptors would be measured one short. Each command ends when nobody reads it any more.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
import zlib
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any

sys.path.insert(0, __file__.rpartition("/")[0])

import log_errors
import node_io
import sock_diag
from sampler import unified_root

#: Between two beats while nothing is to be done: how late a beat comes shows how late this host runs us.
_BEAT_S = 0.02
#: Of a variant that is idle: the share of one CPU that it may still use.
_IDLE_RATIO = 0.1
_SETTLE_POLL_S = 0.05
#: Above this many threads their states are not read one by one: that would disturb what is looked at.
_TASKS_READ = 3000
_OPEN_FILES, _TASKS = "Max open files", "Max processes"
_NOTE = re.compile(rb"wrklab-probe ([^\n]*)\n")
_COUNTERS = ("ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "TCPReqQFullDoCookies", "SyncookiesSent")


def settle(spec: dict[str, Any]) -> dict[str, Any]:
    """Wait until the unit uses next to no CPU, and no connection to its port is open."""
    folder, port = _cgroup(spec["unit"]), int(spec["port"])
    began = quiet_since = time.monotonic()
    usage_us, shape = _usage_us(folder), ""
    while True:
        _sleep_until(node_io.now() + _SETTLE_POLL_S)
        now, used_us = time.monotonic(), _usage_us(folder)
        connections = sock_diag.local_connections(port)
        seen = f"{_words(folder, 'cgroup.procs')} {connections.open_count}"
        if connections.open_count or seen != shape or used_us - usage_us > _IDLE_RATIO * _SETTLE_POLL_S * 1e6:
            quiet_since = now
        usage_us, shape = used_us, seen
        if now - quiet_since >= spec["quiet_s"] or now - began >= spec["limit_s"]:
            is_quiet = now - quiet_since >= spec["quiet_s"]
            return {"quiet": is_quiet, "took_s": now - began, "open_count": connections.open_count}


def watch(spec: dict[str, Any]) -> dict[str, Any]:
    """A look at once and one at each planned time; how late this host ran us in between."""
    looks = [look(spec, node_io.now())]
    late_s = 0.0
    for at in spec["looks_at"]:
        while node_io.now() < at:
            beat = min(at, node_io.now() + _BEAT_S)
            _sleep_until(beat)
            late_s = max(late_s, node_io.now() - beat)
        looks.append(look(spec, at))
    return {"looks": looks, "beat_late_s": late_s}


def look(spec: dict[str, Any], planned_at: float) -> dict[str, Any]:
    """The server as it is now. What must belong together is read first."""
    folder, port = _cgroup(spec["unit"]), int(spec["port"])
    at = node_io.now()
    log_bytes = _size(spec["log"])
    listeners = sock_diag.listeners(port)
    connections = sock_diag.local_connections(port)
    counters = _counters()
    usage_us, pressure_us = _usage_us(folder), _pressure_us(folder)
    pids = [int(word) for word in _words(folder, "cgroup.procs")]
    tasks = _words(folder, "cgroup.threads")
    limits = {pid: _limits(pid) for pid in pids}
    return {
        "planned_at": planned_at,
        "at": at,
        "log_bytes": log_bytes,
        "listeners": [[item.queued_count, item.backlog] for item in listeners],
        "states": connections.states,
        "unaccepted": connections.unaccepted_count,
        "counters": counters,
        "usage_us": usage_us,
        "pressure_us": pressure_us,
        "pids": pids,
        "threads": len(tasks),
        "task_states": _task_states(tasks if len(tasks) <= _TASKS_READ else _words(folder, "cgroup.procs")),
        "frozen": "frozen 1" in (node_io.read_text(f"{folder}/cgroup.events") or ""),
        "tasks_limit_hits": _tasks_limit_hits(folder),
        "tasks_limit": _tasks_limit(folder, limits.values()),
        "descriptors": [[pid, *found] for pid in pids if (found := _descriptors(pid, limits[pid]))],
        "took_s": node_io.now() - at,
    }


def notes(spec: dict[str, Any]) -> dict[str, Any]:
    """The handlers' notes after an offset of the log: [end offset, words] each, the log's errors, and how it ends."""
    with open(spec["log"], "rb") as stream:
        stream.seek(int(spec["from"]))
        text = stream.read()
    start = int(spec["from"])
    found = [[start + match.end(), match[1].decode("ascii", "replace")] for match in _NOTE.finditer(text)]
    others = _NOTE.sub(b"", text)
    last_lines = others[-6000:].decode("utf-8", "replace").splitlines()
    return {
        "notes": found,
        "log_tail": [line for line in last_lines if line.strip()][-30:],
        "log_errors": log_errors.count_errors(others[: log_errors.BYTES_MAX]),
    }


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
    """How long a task of the unit waited for a CPU so far, µs; None where the kernel does not tell."""
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


def _descriptors(pid: int, limits: dict[str, int]) -> list[int] | None:
    """Open descriptors and the limit of a process; None where it has ended."""
    try:
        open_count = len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return [open_count, limits[_OPEN_FILES]] if _OPEN_FILES in limits else None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _counters() -> dict[str, int]:
    """Counters of this network namespace that tell of dropped connections."""
    lines = (node_io.read_text("/proc/net/netstat") or "").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names.startswith("TcpExt:"):
            found = dict(zip(names.split(), values.split(), strict=True))
            return {name: int(found[name]) for name in _COUNTERS if name in found}
    return {}


def main() -> None:
    """The verb is the first word; the answer is packed: base64 of zlib of JSON."""
    verbs = {"settle": settle, "watch": watch, "notes": notes}
    verb, *words = sys.argv[1:] or [""]
    if verb not in verbs or len(words) != 1:
        node_io.refuse("probe_snapshot.py settle <spec> | watch <spec> | notes <spec>")
    found = verbs[verb](node_io.read_spec(words[0]))
    packed = zlib.compress(json.dumps(found, separators=(",", ":")).encode(), 1)
    sys.stdout.write(b2a_base64(packed, newline=False).decode() + "\n")


if __name__ == "__main__":
    main()
