"""What goes wrong with controllers, connections and hosts: nothing is left running, nothing measured is lost.

docs/faults.md lists each fault with its test.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.benches import (
    LIGHT,
    QUICK,
    assert_nothing_runs,
    bench,
    cells_of,
    is_preparing,
    is_warming_up,
    journal_of,
    rows_of,
    running_units,
    state_of,
    status_due,
    wait_for_window,
    wait_until,
    window_pids,
)
from tests.lab.conftest import LAB, invoke
from tests.lab.nodes_from_outside import kill_ssh, ssh_cut
from wrklab.catalogue.catalogue import Catalogue
from wrklab.hosts.host_lock import holder_of
from wrklab.hosts.session import Session, open_session
from wrklab.paths import RESULTS_DIR
from wrklab.results.run_folder import run_ids


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """A small filesystem over a folder of this machine."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "wrklab_test", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


PHASES = ("start", "ready", "warmup", "window", "verify_after", "stop", "store")


@pytest.mark.parametrize("dies_in_cell", [1, 2], ids=["first cell", "second cell"])
def test_a_controller_killed_in_each_phase_is_resumed_at_the_next_cell(session: Session, dies_in_cell: int) -> None:
    """kill -9 in each phase that a bench announces: of its first cell, and of a later one."""
    done_each = dies_in_cell - 1  # each controller measures so many before it dies
    rounds = done_each * len(PHASES) + 1
    begin = (*QUICK, "--duration", "1s", "--rounds", str(rounds))
    run_id = ""
    for number, phase in enumerate(PHASES, 1):
        words = begin if not run_id else ("--force", "--resume", run_id)
        with bench(*words, dies_in=phase, dies_in_cell=dies_in_cell) as dying:
            run_id = run_id or dying.run_id()
            status, output = dying.wait()
        assert status == -signal.SIGKILL, output
        assert len(cells_of(run_id)) == number * done_each, phase

    done = invoke("bench", "--force", "--resume")

    cells = cells_of(run_id)
    assert [cell.round_number for cell in cells] == list(range(1, rounds + 1)), done.stderr
    assert all(cell.state == "measured" and cell.attempts == 1 for cell in cells)
    assert sorted(path.name for path in (RESULTS_DIR / run_id / "raw").iterdir()) == [cell.cell_id for cell in cells]
    assert state_of(run_id) == "finished"
    assert_nothing_runs(session)
    again = invoke("bench", "--resume", run_id)
    assert (again.returncode, "nothing to resume" in again.stderr) == (0, True)


def test_a_dead_controller_leaves_nothing_for_cleanup_to_miss(session: Session) -> None:
    """After kill -9 in the window the load still runs; `invoke cleanup` ends it at once, and says what it was."""
    with bench(*QUICK, "--duration", "5s", "--rounds", "2", dies_in="window") as dying:
        dying.wait()
    assert running_units(session.generators[0]) == ["wrklab-load.service"]
    show = ["systemctl", "show", "--property=RuntimeMaxUSec", "--value", "wrklab-load.service"]
    assert session.generators[0].run(show, limit_s=10).stdout.strip() not in {"", "infinity"}
    assert "wrklab-lease.timer" in running_units(session.server)

    done = invoke("cleanup")

    assert done.returncode == 0, done.stderr
    assert "wrklab-load.service" in done.stderr
    assert "wrklab-go_net_http.service" in done.stderr
    assert_nothing_runs(session)


def test_server_and_wrk_killed_in_the_window_cost_a_second_attempt(session: Session) -> None:
    """Each cell is measured once more on a fresh server; the first attempt's evidence is kept and the report tells."""
    with bench(*QUICK, "--duration", "2s", "--rounds", "2") as running:
        first = wait_for_window(session)
        session.server.run(["systemctl", "kill", "--signal=KILL", "wrklab-go_net_http.service"], limit_s=10)
        second = wait_for_window(session, after=first)
        third = wait_for_window(session, after=[*first, *second])
        session.generators[0].run(["kill", "-KILL", *third], limit_s=10)
        run_id = running.run_id()
        status, output = running.wait()

    cells = cells_of(run_id)
    assert [(cell.state, cell.attempts) for cell in cells] == [("measured", 2), ("measured", 2)], output
    why = [cell.first_failure.text for cell in cells if cell.first_failure]
    assert "go_net_http ended under the load" in why[0]
    assert cells[0].first_failure is not None
    assert "killed by SIGKILL" in cells[0].first_failure.unit_state
    assert "exit -9" in why[1]
    raw = RESULTS_DIR / run_id / "raw" / cells[0].cell_id
    assert (raw / "attempt_1" / "server.json").is_file()
    assert len(journal_of(run_id, "attempt_failed")) == 2
    # That wrk was killed says nothing of the server; that it ended itself under the load does.
    [row] = rows_of(run_id)
    assert {"server_ended", "second_attempt"} <= set(row["note_names"].split())
    assert (row["verdict"], row["rounds_retried"], row["rounds_server_ended"]) == ("polluted", "2", "1")
    assert status == status_due([row])
    assert_nothing_runs(session)


