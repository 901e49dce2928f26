"""The folder and the store of a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.unit.handmade_records import (
    RUN_ID,
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_generator,
    handmade_measurement,
    handmade_plan,
)
from wrklab.errors import StoreError, UnknownNameError
from wrklab.paths import PROJECT_DIR
from wrklab.protocol.blanking import blank_from_now_on, forget_secrets
from wrklab.results import run_folder
from wrklab.results.records import StoredSample
from wrklab.results.run_folder import Run, check_room, list_runs, new_run_id, resolve_run_id, run_ids, write_file
from wrklab.results.store import SCHEMA_VERSION, Store

#: Writes cells without end: prints each cell's id once it is committed.
WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tests.unit.handmade_records import handmade_cell
    from wrklab.results.run_folder import Run
    from wrklab.results.records import StoredSample

    run = Run.open(Path(sys.argv[1]))
    for number in range(1, 100_000):
        cell = handmade_cell(round_number=number)
        samples = [StoredSample("server", "cpu_percent", "percent", float(i), 1.5) for i in range(500)]
        run.add_cell(cell, {"observed": bytes(20_000), "wrk": bytes(20_000)}, samples)
        print(cell.cell_id, flush=True)
""")


def new_run(results_dir: Path, rounds: int = 3) -> Run:
    cells = [handmade_cell(round_number=number) for number in range(1, rounds + 1)]
    return Run.create(results_dir, handmade_plan(cells), handmade_environment())


def start_writer(results_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(results_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR)},
    )


def next_line(writer: subprocess.Popen[str]) -> str:
    assert writer.stdout is not None
    return writer.stdout.readline().strip()


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    """Plan, environment, record, histograms, samples and journal are read back as they were given."""
    cell = handmade_cell()
    samples = [
        StoredSample("server", "cpu_percent", "percent", 1001.5, 97.25),
        StoredSample("loadgen", "cpu_percent", "percent", 1001.0, 45.0),
    ]
    with new_run(tmp_path) as run:
        run.add_cell(cell, {"observed": b"\x00\x01", "wrk": b"\x02"}, samples)
        run.journal("window", "began", cell.cell_id, at_s=1000.0)
        run.journal("end", "the run ended", at_s=1010.0)

    with Run.open(tmp_path, RUN_ID) as again:
        assert again.plan == handmade_plan([handmade_cell(round_number=n) for n in (1, 2, 3)])
        assert again.environment == handmade_environment()
        assert again.cells() == [cell]
        assert again.histograms(cell.cell_id) == {"observed": b"\x00\x01", "wrk": b"\x02"}
        assert again.samples(cell.cell_id) == [samples[1], samples[0]]
        assert [tuple(entry) for entry in again.journal_entries()] == [
            (1000.0, cell.cell_id, "window", "began"),
            (1010.0, None, "end", "the run ended"),
        ]


def test_cells_come_in_the_order_of_the_plan(tmp_path: Path) -> None:
    """A cell that was measured later but planned earlier comes first."""
    with new_run(tmp_path) as run:
        run.add_cell(handmade_cell(round_number=3), {})
        run.add_cell(handmade_cell(round_number=1), {})

        assert [cell.round_number for cell in run.cells()] == [1, 3]


def test_a_cell_is_stored_once(tmp_path: Path) -> None:
    """A second record of the same cell is refused, and the first one with its samples stays."""
    sample = StoredSample("server", "cpu_percent", "percent", 1.0, 2.0)
    with new_run(tmp_path) as run:
        run.add_cell(handmade_cell(), {"wrk": b"1"}, [sample])

        with pytest.raises(StoreError, match="a cell is stored once"):
            run.add_cell(handmade_cell(startup_s=9.0), {"wrk": b"2"}, [sample])

        assert [cell.startup_s for cell in run.cells()] == [0.8]
        assert run.samples(handmade_cell().cell_id) == [sample]


