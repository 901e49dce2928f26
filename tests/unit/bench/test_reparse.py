"""Runs read again from their raw files: what stays, what changes, and what a damage or a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.handmade_raw import captured_load, captured_server, ended_server, handmade_raw
from tests.unit.handmade_records import RUN_ID, handmade_cell, handmade_environment, handmade_plan
from wrklab.bench.reparse import Reparsed, reparse
from wrklab.errors import StoreError
from wrklab.extract import cell as extract_cell
from wrklab.extract.cell import cell_outcome
from wrklab.extract.histogram import Histogram
from wrklab.extract.wrk_report import busy_ratio
from wrklab.paths import PROJECT_DIR
from wrklab.protocol.phases import Phase
from wrklab.results.raw import set_first_attempt_aside, write_raw
from wrklab.results.records import CellRecord
from wrklab.results.run_folder import Run, list_runs
from wrklab.results.store import SCHEMA_VERSION

#: Three runs of format 1 (commit 8f4b3d1), with only that of their environments which reading them again needs: two
#: cells that failed at first, one that failed twice, and one of own hosts with two generators.
CAPTURED = Path(__file__).parents[1] / "captured" / "runs" / "format_1.tar.xz"
RETRIED, FAILED, TWO_GENERATORS = "20261128T093233Z_33fa", "20261128T093630Z_7139", "20261128T094712Z_062a"
MEASURED, ENDED = "standard.go_net_http.1", "standard.go_net_http.2"

#: Reads a run again; SIGKILL ends it where the words say.
KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from wrklab.bench import reparse
    from wrklab.results.run_folder import Run

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    original, calls = reparse.cell_outcome, []

    def count(*words):
        calls.append(words)
        return die() if len(calls) == 2 else original(*words)

    if sys.argv[2] == "between cells":
        reparse.cell_outcome = count
    else:
        original = Path.replace
        Path.replace = lambda path, target: die() if path.name == "store.sqlite.new" else original(path, target)
    with Run.open(Path(sys.argv[1]), accepts_older=True) as run:
        reparse.reparse(run)
""")


@pytest.fixture
def old_runs(tmp_path: Path) -> Path:
    """A results folder with the captured runs."""
    with tarfile.open(CAPTURED) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def new_run(tmp_path: Path) -> Iterator[Run]:
    """A run of today's format as a bench leaves it: one cell measured at the second attempt, one whose server ended."""
    cells = [handmade_cell("go_net_http", round_number=number) for number in (1, 2)]
    with Run.create(tmp_path, handmade_plan(cells), handmade_environment()) as run:
        store(run, 0, handmade_raw(captured_load(), server=ended_server()), is_first=True)
        store(run, 0, handmade_raw(captured_load(), server=captured_server()))
        store(run, 1, handmade_raw(captured_load(), server=ended_server()))
        run.journal("begin", "", MEASURED, at_s=1000.0)
        run.end("finished")
        yield run


def store(run: Run, position: int, raw: Any, *, is_first: bool = False) -> None:  # noqa: ANN401
    """An attempt as bench/cells.py stores it."""
    planned = run.plan.cells[position]
    folder = run.raw_dir(planned.cell_id)
    write_raw(folder, raw)
    outcome = cell_outcome(raw, planned, position)
    if is_first:
        set_first_attempt_aside(folder)
        return
    if (folder / "attempt_1").is_dir():
        failure = cell_outcome(handmade_raw(captured_load(), server=ended_server()), planned, position).record.failure
        outcome = outcome.changed(attempts=2, first_failure=failure)
    if outcome.record.harness_s is not None:
        outcome = outcome.changed(harness_s=outcome.record.harness_s + 0.25)
    run.add_cell(outcome.record, outcome.histograms, outcome.samples)


def read_again(results_dir: Path, run_id: str) -> Reparsed:
    """What `invoke reparse` does with a run."""
    with Run.open(results_dir, run_id, accepts_older=True) as run:
        return reparse(run)


