"""The notes that the Python applications write of GET /probe, as their handlers write them: to descriptor 2."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from wrklab.catalogue.catalogue import read_catalogue
from wrklab.paths import PROJECT_DIR

SHARED = PROJECT_DIR / "servers/shared"
APPLICATIONS = [
    PROJECT_DIR / "servers" / name / "app.py"
    for name, stack in read_catalogue().stacks.items()
    if stack.runtime == "python"
]

#: As docs/probe.md has it; other text may stand before it on its line.
NOTE = re.compile(
    r"wrklab-probe (?P<mark>[SF]) (?P<id>\d+) (?P<pid>\d+) (?P<tid>\d+) (?P<serial>\w+) "
    r"(?P<at>\d+\.\d{6}) (?P<on>\w+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Note:
    """One line."""

    mark: str
    request_id: int
    pid: int
    tid: int
    serial: str
    at: float
    runs_on: str


def notes_of(script: str) -> list[Note]:
    """What a program writes that handles requests as the applications do."""
    head = "import asyncio, os, threading, time\nfrom probe_notes import left_s, noted\n"
    done = subprocess.run(
        [sys.executable, "-c", head + script], cwd=SHARED, capture_output=True, text=True, timeout=30, check=True
    )
    return [
        Note(m["mark"], int(m["id"]), int(m["pid"]), int(m["tid"]), m["serial"], float(m["at"]), m["on"])
        for m in NOTE.finditer(done.stderr)
    ]


def test_a_handler_notes_its_start_and_its_finish() -> None:
    """Two lines with one identity, the hold between them; on the main thread the thread's number is the pid."""
    start, finish = notes_of("with noted(17, 'thread'): time.sleep(left_s(time.time() + 0.2))")

    assert (start.mark, finish.mark) == ("S", "F")
    assert start.request_id == finish.request_id == 17
    assert start.pid == start.tid == finish.tid
    assert (start.serial, start.runs_on) == (finish.serial, "thread")
    assert 0.19 < finish.at - start.at < 2
    assert abs(time.time() - finish.at) < 30


@pytest.mark.parametrize(
    "ending",
    ["raise ValueError", "raise asyncio.CancelledError", "await asyncio.wait_for(asyncio.sleep(9), 0.05)"],
)
def test_a_finish_is_noted_however_the_handler_ends(ending: str) -> None:
    """An error, a client that went away, a time-out: nothing is left that looks as if it still ran."""
    script = f"""
async def handle():
    with noted(1, "loop"):
        {ending}
async def main():
    await asyncio.gather(handle(), return_exceptions=True)
asyncio.run(main())
"""
    assert [(note.mark, note.runs_on) for note in notes_of(script)] == [("S", "loop"), ("F", "loop")]


def test_each_thread_has_a_serial_of_its_own_and_keeps_it() -> None:
    """A thread that comes after another is told from it, even if it got its number; one that works on is the same."""
    script = """
def work(first):
    for request_id in (first, first + 1):
        with noted(request_id, "thread"):
            pass
for first in range(0, 40, 2):
    thread = threading.Thread(target=work, args=(first,))
    thread.start()
    thread.join()
"""
    starts = [note for note in notes_of(script) if note.mark == "S"]

    assert [note.request_id for note in starts] == list(range(40))
    assert Counter(Counter(note.serial for note in starts).values()) == {2: 20}
    assert all(one.tid == two.tid for one, two in zip(starts[::2], starts[1::2], strict=True))


def test_threads_that_write_at_once_write_whole_lines() -> None:
    """Thousands of notes from many threads are each readable, and none is missing."""
    script = """
def work(first):
    for request_id in range(first, first + 100):
        with noted(request_id, "thread"):
            pass
threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 3000, 100)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    found = Counter((note.mark, note.request_id) for note in notes_of(script))

    assert found == Counter((mark, number) for mark in "SF" for number in range(3000))


def test_a_fork_for_each_request_has_its_own_pid() -> None:
    """The pid is asked for at the note, not when the module was loaded or first used."""
    script = """
with noted(0, "thread"): pass
for request_id in (1, 2):
    if not os.fork():
        with noted(request_id, "thread"): pass
        os._exit(0)
    os.wait()
"""
    starts = [note for note in notes_of(script) if note.mark == "S"]

    assert len({note.pid for note in starts}) == 3
    assert all(note.tid == note.pid for note in starts)


def test_a_deadline_that_has_passed_holds_nothing() -> None:
    """The sleep is never asked for less than nothing."""
    (start, finish) = notes_of("with noted(1, 'thread'): time.sleep(left_s(time.time() - 5))")

    assert finish.at - start.at < 1


@pytest.mark.parametrize("path", APPLICATIONS, ids=lambda path: path.parent.name)
def test_every_probe_handler_holds_within_its_notes(path: Path) -> None:
    """Each `probe` view sleeps only inside `with noted(...)`, and says what it runs on: coroutines on a loop."""
    handlers = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "probe"
    ]

    assert handlers
    for handler in handlers:
        blocks = [node for node in handler.body if isinstance(node, ast.With)]
        assert len(blocks) == 1
        runs_on = "loop" if isinstance(handler, ast.AsyncFunctionDef) else "thread"
        assert re.fullmatch(
            rf"with probe_notes\.noted\(\w+, '{runs_on}'\):\s+(await )?[\w.]+\(probe_notes\.left_s\(until\)\)",
            ast.unparse(blocks[0]),
        )
        assert ast.unparse(handler).count("left_s") == 1


def test_every_python_application_has_the_one_implementation() -> None:
    """The file in each stack is a link to the shared one."""
    for path in APPLICATIONS:
        assert (path.parent / "probe_notes.py").readlink() == Path("../shared/probe_notes.py")
