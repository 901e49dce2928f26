"""results/index.html: every run with its headline, and each row's trend over all runs."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from wrklab.report import charts
from wrklab.report.chart_figures import TrendFigure
from wrklab.report.html_page import Page, documents, write_page
from wrklab.report.trend import Trend, step_lines
from wrklab.results.run_folder import RunInfo, list_runs

#: So many charts fit on a page that opens at once; the most recent rows with steps come first.
_CHARTS_MAX = 60
_POINTS_MIN = 2


def write_index(results_dir: Path, trend: Trend | None) -> Path:
    """Writes index.html into the results folder; its path. Raises StoreError.

    The steps of a trend are those of `invoke trend`: a report does not wait for Otava.
    """
    specs = _charts(trend) if trend else {}
    path = results_dir / "index.html"
    write_page(
        path,
        "index.html.j2",
        Page("wrklab runs", documents(charts=specs), has_charts=bool(specs)),
        runs=[_line(info) for info in reversed(list_runs(results_dir))],
        trend=trend,
        steps=step_lines(trend) if trend else [],
        charts=[(name, name.partition("/")[2]) for name in specs],
    )
    return path


def _line(info: RunInfo) -> dict[str, object]:
    began = datetime.fromtimestamp(info.created_at_s, UTC)
    return {
        "run_id": info.run_id,
        "has_report": (info.path / "report.html").is_file(),
        "began": f"{began:%Y-%m-%d %H:%M} UTC" if info.created_at_s else "",
        "lab": info.lab,
        "cells": f"{info.measured_count:,} of {info.planned_count:,}"
        + (f", {info.failed_count:,} failed" if info.failed_count else ""),
        "state": info.problem or info.state,
        "command": info.command,
        "headline": _headline(info.path),
    }


def _headline(path: Path) -> str:
    """The best sound row, from report.csv; empty where the run has no report yet."""
    try:
        rows = list(csv.DictReader(io.StringIO((path / "report.csv").read_text(encoding="utf-8"))))
        sound = [row for row in rows if row["requests_per_s"] and "rate" not in row["doubts"].split()]
        best = max(sound, key=lambda row: float(row["requests_per_s"]), default=None)
    except (OSError, KeyError, ValueError):
        return ""
    doubtful = sum("rate" in row["doubts"].split() for row in rows)
    first = f"{best['variant']} {float(best['requests_per_s']):,.0f} requests/s" if best else "no sound row"
    return f"{first}; {doubtful} of {len(rows)} rows doubtful"


def _charts(trend: Trend) -> dict[str, charts.Spec]:
    found: dict[str, charts.Spec] = {}
    spec: charts.Spec | None = None
    for one in sorted(trend.series, key=lambda series: not series.steps)[:_CHARTS_MAX]:
        if len(one.points) < _POINTS_MIN:
            continue
        starts = {step.index for step in one.steps}
        figures = [
            TrendFigure(point.run_id, one.variant, point.ratio, place in starts, point.change)
            for place, point in enumerate(one.points)
        ]
        if spec is None:
            spec = charts.page_spec(charts.plain(charts.trend(figures, f"ratio to {trend.reference}")))
        # One chart for all: only its figures differ, and building it is what takes time.
        found[one.name] = {**spec, "data": {"values": [asdict(figure) for figure in figures]}}
    return found
