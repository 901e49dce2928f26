"""Progress and tables show texts as they are: nothing that a host, a file or a user said is taken for markup."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from tests.unit.handmade_hosts import handmade_host
from tests.unit.handmade_records import handmade_cell, handmade_failure, handmade_plan
from wrklab.cli import doctor, labs, listing
from wrklab.doctor.machine import Finding
from wrklab.progress import BenchProgress, doing
from wrklab.report.terminal import one_line
from wrklab.results.run_folder import RunInfo

ODD = "a [/x] b [Errno 2] [bold] c"


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def console(request: pytest.FixtureRequest) -> Console:
    """A console that keeps what it was given."""
    return Console(file=io.StringIO(), width=200, force_terminal=request.param, color_system=None)


def shown(console: Console, *things: RenderableType) -> str:
    """All that was printed on a console, `things` at last."""
    for thing in things:
        console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_step_shows_its_texts_as_they_are(console: Console) -> None:
    """Title, place and outcome of a step."""
    with doing(console, f"lab {ODD}") as step:
        step.at(f"task {ODD}")
        step.outcome = f"void: {ODD}"

    assert f"lab {ODD}: void: {ODD} (" in shown(console)


def test_a_failed_cell_shows_its_text_as_it_is(console: Console) -> None:
    """A server's own words stand in the line of a cell that failed; what is ours there is still styled."""
    cell = handmade_cell(failure=handmade_failure(text=ODD))
    with BenchProgress(console, 1, 5.0) as progress:
        progress.begin(f"cell {ODD}")
        progress.phase("window")
        progress.end(one_line(handmade_plan([cell]), cell), 5.0, 5.0, is_failed=True)

    assert f"failed {ODD}  left 0 s" in shown(console)


def test_cells_that_a_run_finds_as_it_goes_change_the_time_left() -> None:
    """Of two that were counted one is shorter than it was thought to be, and one is left out."""
    console = Console(file=io.StringIO(), width=200)
    with BenchProgress(console, 3, 30.0) as progress:
        progress.end("first", 10.0, 10.0)
        progress.replan(0, -5.0)
        progress.end("second", 5.0, 5.0)
        progress.replan(-1, -10.0)
        progress.replan(1, 4.0)
        progress.end("third", 4.0, 4.0)

    lines = shown(console).splitlines()
    assert lines == [
        "3 cells, about 30 s",
        "  1/3  first  left 20 s",
        "  2/3  second  left 10 s",
        "  3/3  third  left 0 s",
    ]


def test_what_is_left_may_become_known_better() -> None:
    """A search plans its next window by the last one: the total and the time follow."""
    console = Console(file=io.StringIO(), width=200)
    with BenchProgress(console, 10, 100.0) as progress:
        progress.end("first", 10.0, 10.0)
        progress.expect(4, 40.0)
        progress.end("second", 10.0, 10.0)

    assert "  1/10  first  left 1 min 30 s" in shown(console)
    assert "  2/5  second  left 30 s" in shown(console)


def test_tables_show_texts_as_they_are(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found, why a host cannot be reached, what is wrong with a run, what a card says."""
    monkeypatch.setattr(listing, "results", lambda: console)
    run = RunInfo(run_id="20261121T003012Z_ab12", path=Path("results"), command=f"bench {ODD}", problem=f"run {ODD}")
    monkeypatch.setattr(listing, "list_runs", lambda _: [run])
    host = handmade_host()

    findings = [Finding("disk", "bad", f"found {ODD}", f"remedy {ODD}")]
    listing.show_runs(as_json=False)
    text = shown(
        console,
        doctor._table(findings),
        labs._table([labs.HostStatus(host, f"host {ODD}")]),
        listing._described("suite", {"x": ODD}),
    )

    for word in ("found", "remedy", "bench", "run", "host"):
        assert f"{word} {ODD}" in text
    assert f"x      {ODD}" in text


def test_ended_cells_leave_a_line_each_in_a_pipe_and_none_on_a_terminal(console: Console) -> None:
    """A terminal's live line shows the last one; only a failed cell stays on the screen."""
    with BenchProgress(console, 3, 15.0) as progress:
        for number in range(3):
            progress.begin(f"cell {number}")
            progress.end(f"came of {number}", 5.0, 5.0, is_failed=number == 1)
    kept = [line for line in shown(console).splitlines() if "/3  came of" in line]

    assert len(kept) == (1 if console.is_terminal else 3)
    assert any("2/3  came of 1" in line for line in kept)
