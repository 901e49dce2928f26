"""The articles' claims in reports: lines for the terminal, tables for Markdown, objects for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wrklab.articles.claims import (
    FAILS,
    HOLDS,
    OPEN,
    ClaimResult,
    article_text,
    limit_text,
    measured_text,
    pair_text,
    published_text,
)
from wrklab.articles.comparison import RankCorrelation
from wrklab.articles.consistency import Inconsistency
from wrklab.formats import plural
from wrklab.report.escaping import terminal

HEADERS = ("claim", "what is compared", "claimed", "published", "measured", "answer", "why")
_STYLES = {HOLDS: "green", FAILS: "red", OPEN: "yellow"}
#: The terminal shows so many reasons of a claim; report.md and --json have all.
_REASONS_SHOWN = 2

Escape = Callable[[str], str]


def to_data(results: Sequence[ClaimResult]) -> list[dict[str, Any]]:
    """An object a claim, for `--json`. Numbers are in the metric's unit; null: there is none, or the range is open."""
    return [_data(result) for result in results]


def _data(result: ClaimResult) -> dict[str, Any]:
    claim, found = result.claim, result.measured
    return {
        **_of_claim(result),
        "comparisons": result.comparisons,
        "published": _finite(result.published),
        "published_text": published_text(result),
        "measured": _finite(found.value if found else None),
        "measured_low": _finite(found.low if found else None),
        "measured_high": _finite(found.high if found else None),
        "measured_text": measured_text(result),
        "is_doubtful": result.is_doubtful,
        "verdict": result.answer,
        "why": list(result.why),
        "settled_by": list(result.settled_by),
        "article_verdict": result.article_answer,
        "article_why": article_text(result) or None,
        "note": claim.note or None,
    }


def _of_claim(result: ClaimResult) -> dict[str, Any]:
    """What a claim says, whoever measured."""
    claim = result.claim
    return {
        "claim": claim.claim,
        "suite": result.suite,
        "article": claim.source,
        "says": claim.says,
        "metric": claim.measure.metric,
        "compared": pair_text(result),
        "limit": limit_text(claim),
    }


