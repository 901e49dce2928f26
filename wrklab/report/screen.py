"""A run on one terminal screen: the answer, one line a variant, and where the rest is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from wrklab import formats
from wrklab.report.answer import compose, main_entries, usual_hold_ms
from wrklab.report.contents import Contents, ReportRow, reason
from wrklab.report.escaping import terminal
from wrklab.report.half_rate import DOUBTFUL_LATENCY, half_rate_text
from wrklab.report.tables import floor_line
from wrklab.report.terminal import plain_table
from wrklab.verdicts.verdict import Verdict

DOUBTFUL_LATENCY_LEGEND = f"{DOUBTFUL_LATENCY} a latency that is doubtful although the rate is sound"


#: On two lines in the terminal, so that the column is as narrow as its figures.
HALF_RATE_HEADER = "p50 / p99 ms\nat half rate"


@dataclass(frozen=True)
class ShortRow:
    """One line of the short table."""

    cells: tuple[str, ...]
    is_doubtful: bool
    is_failed: bool
    #: Places of the figures that do not rest on the row's rate, and stand whatever is said of it.
    sound: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ShortTable:
    """One line a variant, as the terminal and the head of report.md show it."""

    headers: tuple[str, ...]
    #: Places of the columns that hold text; figures are set to the right.
    left: frozenset[int]
    rows: tuple[ShortRow, ...]

    @property
    def has_doubtful_latency(self) -> bool:
        """Whether a cell needs DOUBTFUL_LATENCY_LEGEND."""
        return any(cell.endswith(DOUBTFUL_LATENCY) for row in self.rows for cell in row.cells)


def render(contents: Contents, console: Console, folder: str) -> None:
    """Prints the screen. `folder` is the run's, where the rest is."""
    answer, table = compose(contents), short_table(contents)
    console.print(terminal(title(contents), style="bold"))
    for sentence in answer.sentences:
        console.print(Padding(terminal(sentence), (0, 0, 0, 2), expand=False))
    if contents.noise_floor is not None:
        console.print(Padding(terminal(floor_line(contents.noise_floor)), (0, 0, 0, 2), expand=False))
    for note in contents.run_notes:
        if note.doubt != "none":
            console.print(Padding(Text.assemble(("! ", "yellow"), terminal(note.sentence)), (0, 0, 0, 2), expand=False))
    console.print()
    console.print(_rich_table(table))
    console.print()
    if table.has_doubtful_latency:
        console.print(terminal(DOUBTFUL_LATENCY_LEGEND, style="dim"))
    if answer.next_command:
        console.print(Text.assemble("To settle most doubts: ", terminal(answer.next_command, "cyan")), soft_wrap=True)
    rest = f"Pictures and evidence: {folder}/report.html (figures: report.csv; text: report.md), or --verbose"
    console.print(terminal(rest), soft_wrap=True)


def title(contents: Contents) -> str:
    """What was measured, on one line."""
    plan, entries = contents.plan, main_entries(contents)
    variants = formats.plural(len({cell.variant for cell in plan.cells}), "variant")
    text = f"{variants}, {contents.info.measured_count:,} of {len(plan.cells):,} cells measured"
    if not entries:
        return text
    row, scenario = entries[0].row, plan.scenarios[entries[0].row.scenario]
    asked = f"GET {row.path} held {usual_hold_ms(entries)} ms"
    if scenario.mix:
        asked = f"a mix of {formats.plural(len(scenario.requests), 'request')}"
    return (
        f"{text}: {asked}, {row.connections_asked:,} connections, "
        f"{formats.plural(scenario.rounds, 'round')} of {scenario.duration_s:g} s"
    )


def short_table(contents: Contents) -> ShortTable:
    """One line a row, in the order of `named_entries`."""
    named = named_entries(contents)
    entries = [entry for _, entry in named]
    columns = [column for column in _COLUMNS if column.is_shown(entries)]
    half_rate = frozenset(place for place, column in enumerate(columns, 1) if column.header == HALF_RATE_HEADER)
    return ShortTable(
        headers=("variant", *(column.header for column in columns)),
        left=frozenset({0, *(place for place, column in enumerate(columns, 1) if column.is_text)}),
        rows=tuple(
            ShortRow(
                (name, *(column.text(entry) for column in columns)),
                entry.is_doubtful,
                entry.verdict is Verdict.FAILED,
                half_rate if entry.half_rate is not None and not entry.half_rate.doubts else frozenset(),
            )
            for name, entry in named
        ),
    )


