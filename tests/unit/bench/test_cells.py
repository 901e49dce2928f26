"""The cells of a run, one after another: retried once, stored as they end, and what ends a run early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from tests.unit.handmade_messages import handmade_cleaned_host
from tests.unit.handmade_raw import HOSTS, captured_load, captured_server, handmade_raw
from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_measurement,
    handmade_plan,
)
from wrklab.bench import cells
from wrklab.bench.cells import ROOM_MIN_BYTES, Bench, BenchResult, FurtherCells, revive, run_cells
from wrklab.bench.plan import cells_of_plan
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import HostError, StoreError
from wrklab.extract.cell import CellOutcome
from wrklab.hosts import node_calls
from wrklab.hosts.host_lock import HeldHosts
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.progress import BenchProgress
from wrklab.protocol.server import CleanedHost
from wrklab.report.terminal import one_line
from wrklab.results.raw import CellRaw, read_raw
from wrklab.results.records import CellRecord, Failure
from wrklab.results.run_folder import Run

ROUNDS = 3


class QuietSession:
    """Hosts on which nothing needs to be done; how often they were cleaned up."""

    hosts = HOSTS
    cleaned = 0

    def clean_up(self) -> None:
        self.cleaned += 1


class QuietLocks(HeldHosts):
    """Locks that another controller takes when told so."""

    def __init__(self) -> None:
        super().__init__([])
        self.taken = False

    def check(self) -> None:
        if self.taken:
            raise HostError("server: lost to another controller: you")

    @property
    def are_ours(self) -> bool:
        return not self.taken


class Rehearsal:
    """A run whose attempts end as they are told: None measures, a Failure fails, an exception is raised."""

    def __init__(self, results_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        planned = [handmade_cell("go_net_http", round_number=number) for number in range(1, ROUNDS + 1)]
        self.run = Run.create(results_dir, handmade_plan(planned), handmade_environment())
        self.session, self.locks = QuietSession(), QuietLocks()
        self.endings: list[Failure | BaseException | None] = []
        self.attempts: list[str] = []
        self.revived: list[str] = []
        self.on_revive: Callable[[], tuple[str, ...]] = lambda: ()
        monkeypatch.setattr(cells, "run_cell", self._attempt)
        monkeypatch.setattr(cells, "cell_outcome", self._outcome)
        monkeypatch.setattr(cells, "revive", lambda _: self.on_revive())

    def _attempt(self, _session: object, cell: object, *_: object) -> CellRaw:
        self.attempts.append(cast("CellRecord", cell).cell_id)
        ending = self.endings.pop(0) if self.endings else None
        if isinstance(ending, BaseException):
            raise ending
        # What ends it stands in the cell's name on the host: a text that comes back from the raw.
        load = captured_load(cell="" if ending is None else ending.text)
        return handmade_raw(load, server=captured_server())

    def _outcome(self, raw: CellRaw, planned: CellRecord, position: int) -> CellOutcome:
        text = raw.loads["loadgen"].cell
        changes: dict[str, Any] = {}
        if text:
            changes["failure"] = handmade_failure(text=text, expected=text == "expected")
        record = handmade_cell(
            "go_net_http",
            round_number=planned.round_number,
            measurement=None if text else handmade_measurement(),
            position=position,
            **changes,
        )
        return CellOutcome(record, {}, [])

    def go(self, *endings: Failure | BaseException | None, further: FurtherCells | None = None) -> BenchResult:
        self.endings = list(endings)
        planned = cells_of_plan(read_catalogue(), self.run.plan)
        bench = Bench(cast("Session", self.session), self.locks, self.run, planned, {"standard": {}}, one_line)
        return run_cells(bench, Console(quiet=True), further)

    def journal(self, phase: str) -> list[str]:
        return [entry.text for entry in self.run.journal_entries() if entry.phase == phase]


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    """A new run of three cells."""
    found = Rehearsal(tmp_path, monkeypatch)
    with found.run:
        yield found


def test_a_failed_cell_is_tried_once_more(rehearsal: Rehearsal) -> None:
    """The second attempt counts; the first one's failure stays in the record, its files in attempt_1, the journal."""
    result = rehearsal.go(handmade_failure(text="port taken"))

    first = rehearsal.run.cells()[0]
    assert result.is_finished
    assert result.failed_cells == ()
    assert (first.state, first.attempts) == ("measured", 2)
    assert first.first_failure is not None
    assert first.first_failure.text == "port taken"
    raw = rehearsal.run.path / "raw" / first.cell_id
    assert "port taken" in (raw / "attempt_1" / "load.loadgen.json").read_text()
    assert "port taken" not in (raw / "load.loadgen.json").read_text()
    assert sorted(path.name for path in raw.glob("*.json")) == [
        "cell.json",
        "clocks.json",
        "load.loadgen.json",
        "server.json",
    ]
    assert rehearsal.journal("attempt_failed") == ["ready: port taken"]
    assert [cell.attempts for cell in rehearsal.run.cells()] == [2, 1, 1]


