"""Running playbooks. Ansible sets the standing state of hosts; nothing here runs once a cell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wrklab.errors import ProvisionError, UnknownNameError
from wrklab.paths import CACHE_DIR, INVENTORY_DIR, PLAYBOOKS_DIR, PROJECT_DIR

_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?P<name>.+?)\] \**$")
_RECAP = re.compile(
    r"^(?P<host>\S+)\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)\s"
)
_TAIL_LINES = 25


@dataclass(frozen=True)
class PlaybookResult:
    """What a playbook did: `changed` by host, and how long it took."""

    playbook: str
    changed: dict[str, int]
    took_s: float
    log_path: Path

    @property
    def changed_count(self) -> int:
        """Changes on all hosts together."""
        return sum(self.changed.values())


def known_labs() -> list[str]:
    """The labs that this checkout knows: folders of inventory/ with a hosts file."""
    return sorted(path.name for path in INVENTORY_DIR.iterdir() if path.is_dir() and any(path.glob("hosts*")))


def inventory_path(lab: str) -> Path:
    """The inventory of a lab. Raises UnknownNameError."""
    if lab not in known_labs():
        raise UnknownNameError("lab", lab, known_labs())
    return INVENTORY_DIR / lab


def run_playbook(
    name: str,
    lab: str,
    extra_vars: Mapping[str, object] | None = None,
    on_task: Callable[[str], None] | None = None,
) -> PlaybookResult:
    """Run playbooks/NAME.yml on a lab; `on_task` hears each task's name. Raises ProvisionError with the log's tail."""
    command = [_program(), "-i", str(inventory_path(lab)), str(PLAYBOOKS_DIR / f"{name}.yml")]
    if extra_vars:
        command += ["--extra-vars", json.dumps(extra_vars)]
    CACHE_DIR.mkdir(exist_ok=True)
    log_path = CACHE_DIR / f"ansible_{name}.log"
    started = time.monotonic()
    with (
        # Line by line: whoever follows the log sees the task that runs.
        log_path.open("w", encoding="utf-8", buffering=1) as log,
        subprocess.Popen(
            command,
            cwd=PROJECT_DIR,
            env=tool_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        tail, changed = _follow(process.stdout, log.write, on_task)
    took_s = time.monotonic() - started
    if process.returncode != 0:
        raise ProvisionError(
            f"playbooks/{name}.yml failed on lab {lab} (exit {process.returncode}). Its last lines:\n"
            + "\n".join(f"  {line}" for line in tail)
            + f"\nThe whole log: {log_path}. Mend the cause and run the same command again; what is done stays done."
        )
    return PlaybookResult(playbook=name, changed=changed, took_s=took_s, log_path=log_path)


def _follow(
    lines: Iterable[str], write: Callable[[str], object], on_task: Callable[[str], None] | None
) -> tuple[list[str], dict[str, int]]:
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    changed: dict[str, int] = {}
    for line in lines:
        write(line)
        text = line.rstrip()
        if text:
            tail.append(text)
        if on_task and (task := _TASK.match(text)):
            on_task(task["name"])
        if recap := _RECAP.match(text):
            changed[recap["host"]] = int(recap["changed"])
    return list(tail), changed


def _program() -> str:
    beside = Path(sys.executable).parent / "ansible-playbook"
    return str(beside) if beside.exists() else "ansible-playbook"


def tool_environment() -> dict[str, str]:
    # Ansible refuses to start under a locale that is not UTF-8; a bare Debian has none but C.UTF-8.
    return os.environ | {
        "ANSIBLE_CONFIG": str(PROJECT_DIR / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
    }
