"""Windows of a search: planned one by one, stored, and what ends them early."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.bench.search_rehearsal import Outcome, console, rehearse, windows_of
from tests.unit.handmade_records import (
    handmade_environment,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import HostError
from wrklab.progress import BenchProgress
from wrklab.results.run_folder import Run

AT_300 = handmade_scenario(name="standard@300", rate_per_s=300.0, compares_with=None)
VARIANT = "go_net_http"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run without a cell."""
    with Run.create(tmp_path, handmade_plan([]), handmade_environment()) as found:
        yield found


def test_windows_of_one_rate_are_rounds_of_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is in the plan and in the store; twins count for themselves."""
    ended: list[str] = []
    rehearse(monkeypatch, lambda *_: handmade_measurement(), ended)
    windows = windows_of(run, read_catalogue())

    def work(progress: BenchProgress) -> None:
        for scenario in (handmade_scenario(), AT_300, AT_300):
            windows.measure(VARIANT, scenario, "", progress)
        windows.measure(VARIANT, AT_300, "a", progress)

    result = windows.run(console(), 4, 40.0, work)

    assert result.is_finished
    assert ended == ["finished "]
    assert [cell.cell_id for cell in run.plan.cells] == [
        "standard.go_net_http.1",
        "standard@300.go_net_http.1",
        "standard@300.go_net_http.2",
        "standard@300.go_net_http.1a",
    ]
    assert [cell.cell_id for cell in run.cells()] == [cell.cell_id for cell in run.plan.cells]


@pytest.mark.parametrize(
    ("error", "state", "is_interrupted", "problem"),
    [
        (KeyboardInterrupt(), "interrupted by the user", True, ""),
        (HostError("server: gone"), "interrupted server: gone", False, "server: gone"),
    ],
)
def test_what_ends_a_search_early_is_in_its_result(  # noqa: PLR0913  what a case is made of
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    state: str,
    *,
    is_interrupted: bool,
    problem: str,
) -> None:
    """What was measured before is stored."""
    ended: list[str] = []
    outcomes: Iterator[Outcome] = iter([handmade_measurement(), error])
    rehearse(monkeypatch, lambda *_: next(outcomes), ended)
    windows = windows_of(run, read_catalogue())

    def work(progress: BenchProgress) -> None:
        for _ in range(3):
            windows.measure(VARIANT, AT_300, "", progress)

    result = windows.run(console(), 3, 30.0, work)

    assert (result.is_interrupted, result.problem, result.is_finished) == (is_interrupted, problem, False)
    assert ended == [state]
    assert len(run.cells()) == 1
