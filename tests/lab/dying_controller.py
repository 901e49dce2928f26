"""`python -m tests.lab.dying_controller PHASE CELL WORDS`: `invoke WORDS` that kills itself in a phase of a cell.

Cells are counted from 1. Phases are those that a bench announces (start, ready, warmup, window, verify_after, stop),
and `store`: within the transaction that stores the cell.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

from invoke.collection import Collection
from invoke.program import Program

import tasks
from wrklab.progress import BenchProgress
from wrklab.results.run_folder import Run


def die() -> NoReturn:
    """As kill -9 does it: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class DyingProgress:
    """Counts cells, and dies in a phase of one of them."""

    def __init__(self, phase: str, cell_number: int) -> None:
        """The methods that it watches are put in place of the progress's own."""
        self._phase, self._cell_number, self._cells_count = phase, cell_number, 0
        self._begin, self._tell, self._add_cell = BenchProgress.begin, BenchProgress.phase, Run.add_cell
        BenchProgress.begin = self._on_begin  # type: ignore[method-assign,assignment]
        BenchProgress.phase = self._on_phase  # type: ignore[method-assign,assignment]

        def add_cell(run: Run, *words: Any) -> None:  # noqa: ANN401  as the real one takes
            if self._is_due("store"):
                connection = run.store._connection
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO cell VALUES ('half', 9, 'half', 'half', 1, 'measured', '{}')")
                connection.execute("PRAGMA cache_spill = 1")
                die()
            self._add_cell(run, *words)

        Run.add_cell = add_cell  # type: ignore[method-assign,assignment]

    def _is_due(self, phase: str) -> bool:
        return phase == self._phase and self._cells_count == self._cell_number

    def _on_begin(self, title: str) -> None:
        self._cells_count += 1
        if self._is_due("start"):
            die()

    def _on_phase(self, name: str) -> None:
        if self._is_due(name):
            die()


if __name__ == "__main__":
    DyingProgress(sys.argv[1], int(sys.argv[2]))
    namespace: Collection = Collection.from_module(tasks)
    Program(namespace=namespace).run(["invoke", *sys.argv[3:]])