def test_a_cut_and_a_restart_of_ssh_are_lived_through_and_the_hosts_stay_ours(session: Session) -> None:
    """5 s without ssh, then sshd and all its sessions killed: each cell at the first attempt; others are refused."""
    generator = session.generators[0]
    with bench(*QUICK, "--duration", "6s", "--rounds", "3") as running:
        first = wait_for_window(session)
        with ThreadPoolExecutor(max_workers=2) as pool:
            others = [pool.submit(invoke, "bench", *QUICK, "--rounds", "1"), pool.submit(invoke, "cleanup")]
            refused = [other.result() for other in others]
        second = wait_for_window(session, after=first)
        with ssh_cut(generator.host):
            time.sleep(5)  # the fault itself: longer than a packet is waited for, shorter than a connection lives
        wait_for_window(session, after=[*first, *second])
        kill_ssh(generator.host)
        run_id = running.run_id()
        holder = holder_of(generator)
        status, output = running.wait()

    cells = cells_of(run_id)
    assert [(cell.state, cell.attempts) for cell in cells] == [("measured", 1)] * 3, output
    assert all(cell.measurement and cell.measurement.duration_s == pytest.approx(6, abs=0.3) for cell in cells)
    assert any(text.startswith(f"{generator.name}:") for text in journal_of(run_id, "followed"))
    for each in refused:
        assert each.returncode == 1
        assert "taken by another controller" in each.stderr
        assert f"process {running.process.pid}" in each.stderr
    assert holder is not None
    assert holder.run == run_id
    assert holder_of(generator) is None
    assert status == status_due(rows_of(run_id)), output
    assert_nothing_runs(session)


def test_a_generator_that_is_gone_ends_the_run_and_resuming_brings_it_back(
    session: Session, catalogue: Catalogue
) -> None:
    """Powered off in the second cell: exit status 1 with the command that goes on; the first cell is kept."""
    try:
        with bench(*QUICK, "--duration", "2s", "--rounds", "3", is_impatient=True) as running:
            first = wait_for_window(session)
            wait_for_window(session, after=first)
            session.generators[0].run(["systemctl", "poweroff", "--force", "--force"], limit_s=5, check=False)
            run_id = running.run_id()
            status, output = running.wait()
        assert status == 1, output
        assert f"invoke bench --resume {run_id}" in output
        assert state_of(run_id) == "interrupted"
        assert [cell.round_number for cell in cells_of(run_id)] == [1]
        assert running_units(session.server) == []
    finally:
        resumed = invoke("bench", "--force", "--resume", limit_s=400)
    assert [cell.round_number for cell in cells_of(run_id)] == [1, 2, 3], resumed.stderr
    with open_session(catalogue, LAB) as anew:
        assert_nothing_runs(anew)


def test_a_full_disk_on_a_host_ends_the_run_until_there_is_room(session: Session) -> None:
    """The reason is told; with room again the run is completed."""
    cells_dir = "/var/lib/wrklab/cells"
    generator = session.generators[0]
    generator.run(["mkdir", "-p", cells_dir], limit_s=10)
    generator.run(["mount", "-t", "tmpfs", "-o", "size=16k", "wrklab_test", cells_dir], limit_s=10)
    try:
        done = invoke("bench", *QUICK, "--duration", "1s", "--rounds", "1")
    finally:
        generator.run(["umount", cells_dir], limit_s=10)
    assert done.returncode == 1, done.stderr
    assert "its disk is full" in done.stderr
    run_id = run_ids(RESULTS_DIR)[-1]
    assert cells_of(run_id) == []
    assert_nothing_runs(session)

    resumed = invoke("bench", "--force", "--resume")
    assert [cell.state for cell in cells_of(run_id)] == ["measured"], resumed.stderr