def test_a_host_that_rebooted_is_told_with_the_attempt(rehearsal: Rehearsal) -> None:
    """In the journal and in the attempt's raw, from which its failure is read again."""
    rehearsal.on_revive = lambda: ("server",)
    rehearsal.go(handmade_failure(text="it ended"))

    first = rehearsal.run.cells()[0]
    assert rehearsal.journal("rebooted") == ["server"]
    assert read_raw(rehearsal.run.raw_dir(first.cell_id) / "attempt_1").conditions.rebooted == ("server",)
    assert read_raw(rehearsal.run.raw_dir(first.cell_id)).conditions.rebooted == ()


def test_a_cell_that_fails_twice_has_failed_and_the_run_goes_on(rehearsal: Rehearsal) -> None:
    """Not a third time."""
    result = rehearsal.go(handmade_failure(text="one"), handmade_failure(text="two"))

    assert result.is_finished
    assert result.failed_cells == ("standard.go_net_http.1",)
    assert [cell.state for cell in rehearsal.run.cells()] == ["failed", "measured", "measured"]
    assert len(rehearsal.attempts) == ROUNDS + 1


def test_an_expected_failure_is_not_tried_again(rehearsal: Rehearsal) -> None:
    """It is the finding."""
    result = rehearsal.go(handmade_failure(text="expected"))

    assert result.failed_cells == ()
    assert len(rehearsal.attempts) == ROUNDS


def test_a_host_that_is_gone_ends_the_run_and_its_cell_is_measured_on_resuming(rehearsal: Rehearsal) -> None:
    """The cell is not recorded as failed; going on measures it and what comes after, once each."""

    def gone() -> tuple[str, ...]:
        raise HostError("loadgen: gone")

    rehearsal.on_revive = gone
    result = rehearsal.go(None, handmade_failure(text="no answer"))

    assert result.problem == "loadgen: gone"
    assert not result.is_interrupted
    assert [cell.round_number for cell in rehearsal.run.cells()] == [1]
    assert rehearsal.run.info().state == "interrupted"
    assert rehearsal.session.cleaned == 1

    rehearsal.attempts.clear()
    assert rehearsal.go().is_finished
    assert rehearsal.attempts == ["standard.go_net_http.2", "standard.go_net_http.3"]
    assert rehearsal.run.info().state == "finished"


class OneMore:
    """A cell that is planned when the others have ended."""

    planned_s = (3.0,)

    def __init__(self, failure: Failure | None = None) -> None:
        self._failure = failure
        self.found_before: list[str] = []

    def measure(self, bench: Bench, _: BenchProgress) -> Iterator[CellRecord]:
        self.found_before = [cell.cell_id for cell in bench.run.cells()]
        if self._failure is None:
            raise KeyboardInterrupt
        yield handmade_cell("go_net_http", "standard@500", failure=self._failure)


def test_further_cells_come_after_those_of_the_plan(rehearsal: Rehearsal) -> None:
    """They see all that was measured, and one that fails makes the bench fail."""
    more = OneMore(handmade_failure())
    result = rehearsal.go(further=more)

    assert len(more.found_before) == ROUNDS
    assert result.failed_cells == ("standard@500.go_net_http.1",)
    assert rehearsal.run.info().state == "finished"


def test_an_interrupt_in_further_cells_leaves_a_run_to_resume(rehearsal: Rehearsal) -> None:
    """All cells of the plan are there, and the run is not finished."""
    result = rehearsal.go(further=OneMore())

    assert result.is_interrupted
    assert len(rehearsal.run.cells()) == ROUNDS
    assert rehearsal.run.info().state == "interrupted"


