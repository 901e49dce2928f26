"""A run in the files that other tools read.

Parquet and CSV (cells, samples, histograms) are for pandas and DuckDB; others for Bencher, github-action-benchmark,
Apache Otava and HdrHistogram's plotter.
"""

from __future__ import annotations

import csv
import io
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from wrklab.errors import StoreError, UnknownNameError
from wrklab.extract.histogram import Histogram
from wrklab.report.contents import Contents, ReportRow, read_contents
from wrklab.report.environment import flatten
from wrklab.report.screen import named_entries
from wrklab.results.records import CellRecord, RunPlan
from wrklab.results.run_folder import Run, write_file
from wrklab.summary.rows import cell_row
from wrklab.verdicts.rules import cell_verdict, verdict_figures

_SAMPLES = pa.schema(
    [
        ("cell_id", pa.string()),
        ("host", pa.string()),
        ("metric", pa.string()),
        ("unit", pa.string()),
        ("at_s", pa.float64()),
        ("value", pa.float64()),
    ]
)
_HISTOGRAMS = pa.schema(
    [("cell_id", pa.string()), ("kind", pa.string()), ("value_us", pa.int64()), ("count", pa.int64())]
)


_WRITERS = {".parquet": pa.parquet.ParquetWriter, ".csv": pa.csv.CSVWriter}
_SUFFIXES = tuple(_WRITERS)


@dataclass(frozen=True)
class ExportPaths:
    """The files that were written, all in the run's folder export/."""

    paths: tuple[Path, ...]


def export(run: Run, suffixes: Sequence[str] = _SUFFIXES) -> ExportPaths:
    """Writes export/{cells,samples,histograms} with these suffixes, of .parquet and .csv. Raises StoreError."""
    folder = run.path / "export"
    cells = _cells(run)
    tables: dict[str, tuple[pa.Schema, Iterator[pa.Table]]] = {
        "cells": (cells.schema, iter([cells])),
        "samples": (_SAMPLES, _samples(run)),
        "histograms": (_HISTOGRAMS, _histograms(run)),
    }
    try:
        folder.mkdir(exist_ok=True)
        paths = [
            path for name, (schema, parts) in tables.items() for path in _write(folder / name, schema, parts, suffixes)
        ]
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error}; make room or change its owner") from error
    return ExportPaths(tuple(paths))


def _write(stem: Path, schema: pa.Schema, parts: Iterator[pa.Table], suffixes: Sequence[str]) -> list[Path]:
    """The files of one table, cell by cell: the histograms of a long run need not fit into memory together."""
    paths = [stem.with_suffix(suffix) for suffix in suffixes]
    with ExitStack() as stack:
        writers = [stack.enter_context(_WRITERS[path.suffix](path, schema)) for path in paths]
        for part in parts:
            for writer in writers:
                writer.write_table(part)
    return paths


def _cells(run: Run) -> pa.Table:
    """A line a cell, the record's keys as columns: measurement.latency.p99_us. Lists are JSON text. Verdicts last."""
    cells = run.cells()
    records = [_plain(cell.model_dump(mode="json")) for cell in cells]
    verdicts = [_verdict(run.plan, cell) for cell in cells]
    return pa.Table.from_pylist(_even([*map(operator.or_, records, verdicts)]))


def _verdict(plan: RunPlan, cell: CellRecord) -> dict[str, str]:
    return {"verdict": str(cell_verdict(plan, cell)), "verdict_figures": verdict_figures(cell_row(plan, cell))}


def _even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every row with every key: a failed cell lacks the measurement's."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in keys} for row in rows]


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record by dotted keys, with its lists as JSON text: CSV has no lists."""
    return {key: json.dumps(value) if isinstance(value, list) else value for key, value in flatten(record).items()}


def _samples(run: Run) -> Iterator[pa.Table]:
    for cell in run.cells():
        samples = run.samples(cell.cell_id)
        columns = [list(column) for column in zip(*samples, strict=True)] or [[], [], [], [], []]
        yield pa.table([pa.array([cell.cell_id] * len(samples), pa.string()), *columns], schema=_SAMPLES)


def _histograms(run: Run) -> Iterator[pa.Table]:
    for cell in run.cells():
        for kind, data in run.histograms(cell.cell_id).items():
            histogram = Histogram.from_bytes(data)
            size = len(histogram.values_us)
            yield pa.table(
                [[cell.cell_id] * size, [kind] * size, histogram.values_us, histogram.counts], schema=_HISTOGRAMS
            )


#: Steps of HdrHistogram's percentile log: so many a halving of the distance to 100 %.
_TICKS_PER_HALF = 5
_US_PER_MS = 1000.0


def to_bmf(contents: Contents) -> str:
    """Bencher Metric Format: an object a row, a measure each with value, lower and upper value.

    https://bencher.dev/docs/reference/bencher-metric-format/ - times in ns, as its built-in measure `latency` has them.
    Doubtful rows are left out: a threshold must not be moved by them.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, entry in named_entries(contents):
        row = entry.row
        if entry.is_doubtful or row.requests_per_s is None:
            continue
        rate = {"value": row.requests_per_s}
        if row.requests_per_s_low is not None and row.requests_per_s_high is not None:
            rate |= {"lower_value": row.requests_per_s_low, "upper_value": row.requests_per_s_high}
        measures = {"throughput": rate}
        if row.latency is not None and "latency" not in entry.doubts:
            measures["latency"] = {"value": row.latency.p50_us * _US_PER_MS}
            measures["latency-p99"] = {"value": row.latency.p99_us * _US_PER_MS}
        found[name] = measures
    return _json(found)


