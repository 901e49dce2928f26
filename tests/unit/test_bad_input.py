"""Bad input on the command line: exit status 2, a text that says what is known, nothing touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wrklab.paths import PROJECT_DIR


def invoke(*words: str) -> subprocess.CompletedProcess[str]:
    """`invoke WORDS` as a user runs it."""
    program = Path(sys.executable).parent / "invoke"
    return subprocess.run([program, *words], cwd=PROJECT_DIR, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--variant", "flask_gunicorn_gevnt"), "Did you mean flask_gunicorn_gevent?"),
        (("--variant", "nothing_*"), "unknown variant 'nothing_*'"),
        (("--variant", "all", "--scenario", "standrad"), "Did you mean standard?"),
        (("--suite", "flask_concurrency_article"), "has probes only: invoke probe --suite flask_concurrency_article"),
        (("--suite", "flask_article"), "Did you mean flask_gunicorn_article? Known: cpu, "),
        (("--variant", "all", "--lab", "contaner"), "Did you mean container?"),
        (("--variant", "all", "--connections", "many"), "connections"),
        (("--variant", "all", "--connections", "500", "--threads", "3"), "must be a multiple of threads (3)"),
        (("--variant", "all", "--duration", "soon"), "'soon' is not a duration"),
        (("--variant", "all", "--rounds", "0"), "rounds"),
        (("--variant", "all", "--set", "connection=5"), "Did you mean connections?"),
        (("--variant", "all", "--set", "connections"), "KEY=VALUE was expected"),
        (("--variant", "all", "--seed", "x"), "a whole number was expected"),
        ((), "nothing to bench"),
    ],
)
def test_bench_refuses_what_cannot_be_meant(words: tuple[str, ...], said: str) -> None:
    """Each wrong word is answered with what was found and what is known, with status 2, before anything is touched."""
    done = invoke("bench", *words)

    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["report", "export"])
def test_an_unknown_run_is_told(verb: str) -> None:
    """The known runs are listed."""
    done = invoke(verb, "20200101T000000Z_0000")

    assert done.returncode == 2
    assert "unknown run" in done.stderr
