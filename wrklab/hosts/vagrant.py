"""The lab of virtual machines: Vagrant makes and destroys them as the Vagrantfile says; here it is asked to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

from wrklab.errors import LabError
from wrklab.hosts.ansible import tool_environment
from wrklab.hosts.tied import run_tied
from wrklab.paths import CACHE_DIR

LAB = "vagrant"
#: Boxes are downloaded, machines made, and all of it provisioned.
_LIMIT_S = 7200.0
_SAID = re.compile(r"^==> (?P<machine>\w+): (?P<what>.*)$")
_TASK = re.compile(r"^TASK \[(?P<name>.+?)\] \**$")


def up(on_step: Callable[[str], None], loadgens: int | None = None, *, backends: bool = False) -> None:
    """Bring up every machine and provision those that are new; what runs already stays. Raises LabError.

    `on_step` hears what happens; `loadgens` stands in for LAB_LOADGENS, `backends` for LAB_BACKENDS=1.
    """
    variables = {"LAB_LOADGENS": str(loadgens)} if loadgens is not None else {}
    _run(["up"], on_step, variables | ({"LAB_BACKENDS": "1"} if backends else {}))


def down(on_step: Callable[[str], None]) -> None:
    """Destroy every machine. Raises LabError."""
    _run(["destroy", "--force"], on_step, {})


def _run(words: list[str], on_step: Callable[[str], None], variables: dict[str, str]) -> None:
    program = shutil.which("vagrant")
    if program is None:
        raise LabError("vagrant: not found on this machine. Install Vagrant with VirtualBox or vagrant-libvirt.")
    log_path = CACHE_DIR / f"vagrant_{words[0]}.log"

    def hear(line: str) -> None:
        if step := step_of(line):
            on_step(step)

    ended = run_tied([program, *words], tool_environment() | variables, log_path, _LIMIT_S, hear)
    if ended.exit_code != 0:
        how = f"no end within {_LIMIT_S / 60:g} minutes" if ended.was_too_long else f"exit {ended.exit_code}"
        raise LabError(
            f"vagrant {' '.join(words)} failed ({how}). Its last lines:\n{ended.shown_tail}\n"
            f"The complete log: {log_path}. Fix the cause and run the command again; finished work is kept."
        )


def step_of(line: str) -> str:
    """What a line of Vagrant's output says about a machine or a task; empty for other lines."""
    # A carriage return draws a line of progress over the one before.
    text = line.rstrip().rpartition("\r")[2]
    if said := _SAID.match(text):
        return f"{said['machine']}: {said['what']}"
    task = _TASK.match(text)
    return task["name"] if task else ""
