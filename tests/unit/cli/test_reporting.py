"""What `invoke reparse` prints."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.bench.test_reparse import CAPTURED, RETRIED
from wrklab.bench.reparse import FigureChange, Reparsed
from wrklab.cli import reporting
from wrklab.cli.reporting import changes_table, reparse_run, summary
from wrklab.errors import StoreError

CHANGES = (
    FigureChange("s.a.1", "measurement.latency.p99_us", 101_000.0, 99_000.0),
    FigureChange("s.b.1", "measurement.latency.p99_us", 102_000.0, 98_000.0),
    FigureChange("s.a.1", "state", "measured", "failed"),
    FigureChange("s.a.1", "histograms", None, None),
)


def printed(changes: tuple[FigureChange, ...]) -> list[str]:
    """The table's lines."""
    stream = io.StringIO()
    Console(file=stream, width=120).print(changes_table(changes))
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_the_summary_counts_cells() -> None:
    """Of one whose raw cannot be read nothing was read again."""
    assert summary("x", Reparsed(2, (), {}, ())) == "run x: 2 cells read again, no figure changed"
    assert summary("x", Reparsed(3, CHANGES, {"s.c.1": "damaged"}, ())) == "run x: 2 cells read again, 2 changed"


def test_figures_that_changed_in_most_cells_come_first() -> None:
    """With one of their cells."""
    assert printed(CHANGES) == [
        "figure cells old new in cell",
        "measurement.latency.p99_us 2 101000 99000 s.a.1",
        "histograms 1 - - s.a.1",
        "state 1 measured failed s.a.1",
    ]


def test_a_long_list_is_cut() -> None:
    """After 15 figures."""
    many = tuple(FigureChange("s.a.1", f"figure_{number:02}", 1.0, 2.0) for number in range(20))
    assert len(printed(many)) == 1 + 15 + 1
    assert printed(many)[-1].startswith("and 5 more figures")


def test_an_old_run_can_be_reported_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before; then its reports are there."""
    with tarfile.open(CAPTURED) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setattr(reporting, "RESULTS_DIR", tmp_path)
    with pytest.raises(StoreError, match=f"`invoke reparse {RETRIED}`"):
        reporting.report(RETRIED, as_json=False, is_verbose=False)

    reparse_run(RETRIED, as_json=False)
    out, err = capsys.readouterr()

    assert f"run {RETRIED}: 2 cells read again, no figure changed" in out
    assert "report.md" in err
    assert "go\\_net\\_http" in (tmp_path / RETRIED / "report.md").read_text()
    reporting.report(RETRIED, as_json=False, is_verbose=False)
    assert "go_net_http" in capsys.readouterr().out
