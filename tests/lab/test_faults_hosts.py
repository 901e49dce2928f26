"""Hosts that start anew, whose clock is stepped, that say nonsense: nothing that was measured is lost."""

from __future__ import annotations

import pytest

from tests.lab.benches import (
    QUICK,
    assert_nothing_runs,
    bench,
    cells_of,
    rows_of,
    status_due,
    wait_for_window,
)
from tests.lab.conftest import LAB, invoke
from tests.lab.stepping_clock import stepping_clock
from wrklab.catalogue.catalogue import Catalogue
from wrklab.hosts.session import Session, open_session
from wrklab.results.records import CellRecord

CELLS_DIR = "/var/lib/wrklab/cells"


def first_failures(cells: list[CellRecord]) -> list[str]:
    """Why first attempts failed, of the cells that needed a second one."""
    return [cell.first_failure.text for cell in cells if cell.first_failure]


def test_a_server_that_reboots_costs_that_attempt(catalogue: Catalogue) -> None:
    """In the second cell. It comes back in time; the failure is laid to the reboot, not to the end of a server."""
    with (
        open_session(catalogue, LAB) as session,
        bench(*QUICK, "--duration", "2s", "--rounds", "3", is_impatient=True) as running,
    ):
        first = wait_for_window(session)
        wait_for_window(session, after=first)
        session.server.run(["systemctl", "reboot", "--force"], limit_s=10, check=False)
        run_id = running.run_id()
        status, output = running.wait()
    cells = cells_of(run_id)
    states = [(cell.state, cell.attempts) for cell in cells]
    assert states == [("measured", 1), ("measured", 2), ("measured", 1)], output
    assert first_failures(cells)[0].startswith("server rebooted: "), output
    assert "server crashed" not in output
    assert status == status_due(rows_of(run_id)), output
    with open_session(catalogue, LAB) as anew:
        assert_nothing_runs(anew)


def test_a_server_that_is_powered_off_ends_the_run_and_resuming_goes_on(catalogue: Catalogue) -> None:
    """In the second cell. Resuming brings the node up again and goes on at that very cell."""
    try:
        with (
            open_session(catalogue, LAB) as session,
            bench(*QUICK, "--duration", "2s", "--rounds", "3", is_impatient=True) as running,
        ):
            first = wait_for_window(session)
            wait_for_window(session, after=first)
            session.server.run(["systemctl", "poweroff", "--force", "--force"], limit_s=10, check=False)
            run_id = running.run_id()
            status, output = running.wait()
        assert status == 1, output
        assert f"invoke bench --resume {run_id}" in output
        assert [cell.round_number for cell in cells_of(run_id)] == [1]
    finally:
        resumed = invoke("bench", "--force", "--resume", limit_s=400)
    cells = cells_of(run_id)
    assert [(cell.round_number, cell.attempts) for cell in cells] == [(1, 1), (2, 1), (3, 1)], resumed.stderr
    assert resumed.returncode == status_due(rows_of(run_id)), resumed.stderr
    with open_session(catalogue, LAB) as anew:
        assert_nothing_runs(anew)


@pytest.mark.parametrize("step_s", [3, -3])
def test_a_clock_stepped_within_a_window_costs_that_attempt(session: Session, step_s: int) -> None:
    """wrk measures by the wall clock: the rate would be of a window that is longer or shorter than it was."""
    generator = session.generators[0]
    with stepping_clock(generator) as set_offset_s, bench(*QUICK, "--duration", "3s", "--rounds", "2") as running:
        # wrk runs, so the cell has read the clock that its window begins by.
        wait_for_window(session)
        set_offset_s(step_s)
        run_id = running.run_id()
        _, output = running.wait()

    cells = cells_of(run_id)
    assert [(cell.state, cell.attempts) for cell in cells] == [("measured", 2), ("measured", 1)], output
    assert "clock" in first_failures(cells)[0]
    durations_s = [cell.measurement.duration_s for cell in cells if cell.measurement]
    assert durations_s == pytest.approx([3.0, 3.0], abs=0.3)
    assert_nothing_runs(session)


def test_samples_that_are_damaged_cost_that_attempt(session: Session) -> None:
    """A line of junk among the server's samples, as a disk or another program may put it there."""
    with bench(*QUICK, "--duration", "3s", "--rounds", "2") as running:
        wait_for_window(session)
        junk = f'echo \'{{"at": 1, "cos\' | tee --append {CELLS_DIR}/*/server_samples.jsonl'
        session.server.run(["sh", "-ec", junk], limit_s=10)
        run_id = running.run_id()
        _, output = running.wait()

    cells = cells_of(run_id)
    assert [(cell.state, cell.attempts) for cell in cells] == [("measured", 2), ("measured", 1)], output
    assert "samples, line" in first_failures(cells)[0]
    assert_nothing_runs(session)


def test_an_answer_that_is_cut_off_costs_that_attempt(session: Session) -> None:
    """The generator's result comes half: its script is replaced by one that cuts a single answer."""
    generator = session.generators[0]
    path = "/opt/wrklab/node/load_ctl.py"
    cutting = (
        "import os, subprocess, sys\n"
        f"told = subprocess.run([sys.executable, '-I', '-S', '{path}.true', *sys.argv[1:]], stdout=subprocess.PIPE)\n"
        "if sys.argv[1] == 'run':\n"
        f"    os.replace('{path}.true', '{path}')\n"
        "    told.stdout = told.stdout[: len(told.stdout) // 2]\n"
        "sys.stdout.buffer.write(told.stdout)\n"
        "sys.exit(told.returncode)\n"
    )
    try:
        with bench(*QUICK, "--duration", "2s", "--rounds", "2") as running:
            # A bench that finds another script there deploys before it begins; a cell in its window has begun it.
            wait_for_window(session)
            generator.run(["cp", "--preserve", path, f"{path}.true"], limit_s=10)
            generator.run(["/usr/bin/python3", "-c", f"open({path!r}, 'w').write({cutting!r})"], limit_s=10)
            run_id = running.run_id()
            _, output = running.wait()
    finally:
        generator.run(["sh", "-c", f"test ! -e {path}.true || mv {path}.true {path}"], limit_s=10)

    cells = cells_of(run_id)
    assert [(cell.state, cell.attempts) for cell in cells] == [("measured", 1), ("measured", 2)], output
    assert "not complete" in first_failures(cells)[0]
    assert_nothing_runs(session)
