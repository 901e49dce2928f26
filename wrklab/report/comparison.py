"""Two runs side by side: for the terminal, for programs, and as a page of their own (compare_OLD.html)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from wrklab import formats
from wrklab.compare.rows import Outcome, RowChange
from wrklab.compare.runs import RunComparison, RunSide
from wrklab.report import charts
from wrklab.report.chart_figures import ArticleFigure
from wrklab.report.contents import read_contents
from wrklab.report.escaping import terminal
from wrklab.report.html_page import Page, documents, write_page
from wrklab.report.terminal import plain_table
from wrklab.results.run_folder import Run
from wrklab.summary.rows import COMPARED_METRICS, SummaryRow
from wrklab.verdicts.rules import is_doubtful, verdict_of
from wrklab.verdicts.verdict import Direction, Verdict

#: What each outcome reads as, and its colour.
_SHOWN: dict[Outcome, tuple[str, str]] = {
    "better": ("better", "green"),
    "equal": ("equal", ""),
    "worse": ("worse", "red"),
    "untested": ("untested", "yellow"),
    "unsound": ("unsound", "yellow"),
    "failed": ("failed", "red"),
    "vanished": ("vanished", "red"),
    "polluted": ("polluted", "red"),
    "appeared": ("new", ""),
    "unplanned": ("not in it", "dim"),
    "other_load": ("other load", "yellow"),
    "unmeasured": ("in neither", "dim"),
}
#: Stacked, so that columns are as narrow as their figures and no header is cut at 120 columns.
HEADERS = (
    "variant",
    "old\nper s",
    "new\nper s",
    "new /\nold",
    "from-to",
    "is",
    *((metric.compared or "").replace(" ", "\n") for metric in COMPARED_METRICS),
    "verdict\nold, new",
)
_OUTCOME_PLACE = HEADERS.index("is")
#: Places of ratios at half rate: without a figure they take no room.
_HALF_RATE_PLACES = frozenset(
    HEADERS.index("is") + 1 + place for place, metric in enumerate(COMPARED_METRICS) if metric.doubt == "half_rate"
)
_LEFT = frozenset({0, len(HEADERS) - 1})
#: What stands before a ratio whose true value is known to lie on one side of it alone.
_BOUND_SIGN: dict[Direction | None, str] = {Direction.TOO_LOW: "≥ ", Direction.TOO_HIGH: "≤ "}


def read_side(run: Run) -> RunSide:
    """What comparing needs of a stored run."""
    contents = read_contents(run)
    return RunSide(run.plan, run.environment, tuple(entry.row for entry in contents.rows), contents.noise_floor)


def render_comparison(found: RunComparison, console: Console) -> None:
    """Prints what each run says of itself, rows by scenario, what stands out, and what changed around them."""
    console.print(terminal(f"old {found.old.run_id}\nnew {found.new.run_id}"))
    for line in caveat_lines(found):
        console.print(terminal(line), style="yellow" if "--force" in line else "dim")
    # Of a run of some of the variants a page of the others says less than one line (summary_lines).
    shown = [row for row in found.rows if row.outcome != "unplanned"]
    for scenario in dict.fromkeys(row.scenario for row in shown):
        console.print()
        console.print(terminal(scenario, style="bold"))
        console.print(_rows_table([row for row in shown if row.scenario == scenario]))
    for row in shown:
        if row.remark:
            console.print(terminal(f"{row.variant} ({row.scenario}): {row.remark}"), style="dim")
    console.print()
    for line in summary_lines(found):
        console.print(terminal(line))
    _render_changes(found, console)


def caveat_lines(found: RunComparison) -> Iterator[str]:
    """What was forced, what was resumed, what to know of the lab: with the run that says so, or both."""
    old, new = found.old.sentences, found.new.sentences
    for text in dict.fromkeys([*old, *new]):
        who = "both" if text in old and text in new else "old" if text in old else "new"
        yield f"{who}: {text}"


def summary_lines(found: RunComparison) -> Iterator[str]:
    """What the figures come to, a sentence a line."""
    floor = found.noise_floor_ratio
    yield (
        "Noise floor: neither run has one (bench --aa gives it); equal means that the test finds no difference."
        if floor is None
        else f"Noise floor {floor * 100:.2g} %: smaller differences are called equal."
    )
    if found.unplanned:
        count = found.old_rows_count - len(found.unplanned)
        yield (
            f"The new run has {count} of {formats.plural(found.old_rows_count, 'row')} of the old one; the others were "
            "not measured in it."
        )
    if found.median_ratio is not None:
        exact_count = sum(row.is_exact for row in found.rows)
        yield (
            f"All {formats.plural(exact_count, 'row')} compared together: new / old "
            f"{formats.near_one(found.median_ratio)} (median). Far from 1, the machine changed and not one variant."
        )
    if bound := [row for row in found.rows if row.is_load_set]:
        yield (
            f"Hold- or limit-bound in both runs: {formats.plural(len(bound), 'row')}. There the load sets the rate, "
            "which a slower server does not change: look at p50, p99 and CPU (an answer's)."
        )
    if not found.compared:
        yield "Nothing could be compared: no variant has a rate in both runs under the same load."
    if found.unsound:
        yield (
            f"Unsound: {formats.plural(len(found.unsound), 'row')}. It can't be said whether they are better or worse: "
            "what a run says of its own rate leaves both open. "
            f"Of these slower by more than {found.threshold_percent:g} % next to neighbours or a busy generator, so "
            f"that they must be measured again: {_listed(found.to_measure_again)}."
        )
        if steps := dict.fromkeys(step for row in found.unsound for step in row.settle):
            yield f"What would settle it: {'; '.join(steps)}."
    if bounded := [row for row in found.rows if row.is_compared and not row.is_exact]:
        yield (
            f"Decided by a bound: {formats.plural(len(bounded), 'row')}. A run doubts its own rate, and only makes the "
            "difference larger (≤ and ≥ stand before the ratio)."
        )
    yield f"Worse by more than {found.threshold_percent:g} %, failed or not reached: {_listed(found.regressions)}."


def _listed(rows: Sequence[RowChange]) -> str:
    names = ", ".join(f"{row.variant} ({row.scenario})" for row in rows)
    return f"{len(rows)}: {names}" if rows else "none"


def comparison_data(found: RunComparison) -> dict[str, Any]:
    """A comparison as plain data for `--json`; ratios are new / old."""
    return {
        "old": found.old.run_id,
        "new": found.new.run_id,
        "old_forced": list(found.old.forced),
        "new_forced": list(found.new.forced),
        "old_notes": list(found.old.notes),
        "new_notes": list(found.new.notes),
        "threshold_percent": found.threshold_percent,
        "noise_floor_ratio": found.noise_floor_ratio,
        "median_ratio": found.median_ratio,
        "rows": [_row_data(row) for row in found.rows],
        "regressions": _names(found.regressions),
        "to_measure_again": _names(found.to_measure_again),
        "environment": [
            {"where": change.where, "key": change.key, "old": change.old, "new": change.new} for change in found.changes
        ],
    }


def _names(rows: Sequence[RowChange]) -> list[dict[str, str]]:
    return [{"variant": row.variant, "scenario": row.scenario} for row in rows]


def _row_data(row: RowChange) -> dict[str, Any]:
    return {
        "variant": row.variant,
        "scenario": row.scenario,
        "outcome": row.outcome,
        "is_regression": row.is_regression,
        "must_be_measured_again": row.must_be_measured_again,
        "old_requests_per_s": row.old.requests_per_s if row.old else None,
        "new_requests_per_s": row.new.requests_per_s if row.new else None,
        "ratio": row.ratio,
        "ratio_low": row.interval.low if row.interval else None,
        "ratio_high": row.interval.high if row.interval else None,
        "p_value": row.p_values.own if row.p_values else None,
        "p_value_adjusted": row.p_values.adjusted if row.p_values else None,
        **{f"{name.removesuffix('_us')}_ratio": found for name, found in row.metric_ratios.items()},
        "is_load_set": row.is_load_set,
        "ratio_direction": row.ratio_direction,
        "has_other_window": row.has_other_window,
        "settle": list(row.settle),
        "old_verdict": _verdict(row.old),
        "new_verdict": _verdict(row.new),
        "remark": row.remark,
    }


def _verdict(row: SummaryRow | None) -> Verdict | None:
    """What a run says of its own row; None where it has none, or no round of it ended."""
    return verdict_of(row) if row else None


def _verdicts(row: RowChange) -> str:
    """One verdict where both runs say the same, else the old run's above the new one's."""
    old, new = (formats.NONE if found is None else str(found) for found in (_verdict(row.old), _verdict(row.new)))
    return old if old == new else f"{old}\n{new}"


def _rows_table(rows: Sequence[RowChange]) -> Table:
    table = plain_table()
    shown = shown_places(rows)
    for place in shown:
        header = HEADERS[place]
        # Where there is no room only names go over two lines; no header and no figure is cut.
        is_name = place == 0
        table.add_column(header, justify="left" if place in _LEFT else "right", no_wrap=not is_name, overflow="fold")
    for row in rows:
        text, style = _SHOWN[row.outcome]
        has_doubt = any(is_doubtful(found) for found in (row.old, row.new) if found)
        cells = [terminal(cell, style="dim" if has_doubt else "") for cell in row_cells(row)]
        cells[_OUTCOME_PLACE] = terminal(text, style=style)
        table.add_row(*(cells[place] for place in shown))
    return table


def shown_places(rows: Sequence[RowChange]) -> tuple[int, ...]:
    """The places of HEADERS that are worth their room: those at half rate only where both runs have such windows."""
    lines = [row_cells(row) for row in rows]
    return tuple(
        place
        for place in range(len(HEADERS))
        if place not in _HALF_RATE_PLACES or any(line[place] != formats.NONE for line in lines)
    )


def row_cells(row: RowChange) -> tuple[str, ...]:
    ratio = formats.near_one(row.ratio)
    return (
        row.variant,
        formats.rate(row.old.requests_per_s if row.old else None),
        formats.rate(row.new.requests_per_s if row.new else None),
        f"{_BOUND_SIGN.get(row.ratio_direction, '') if row.is_compared else ''}{ratio}",
        formats.near_one_range(row.interval.low, row.interval.high) if row.interval else formats.NONE,
        row.outcome,
        *map(formats.near_one, row.metric_ratios.values()),
        _verdicts(row),
    )


def _render_changes(found: RunComparison, console: Console) -> None:
    console.print()
    if not found.changes:
        console.print(terminal("The environment is the same, as far as both runs know it."))
        return
    console.print(terminal("What else is not the same", style="bold"))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("where", no_wrap=True)
    for header in ("fact", "old", "new"):
        table.add_column(header, overflow="fold")
    for change in found.changes:
        table.add_row(*map(terminal, (change.where, change.key, change.old, change.new)))
    console.print(table)


_CSS = {"better": "holds", "worse": "fails", "failed": "fails", "vanished": "fails", "polluted": "fails"}


def write_comparison(folder: Path, found: RunComparison) -> Path:
    """Writes the page into a folder (the new run's), replaced as a whole; its path. Raises StoreError."""
    figures = [
        ArticleFigure(
            name=f"{row.variant} ({row.scenario})",
            variant=row.variant,
            ratio=row.ratio,
            low=row.interval.low if row.interval else row.ratio,
            high=row.interval.high if row.interval else row.ratio,
            published_per_s=row.old.requests_per_s,
            measured_per_s=row.new.requests_per_s,
            is_doubtful=not row.is_exact,
            label=f"{row.ratio:.3f}  {row.outcome}",
        )
        for row in found.rows
        if row.ratio and row.old and row.new and row.old.requests_per_s and row.new.requests_per_s
    ]
    specs = {}
    if figures:
        chart = charts.ratios(figures, "new / old (log scale)", ("old requests/s", "new requests/s"))
        specs = {"ratios": charts.page_spec(charts.plain(chart))}
    planned = [row for row in found.rows if row.outcome != "unplanned"]
    shown = shown_places(planned)
    path = folder / f"compare_{found.old.run_id}.html"
    write_page(
        path,
        "compare.html.j2",
        Page(f"{found.old.run_id} and {found.new.run_id}", documents(charts=specs), has_charts=bool(specs)),
        old=found.old.run_id,
        new=found.new.run_id,
        caveats=list(caveat_lines(found)),
        summary=list(summary_lines(found)),
        changes=[(one.where, one.key, one.old, one.new) for one in found.changes],
        has_chart=bool(specs),
        headers=[HEADERS[place].replace("\n", " ") for place in shown],
        outcome_place=HEADERS.index("is"),
        rows=[
            {
                "scenario": row.scenario,
                "cells": [row_cells(row)[place].replace("\n", ", ") for place in shown],
                "css": _CSS.get(row.outcome, "unclear"),
                "is_doubtful": any(is_doubtful(side) for side in (row.old, row.new) if side),
                "remark": row.remark,
            }
            for row in planned
        ],
    )
    return path
