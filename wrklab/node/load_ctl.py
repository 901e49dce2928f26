"""Runs a cell's load on a generator as wrklab-load.service, and follows it.

    load_ctl.py run <LoadSpec>      start, then follow
    load_ctl.py run -               the same, with the spec as a line of standard input: one with a mix is long, and has
                                    secrets, which every user may read of a command line
    load_ctl.py follow <cell>       follow a load that runs already, or hand out its result: after a lost connection
    load_ctl.py mark <cell> <at>    tell an armed load when wrk begins: epoch seconds by this host's clock
    load_ctl.py cancel              tell a running load to end now, with its report

`run` and `follow` print LoadLines: each phase as it begins, and last the packed LoadResult. `mark` and `cancel` print
Done. Exit 3: refused. Exit 4: the unit ended without a result. Both with a Refusal as the last line.
"""

from __future__ import annotations

import os
import pwd
import select
import sys
import time

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import node_io
from wrklab.protocol.codec import ProtocolError, decode_json, encode_json, pack
from wrklab.protocol.host import EXIT_NO_RESULT, Done
from wrklab.protocol.load import LoadLine, LoadSpec, PhaseStarted

UNIT = "wrklab-load.service"
#: Provisioning makes it (playbooks/roles/base): wrk and what drives it need no rights.
USER = "wrklab_load"
#: On a host of usual speed, from the start of the unit to its first words.
_START_LIMIT_S = 10.0
_POLL_MS = 20
#: A mix's bodies come to a MiB at most, its headers to as much again; base64 twice.
_LINE_MAX_CHARS = 8 << 20
_PROPERTIES = (
    "KillSignal=SIGINT",
    "KillMode=mixed",
    "TimeoutStopSec=10",
    "TasksMax=infinity",
    "StandardOutput=null",
)
#: A load writes into its cell's folder alone. No system call filter: it would run at each of wrk's calls.
_SANDBOX = (
    f"User={USER}",
    f"Group={USER}",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectControlGroups=yes",
    "PrivateTmp=yes",
    "InaccessiblePaths=-/etc/ssh -/var/cache/wrklab",
    "UMask=0022",
)


def run(word: str) -> None:
    """Start the unit and follow it."""
    spec = node_io.read_spec(LoadSpec, _line_of_input() if word == "-" else word)
    folder = node_io.cell_dir(spec.cell)
    _refuse_second_load()
    node_io.drop_other_cells(folder)
    os.makedirs(folder, exist_ok=True)
    _give_to_load_user(folder)
    for name in ("result.json", "phases.jsonl", "pid", "samples.jsonl", "mark"):
        node_io.remove(f"{folder}/{name}")
    _write_spec(f"{folder}/spec.json", encode_json(spec))
    _start(folder, spec)
    follow(spec.cell)


def _line_of_input() -> str:
    """Ends the script where it is too long."""
    line = sys.stdin.readline(_LINE_MAX_CHARS)
    if len(line) == _LINE_MAX_CHARS:
        node_io.refuse(f"the spec has more than {_LINE_MAX_CHARS:,} characters")
    return line.strip()


def _write_spec(path: str, text: str) -> None:
    """For the load's user alone: a mix has secrets."""
    node_io.write_file(path, "")
    os.chmod(path, 0o600)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    user = pwd.getpwnam(USER)
    os.chown(path, user.pw_uid, user.pw_gid)


def _give_to_load_user(folder: str) -> None:
    """The load's files are its own. Ends the script where the user is missing: a load never runs as root instead."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        node_io.refuse(f"this host has no user {USER}, which runs the load: `invoke provision` makes it")
    os.chown(folder, user.pw_uid, user.pw_gid)


def _refuse_second_load() -> None:
    state = node_io.run(["systemctl", "show", "-p", "ActiveState", "--value", UNIT]).output.strip()
    if state in ("active", "activating", "deactivating", "reloading"):
        node_io.refuse(f"{UNIT} runs already ({state}): one load at a time (load_ctl.py cancel ends it)")
    if state == "failed":
        node_io.run(["systemctl", "reset-failed", UNIT])


def unit_properties(folder: str, spec: LoadSpec) -> list[str]:
    """The unit's: a deadline, as many descriptors as may be, and the CPUs that the inventory gives this host."""
    cpus = " ".join(str(cpu) for cpu in spec.cpus)
    return [
        *_PROPERTIES,
        *_SANDBOX,
        f"ReadWritePaths={folder}",
        f"RuntimeMaxSec={spec.deadline_s:g}",
        f"LimitNOFILE={descriptor_ceiling()}",
        f"StandardError=truncate:{folder}/stderr",
        *([f"CPUAffinity={cpus}"] if cpus else []),
    ]


