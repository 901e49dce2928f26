"""A run on one screen: it fits, nothing in it is cut, and what a host said cannot break it."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from tests.unit.handmade_records import handmade_cell, handmade_measurement
from tests.unit.report.test_answer import contents_of, rounds_of
from wrklab.report.contents import Contents
from wrklab.report.screen import render, short_table
from wrklab.results.records import CellRecord, Errors

#: As long as the longest name of a bundled variant.
LONG = "flask_gevent_wsgi_monkeypatched"


def printed(contents: Contents, width: int = 120) -> list[str]:
    """The screen's lines, without colours."""
    stream = io.StringIO()
    render(contents, Console(file=stream, width=width, force_terminal=False), "results/20261121T003012Z_ab12")
    return stream.getvalue().splitlines()


def twenty_two() -> list[CellRecord]:
    """As many variants as are bundled, half of them doubtful in some way, all with errors of several kinds."""
    cells: list[CellRecord] = []
    for place in range(22):
        name = f"{LONG[:-3]}_{place:02}"
        open_count = 2000 if place % 2 else 300
        rates = [10_000.0 + 300 * place + number for number in range(3)]
        errors = Errors(read=1000 + place, timeout=2000)
        cells += rounds_of(name, *rates, connections_open=open_count, errors=errors if place % 3 else Errors())
    return cells


def test_twenty_two_variants_fit_one_screen(tmp_path: Path) -> None:
    """At most 45 lines of 120 columns, with every variant and its rate."""
    contents = contents_of(tmp_path, twenty_two())
    lines = printed(contents)

    assert len(lines) <= 45
    assert max(map(len, lines)) <= 120
    assert "…" not in "".join(lines)
    for entry in contents.rows:
        [line] = [line for line in lines if line.startswith(entry.row.variant)]
        assert f"{entry.row.requests_per_s:,.0f}" in line


def test_a_doubtful_row_says_why_in_words(tmp_path: Path) -> None:
    """In the last column; a sound row has its verdict alone."""
    cells = [
        *rounds_of("flask_gunicorn_gevent", 3000.0, 3001.0, 3002.0),
        *rounds_of("flask_dev_sync", 1000.0, 1001.0, 1002.0, connections_open=300),
    ]
    rows = {row.cells[0]: row for row in short_table(contents_of(tmp_path, cells)).rows}

    assert rows["flask_gunicorn_gevent"].cells[-1] == "server-bound"
    assert not rows["flask_gunicorn_gevent"].is_doubtful
    assert rows["flask_dev_sync"].cells[-1] == "doubtful: 15 % of 2,000 open"
    assert rows["flask_dev_sync"].is_doubtful


def test_columns_without_a_figure_take_no_room(tmp_path: Path) -> None:
    """One round has neither an interval nor a rank; without errors there is no column of them."""
    one = short_table(contents_of(tmp_path / "one", rounds_of("flask_gunicorn_gevent", 3000.0)))
    wrong = handmade_measurement(errors=Errors(read=7))
    several = short_table(
        contents_of(
            tmp_path / "several", [handmade_cell(round_number=number, measurement=wrong) for number in (1, 2, 3)]
        )
    )

    assert one.headers == ("variant", "requests/s", "p50 ms", "p99 ms", "CPU µs", "MiB", "set by")
    assert {"± %", "errors"} <= set(several.headers)
    assert several.rows[0].cells[several.headers.index("errors")] == "21"
