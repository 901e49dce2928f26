"""Rules on services that the application uses: one that is full, one without CPUs of its own, pools that ran out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from wrklab.extract.samples import FULL_PERCENT
from wrklab.formats import occurrences, percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.bounds import server_at_ease
from wrklab.verdicts.hosts import NEIGHBOURS_LIMIT_PERCENT, SHARED_LIMIT_PERCENT, STEAL_LIMIT_PERCENT
from wrklab.verdicts.verdict import Direction, Rule, Severity, Verdict, above, at_least

#: Services with this much of their host's CPUs have none to spare.
BACKEND_CPU_LIMIT_PERCENT = FULL_PERCENT
#: Of full CPUs that others use too, this much is the services' own: then it is they that fill them.
LARGER_PART_RATIO = 0.5


class Pool(StrEnum):
    """Whose limit on connections was met."""

    #: The pool within each process of the application.
    APPLICATION = "the application's pool of connections"
    #: What the service accepts from all processes together.
    SERVICE = "the connections that the service accepts"


@dataclass(frozen=True)
class PoolPattern:
    """How a library, or a service through it, says that no connection is left."""

    pool: Pool
    #: The library or service, for the table of docs/backends.md.
    said_by: str
    pattern: re.Pattern[str]


def _pattern(pool: Pool, said_by: str, text: str) -> PoolPattern:
    return PoolPattern(pool, said_by, re.compile(text, re.IGNORECASE))


#: Texts as the libraries' sources have them; the log is the application's own.
POOL_PATTERNS = (
    _pattern(Pool.APPLICATION, "SQLAlchemy", r"QueuePool limit of size \d+ overflow -?\d+ reached"),
    _pattern(Pool.APPLICATION, "psycopg_pool", r"\b(?:PoolTimeout|TooManyRequests)\b"),
    _pattern(Pool.APPLICATION, "psycopg2.pool", r"PoolError: connection pool exhausted"),
    _pattern(Pool.APPLICATION, "redis-py", r"MaxConnectionsError|ConnectionError: Too many connections"),
    _pattern(Pool.APPLICATION, "redis-py (blocking)", r"ConnectionError: No connection available"),
    _pattern(Pool.APPLICATION, "peewee", r"MaxConnectionsExceeded"),
    _pattern(Pool.SERVICE, "PostgreSQL", r"too many clients already|remaining connection slots are reserved"),
    _pattern(Pool.SERVICE, "PostgreSQL (asyncpg)", r"TooManyConnectionsError"),
    _pattern(Pool.SERVICE, "MariaDB", r"\(1040, |Too many connections'\)|max_user_connections"),
    _pattern(Pool.SERVICE, "Redis", r"max number of clients reached"),
)


def exhausted_pool(text: str) -> Pool | None:
    """Whose connections a line of a log says have run out; None where it says nothing of that."""
    return next((known.pool for known in POOL_PATTERNS if known.pattern.search(text)), None)


def exhausted_pools(row: SummaryRow) -> dict[str, int]:
    """The errors of the log that say so, and how often each came."""
    return {text: number for text, number in row.log_errors.items() if exhausted_pool(text)}


def backend_busy(row: SummaryRow) -> bool:
    """The services had no CPU to spare, and the server had; whether wrk had is asked by more severe rules."""
    return _is_backend_full(row) and server_at_ease(row) and not row.is_open_loop


def _is_backend_full(row: SummaryRow) -> bool:
    if at_least(row.backend_cpu_percent, BACKEND_CPU_LIMIT_PERCENT):
        return True
    busy, own = row.backend_cpus_busy_percent, row.backend_cpu_percent
    if busy is None or own is None:
        return False
    # The kernel's work for them is booked on nobody, and others may share these CPUs.
    return busy >= BACKEND_CPU_LIMIT_PERCENT and own >= LARGER_PART_RATIO * busy


def _is_much_shared(row: SummaryRow) -> bool:
    """Whether hosts of the lab took so much of the backend's CPUs that it was slower for it: only full ones lack it."""
    return _is_backend_full(row) and at_least(row.backend_shared_percent, SHARED_LIMIT_PERCENT)


