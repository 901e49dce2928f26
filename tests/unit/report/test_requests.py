"""The requests of a mix in report.md, requests.csv, the terminal and JSON."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.handmade_records import handmade_cell, handmade_environment, handmade_plan
from tests.unit.summary.test_request_rows import CELLS, HISTOGRAMS, SCENARIO
from wrklab.report.reports import render_terminal, report_data, write_report
from wrklab.results.records import CellRecord
from wrklab.results.run_folder import Run


def run_of(folder: Path, cells: list[CellRecord], *, has_mix: bool) -> Run:
    """A run of these cells."""
    plan = handmade_plan(cells, scenarios=[SCENARIO] if has_mix else None)
    run = Run.create(folder, plan, handmade_environment(), {})
    for cell in cells:
        run.add_cell(cell, HISTOGRAMS.get(cell.cell_id, {}), [])
    return run


def test_each_request_has_a_line(tmp_path: Path) -> None:
    """By name, with its share, errors and latencies."""
    with run_of(tmp_path, CELLS, has_mix=True) as run:
        paths = write_report(run)
        data = report_data(run)
        console = Console(width=160, record=True, file=io.StringIO())
        render_terminal(run, console, is_verbose=True)

    text = paths.markdown.read_text()
    assert "## Requests" in text
    assert r"gevent | list | 80 | 80 | 1,598 | 199.8 | 0 | 0.10 | 0.10 | 0.10 | 0.30 | 0.30 |" in text
    assert "### shop: a mix of 2 requests, 2,000 connections" in text
    [items, create] = csv.DictReader(io.StringIO((paths.csv.parent / "requests.csv").read_text()))
    assert (items["request"], items["sent"], items["latency_p50_us"]) == ("list", "1600", "100.0")
    assert (create["errors_status"], create["errors_body"], create["errors_timeout"]) == ("3", "2", "1")
    assert [row["request"] for row in data["requests"]] == ["list", "create"]
    assert data["requests"][1]["latency_mean_us"] == pytest.approx(800)
    assert "Each request of the mix" in console.export_text()


def test_a_run_without_a_mix_has_no_such_table(tmp_path: Path) -> None:
    """Nor the file."""
    with run_of(tmp_path, [handmade_cell()], has_mix=False) as run:
        paths = write_report(run)
        assert report_data(run)["requests"] == []

    assert "## Requests" not in paths.markdown.read_text()
    assert not (paths.csv.parent / "requests.csv").exists()