def test_a_cell_that_cannot_be_stored_whole_is_not_stored_at_all(tmp_path: Path) -> None:
    """When its samples are refused, neither record nor histogram of the cell remains."""
    not_a_number = StoredSample("server", "cpu_percent", "percent", float("nan"), 1.0)
    with new_run(tmp_path) as run:
        with pytest.raises(StoreError, match="NOT NULL"):
            run.add_cell(handmade_cell(), {"wrk": b"1"}, [not_a_number])

        assert run.cells() == []
        assert run.histograms(handmade_cell().cell_id) == {}


def test_fields_of_older_stores_are_read_by_their_former_names() -> None:
    """And written by the names of today."""
    generator = handmade_generator(connections_stalled=3, paused_s=1.5)
    server = handmade_measurement(server={"saturated_processes_count": 2}).server
    for record, former in (
        (generator, {"connections_stalled": "connections_silent", "paused_s": "held_up_s"}),
        (server, {"saturated_processes_count": "full_processes_count"}),
    ):
        stored = json.loads(record.model_dump_json())
        older = {former.get(name, name): value for name, value in stored.items()}
        assert former.keys() <= stored.keys()
        assert type(record).model_validate_json(json.dumps(older)) == record
        assert type(record).model_validate_json(json.dumps(stored)) == record


def test_what_is_no_number_never_becomes_a_record() -> None:
    """A rate that is nan is refused when the record is built."""
    with pytest.raises(ValidationError, match="finite number"):
        handmade_measurement(requests_per_s=float("nan"))


