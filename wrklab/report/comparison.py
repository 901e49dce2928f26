"""Two runs side by side, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wrklab import formats
from wrklab.compare.rows import Outcome, RowChange
from wrklab.compare.runs import RunComparison, RunSide
from wrklab.report.contents import read_contents
from wrklab.results.run_folder import Run
from wrklab.summary.rows import COMPARED_METRICS, SummaryRow
from wrklab.verdicts.verdict import Verdict
from wrklab.verdicts.verdicts import verdict_of

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
    "other_load": ("other load", "yellow"),
    "unmeasured": ("in neither", "dim"),
}
_HEADERS = (
    "variant",
    "old per s",
    "new per s",
    "new / old",
    "from-to",
    "is",
    *(metric.compared or "" for metric in COMPARED_METRICS),
    "old verdict",
    "new verdict",
)


def read_side(run: Run) -> RunSide:
    """What comparing needs of a stored run."""
    contents = read_contents(run)
    return RunSide(run.plan, run.environment, tuple(entry.row for entry in contents.rows), contents.noise_floor)


def render_comparison(found: RunComparison, console: Console) -> None:
    """Prints what each run says of itself, rows by scenario, what stands out, and what changed around them."""
    console.print(Text(f"old {found.old.run_id}\nnew {found.new.run_id}"))
    for line in caveat_lines(found):
        console.print(Text(line), style="yellow" if "--force" in line else "dim")
    for scenario in dict.fromkeys(row.scenario for row in found.rows):
        console.print()
        console.print(Text(scenario, style="bold"))
        console.print(_rows_table([row for row in found.rows if row.scenario == scenario]))
    for row in found.rows:
        if row.remark:
            console.print(Text(f"{row.variant} ({row.scenario}): {row.remark}"), style="dim")
    console.print()
    for line in summary_lines(found):
        console.print(Text(line))
    _render_changes(found, console)


def caveat_lines(found: RunComparison) -> Iterator[str]:
    """What was forced, what was resumed, what is to be known of the lab: with the run that says so, or both."""
    old, new = found.old.sentences, found.new.sentences
    for text in dict.fromkeys([*old, *new]):
        who = "both" if text in old and text in new else "old" if text in old else "new"
        yield f"{who}: {text}"


def summary_lines(found: RunComparison) -> Iterator[str]:
    """What the figures come to, a sentence a line."""
    floor = found.noise_floor_ratio
    yield (
        "Noise floor: neither run has one (bench --aa gives it); equal means that the test does not tell them apart."
        if floor is None
        else f"Noise floor {floor * 100:.2g} %: smaller differences are called equal."
    )
    if found.median_ratio is not None:
        yield (
            f"All {formats.plural(len(found.compared), 'row')} compared together: new / old "
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
            f"Unsound: {formats.plural(len(found.unsound), 'row')}. What a run says of its own rate forbids to compare "
            "it: the ratio is shown, and is neither better nor worse. "
            f"Of these slower by more than {found.threshold_percent:g} % beside neighbours or a busy generator, so "
            f"that they must be measured again: {_listed(found.to_measure_again)}."
        )
    yield f"Worse by more than {found.threshold_percent:g} %, failed or gone: {_listed(found.regressions)}."


def _listed(rows: Sequence[RowChange]) -> str:
    names = ", ".join(f"{row.variant} ({row.scenario})" for row in rows)
    return f"{len(rows)}: {names}" if rows else "none"


def comparison_data(found: RunComparison) -> dict[str, Any]:
    """The same as plain data for `--json`; ratios are new / old."""
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
        "old_verdict": _verdict(row.old),
        "new_verdict": _verdict(row.new),
        "remark": row.remark,
    }


def _verdict(row: SummaryRow | None) -> Verdict | None:
    """What a run says of its own row; None where it has none, or no round of it ended."""
    return verdict_of(row) if row else None


def _stacked(verdict: Verdict | None) -> str:
    """`server-` above `bound`, so that both verdicts have room beside the figures."""
    return verdict.replace("-", "-\n", 1) if verdict else formats.NONE


def _rows_table(rows: Sequence[RowChange]) -> Table:
    table = _table(_HEADERS, left=(0, len(_HEADERS) - 2, len(_HEADERS) - 1))
    for row in rows:
        text, style = _SHOWN[row.outcome]
        is_doubtful = not all(found.is_sound for found in (_verdict(row.old), _verdict(row.new)) if found)
        cells = [Text(cell, style="dim" if is_doubtful else "") for cell in _cells(row)]
        cells[5] = Text(text, style=style)
        table.add_row(*cells)
    return table


def _cells(row: RowChange) -> tuple[str, ...]:
    return (
        row.variant,
        formats.rate(row.old.requests_per_s if row.old else None),
        formats.rate(row.new.requests_per_s if row.new else None),
        formats.near_one(row.ratio),
        formats.near_one_range(row.interval.low, row.interval.high) if row.interval else formats.NONE,
        row.outcome,
        *map(formats.near_one, row.metric_ratios.values()),
        _stacked(_verdict(row.old)),
        _stacked(_verdict(row.new)),
    )


def _render_changes(found: RunComparison, console: Console) -> None:
    console.print()
    if not found.changes:
        console.print(Text("The environment is the same, as far as both runs know it."))
        return
    console.print(Text("What else is not the same", style="bold"))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("where", no_wrap=True)
    for header in ("fact", "old", "new"):
        table.add_column(header, overflow="fold")
    for change in found.changes:
        table.add_row(*map(Text, (change.where, change.key, change.old, change.new)))
    console.print(table)


def _table(headers: Sequence[str], left: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, header in enumerate(headers):
        table.add_column(header.replace(" ", "\n"), justify="left" if place in left else "right", no_wrap=place == 0)
    return table
