"""report.md: what was measured, on what, how often, what came of it, and when not to believe it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from wrklab import figures
from wrklab.report.contents import Contents, ReportRow
from wrklab.report.environment import environment_tables
from wrklab.report.guide import HOW_TO_READ, WHEN_NOT_TO_BELIEVE
from wrklab.report.tables import (
    MAIN_COLUMNS,
    PUBLISHED_HEADERS,
    Half,
    TableColumn,
    harness_line,
    note_lines,
    note_numbers,
    published_cells,
    scenario_line,
)

#: Of a failed cell's log; all that was kept is in the store.
LOG_LINES = 15
#: What Markdown would read as more than text.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


def to_markdown(contents: Contents) -> str:
    """The whole of report.md."""
    parts = [
        f"# Run {contents.info.run_id}",
        *_what_was_measured(contents),
        "## Results",
        *_results(contents),
        "## Notes",
        *_notes(contents),
        *_failed_cells(contents),
        "## The articles beside this run",
        *_published(contents),
        "## What the harness cost",
        harness_line(contents) or "Nothing was measured.",
        "## How to read this",
        HOW_TO_READ,
        "## When not to believe a number",
        WHEN_NOT_TO_BELIEVE,
        "## Environment",
        *_environment(contents),
        "## Commands",
        *_commands(contents),
    ]
    return "\n\n".join(parts) + "\n"


def _what_was_measured(contents: Contents) -> Iterator[str]:
    plan, info = contents.plan, contents.info
    began = datetime.fromtimestamp(plan.created_at_s, UTC)
    variants = {cell.variant for cell in plan.cells}
    suite = f", suite {_escape(plan.suite)}" if plan.suite else ""
    yield (
        f"{figures.plural(len(variants), 'variant')}, {figures.plural(len(plan.cells), 'cell')} planned, "
        f"{info.measured_count:,} measured, {info.failed_count:,} failed; {info.state}. "
        f"Begun {began:%Y-%m-%d %H:%M:%S} UTC with `{plan.command}` on the lab {_escape(plan.lab)}{suite}: "
        f"{figures.plural(plan.server_cpus_count, 'CPU')} for the server, "
        f"{figures.plural(plan.generator_cpus_count, 'CPU')} for the generator"
        f"{' (the same ones)' if plan.cpus_shared else ''}. "
        f"Rounds are interleaved: each runs through all variants in an order drawn from seed {plan.seed}."
    )
    if contents.run_notes:
        yield "\n".join(f"- **{_escape(note.sentence)}**" for note in contents.run_notes)


def _results(contents: Contents) -> Iterator[str]:
    for name, entries in contents.by_scenario().items():
        yield f"### {_escape(scenario_line(contents.plan.scenarios[name], [entry.row.hold_ms for entry in entries]))}"
        halves: tuple[Half, Half] = ("rate", "latency")
        for half in halves:
            columns = [column for column in MAIN_COLUMNS if column.half == half]
            headers = ["variant", *(column.header for column in columns), "notes"]
            yield table(headers, [_result_cells(entry, columns) for entry in entries], left=(0,))


def _result_cells(entry: ReportRow, columns: Sequence[TableColumn]) -> list[str]:
    cells = [_escape(entry.row.variant)]
    for column in columns:
        text = _escape(column.text(entry))
        cells.append(f"*{text}*" if column.is_doubtful(entry) and text != figures.NONE else text)
    return [*cells, note_numbers(entry)]


def _notes(contents: Contents) -> Iterator[str]:
    if not contents.groups:
        yield "None: no rule found anything to say."
    for number, heading, lines in note_lines(contents):
        yield "\n".join([f"{number}. **{_escape(heading)}**", *(f"   - {_escape(line)}" for line in lines)])


def _failed_cells(contents: Contents) -> Iterator[str]:
    if contents.failed_cells:
        yield "## Failed cells"
    for cell in contents.failed_cells:
        failure = cell.failure
        if failure is not None:
            unit = f" Unit: {_escape(failure.unit_state)}." if failure.unit_state else ""
            yield f"**{_escape(cell.cell_id)}** in {_escape(failure.phase)}: {_escape(failure.text)}.{unit}"
            evidence = [*failure.log_tail[-LOG_LINES:], *failure.generator_stderr.splitlines()[-LOG_LINES:]]
            if evidence:
                # Indented, not fenced: no line of a log can end the block.
                yield "\n".join(f"    {line}" for line in evidence)


def _published(contents: Contents) -> Iterator[str]:
    yield "Ratios are ours / published. The articles ran once, with wrk and server on one machine."
    for source, comparisons in contents.published.items():
        yield f"### {_escape(source)}"
        rows = [[_escape(cell) for cell in published_cells(comparison)] for comparison in comparisons]
        yield table(PUBLISHED_HEADERS, rows, left=(0, 1, 13))


def _environment(contents: Contents) -> Iterator[str]:
    for title, headers, rows in environment_tables(contents.environment):
        yield f"### {_escape(title)}"
        yield table(headers, [[_escape(cell) for cell in row] for row in rows], left=range(len(headers)))


def _commands(contents: Contents) -> Iterator[str]:
    commands = {entry.row.variant: entry.row.argv for entry in contents.rows if entry.row.argv}
    yield "The main process of each variant as it was found running."
    yield "\n".join(f"- {_escape(name)}: `{shlex.join(argv)}`" for name, argv in sorted(commands.items())) or "None."


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int]) -> str:
    """A Markdown table; columns whose place is in `left` are set to the left, figures to the right."""
    to_left = set(left)
    rule = [":--" if place in to_left else "--:" for place in range(len(headers))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [headers, rule, *rows])


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text).replace("\n", " ")
