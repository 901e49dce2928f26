"""Starts, asks, ends and watches a variant's unit on the server host.

    server_ctl.py start <base64 spec>    {"unit","variant","cell","environment":{},"lease_s","sample_interval_s","port"}
    server_ctl.py state <unit>           what systemd says of it
    server_ctl.py finish <base64 spec>   {"unit","variant","cell","port","keep_log_lines"}: stop all, tell what was seen
    server_ctl.py cleanup                ends every unit of wrklab's on this host

Exit 3 with {"error": ...}: refused, or the unit could not be started.
"""

from __future__ import annotations

import json
import os
import sys
import time
from binascii import b2a_base64
from typing import Any

sys.path.insert(0, __file__.rpartition("/")[0])

import log_errors
import node_io
import sock_diag
from sampler import unified_root

SAMPLER = "wrklab-sampler.service"
LOAD = "wrklab-load.service"
LEASE = "wrklab-lease.timer"
_LEASE_SERVICE = "wrklab-lease.service"
_HELPERS = (SAMPLER, LOAD, LEASE, _LEASE_SERVICE)
_STATE_FIELDS = {
    "ActiveState": "active_state",
    "SubState": "sub_state",
    "Result": "result",
    "ExecMainCode": "exec_main_code",
    "ExecMainStatus": "exec_main_status",
    "MainPID": "main_pid",
}
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LOG_LINES_ON_FAILURE = 20


def start(spec: dict[str, Any]) -> dict[str, Any]:
    """Start the variant's unit with sampler and lease; its server is not waited for."""
    began = time.monotonic()
    unit, folder = str(spec["unit"]), node_io.cell_dir(spec["cell"])
    _clear_the_way(unit, int(spec["port"]))
    node_io.drop_other_cells(folder)
    os.makedirs(folder, exist_ok=True)
    os.makedirs(node_io.RUN_DIR, exist_ok=True)
    node_io.write_whole(f"{node_io.RUN_DIR}/server.env", _environment_file(spec["environment"]))
    _start_sampler(unit, folder, float(spec["sample_interval_s"]), float(spec["lease_s"]))
    _arm_lease(unit, float(spec["lease_s"]))
    started_at = time.time()
    started = node_io.run(["systemctl", "start", unit])
    if started.exit_code:
        _stop([unit, SAMPLER, LEASE])
        node_io.refuse(_why_not_started(unit, str(spec["variant"]), started.output))
    if node_io.run(["systemctl", "is-active", "--quiet", LEASE]).exit_code:
        # Somebody ended this cell while it began: no server without a lease.
        _stop([unit, SAMPLER])
        node_io.refuse(f"{LEASE} was stopped while {unit} started")
    return {"started_at": started_at, "took_s": time.monotonic() - began}


def _clear_the_way(unit: str, port: int) -> None:
    """Refuse where another variant runs or the port is taken; leftovers of our own helpers are stopped."""
    leftovers = []
    for name, active_state in _our_units():
        if name in (SAMPLER, LEASE, _LEASE_SERVICE):
            leftovers.append(name)
        elif name == LOAD:
            continue  # a host may be server and generator at once
        elif active_state != "failed":
            node_io.refuse(
                f"{name} is {active_state} on this host: one variant at a time (server_ctl.py cleanup ends it)"
            )
        elif name == unit:
            node_io.run(["systemctl", "reset-failed", unit])
    if leftovers:
        _stop(leftovers)
    if listening := sock_diag.listeners(port):
        inodes = {listener.inode for listener in listening}
        node_io.refuse(f"port {port} is taken on this host by {_owner_of(inodes)}: end it, or choose another port")


def _our_units() -> list[tuple[str, str]]:
    """Name and active state of every wrklab unit that is not inactive."""
    states = "active,activating,deactivating,reloading,failed"
    listed = node_io.run(
        ["systemctl", "list-units", "--no-legend", "--plain", "--full", f"--state={states}", "wrklab-*"]
    )
    rows = (line.split() for line in listed.output.splitlines())
    return [(row[0], row[2]) for row in rows if row and row[0].startswith("wrklab-")]


