"""compare_OLD.html: two runs side by side, what changed around them first."""

from __future__ import annotations

from pathlib import Path

from wrklab.compare.runs import RunComparison
from wrklab.report import charts
from wrklab.report.chart_figures import ArticleFigure
from wrklab.report.comparison import HEADERS, caveat_lines, row_cells, summary_lines
from wrklab.report.html_page import Page, documents, write_page
from wrklab.verdicts.rules import is_doubtful

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
        headers=[header.replace("\n", " ") for header in HEADERS],
        outcome_place=HEADERS.index("is"),
        rows=[
            {
                "scenario": row.scenario,
                "cells": [cell.replace("\n", ", ") for cell in row_cells(row)],
                "css": _CSS.get(row.outcome, "unclear"),
                "is_doubtful": any(is_doubtful(side) for side in (row.old, row.new) if side),
                "remark": row.remark,
            }
            for row in found.rows
            if row.outcome != "unplanned"
        ],
    )
    return path
