"""The report in the terminal: tables that fit 120 columns, doubtful figures greyed, notes below by number."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from wrklab.report.contents import Contents, ReportRow
from wrklab.report.tables import (
    MAIN_COLUMNS,
    PUBLISHED_HEADERS,
    TableColumn,
    harness_line,
    note_lines,
    note_numbers,
    published_cells,
    scenario_line,
)

#: From this width on, both halves of the main table stand side by side.
WIDE_COLUMNS = 210
#: Columns of the published table that only report.md has room for.
_PUBLISHED_SHOWN = (0, 1, 2, 3, 4, 5, 6, 9, 11, 12)
_DOUBTFUL = "dim"


def render(contents: Contents, console: Console) -> None:
    """Prints the whole report."""
    for name, entries in contents.by_scenario().items():
        title = scenario_line(contents.plan.scenarios[name], [entry.row.hold_ms for entry in entries])
        console.print()
        console.print(Text(title, style="bold"))
        for columns in _halves(console.width):
            console.print(_main_table(columns, entries))
            console.print()
    _render_notes(contents, console)
    _render_published(contents, console)
    if line := harness_line(contents):
        console.print(Text(line))


def _halves(width: int) -> list[list[TableColumn]]:
    if width >= WIDE_COLUMNS:
        return [list(MAIN_COLUMNS)]
    return [[column for column in MAIN_COLUMNS if column.half == half] for half in ("rate", "latency")]


def _main_table(columns: Sequence[TableColumn], entries: Sequence[ReportRow]) -> Table:
    table = _table()
    table.add_column("variant", no_wrap=True)
    for column in columns:
        # Errors of several kinds take a line each; every other figure stays on one.
        table.add_column(_stacked(column.header), justify="right", no_wrap=column.header != "errors")
    table.add_column("notes", no_wrap=False, min_width=5)
    for entry in entries:
        is_doubtful = "rate" in entry.doubts
        table.add_row(
            Text(entry.row.variant, style=_DOUBTFUL if is_doubtful else ""),
            *(Text(column.text(entry).replace(", ", "\n"), style=_style(entry, column)) for column in columns),
            Text(note_numbers(entry), style="cyan"),
        )
    return table


def _style(entry: ReportRow, column: TableColumn) -> str:
    """A doubtful rate greys the whole row, doubtful latencies only themselves."""
    if "rate" in entry.doubts:
        return "red" if entry.row.state == "failed" and column.header == "requests/s" else _DOUBTFUL
    return _DOUBTFUL if column.half in entry.doubts else ""


def _render_notes(contents: Contents, console: Console) -> None:
    for note in contents.run_notes:
        console.print(Text.assemble(("! ", "yellow"), note.sentence))
    for number, heading, lines in note_lines(contents):
        console.print(Text.assemble((f"{number:>2} ", "cyan"), heading))
        for line in lines:
            console.print(Padding(Text(line, style=_DOUBTFUL), (0, 0, 0, 3)))
    console.print()


def _render_published(contents: Contents, console: Console) -> None:
    for source, comparisons in contents.published.items():
        if all(comparison.ours is None for comparison in comparisons):
            console.print(Text(f"{source}: none of its {len(comparisons)} rows was measured in this run"))
            continue
        console.print(Text(f"{source}: the article beside this run", style="bold"))
        table = _table()
        for place in _PUBLISHED_SHOWN:
            is_text = place in {0, 1}
            header = PUBLISHED_HEADERS[place]
            table.add_column(_stacked(header), justify="left" if is_text else "right", overflow="fold")
        for comparison in comparisons:
            cells = published_cells(comparison)
            style = _DOUBTFUL if comparison.ours is None else ""
            table.add_row(*(Text(cells[place].replace(", ", "\n"), style=style) for place in _PUBLISHED_SHOWN))
        console.print(table)
        console.print()


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")


def _stacked(header: str) -> str:
    """A header's words below each other, so that columns are as narrow as their figures."""
    return header.replace(" ", "\n")
