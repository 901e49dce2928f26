"""What the Vagrantfile says before Vagrant does anything. Ruby reads it; neither Vagrant nor a machine is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from wrklab.paths import PROJECT_DIR

READER = PROJECT_DIR / "tests/lab/vagrantfile_as_json.rb"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Vagrantfile with stand-ins for what it runs."""
    if shutil.which("ruby") is None:
        pytest.skip("there is no ruby here")
    shutil.copy2(PROJECT_DIR / "Vagrantfile", tmp_path)
    for name, text in (("inv", "exit 0"), (".venv/bin/python", "echo '{}'")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def said(checkout: Path, command: str, **variables: str) -> str:
    """What is written to stderr by a command of Vagrant's that reads the file twice."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "VAGRANT", "BOX"))}
    twice = f"ARGV.replace([{str(checkout / 'Vagrantfile')!r}, {command!r}]); load {str(READER)!r}; load 'Vagrantfile'"
    done = subprocess.run(
        ["ruby", "-e", twice, "-I", str(checkout)],
        cwd=checkout,
        env=kept | variables | {"RUBYLIB": str(checkout)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return "\n".join(
        line for line in done.stderr.splitlines() if "already initialized" not in line and "previous" not in line
    )


def test_machines_that_compete_for_cpus_are_reported_once(checkout: Path) -> None:
    """With both numbers; commands that only look say nothing."""
    here = len(os.sched_getaffinity(0))
    expected = f"LAB_CPUS={here}: 2 machines with {2 * here} CPUs together compete for the {here} of this one"

    assert said(checkout, "up", LAB_CPUS=str(here)).count(expected) == 1
    assert said(checkout, "status", LAB_CPUS=str(here)) == ""


def test_machines_with_cpus_of_their_own_are_nothing_to_report(checkout: Path) -> None:
    """Where there are enough."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one CPU")
    assert said(checkout, "up", LAB_CPUS="1") == ""


def test_a_machine_for_backends_is_made_where_it_is_asked_for(checkout: Path) -> None:
    """One more, with its CPUs."""
    here = len(os.sched_getaffinity(0))
    expected = f"LAB_CPUS={here}: 3 machines with {3 * here} CPUs together"

    assert said(checkout, "up", LAB_CPUS=str(here), LAB_BACKENDS="1").count(expected) == 1
