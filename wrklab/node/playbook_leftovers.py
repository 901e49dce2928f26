"""Ends what playbooks of a controller that is gone, or has given up, still do on this host.

    playbook_leftovers.py <mark>      {"ended": [...], "waited_for": [...], "left": [...]}, as `pid 12 (uv pip sync …)`

A playbook's processes carry <mark> as a variable in their environment. They get SIGTERM, then SIGKILL; only a package
manager at work is waited for, as one that is killed leaves packages half installed. `left` are those that still run at
the end.

A host may not have our scripts yet, so the controller passes this text to the interpreter: it imports none of ours.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress

_PACKAGE_MANAGERS = ("apt", "apt-get", "aptitude", "dpkg", "dpkg-deb", "unattended-upgr")
_PACKAGES_LIMIT_S = 120.0
_TERM_LIMIT_S = 5.0
_KILL_LIMIT_S = 5.0
_LOOK_EVERY_S = 0.1
_COMMAND_SHOWN_CHARS = 120


def marked(mark: str) -> dict[int, str]:
    """Processes that carry the mark, by pid, as people read them; without this one."""
    wanted = f"{mark}=".encode()
    found = {}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            with open(f"/proc/{pid}/environ", "rb") as stream:
                if not any(part.startswith(wanted) for part in stream.read().split(b"\0")):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                command = stream.read(4096).replace(b"\0", b" ").decode("utf-8", "replace").strip()
            found[int(pid)] = f"pid {pid} ({command[:_COMMAND_SHOWN_CHARS]})"
    found.pop(os.getpid(), None)
    return found


def _has_package_manager(pids: dict[int, str]) -> bool:
    for pid in pids:
        with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            if stream.read().strip() in _PACKAGE_MANAGERS:
                return True
    return False


def _wait_until_gone(mark: str, limit_s: float) -> dict[int, str]:
    """Those that are left after the limit."""
    deadline_s = time.monotonic() + limit_s
    while (left := marked(mark)) and time.monotonic() < deadline_s:
        time.sleep(_LOOK_EVERY_S)
    return left


def _signal(pids: dict[int, str], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end(mark: str) -> dict[str, list[str]]:
    """End them; what they were."""
    found = marked(mark)
    waited_for: dict[int, str] = {}
    if _has_package_manager(found):
        waited_for = found
        deadline_s = time.monotonic() + _PACKAGES_LIMIT_S
        while _has_package_manager(left := marked(mark)) and time.monotonic() < deadline_s:
            time.sleep(_LOOK_EVERY_S)
        if _has_package_manager(left):
            return {"ended": [], "waited_for": [*waited_for.values()], "left": [*left.values()]}
    left = marked(mark)
    if left:
        _signal(left, signal.SIGTERM)
        left = _wait_until_gone(mark, _TERM_LIMIT_S)
    if left:
        _signal(left, signal.SIGKILL)
        left = _wait_until_gone(mark, _KILL_LIMIT_S)
    return {"ended": [*found.values()], "waited_for": [*waited_for.values()], "left": [*left.values()]}


def main() -> None:
    """The mark is the only word."""
    if len(sys.argv) != 2:  # noqa: PLR2004  the script and its word
        sys.exit("playbook_leftovers.py <mark>")
    print(json.dumps(end(sys.argv[1])))


if __name__ == "__main__":
    main()
