"""What the screen shows while tests run (tests/conftest.py), and the lengths behind its estimate."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lengths import LENGTHS, Length, expected_s, read_lengths, store_lengths
from wrklab.paths import PROJECT_DIR


def run_pytest(*words: str) -> subprocess.CompletedProcess[str]:
    """`pytest WORDS` on this project."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "left"),
    [((), "0 s"), (("-n", "1", "--then", "tests/lab"), r"\d+ min")],
    ids=["here", "in a worker, with lab tests to follow"],
)
def test_a_module_of_unit_tests_is_a_line(words: tuple[str, ...], left: str) -> None:
    """With how many passed, its seconds, and what is left with the tests that follow; no dots."""
    done = run_pytest(*words, "tests/unit/test_formats.py")

    assert done.returncode == 0, done.stdout
    [total] = re.findall(r"^(\d+) tests in 1 modules, about \d+ (?:s|min)$", done.stdout, re.MULTILINE)
    line = rf"^ *{total}/{total}  unit/test_formats.py  {total} passed  \d+\.\d s  about {left} left$"
    assert re.search(line, done.stdout, re.MULTILINE), done.stdout
    assert "..." not in done.stdout.replace("bringing up nodes...", "")


def test_every_module_has_a_committed_length() -> None:
    """A first run on a new machine has an estimate too: copy .cache/test_lengths.json to tests/lengths.json."""
    modules = {str(path.relative_to(PROJECT_DIR)) for path in (PROJECT_DIR / "tests/lab").glob("test_*.py")}

    assert modules <= set(read_lengths((LENGTHS,)))


def test_the_last_run_counts_more_than_what_is_committed(tmp_path: Path) -> None:
    """And what it did not run is kept."""
    committed, last = tmp_path / "committed.json", tmp_path / "cache" / "last.json"
    store_lengths({"a.py": Length(2, 10.0), "b.py": Length(1, 3.0)}, committed)
    store_lengths({"b.py": Length(1, 4.0)}, last)
    store_lengths({"a.py": Length(4, 8.0)}, last)

    found = read_lengths((committed, last))

    assert found == {"a.py": Length(4, 8.0), "b.py": Length(1, 4.0)}
    assert expected_s(found, "a.py", 3) == pytest.approx(6.0)
    assert expected_s(found, "unknown.py", 3) > 0


@pytest.mark.parametrize("text", ["", "[]", '{"a.py": 3}', '{"a.py": ["x", 1]}', '{"a.py": [0, 1]}'])
def test_damaged_lengths_stop_no_test(tmp_path: Path, text: str) -> None:
    """They are a help for the reader, nothing else."""
    path = tmp_path / "lengths.json"
    path.write_text(text)
    assert read_lengths((path,)) == {}