def _finite(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None


def article_data(result: ClaimResult) -> dict[str, Any]:
    """A claim next to its article's own figures, for `invoke claims --json`."""
    claim = result.claim
    return {
        **_of_claim(result),
        "needs_cpus": claim.needs_cpus,
        "published": _finite(result.published),
        "published_text": published_text(result),
        "article_verdict": result.article_answer,
        "article_why": article_text(result) or None,
        "note": claim.note or None,
    }


def correlation_data(found: RankCorrelation) -> dict[str, Any]:
    """An article's rank correlation, for `--json`."""
    return {
        "article": found.source,
        "n": found.pairs_count,
        "spearman": found.spearman,
        "kendall": found.kendall,
        "left_out": [{"row": row, "why": why} for row, why in found.left_out],
        "n_with_doubtful": found.pairs_count + found.doubtful_pairs_count,
        "spearman_with_doubtful": found.spearman_with_doubtful,
        "kendall_with_doubtful": found.kendall_with_doubtful,
    }


def inconsistency_data(found: Inconsistency) -> dict[str, str]:
    """Two figures of an article that do not fit, for `--json`."""
    return {
        "article": found.article,
        "row": found.row,
        "kind": found.kind,
        "what": found.what,
        "first": found.first,
        "second": found.second,
    }


def summary_line(results: Sequence[ClaimResult]) -> str:
    """How many claims have which answer: 3 hold, 1 does not hold, 8 can't be said."""
    hold, fail, are_open = (sum(result.answer == answer for result in results) for answer in (HOLDS, FAILS, OPEN))
    return f"Claims of the articles: {hold} hold, {fail} do not hold, {are_open} can't be said"


def other_loads_line(results: Sequence[ClaimResult]) -> str:
    """The claims that are about other loads than were requested; empty where there is none."""
    names = [result.claim.claim for result in results if result.is_of_other_loads]
    return f"Can't be said, as they are about other loads: {', '.join(names)}" if names else ""


def of_this_load(results: Sequence[ClaimResult]) -> list[ClaimResult]:
    """The claims of which at least one figure was requested under its load."""
    return [result for result in results if not result.is_of_other_loads]


def correlation_line(found: RankCorrelation) -> str:
    """The rank correlation of one table in a sentence."""
    sound = _coefficients(found.pairs_count, found.spearman, found.kendall)
    left_out = f"; {len(found.left_out)} left out" if found.left_out else ""
    text = f"{found.source}: order of rates there and here, {sound}{left_out}"
    if found.doubtful_pairs_count:
        count = found.pairs_count + found.doubtful_pairs_count
        text += (
            f"; with doubtful rates {_coefficients(count, found.spearman_with_doubtful, found.kendall_with_doubtful)}"
        )
    return f"{text}."


def _coefficients(count: int, spearman: float | None, kendall: float | None) -> str:
    if spearman is None or kendall is None:
        return f"n = {count}: too few for a rank correlation"
    return f"n = {count}: Spearman {spearman:.2f}, Kendall {kendall:.2f}"


def left_out_line(found: RankCorrelation) -> str:
    """Which rows a rank correlation leaves out, by reason; empty where it has all."""
    by_reason: dict[str, list[str]] = {}
    for row, why in found.left_out:
        by_reason.setdefault(why, []).append(row)
    return "; ".join(f"{why}: {', '.join(rows)}" for why, rows in by_reason.items())


def render(results: Sequence[ClaimResult], console: Console) -> None:
    """Print every claim: its answer and sentence, below them published, measured, the limit, why, what settles it."""
    if not results:
        return
    console.print(terminal(summary_line(results), style="bold"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for result in of_this_load(results):
        grid.add_row(terminal(result.answer, style=_STYLES[result.answer]), terminal(result.claim.says))
        grid.add_row("", terminal(_details(result), style="dim"))
    console.print(grid)
    if line := other_loads_line(results):
        console.print(terminal(line, style="dim"))
    console.print()


def _details(result: ClaimResult) -> str:
    claim = result.claim
    what = f"{claim.measure.metric}{' ratio' if claim.ratio_of else ''}"
    figures = f"published {published_text(result)}; measured {measured_text(result)}"
    found = f"{what}: claimed {limit_text(claim)}; {figures}"
    # The figures already show that a range is within or outside the limit.
    reasons = result.why if result.answer == OPEN else result.why[:-1]
    shown = list(reasons[:_REASONS_SHOWN])
    if len(reasons) > _REASONS_SHOWN:
        shown.append(f"{plural(len(reasons) - _REASONS_SHOWN, 'further reason')} in the report's file")
    if result.answer != HOLDS and claim.note:
        shown.append(claim.note.rstrip("."))
    if (article := article_text(result)) and result.article_answer == FAILS:
        shown.append(article)
    if result.settled_by:
        shown.append(_settled_text(result))
    return ". ".join([found, *shown])


def _settled_text(result: ClaimResult) -> str:
    """What would settle an open claim: To settle it: invoke bench --suite flask_gunicorn_article."""
    return f"To settle it: {'; '.join(text.rstrip('.') for text in result.settled_by)}"


def render_correlations(found: Iterable[RankCorrelation], console: Console) -> None:
    """Print a line a table."""
    for correlation in found:
        console.print(terminal(correlation_line(correlation)))


def render_articles(results: Sequence[ClaimResult], wrong: Sequence[Inconsistency], console: Console) -> None:
    """Print claims next to their articles' own figures, and what does not fit within the articles."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    for result in results:
        claim = result.claim
        grid.add_row(Text.assemble(terminal(claim.claim, "bold"), terminal(f" ({result.suite}): {claim.says}")))
        found = f"claimed {limit_text(claim)}; published {published_text(result)}"
        parts = [f"  {found}", article_text(result), claim.note.rstrip(".")]
        grid.add_row(terminal(". ".join(part for part in parts if part), style="dim"))
    console.print(grid)
    console.print()
    console.print(terminal("What does not fit within the articles", style="bold"))
    for one in wrong:
        console.print(Text.assemble((f"{one.kind} ", "yellow"), terminal(f"{one.article}, {one.sentence}")))


def markdown_rows(results: Sequence[ClaimResult], escape: Escape) -> list[list[str]]:
    """The lines of report.md's table, by HEADERS."""
    return [[escape(cell) for cell in _cells(result)] for result in of_this_load(results)]


def _cells(result: ClaimResult) -> tuple[str, ...]:
    claim = result.claim
    settled = _settled_text(result) if result.settled_by else ""
    remarks = [*result.why, article_text(result), claim.note, settled]
    return (
        f"{claim.claim}: {claim.says}",
        pair_text(result),
        limit_text(claim),
        published_text(result),
        measured_text(result),
        result.answer,
        ". ".join(text.rstrip(".") for text in remarks if text),
    )


def correlation_lines(found: Iterable[RankCorrelation], escape: Escape) -> Iterator[str]:
    """A list of report.md: each table's rank correlation, and what it leaves out."""
    for correlation in found:
        left_out = left_out_line(correlation)
        yield f"- {escape(correlation_line(correlation))}" + (f" Left out: {escape(left_out)}." if left_out else "")


def inconsistency_lines(found: Iterable[Inconsistency], escape: Escape) -> Iterator[str]:
    """A list of report.md: what does not fit within the articles."""
    for one in found:
        yield f"- *{one.kind}* {escape(one.sentence)}."