def _backend_text(row: SummaryRow) -> str:
    found = (
        f"the services took {percent(row.backend_cpu_percent)} of the CPUs given to their host, which were "
        f"{percent(row.backend_cpus_busy_percent)} busy"
    )
    return (
        f"{found}; the server's unit took {percent(row.server_cpu_percent)} of its own, wrk "
        f"{percent(row.generator_cpu_percent)}"
    )


def _shared_text(row: SummaryRow) -> str:
    return (
        f"{' and '.join(row.backend_shared_with)} took {percent(row.backend_shared_percent)} of the time of the "
        "backend's CPUs in the worst round"
    )


def _pools_text(row: SummaryRow) -> str:
    found = exhausted_pools(row)
    pools = dict.fromkeys(pool for text in found if (pool := exhausted_pool(text)))
    return f"{' and '.join(pools)} ran out: {occurrences(found.items())}"


def _pool_words(row: SummaryRow) -> str:
    pools = {exhausted_pool(text) for text in exhausted_pools(row)}
    return "pool exhausted" if Pool.APPLICATION in pools else "service's connections full"


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="backend_disturbed",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lambda row: (
            above(row.backend_neighbours_cpu_percent, NEIGHBOURS_LIMIT_PERCENT)
            or above(row.backend_steal_percent, STEAL_LIMIT_PERCENT)
        ),
        figures=lambda row: (
            f"others took {percent(row.backend_neighbours_cpu_percent)} of the backend's CPUs in the worst round, and "
            f"the hypervisor {percent(row.backend_steal_percent)}"
        ),
        meaning="the backend did not have the CPUs that were given to it, and the server waits for the backend",
        next_step="End what else runs on that machine and measure again",
        words=lambda row: f"backend's neighbour {percent(row.backend_neighbours_cpu_percent)}",
        settle="invoke bench again",
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="backend_cpus_shared",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=_is_much_shared,
        figures=_shared_text,
        meaning="the backend was full, and lacks what others took of its CPUs",
        next_step="Give it CPUs of its own: a machine of three cores or more, or a host of its own",
        # No verdict: what set the rate is said by the rule that the backend was full.
        words=lambda row: f"backend's CPUs shared {percent(row.backend_shared_percent)}",
        settle="more CPUs in the group backend",
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
    ),
    Rule(
        name="backend_busy",
        severity=Severity.BACKEND,
        doubt="none",
        applies=backend_busy,
        figures=_backend_text,
        meaning=(
            "the backend, not the server, sets the rate: the server's own is at least this, and variants with this "
            "note are equal here"
        ),
        next_step="Cheaper queries, a cache, or more CPUs for the backend would raise it; more workers would not",
        words=lambda row: f"backend CPU {percent(row.backend_cpu_percent)}",
        settle="more CPUs in the group backend",
        verdict=Verdict.BACKEND_BOUND,
    ),
    Rule(
        name="backend_cpus_barely_shared",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: row.backend_shared_percent is not None and not _is_much_shared(row),
        figures=_shared_text,
        meaning="the backend has no CPU of its own, and was not slower for it: it had time to spare",
        next_step="Nothing: neither lacked anything that it asked for",
        words=lambda row: f"backend's CPUs shared {percent(row.backend_shared_percent)}",
    ),
    Rule(
        name="pool_exhausted",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: bool(exhausted_pools(row)),
        figures=_pools_text,
        meaning="requests waited for a connection to the backend, or failed for want of one",
        next_step=(
            "A larger pool helps where the pool is the application's; where the service accepts no more, workers x "
            "pool must stay below its limit (postgres_max_connections, mariadb_max_connections)"
        ),
        words=_pool_words,
        settle="another size of the pool",
    ),
)
