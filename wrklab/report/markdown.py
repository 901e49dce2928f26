"""report.md: what was measured, on what, how often, what came of it, and when not to believe it."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from wrklab import formats
from wrklab.report import claims
from wrklab.report.answer import compose
from wrklab.report.at_once import AT_ONCE_HEADERS, AT_ONCE_MEANING, AT_ONCE_TEXTS, at_once, at_once_lines
from wrklab.report.contents import HOW_TO_READ, WHEN_NOT_TO_BELIEVE, Contents, ReportRow
from wrklab.report.environment import environment_tables, unit_texts
from wrklab.report.escaping import markdown, markdown_block, markdown_code
from wrklab.report.generators import GENERATOR_HEADERS, GENERATORS_MEANING, generator_lines
from wrklab.report.half_rate import (
    HALF_RATE_HEADERS,
    HALF_RATE_LATENCIES,
    HALF_RATE_MEANING,
    HALF_RATE_TEXTS,
    half_rate_lines,
    missing_windows,
)
from wrklab.report.pictures import Picture
from wrklab.report.requests import REQUEST_HEADERS, REQUEST_TEXTS, REQUESTS_MEANING, request_lines
from wrklab.report.screen import DOUBTFUL_LATENCY_LEGEND, short_table
from wrklab.report.tables import (
    BASELINE_HEADERS,
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
    report_columns,
    scenario_line,
    twin_lines,
    verdict_lines,
)
from wrklab.results.records import Failure
from wrklab.summary.metrics import Half

#: Of a failed cell's log; all that was kept is in the store.
LOG_LINES = 15


def to_markdown(contents: Contents, pictures: Sequence[Picture] = ()) -> str:
    """The whole of report.md. `pictures` are files next to it."""
    parts = [
        f"# Run {contents.info.run_id}",
        *_answer(contents),
        *_pictures(pictures),
        "## What was measured",
        *_what_was_measured(contents),
        "## Results",
        *_results(contents),
        *_at_once(contents),
        *_half_rates(contents),
        *_requests(contents),
        *_twins(contents),
        *_baseline(contents),
        *_generators(contents),
        "## Notes",
        *_notes(contents),
        *_failed_cells(contents),
        *_verdicts(contents),
        *_published(contents),
        *_claims(contents),
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
        *_units(contents),
    ]
    return "\n\n".join(parts) + "\n"


def _answer(contents: Contents) -> Iterator[str]:
    answer, found = compose(contents), short_table(contents)
    yield "\n".join(f"- {markdown(sentence)}" for sentence in answer.sentences)
    rows = [
        _marked(row.cells, {*range(1, len(row.cells))} - row.sound if row.is_doubtful else ()) for row in found.rows
    ]
    yield table([header.replace("\n", " ") for header in found.headers], rows, left=found.left)
    legend = "*Figures in italics* are doubtful; the last column says why in a few words, the notes below in full."
    yield f"{legend} {DOUBTFUL_LATENCY_LEGEND}." if found.has_doubtful_latency else legend
    if answer.next_command:
        yield f"To settle most doubts: {markdown_code(answer.next_command)}"


def _pictures(pictures: Sequence[Picture]) -> Iterator[str]:
    if pictures:
        yield "The page with every picture, sortable and with each row's evidence: [report.html](report.html)."
        yield "\n\n".join(f"![{markdown(picture.title)}]({picture.file})" for picture in pictures)


def _what_was_measured(contents: Contents) -> Iterator[str]:
    plan, info = contents.plan, contents.info
    began = datetime.fromtimestamp(plan.created_at_s, UTC)
    variants = {cell.variant for cell in plan.cells}
    suite = f", suite {markdown(plan.suite)}" if plan.suite else ""
    yield (
        f"{formats.plural(len(variants), 'variant')}, {formats.plural(len(plan.cells), 'cell')} planned, "
        f"{info.measured_count:,} measured, {info.failed_count:,} failed; {info.state}. "
        f"Begun {began:%Y-%m-%d %H:%M:%S} UTC with {markdown_code(plan.command)} on the lab "
        f"{markdown(plan.lab)}{suite}: "
        f"{formats.plural(plan.server_cpus_count, 'CPU')} for the server, "
        f"{formats.plural(plan.generator_cpus_count, 'CPU')} for {_generator_names(plan.generators)}"
        f"{' (shared with the server)' if plan.cpus_shared else ''}. "
        f"Rounds are interleaved: each runs through all variants in an order drawn from seed {plan.seed}."
    )
    if contents.run_notes:
        yield "\n".join(f"- **{markdown(note.sentence)}**" for note in contents.run_notes)


def _generator_names(names: Sequence[str]) -> str:
    return f"the generators {markdown(', '.join(names))}" if len(names) > 1 else "the generator"


def _results(contents: Contents) -> Iterator[str]:
    for name, entries in contents.by_scenario().items():
        yield f"### {markdown(scenario_line(contents.plan.scenarios[name], [entry.row.hold_ms for entry in entries]))}"
        halves: tuple[Half, Half] = ("rate", "latency")
        for half in halves:
            columns = report_columns(half, entries)
            headers = ["variant", *(column.header for column in columns), "notes"]
            yield table(headers, [_result_cells(entry, columns) for entry in entries], left=(0,))


def _result_cells(entry: ReportRow, columns: Sequence[TableColumn]) -> list[str]:
    cells = [entry.row.variant, *(column.text(entry) for column in columns)]
    doubtful = {place for place, column in enumerate(columns, 1) if column.is_doubtful(entry)}
    return [*_marked(cells, doubtful), note_numbers(entry)]


def _marked(cells: Sequence[str], doubtful: Collection[int]) -> list[str]:
    """Cells as Markdown, those at doubtful places in italics."""
    return [
        f"*{markdown(cell)}*" if place in doubtful and cell not in {"", formats.NONE} else markdown(cell)
        for place, cell in enumerate(cells)
    ]


def _requests(contents: Contents) -> Iterator[str]:
    if lines := request_lines(contents):
        yield "## Requests"
        yield REQUESTS_MEANING
        yield table(REQUEST_HEADERS, [[markdown(cell) for cell in line] for line in lines], REQUEST_TEXTS)


def _at_once(contents: Contents) -> Iterator[str]:
    if found := at_once(contents):
        yield "## How many requests at once"
        yield AT_ONCE_MEANING
        rows = [_marked(cells, {1, 2} if cells[-1] else ()) for cells in at_once_lines(found)]
        yield table(AT_ONCE_HEADERS, rows, AT_ONCE_TEXTS)


def _half_rates(contents: Contents) -> Iterator[str]:
    windows, missing = list(half_rate_lines(contents)), list(missing_windows(contents))
    if windows or missing:
        yield "## What visitors wait at half rate"
        yield HALF_RATE_MEANING
    if windows:
        rows = [_marked(cells, HALF_RATE_LATENCIES if window.doubts else ()) for window, cells in windows]
        yield table(HALF_RATE_HEADERS, rows, HALF_RATE_TEXTS)
        notes = (
            f"- {markdown(f'{window.row.variant}: {note.sentence}')}"
            for window, _ in windows
            for note in window.notes
            if note.doubt != "none"
        )
        yield "\n".join(notes) or "None of these windows is doubtful."
    if missing:
        yield "\n".join(f"- {markdown(sentence)}" for sentence in missing)


def _baseline(contents: Contents) -> Iterator[str]:
    line = baseline_line(contents)
    if line:
        yield "## Against the baseline"
        yield line
        entries = [entry for found in contents.by_scenario().values() for entry in found]
        yield table(
            BASELINE_HEADERS,
            [_marked(baseline_cells(entry), baseline_doubtful(contents, entry)) for entry in entries],
            left=(0,),
        )


def _twins(contents: Contents) -> Iterator[str]:
    if contents.noise_floor is not None:
        yield "## Noise floor"
        yield markdown(floor_line(contents.noise_floor))
        yield table(
            TWIN_HEADERS, [[markdown(cell) for cell in line] for line in twin_lines(contents.noise_floor)], (0, 1)
        )


def _generators(contents: Contents) -> Iterator[str]:
    if lines := generator_lines(contents):
        yield "## Generators"
        yield GENERATORS_MEANING
        yield table(GENERATOR_HEADERS, [[markdown(cell) for cell in line] for line in lines], (0, 1))


def _notes(contents: Contents) -> Iterator[str]:
    if not contents.groups:
        yield "None: no rule found anything to say."
    for number, heading, lines in note_lines(contents):
        yield "\n".join([f"{number}. **{markdown(heading)}**", *(f"   - {markdown(line)}" for line in lines)])


def _verdicts(contents: Contents) -> Iterator[str]:
    lines = [f"- {markdown(line)}" for line in verdict_lines(contents)]
    if lines:
        yield "## What the verdicts rest on"
        yield "\n".join(lines)


def _failed_cells(contents: Contents) -> Iterator[str]:
    if contents.failed_cells:
        yield "## Failed cells"
    for cell in contents.failed_cells:
        again = ", both attempts; the second" if cell.first_failure else ""
        if cell.failure is not None:
            yield from _failure(f"**{markdown(cell.cell_id)}**{again}", cell.failure)
        if cell.first_failure is not None:
            yield from _failure("The first attempt", cell.first_failure)


def _failure(who: str, failure: Failure) -> Iterator[str]:
    unit = f" Unit: {markdown(failure.unit_state)}." if failure.unit_state else ""
    yield f"{who} in {markdown(failure.phase)}: {markdown(failure.text)}.{unit}"
    evidence = [*failure.log_tail[-LOG_LINES:], *failure.generator_stderr.splitlines()[-LOG_LINES:]]
    if evidence:
        yield markdown_block(evidence)


def _published(contents: Contents) -> Iterator[str]:
    if not contents.published:
        return
    yield "## The articles beside this run"
    yield "Ratios are ours / published. The articles ran once, with wrk and server on one machine."
    for source, comparisons in contents.published.items():
        yield f"### {markdown(source)}"
        rows = [_marked(published_cells(found), published_doubtful(found)) for found in comparisons]
        yield table(PUBLISHED_HEADERS, rows, left=(0, 1, 13))


def _claims(contents: Contents) -> Iterator[str]:
    found = contents.articles
    if found.claims:
        yield "## What the articles claim"
        yield (
            f"{claims.summary_line(found.claims)}. How a claim is read, and what the answers mean: docs/claims.md. "
            "Of several comparisons the one that decides is shown."
        )
        yield table(claims.HEADERS, claims.markdown_rows(found.claims, markdown), left=range(len(claims.HEADERS)))
        if line := claims.other_loads_line(found.claims):
            yield f"{markdown(line)}."
    if found.correlations:
        yield "## Order there and here"
        yield "\n".join(claims.correlation_lines(found.correlations, markdown))
    if found.inconsistencies:
        yield "## What does not fit within the articles"
        yield "\n".join(claims.inconsistency_lines(found.inconsistencies, markdown))


def _environment(contents: Contents) -> Iterator[str]:
    for title, headers, rows in environment_tables(contents.environment):
        yield f"### {markdown(title)}"
        yield table(headers, [[markdown(cell) for cell in row] for row in rows], left=range(len(headers)))


def _commands(contents: Contents) -> Iterator[str]:
    commands = {entry.row.variant: entry.row.argv for entry in contents.rows if entry.row.argv}
    yield "The main process of each variant as it was found running."
    lines = (f"- {markdown(name)}: {markdown_code(shlex.join(argv))}" for name, argv in sorted(commands.items()))
    yield "\n".join(lines) or "None."


def _units(contents: Contents) -> Iterator[str]:
    texts = unit_texts(contents.environment.units)
    if not texts.own:
        return
    yield "## Units"
    yield "Each variant's systemd unit as it stood on the server; `environment.json` has them whole, with comments."
    if texts.common:
        yield "Every one of them has these lines:"
        yield markdown_block(texts.common)
    for name, lines in texts.own.items():
        yield f"**{markdown(name)}**"
        yield markdown_block(lines)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int]) -> str:
    """A Markdown table; columns whose place is in `left` are set to the left, figures to the right."""
    to_left = set(left)
    rule = [":--" if place in to_left else "--:" for place in range(len(headers))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [headers, rule, *rows])
