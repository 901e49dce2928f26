"""The report's rows for programs: CSV and plain data."""

from __future__ import annotations

import csv
import io

from wrklab.report.columns import COLUMNS, Value, row_values
from wrklab.report.contents import Contents


def to_rows(contents: Contents) -> list[dict[str, Value]]:
    """A mapping a variant and scenario, by the columns' names; None where there is no number."""
    return [row_values(entry) for entry in contents.rows]


def to_csv(contents: Contents) -> str:
    """report.csv: a header and a line a variant and scenario; an empty field where there is no number."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, [column.name for column in COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(to_rows(contents))
    return stream.getvalue()
