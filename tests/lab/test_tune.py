"""Searches for a configuration where the best one is known by construction, and one that is interrupted."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.benches import assert_nothing_runs, cells_of, wait_until
from tests.lab.conftest import invoke
from wrklab.hosts.session import Session
from wrklab.paths import PROJECT_DIR, RESULTS_DIR
from wrklab.results.run_folder import TUNE_FILE, run_ids

SAMPLE = Path(__file__).parent / "applications/busy_clerk"
CARD = """---
application: busy_clerk
entries: {{web: {{import: "clerk:app", interface: wsgi}}}}
requirements: requirements.txt
environment: {{CPU_MS: "{cpu_ms}", WAIT_MS: "{wait_ms}"}}
requests: [{{name: work, path: /, expect: {{contains: done}}}}]
current: gunicorn clerk:app -w 2
"""
SLO = ("--slo", "p99<=250ms,errors<0.1%", "--set", "duration_s=3", "--force")
SYNC, GTHREAD = "busy_clerk_gunicorn_sync", "busy_clerk_gunicorn_gthread"


@pytest.fixture
def clerk(tmp_path: Path) -> Path:
    """The application's folder, without a card."""
    folder = tmp_path / "busy_clerk"
    shutil.copytree(SAMPLE, folder)
    return folder


def says(folder: Path, cpu_ms: float, wait_ms: float) -> None:
    """Writes the card of an application whose requests take so much CPU and wait so long."""
    (folder / "wrklab.yml").write_text(CARD.format(cpu_ms=cpu_ms, wait_ms=wait_ms), encoding="utf-8")


def tuned(*words: str) -> dict[str, Any]:
    """tune.json of a search, with its status and what it said."""
    done = invoke("tune", "--json", *words, limit_s=590)
    assert done.stdout.strip(), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert json.loads((RESULTS_DIR / found["run"] / TUNE_FILE).read_text(encoding="utf-8")) == found
    return found | {"status": done.returncode, "said": done.stderr}


def fates(found: dict[str, Any]) -> dict[str, str]:
    """By candidate."""
    return {one["candidate"]: one["fate"] for one in found["candidates"]}


def test_where_requests_wait_the_most_threads_win(lab: str, clerk: Path) -> None:
    """32 of them serve 640/s where each request waits for 50 ms; two sync workers, as today, serve 40/s."""
    says(clerk, cpu_ms=0.1, wait_ms=50)

    found = tuned(
        *("--app", str(clerk), "--recipe", "gunicorn_sync,gunicorn_gthread"),
        *("--param", "workers=2", "--param", "threads=4,16", *SLO),
    )

    assert (found["ending"], found["status"]) == ("found", 0), found["said"]
    assert found["ties"] == [f"{GTHREAD}@threads=16,workers=2"], fates(found)
    assert fates(found)[f"{SYNC}@workers=2"] == "slower"
    assert found["command"].startswith("gunicorn clerk:app ")
    assert found["gain_over_current"]["low"] > 8
    assert "3 configurations: a look at each" in found["said"]


def test_where_requests_compute_one_more_worker_gains_nothing(session: Session, clerk: Path) -> None:
    """At a rate that one process serves, the cheapest has one. The search is interrupted, and goes on where it was."""
    says(clerk, cpu_ms=5, wait_ms=0)
    before = set(run_ids(RESULTS_DIR))
    words = ["--app", str(clerk), "--recipe", "gunicorn_sync", "--param", "workers=1,4,8", "--rate", "50", *SLO]
    argv = [str(Path(sys.executable).parent / "invoke"), "tune", *words]
    with subprocess.Popen(
        argv, cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as search:
        wait_until(lambda: len(new_cells(before)) > 1 or search.poll() is not None, 240, "two windows")
        search.send_signal(signal.SIGINT)
        output, _ = search.communicate(timeout=60)
    assert search.returncode == 130, output
    assert "invoke tune --resume" in output
    assert_nothing_runs(session)
    stored = new_cells(before)

    found = tuned("--resume", "--force")

    assert (found["ending"], found["status"]) == ("found", 0), found["said"]
    assert new_cells(before)[: len(stored)] == stored
    assert found["windows_count"] == len(new_cells(before)) > len(stored)
    assert found["recommended"] == f"{SYNC}@workers=1", fates(found)
    assert fates(found)[f"{SYNC}@workers=8"] == "dearer"
    assert found["bound"].startswith(("server-bound", "limit-bound")), found["bound"]


def new_cells(before: set[str]) -> list[str]:
    """The windows of the run that was begun since."""
    return [cell.cell_id for run_id in set(run_ids(RESULTS_DIR)) - before for cell in cells_of(run_id)]
