"""Which wrk processes compare every answer: in each window some do, whatever the scenario asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wrklab.hosts.limits import ProcessLoad
from wrklab.protocol.load import WrkSpec

#: Of a generator's connections. Comparing costs 12-16 % of wrk's CPU an answer: of so few, nothing that counts.
CHECKED_SHARE = 0.01


def wrk_specs(loads: Sequence[ProcessLoad], *, are_all_checked: bool) -> tuple[WrkSpec, ...]:
    """A generator's wrk processes; together just the connections of `loads`.

    Unless every answer is compared anyway, one in a hundred connections goes to a process of one thread more, which
    compares all of its answers: a server that answers wrongly under load, now and then or at the right length, is
    caught at the cost of that process alone. Where each thread has one connection only there is none to spare.
    """
    checked = 0 if are_all_checked else _connections_to_check(loads)
    if not checked:
        return tuple(_spec(load, checks_answers=are_all_checked) for load in loads)
    first, *others = loads
    # wrk opens floor(c / t) a thread: what is left must stay a multiple of its threads.
    rest = ProcessLoad(threads=first.threads, connections=first.connections - checked)
    unchecked = (_spec(load, checks_answers=False) for load in (rest, *others))
    return (*unchecked, _spec(ProcessLoad(threads=1, connections=checked), checks_answers=True))


def _connections_to_check(loads: Sequence[ProcessLoad]) -> int:
    """A hundredth of them, as a multiple of the first process's threads; 0 where it would have none left."""
    threads = loads[0].threads
    wanted = threads * math.ceil(CHECKED_SHARE * sum(load.connections for load in loads) / threads)
    return wanted if loads[0].connections - wanted >= threads else 0


def _spec(load: ProcessLoad, *, checks_answers: bool) -> WrkSpec:
    return WrkSpec(threads=load.threads, connections=load.connections, checks_answers=checks_answers)
