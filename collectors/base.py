"""What a collector is made of: where its raw text comes from, and what its parser gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["s", "count", "bytes"]
Kind = Literal["file", "line_count", "per_process", "listeners"]


class SourceError(ValueError):
    """A source's text is not what it should be; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Sample:
    """One number at one moment. Seconds and most counts of the kernel grow since boot: only differences mean much."""

    metric: str
    value: float
    unit: Unit


@dataclass(frozen=True)
class Source:
    """What a host reads for one collector, several times a second. `{cgroup}` in a path is the unit's cgroup (v2).

    file         the text of `path`; only lines that begin with one of `prefixes` where there are any
    line_count   how many lines `path` has
    per_process  `file` below /proc/<pid> of each process that `path` (a cgroup.procs) lists, a line each behind its
                 pid, and first a line `page_bytes N`
    listeners    the listening TCP sockets, a line each: family, port, connections queued, backlog
    """

    kind: Kind
    path: str = ""
    prefixes: tuple[str, ...] = ()
    file: str = ""


def whole_number(text: str, where: str) -> int:
    """A count of the kernel's, which is never negative. Raises SourceError saying where it stood."""
    if not (text.isascii() and text.isdigit()):
        raise SourceError(f"{where}: {text[:40]!r} is no whole number")
    return int(text)


def per_process_lines(text: str) -> tuple[int, list[str]]:
    """Page size and the processes' lines of a per_process source's text. Raises SourceError."""
    head, *lines = text.splitlines() or [""]
    name, _, number = head.partition(" ")
    if name != "page_bytes":
        raise SourceError(f"begins with {head[:40]!r}; `page_bytes N` was expected")
    return whole_number(number, "page_bytes"), lines


def named_numbers(text: str, where: str) -> dict[str, int]:
    """Lines of `name number`, as in cpu.stat. Raises SourceError."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        found[name] = whole_number(number, f"{where}, {name}")
    return found


def header_and_numbers(text: str, prefix: str, where: str) -> dict[str, int]:
    """Pairs of lines as in /proc/net/snmp: names behind `prefix`, then numbers behind it. Raises SourceError.

    Numbers there may be negative (Tcp's MaxConn is -1).
    """
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith(prefix)]
    if len(lines) != 2 or len(lines[0]) != len(lines[1]):  # noqa: PLR2004  one of names, one of numbers
        raise SourceError(f"{where}: a line of names and one of as many numbers were expected behind {prefix}")
    try:
        return {name: int(number) for name, number in zip(*lines, strict=True)}
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error


def pick(numbers: dict[str, int], name: str, where: str) -> int:
    """One of several numbers that must be there. Raises SourceError."""
    if name not in numbers:
        raise SourceError(f"{where}: no {name} among {', '.join(sorted(numbers)) or 'nothing'}")
    return numbers[name]