def test_a_writer_killed_in_the_midst_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """After kill -9 the store opens, is whole, and holds every cell that the writer had reported."""
    new_run(tmp_path).store.close()
    writer = start_writer(tmp_path)
    committed = [next_line(writer) for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    assert writer.stdout is not None
    committed += writer.stdout.read().split()
    writer.stdout.close()
    writer.wait()

    with Run.open(tmp_path) as run:
        found = [cell.cell_id for cell in run.cells()]
        assert set(committed) <= set(found)
        assert all(len(run.samples(cell_id)) == 500 for cell_id in found)
        assert all(len(run.histograms(cell_id)["observed"]) == 20_000 for cell_id in found)
        run.add_cell(handmade_cell(variant="after"), {})
    check = sqlite3.connect(tmp_path / RUN_ID / "store.sqlite")
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def test_a_reader_reads_while_a_writer_writes(tmp_path: Path) -> None:
    """Another process sees each committed cell whole, and neither waits for the other to end."""
    new_run(tmp_path).store.close()
    writer = start_writer(tmp_path)
    try:
        seen = 0
        with Run.open(tmp_path) as reader:
            for _ in range(10):
                cell_id = next_line(writer)
                found = [cell.cell_id for cell in reader.cells()]
                assert cell_id in found
                assert len(reader.samples(found[-1])) == 500
                assert len(found) >= seen
                seen = len(found)
        assert seen >= 10
        assert writer.poll() is None
    finally:
        writer.kill()
        assert writer.stdout is not None
        writer.stdout.close()
        writer.wait()


def test_a_store_of_a_newer_wrklab_is_refused(tmp_path: Path) -> None:
    """The error names the file, both formats and the next step."""
    new_run(tmp_path).store.close()
    connection = sqlite3.connect(tmp_path / RUN_ID / "store.sqlite")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()

    with pytest.raises(StoreError, match=rf"format {SCHEMA_VERSION + 1}.*reads up to {SCHEMA_VERSION}: read it with"):
        Run.open(tmp_path, RUN_ID)


@pytest.mark.parametrize(
    "content", [b"", b"not a database, but long enough for a header " * 50, b"SQLite format 3\x00"]
)
def test_a_damaged_store_is_refused_with_the_next_step(tmp_path: Path, content: bytes) -> None:
    """An empty, foreign or cut file gives a StoreError that names it and says what to do."""
    new_run(tmp_path).store.close()
    (tmp_path / RUN_ID / "store.sqlite").write_bytes(content)

    with pytest.raises(StoreError, match=r"store\.sqlite cannot be (read|opened): .*put back a copy or remove the run"):
        Run.open(tmp_path, RUN_ID)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A SQLite file with a table `cell` that wrklab did not write is told apart."""
    new_run(tmp_path).store.close()
    path = tmp_path / RUN_ID / "store.sqlite"
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cell (name)")
    connection.close()

    with pytest.raises(StoreError, match="was not written by wrklab"):
        Run.open(tmp_path, RUN_ID)


def test_a_record_of_another_shape_names_cell_and_key(tmp_path: Path) -> None:
    """A stored record that lacks a key gives a StoreError with cell, key and next step."""
    with new_run(tmp_path) as run:
        run.add_cell(handmade_cell(), {})
        connection = sqlite3.connect(run.store.path)
        connection.execute("UPDATE cell SET record = json_remove(record, '$.hold_ms')")
        connection.commit()
        connection.close()

        with pytest.raises(StoreError, match=r"cell standard\.flask_gunicorn_gevent\.1: hold_ms: .*the checkout that"):
            run.cells()


def test_a_run_is_never_written_over(tmp_path: Path) -> None:
    """A second run of the same name is refused."""
    new_run(tmp_path).store.close()

    with pytest.raises(StoreError, match="never written over"):
        new_run(tmp_path)


def test_a_run_has_its_name_only_once_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each file of a new run is written, `latest` is still the run before it."""
    Run.create(tmp_path, handmade_plan([handmade_cell()]), handmade_environment()).store.close()
    newest: list[str] = []

    def look() -> None:
        with Run.open(tmp_path) as run:
            newest.append(run.plan.run_id)

    def write_and_look(path: Path, text: str) -> None:
        look()
        write_file(path, text)

    def create_and_look(path: Path, meta: dict[str, str]) -> Store:
        look()
        return create(path, meta)

    create = Store.create
    monkeypatch.setattr(run_folder, "write_file", write_and_look)
    monkeypatch.setattr(Store, "create", create_and_look)
    new = handmade_plan([handmade_cell()], run_id="20261122T000000Z_0000")
    with Run.create(tmp_path, new, handmade_environment()) as run:
        look()
        run.add_cell(handmade_cell(), {})

    assert newest == [RUN_ID] * 3 + ["20261122T000000Z_0000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [RUN_ID, "20261122T000000Z_0000"]


def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full at the store, no folder remains under any name."""

    def refuse(path: Path, meta: dict[str, str]) -> Store:
        raise StoreError(f"{path} cannot be written: no space left on device")

    monkeypatch.setattr(Store, "create", refuse)

    with pytest.raises(StoreError, match="no space"):
        new_run(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_run_lists_the_runs(tmp_path: Path) -> None:
    """The error names what was asked for, suggests the nearest and lists the known."""
    new_run(tmp_path).store.close()

    with pytest.raises(UnknownNameError, match=rf"unknown run '20261121T003012Z_ab13'. Did you mean {RUN_ID}\?"):
        Run.open(tmp_path, "20261121T003012Z_ab13")


def test_latest_without_any_run_says_that_there_is_none(tmp_path: Path) -> None:
    """A results folder that is empty or missing is an error for `latest`, not a crash."""
    with pytest.raises(UnknownNameError, match="Known: none"):
        Run.open(tmp_path / "results")


def test_latest_is_the_newest(tmp_path: Path) -> None:
    """Names sort by time, so the last one is the newest run."""
    for run_id in ("20261122T000000Z_0000", RUN_ID):
        Run.create(tmp_path, handmade_plan([handmade_cell()], run_id=run_id), handmade_environment()).store.close()
    (tmp_path / "notes").mkdir()

    assert run_ids(tmp_path) == [RUN_ID, "20261122T000000Z_0000"]
    with Run.open(tmp_path) as run:
        assert run.plan.run_id == "20261122T000000Z_0000"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("latest", "c"),
        ("latest~0", "c"),
        ("latest~2", "a"),
        ("latest~3", "latest~3"),
        ("b", "b"),
        ("latest~", "latest~"),
    ],
)
def test_latest_counts_back(word: str, expected: str) -> None:
    """`latest~1` is the run before the newest; beyond the oldest, and of any other word, nothing is made."""
    assert resolve_run_id(["a", "b", "c"], word) == expected


def test_a_run_id_is_the_utc_time_and_four_hex_digits() -> None:
    """Epoch 1795221012 is 2026-11-21 00:30:12 UTC."""
    assert new_run_id(1_795_221_012.0).startswith("20261121T003012Z_")
    assert len(new_run_id()) == len(RUN_ID)


def test_a_list_of_runs_counts_cells_and_shows_what_is_broken(tmp_path: Path) -> None:
    """A finished run has its counts; a folder whose store is missing is listed with its problem."""
    with new_run(tmp_path) as run:
        run.add_cell(handmade_cell(round_number=1), {})
        run.add_cell(handmade_cell(round_number=2, failure=handmade_failure()), {})
        run.end("finished")
    (tmp_path / "20261123T000000Z_0000").mkdir()

    good, broken = list_runs(tmp_path)

    assert (good.planned_count, good.measured_count, good.failed_count, good.state) == (3, 1, 1, "finished")
    assert good.problem == ""
    assert "plan.json cannot be read" in broken.problem


def test_a_raw_folder_is_inside_the_run(tmp_path: Path) -> None:
    """It is made on demand below raw/, and a name that leads elsewhere is refused."""
    with new_run(tmp_path) as run:
        assert run.raw_dir("standard.go_net_http.1") == tmp_path / RUN_ID / "raw" / "standard.go_net_http.1"
        assert run.raw_dir("standard.go_net_http.1").is_dir()
        with pytest.raises(StoreError, match="cannot be a cell's folder"):
            run.raw_dir("../../elsewhere")


def test_a_run_that_was_removed_meanwhile_is_not_half_made_again(tmp_path: Path) -> None:
    """Neither raw files nor cells of it appear anywhere: an error says that it is gone."""
    with new_run(tmp_path) as run:
        shutil.rmtree(run.path)
        with pytest.raises(StoreError, match="the run gone"):
            run.raw_dir(handmade_cell().cell_id)
        with pytest.raises(StoreError):
            run.add_cell(handmade_cell(), {})

        assert not run.path.exists()


def test_a_run_that_cannot_fit_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is free and what is needed."""
    check_room(tmp_path / "new", 1)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=20 * 1024 * 1024))
    check_room(tmp_path, 12)
    with pytest.raises(StoreError, match=r"20 MiB are free, 66 cells need about 74"):
        check_room(tmp_path, 66)


