"""Turning wrklab's errors into Invoke's exits: a clear text, and the exit status that the shell sees."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from invoke.exceptions import Exit
from rich.console import Console

from wrklab.errors import WrklabError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

#: The exit status of a process that Ctrl-C ended, as shells give it.
INTERRUPTED = 130

#: Added to a signal's number, as shells give the exit status of a process that it ended.
_SIGNALLED = 128
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: As the shell tells of a program that SIGPIPE ended.
_PIPE_CLOSED = 141

#: Of output that goes to a pipe or a file.
_PLAIN_WIDTH = 120

#: Progress and remarks go to stderr, so that stdout holds results alone.
console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


def verb(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A task whose errors become an exit with a text for the user; Ctrl-C ends it without a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except WrklabError as error:
            raise Exit(f"error: {error}", code=error.exit_status) from error
        except KeyboardInterrupt:
            raise Exit("interrupted", code=INTERRUPTED) from None
        except BrokenPipeError:
            # `invoke list | head`: nobody reads on. What Python flushes at its end must not fail either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=_PIPE_CLOSED) from None

    return wrapped


class Interruption:
    """What ended a verb early: the exit status that the shell is to see then."""

    def __init__(self) -> None:
        """Nothing has, so far."""
        self.exit_status = INTERRUPTED


@contextmanager
def one_interrupt() -> Iterator[Interruption]:
    """The first Ctrl-C, SIGTERM or SIGHUP interrupts; further ones are ignored, so that cleaning up and the report come
    to their end.
    """
    told = Interruption()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in _INTERRUPTING:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGHUP:
            _leave_terminal()
        told.exit_status = _SIGNALLED + number
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in _INTERRUPTING}
    try:
        yield told
    except KeyboardInterrupt:
        raise Exit("interrupted", code=told.exit_status) from None
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
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def print_json(data: Any) -> None:  # noqa: ANN401  whatever JSON can hold
    """One JSON document on stdout."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