def _start(folder: str, spec: LoadSpec) -> None:
    started = node_io.run(
        [
            "systemd-run", "--quiet", "--no-block", f"--unit={UNIT}", "--service-type=exec",
            *(f"--property={item}" for item in unit_properties(folder, spec)),
            "/usr/bin/python3", "-I", "-S", f"{node_io.NODE_DIR}/load_cell.py", folder,
        ]
    )  # fmt: skip
    if started.exit_code:
        node_io.refuse(f"systemd-run could not start {UNIT}: {started.output.strip()}", EXIT_NO_RESULT)


def descriptor_ceiling() -> int:
    """The most descriptors that a unit may have here: what systemd itself was given, and fs.nr_open."""
    limits = node_io.read_text("/proc/1/limits") or ""
    row = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    most = int(node_io.read_text("/proc/sys/fs/nr_open") or 0)
    hard = row.split()[4]
    # As root with CAP_SYS_RESOURCE systemd may raise a unit's limit up to fs.nr_open; without, never above its own.
    return most if hard == "unlimited" or _may_raise_limits() else min(int(hard), most)


def _may_raise_limits() -> bool:
    status = node_io.read_text("/proc/1/status") or ""
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> 24 & 1)


def follow(cell: str) -> None:
    """Print the phases as they begin, then the result."""
    folder = node_io.cell_dir(cell)
    watcher = _open_watcher(folder)
    shown, sleep_until = 0, 0.0
    while True:
        wait_ms = max(_POLL_MS, int((sleep_until - time.monotonic()) * 1000))
        ended = watcher is None or bool(watcher.poll(wait_ms))
        lines = (node_io.read_text(f"{folder}/phases.jsonl") or "").splitlines()
        for line in lines[shown:]:
            phase = decode_json(PhaseStarted, line)
            node_io.answer(LoadLine(phase=phase))
            sleep_until = phase.expected_end_mono_s
        shown = len(lines)
        if ended:
            break
    _print_result(folder)


def _open_watcher(folder: str) -> select.poll | None:
    """Something to wait on for the end of load_cell.py; None where it has ended already."""
    deadline = time.monotonic() + _START_LIMIT_S * _timeout_scale(folder)
    while not os.path.exists(f"{folder}/result.json"):
        pid = node_io.read_text(f"{folder}/pid")
        if pid:
            try:
                descriptor = os.pidfd_open(int(pid))
            except ProcessLookupError:
                return None
            watcher = select.poll()
            watcher.register(descriptor, select.POLLIN)
            return watcher
        if time.monotonic() > deadline or not os.path.isdir(folder):
            return None
        time.sleep(0.003)
    return None


def _timeout_scale(folder: str) -> float:
    """Of the cell's spec; 1 where there is none: there is no load to wait for then."""
    try:
        return decode_json(LoadSpec, node_io.read_text(f"{folder}/spec.json") or "").timeout_scale
    except ProtocolError:
        return 1.0


def _print_result(folder: str) -> None:
    try:
        with open(f"{folder}/result.json", "rb") as stream:
            result = stream.read()
    except FileNotFoundError:
        node_io.refuse(_why_no_result(folder), EXIT_NO_RESULT)
    node_io.answer(LoadLine(packed=pack(result)))


def _why_no_result(folder: str) -> str:
    shown = node_io.run(["systemctl", "show", "-p", "ActiveState,Result,ExecMainCode,ExecMainStatus", UNIT]).output
    stderr = "\n".join(node_io.tail(f"{folder}/stderr", 20)) or "(nothing on stderr)"
    return f"{UNIT} ended without a result in {folder}: {' '.join(shown.split())}; {stderr}"


def mark(cell: str, at: str) -> None:
    """Leave the common start mark where load_cell.py looks for it."""
    folder = node_io.cell_dir(cell)
    if not os.path.isdir(folder):
        node_io.refuse(f"mark for a cell that is not here: {folder}")
    node_io.write_file(f"{folder}/mark", f"{float(at)!r}\n")
    node_io.answer(Done(is_done=True))


def cancel() -> None:
    """SIGINT to the load; whoever follows it gets its result."""
    shown = node_io.run(["systemctl", "show", "-p", "ActiveState", "--value", UNIT]).output.strip()
    active = shown in ("active", "activating")
    if active:
        node_io.run(["systemctl", "kill", "--kill-whom=main", "--signal=SIGINT", UNIT])
    node_io.answer(Done(is_done=active))


def main() -> None:
    """The verb is the first word."""
    verb, *words = sys.argv[1:] or [""]
    if verb == "run" and len(words) == 1:
        run(words[0])
    elif verb == "follow" and len(words) == 1:
        follow(words[0])
    elif verb == "mark" and len(words) == 2:  # noqa: PLR2004  cell and moment
        mark(*words)
    elif verb == "cancel" and not words:
        cancel()
    else:
        node_io.refuse("load_ctl.py run <spec> | follow <cell> | mark <cell> <at> | cancel")


if __name__ == "__main__":
    node_io.guarded(main)
