"""Servers that do wrong, behind real variants' commands: none gets a good word, each failure has its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import pytest

from tests.lab.benches import assert_nothing_runs, cells_of, rows_of, status_due
from tests.lab.conftest import invoke
from tests.lab.known_servers import known_server
from wrklab.hosts.session import Session
from wrklab.paths import RESULTS_DIR
from wrklab.results.run_folder import run_ids

#: Variant that lends its command: (behaviour, its options, the rule that must apply). The GETs before the window are
#: answered well.
BAD: dict[str, tuple[str, dict[str, float], str]] = {
    "fastapi_uvicorn_async": ("status_500", {"first_right": 6}, "wrong_status"),
    "fastapi_uvicorn_sync": ("wrong_body", {"first_right": 6}, "wrong_body"),
    "fastapi_uvicorn_workers": ("late", {"first_right": 6, "late_s": 1.5}, "starved"),
    "flask_dev_sync": ("close_without_answer", {"first_right": 6}, "many_errors"),
    "flask_dev_async": ("never", {"first_right": 6}, "stalled"),
    "flask_gevent_wsgi": ("hang", {"first_right": 30}, "stalled"),
    "flask_gunicorn_gevent": ("die", {"first_right": 30}, "failed"),
    "sanic_fast": ("cut_off", {"first_right": 6}, "many_errors"),
    "go_net_http": ("status_500", {"first_right": 0}, "failed"),
    "openresty_lua": ("reset", {"first_right": 6}, "many_errors"),
}

#: The same: what they do wrong shows now and then, and in the window only.
NOW_AND_THEN: dict[str, tuple[str, dict[str, float], str]] = {
    "go_net_http": ("wrong_body", {"first_right": 4000, "every": 10}, "wrong_body"),
    "openresty_lua": ("empty", {"first_right": 4000, "every": 10}, "wrong_body"),
    "sanic_fast": ("redirect", {"first_right": 4000, "every": 10}, "wrong_status"),
    "fastapi_uvicorn_async": ("drip", {"first_right": 4000, "every": 200}, "stalled"),
}

Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def rows(deployed_session: Session) -> Rows:
    """The report's row of each, from one bench of them all."""
    load = ("--connections", "20", "--threads", "2", "--duration", "2s", "--timeout", "1s", "--warmup", "0s")
    return measured(deployed_session, BAD, *load)


@pytest.fixture(scope="module")
def rows_now_and_then(deployed_session: Session) -> Rows:
    """The same, after a warm-up that is answered well."""
    load = ("--connections", "400", "--duration", "3s", "--warmup", "500ms", "--hold-ms", "5")
    return measured(deployed_session, NOW_AND_THEN, *load)


def measured(session: Session, bad: Mapping[str, tuple[str, dict[str, float], str]], *load: str) -> Rows:
    """One bench of bad servers, which ends with the exit status that is due."""
    with ExitStack() as behind:
        for variant, (behaviour, options, _) in bad.items():
            behind.enter_context(known_server(session, variant, behaviour, **options))
        done = invoke("bench", "--variant", ",".join(bad), *load, "--rounds", "1", "--force")
    rows = rows_of(run_ids(RESULTS_DIR)[-1])
    assert done.returncode == status_due(rows), done.stderr
    return {row["variant"]: row for row in rows}


@pytest.mark.parametrize("variant", BAD)
def test_a_bad_server_never_looks_good(rows: Rows, variant: str) -> None:
    """Its row has failed, or its rate is doubted, each for its own reason."""
    row, rule = rows[variant], BAD[variant][2]
    assert rule in row["note_names"].split(), row["note"]
    assert "rate" in row["doubts"].split()
    assert row["verdict"] == ("failed" if rule == "failed" else "polluted")


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


@pytest.mark.parametrize("variant", NOW_AND_THEN)
def test_what_is_wrong_now_and_then_pollutes(rows_now_and_then: Rows, variant: str) -> None:
    """Though the warm-up was right, and the scenario compares no answers: a hundredth of the connections does."""
    row, rule = rows_now_and_then[variant], NOW_AND_THEN[variant][2]
    assert row["warmup_errors_body"] == row["warmup_errors_status"] == "0"
    assert 0 < int(row["answers_checked"]) < 0.03 * int(row["requests"])
    assert rule in row["note_names"].split(), row["note"]
    assert row["verdict"] == "polluted"


def test_bad_servers_leave_nothing_running(rows: Rows, session: Session) -> None:
    """Not even the one that was stopped (SIGSTOP)."""
    assert len(rows) == len(BAD)
    assert_nothing_runs(session)