def _owner_of(inodes: set[int]) -> str:
    """The process that holds a socket, for people: pid and command line."""
    links = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            for entry in os.scandir(f"/proc/{pid}/fd"):
                if os.readlink(entry.path) in links:
                    return f"pid {pid} ({' '.join(_argv(int(pid)))})"
        except OSError:
            continue  # it ended meanwhile, or the descriptor did
    return "a process that cannot be seen from here"


def _environment_file(environment: dict[str, Any]) -> str:
    lines = []
    for name, value in environment.items():
        text = str(value)
        if "\n" in text:
            node_io.refuse(f"the environment's {name} has a line break in it")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def _start_sampler(unit: str, folder: str, interval_s: float, lease_s: float) -> None:
    out = f"{folder}/server_samples.jsonl"
    spec = {
        "out": out,
        "interval_s": interval_s,
        "sources": f"{node_io.NODE_DIR}/sources.json",
        "cgroup": f"{unified_root()}/system.slice/{unit}",
    }
    if os.path.exists(out):
        os.unlink(out)
    word = b2a_base64(json.dumps(spec).encode(), newline=False).decode()
    _systemd_run(
        [
            f"--unit={SAMPLER}",
            f"--property=RuntimeMaxSec={lease_s:g}",
            "--property=KillSignal=SIGKILL",
            "--property=SuccessExitStatus=SIGKILL",
            # What another unit refers to is not unloaded when it ends, and still tells how it did.
            f"--property=After={unit}",
            f"--property=StandardError=truncate:{folder}/sampler_stderr",
            "/usr/bin/python3", "-I", "-S", f"{node_io.NODE_DIR}/sampler.py", word,
        ]
    )  # fmt: skip


def _arm_lease(unit: str, lease_s: float) -> None:
    """Should nobody finish this cell, the timer stops the unit."""
    systemctl = ["/usr/bin/systemctl", "stop", unit, SAMPLER]
    _systemd_run(
        [
            f"--unit={LEASE.partition('.')[0]}",
            f"--on-active={lease_s:g}s",
            "--timer-property=AccuracySec=1s",
            "--timer-property=RemainAfterElapse=no",
            *systemctl,
        ]
    )


def _systemd_run(words: list[str]) -> None:
    started = node_io.run(["systemd-run", "--quiet", "--no-block", "--collect", *words])
    if started.exit_code:
        node_io.refuse(f"systemd-run {words[0]}: {started.output.strip()}")


def _why_not_started(unit: str, variant: str, output: str) -> str:
    log = "\n".join(node_io.tail(_log_path(variant), _LOG_LINES_ON_FAILURE)) or "(empty)"
    return f"{unit} could not be started: {output.strip()}\nits log:\n{log}"


def _log_path(variant: str) -> str:
    return f"/var/log/wrklab/{variant}.log"


def _stop(units: list[str]) -> str:
    """Stop units in one call; that one is not loaded is what was wanted."""
    return node_io.run(["systemctl", "stop", *units]).output.strip()


def state(unit: str) -> dict[str, Any]:
    """What systemd says of a unit."""
    shown = node_io.run(["systemctl", "show", f"--property={','.join(_STATE_FIELDS)},ControlGroup", unit])
    values = dict(line.partition("=")[::2] for line in shown.output.splitlines())
    found: dict[str, Any] = {name: values.get(key, "") for key, name in _STATE_FIELDS.items()}
    for name in ("exec_main_code", "exec_main_status", "main_pid"):
        found[name] = int(found[name] or 0)
    return found


def finish(spec: dict[str, Any]) -> dict[str, Any]:
    """Look at the unit, stop everything of this cell, hand out what was seen. A second call does no harm."""
    began = time.monotonic()
    unit, folder = str(spec["unit"]), node_io.cell_dir(spec["cell"])
    before = state(unit)
    observed = _observe(unit, before["main_pid"], int(spec["port"]))
    stopped = _stop([unit, SAMPLER, LEASE])
    samples = node_io.read_text(f"{folder}/server_samples.jsonl") or ""
    return {
        "state": before,
        "observed": observed,
        "stop_output": stopped,
        "log_tail": node_io.tail(_log_path(str(spec["variant"])), int(spec["keep_log_lines"])),
        "log_errors": log_errors.read_errors(_log_path(str(spec["variant"]))),
        "sampler_stderr": node_io.read_text(f"{folder}/sampler_stderr") or "",
        "samples": samples.splitlines(),
        "took_s": time.monotonic() - began,
    }


