"""Rules on backends: one that is full, one without CPUs of its own, pools that ran out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.verdicts.good_rows import Case, check_silent, check_speaks, good_row, note_names
from wrklab.verdicts.backends import POOL_PATTERNS, RULES, Pool, exhausted_pool
from wrklab.verdicts.doubt import Bound
from wrklab.verdicts.rules import deciding, is_doubtful, rate_bound, verdict_of
from wrklab.verdicts.verdict import Verdict

#: A server at ease that waits for a full backend.
FULL: dict[str, Any] = {
    "hold_ms": 0,
    "server_cpu_percent": 31.0,
    "server_cpus_busy_percent": 33.0,
    "unit_waiting_percent": 5.0,
    "in_flight_limit": None,
    "ideal_per_s": None,
    "ideal_ratio": None,
    "ceiling_per_s": None,
    "ceiling_ratio": None,
    "backend_cpu_percent": 94.0,
    "backend_cpus_busy_percent": 99.0,
}
QUEUE_POOL = (
    "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00"
)
CLIENTS = (
    'django.db.utils.OperationalError: connection to server at "10.86.77.131", port 15432 failed: FATAL:  sorry, too '
    "many clients already"
)

#: rule: (what makes it speak, what its note must hold, what keeps it silent though near).
CASES: dict[str, Case] = {
    "backend_disturbed": (
        {"backend_neighbours_cpu_percent": 31.0, "backend_steal_percent": 0.0},
        "others took 31 % of the backend's CPUs in the worst round, and the hypervisor 0 %",
        {"backend_neighbours_cpu_percent": 10.0, "backend_steal_percent": 5.0},
    ),
    "backend_busy": (
        FULL,
        "took 94 % of the CPUs given to their host, which were 99 % busy; the server's unit took 31 % of its own",
        FULL | {"backend_cpu_percent": 89.0, "backend_cpus_busy_percent": 89.5},
    ),
    "backend_cpus_shared": (
        FULL | {"backend_shared_percent": 12.0, "backend_shared_with": ("loadgen",)},
        "loadgen took 12 % of the time of the backend's CPUs in the worst round",
        FULL | {"backend_shared_percent": 4.9, "backend_shared_with": ("loadgen",)},
    ),
    "backend_cpus_barely_shared": (
        {"backend_shared_percent": 40.0, "backend_shared_with": ("loadgen",), "backend_cpu_percent": 20.0},
        "loadgen took 40 % of the time of the backend's CPUs in the worst round",
        FULL | {"backend_shared_percent": 12.0, "backend_shared_with": ("loadgen",)},
    ),
    "pool_exhausted": (
        {"log_errors": {QUEUE_POOL: 7, "ValueError: x": 9}},
        "the application's pool of connections ran out: ",
        {"log_errors": {"TimeoutError: timed out": 7}},
    ),
}


def test_every_rule_has_a_case() -> None:
    """The cases are the rules, no more and no fewer."""
    assert sorted(CASES) == sorted(rule.name for rule in RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_with_its_figures(rule: str) -> None:
    """With its words and a next step."""
    check_speaks(rule, CASES[rule])


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_silent_near_its_limit(rule: str) -> None:
    """A row that does not meet its condition has no such note."""
    check_silent(rule, CASES[rule])


def test_a_full_backend_sets_a_sound_rate() -> None:
    """The number stands, what set it is known, and a command says what would raise it."""
    row = good_row(**FULL)
    rule = deciding(row)

    assert verdict_of(row) is Verdict.BACKEND_BOUND
    assert Verdict.BACKEND_BOUND.is_explained
    assert not is_doubtful(row)
    assert rule is not None
    assert (rule.words(row), rule.settle) == ("backend CPU 94 %", "more CPUs in the group backend")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # the server is full too: the rate is the variant's own
        ({"server_cpu_percent": 97.0}, Verdict.SERVER_BOUND),
        # wrk is full: nothing can be said of anybody else
        ({"generator_cpu_percent": 92.0}, Verdict.GENERATOR_BOUND),
        # others took the server's CPUs
        ({"neighbours_cpu_percent": 30.0}, Verdict.DISTURBED),
        # workers that all wait for the backend are at their limit
        ({"in_flight_limit": 2000, "ceiling_ratio": 0.97, "ceiling_per_s": 15_400.0}, Verdict.BACKEND_BOUND),
        # the services' own is the larger part of full CPUs, the rest the kernel's work for them
        ({"backend_cpu_percent": 55.0}, Verdict.BACKEND_BOUND),
        # others fill these CPUs
        ({"backend_cpu_percent": 40.0}, Verdict.UNEXPLAINED),
        ({"backend_cpu_percent": None, "backend_cpus_busy_percent": None}, Verdict.UNEXPLAINED),
    ],
)
def test_what_else_would_explain_the_rate_decides(changes: dict[str, Any], expected: Verdict) -> None:
    """The backend is named only where server and generator had time to spare."""
    assert verdict_of(good_row(**FULL | changes)) is expected


def test_a_full_backend_that_lacks_cpu_gives_too_low_a_rate() -> None:
    """With CPUs of its own it would give more; a backend at ease lacks nothing."""
    shared = {"backend_shared_percent": 12.0, "backend_shared_with": ("loadgen",)}

    assert rate_bound(good_row(**FULL | shared)) == Bound(may_be_higher=True)
    assert rate_bound(good_row(**FULL)).is_closed
    at_ease = good_row(**shared, backend_cpu_percent=30.0, backend_cpus_busy_percent=50.0)
    assert "backend_cpus_barely_shared" in note_names(at_ease)
    assert rate_bound(at_ease).is_closed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUEUE_POOL, Pool.APPLICATION),
        ("psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec", Pool.APPLICATION),
        ("psycopg2.pool.PoolError: connection pool exhausted", Pool.APPLICATION),
        ("redis.exceptions.MaxConnectionsError: Too many connections", Pool.APPLICATION),
        ("redis.exceptions.ConnectionError: Too many connections", Pool.APPLICATION),
        ("redis.exceptions.ConnectionError: No connection available.", Pool.APPLICATION),
        ("peewee.MaxConnectionsExceeded: Exceeded maximum connections.", Pool.APPLICATION),
        (CLIENTS, Pool.SERVICE),
        ("asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already", Pool.SERVICE),
        ("psycopg.OperationalError: FATAL:  remaining connection slots are reserved for roles with", Pool.SERVICE),
        ("pymysql.err.OperationalError: (1040, 'Too many connections')", Pool.SERVICE),
        ("redis.exceptions.ResponseError: max number of clients reached", Pool.SERVICE),
        ("TimeoutError: timed out", None),
        ("sqlalchemy.exc.OperationalError: server closed the connection unexpectedly", None),
        ("ConnectionError: connection refused", None),
    ],
)
def test_a_pool_that_ran_out_is_recognised_by_its_text(text: str, expected: Pool | None) -> None:
    """Whose connections it were decides what helps; other failures of connections are none of this."""
    assert exhausted_pool(text) is expected


def test_each_text_is_said_by_somebody_once() -> None:
    """The table of the docs has one line for each."""
    assert len({known.said_by for known in POOL_PATTERNS}) == len(POOL_PATTERNS)
