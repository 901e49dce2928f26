"""Searches for a configuration where the best one is known by construction, and one that is interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.benches import cell_ids_of, interrupted_search
from tests.lab.busy_clerk import busy_clerk
from tests.lab.conftest import invoke
from wrklab.hosts.session import Session
from wrklab.paths import RESULTS_DIR
from wrklab.results.run_folder import TUNE_FILE

SLO = ("--slo", "p99<=250ms,errors<0.1%", "--set", "duration_s=3", "--force")
SYNC, GTHREAD = "busy_clerk_gunicorn_sync", "busy_clerk_gunicorn_gthread"


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


def test_where_requests_wait_the_most_threads_win(lab: str, tmp_path: Path) -> None:
    """32 of them serve 640/s where each request waits for 50 ms; two sync workers, as today, serve 40/s."""
    clerk = busy_clerk(tmp_path, cpu_ms=0.1, wait_ms=50)

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


def test_where_requests_compute_one_more_worker_gains_nothing(session: Session, tmp_path: Path) -> None:
    """At a rate that one process serves, the cheapest has one. The search is interrupted, and goes on where it was."""
    clerk = busy_clerk(tmp_path, cpu_ms=5, wait_ms=0)
    words = ("--app", str(clerk), "--recipe", "gunicorn_sync", "--param", "workers=1,4,8", "--rate", "50", *SLO)
    run_id = interrupted_search(session, "tune", *words)
    stored = cell_ids_of(run_id)

    found = tuned("--resume", "--force")

    assert (found["ending"], found["status"]) == ("found", 0), found["said"]
    assert cell_ids_of(run_id)[: len(stored)] == stored
    assert found["windows_count"] == len(cell_ids_of(run_id)) > len(stored)
    assert found["recommended"] == f"{SYNC}@workers=1", fates(found)
    assert fates(found)[f"{SYNC}@workers=8"] == "dearer"
    assert found["bound"].startswith(("server-bound", "limit-bound")), found["bound"]
