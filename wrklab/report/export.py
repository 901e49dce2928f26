"""A run as Parquet and CSV files, for pandas and DuckDB: cells, samples, histograms."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from wrklab.errors import StoreError
from wrklab.extract.histogram import Histogram
from wrklab.report.environment import flatten
from wrklab.results.records import CellRecord, RunPlan
from wrklab.results.run_folder import Run
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