def test_a_results_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file lies in its place."""
    (tmp_path / "results").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        check_room(tmp_path / "results", 1)


def test_attachments_are_there_from_the_beginning(tmp_path: Path) -> None:
    """Files that only their writer understands come back as text; one that was not given is not there."""
    plan = handmade_plan([handmade_cell()])
    with Run.create(tmp_path, plan, handmade_environment(), {"mine.json": '{"ä": 1}'}):
        pass
    with Run.open(tmp_path, plan.run_id) as run:
        assert run.attachment("mine.json") == '{"ä": 1}'
        assert run.attachment("yours.json") is None


def test_an_attachment_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """It is named, with what to do."""
    plan = handmade_plan([handmade_cell()])
    with Run.create(tmp_path, plan, handmade_environment(), {"mine.json": "{}"}) as run:
        (run.path / "mine.json").write_bytes(b"\xff\xfe")
        with pytest.raises(StoreError, match=r"mine\.json cannot be read: .*; restore it, or remove it"):
            run.attachment("mine.json")


def test_a_secret_whose_value_is_known_is_in_no_file_of_a_run(tmp_path: Path) -> None:
    """Whoever wrote the text: plan, attachments, records, journal; nothing of it is in SQLite's file either."""
    secret = "hunter2hunter2"
    blank_from_now_on([secret])
    try:
        failure = handmade_failure(text=f"the answer was {secret}")
        record = handmade_cell().model_copy(update={"state": "failed", "measurement": None, "failure": failure})
        with Run.create(tmp_path, handmade_plan([record]), handmade_environment(), {"lock.txt": f"x {secret}"}) as run:
            run.add_cell(record, {})
            run.journal("note", f"saw {secret}")
            write_file(run.path / "report.md", f"# {secret}")
            assert [cell.failure.text for cell in run.cells() if cell.failure] == ["the answer was (blanked)"]
    finally:
        forget_secrets()

    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) > 4
    assert [path.name for path in found if secret.encode() in path.read_bytes()] == []
