"""What visitors wait, in every report: with the row that it belongs to, with doubts of its own, or absent."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.handmade_records import (
    handmade_environment,
    handmade_half_rate_cell,
    handmade_histogram,
    handmade_open_loop,
    handmade_plan,
    with_half_rates,
)
from tests.unit.report.test_answer import RUNTIMES, rounds_of
from tests.unit.report.test_screen import printed, twenty_two
from wrklab.catalogue.scenario import Scenario
from wrklab.report import terminal
from wrklab.report.answer import compose
from wrklab.report.columns import to_csv
from wrklab.report.contents import Contents, read_contents
from wrklab.report.half_rate import half_rate_lines, missing_windows
from wrklab.report.markdown import to_markdown
from wrklab.report.reports import write_report
from wrklab.report.screen import HALF_RATE_HEADER, short_table
from wrklab.results.records import CellRecord
from wrklab.results.run_folder import Run

GO = "go_net_http"
FLASK = "flask_gunicorn_gevent"
DEV = "flask_dev_sync"
#: 9,900 answers of 101 ms and 600 of 112.5 ms.
QUICK = {101_000: 9_900, 112_500: 600}
#: p99 of 60 answers is a matter of chance.
FEW = {120_000: 59, 900_000: 1}


def written(
    folder: Path,
    rounds: Sequence[CellRecord],
    windows: Sequence[tuple[CellRecord, Scenario]],
    latencies: dict[str, dict[int, int]],
    *,
    is_finished: bool = True,
) -> Run:
    """A run of these rounds and windows; `latencies` are the histograms of windows, by variant."""
    plan = with_half_rates(handmade_plan(list(rounds), runtimes=RUNTIMES), windows)
    run = Run.create(folder, plan, handmade_environment())
    for cell in rounds:
        run.add_cell(cell, {"observed": handmade_histogram({100_000: 20_000})})
    for cell, _ in windows:
        run.add_cell(cell, {"observed": handmade_histogram(latencies.get(cell.variant, QUICK))})
    run.end("finished" if is_finished else "interrupted")
    return run


def three(folder: Path) -> Run:
    """A sound window, one of few answers, and a variant whose rounds are all doubtful."""
    rounds = [
        *rounds_of(GO, 18_700.0, 18_710.0, 18_720.0),
        *rounds_of(FLASK, 3000.0, 3001.0, 3002.0),
        *rounds_of(DEV, 1000.0, 1001.0, 1002.0, connections_open=300),
    ]
    windows = [handmade_half_rate_cell(GO, 9360.0, 9), handmade_half_rate_cell(FLASK, 1500.0, 10)]
    return written(folder, rounds, windows, {FLASK: FEW})


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    with three(tmp_path) as run:
        return read_contents(run)


def test_the_screen_has_a_column_of_what_visitors_wait(contents: Contents) -> None:
    """In the room of the p50 at saturation; a doubtful one has a mark, and an absent one a dash."""
    table = short_table(contents)
    place = table.headers.index(HALF_RATE_HEADER)
    found = {row.cells[0]: row for row in table.rows}

    assert {name: row.cells[place] for name, row in found.items()} == {
        GO: "101.0 / 112.5",
        FLASK: "120.0 / 900.0?",
        DEV: "-",
    }
    assert "p50 ms" not in table.headers
    assert found[GO].sound == {place}
    assert found[FLASK].sound == frozenset()


def test_a_doubtful_window_leaves_its_row_sound(contents: Contents) -> None:
    """Its notes are its own: the row has none of them, and no more rows are doubtful."""
    rows = {entry.row.variant: entry for entry in contents.rows}
    window = rows[FLASK].half_rate

    assert [entry.row.variant for entry in contents.doubtful_rows] == [DEV]
    assert window is not None
    assert window.doubts == {"latency"}
    assert rows[FLASK].doubts == set()
    assert {note.rule for note in rows[FLASK].notes}.isdisjoint(
        note.rule for note in window.notes if note.doubt != "none"
    )


def test_the_answer_says_what_visitors_wait_and_who_has_no_window(contents: Contents) -> None:
    """The shortest and the longest sound p99."""
    sentences = compose(contents).sentences

    assert f"At half of its own rate a server has a p99 of 112.5 ms ({GO}); 1 of 2 windows doubtful." in sentences
    assert f"No window at half rate: {DEV} (report.md says why)." in sentences


def test_report_md_says_why_a_window_is_doubtful_or_absent(contents: Contents) -> None:
    """A table of all windows with the interval of p99, notes in full, and a sentence on each that was left out."""
    text = to_markdown(contents)
    [line] = [cells for window, cells in half_rate_lines(contents) if window.row.variant == FLASK]

    assert "## What visitors wait at half rate" in text
    assert "| p50 / p99 ms at half rate |" in text
    assert line[-1] == "p99 of 60"
    assert "p99 of 60 answers lies between" in text
    assert list(missing_windows(contents)) == [
        f"No window at half rate: {DEV}: no round has a sound rate that could be halved."
    ]
    assert "no round has a sound rate that could be halved" in text


def test_report_csv_has_them_on_the_row_of_the_closed_loop(contents: Contents) -> None:
    """So that a reader and `compare` find them by variant; no row of another scenario comes with them."""
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(to_csv(contents)))}
    names = (
        "scenario",
        "half_rate_per_s",
        "half_rate_p50_us",
        "half_rate_p99_us",
        "half_rate_count",
        "half_rate_doubts",
    )

    assert len(rows) == 3
    assert [rows[GO][name] for name in names] == ["standard", "9360.0", "101000.0", "112500.0", "10500", ""]
    assert rows[FLASK]["half_rate_doubts"] == "latency"
    assert "p99 of 60 answers" in rows[FLASK]["half_rate_note"]
    assert [rows[DEV][name] for name in names] == ["standard", "", "", "", "", ""]
    assert float(rows[GO]["half_rate_p99_low_us"]) <= 112_500 <= float(rows[GO]["half_rate_p99_high_us"])


def test_the_long_report_has_their_table(contents: Contents) -> None:
    """Within 120 columns."""
    stream = io.StringIO()
    terminal.render(contents, Console(file=stream, width=120, force_terminal=False))
    lines = stream.getvalue().splitlines()

    assert "What visitors wait at half of each variant's own rate" in lines
    assert max(map(len, lines)) <= 120


def test_the_page_has_them_with_their_rounds_and_notes(tmp_path: Path) -> None:
    """Two columns whose figures are those of report.csv; the window stands among the row's rounds."""
    with three(tmp_path) as run:
        text = write_report(run).html.read_text(encoding="utf-8")

    assert '<span data-column="half_rate_p99_us" data-value="112500.0">112.5</span>' in text
    assert "1 at 9,360/s" in text
    assert "Notes on the window at half rate (1,500 requests/s)" in text
    assert 'class="half doubt"' in text
    assert "It has no window at half rate: no round has a sound rate that could be halved." in text


