"""The long report in the terminal: every table in 120 columns, doubtful figures dimmed, notes below by number.

And the line that a cell gets while a bench runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from wrklab import formats
from wrklab.report import claims
from wrklab.report.contents import Contents, ReportRow
from wrklab.report.escaping import terminal, terminal_markup
from wrklab.report.generators import GENERATOR_HEADERS, generator_lines
from wrklab.report.half_rate import (
    HALF_RATE_HEADERS,
    HALF_RATE_LATENCIES,
    HALF_RATE_TEXTS,
    half_rate_lines,
    missing_windows,
)
from wrklab.report.requests import REQUEST_HEADERS, request_lines
from wrklab.report.tables import (
    BASELINE_HEADERS,
    MAIN_COLUMNS,
    PUBLISHED_HEADERS,
    TWIN_HEADERS,
    TableColumn,
    baseline_cells,
    baseline_doubtful,
    baseline_line,
    floor_line,
    harness_line,
    note_lines,
    note_numbers,
    published_cells,
    published_doubtful,
    scenario_line,
    twin_lines,
)
from wrklab.results.records import CellRecord, RunPlan
from wrklab.verdicts.rules import cell_verdict
from wrklab.verdicts.verdict import Verdict

#: From this width on, both halves of the main table stand side by side.
WIDE_COLUMNS = 220
#: From this width on, columns stand two spaces apart.
ROOMY_COLUMNS = 140
#: Columns of the published table that only report.md has room for.
_PUBLISHED_SHOWN = (0, 1, 2, 3, 4, 5, 6, 8, 9, 11)
_DOUBTFUL = "dim"


def render(contents: Contents, console: Console) -> None:
    """Prints the whole report."""
    for name, entries in contents.by_scenario().items():
        title = scenario_line(contents.plan.scenarios[name], [entry.row.hold_ms for entry in entries])
        console.print()
        console.print(terminal(title, style="bold"))
        for columns in _halves(console.width):
            console.print(_main_table(columns, entries, console.width))
            console.print()
    _render_half_rates(contents, console)
    _render_requests(contents, console)
    _render_twins(contents, console)
    _render_baseline(contents, console)
    _render_generators(contents, console)
    _render_notes(contents, console)
    _render_published(contents, console)
    claims.render(contents.articles.claims, console)
    claims.render_correlations(contents.articles.correlations, console)
    if contents.articles.inconsistencies:
        found = formats.plural(len(contents.articles.inconsistencies), "figure")
        console.print(terminal(f"{found} of these articles do not fit each other: see report.md"))
    if line := harness_line(contents):
        console.print(terminal(line))


def _halves(width: int) -> list[list[TableColumn]]:
    if width >= WIDE_COLUMNS:
        return [list(MAIN_COLUMNS)]
    return [[column for column in MAIN_COLUMNS if column.half == half] for half in ("rate", "latency")]


def _main_table(columns: Sequence[TableColumn], entries: Sequence[ReportRow], width: int) -> Table:
    table = _table(width)
    shown = (lambda text: text) if width >= WIDE_COLUMNS else _stacked_verdict
    with_notes = columns[0].half == "rate"
    table.add_column("variant", no_wrap=True)
    for column in columns:
        table.add_column(_stacked(column.header), justify="right", no_wrap=True)
    if with_notes:
        table.add_column("notes", no_wrap=True)
    for entry in entries:
        cells = [terminal(entry.row.variant, style=_DOUBTFUL if entry.is_doubtful else "")]
        texts = [shown(_each_on_its_line(column.text(entry))) for column in columns]
        cells += [terminal(text, _style(entry, column)) for text, column in zip(texts, columns, strict=True)]
        table.add_row(*cells, *([terminal(note_numbers(entry), style="cyan")] if with_notes else []))
    return table


def _style(entry: ReportRow, column: TableColumn) -> str:
    if entry.row.state == "failed" and column.text(entry) == "failed":
        return "red"
    return _DOUBTFUL if column.is_doubtful(entry) else ""


def _each_on_its_line(errors: str) -> str:
    """Errors of several kinds take a line each; other figures have no comma with a space."""
    return errors.replace(", ", "\n")


def _render_half_rates(contents: Contents, console: Console) -> None:
    windows = list(half_rate_lines(contents))
    if windows:
        console.print(terminal("What visitors wait at half of each variant's own rate", style="bold"))
        table = _table(console.width)
        for place, header in enumerate(HALF_RATE_HEADERS):
            # A reason goes over two lines where there is no room.
            is_last = place == len(HALF_RATE_HEADERS) - 1
            justify: JustifyMethod = "left" if place in HALF_RATE_TEXTS else "right"
            table.add_column(_stacked(header), justify=justify, no_wrap=not is_last)
        for window, cells in windows:
            doubtful = HALF_RATE_LATENCIES if window.doubts else frozenset[int]()
            styled = (terminal(cell, _DOUBTFUL if place in doubtful else "") for place, cell in enumerate(cells))
            table.add_row(*styled)
        console.print(table)
    for sentence in missing_windows(contents):
        console.print(terminal(sentence))
    console.print()


def _render_baseline(contents: Contents, console: Console) -> None:
    line = baseline_line(contents)
    if not line:
        return
    console.print(terminal(line))
    table = _table(console.width)
    for place, header in enumerate(BASELINE_HEADERS):
        table.add_column(_stacked(header), justify="right" if place else "left", no_wrap=True)
    for entries in contents.by_scenario().values():
        for entry in entries:
            doubtful = baseline_doubtful(contents, entry)
            cells = enumerate(baseline_cells(entry))
            table.add_row(*(terminal(cell, style=_DOUBTFUL if place in doubtful else "") for place, cell in cells))
    console.print(table)
    console.print()


def _render_twins(contents: Contents, console: Console) -> None:
    floor = contents.noise_floor
    if floor is None:
        return
    console.print(terminal(floor_line(floor)))
    table = _table(console.width)
    for place, header in enumerate(TWIN_HEADERS):
        table.add_column(_stacked(header), justify="left" if place in {0, 1} else "right", no_wrap=True)
    for line in twin_lines(floor):
        table.add_row(*map(terminal, line))
    console.print(table)
    console.print()


def _render_requests(contents: Contents, console: Console) -> None:
    if lines := request_lines(contents):
        _render_lines(console, "Each request of the mix", REQUEST_HEADERS, lines)


def _render_generators(contents: Contents, console: Console) -> None:
    if lines := generator_lines(contents):
        _render_lines(console, "Each generator's share", GENERATOR_HEADERS, lines)


def _render_lines(console: Console, title: str, headers: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A table whose first two columns are texts."""
    console.print(terminal(title, style="bold"))
    table = _table(console.width)
    for place, header in enumerate(headers):
        table.add_column(_stacked(header), justify="left" if place in {0, 1} else "right", no_wrap=True)
    for line in lines:
        table.add_row(*map(terminal, line))
    console.print(table)
    console.print()