def _rich_table(found: ShortTable) -> Table:
    table = plain_table()
    for place, header in enumerate(found.headers):
        is_last = place == len(found.headers) - 1
        table.add_column(header, justify="left" if place in found.left else "right", no_wrap=not is_last)
    for row in found.rows:
        cells = [terminal(cell, "not dim" if place in row.sound else "") for place, cell in enumerate(row.cells)]
        table.add_row(*cells, style="red" if row.is_failed else "dim" if row.is_doubtful else "")
    return table


def named_entries(contents: Contents) -> list[tuple[str, ReportRow]]:
    """The rows under the main load, the highest rate first, then those at other loads.

    Each with its variant's name; one under another load or another hold with that.
    """
    main = main_entries(contents)
    scenario, hold_ms = (main[0].row.scenario if main else ""), usual_hold_ms(main)
    others = [entry for entry in contents.rows if entry.row.scenario != scenario]
    return [(_name(entry, scenario, hold_ms), entry) for entry in (*main, *others)]


def _name(entry: ReportRow, main_scenario: str, hold_ms: int | None) -> str:
    row = entry.row
    if row.scenario != main_scenario:
        return f"{row.variant} -c{row.connections_asked}"
    return row.variant if row.hold_ms == hold_ms else f"{row.variant} (held {row.hold_ms} ms)"


@dataclass(frozen=True)
class _Column:
    header: str
    text: Callable[[ReportRow], str]
    is_text: bool = False
    #: Whether it is worth its room in this run.
    is_shown: Callable[[Sequence[ReportRow]], bool] = bool


def _rate(entry: ReportRow) -> str:
    return "failed" if entry.row.state == "failed" else formats.rate(entry.row.requests_per_s)


def _latency(entry: ReportRow, value_us: float | None) -> str:
    is_marked = value_us is not None and "latency" in entry.doubts and not entry.is_doubtful
    return f"{formats.ms(value_us)}{DOUBTFUL_LATENCY if is_marked else ''}"


def _p50(entry: ReportRow) -> str:
    return _latency(entry, entry.row.latency.p50_us if entry.row.latency else None)


def _p99(entry: ReportRow) -> str:
    return _latency(entry, entry.row.latency.p99_us if entry.row.latency else None)


def _errors_count(entry: ReportRow) -> int | None:
    return None if entry.row.errors is None else entry.row.errors.total


def _has_errors(entries: Sequence[ReportRow]) -> bool:
    return any(map(_errors_count, entries))


def _has_half_rate(entries: Sequence[ReportRow]) -> bool:
    return any(entry.half_rate is not None for entry in entries)


def _spread(entry: ReportRow) -> str:
    """The end of the rate's interval that is further from it, in percent of it."""
    row = entry.row
    if row.requests_per_s_low is None or row.requests_per_s_high is None or not row.requests_per_s:
        return formats.NONE
    reach = max(row.requests_per_s_high - row.requests_per_s, row.requests_per_s - row.requests_per_s_low)
    return formats.percent_number(100 * reach / row.requests_per_s)


def set_by(entry: ReportRow) -> str:
    """The verdict; of a doubtful row the reason in words."""
    if entry.verdict is Verdict.FAILED:
        return str(entry.verdict)
    words = reason(entry)
    return f"doubtful: {words}" if words else str(entry.verdict or formats.NONE)


_COLUMNS = (
    _Column(
        "#",
        lambda entry: str(entry.rank or formats.NONE),
        is_shown=lambda entries: any(entry.rank is not None for entry in entries),
    ),
    _Column("requests/s", _rate),
    _Column(
        "± %",
        _spread,
        is_shown=lambda entries: any(entry.row.requests_per_s_low is not None for entry in entries),
    ),
    # At saturation it follows from connections and rate; where there is a better one it gives its room to that.
    _Column("p50 ms", _p50, is_shown=lambda entries: not _has_half_rate(entries)),
    _Column("p99 ms", _p99),
    _Column(HALF_RATE_HEADER, half_rate_text, is_shown=_has_half_rate),
    _Column("CPU µs", lambda entry: formats.whole(entry.row.server_cpu_us_per_request)),
    _Column("MiB", lambda entry: formats.mib(entry.row.memory_max_bytes)),
    _Column("errors", lambda entry: formats.count(_errors_count(entry)), is_shown=_has_errors),
    _Column("set by", set_by, is_text=True),
)
