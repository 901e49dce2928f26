"""Windows at half rate: at which rate, for which variants, in which order, and where they go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.bench import half_rate
from wrklab.bench.cells import Bench
from wrklab.bench.half_rate import LEFT_OUT_PHASE, HalfRateWindows
from wrklab.bench.plan import Cell, cells_of_plan
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.progress import BenchProgress
from wrklab.results.records import CellRecord, RunPlan
from wrklab.results.run_folder import Run
from wrklab.summary.rows import summarise

VARIANTS = ("go_net_http", "openresty_lua", "flask_dev_sync")
#: By variant, the rates of its rounds; above 50,000/s no round is sound.
RATES = {"go_net_http": (20_000.0, 18_600.0, 90_000.0), "openresty_lua": (90_000.0,) * 3, "flask_dev_sync": (31.0,) * 3}
_UNSOUND_FROM = 50_000.0


def is_sound(_: RunPlan, record: CellRecord) -> bool:
    """Whether a round's rate is one of those that a server here can have."""
    return record.measurement is not None and record.measurement.requests_per_s < _UNSOUND_FROM


def closed_loops() -> list[CellRecord]:
    """Three rounds of three variants, each round in another order."""
    found: list[CellRecord] = []
    for number in (1, 2, 3):
        for variant in (*VARIANTS[number:], *VARIANTS[:number]):
            measured = handmade_measurement(requests_per_s=RATES[variant][number - 1])
            found.append(
                handmade_cell(variant, round_number=number, measurement=measured, position=len(found), hold_ms=0)
            )
    return found


class Rehearsal:
    """A run whose closed loops have ended, and whose windows are measured at once."""

    def __init__(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run = run
        self.measured: list[Cell] = []
        monkeypatch.setattr(half_rate, "measure_cell", self._measure)

    def _measure(self, bench: Bench, cell: Cell, position: int, _: BenchProgress) -> CellRecord:
        assert cell.scenario.name in bench.shares
        assert self.run.plan.cells[position].cell_id == cell.cell_id
        self.measured.append(cell)
        record = handmade_cell(cell.variant.name, cell.scenario.name, hold_ms=0, position=position)
        self.run.add_cell(record, {})
        return record

    def windows(self) -> HalfRateWindows:
        """What the run lacks now."""
        return HalfRateWindows(
            self.run,
            cells_of_plan(read_catalogue(), self.run.plan),
            {},
            lambda scenario: {scenario.name: {}},
            is_sound,
        )

    def go(self, until: Callable[[Sequence[Cell]], bool] = lambda _: False) -> None:
        """Measures the windows until somebody interrupts."""
        windows = self.windows()
        bench = Bench(None, None, self.run, (), windows.shares, lambda *_: "")  # type: ignore[arg-type]
        with BenchProgress(Console(quiet=True), len(windows.planned_s), sum(windows.planned_s)) as progress:
            for _ in windows.measure(bench, progress):
                if until(self.measured):
                    return


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    """A run of three variants whose scenario asks for windows at half rate."""
    plan = handmade_plan(closed_loops(), scenarios=[handmade_scenario(half_rate_window=True)])
    with Run.create(tmp_path, plan, handmade_environment()) as run:
        for cell in closed_loops():
            run.add_cell(cell, {})
        yield Rehearsal(run, monkeypatch)


def test_each_variant_has_a_window_at_half_of_its_sound_rounds(rehearsal: Rehearsal) -> None:
    """The median of the sound ones alone; in the order of the last round, after all closed loops."""
    rehearsal.go()

    assert [(cell.cell_id, cell.scenario.rate_per_s) for cell in rehearsal.measured] == [
        ("standard@9650.go_net_http.1", 9650.0),
        ("standard@15_5.flask_dev_sync.1", 15.5),
    ]
    assert [cell.half_rate_of for cell in rehearsal.run.plan.cells] == [None] * 9 + ["standard"] * 2
    assert [cell.hold_ms for cell in rehearsal.run.plan.cells] == [0] * 11


def test_a_variant_without_a_sound_round_has_none_and_the_journal_says_why(rehearsal: Rehearsal) -> None:
    """Half of a rate that is not believed is nobody's."""
    rehearsal.go()

    assert [entry.text for entry in rehearsal.run.journal_entries() if entry.phase == LEFT_OUT_PHASE] == [
        "openresty_lua: of 3 measured rounds none has a sound rate that could be halved"
    ]


def test_what_was_interrupted_goes_on_at_the_next_window(rehearsal: Rehearsal) -> None:
    """Those that are planned are cells like any other; only the rest is due."""
    assert len(rehearsal.windows().planned_s) == 3
    rehearsal.go(until=lambda measured: len(measured) == 1)

    assert [cell.variant.name for cell in rehearsal.windows().closed_loops] == ["openresty_lua", "flask_dev_sync"]
    rehearsal.go()
    assert [cell.variant.name for cell in rehearsal.measured] == ["go_net_http", "flask_dev_sync"]


def test_a_window_that_was_planned_and_not_measured_is_a_cell_like_any_other(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the controller is killed in it: a resumed run has it among the cells of its plan, at the same rate."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(half_rate, "measure_cell", die)
    with pytest.raises(KeyboardInterrupt):
        rehearsal.go()

    assert rehearsal.windows().cells[-1].cell_id == "standard@9650.go_net_http.1"
    assert len(rehearsal.run.cells()) == 9
    assert [cell.variant.name for cell in rehearsal.windows().closed_loops] == ["openresty_lua", "flask_dev_sync"]


def test_the_time_left_counts_them_before_they_are_planned(rehearsal: Rehearsal) -> None:
    """A start, a warm-up of 1 s and 10 s of window each: 22 take 4 min 35 s at most."""
    assert rehearsal.windows().planned_s == [12.5] * 3


def test_a_window_has_a_row_with_its_closed_loop_and_none_of_its_own(rehearsal: Rehearsal) -> None:
    """Its rate and latencies are metrics of that row."""
    rehearsal.go()
    rows = summarise(rehearsal.run.plan, rehearsal.run.cells(), lambda _: {})

    assert [(row.variant, row.rounds, row.half_rate_per_s) for row in rows] == [
        ("flask_dev_sync", 3, 15.5),
        ("go_net_http", 3, 9650.0),
        ("openresty_lua", 3, None),
    ]
    assert rows[1].half_rate is not None
    assert rows[1].half_rate.is_open_loop


def test_failed_rounds_have_no_rate_to_halve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a variant that is there because it fails."""
    failed = handmade_cell("sanic_fast", failure=handmade_failure())
    plan = handmade_plan([failed], scenarios=[handmade_scenario(half_rate_window=True)])
    with Run.create(tmp_path, plan, handmade_environment()) as run:
        run.add_cell(failed, {})
        found = Rehearsal(run, monkeypatch)
        found.go()

        assert found.measured == []
        assert "of 0 measured rounds none" in run.journal_entries()[-1].text
