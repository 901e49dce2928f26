"""What ends a verb early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from invoke.exceptions import Exit

from wrklab.cli.verbs import one_interrupt
from wrklab.paths import PROJECT_DIR


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_interrupts_once_and_sets_the_exit_status(number: signal.Signals, expected: int) -> None:
    """Further signals are ignored until the block ends; then the former handlers are back."""
    former = signal.getsignal(number)
    cleaned = []
    with one_interrupt() as interruption:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), again)
            cleaned.append(number)

    assert cleaned == [number]
    assert interruption.exit_status == expected
    assert signal.getsignal(number) is former


def test_an_interrupt_that_nobody_handles_exits_with_its_status() -> None:
    """No traceback."""
    with pytest.raises(Exit) as exited, one_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
    assert exited.value.code == 143


PROGRAM = """
import os, signal, sys
from invoke.program import Program
from invoke.collection import Collection
from invoke.tasks import task
from wrklab.cli import verbs

@task
@verbs.verb
def stop(c):
    os.kill(os.getpid(), signal.SIGTERM)

@task
@verbs.verb
def much(c):
    for number in range(20000):
        verbs.results().print("row", number)

@task
@verbs.verb
def as_json(c):
    verbs.print_json({"rows": list(range(20000))})

Program(namespace=Collection(stop, much, as_json)).run()
"""


def run_verb(name: str, redirection: str) -> subprocess.CompletedProcess[str]:
    """A verb as the shell runs it."""
    script = f'"{sys.executable}" -c "$PROGRAM" {name} {redirection}'
    words = ["bash", "-c", f"set -o pipefail; {script}"]
    environment = os.environ | {"PROGRAM": PROGRAM}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=PROJECT_DIR)


def test_any_verb_says_which_signal_ended_it() -> None:
    """Also those that hold no host and do nothing special about it."""
    done = run_verb("stop", "")
    assert done.returncode == 143
    assert done.stderr.startswith("interrupted by SIGTERM")


@pytest.mark.parametrize("name", ["much", "as-json"])
def test_a_stdout_that_takes_no_more_is_one_sentence(name: str) -> None:
    """/dev/full, or a full disk behind it."""
    done = run_verb(name, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: stdout cannot be written: No space left on device\n"


@pytest.mark.parametrize("name", ["much", "as-json"])
def test_a_reader_that_ends_is_said(name: str) -> None:
    """`invoke bench | head`: with the status of a program that SIGPIPE ended."""
    done = run_verb(name, "| head -c 10 >/dev/null")
    assert done.returncode == 141
    assert done.stderr.startswith("stdout: its reader ended (head, say), so the rest was not printed.")
    assert "Traceback" not in done.stderr
