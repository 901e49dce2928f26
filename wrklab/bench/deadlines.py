"""How long things within a cell may take, and how long a lost host is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from wrklab.bench.plan import Cell
from wrklab.errors import HostError
from wrklab.hosts.remote import ConnectionLostError, RemoteHost

Answer = TypeVar("Answer")

# All of these are for hosts of usual speed; slow ones get `patience_ratio` times as long (hosts/machines.py).
#: One GET of the verification; a healthy local server answers in its hold plus a millisecond.
ATTEMPT_LIMIT_S = 2.0
#: A warm-up of few connections leaves little queued; a server that needs longer than this to drain it is hung.
SETTLE_LIMIT_S = 10.0
#: How long after a lost connection a host is tried again; what runs there goes on meanwhile.
RECONNECT_LIMIT_S = 20.0
#: An sshd that is being restarted may end the first connections after it as well.
_LOSSES_MAX = 5
#: Room in every deadline for what is not planned: waiting for free ports, a slow stop, a busy machine.
DEADLINE_SLACK_S = 30.0


def deadline_s(cell: Cell, patience_ratio: float) -> float:
    """The longest that a cell may take on the hosts; then systemd ends what is left of it there.

    The variant's own limit is patient already (Session.patient).
    """
    scenario = cell.scenario
    planned_s = cell.variant.start_limit_s + scenario.warmup_s + scenario.duration_s + min(scenario.wrk_timeout_s, 10)
    return planned_s + patience_ratio * (SETTLE_LIMIT_S + 2 * ATTEMPT_LIMIT_S + DEADLINE_SLACK_S)


def reconnect(host: RemoteHost) -> None:
    """Open a lost connection again, trying for a while. Raises HostError when it stays lost."""
    until = time.monotonic() + RECONNECT_LIMIT_S * host.patience_ratio
    while True:
        try:
            host.open()
        except HostError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return


def persistently(
    host: RemoteHost, call: Callable[[], Answer], again: Callable[[], Answer], on_loss: Callable[[str], None]
) -> Answer:
    """What `call` gives or, each time that the connection is lost and made again, what `again` gives.

    `on_loss` hears why. Raises HostError when the host stays lost, or its connections end one after the other.
    """
    for _ in range(_LOSSES_MAX):
        try:
            return call()
        except ConnectionLostError as error:
            on_loss(str(error))
            reconnect(host)
            call = again
    return call()
