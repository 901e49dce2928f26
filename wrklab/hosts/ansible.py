"""Running playbooks. Ansible sets the standing state of hosts; nothing here runs once a cell."""

from __future__ import annotations

import configparser
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wrklab.errors import ProvisionError, UnknownNameError
from wrklab.hosts.tied import run_tied
from wrklab.paths import CACHE_DIR, INVENTORY_DIR, PLAYBOOKS_DIR, PROJECT_DIR

_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?P<name>.+?)\] \**$")
_RECAP = re.compile(
    r"^(?P<host>\S+)\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)\s"
)
#: All packages and builds, on an emulated machine behind a slow network.
PLAYBOOK_LIMIT_S = 7200.0
#: Every process that a playbook starts on a host has it in its environment: Debian's sshd accepts LC_*, and sudo keeps
#: it. What is left of a playbook there is found by it (node/playbook_leftovers.py).
PLAYBOOK_MARK = "LC_WRKLAB"
#: Tells playbooks which lease on the hosts is this controller's.
LEASE_TOKEN_VARIABLE = "WRKLAB_LEASE_TOKEN"  # noqa: S105  its name
#: Of Ansible's settings in the environment, those that decide nothing about hosts: where it keeps its files, how much
#: it prints, and where it finds passwords.
_ANSIBLE_KEPT = frozenset(
    {
        "ANSIBLE_BECOME_PASSWORD_FILE",
        "ANSIBLE_HOME",
        "ANSIBLE_LOCAL_TEMP",
        "ANSIBLE_VAULT_IDENTITY_LIST",
        "ANSIBLE_VAULT_PASSWORD_FILE",
        "ANSIBLE_VERBOSITY",
    }
)


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
    lease_token: str = "",
) -> PlaybookResult:
    """Run playbooks/NAME.yml on a lab; `on_task` is called with each task's name.

    `lease_token` shows the playbooks that the hosts' lease is this controller's. The playbook ends before anything is
    raised here. Raises ProvisionError with the log's tail.
    """
    command = [_program(), "-i", str(inventory_path(lab)), str(PLAYBOOKS_DIR / f"{name}.yml")]
    if extra_vars:
        command += ["--extra-vars", json.dumps(extra_vars)]
    log_path = CACHE_DIR / f"ansible_{name}.log"
    environment = tool_environment() | {LEASE_TOKEN_VARIABLE: lease_token}
    changed: dict[str, int] = {}

    def hear(line: str) -> None:
        if on_task and (task := _TASK.match(line)):
            on_task(task["name"])
        if recap := _RECAP.match(line):
            changed[recap["host"]] = int(recap["changed"])

    ended = run_tied(command, environment, log_path, PLAYBOOK_LIMIT_S, hear)
    if ended.exit_code != 0:
        how = f"no end within {PLAYBOOK_LIMIT_S / 60:g} minutes" if ended.was_too_long else f"exit {ended.exit_code}"
        raise ProvisionError(
            f"playbooks/{name}.yml failed on lab {lab} ({how}). Its last lines:\n{ended.shown_tail}\n"
            f"The complete log: {log_path}. Fix the cause and run the command again; finished work is kept."
        )
    return PlaybookResult(playbook=name, changed=changed, took_s=ended.took_s, log_path=log_path)


def _program() -> str:
    own = Path(sys.executable).parent / "ansible-playbook"
    return str(own) if own.exists() else "ansible-playbook"


def tool_environment() -> dict[str, str]:
    """The environment of Ansible and Vagrant: of the user's own without what changes how hosts are reached.

    ANSIBLE_HOST_KEY_CHECKING=False, say, would count for more than ansible.cfg.
    """
    own = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_") or key in _ANSIBLE_KEPT}
    # Ansible refuses to start under a locale that is not UTF-8; a bare Debian has none but C.UTF-8.
    return own | {
        "ANSIBLE_CONFIG": str(PROJECT_DIR / "ansible.cfg"),
        "ANSIBLE_SSH_ARGS": f"{_ssh_args()} -o SetEnv={PLAYBOOK_MARK}=1",
        "ANSIBLE_HOME": _ansible_home(),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
    }


def _ssh_args() -> str:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(PROJECT_DIR / "ansible.cfg", encoding="utf-8")
    return settings["ssh_connection"]["ssh_args"]


def _ansible_home() -> str:
    """Where Ansible keeps its own files: below the home where that can be written, else in a folder of this user."""
    home = Path(os.environ.get("ANSIBLE_HOME") or "~/.ansible").expanduser()
    if os.access(home if home.exists() else home.parent, os.W_OK):
        return str(home)
    place = Path(tempfile.gettempdir()) / f"wrklab-{os.geteuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ProvisionError(
            f"{place}: a folder that is user {os.geteuid()}'s alone is expected there, as {home} cannot be written. "
            "Remove it, or set ANSIBLE_HOME to a folder for Ansible's own files"
        )
    return str(place / "ansible")