def _observe(unit: str, main_pid: int, port: int) -> dict[str, Any]:
    """What the server really is: its processes and threads, its memory, its listening sockets."""
    cgroup = f"{unified_root()}/system.slice/{unit}"
    pids = [int(word) for word in (node_io.read_text(f"{cgroup}/cgroup.procs") or "").split()]
    processes = [_process(pid) for pid in pids]
    alive = [process for process in processes if process]
    return {
        "argv": _argv(main_pid),
        "processes": alive,
        "processes_count": len(alive),
        "threads_count": sum(process["threads"] for process in alive),
        "rss_bytes": sum(process["rss_bytes"] for process in alive),
        "listeners": [
            {"family": item.family, "queued_count": item.queued_count, "backlog": item.backlog}
            for item in sock_diag.listeners(port)
        ],
        "port": port,
        # wrk has ended by now: who is connected still is somebody else.
        "peers": sock_diag.peers(port),
    }


def _process(pid: int) -> dict[str, Any] | None:
    """A process's shape; None where it has ended."""
    stat, statm = node_io.read_text(f"/proc/{pid}/stat"), node_io.read_text(f"/proc/{pid}/statm")
    if not stat or not statm:
        return None
    # The command's name is in parentheses and may contain anything.
    fields = stat.rpartition(")")[2].split()
    rss_bytes = int(statm.split()[1]) * _PAGE_BYTES
    return {
        "pid": pid,
        "parent_pid": int(fields[1]),
        "name": stat.partition("(")[2].rpartition(")")[0],
        "threads": int(fields[17]),
        "rss_bytes": rss_bytes,
    }


def _argv(pid: int) -> list[str]:
    text = node_io.read_text(f"/proc/{pid}/cmdline") if pid else None
    return text.rstrip("\0").split("\0") if text else []


def cleanup() -> dict[str, Any]:
    """End every wrklab unit on this host and remove what cells left."""
    units = [name for name, _ in _our_units()]
    output = ""
    if units:
        # A load would end by SIGINT with a report that nobody asks for.
        node_io.run(["systemctl", "kill", "--signal=SIGKILL", LOAD])
        output = _stop(units)
        node_io.run(["systemctl", "reset-failed", *units])
    return {
        "ended": units,
        "output": output,
        "removed": _remove_leftovers(),
        "left_alone": sorted(_our_drop_ins()),
        "free_bytes": node_io.free_bytes(),
    }


def _remove_leftovers() -> list[str]:
    """What cells left: their folders, and the environment of the last one."""
    removed = node_io.drop_other_cells(keep="")
    environment = f"{node_io.RUN_DIR}/server.env"
    if node_io.take_away(environment):
        removed.append(environment)
    return removed


def _our_drop_ins() -> list[str]:
    """Drop-ins of our units that vanish with a reboot: somebody's experiment, which no bench makes or ends."""
    folder = "/run/systemd/system"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [f"{folder}/{name}" for name in names if name.startswith("wrklab-") and name.endswith(".d")]


def main() -> None:
    """The verb is the first word."""
    verb, *words = sys.argv[1:] or [""]
    if verb == "start" and len(words) == 1:
        node_io.answer(start(node_io.read_spec(words[0])))
    elif verb == "state" and len(words) == 1:
        node_io.answer(state(words[0]))
    elif verb == "finish" and len(words) == 1:
        node_io.answer(finish(node_io.read_spec(words[0])))
    elif verb == "cleanup" and not words:
        node_io.answer(cleanup())
    else:
        node_io.refuse("server_ctl.py start <spec> | state <unit> | finish <spec> | cleanup")


if __name__ == "__main__":
    node_io.guarded(main)
