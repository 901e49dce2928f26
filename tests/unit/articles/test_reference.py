"""Published figures that are not as they should be are told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrklab.articles.reference import read_reference
from wrklab.errors import CardError


def threads(_source: str, record: dict[str, str]) -> int:
    """A row that is one number."""
    return int(record["threads"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("row,threads\na,4\nb,four\n", r"wrk-x\.csv:3: invalid literal .*'four'"),
        ("row,connections\na,4\n", r"wrk-x\.csv:2: no column 'threads'"),
        ("name,threads\na,4\n", r"wrk-x\.csv:2: no column 'row'"),
        ("row,threads\na,4\na,4\n", r"wrk-x\.csv:3: duplicate row 'a'"),
    ],
)
def test_a_wrong_row_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """A number that is none, a column that is missing, a key that stands twice."""
    (tmp_path / "wrk-x.csv").write_text(text)

    with pytest.raises(CardError, match=told):
        read_reference(tmp_path, "wrk-*.csv", threads)


def test_rows_of_several_files_are_found_by_their_key(tmp_path: Path) -> None:
    """Files that do not match the pattern are not read."""
    for name, text in (("wrk-x", "a,4"), ("wrk-y", "b,2"), ("probe-x", "c,1")):
        (tmp_path / f"{name}.csv").write_text(f"row,threads\n{text}\n")

    assert read_reference(tmp_path, "wrk-*.csv", threads) == {"a": 4, "b": 2}
