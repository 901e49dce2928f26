"""`invoke test`, `lint`, `lock`: what continuous integration runs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
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
_LINTERS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
    ("lint-imports",),
    ("yamllint", "--strict", "."),
    ("ansible-lint", "--offline"),
)


def lint() -> None:
    """Every linter, all of them even when one finds something. Exits with 1 then."""
    failed = [" ".join(words) for words in _LINTERS if not _passes(*words)]
    if failed:
        raise Exit(f"lint: {', '.join(failed)} found something: see above", code=1)


def test(*, unit_only: bool) -> None:
    """Linters first, then pytest; its own exit status comes through."""
    lint()
    if not _passes("pytest", *(["tests/unit"] if unit_only else [])):
        raise Exit("test: pytest failed: see above", code=1)


def lock() -> None:
    """Every lock anew. No index's address gets into them."""
    locks = [*_LOCKS, *((str(path), str(path.with_suffix(".txt")), _FOR_HOSTS) for path in _stack_requirements())]
    for wanted, locked, flags in locks:
        console.print(f"locking {escape(locked)}")
        words = ("uv", "pip", "compile", "--quiet", "--upgrade", "--python-version", "3.11", "--generate-hashes")
        if not _passes(*words, "--no-emit-index-url", "--no-header", "--no-annotate", *flags, wanted, "-o", locked):
            raise Exit(f"lock: {wanted} cannot be locked: see above", code=1)


def _stack_requirements() -> list[Path]:
    found = [*PROJECT_DIR.glob("servers/*/*.in"), *PROJECT_DIR.glob("playbooks/roles/*/files/*.in")]
    return sorted(path.relative_to(PROJECT_DIR) for path in found)


def _passes(program: str, *words: str) -> bool:
    console.print(f"[dim]$ {escape(' '.join((program, *words)))}[/dim]")
    path = Path(sys.executable).parent / program
    if not path.exists():
        raise Exit(f"{program} is not installed: run ./inv test, which installs requirements_dev.txt", code=1)
    return subprocess.run([path, *words], cwd=PROJECT_DIR, env=tool_environment(), check=False).returncode == 0
