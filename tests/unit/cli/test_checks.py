"""`invoke test`: what runs in which order, and its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from wrklab.cli import checks

#: Programs in place of linters and pytest: each notes its words and exits with the status that the test wants.
_PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
case "$(basename "$0") $*" in {cases} esac
exit 0
"""

Ran = Callable[[], list[str]]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Puts the programs in place; `fails` are patterns of the shell with the exit status of what matches."""

    def make(**fails: int) -> Ran:
        return _make(tmp_path, monkeypatch, {name.replace("_", " "): status for name, status in fails.items()})

    return make


def _make(folder: Path, monkeypatch: pytest.MonkeyPatch, fails: dict[str, int]) -> Ran:
    log, bin_dir = folder / "log", folder / "bin"
    bin_dir.mkdir()
    cases = " ".join(f'"{words}"*) exit {status};;' for words, status in fails.items())
    for name in ("ruff", "mypy", "lint-imports", "yamllint", "ansible-lint", "pytest"):
        (bin_dir / name).write_text(_PROGRAM.format(log=log, cases=cases))
        (bin_dir / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", os.fspath(bin_dir / "python"))
    return lambda: log.read_text().splitlines() if log.exists() else []


def test_linters_then_unit_tests_then_tool_tests_then_lab_tests(programs: Callable[..., Ran]) -> None:
    """The quick linters are done before a test begins, the slow ones before the lab tests."""
    ran = programs()
    checks.test(unit_only=False, lab_only=False, only="")

    found = ran()
    unit, lab = "pytest -n 3 tests/unit --then tests/lab", "pytest tests/lab"
    tools = "pytest tests/browser tests/tools"
    assert sorted(found[:4]) == ["lint-imports --no-logo", "ruff check", "ruff format --check", "yamllint --strict ."]
    assert sorted(found[4:-2]) == ["ansible-lint --offline", "mypy ", unit]
    assert found[-2:] == [tools, lab]


def test_unit_tests_alone_promise_no_lab(programs: Callable[..., Ran]) -> None:
    """Neither run nor counted in what is left."""
    ran = programs()
    checks.test(unit_only=True, lab_only=False, only="")

    assert [line for line in ran() if line.startswith("pytest")] == ["pytest -n 3 tests/unit"]


@pytest.mark.parametrize(
    ("fails", "said", "is_run", "is_not_run"),
    [
        ({"ruff_check": 1}, "lint: ruff check found something", "yamllint --strict .", "pytest -n 3"),
        ({"mypy": 1}, "lint: mypy found something", "pytest -n 3 tests/unit --then tests/lab", "pytest tests/lab"),
        ({"pytest_-n": 1}, "test: pytest failed", "ansible-lint --offline", "pytest tests/lab"),
        ({"pytest_tests/lab": 1}, "test: pytest failed", "pytest tests/lab", "nothing else"),
    ],
)
def test_what_fails_ends_with_1_and_keeps_the_next_from_beginning(
    programs: Callable[..., Ran], fails: dict[str, int], said: str, is_run: str, is_not_run: str
) -> None:
    """A linter, a slow one next to the unit tests, a unit test, a lab test."""
    ran = programs(**fails)
    with pytest.raises(Exit, match=said) as ended:
        checks.test(unit_only=False, lab_only=False, only="")

    assert ended.value.code == 1
    assert is_run in ran()
    assert not [line for line in ran() if line.startswith(is_not_run)]


def test_a_pattern_runs_matching_tests_of_all_kinds_alone(programs: Callable[..., Ran]) -> None:
    """Without linters; that one kind has no such test is no failure."""
    ran = programs(**{"pytest_-n": 5})
    checks.test(unit_only=False, lab_only=False, only="faults")

    kinds = ("pytest -n 3 tests/unit", "pytest tests/browser tests/tools", "pytest tests/lab")
    assert ran() == [f"{kind} -k faults" for kind in kinds]


def test_a_pattern_that_matches_nothing_is_wrong_usage(programs: Callable[..., Ran]) -> None:
    """A misspelt name must not look like a pass."""
    programs(pytest=5)
    with pytest.raises(Exit, match="no test matches 'fautls'") as ended:
        checks.test(unit_only=False, lab_only=False, only="fautls")
    assert ended.value.code == 2


def test_unit_and_lab_exclude_each_other(programs: Callable[..., Ran]) -> None:
    """Status 2, and nothing runs."""
    ran = programs()
    with pytest.raises(Exit, match="exclude each other") as ended:
        checks.test(unit_only=True, lab_only=True, only="")
    assert ended.value.code == 2
    assert ran() == []
