"""One node's life: launch, wait until it answers, power off, remove. What was launched is recorded beside it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import cgroups, folders, keys, node_files
from .commands import ContainerLabError, run, succeeds, wait_until
from .cpus import format_cpu_list, parse_cpu_list
from .network import raise_ports
from .plan import BRIDGE, NODE_PREFIX, Node

BOOT_LIMIT_S = 60.0
POWER_OFF_LIMIT_S = 5.0
SSH_PORT = 22
CONSOLE_TAIL_BYTES = 1500
SYSTEMD_IS_PID_1 = Path("/run/systemd/system")
# The node runs on cgroup v2 alone, whatever this machine has: each unit then counts its own CPU time.
PURE_V2 = "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"
# With which systemd-nspawn ends where the node wants to be started again: it leaves that to its service manager.
REBOOT_STATUS = 133
# Puts itself into each cgroup given before `--`, then runs the command given after it, and again when the node reboots.
# SIGTERM powers the node off. The node dies with its launcher, so that the launcher's process stands for the node.
LAUNCHER = f"""
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done; shift
ended=no
trap 'ended=yes; kill -TERM "$node" 2>/dev/null' TERM
while :; do
    setpriv --pdeathsig KILL -- "$@" & node=$!
    wait "$node"; status=$?
    # A signal ends `wait` before the node has ended.
    while kill -0 "$node" 2>/dev/null; do wait "$node"; status=$?; done
    if [ "$status" != {REBOOT_STATUS} ] || [ "$ended" = yes ]; then exit "$status"; fi
done
"""


@dataclass(frozen=True)
class Record:
    """What node.json says about a launched node; `start_ticks` tells its process from a later one of that number."""

    pid: int
    start_ticks: int
    fingerprint: str
    clone: str
    cpu_separation: str
    descriptor_ceiling: int = 0
    cgroup_controllers: tuple[str, ...] = ()


def record_path(node: Node) -> Path:
    """Where a node's record is."""
    return node.place / "node.json"


