"""Starts, asks, ends and watches a variant's unit on the server host.

    server_ctl.py start -                prints ServerStarted; the ServerSpec is a line of standard input, as its
                                         environment may have secrets, and every user may read a command line
    server_ctl.py state <unit>           prints UnitState
    server_ctl.py finish <ServerSpec>    stops everything of a cell, prints ServerReport
    server_ctl.py texts <unit> ...       prints UnitTexts
    server_ctl.py cleanup                ends every unit of wrklab's on this host, prints CleanedHost

Specs are words (wrklab/protocol/codec.py). Exit 3 with a Refusal: refused, or the unit could not be started.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import node_io, sock_diag
from wrklab.node.sampler import unified_root
from wrklab.protocol.codec import to_word
from wrklab.protocol.server import (
    FILTER_UNIT,
    ActiveState,
    CleanedHost,
    ListeningSocket,
    ObservedServer,
    SamplerSpec,
    ServerProcess,
    ServerReport,
    ServerSpec,
    ServerStarted,
    UnitState,
)

SAMPLER = "wrklab-sampler.service"
LOAD = "wrklab-load.service"
LEASE = "wrklab-lease.timer"
_LEASE_SERVICE = "wrklab-lease.service"
#: protocol.backend.BACKENDS_DIR; the import would cost every call of a cell.
_BACKENDS_DIR = "/var/lib/wrklab/backends"
_HELPERS = (SAMPLER, LOAD, LEASE, _LEASE_SERVICE)
_STATE_PROPERTIES = ("ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus", "MainPID")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LOG_LINES_ON_FAILURE = 20
#: A process may have a megabyte of arguments.
_ARGUMENTS_MAX, _ARGUMENT_LENGTH_MAX = 1000, 4000
_LOG_LINE_LENGTH_MAX = 4000
#: A hundred variables of 20,000 characters, base64.
_SPEC_MAX_CHARS = 4 << 20


def start(spec: ServerSpec) -> ServerStarted:
    """Start the variant's unit with sampler and lease; its server is not waited for."""
    began = time.monotonic()
    unit, folder = spec.unit, node_io.cell_dir(spec.cell)
    _clear_the_way(unit, spec.port)
    node_io.drop_other_cells(folder)
    os.makedirs(folder, exist_ok=True)
    os.makedirs(node_io.RUN_DIR, exist_ok=True)
    node_io.write_private_file(f"{node_io.RUN_DIR}/server.env", _environment_file(spec.environment))
    _start_sampler(spec, folder)
    _arm_lease(unit, spec.lease_s)
    started_at_s = time.time()
    # What comes before the server (a migration, say) is a part of the start.
    started = node_io.run(["systemctl", "start", unit], max(node_io.COMMAND_LIMIT_S, spec.start_limit_s))
    if started.exit_code:
        _stop([unit, SAMPLER, LEASE])
        node_io.refuse(_why_not_started(unit, spec.variant, started.output))
    if node_io.run(["systemctl", "is-active", "--quiet", LEASE]).exit_code:
        # Somebody ended this cell while it began: no server without a lease.
        _stop([unit, SAMPLER])
        node_io.refuse(f"{LEASE} was stopped while {unit} started")
    return ServerStarted(started_at_s=started_at_s, took_s=time.monotonic() - began)


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


