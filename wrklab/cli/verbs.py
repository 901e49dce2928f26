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

#: As the shell tells of a program that SIGPIPE ended.
_PIPE_CLOSED = 141

_PLAIN_WIDTH = 160

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


@contextmanager
def one_interrupt() -> Iterator[None]:
    """The first Ctrl-C interrupts; further ones are ignored, so that cleaning up and the report come to their end."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def results() -> Console:
    """A console for results, on stdout; not cut to 80 columns where that is a pipe or a file."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def print_json(data: Any) -> None:  # noqa: ANN401  whatever JSON can hold
    """One JSON document on stdout."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