def read_record(node: Node) -> Record | None:
    """The record of a node that was launched; None where there is none that can be read."""
    try:
        content = json.loads(record_path(node).read_text())
        return Record(**content | {"cgroup_controllers": tuple(content["cgroup_controllers"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(node: Node, record: Record) -> None:
    """Write a node's record, whole or not at all."""
    new = record_path(node).with_suffix(".new")
    new.write_text(json.dumps(asdict(record)))
    new.rename(record_path(node))


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def is_alive(record: Record | None) -> bool:
    """Whether the recorded process still runs."""
    return record is not None and start_ticks(record.pid) == record.start_ticks


def answers(node: Node, limit_s: float = 0.5) -> bool:
    """Whether the node's sshd greets."""
    try:
        with socket.create_connection((node.address, SSH_PORT), timeout=limit_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def nspawn_command(node: Node) -> list[str]:
    """The systemd-nspawn command that boots a node."""
    command = [
        "systemd-nspawn",
        "--boot",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--settings=no",
        "--link-journal=no",
    ]
    command += [f"--machine={node.machine}", f"--directory={node.root}", f"--network-bridge={BRIDGE}"]
    command += [f"--cpu-affinity={format_cpu_list(node.cpus)}", "--kill-signal=SIGRTMIN+4"]
    # The node's own files say these.
    command += ["--console=read-only", "--resolv-conf=off", "--timezone=off"]
    return command + [f"--bind={here}:{there}" for here, there in node_files.binds(node).items()]


def launch(node: Node, fingerprint: str, clone: str) -> None:
    """Start a node whose root is ready, and record it; it boots on by itself."""
    if SYSTEMD_IS_PID_1.is_dir():
        pid, held = _launch_as_unit(node)
    else:
        pid, held = _launch_by_hand(node)
    ticks = start_ticks(pid)
    if ticks is None:
        raise ContainerLabError(f"node {node.name}: ended as soon as it was started. {console_tail(node)}")
    write_record(node, Record(pid, ticks, fingerprint, clone, "cpuset" if held else "affinity"))


def _launch_as_unit(node: Node) -> tuple[int, bool]:
    cpus = format_cpu_list(node.cpus)
    settings = ["Delegate=yes", f"AllowedCPUs={cpus}", f"CPUAffinity={cpus}", "KillMode=mixed", "Type=exec"]
    settings += [f"TimeoutStopSec={POWER_OFF_LIMIT_S:g}", "LimitNOFILE=infinity", "TasksMax=infinity"]
    settings += [f"StandardOutput=truncate:{console_log(node)}", f"StandardError=append:{console_log(node)}"]
    settings += [f"SuccessExitStatus={REBOOT_STATUS}", f"RestartForceExitStatus={REBOOT_STATUS}", "RestartSec=100ms"]
    command = [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={node.unit}",
        "--setenv=SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
    ]
    run([*command, *(word for setting in settings for word in ("-p", setting)), "--", *nspawn_command(node)])
    pid, group = _unit_process(node)
    effective = Path(f"/sys/fs/cgroup{group}/cpuset.cpus.effective")
    return pid, effective.exists() and parse_cpu_list(effective.read_text()) == node.cpus


def _unit_process(node: Node) -> tuple[int, str]:
    """The main process of the node's unit, 0 without one, and its cgroup."""
    shown = run(["systemctl", "show", "--value", "-p", "MainPID", "-p", "ControlGroup", node.unit]).split()
    pid = next((int(word) for word in shown if word.isdigit()), 0)
    return pid, next((word for word in shown if word.startswith("/")), "/")


def follow_reboot(node: Node) -> None:
    """Record the process that a node has since it rebooted: as a unit it gets another one."""
    record = read_record(node)
    if record is None or is_alive(record) or not SYSTEMD_IS_PID_1.is_dir():
        return
    pid, _ = _unit_process(node)
    ticks = start_ticks(pid) if pid else None
    if ticks is not None:
        write_record(node, replace(record, pid=pid, start_ticks=ticks))


def _launch_by_hand(node: Node) -> tuple[int, bool]:
    folders, held = cgroups.make(node)
    command = ["sh", "-c", LAUNCHER, "wrklab", *map(str, folders), "--", *nspawn_command(node)]
    with console_log(node).open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=os.environ | dict([PURE_V2.split("=")]),
        )
    return process.pid, held


def console_log(node: Node) -> Path:
    """What nspawn and the node's console say."""
    return node.place / "console.log"


def console_tail(node: Node) -> str:
    """The last lines of the console, for an error's text."""
    log = console_log(node)
    text = ""
    if log.exists():
        with log.open("rb") as stream:
            # The node decides how much it writes there.
            stream.seek(max(0, log.stat().st_size - CONSOLE_TAIL_BYTES))
            text = stream.read(CONSOLE_TAIL_BYTES).decode(errors="replace").strip()
    return f"Its console ({log}) ends: {text or 'empty'}"


def wait_for_ssh(node: Node, limit_s: float = BOOT_LIMIT_S) -> None:
    """Wait until the node answers a real ssh command, with its host key checked. Raises ContainerLabError."""

    def settled() -> bool:
        raise_ports()
        if not is_alive(read_record(node)):
            raise ContainerLabError(f"node {node.name}: ended while it was booting. {console_tail(node)}")
        return answers(node)

    if not wait_until(settled, limit_s):
        raise ContainerLabError(f"node {node.name}: no ssh on {node.address} after {limit_s:g} s. {console_tail(node)}")
    run(keys.ssh_command(node.address, "true"), limit_s=20)


def descriptor_ceiling(pid: int) -> int:
    """The hard limit of open files that a node's PID 1 has, and so all that it starts; `pid` is the launcher's.

    Raises:
        ContainerLabError: the node's PID 1, a child of systemd-nspawn's, is not there.
    """
    try:
        init = _init_process(pid)
        text = Path(f"/proc/{init}/limits").read_text()
    except (OSError, IndexError) as error:
        raise ContainerLabError(f"process {pid}: systemd-nspawn has no child: the node ended just now") from error
    limit = re.search(r"^Max open files\s+\S+\s+(\d+)", text, re.MULTILINE)
    if limit is None:
        raise ContainerLabError(f"/proc/{init}/limits: no line of open files with a number: {text}")
    return int(limit[1])


def cgroup_controllers(pid: int) -> tuple[str, ...]:
    """What the node's systemd can limit and count for its units; without `memory`, say, MemoryMax has no effect there.

    `pid` is the launcher's. Raises ContainerLabError as `descriptor_ceiling`.
    """
    try:
        text = Path(f"/proc/{_init_process(pid)}/cgroup").read_text()
    except (OSError, IndexError) as error:
        raise ContainerLabError(f"process {pid}: systemd-nspawn has no child: the node ended just now") from error
    group = next((line.removeprefix("0::") for line in text.splitlines() if line.startswith("0::")), None)
    mounts = [each.mount for each in cgroups.parse_hierarchies(Path("/proc/self/mountinfo").read_text())]
    files = [mount / (group or "").lstrip("/") / "cgroup.controllers" for mount in mounts]
    return next((tuple(sorted(file.read_text().split())) for file in files if group and file.exists()), ())


def _init_process(pid: int) -> int:
    """The node's PID 1; `pid` is nspawn's or its launcher's. Raises OSError, IndexError."""
    if Path(f"/proc/{pid}/comm").read_text().strip() != "systemd-nspawn":
        pid = _last_child(pid)
    return _last_child(pid)


def _last_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[-1])


def power_off(node: Node) -> bool:
    """End the node's processes, orderly where it still listens; whether there were any. Its root stays."""
    if SYSTEMD_IS_PID_1.is_dir():
        return _stop_unit(node)
    record = read_record(node)
    alive = is_alive(record)
    if record and alive:
        # The launcher passes it on to nspawn, and that to the node's PID 1 as SIGRTMIN+4: power off.
        os.kill(record.pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(record), POWER_OFF_LIMIT_S)
    lost = bool(cgroups.pids(node))
    cgroups.kill(node)
    return cgroups.remove(node) or alive or lost


def _stop_unit(node: Node) -> bool:
    if not succeeds(["systemctl", "is-active", "--quiet", node.unit]):
        succeeds(["systemctl", "reset-failed", node.unit])
        return False
    run(["systemctl", "stop", node.unit], limit_s=POWER_OFF_LIMIT_S + 30)
    return True


def unit_node_names() -> list[str]:
    """The names of the nodes that systemd has a unit of, running or failed."""
    if not SYSTEMD_IS_PID_1.is_dir():
        return []
    listed = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", f"{NODE_PREFIX}*.service"])
    units = [line.split()[0] for line in listed.splitlines() if line.strip()]
    return [unit.removeprefix(NODE_PREFIX).removesuffix(".service") for unit in units]


def remove(node: Node) -> bool:
    """Power off and delete a node with all that belongs to it; whether there was anything."""
    ended = power_off(node)
    return folders.remove(node.place) or ended