def _environment_file(environment: Mapping[str, str]) -> str:
    lines = []
    for name, text in environment.items():
        if "\n" in text:
            node_io.refuse(f"the environment's {name} has a line break in it")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def _start_sampler(server: ServerSpec, folder: str) -> None:
    spec = SamplerSpec(
        out=f"{folder}/server_samples.jsonl",
        interval_s=server.sample_interval_s,
        sources=f"{node_io.NODE_DIR}/sources.json",
        cgroup=f"{unified_root()}/system.slice/{server.unit}",
    )
    node_io.remove(spec.out)
    _systemd_run(
        [
            f"--unit={SAMPLER}",
            f"--property=RuntimeMaxSec={server.lease_s:g}",
            "--property=KillSignal=SIGKILL",
            "--property=SuccessExitStatus=SIGKILL",
            # What another unit refers to is not unloaded when it ends, so its state can still be read.
            f"--property=After={server.unit}",
            # Loaded by then, the server's rules are no part of its start.
            f"--property=Wants={FILTER_UNIT}",
            f"--property=StandardError=truncate:{folder}/sampler_stderr",
            "/usr/bin/python3", "-I", "-S", f"{node_io.NODE_DIR}/sampler.py", to_word(spec),
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
    return f"{unit} could not be started: {output.strip()}\n{_why_no_filter()}its log:\n{log}"


def _why_no_filter() -> str:
    """What the unit that every variant depends on said of its failure; empty where it did not fail."""
    if node_io.run(["systemctl", "is-failed", "--quiet", FILTER_UNIT]).exit_code:
        return ""
    words = ["journalctl", "--boot", "--unit", FILTER_UNIT, "--lines", "8", "--output", "cat", "--no-pager"]
    return f"{FILTER_UNIT}, which says whom variants may reach, failed:\n{node_io.run(words).output.strip()}\n"


def _log_path(variant: str) -> str:
    return f"/var/log/wrklab/{variant}.log"


def _stop(units: list[str]) -> str:
    """Stop units in one call; that one is not loaded is what was wanted."""
    return node_io.run(["systemctl", "stop", *units]).output.strip()


def state(unit: str) -> UnitState:
    """What systemd reports of a unit."""
    shown = node_io.run(["systemctl", "show", f"--property={','.join(_STATE_PROPERTIES)}", unit])
    values = dict(line.partition("=")[::2] for line in shown.output.splitlines())
    try:
        return UnitState(
            active_state=ActiveState(values["ActiveState"]),
            sub_state=values["SubState"],
            result=values["Result"],
            # A unit of a kind without processes has none of these.
            exec_main_code=int(values.get("ExecMainCode", 0)),
            exec_main_status=int(values.get("ExecMainStatus", 0)),
            main_pid=int(values.get("MainPID", 0)),
        )
    except (KeyError, ValueError) as error:
        node_io.refuse(f"systemctl show {unit} cannot be read: {error!r}: {shown.output.strip()}")


def finish(spec: ServerSpec) -> ServerReport:
    """Look at the unit, stop everything of this cell, hand out what was seen. A second call does no harm."""
    from wrklab.node import unit_traces

    began = time.monotonic()
    folder, log = node_io.cell_dir(spec.cell), _log_path(spec.variant)
    before = state(spec.unit)
    observed = _observe(spec.unit, before.main_pid, spec.port)
    stopped = _stop([spec.unit, SAMPLER, LEASE])
    return ServerReport(
        state=before,
        observed=observed,
        stop_output=node_io.cut(stopped),
        log_tail=tuple(line[:_LOG_LINE_LENGTH_MAX] for line in node_io.tail(log, spec.keep_log_lines)),
        log_errors=unit_traces.read_errors(log),
        sampler_stderr=node_io.cut(node_io.read_text(f"{folder}/sampler_stderr") or ""),
        samples=tuple((node_io.read_text(f"{folder}/server_samples.jsonl") or "").splitlines()),
        took_s=time.monotonic() - began,
    )


def _observe(unit: str, main_pid: int, port: int) -> ObservedServer:
    """What the server is: processes and threads, its memory, its listening sockets."""
    cgroup = f"{unified_root()}/system.slice/{unit}"
    pids = [int(word) for word in (node_io.read_text(f"{cgroup}/cgroup.procs") or "").split()]
    alive = tuple(process for pid in pids if (process := _process(pid)))
    return ObservedServer(
        argv=tuple(_argv(main_pid)),
        processes=alive,
        processes_count=len(alive),
        threads_count=sum(process.threads for process in alive),
        rss_bytes=sum(process.rss_bytes for process in alive),
        listeners=tuple(
            ListeningSocket(family=item.family, queued_count=item.queued_count, backlog=item.backlog)
            for item in sock_diag.listeners(port)
        ),
        port=port,
        # wrk has ended by now: who is connected still is somebody else.
        peers=sock_diag.peers(port),
    )


def _process(pid: int) -> ServerProcess | None:
    """One process; None where it has ended."""
    stat, statm = node_io.read_text(f"/proc/{pid}/stat"), node_io.read_text(f"/proc/{pid}/statm")
    if not stat or not statm:
        return None
    # The command's name is in parentheses and may contain anything.
    fields = stat.rpartition(")")[2].split()
    return ServerProcess(
        pid=pid,
        parent_pid=int(fields[1]),
        name=stat.partition("(")[2].rpartition(")")[0],
        threads=int(fields[17]),
        rss_bytes=int(statm.split()[1]) * _PAGE_BYTES,
    )


def _argv(pid: int) -> list[str]:
    text = node_io.read_text(f"/proc/{pid}/cmdline") if pid else None
    words = text.rstrip("\0").split("\0") if text else []
    return [word[:_ARGUMENT_LENGTH_MAX] for word in words[:_ARGUMENTS_MAX]]


def cleanup() -> CleanedHost:
    """End every wrklab unit on this host and remove what cells left."""
    units = [name for name, _ in _our_units()]
    output = ""
    if units:
        # A load would end by SIGINT with a report that nobody asks for.
        node_io.run(["systemctl", "kill", "--signal=SIGKILL", LOAD])
        output = _stop(units)
        node_io.run(["systemctl", "reset-failed", *units])
    removed = _remove_leftovers()
    if os.path.isdir(_BACKENDS_DIR):
        from wrklab.node import backend_ctl

        dropped, left = backend_ctl.drop_leftovers()
        removed += dropped
        output = "\n".join([*filter(None, [output]), *left])
    return CleanedHost(
        ended=tuple(units),
        output=node_io.cut(output),
        removed=tuple(removed),
        left_alone=tuple(sorted(_our_drop_ins())),
        free_bytes=node_io.free_bytes(),
        boot_id=node_io.line("/proc/sys/kernel/random/boot_id") or "",
    )


def _remove_leftovers() -> list[str]:
    """What cells left: their folders, and the environment of the last one."""
    removed = node_io.drop_other_cells(keep="")
    environment = f"{node_io.RUN_DIR}/server.env"
    if node_io.remove(environment):
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
    if verb == "start" and words == ["-"]:
        node_io.answer(start(node_io.read_spec(ServerSpec, sys.stdin.readline(_SPEC_MAX_CHARS).strip())))
    elif verb == "state" and len(words) == 1:
        node_io.answer(state(words[0]))
    elif verb == "finish" and len(words) == 1:
        node_io.answer(finish(node_io.read_spec(ServerSpec, words[0])))
    elif verb == "texts" and words:
        from wrklab.node import unit_traces

        node_io.answer(unit_traces.unit_texts(words))
    elif verb == "cleanup" and not words:
        node_io.answer(cleanup())
    else:
        node_io.refuse("server_ctl.py start - | state <unit> | finish <spec> | texts <unit> ... | cleanup")


if __name__ == "__main__":
    node_io.guarded(main)