def test_an_interrupt_keeps_what_was_measured(rehearsal: Rehearsal) -> None:
    """The hosts are cleaned up, the journal says why."""
    result = rehearsal.go(None, KeyboardInterrupt())

    assert result.is_interrupted
    assert [cell.round_number for cell in rehearsal.run.cells()] == [1]
    assert rehearsal.session.cleaned == 1
    assert rehearsal.journal("interrupted") == ["by the user"]


def test_a_full_disk_ends_the_run_readable(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell that could not be stored is not there, those before it are."""
    original = Run.add_cell

    def full_after_one(run: Run, record: CellRecord, *words: Any) -> None:  # noqa: ANN401  as Run.add_cell takes
        if run.cells():
            raise StoreError("store.sqlite cannot be written: database or disk is full")
        original(run, record, *words)

    monkeypatch.setattr(Run, "add_cell", full_after_one)
    result = rehearsal.go()

    assert "disk is full" in result.problem
    assert len(rehearsal.run.cells()) == 1
    assert rehearsal.session.cleaned == 1


def test_hosts_that_another_controller_took_are_left_alone(rehearsal: Rehearsal) -> None:
    """What was measured meanwhile may be disturbed: it is not stored. And what the other runs there is not ended."""

    def lose() -> tuple[str, ...]:
        rehearsal.locks.taken = True
        return ()

    rehearsal.on_revive = lose
    result = rehearsal.go(handmade_failure(text="somebody stopped the server"))

    assert "lost to another controller" in result.problem
    assert rehearsal.run.cells() == []
    assert rehearsal.session.cleaned == 0


ROOMY = {folder: 10 * needed for folder, needed in ROOM_MIN_BYTES.items()}


class OneHost:
    """A session of one host whose connection opens or not."""

    name = "server"
    timeout_scale = 1.0
    boot_id = ""

    def __init__(self, fails_count: int = 0) -> None:
        self.fails_count = fails_count

    def open(self) -> None:
        if self.fails_count:
            self.fails_count -= 1
            raise HostError("server: not reachable")

    def on_all(self, work: Callable[[RemoteHost], bool]) -> dict[str, bool]:
        return {self.name: work(cast("RemoteHost", self))}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_LOOK_AGAIN_S", 0.01)


def cleaned(monkeypatch: pytest.MonkeyPatch, free_bytes: dict[str, int], boot_id: str = "") -> None:
    found = handmade_cleaned_host(free_bytes=free_bytes, boot_id=boot_id)
    monkeypatch.setattr(node_calls, "clean_up", lambda _: found)


def test_a_host_that_comes_back_in_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was away for some looks; now it is clean and has room."""
    cleaned(monkeypatch, ROOMY)
    host = OneHost(fails_count=5)
    revive(cast("Session", host), limit_s=5)

    assert host.fails_count == 0


def test_a_host_in_another_boot_than_before_has_rebooted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once; and it is not known of one that was never asked."""
    host = OneHost()
    cleaned(monkeypatch, ROOMY, boot_id="one")
    assert revive(cast("Session", host), limit_s=5) == ()
    assert revive(cast("Session", host), limit_s=5) == ()
    cleaned(monkeypatch, ROOMY, boot_id="two")
    assert revive(cast("Session", host), limit_s=5) == ("server",)
    assert revive(cast("Session", host), limit_s=5) == ()


def test_a_host_that_stays_away_is_told_with_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with why."""
    cleaned(monkeypatch, ROOMY)
    with pytest.raises(HostError, match=r"unusable for 0\.1 s after a failed cell: server: not reachable"):
        revive(cast("Session", OneHost(fails_count=1000)), limit_s=0.1)


def test_a_host_that_cannot_be_cleaned_up_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reachable, but sudo or Python is gone."""

    def refuse(_: RemoteHost) -> CleanedHost:
        raise HostError("server: `sudo -n` ended with 127")

    monkeypatch.setattr(node_calls, "clean_up", refuse)
    with pytest.raises(HostError, match="ended with 127"):
        revive(cast("Session", OneHost()), limit_s=0.1)


@pytest.mark.parametrize("folder", ROOM_MIN_BYTES)
def test_a_host_without_room_is_told_at_once(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Which folder, what is free, what is needed."""
    cleaned(monkeypatch, ROOMY | {folder: 4096})
    with pytest.raises(HostError, match=f"4,096 bytes are free in {folder}"):
        revive(cast("Session", OneHost()), limit_s=60)