def test_without_such_windows_nothing_speaks_of_them(tmp_path: Path) -> None:
    """Not where their scenario does not ask for them."""
    rounds = rounds_of(GO, 18_700.0, 18_710.0, 18_720.0)
    with Run.create(tmp_path, handmade_plan(rounds), handmade_environment()) as run:
        for cell in rounds:
            run.add_cell(cell, {"observed": handmade_histogram({100_000: 20_000})})
        run.end("finished")
        found = read_contents(run)
        page = write_report(run).html.read_text(encoding="utf-8")

    assert "ms at half rate<" not in page
    assert 'class="half' not in page
    assert "p50 ms" in short_table(found).headers
    assert "at half rate |" not in to_markdown(found)
    assert "## What visitors wait" not in to_markdown(found)
    assert not any("half" in sentence for sentence in compose(found).sentences)


def test_a_run_that_ended_before_them_says_so(tmp_path: Path) -> None:
    """It is not said that their rounds were not sound."""
    with written(tmp_path, rounds_of(GO, 18_700.0), [], {}, is_finished=False) as run:
        found = read_contents(run)

    assert list(missing_windows(found)) == [
        f"No window at half rate: {GO}: the run ended before it (invoke bench --resume)."
    ]


def test_an_overloaded_window_is_doubtful(tmp_path: Path) -> None:
    """Half of what a closed loop gave was too much for visitors: worth a note, and no fault of the row's rate."""
    overloaded = handmade_open_loop(sent=1800, unanswered=200, quarters_answered=(300, 350, 400, 400))
    windows = [handmade_half_rate_cell(GO, 9360.0, 3, open_loop=overloaded)]
    with written(tmp_path, rounds_of(GO, 18_700.0, 18_710.0, 18_720.0), windows, {}) as run:
        found = read_contents(run)

    [entry] = found.rows
    assert not entry.is_doubtful
    assert entry.half_rate is not None
    assert "overloaded" in {note.rule for note in entry.half_rate.notes}
    assert short_table(found).rows[0].cells[short_table(found).headers.index(HALF_RATE_HEADER)] == "101.0 / 112.5?"


def test_twenty_two_variants_with_windows_fit_one_screen(tmp_path: Path) -> None:
    """At most 45 lines of 120 columns, as without them."""
    rounds = twenty_two()
    names = list(dict.fromkeys(cell.variant for cell in rounds))
    windows = [handmade_half_rate_cell(name, 1000.0 + 150 * place, 66 + place) for place, name in enumerate(names)]
    slow = {name: {1_110_000: 9_000, 2_220_000: 1_500} for name in names}
    with written(tmp_path, rounds, windows, slow) as run:
        lines = printed(read_contents(run))

    assert len(lines) <= 45
    assert max(map(len, lines)) <= 120
    assert "…" not in "".join(lines)
    assert sum("1,110 / 2,220" in line for line in lines) == 22
