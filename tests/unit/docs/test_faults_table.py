"""docs/faults.md names tests that are collected and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from wrklab.paths import PROJECT_DIR

TABLE = PROJECT_DIR / "docs/faults.md"
#: `lab/test_faults.py::test_x`, or with a class between.
_NAMED = re.compile(r"`((?:lab|unit)/[\w/]+\.py(?:::\w+)+)`")


def runnable(folder: Path, *paths: str) -> set[str]:
    """The tests in these files of a folder that pytest collects and nothing skips always, without their parameters."""
    plugin = "tests.unit.docs.collected_tests"
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", plugin, *paths]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT_DIR)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {
        node_id.partition("[")[0].removeprefix("tests/")
        for node_id in re.findall(r"^COLLECTED (.+) RUNS$", done.stdout, re.MULTILINE)
    }


def rows() -> list[str]:
    """The table's rows that name a test."""
    return [line for line in TABLE.read_text(encoding="utf-8").splitlines() if "::" in line]


def test_every_test_that_the_table_names_runs() -> None:
    """Each row has one at least, which is collected and not skipped whatever the machine."""
    named = {row: _NAMED.findall(row) for row in rows()}
    assert len(named) > 15
    assert [row for row, names in named.items() if not names] == []
    names = {name for found in named.values() for name in found}
    paths = sorted({"tests/" + name.partition("::")[0] for name in names})
    assert names - runnable(PROJECT_DIR, *paths) == set()


#: Modules with one test, and whether it counts.
CASES = {
    "plain": ("def test_x():\n    '''Doc.'''\n    assert 1\n", True),
    "marked": ("@pytest.mark.skip(reason='later')\ndef test_x():\n    assert 1\n", False),
    "marked_if_true": ("@pytest.mark.skipif(True, reason='later')\ndef test_x():\n    assert 1\n", False),
    "of_a_machine": ("@pytest.mark.skipif(sys.platform == 'x', reason='x')\ndef test_x():\n    assert 1\n", True),
    "module_marked": ("pytestmark = pytest.mark.skip(reason='later')\ndef test_x():\n    assert 1\n", False),
    "skips_first": ("def test_x():\n    '''Doc.'''\n    pytest.skip('later')\n    assert 1\n", False),
    "empty": ("def test_x():\n    '''Doc alone.'''\n", False),
    "inner": ("def helper():\n    def test_x():\n        assert 1\n", False),
    "not_a_test_class": ("class Cases:\n    def test_x(self):\n        assert 1\n", False),
}


def test_a_test_that_never_runs_does_not_count(tmp_path: Path) -> None:
    """Skipped by a mark of its own or of its module, by its first statement, empty, or never collected."""
    for name, (text, _) in CASES.items():
        (tmp_path / f"test_{name}.py").write_text(f"import sys\nimport pytest\n\n{text}")

    assert runnable(tmp_path) == {f"test_{name}.py::test_x" for name, (_, counts) in CASES.items() if counts}


def test_no_test_of_faults_is_missing_in_the_table() -> None:
    """Whoever adds one adds its row."""
    table = TABLE.read_text(encoding="utf-8")
    for path in sorted((PROJECT_DIR / "tests/lab").glob("test_faults*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in table or name == "test_bad_servers_leave_nothing_running", name
