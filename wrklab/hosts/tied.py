"""Programs of this machine that never outlive who started them: Ansible's playbooks, Vagrant.

`run_tied` starts a supervisor (this file as a program), which starts the program proper. The supervisor ends it, and
every process that it started, at a deadline, or as soon as the pipe to its own starter closes: also where that was
killed. Only afterwards does `run_tied` return or raise.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

from wrklab.paths import PROJECT_DIR

_TAIL_LINES = 25
#: What a program may take to end after SIGTERM; then it is killed.
_END_LIMIT_S = 10.0
#: For the supervisor to have done so.
_SUPERVISOR_LIMIT_S = _END_LIMIT_S + 20.0
#: The supervisor's own exit status at the deadline, as timeout(1) has it.
_TOO_LONG = 124
#: The same where it was ended because its starter wanted that, or is gone.
_ENDED_EARLY = 125
_SIGNALLED = 128
_LOOK_EVERY_S = 0.1
_LAST_OUTPUT_LIMIT_S = 2.0
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    exit_code: int
    #: The last lines of its output that are not empty.
    tail: tuple[str, ...]
    took_s: float
    #: It was ended at the deadline.
    was_too_long: bool

    @property
    def shown_tail(self) -> str:
        """The last lines for a message."""
        return "\n".join(f"  {line}" for line in self.tail)


def run_tied(
    command: Sequence[str],
    environment: Mapping[str, str],
    log_path: Path,
    limit_s: float,
    on_line: Callable[[str], None],
) -> Ended:
    """Run a program in the checkout to its end; its output goes to `log_path`, and line by line to `on_line`.

    Whatever is raised here meanwhile (KeyboardInterrupt) ends the program first. Raises OSError.
    """
    log_path.parent.mkdir(exist_ok=True)
    started_s = time.monotonic()
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with (
        log_path.open("w", encoding="utf-8", buffering=1) as log,
        subprocess.Popen(
            [sys.executable, "-m", "wrklab.hosts.tied", str(limit_s), *command],
            cwd=PROJECT_DIR,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C on a terminal reaches this process alone, which then ends the program in order.
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                text = line.rstrip()
                if text:
                    tail.append(text)
                on_line(text)
        finally:
            # Closing the pipe is what tells the supervisor; after the program's end it changes nothing.
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SUPERVISOR_LIMIT_S)
            process.kill()
    took_s = time.monotonic() - started_s
    return Ended(process.returncode, tuple(tail), took_s, process.returncode == _TOO_LONG)


def _supervise(limit_s: float, command: Sequence[str]) -> int:
    """Run a command to its end, the deadline, or the end of stdin; its exit status."""
    must_end = threading.Event()

    def wait_for_starter() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        must_end.set()

    def relay(output: BufferedReader) -> None:
        # A program whose output nobody takes would end by itself, and what it started would belong to nobody.
        while part := output.read1(_READ_BYTES):
            with contextlib.suppress(OSError):
                os.write(1, part)

    signal.signal(signal.SIGTERM, lambda *_: must_end.set())
    deadline_s = time.monotonic() + limit_s
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert process.stdout is not None
    threading.Thread(target=wait_for_starter, daemon=True).start()
    relaying = threading.Thread(target=relay, args=(cast("BufferedReader", process.stdout),), daemon=True)
    relaying.start()
    while process.poll() is None:
        if must_end.wait(_LOOK_EVERY_S) or time.monotonic() > deadline_s:
            _end(process)
            return _ENDED_EARLY if must_end.is_set() else _TOO_LONG
    # A daemon that it left may keep the pipe open for ever.
    relaying.join(_LAST_OUTPUT_LIMIT_S)
    return process.returncode if process.returncode >= 0 else _SIGNALLED - process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the program, which ends its own; then SIGKILL to whatever of them is left."""
    started = set(_descendants(process.pid))
    process.terminate()
    deadline_s = time.monotonic() + _END_LIMIT_S
    while time.monotonic() < deadline_s and (process.poll() is None or any(map(_is_alive, started))):
        # Once it has ended, what it started belongs to nobody.
        started.update(_descendants(process.pid))
        time.sleep(_LOOK_EVERY_S)
    for pid in [*started, *(late for one in started for late in _descendants(one))]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that they did; daemons belong to nobody and are left alone."""
    children: dict[int, list[int]] = {}
    for own, parent in _parents():
        children.setdefault(parent, []).append(own)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        started = children.get(waiting.pop(), [])
        found += started
        waiting += started
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Every process of this machine with the one that started it."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False)
        for row in listed.stdout.splitlines():
            own, parent = row.split()
            yield int(own), int(parent)
        return
    for pid in filter(str.isdecimal, (path.name for path in Path("/proc").iterdir())):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            # The program's name is in parentheses and may contain anything.
            yield int(pid), int(text.rpartition(")")[2].split()[1])


if __name__ == "__main__":
    status = _supervise(float(sys.argv[1]), sys.argv[2:])
    # A thread may still wait for stdin or for output: Python would wait for its lock.
    os._exit(status)
