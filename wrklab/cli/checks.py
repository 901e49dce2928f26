"""`invoke test`, `lint`, `lock`: linters, tests and locked requirements."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from invoke.exceptions import Exit
from rich.markup import escape

from wrklab.cli.verbs import console
from wrklab.hosts.ansible import tool_environment
from wrklab.paths import PROJECT_DIR

#: Every requirements file that is locked, as (what is wanted, the lock, further flags of uv).
_FOR_HOSTS = ("--python-platform", "linux")
_LOCKS = (
    ("requirements.in", "requirements.txt", ("--universal",)),
    ("requirements_dev.in", "requirements_dev.txt", ("--universal",)),
    ("tools/otava.in", "tools/otava.txt", ("--universal",)),
)
_QUICK_LINTERS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("lint-imports", "--no-logo"),
    ("yamllint", "--strict", "."),
)
_SLOW_LINTERS = (
    ("mypy",),
    ("ansible-lint", "--offline"),
)
#: Three at a time on two CPUs: many of them wait for a server or a clock. Lab tests share one lab: one after the other.
_UNIT_TESTS = ("pytest", "-n", "3", "tests/unit")
#: Pages in Chromium, and other programs in environments of their own: skipped where these cannot be installed.
_TOOL_TESTS = ("pytest", "tests/browser", "tests/tools")
_LAB_TESTS = ("pytest", "tests/lab")
#: pytest's exit status where no test matches.
_NO_TESTS = 5


def lint() -> None:
    """Every linter, all of them even when one finds something. Exits with 1 then."""
    _fail_for([_shown(words) for words in (*_QUICK_LINTERS, *_SLOW_LINTERS) if _status(words)])


def test(*, unit_only: bool, lab_only: bool, only: str) -> None:
    """Linters, unit tests, tests with other programs, lab tests; what fails keeps the next from beginning.

    Exits with 1 then. `unit_only` and `lab_only` leave the other tests out, `lab_only` the linters too. `only` is an
    expression for pytest's -k: the matching tests alone, without linters.
    """
    if unit_only and lab_only:
        raise Exit("test: --unit and --lab exclude each other: give one of them, or none for everything", code=2)
    kinds = [_LAB_TESTS] if lab_only else [_UNIT_TESTS] if unit_only else [_UNIT_TESTS, _TOOL_TESTS, _LAB_TESTS]
    if only:
        _run_matching(kinds, only)
    elif lab_only:
        _run_tests(_LAB_TESTS)
    else:
        _lint_and_run_unit_tests(is_lab_next=not unit_only)
        if not unit_only:
            _run_tests(_TOOL_TESTS)
            _run_tests(_LAB_TESTS)


def _lint_and_run_unit_tests(*, is_lab_next: bool) -> None:
    """Quick linters first; the slow ones run next to the unit tests, and what they found is shown afterwards."""
    _fail_for([_shown(words) for words in _QUICK_LINTERS if _status(words)])
    with ThreadPoolExecutor(max_workers=1) as pool:
        slow = pool.submit(lambda: [_run_quietly(words) for words in _SLOW_LINTERS])
        status = _status((*_UNIT_TESTS, *(("--then", "tests/lab") if is_lab_next else ())))
        failed = []
        for words, done in zip(_SLOW_LINTERS, slow.result(), strict=True):
            console.print(f"[dim]$ {escape(_shown(words))}[/dim]")
            console.print(escape(done.stdout.strip()))
            failed += [_shown(words)] if done.returncode else []
    _fail_for(failed)
    if status:
        raise Exit("test: pytest failed: see above", code=1)


def _run_tests(words: Sequence[str]) -> None:
    if _status(words):
        raise Exit("test: pytest failed: see above", code=1)


def _run_matching(kinds: Sequence[Sequence[str]], only: str) -> None:
    """The tests of these kinds that match; an expression that matches none at all is wrong usage."""
    statuses = [_status((*words, "-k", only)) for words in kinds]
    if set(statuses) == {_NO_TESTS}:
        raise Exit(f"test: no test matches {only!r}: give a part of a test's or a module's name", code=2)
    if not {0, _NO_TESTS} >= set(statuses):
        raise Exit("test: pytest failed: see above", code=1)


def _fail_for(failed: Sequence[str]) -> None:
    if failed:
        raise Exit(f"lint: {', '.join(failed)} found something: see above", code=1)


def lock() -> None:
    """Lock every requirements file again. No index's address gets into the locks."""
    locks = [*_LOCKS, *((str(path), str(path.with_suffix(".txt")), _FOR_HOSTS) for path in _stack_requirements())]
    for wanted, locked, flags in locks:
        console.print(f"locking {escape(locked)}")
        words = ("uv", "pip", "compile", "--quiet", "--upgrade", "--python-version", "3.11", "--generate-hashes")
        if _status((*words, "--no-emit-index-url", "--no-header", "--no-annotate", *flags, wanted, "-o", locked)):
            raise Exit(f"lock: {wanted} cannot be locked: see above", code=1)


def _stack_requirements() -> list[Path]:
    found = [
        *PROJECT_DIR.glob("servers/*/*.in"),
        *PROJECT_DIR.glob("recipes/*.in"),
        *PROJECT_DIR.glob("playbooks/roles/*/files/*.in"),
    ]
    return sorted(path.relative_to(PROJECT_DIR) for path in found)


def _status(words: Sequence[str]) -> int:
    """The exit status of one of the virtual environment's programs; what it writes goes to the screen."""
    console.print(f"[dim]$ {escape(_shown(words))}[/dim]")
    return subprocess.run(_command(words), cwd=PROJECT_DIR, env=tool_environment(), check=False).returncode


def _run_quietly(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(words),
        cwd=PROJECT_DIR,
        env=tool_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _command(words: Sequence[str]) -> list[str]:
    path = Path(sys.executable).parent / words[0]
    if not path.exists():
        raise Exit(f"{words[0]} is not installed: run ./inv test, which installs requirements_dev.txt", code=1)
    return [str(path), *words[1:]]


def _shown(words: Sequence[str]) -> str:
    return " ".join(words)
