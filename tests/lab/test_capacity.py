"""Searches for a capacity that is known by construction, and one that is interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab.benches import cell_ids_of, interrupted_search
from tests.lab.busy_clerk import busy_clerk
from tests.lab.conftest import invoke
from tests.lab.cpu_thieves import quota
from tests.lab.known_servers import known_server
from wrklab.hosts.session import Session

_VARIANT = "go_net_http"
#: 10 workers of 20 ms serve 500/s. Under Poisson arrivals (M/D/10, simulated) half of the windows of 10 s that begin
#: without a queue have a p99 below 100 ms at 486/s, and nine of ten at 472/s.
_POOL = {"hold_ms": 20, "workers": 10}
_POOL_CAPACITY_PER_S = 486.0
_SEARCH = ("--variant", _VARIANT, "--slo", "p99<=100ms,errors<0.1%", "--set", "hold_ms=20", "--force")


def searched(*words: str) -> dict[str, Any]:
    """The one search of `invoke capacity`, with its status."""
    done = invoke("capacity", "--json", *words, limit_s=580)
    assert done.stdout.strip(), done.stderr
    [found] = json.loads(done.stdout)["capacities"]
    capacity: dict[str, Any] = found
    return capacity | {"status": done.returncode, "said": done.stderr}


def test_the_capacity_of_a_pool_of_workers_is_found(session: Session) -> None:
    """Within 5 % of what queueing theory says; both sides rest on two windows or more; the queue makes it smooth."""
    with known_server(session, _VARIANT, "pool", **_POOL):
        found = searched(*_SEARCH)

    assert (found["ending"], found["status"]) == ("found", 0), found["said"]
    assert found["estimate_per_s"] == pytest.approx(_POOL_CAPACITY_PER_S, rel=0.05), found["curve"]
    assert found["passed_per_s"] <= found["estimate_per_s"] <= found["failed_per_s"]
    assert found["failed_per_s"] / found["passed_per_s"] <= 1.0501
    for side in ("passed_per_s", "failed_per_s"):
        assert sum(window["rate_per_s"] == found[side] for window in found["curve"]) >= 2


def test_a_cliff_is_told_from_a_slope(session: Session) -> None:
    """At 450/s one request in a hundred finds more than 500 of the last second, and waits for a second."""
    with known_server(session, _VARIANT, "crowd", hold_ms=20, per_s=500, late_s=1):
        found = searched(*_SEARCH, "--precision", "10", "--set", "duration_s=4")

    assert (found["ending"], found["status"]) == ("found", 0), found["said"]
    assert found["is_cliff"], found["curve"]
    assert found["estimate_per_s"] == pytest.approx(450, rel=0.12), found["curve"]


def test_a_generator_too_small_gives_a_lower_bound(session: Session) -> None:
    """A tenth of a CPU sends some hundred requests/s: what the server could serve is not known, and not said."""
    words = ("--variant", _VARIANT, "--slo", "p99<=250ms", "--set", "hold_ms=0", "--set", "duration_s=2", "--force")
    with quota(session.hosts.generators[0], 0.1):
        found = searched(*words)

    assert found["ending"] == "void windows", found["said"]
    assert found["failed_per_s"] is None, found["curve"]
    assert [window["why"] for window in found["curve"] if window["keeping"] == "void"], found["curve"]


def test_a_search_that_is_interrupted_goes_on_at_its_next_window(session: Session, tmp_path: Path) -> None:
    """Of a user's application: nothing is measured twice, nothing is left running. 50 ms are never within 20 ms."""
    folder = busy_clerk(tmp_path, cpu_ms=0.1, wait_ms=50)
    made = ("--recipe", "gunicorn_gthread", "--param", "workers=1", "--param", "threads=4")
    words = ("--app", str(folder), *made, "--slo", "p99<=20ms", "--set", "duration_s=2", "--force")
    run_id = interrupted_search(session, "capacity", *words)
    stored = cell_ids_of(run_id)

    found = searched("--resume", "--force")

    assert found["variant"] == "busy_clerk_gunicorn_gthread@threads=4,workers=1"
    assert (found["ending"], found["status"], found["passed_per_s"]) == ("none passes", 1, None), found["said"]
    cells = cell_ids_of(run_id)
    assert cells[: len(stored)] == stored
    assert len(cells) > len(stored)
    # A look comes first where nothing was known of it, and is no window.
    assert found["windows_count"] == sum("@" in cell.partition(".")[0] for cell in cells)
    assert min(window["rate_per_s"] for window in found["curve"]) == 2.0