def test_a_full_disk_here_leaves_the_store_readable(session: Session) -> None:
    """Full within the second cell: the first one is whole, and with room again the run is completed."""
    with small_disk(RESULTS_DIR, "14m"), bench(*QUICK, "--duration", "2s", "--rounds", "2") as running:
        first = wait_for_window(session)
        wait_for_window(session, after=first)
        filler = RESULTS_DIR / "filler"
        free_bytes = shutil.disk_usage(RESULTS_DIR).free
        filler.write_bytes(bytes(free_bytes))
        run_id = running.run_id()
        status, output = running.wait()
        assert status == 1, output
        assert "disk" in output
        assert f"invoke bench --resume {run_id}" in output
        assert [cell.round_number for cell in cells_of(run_id)] == [1]
        assert_nothing_runs(session)

        filler.unlink()
        resumed = invoke("bench", "--force", "--resume")
        assert [cell.round_number for cell in cells_of(run_id)] == [1, 2], resumed.stderr


@pytest.mark.parametrize(
    ("number", "expected", "is_for_group", "is_due"),
    [
        (signal.SIGTERM, 143, True, window_pids),
        (signal.SIGHUP, 129, True, window_pids),
        (signal.SIGTERM, 143, False, window_pids),
        (signal.SIGINT, 130, False, is_warming_up),
    ],
    ids=["TERM-group-window", "HUP-group-window", "TERM-controller-window", "INT-controller-warmup"],
)
def test_a_signal_ends_the_bench_with_a_report(
    session: Session,
    number: signal.Signals,
    expected: int,
    is_for_group: bool,
    is_due: Callable[[Session], object],
) -> None:
    """Cleaned up, reported, the command that goes on; a second signal changes nothing of that.

    To the whole group, as a terminal sends it; to the controller alone, as `kill` does. In the window and before it.
    """
    send = os.killpg if is_for_group else os.kill
    with bench(*LIGHT, "--warmup", "4s", "--duration", "5s", "--rounds", "2") as running:
        running.wait_until(lambda: is_due(session), "the moment for the signal")
        send(running.process.pid, number)
        send(running.process.pid, number)
        run_id = running.run_id()
        status, output = running.wait(30)

    assert status == expected, output
    assert f"invoke bench --resume {run_id}" in output
    assert (RESULTS_DIR / run_id / "report.csv").is_file()
    assert state_of(run_id) == "interrupted"
    assert cells_of(run_id) == []
    assert_nothing_runs(session)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_cell_lets_go_of_the_hosts(
    session: Session, number: signal.Signals, expected: int
) -> None:
    """To the controller alone, while it looks at the hosts: nothing is stored, nothing runs, nobody holds them."""
    runs_before = run_ids(RESULTS_DIR)
    with bench(*QUICK, "--duration", "1s", "--rounds", "1") as running:
        running.wait_until(lambda: is_preparing(session), "hosts that are held, without a run")
        os.kill(running.process.pid, number)
        status, output = running.wait(30)

    assert status == expected, output
    assert "Traceback" not in output
    assert run_ids(RESULTS_DIR) == runs_before
    assert_nothing_runs(session)


def test_a_taken_port_is_said(session: Session) -> None:
    """Something else listens on the port: the cell fails with its name, and that something is left alone."""
    listen = "import socket, time; s = socket.create_server(('0.0.0.0', 8080)); time.sleep(600)"
    session.server.run(
        ["systemd-run", "--quiet", "--collect", "--unit=squatter", "/usr/bin/python3", "-c", listen], limit_s=10
    )
    try:
        wait_until(lambda: "8080" in session.server.run(["ss", "-ltn"], limit_s=10).stdout, 10, "the squatter")
        done = invoke("bench", *QUICK, "--duration", "1s", "--rounds", "1")
        record = cells_of(run_ids(RESULTS_DIR)[-1])[0]
        assert done.returncode == 1
        assert (record.state, record.attempts) == ("failed", 2), done.stderr
        assert record.failure is not None
        assert "8080" in record.failure.text
        assert session.server.run(["systemctl", "is-active", "squatter"], limit_s=10).stdout.strip() == "active"
    finally:
        session.server.run(["systemctl", "stop", "squatter"], limit_s=10, check=False)
