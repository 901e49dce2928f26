"""What goes wrong on hosts while a bench runs: nothing is left running, nothing measured is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wrklab.doors.remote import RemoteHost
from wrklab.doors.results import Run, run_ids
from wrklab.errors import StoreError
from wrklab.measure.session import Session
from wrklab.model.record import CellRecord
from wrklab.paths import PROJECT_DIR, RESULTS_DIR

#: Every unit of ours that may run on a host.
UNITS = "wrklab-*"


@pytest.fixture
def bench(session: Session) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `invoke bench WORDS` in a session of its own and lets the test go on."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "invoke", "bench", *words],
            cwd=PROJECT_DIR,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def running_units(host: RemoteHost) -> list[str]:
    """Units of ours that run on a host."""
    words = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating,deactivating", UNITS]
    return [line.split()[0] for line in host.run(words, limit_s=10).stdout.splitlines()]


def programs(host: RemoteHost, name: str) -> list[str]:
    """Processes of that name on a host."""
    return host.run(["pgrep", "--exact", name], limit_s=10, check=False).stdout.split()


def wait_until(condition: Callable[[], object], limit_s: float, what: str) -> None:
    """Waits for a condition; fails the test when it does not come."""
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, f"not within {limit_s} s: {what}"
        time.sleep(0.2)


def wait_for_window(session: Session) -> None:
    """Waits until the measured window runs: wrk with the many connections."""
    generator = session.generators[0]
    pattern = ["pgrep", "--full", "--exact", "/usr/bin/wrk .* -c500 .*"]
    wait_until(lambda: generator.run(pattern, limit_s=10, check=False).stdout, 60, "wrk in its window")


def newest_cells() -> list[CellRecord]:
    """The cells of the newest run."""
    with Run.open(RESULTS_DIR) as run:
        return run.cells()


def cells_so_far() -> list[CellRecord]:
    """The cells of the newest run while somebody writes it; none where it cannot be read just now."""
    try:
        return newest_cells()
    except StoreError:
        return []


#: One cell whose window is long enough to do something to it.
ONE_CELL = ("--variant", "go_net_http", "--connections", "500", "--duration", "6s", "--rounds", "1")


def test_a_server_that_dies_under_load_fails_its_cell_with_evidence(
    session: Session, bench: Callable[..., subprocess.Popen[str]]
) -> None:
    """kill -9 of the server within the window: the cell has failed, says so, and the exit status is 1."""
    process = bench(*ONE_CELL)
    wait_for_window(session)
    session.server.run(["systemctl", "kill", "--signal=KILL", "wrklab-go_net_http.service"], limit_s=10)
    output, _ = process.communicate(timeout=90)

    assert process.returncode == 1, output
    record = newest_cells()[0]
    assert record.state == "failed"
    assert record.failure is not None
    assert "go_net_http" in record.failure.text
    assert record.failure.unit_state


def test_a_cell_survives_the_death_of_sshd(session: Session, bench: Callable[..., subprocess.Popen[str]]) -> None:
    """sshd and every ssh session on the generator killed within the window: the load goes on and is followed again."""
    process = bench(*ONE_CELL)
    wait_for_window(session)
    kill = "systemctl kill --signal=KILL ssh.service; sleep 0.2; systemctl start ssh.service"
    session.generators[0].run(["systemd-run", "--quiet", "--collect", "sh", "-c", f"sleep 0.3; {kill}"], limit_s=10)
    output, _ = process.communicate(timeout=90)

    with Run.open(RESULTS_DIR) as run:
        record = run.cells()[0]
        followed = [entry.text for entry in run.journal_entries() if entry.phase == "followed"]
    assert len(followed) == 1, output
    assert followed[0].startswith(f"{session.generators[0].name}:")
    assert record.state == "measured", output
    assert record.measurement is not None
    assert record.measurement.duration_s == pytest.approx(6, abs=0.3)


def test_a_killed_controller_leaves_nothing_running_and_loses_nothing(
    session: Session, bench: Callable[..., subprocess.Popen[str]]
) -> None:
    """kill -9 of the controller in its second cell: the first is in the store; leases end the rest on the hosts."""
    before = set(run_ids(RESULTS_DIR))
    process = bench("--variant", "go_net_http", "--connections", "500", "--duration", "3s", "--rounds", "5")
    wait_until(lambda: set(run_ids(RESULTS_DIR)) - before, 60, "a new run")
    wait_until(cells_so_far, 60, "a finished cell")
    wait_for_window(session)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)

    cells = newest_cells()
    assert cells
    assert all(cell.state == "measured" for cell in cells)
    wait_until(lambda: not any(running_units(host) for host in session.all), 100, "no unit of ours on any host")
    assert not programs(session.generators[0], "wrk")


def test_ctrl_c_ends_the_bench_with_a_report(session: Session, bench: Callable[..., subprocess.Popen[str]]) -> None:
    """SIGINT in the second cell: exit status 130, nothing left running, the first cell in report.csv."""
    before = set(run_ids(RESULTS_DIR))
    process = bench("--variant", "go_net_http", "--connections", "500", "--duration", "3s", "--rounds", "5")
    wait_until(lambda: set(run_ids(RESULTS_DIR)) - before, 60, "a new run")
    wait_until(cells_so_far, 60, "a finished cell")
    wait_for_window(session)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 130, output
    assert not any(running_units(host) for host in session.all)
    with Run.open(RESULTS_DIR) as run:
        assert (run.path / "report.csv").read_text(encoding="utf-8").count("go_net_http") >= 1
        assert run.info().state == "interrupted"


def test_a_taken_port_is_said(session: Session, bench: Callable[..., subprocess.Popen[str]]) -> None:
    """Something else listens on the port: the cell fails with its name, and that something is left alone."""
    listen = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(40)"
    session.server.run(
        ["systemd-run", "--quiet", "--collect", "--unit=squatter", "/usr/bin/python3", "-c", listen], limit_s=10
    )
    try:
        wait_until(lambda: "8080" in session.server.run(["ss", "-ltn"], limit_s=10).stdout, 10, "the squatter")
        output, _ = bench(*ONE_CELL).communicate(timeout=90)
        record = newest_cells()[0]
        assert record.state == "failed", output
        assert record.failure is not None
        assert "8080" in record.failure.text
        assert session.server.run(["systemctl", "is-active", "squatter"], limit_s=10).stdout.strip() == "active"
    finally:
        session.server.run(["systemctl", "stop", "squatter"], limit_s=10, check=False)
