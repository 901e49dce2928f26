"""A search without hosts: windows are stored as the real ones are, and say what they are told to."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

import pytest
from rich.console import Console

from tests.unit.handmade_records import handmade_cell, handmade_planned
from wrklab.bench import cells, search_windows
from wrklab.bench.plan import Cell
from wrklab.bench.search_windows import SearchWindows
from wrklab.catalogue.catalogue import Catalogue
from wrklab.hosts.ready import ReadyHosts
from wrklab.progress import BenchProgress
from wrklab.report.terminal import one_line
from wrklab.results.records import CellRecord, Failure, Measurement, PlannedCell
from wrklab.results.run_folder import Run

#: What a window comes to: a measurement, a failure, or what ends the whole search.
Outcome = Measurement | Failure | BaseException
OutcomeOf = Callable[[str, float | None], Outcome]


class _Session:
    """All that is asked of hosts between windows."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def with_scaled_timeouts(self, variant: object) -> object:
        return variant


class _Held:
    noted = ""

    def note_run(self, run_id: str) -> None:
        self.noted = run_id


class _Ready:
    def __init__(self, catalogue: Catalogue) -> None:
        self.session, self.held = _Session(catalogue), _Held()


def rehearse(monkeypatch: pytest.MonkeyPatch, outcome_of: OutcomeOf, ended: list[str]) -> None:
    """From now on a window of a variant at a rate (None: closed loop) comes to this; how a run ended is added."""

    def measure(bench: Any, cell: Cell, position: int, progress: BenchProgress) -> CellRecord:  # noqa: ANN401  a Bench
        progress.begin(cell.cell_id)
        outcome = outcome_of(cell.variant.name, cell.scenario.rate_per_s)
        if isinstance(outcome, BaseException):
            raise outcome
        failure: dict[str, Failure] = {"failure": outcome} if isinstance(outcome, Failure) else {}
        record = handmade_cell(
            cell.variant.name,
            cell.scenario.name,
            cell.round_number,
            measurement=None if isinstance(outcome, Failure) else outcome,
            **failure,
        ).model_copy(update={"position": position, "cell_id": cell.cell_id})
        bench.run.add_cell(record, {})
        progress.end("measured", cell.planned_s, 15.0)
        return record

    def planned(_session: object, cell: Cell, _probed: int | None) -> PlannedCell:
        name, scenario, number = cell.variant.name, cell.scenario.name, cell.round_number
        return handmade_planned(handmade_cell(name, scenario, number)).model_copy(update={"cell_id": cell.cell_id})

    class NoLimits(dict[str, int | None]):
        def __missing__(self, name: str) -> None:
            return None

    monkeypatch.setattr(search_windows, "measure_cell", measure)
    monkeypatch.setattr(search_windows, "planned_cell", planned)
    monkeypatch.setattr(search_windows, "probed_limits", lambda *_: NoLimits())
    monkeypatch.setattr(search_windows, "share_loads", lambda _, scenarios: ({one.name: {} for one in scenarios}, []))
    monkeypatch.setattr(cells, "end_run", lambda _bench, state, problem: ended.append(f"{state} {problem}"))


def ready(catalogue: Catalogue) -> ReadyHosts:
    """Hosts that do nothing."""
    return cast("ReadyHosts", _Ready(catalogue))


def windows_of(run: Run, catalogue: Catalogue) -> SearchWindows:
    """The windows of a run on such hosts."""
    return SearchWindows(ready(catalogue), run, one_line)


def console() -> Console:
    """One that keeps what it was given."""
    return Console(file=io.StringIO(), width=200)