def to_gha(contents: Contents) -> str:
    """github-action-benchmark's `customBiggerIsBetter`: a list of name, unit, value, range and what to know of it.

    https://github.com/benchmark-action/github-action-benchmark - doubtful rows are left out.
    """
    found = []
    for name, entry in named_entries(contents):
        row = entry.row
        if entry.is_doubtful or row.requests_per_s is None:
            continue
        one: dict[str, Any] = {"name": name, "unit": "requests/s", "value": row.requests_per_s}
        if row.requests_per_s_low is not None and row.requests_per_s_high is not None:
            reach = max(row.requests_per_s_high - row.requests_per_s, row.requests_per_s - row.requests_per_s_low)
            one["range"] = f"{reach:.1f}"
        one["extra"] = f"run {contents.info.run_id}, {entry.verdict}, {row.rounds} rounds"
        found.append(one)
    return _json(found)


def to_otava_csv(contents: Contents) -> str:
    """One line of Apache Otava's CSV: the time, the run, and a column a row's rate. Lines of several runs go together.

    `invoke trend` gives the history of all runs with Otava's answer; this is for whoever has an Otava of their own.
    """
    began = datetime.fromtimestamp(contents.plan.created_at_s, UTC)
    rates = {
        f"{name} requests_per_s".replace(" ", "_"): entry.row.requests_per_s
        for name, entry in named_entries(contents)
        if not entry.is_doubtful and entry.row.requests_per_s is not None
    }
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("time", "run", *rates))
    values = [f"{rate:.4f}" for rate in rates.values()]
    writer.writerow((f"{began:%Y-%m-%d %H:%M:%S %z}", contents.info.run_id, *values))
    return stream.getvalue()


def to_otava_config(contents: Contents, file: str) -> str:
    """Otava's configuration for that CSV, as JSON, which is YAML too."""
    names = next(csv.reader(io.StringIO(to_otava_csv(contents))))[2:]
    test = {
        "type": "csv",
        "file": file,
        "time_column": "time",
        "attributes": ["run"],
        "metrics": {name: {"column": name, "direction": 1} for name in names},
        "csv_options": {"delimiter": ",", "quotechar": '"'},
    }
    return _json({"tests": {"wrklab": test}})


def to_hdr(entry: ReportRow) -> str:
    """HdrHistogram's percentile distribution of one row's observed latencies in ms, as its plotter takes it.

    https://hdrhistogram.github.io/HdrHistogram/plotFiles.html - empty where no answer was timed.
    """
    histogram = entry.row.observed
    if not histogram.values_us.size:
        return ""
    lines = ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]
    total = histogram.count
    ratio, step = 0.0, 0.5 / _TICKS_PER_HALF
    while True:
        value_us = histogram.percentile(100 * ratio) if ratio else histogram.min_us
        below = int(histogram.counts[histogram.values_us <= value_us].sum())
        if below >= total:
            break
        lines.append(f"{value_us / _US_PER_MS:12.3f} {ratio:2.12f} {below:10d} {1 / (1 - ratio):14.2f}")
        ratio += step
        if 1 - ratio <= _TICKS_PER_HALF * step + step / 2:
            step /= 2
    lines.append(f"{histogram.max_us / _US_PER_MS:12.3f} {1.0:2.12f} {total:10d}")
    mean, stdev = histogram.mean_us / _US_PER_MS, histogram.stdev_us / _US_PER_MS
    lines += [
        f"#[Mean    = {mean:12.3f}, StdDeviation   = {stdev:12.3f}]",
        f"#[Max     = {histogram.max_us / _US_PER_MS:12.3f}, Total count    = {total:12d}]",
        f"#[Buckets = {1:12d}, SubBuckets     = {len(histogram.values_us):12d}]",
    ]
    return "\n".join(lines) + "\n"


def _write_one(name: str, text: Callable[[Contents], str]) -> Callable[[Run, Path], list[Path]]:
    def write(run: Run, folder: Path) -> list[Path]:
        path = folder / name
        write_file(path, text(read_contents(run)))
        return [path]

    return write


def _write_otava(run: Run, folder: Path) -> list[Path]:
    contents = read_contents(run)
    paths = [folder / "otava.csv", folder / "otava.yaml"]
    write_file(paths[0], to_otava_csv(contents))
    write_file(paths[1], to_otava_config(contents, str(paths[0].resolve())))
    return paths


def _write_hdr(run: Run, folder: Path) -> list[Path]:
    paths = []
    for entry in read_contents(run).rows:
        if text := to_hdr(entry):
            paths.append(folder / f"{entry.row.scenario}.{entry.row.variant}.hgrm")
            write_file(paths[-1], text)
    return paths


def _write_tables(suffix: str) -> Callable[[Run, Path], list[Path]]:
    def write(run: Run, _: Path) -> list[Path]:
        # Only who asks for it waits for pyarrow.
        from wrklab.report.export_formats import export

        return list(export(run, suffixes=(suffix,)).paths)

    return write


#: What `invoke export --format` takes.
FORMATS: Mapping[str, Callable[[Run, Path], list[Path]]] = {
    "parquet": _write_tables(".parquet"),
    "csv": _write_tables(".csv"),
    "bmf": _write_one("bencher.json", to_bmf),
    "gha": _write_one("github_action_benchmark.json", to_gha),
    "otava": _write_otava,
    "hdr": _write_hdr,
}
#: Without --format.
DEFAULT_FORMATS = "parquet,csv"


def export_as(run: Run, formats: str) -> list[Path]:
    """Writes the run in each of the formats (`parquet,csv,bmf`) into its folder export/; the files.

    Raises UnknownNameError, StoreError.
    """
    names = [name.strip() for name in formats.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS:
            raise UnknownNameError("format", name, list(FORMATS))
    folder = run.path / "export"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}; make room or change its owner") from error
    return [path for name in dict.fromkeys(names) for path in FORMATS[name](run, folder)]


def _json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
