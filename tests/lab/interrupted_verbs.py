"""Verbs that a signal ends while their playbook runs, and what must be true of the playbook then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.lab.benches import wait_until
from wrklab.paths import CACHE_DIR, PROJECT_DIR

_REACHED_LIMIT_S = 120.0
_ENDED_LIMIT_S = 90.0
#: A playbook whose verb was killed notices by itself.
_ORPHAN_LIMIT_S = 60.0


class InterruptedVerb:
    """`invoke WORDS` in a session of its own, ended with the block whatever becomes of it."""

    def __init__(self, *words: str) -> None:
        """Nothing runs yet."""
        self._words = words
        self.output = ""
        self.exit_status: int | None = None

    def __enter__(self) -> Self:
        """Starts the verb."""
        argv = [str(Path(sys.executable).parent / "invoke"), *self._words]
        self._process = subprocess.Popen(
            argv, cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Kills it where it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        if self.exit_status is None:
            self._process.communicate()

    def signal_when(self, is_due: Callable[[], object], number: signal.Signals) -> None:
        """Waits for a condition, sends the signal to the verb alone, and waits for its end."""
        wait_until(lambda: is_due() or self._process.poll() is not None, _REACHED_LIMIT_S, "the moment for the signal")
        assert self._process.poll() is None, f"ended before its signal: {self._process.communicate()[0]}"
        os.kill(self._process.pid, number)
        self.output, _ = self._process.communicate(timeout=_ENDED_LIMIT_S)
        self.exit_status = self._process.returncode

    def assert_playbook_ended(self) -> None:
        """At once where the verb had time to see to it; where it was killed, by the playbook's own doing."""
        if self.exit_status == -signal.SIGKILL:
            wait_until(lambda: not playbooks_running(), _ORPHAN_LIMIT_S, "the end of the playbook")
        assert playbooks_running() == []


def playbooks_running() -> list[str]:
    """Command lines of the ansible-playbook processes of this checkout."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(word.endswith("ansible-playbook") for word in words) and str(PROJECT_DIR) in " ".join(words):
            found.append(" ".join(words))
    return found


def tasks_begun(playbook: str) -> int:
    """How many tasks the running playbook has begun, by the log that its verb writes."""
    path = CACHE_DIR / f"ansible_{playbook}.log"
    return path.read_text(encoding="utf-8", errors="replace").count("TASK [") if path.exists() else 0