def everything(run: Run) -> tuple[Any, ...]:
    """All that a run's store holds of its cells."""
    cells = run.cells()
    return (
        cells,
        [run.histograms(cell.cell_id) for cell in cells],
        [sorted(run.samples(cell.cell_id)) for cell in cells],
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Every raw file but those that are added."""
    paths = (path for path in folder.rglob("*.json") if path.name != "cell.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def plain_records(results_dir: Path, run_id: str) -> dict[str, Any]:
    """The records as they are stored, whatever their format."""
    with Run.open(results_dir, run_id, accepts_older=True) as run:
        return {name: dict(record) for name, record in run.store.plain_records().items()}


def test_a_run_of_an_older_format_is_refused_with_the_command_that_reads_it(old_runs: Path) -> None:
    """Opened or listed: one sentence, that names the run."""
    sentence = (
        f"run {RETRIED} is stored in format 1, and this wrklab reads format {SCHEMA_VERSION}: "
        f"`invoke reparse {RETRIED}` reads its raw files again"
    )
    with pytest.raises(StoreError) as refused:
        Run.open(old_runs, RETRIED)
    assert str(refused.value) == sentence
    assert [info.problem for info in list_runs(old_runs) if info.run_id == RETRIED] == [sentence]


@pytest.mark.parametrize(("run_id", "cells_count"), [(RETRIED, 2), (FAILED, 1), (TWO_GENERATORS, 1)])
def test_an_old_run_has_the_same_figures(old_runs: Path, run_id: str, cells_count: int) -> None:
    """Every figure that both formats have, histograms and samples; the second time as well. Raw files stay."""
    before, raw = plain_records(old_runs, run_id), files_of(old_runs / run_id / "raw")
    found = read_again(old_runs, run_id)

    assert (found.cells_count, found.changes, found.problems, found.lost) == (cells_count, (), {}, ())
    with Run.open(old_runs, run_id) as run:
        assert [info.problem for info in list_runs(old_runs) if info.run_id == run_id] == [""]
        first = everything(run)
        for cell in run.cells():
            old = before[cell.cell_id]
            assert (cell.state, cell.attempts) == (old["state"], old["attempts"])
            assert (cell.started_at_s, cell.finished_at_s) == (old["started_at_s"], old["finished_at_s"])
            assert cell.harness_s == old["harness_s"]
            assert cell.startup_s == pytest.approx(old["startup_s"])
    assert files_of(old_runs / run_id / "raw") == raw
    assert read_again(old_runs, run_id).changes == ()
    with Run.open(old_runs, run_id) as run:
        assert everything(run) == first


def test_what_an_old_run_measured_is_known_by_its_figures(old_runs: Path) -> None:
    """Literals, so that this test does not compare two mistakes with each other."""
    old = plain_records(old_runs, TWO_GENERATORS)[MEASURED]
    read_again(old_runs, TWO_GENERATORS)
    with Run.open(old_runs, TWO_GENERATORS) as run:
        [cell] = run.cells()

    assert cell.measurement is not None
    assert cell.measurement.requests == old["measurement"]["requests"] == 950
    assert [part.host for part in cell.measurement.generators] == ["load", "load_2"]
    assert cell.measurement.connections_open == 50


def test_attempts_and_their_failures_stay(old_runs: Path) -> None:
    """Of cells that were measured at the second attempt, and of one that failed twice; the journal as well."""
    with Run.open(old_runs, RETRIED, accepts_older=True) as run:
        journal = run.journal_entries()
    read_again(old_runs, RETRIED)
    read_again(old_runs, FAILED)

    with Run.open(old_runs, RETRIED) as run:
        failures = [cell.first_failure for cell in run.cells()]
        assert [(failure.phase, failure.expected) for failure in failures if failure] == [(Phase.WINDOW, False)] * 2
        assert run.journal_entries()[: len(journal)] == journal
        assert [entry.phase for entry in run.journal_entries()[len(journal) :]] == ["reparsed"]
        assert run.info().state == "finished"
    with Run.open(old_runs, FAILED) as run:
        [cell] = run.cells()
        assert cell.failure is not None
        assert cell.failure.phase == Phase.START
        assert "port 8080 is taken" in cell.failure.text
        assert cell.attempts == 2


def test_reading_a_new_run_again_changes_nothing(new_run: Run) -> None:
    """Figures, attempts, failures, samples, histograms, and what reading it had cost when it was new."""
    before = everything(new_run)
    found = reparse(new_run)

    assert (found.changes, found.problems) == ((), {})
    assert everything(new_run) == before
    assert [cell.state for cell in new_run.cells()] == ["measured", "failed"]
    assert new_run.cells()[0].attempts == 2
    assert not (new_run.path / "store.sqlite.before").exists()
    assert not (new_run.path / "store.sqlite.new").exists()


def test_another_parser_changes_what_it_reads_and_nothing_else(new_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The changed figure is named with both values, and the store has the new one."""
    before = new_run.cells()[0].measurement
    monkeypatch.setattr(extract_cell, "busy_ratio", lambda *words: 2 * busy_ratio(*words))
    found = reparse(new_run)
    after = new_run.cells()[0].measurement

    assert before is not None
    assert after is not None
    assert after.busy_ratio == pytest.approx(2 * before.busy_ratio)
    [change] = found.changes
    assert (change.cell_id, change.figure) == (MEASURED, "measurement.busy_ratio")
    assert (change.old, change.new) == (before.busy_ratio, after.busy_ratio)
    assert found.changed_cells_count == 1


def test_changed_histograms_and_samples_are_seen(new_run: Run) -> None:
    """They are no part of the record."""
    path = new_run.path / "raw" / MEASURED / "load.loadgen.json"
    load = json.loads(path.read_text())
    path.write_text(json.dumps(load | {"samples": load["samples"][:-1]}))
    process = load["wrk"][0]["report"]["histogram"]
    process["values"][0] += 1
    path.write_text(json.dumps(load | {"samples": load["samples"][:-1]}))

    assert {"histograms", "samples"} <= {change.figure for change in reparse(new_run).changes}


def test_damaged_raw_of_one_cell_keeps_its_record_and_the_others(new_run: Run) -> None:
    """The file is named; what was stored of the cell stays."""
    before = everything(new_run)
    path = new_run.path / "raw" / MEASURED / "load.loadgen.json"
    path.write_bytes(path.read_bytes()[:5000])
    found = reparse(new_run)

    assert found.changes == ()
    assert found.lost == ()
    assert list(found.problems) == [MEASURED]
    assert str(path) in found.problems[MEASURED]
    assert everything(new_run) == before


@pytest.mark.parametrize("name", ["server.json", "clocks.json", "load.loadgen.json"])
def test_damaged_raw_of_an_old_cell_is_a_failure_and_the_old_store_is_kept(old_runs: Path, name: str) -> None:
    """Its record has another shape, so nothing else can be said of it here; the other cell is read."""
    (old_runs / RETRIED / "raw" / ENDED / name).write_text("{")
    found = read_again(old_runs, RETRIED)

    assert found.lost == (ENDED,)
    with Run.open(old_runs, RETRIED) as run:
        measured, lost = run.cells()
        assert measured.state == "measured"
        assert lost.failure is not None
        assert lost.failure.phase == Phase.PULL
        assert name in lost.failure.text
    shutil.copy(old_runs / RETRIED / "store.sqlite.before", old_runs / RETRIED / "store.sqlite")
    assert plain_records(old_runs, RETRIED)[ENDED]["state"] == "measured"


@pytest.mark.parametrize("where", ["between cells", "before the new store is in place"])
def test_a_kill_leaves_the_old_store(old_runs: Path, where: str) -> None:
    """And nothing in the way of the next try."""
    for run_id in (FAILED, TWO_GENERATORS):
        shutil.rmtree(old_runs / run_id)
    before = plain_records(old_runs, RETRIED)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(old_runs), where],
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR)},
    )

    assert ended.returncode == -signal.SIGKILL
    assert plain_records(old_runs, RETRIED) == before
    assert read_again(old_runs, RETRIED).changes == ()
    assert sorted(path.name for path in (old_runs / RETRIED).iterdir() if path.is_file()) == [
        "environment.json",
        "plan.json",
        "store.sqlite",
    ]


def test_a_run_under_way_is_not_read_again(new_run: Run, tmp_path: Path) -> None:
    """Its writer would go on with the store that is replaced."""
    with pytest.raises(StoreError, match="is being written by another process"):
        read_again(tmp_path, RUN_ID)
    assert len(new_run.cells()) == 2


def test_a_reader_of_the_old_store_is_not_disturbed(new_run: Run, tmp_path: Path) -> None:
    """It goes on reading what it had opened."""
    with Run.open(tmp_path, RUN_ID) as reader:
        reparse(new_run)
        found: list[CellRecord] = reader.cells()
        assert len(found) == 2
        assert Histogram.from_bytes(reader.histograms(MEASURED)["observed"]).count > 0
