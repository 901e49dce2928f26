"""How long things within a cell may take, and how long a lost host is waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from wrklab.bench.plan import Cell
from wrklab.hosts.session import Session

# All of these are for hosts of usual speed; slow ones get `timeout_scale` times as long (hosts/conditions.py).
#: One GET of the verification; a healthy local server answers in its hold plus a millisecond.
ATTEMPT_LIMIT_S = 2.0
#: A warm-up of few connections leaves little queued; a server that needs longer than this to drain it is hung.
SETTLE_LIMIT_S = 10.0
#: Room in every deadline for what is not planned: waiting for free ports, a slow stop, a busy machine.
DEADLINE_SLACK_S = 30.0


def deadline_s(cell: Cell, timeout_scale: float) -> float:
    """The longest that a cell may take on the hosts; then systemd ends what is left of it there.

    The variant's own limit is patient already (Session.with_scaled_timeouts).
    """
    scenario = cell.scenario
    planned_s = cell.variant.start_limit_s + scenario.warmup_s + scenario.duration_s + min(scenario.wrk_timeout_s, 10)
    # Of a mix each request is tried once before, and once after with twice the time.
    attempts_count = 2 + 3 * len(scenario.requests)
    return planned_s + timeout_scale * (SETTLE_LIMIT_S + attempts_count * ATTEMPT_LIMIT_S + DEADLINE_SLACK_S)


def with_scaled_timeouts(session: Session, cells: Iterable[Cell]) -> list[Cell]:
    """The cells, their variants with as long a start as these hosts need."""
    return [replace(cell, variant=session.with_scaled_timeouts(cell.variant)) for cell in cells]