def _stacked_verdict(text: str) -> str:
    """`server-` above `bound`: a verdict on one line would cost the room of two figures."""
    return text.replace("-", "-\n", 1) if text in set(Verdict) else text


def _render_notes(contents: Contents, console: Console) -> None:
    for note in contents.run_notes:
        console.print(Text.assemble(("! ", "yellow"), terminal(note.sentence)))
    grid = Table.grid(padding=(0, 1, 0, 0))
    for number, heading, lines in note_lines(contents):
        grid.add_row(terminal(str(number), style="cyan"), terminal(heading))
        for line in lines:
            grid.add_row("", terminal(line, style=_DOUBTFUL))
    console.print(grid)
    console.print()


def _render_published(contents: Contents, console: Console) -> None:
    for source, comparisons in contents.published.items():
        if all(comparison.ours is None for comparison in comparisons):
            console.print(terminal(f"{source}: none of its {len(comparisons)} rows was measured in this run"))
            continue
        console.print(terminal(f"{source}: the article beside this run", style="bold"))
        table = _table(console.width)
        for place in _PUBLISHED_SHOWN:
            is_name = place in {0, 1}
            justify: JustifyMethod = "left" if is_name else "right"
            header = _stacked(PUBLISHED_HEADERS[place])
            table.add_column(header, justify=justify, no_wrap=not is_name, overflow="fold")
        for comparison in comparisons:
            cells = published_cells(comparison, with_scenario=len(contents.plan.scenarios) > 1)
            doubtful = frozenset(_PUBLISHED_SHOWN) if comparison.ours is None else published_doubtful(comparison)
            styles = {place: _DOUBTFUL if place in doubtful else "" for place in _PUBLISHED_SHOWN}
            table.add_row(*(terminal(_each_on_its_line(cells[place]), style=style) for place, style in styles.items()))
        console.print(table)
        console.print()


def plain_table(gap: int = 1) -> Table:
    """A table without frames; each cell has so many spaces to its right."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")


def _table(width: int) -> Table:
    """With two spaces between columns where there is room for them, one where there is not."""
    return plain_table(1 if width >= ROOMY_COLUMNS else 0)


def _stacked(header: str) -> str:
    """A header's words below each other, so that columns are as narrow as their figures."""
    return header.replace(" ", "\n")


def one_line(plan: RunPlan, record: CellRecord) -> str:
    """What came of one cell, for the progress, as rich markup: its verdict first."""
    cell = f"{terminal_markup(record.scenario)} round {record.round_number}{record.twin}"
    name = f"{terminal_markup(record.variant)} [dim]{cell}[/dim]"
    again = "" if record.attempts == 1 else "  [yellow]second attempt[/yellow]"
    verdict = cell_verdict(plan, record)
    if record.measurement is None:
        text = record.failure.text.splitlines()[0] if record.failure else "no measurement"
        return f"{name}  [red]{verdict}[/red] {terminal_markup(text[:120])}{again}"
    measured = record.measurement
    errors = f"  {measured.errors.total} errors" if measured.errors.total else ""
    p99 = f"  p99 {measured.latency.p99_us / 1000:,.1f} ms" if measured.latency else ""
    return (
        f"{name}  [{'green' if verdict.is_sound else 'yellow'}]{verdict}[/]  "
        f"{measured.requests_per_s:,.0f} requests/s{p99}  "
        f"{measured.connections_open}/{measured.connections_asked} open{errors}{again}"
    )
