"""The files for other tools. Otava's own reader has its test in tests/tools: it needs an environment of its own."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest

from tests.unit.handmade_full_run import handmade_full_run
from wrklab.errors import UnknownNameError
from wrklab.extract.histogram import Histogram
from wrklab.report.contents import read_contents
from wrklab.report.export_formats import FORMATS, export_as, to_hdr
from wrklab.results.run_folder import Run

#: A line of HdrHistogram's percentile distribution (AbstractHistogram.outputPercentileDistribution).
_HDR_LINE = re.compile(r" *(?P<value>[\d.]+) +(?P<ratio>[01]\.\d{12}) +(?P<count>\d+)(?: +(?P<one_in>[\d.]+))?")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with handmade_full_run(tmp_path_factory.mktemp("results"), rounds=2) as written:
        yield written


def test_every_format_writes_files_into_export(run: Run) -> None:
    """All at once, as `--format parquet,csv,bmf,gha,otava,hdr`; each name once."""
    paths = export_as(run, ",".join(FORMATS))

    assert all(path.is_file() and path.parent == run.path / "export" for path in paths)
    assert {path.suffix for path in paths} == {".parquet", ".csv", ".json", ".yaml", ".hgrm"}
    assert len(paths) == len(set(paths))


def test_an_unknown_format_is_refused(run: Run) -> None:
    """The known ones are listed."""
    with pytest.raises(UnknownNameError, match=r"unknown format 'bmff'.*bmf"):
        export_as(run, "parquet,bmff")


def test_pyarrow_and_pandas_read_the_tables(run: Run) -> None:
    """Parquet and CSV hold the same cells."""
    export_as(run, "parquet,csv")
    table = pyarrow.parquet.read_table(run.path / "export" / "cells.parquet")
    frame = pd.read_csv(run.path / "export" / "cells.csv")

    assert table.num_rows == len(frame) == 44
    assert table.column("cell_id").to_pylist() == list(frame["cell_id"])


def test_bencher_gets_measures_of_sound_rows(run: Run) -> None:
    """An object a benchmark, a measure each with numbers alone; bounds enclose the value; no doubtful row."""
    export_as(run, "bmf")
    found = json.loads((run.path / "export" / "bencher.json").read_text())
    contents = read_contents(run)
    sound = {entry.row.variant for entry in contents.rows if not entry.is_doubtful and entry.row.requests_per_s}

    assert set(found) == sound
    for measures in found.values():
        for measure in measures.values():
            assert set(measure) <= {"value", "lower_value", "upper_value"}
            assert measure.get("lower_value", 0) <= measure["value"] <= measure.get("upper_value", float("inf"))
    assert found["go_net_http"]["latency"]["value"] == pytest.approx(101e6, rel=0.01)


def test_github_action_benchmark_gets_its_four_fields(run: Run) -> None:
    """name, unit and a number; range and extra are text (its extractCustomBenchmarkResult asks for just that)."""
    export_as(run, "gha")
    found = json.loads((run.path / "export" / "github_action_benchmark.json").read_text())

    assert len(found) > 10
    for one in found:
        assert set(one) == {"name", "unit", "value", "range", "extra"}
        assert isinstance(one["value"], float)
        assert all(isinstance(one[key], str) for key in ("name", "unit", "range", "extra"))


def test_otava_gets_a_line_with_a_column_a_row(run: Run) -> None:
    """The time with its zone; no column of a doubtful row."""
    export_as(run, "otava")
    with (run.path / "export" / "otava.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)

    assert row["time"] == "2026-11-21 00:30:12 +0000"
    assert float(row["go_net_http_requests_per_s"]) == pytest.approx(18_774, rel=0.02)
    assert "flask_dev_sync_requests_per_s" not in row


def test_hdr_percentiles_are_those_of_the_histogram(run: Run) -> None:
    """Values and counts ascend to all answers; each value is the histogram's own at that percentile."""
    entry = next(entry for entry in read_contents(run).rows if entry.row.variant == "go_net_http")
    text = to_hdr(entry)
    lines = [found for line in text.splitlines() if (found := _HDR_LINE.fullmatch(line))]
    histogram = Histogram.empty()
    for cell in entry.row.measured:
        histogram = histogram.add(Histogram.from_bytes(run.histograms(cell.cell_id)["observed"]))

    assert text.startswith("       Value     Percentile TotalCount 1/(1-Percentile)\n\n")
    assert "#[Mean    =" in text
    assert [float(found["value"]) for found in lines] == sorted(float(found["value"]) for found in lines)
    assert int(lines[-1]["count"]) == histogram.count
    assert float(lines[-1]["value"]) == pytest.approx(histogram.max_us / 1000, abs=0.001)
    for found in lines[1:-1]:
        exact = histogram.percentile(100 * float(found["ratio"])) / 1000
        assert float(found["value"]) == pytest.approx(exact, abs=0.001)
        assert int(found["count"]) == int(histogram.counts[histogram.values_us <= exact * 1000 + 0.5].sum())


def test_the_paths_are_inside_the_run(run: Run, tmp_path: Path) -> None:
    """Nothing is written elsewhere."""
    before = set(tmp_path.iterdir())
    export_as(run, "hdr")

    assert set(tmp_path.iterdir()) == before
