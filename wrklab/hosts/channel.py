"""One command on an ssh channel: its output is read to the end within a deadline and within limits of size.

A host may be broken or hostile. So the deadline counts while data flows as well as while nothing comes, and output over
its limit is an error, never cut off silently.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko

#: The largest answer of a script is a long window's samples: some 5 KB each, 2 a second.
STDOUT_MAX_BYTES = 64 << 20
STDERR_MAX_BYTES = 1 << 20
#: A line that is handed on as it comes; the longest is a generator's packed result.
LINE_MAX_BYTES = 32 << 20
#: The answers of a conversation are short JSON objects.
ANSWER_MAX_BYTES = 64 << 10
_READ_BYTES = 1 << 16
_EXIT_STATUS_WAIT_MIN_S = 0.1
_OPEN_WAIT_MIN_S = 1.0


class TooMuchOutputError(Exception):
    """A command sent more than is accepted; the text says of what, and how much that is."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        """`what` is `stdout`, `stderr`, `a line`, `an answer`."""
        super().__init__(f"{what} has more than {limit_bytes:,} bytes, which is the limit")


@dataclass(frozen=True)
class Output:
    """What a command printed, and its exit code (-1 where the connection ended first)."""

    stdout: str
    stderr: str
    exit_code: int


def execute(
    transport: paramiko.Transport,
    command: str,
    deadline_s: float,
    on_line: Callable[[str], None] | None = None,
    stdin_line: str = "",
) -> Output:
    """Run a command to its end; `on_line` is called with each line of stdout as it comes.

    `stdin_line` is a line that it reads before it prints anything; empty: none.

    `deadline_s` is a reading of the monotonic clock. Raises TimeoutError after it, TooMuchOutputError, and what
    paramiko raises where the connection ends.
    """
    # Not Fabric's Connection.run: Invoke's runner wakes 200 times a second while it waits, on a machine that may be
    # under measurement, and costs 30 ms a call.
    with _started(transport, command, deadline_s) as channel:
        if stdin_line:
            channel.settimeout(max(_OPEN_WAIT_MIN_S, deadline_s - time.monotonic()))
            channel.sendall(f"{stdin_line}\n".encode())
        stdout, stderr = _read_both(channel, deadline_s, on_line)
        if not channel.status_event.wait(max(_EXIT_STATUS_WAIT_MIN_S, deadline_s - time.monotonic())):
            raise TimeoutError(command)
        return Output(stdout, stderr, channel.recv_exit_status())


@contextmanager
def conversation(transport: paramiko.Transport, command: str, limit_s: float) -> Iterator[Callable[[str], str]]:
    """A command that answers each line with a line, as a function; the command ends with the block.

    Each answer has `limit_s`. The function raises TimeoutError, TooMuchOutputError, EOFError at the command's end, and
    what paramiko raises.
    """
    with _started(transport, command, time.monotonic() + limit_s) as channel:
        pending = bytearray()

        def ask(line: str) -> str:
            deadline_s = time.monotonic() + limit_s
            channel.settimeout(limit_s)
            channel.sendall(f"{line}\n".encode())
            while b"\n" not in pending:
                if len(pending) > ANSWER_MAX_BYTES:
                    raise TooMuchOutputError("an answer", ANSWER_MAX_BYTES)
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0:
                    raise TimeoutError(command)
                channel.settimeout(remaining_s)
                part = channel.recv(_READ_BYTES)
                if not part:
                    raise EOFError("it has ended")
                pending.extend(part)
            answer, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            return answer.decode("utf-8", "replace")

        yield ask


@contextmanager
def _started(transport: paramiko.Transport, command: str, deadline_s: float) -> Iterator[paramiko.Channel]:
    """A channel on which a command runs; closed at the end. Raises TimeoutError where the host does not start it."""
    channel = transport.open_session(timeout=max(_OPEN_WAIT_MIN_S, deadline_s - time.monotonic()))
    try:
        # paramiko waits without limit for the host to accept the command; closing the channel ends that wait.
        watchdog = threading.Timer(max(_OPEN_WAIT_MIN_S, deadline_s - time.monotonic()), channel.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            channel.exec_command(command)
        except paramiko.SSHException as error:
            if time.monotonic() >= deadline_s:
                raise TimeoutError(command) from error
            raise
        finally:
            watchdog.cancel()
        yield channel
    finally:
        # Where output still comes, paramiko 5's transport could write to the pipe that close() has just closed, and end
        # the whole connection by that: it has nothing to tell the pipe any more.
        for buffer in (channel.in_buffer, channel.in_stderr_buffer):
            buffer.set_event(threading.Event())
        channel.close()


class _Stream:
    """The bytes of one output stream so far."""

    def __init__(self, name: str, limit_bytes: int, on_line: Callable[[str], None] | None = None) -> None:
        self._name = name
        self._limit_bytes = limit_bytes
        self._on_line = on_line
        self._parts: list[bytes] = []
        self._size_bytes = 0
        #: Of a line whose end has not come yet.
        self._line_parts: list[bytes] = []
        self._line_bytes = 0

    def add(self, part: bytes) -> None:
        """Raises TooMuchOutputError."""
        self._size_bytes += len(part)
        if self._size_bytes > self._limit_bytes:
            raise TooMuchOutputError(self._name, self._limit_bytes)
        self._parts.append(part)
        if self._on_line:
            self._hand_on_lines(part, self._on_line)

    def _hand_on_lines(self, part: bytes, on_line: Callable[[str], None]) -> None:
        *ends, rest = part.split(b"\n")
        for end in ends:
            line = b"".join([*self._line_parts, end])
            self._line_parts, self._line_bytes = [], 0
            on_line(line.decode("utf-8", "replace"))
        self._line_parts.append(rest)
        self._line_bytes += len(rest)
        if self._line_bytes > LINE_MAX_BYTES:
            raise TooMuchOutputError("a line", LINE_MAX_BYTES)

    @property
    def text(self) -> str:
        return b"".join(self._parts).decode("utf-8", "replace")


def _read_both(channel: paramiko.Channel, deadline_s: float, on_line: Callable[[str], None] | None) -> tuple[str, str]:
    """Both streams at once: either may fill the window that they share, and the command would wait for ever."""
    stdout, stderr = _Stream("stdout", STDOUT_MAX_BYTES, on_line), _Stream("stderr", STDERR_MAX_BYTES)
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    while True:
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        poller.poll(remaining_s * 1000)
        # Asked before the streams are read: whatever came before the end is in them by now.
        has_ended = channel.eof_received or channel.closed
        while channel.recv_ready() and time.monotonic() < deadline_s:
            stdout.add(channel.recv(_READ_BYTES))
        while channel.recv_stderr_ready() and time.monotonic() < deadline_s:
            stderr.add(channel.recv_stderr(_READ_BYTES))
        if has_ended and not channel.recv_ready() and not channel.recv_stderr_ready():
            return stdout.text, stderr.text
