"""What ends a verb early."""

from __future__ import annotations

import os
import signal

import pytest
from invoke.exceptions import Exit

from wrklab.cli.verbs import one_interrupt


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
