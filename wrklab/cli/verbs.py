"""Turning wrklab's errors into Invoke's exits: a clear text, and the exit status that the shell sees."""

from __future__ import annotations

import functools
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ParamSpec, TextIO, TypeVar

from invoke.exceptions import Exit
from rich.console import Console

from wrklab.errors import WrklabError
from wrklab.protocol.blanking import without_known_secrets

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

#: The exit status of a process that Ctrl-C ended, as shells give it.
INTERRUPTED = 130

#: Added to a signal's number, as shells give the exit status of a process that it ended.
_SIGNALLED = 128
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: As the shell shows a program that SIGPIPE ended.
_PIPE_CLOSED = 141
_READER_GONE = (
    "stdout: its reader ended (head, say), so the rest was not printed. What was measured is stored; "
    "`invoke report latest` shows the newest run."
)

#: Of output that goes to a pipe or a file.
_PLAIN_WIDTH = 120


class _ResultsConsole(Console):
    def on_broken_pipe(self) -> None:
        """`verb` says why it ends; Rich would end it with status 1 and no word."""
        raise  # noqa: PLE0704  called where a BrokenPipeError is being handled


#: Progress and remarks go to stderr, so that stdout holds results alone.
console = _ResultsConsole(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


def verb(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A task whose errors become an exit with a text for the user.

    Ctrl-C, SIGTERM and SIGHUP end it in order, without a traceback: what it holds on hosts is let go of.
    """

    @functools.wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            with one_interrupt():
                result = function(*args, **kwargs)
                # Here an error can still be reported; at Python's end it is a traceback.
                sys.stdout.flush()
                return result
        except WrklabError as error:
            raise Exit(without_known_secrets(f"error: {error}"), code=error.exit_status) from error
        except BrokenPipeError:
            # `invoke list | head`: nobody reads on. What Python flushes at its end must not fail either.
            _discard(sys.stdout)
            raise Exit(_READER_GONE, code=_PIPE_CLOSED) from None
        except OSError as error:
            stuck = [stream for stream in (sys.stdout, sys.stderr) if _is_stuck(stream)]
            if not stuck:
                raise
            for stream in stuck:
                _discard(stream)
            names = " and ".join(stream.name.strip("<>") for stream in stuck)
            raise Exit(f"error: {names} cannot be written: {error.strerror}", code=WrklabError.exit_status) from None

    return wrapped


def _is_stuck(stream: TextIO) -> bool:
    """Whether a stream takes nothing more: /dev/full refuses even nothing, a file on a full disk one more byte."""
    try:
        descriptor = stream.fileno()
        os.write(descriptor, b"\n" if stat.S_ISREG(os.fstat(descriptor).st_mode) else b"")
    except OSError:
        return True
    return False


def _discard(stream: TextIO) -> None:
    """What is still printed must not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Interruption:
    """What ended a verb early: the exit status that the shell is to see then."""

    def __init__(self) -> None:
        """Nothing has, so far."""
        self.exit_status = INTERRUPTED
        #: Its name.
        self.signal = signal.SIGINT.name


@contextmanager
def one_interrupt() -> Iterator[Interruption]:
    """The first Ctrl-C, SIGTERM or SIGHUP interrupts; further ones are ignored, so that cleaning up and the report come
    to their end.
    """
    interruption = Interruption()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in _INTERRUPTING:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGHUP:
            _leave_terminal()
        interruption.exit_status, interruption.signal = _SIGNALLED + number, signal.Signals(number).name
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in _INTERRUPTING}
    try:
        yield interruption
    except KeyboardInterrupt:
        raise Exit(
            f"interrupted by {interruption.signal}. What was under way has ended; finished work is kept",
            code=interruption.exit_status,
        ) from None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _leave_terminal() -> None:
    """The terminal is gone: what is still said must not fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream.isatty():
            os.dup2(nowhere, stream.fileno())


def results() -> Console:
    """A console for results, on stdout; not cut to 80 columns where that is a pipe or a file."""
    plain = _ResultsConsole(highlight=False)
    return plain if plain.is_terminal else _ResultsConsole(highlight=False, width=_PLAIN_WIDTH)


def print_json(data: Any) -> None:  # noqa: ANN401  whatever JSON can hold
    """One JSON document on stdout."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
