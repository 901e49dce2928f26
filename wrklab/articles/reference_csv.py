"""Reading reference/*.csv: rows with a key each, errors with file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from wrklab.errors import CardError

Row = TypeVar("Row")


def read_reference(
    folder: Path, pattern: str, make: Callable[[str, dict[str, str]], Row], *, key_column: str = "row"
) -> dict[str, Row]:
    """Every row of the files that match a pattern, by its key; `make` has the file's stem and the line's columns.

    No two rows of these files have the same key.

    Raises CardError where a column is missing, `make` raises ValueError, or a key stands a second time.
    """
    rows: dict[str, Row] = {}
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", newline="") as stream:
            for line, record in enumerate(csv.DictReader(stream), start=2):
                try:
                    key, row = record[key_column], make(path.stem, record)
                except KeyError as error:
                    raise CardError(f"{path}:{line}: no column {error}") from error
                except ValueError as error:
                    raise CardError(f"{path}:{line}: {error}") from error
                if key in rows:
                    raise CardError(f"{path}:{line}: {key_column} {key!r} stands here a second time")
                rows[key] = row
    return rows
