"""Bad input on the command line: exit status 2, a text that says what is known, nothing touched."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.program import Program

import tasks
from wrklab.cli import reporting
from wrklab.errors import UnknownNameError
from wrklab.paths import PROJECT_DIR


def invoke(*words: str) -> subprocess.CompletedProcess[str]:
    """`invoke WORDS`, within this process: a process of its own costs a second, and there are many wrong words."""
    namespace: Collection = Collection.from_module(tasks)
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr), pytest.raises(SystemExit) as ended:
        Program(namespace=namespace).run(["invoke", *words])
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(["invoke", *words], ended.value.code, stdout.getvalue(), stderr.getvalue())


def invoke_as_a_user(*words: str) -> subprocess.CompletedProcess[str]:
    """`invoke WORDS` in a process of its own."""
    program = Path(sys.executable).parent / "invoke"
    return subprocess.run([program, *words], cwd=PROJECT_DIR, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--variant", "flask_gunicorn_gevnt"), "Did you mean flask_gunicorn_gevent?"),
        (("--variant", "flask_gunicorn_gevnt"), ", ... `invoke list` shows all."),
        (("--variant", "nothing_*"), "unknown variant 'nothing_*'"),
        (("--variant", ""), "--variant is empty"),
        (("--variant", "all", "--scenario", "standrad"), "Did you mean standard?"),
        (("--suite", "flask_concurrency_article"), "has probes only: invoke probe --suite flask_concurrency_article"),
        (("--suite", "flask_article"), "Did you mean flask_gunicorn_article? Known: cpu, "),
        (("--variant", "all", "--lab", "contaner"), "Did you mean container?"),
        (("--variant", "all", "--connections", "many"), "connections"),
        (("--variant", "all", "--connections", "500", "--threads", "3"), "must be a multiple of threads (3)"),
        (("--variant", "all", "--duration", "soon"), "'soon' is not a duration"),
        (("--variant", "all", "--timeout", "1.5s"), "'1.5s' is not in whole seconds: write 5, 5s or 1m"),
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


@pytest.mark.parametrize("verb", ["doctor", "lab.status", "provision", "probe"])
def test_an_unknown_lab_is_told(verb: str) -> None:
    """Whatever a verb does with a lab, one that is not there is wrong usage."""
    done = invoke(verb, "--lab", "nolab", *(["--variant", "go_net_http"] if verb == "probe" else []))

    assert done.returncode == 2, done.stdout + done.stderr
    assert "unknown lab 'nolab'. Known: container" in done.stderr


@pytest.mark.parametrize("verb", ["deploy", "probe"])
def test_no_variant_is_not_all_variants(verb: str) -> None:
    """An empty `--variant` (a variable of a script that was not set) is refused."""
    done = invoke_as_a_user(verb, "--variant", "")

    assert done.returncode == 2, done.stdout + done.stderr
    assert "--variant is empty" in done.stderr


def test_latest_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`export latst` means `latest` most likely; of many runs only the nearest are listed."""
    for number in range(20):
        (tmp_path / f"20261121T0030{number:02}Z_ab12").mkdir()
    monkeypatch.setattr(reporting, "RESULTS_DIR", tmp_path)

    with pytest.raises(
        UnknownNameError, match=r"Did you mean latest\? Known: latest, .* `invoke runs` shows all\."
    ) as told:
        reporting.export("latst", "", as_json=False)

    assert str(told.value).count("Z_ab12") == 11


@pytest.mark.parametrize("verb", ["report", "export"])
def test_an_unknown_run_is_told(verb: str) -> None:
    """The known runs are listed."""
    done = invoke(verb, "20200101T000000Z_0000")

    assert done.returncode == 2
    assert "unknown run" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("20200101T000000Z_0000", "20200101T000000Z_0000"), "unknown run '20200101T000000Z_0000'"),
        (("latest~999999", "latest"), "unknown run 'latest~999999'"),
        (("latest", "latest", "--threshold", "much"), "--threshold 'much': percent from 0 to below 100 was expected"),
    ],
)
def test_compare_refuses_what_cannot_be_meant(words: tuple[str, ...], said: str) -> None:
    """Runs that are not there, and a threshold that is no number: status 2."""
    done = invoke("compare", *words)

    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr


def test_known_names_come_in_one_order() -> None:
    """Whatever was written instead: the suggestion first, the others by name."""
    known = [f"name_{number}" for number in range(12)] + ["other"]
    for written in ("nam", "name_3x", "oname"):
        text = str(UnknownNameError("variant", written, known)).partition("Known: ")[2]
        shown = text.partition(", ...")[0].split(", ")
        assert shown[1:] == sorted(shown[1:])
