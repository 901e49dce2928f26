"""The lab of virtual machines: Vagrant makes and destroys them as the Vagrantfile says; here it is asked to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterable

from wrklab.errors import LabError
from wrklab.paths import CACHE_DIR, PROJECT_DIR

LAB = "vagrant"
_TAIL_LINES = 25
_SAID = re.compile(r"^==> (?P<machine>\w+): (?P<what>.*)$")
_TASK = re.compile(r"^TASK \[(?P<name>.+?)\] \**$")


def up(on_step: Callable[[str], None], loadgens: int | None = None) -> None:
    """Bring up every machine and provision those that are new; what runs already stays. Raises LabError.

    `on_step` hears what happens; `loadgens` stands in for LAB_LOADGENS.
    """
    _run(["up"], on_step, {"LAB_LOADGENS": str(loadgens)} if loadgens is not None else {})


def down(on_step: Callable[[str], None]) -> None:
    """Destroy every machine. Raises LabError."""
    _run(["destroy", "--force"], on_step, {})


def _run(words: list[str], on_step: Callable[[str], None], variables: dict[str, str]) -> None:
    program = shutil.which("vagrant")
    if program is None:
        raise LabError("vagrant: not found on this machine. Install Vagrant with VirtualBox or vagrant-libvirt.")
    CACHE_DIR.mkdir(exist_ok=True)
    log_path = CACHE_DIR / f"vagrant_{words[0]}.log"
    with (
        log_path.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [program, *words],
            cwd=PROJECT_DIR,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        tail = follow(process.stdout, log.write, on_step)
    if process.returncode != 0:
        shown = "\n".join(f"  {line}" for line in tail)
        raise LabError(
            f"vagrant {' '.join(words)} failed (exit {process.returncode}). Its last lines:\n{shown}\n"
            f"The whole log: {log_path}. Mend the cause and run the same command again; what is done stays done."
        )


def follow(lines: Iterable[str], write: Callable[[str], object], on_step: Callable[[str], None]) -> list[str]:
    """The last lines of Vagrant's output; each goes to `write`, what it says of machines and tasks to `on_step`."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    for line in lines:
        write(line)
        # A carriage return draws a line of progress over the one before.
        text = line.rstrip().rpartition("\r")[2]
        if text:
            tail.append(text)
        if said := _SAID.match(text):
            on_step(f"{said['machine']}: {said['what']}")
        elif task := _TASK.match(text):
            on_step(task["name"])
    return list(tail)
