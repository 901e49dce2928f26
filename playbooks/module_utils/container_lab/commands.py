"""Running programs, with an error that shows what was run and what it said."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence


# Ansible ships this package to where it runs, without wrklab beside it: so wrklab.errors is out of reach here, and the
# modules turn this one exception into their `msg`.
class ContainerLabError(Exception):
    """The lab cannot be brought up or put down; the text says where, what was found and what to do next."""


def run(argv: Sequence[str], *, stdin: str | None = None, limit_s: float = 60.0) -> str:
    """Standard output of a program that must succeed.

    Raises:
        ContainerLabError: it is missing, ended with another status than 0, or took longer than `limit_s`.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=limit_s, check=False)
    except FileNotFoundError as error:
        raise ContainerLabError(f"{argv[0]}: not found on this machine; install it, or run lab.up again") from error
    except subprocess.TimeoutExpired as error:
        raise ContainerLabError(f"{' '.join(argv)}: no end after {limit_s:g} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing")[-2000:]
        raise ContainerLabError(f"{' '.join(argv)}: exit status {done.returncode}, said: {said}")
    return done.stdout


def succeeds(argv: Sequence[str], *, limit_s: float = 60.0) -> bool:
    """Whether a program ends with status 0; what it says is dropped."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=limit_s, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def wait_until(holds: Callable[[], bool], limit_s: float, pause_s: float = 0.02) -> bool:
    """Whether `holds()` came true within `limit_s`; asked every `pause_s`."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True
