"""Benches that run while a test does something to them, and what must be true when they have ended."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wrklab.bench.load import wrk_specs
from wrklab.hosts.host_lock import holder_of
from wrklab.hosts.limits import ProcessLoad
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.paths import PROJECT_DIR, RESULTS_DIR
from wrklab.results.records import CellRecord
from wrklab.results.run_folder import Run, run_ids

#: Every unit of wrklab's that may run on a host.
UNITS = "wrklab-*"
CONNECTIONS = 60
THREADS = 2
#: One variant that starts at once, and a light load; warm-up, rounds and duration are the test's. Its figures do not
#: matter, so it is forced: others' work on this machine must not have it refused.
LIGHT = ("--variant", "go_net_http", "--connections", str(CONNECTIONS), "--threads", str(THREADS), "--force")
#: With the warm-up that most tests have.
QUICK = (*LIGHT, "--warmup", "500ms")
ENDING_LIMIT_S = 150.0
#: Until what a test waits for has come about: a machine half as fast, with a neighbor, needs most of it.
_BEGINNING_LIMIT_S = 120.0


class RunningBench:
    """`invoke bench` under way, in a session of its own."""

    def __init__(self, program: Sequence[str], *words: str) -> None:
        """Starts `PROGRAM bench WORDS`."""
        argv = [*program, "bench", *words]
        self._runs_before = set(run_ids(RESULTS_DIR))
        self.process = subprocess.Popen(
            argv,
            cwd=PROJECT_DIR,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_until(self, condition: Callable[[], object], what: str, limit_s: float = _BEGINNING_LIMIT_S) -> None:
        """Waits for a condition while it runs; fails the test, with what it said, when it ends before."""
        wait_until(lambda: condition() or self.process.poll() is not None, limit_s, what)
        assert self.process.poll() is None, f"ended before {what}: {self.wait()}"

    def wait(self, limit_s: float = ENDING_LIMIT_S) -> tuple[int, str]:
        """Its exit status and all that it said."""
        output, _ = self.process.communicate(timeout=limit_s)
        return self.process.returncode, output

    def run_id(self) -> str:
        """The run that it began."""
        wait_until(lambda: self._begun() or self.process.poll() is not None, 90, "a new run")
        assert self._begun(), self.wait()
        return self._begun().pop()

    def _begun(self) -> set[str]:
        return set(run_ids(RESULTS_DIR)) - self._runs_before


@contextmanager
def bench(*words: str, dies_in: str = "", dies_in_cell: int = 2, is_impatient: bool = False) -> Iterator[RunningBench]:
    """A bench that is ended with the block, whatever becomes of it.

    With `dies_in` one that is killed in that phase of that cell; an impatient one gives up lost hosts after seconds.
    """
    program = [str(Path(sys.executable).parent / "invoke")]
    if dies_in:
        program = [sys.executable, "-m", "tests.lab.dying_controller", dies_in, str(dies_in_cell)]
    elif is_impatient:
        program = [sys.executable, "-m", "tests.lab.impatient_controller"]
    running = RunningBench(program, *words)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


def interrupted_search(session: Session, *words: str) -> str:
    """The run of `invoke WORDS`, a search that Ctrl-C ended after two windows; nothing of it runs any more."""
    before = set(run_ids(RESULTS_DIR))

    def windows_count() -> int:
        return sum(len(cells_of(run_id)) for run_id in set(run_ids(RESULTS_DIR)) - before)

    argv = [str(Path(sys.executable).parent / "invoke"), *words]
    with subprocess.Popen(
        argv, cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as search:
        wait_until(lambda: windows_count() > 1 or search.poll() is not None, 240, "two windows")
        search.send_signal(signal.SIGINT)
        output, _ = search.communicate(timeout=60)
    assert search.returncode == 130, output
    assert f"invoke {words[0]} --resume" in output
    assert_nothing_runs(session)
    (run_id,) = set(run_ids(RESULTS_DIR)) - before
    return run_id


def cell_ids_of(run_id: str) -> list[str]:
    """The windows of a run in the order in which they were stored."""
    return [cell.cell_id for cell in cells_of(run_id)]


def wait_until(condition: Callable[[], object], limit_s: float, what: str) -> None:
    """Waits for a condition; fails the test when it does not come."""
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


def is_warming_up(session: Session) -> bool:
    """Whether wrk runs and no window has begun."""
    found = session.generators[0].run(["pgrep", "--exact", "wrk"], limit_s=10, check=False).stdout
    return bool(found) and not window_pids(session)


def is_preparing(session: Session) -> bool:
    """Whether a controller holds the server, and has no run yet."""
    holder = holder_of(session.server)
    return holder is not None and not holder.run


def window_pids(session: Session) -> list[str]:
    """wrk's processes while the measured window runs: those with the many connections, less what compares answers."""
    most = wrk_specs([ProcessLoad(THREADS, CONNECTIONS)], are_all_checked=False)[0].connections
    pattern = ["pgrep", "--full", "--exact", f"/usr/bin/wrk .* -c{most} .*"]
    return session.generators[0].run(pattern, limit_s=10, check=False).stdout.split()


def wait_for_window(session: Session, after: list[str] | None = None) -> list[str]:
    """Waits for a measured window other than the one of the processes `after`; its processes."""
    wait_until(lambda: set(window_pids(session)) - set(after or []), 90, "wrk in its window")
    return window_pids(session)


def running_units(host: RemoteHost) -> list[str]:
    """wrklab's units that run on a host."""
    words = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating,deactivating", UNITS]
    return [line.split()[0] for line in host.run(words, limit_s=10).stdout.splitlines()]


def assert_nothing_runs(session: Session) -> None:
    """No unit of wrklab's and no wrk on any host, and nobody holds one."""
    for host in session.all:
        assert running_units(host) == []
        assert host.run(["pgrep", "--exact", "wrk"], limit_s=10, check=False).stdout == ""
        assert holder_of(host) is None


def cells_of(run_id: str) -> list[CellRecord]:
    """What is stored of a run; its SQLite file is whole."""
    with Run.open(RESULTS_DIR, run_id) as run:
        with run.store._reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return run.cells()


def journal_of(run_id: str, phase: str) -> list[str]:
    """The texts of one kind of a run's events."""
    with Run.open(RESULTS_DIR, run_id) as run:
        return [entry.text for entry in run.journal_entries() if entry.phase == phase]


def rows_of(run_id: str) -> list[dict[str, str]]:
    """The lines of a run's report.csv."""
    with (RESULTS_DIR / run_id / "report.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def status_due(rows: Iterable[Mapping[str, Any]]) -> int:
    """The exit status that a report's rows call for: 1 where a round of one failed that should not have."""
    return int(any(row["state"] != "measured" and row["verdict"] != "failed-as-expected" for row in rows))


def state_of(run_id: str) -> str:
    """finished, interrupted or open."""
    with Run.open(RESULTS_DIR, run_id) as run:
        return run.info().state
