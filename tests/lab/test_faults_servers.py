"""Servers that do wrong, behind real variants' commands: none gets a good word, each failure has its evidence."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.lab.benches import assert_nothing_runs, cells_of
from tests.lab.conftest import invoke
from tests.lab.known_servers import known_server
from wrklab.doors.results import run_ids
from wrklab.measure.session import Session
from wrklab.paths import RESULTS_DIR

#: Variant that lends its command: (behaviour, its options). The GETs before the window are answered well.
BAD: dict[str, tuple[str, dict[str, float]]] = {
    "fastapi_uvicorn_async": ("status_500", {"first_right": 6}),
    "fastapi_uvicorn_sync": ("wrong_body", {"first_right": 6}),
    "fastapi_uvicorn_workers": ("late", {"first_right": 6, "late_s": 1.5}),
    "flask_dev_sync": ("close_without_answer", {"first_right": 6}),
    "flask_dev_async": ("never", {"first_right": 6}),
    "flask_gevent_wsgi": ("hang", {"first_right": 30}),
    "flask_gunicorn_gevent": ("die", {"first_right": 30}),
    "sanic_fast": ("cut_off", {"first_right": 6}),
    "go_net_http": ("status_500", {"first_right": 0}),
    "openresty_lua": ("reset", {"first_right": 6}),
}

Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def rows(deployed_session: Session) -> Iterator[Rows]:
    """The report's row of each, from one bench of them all."""
    with ExitStack() as behind:
        for variant, (behaviour, options) in BAD.items():
            behind.enter_context(known_server(deployed_session, variant, behaviour, **options))
        load = ("--connections", "20", "--threads", "2", "--duration", "2s", "--timeout", "1s", "--warmup", "0s")
        done = invoke("bench", "--variant", ",".join(BAD), *load, "--rounds", "1", "--force")
    assert done.returncode == 1, done.stderr
    with (RESULTS_DIR / run_ids(RESULTS_DIR)[-1] / "report.csv").open(encoding="utf-8") as stream:
        yield {row["variant"]: row for row in csv.DictReader(stream)}


@pytest.mark.parametrize("variant", BAD)
def test_a_bad_server_never_looks_good(rows: Rows, variant: str) -> None:
    """Its row has failed, or its rate is doubted with a reason."""
    row = rows[variant]
    assert row["state"] == "failed" or "rate" in row["doubts"], (BAD[variant], row)
    assert row["note"]


@pytest.mark.parametrize(
    ("variant", "evidence"),
    [("flask_gunicorn_gevent", "exit status 3"), ("go_net_http", "status 500 instead of 200")],
)
def test_a_server_that_fails_twice_has_its_evidence(rows: Rows, variant: str, evidence: str) -> None:
    """What died in the window, and what was never ready: both attempts are recorded, and the run went on."""
    cell = next(cell for cell in cells_of(run_ids(RESULTS_DIR)[-1]) if cell.variant == variant)
    assert (cell.state, cell.attempts) == ("failed", 2)
    for failure in (cell.failure, cell.first_failure):
        assert failure is not None
        assert evidence in failure.text
        assert failure.unit_state


def test_bad_servers_leave_nothing_running(rows: Rows, session: Session) -> None:
    """Not even the one that was stopped (SIGSTOP)."""
    assert len(rows) == len(BAD)
    assert_nothing_runs(session)
