"""Rules on what set a sound rate: the load (hold-bound), the variant's own limit (limit-bound), or the server's CPUs.

Little's law decides: requests in flight = rate x mean latency. Each bound has a near zone, so that no verdict flips
because an answer took 106 ms instead of 105 ms; why the zones lie where they do: docs/method.md.
"""

from __future__ import annotations

import math

from wrklab.extract.samples import FULL_PERCENT
from wrklab.formats import count, duration_us, percent, plural, rate, ratio_percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.verdict import Rule, Severity, Verdict, above, at_least, errors_of

#: What a window's edges may add to an ideal that nothing can exceed.
IDEAL_LIMIT_RATIO = 1.02
#: From here on, the hold or the in-flight limit and not the server's speed sets the rate.
BOUND_RATIO = 0.95
#: Near hold-bound, of a server at ease: so much of an answer's time is its hold, and so many connections wait for one.
#: A tenth is what rounds of a quiet lab may differ by (SPREAD_LIMIT_RATIO).
NEAR_HOLD_RATIO = 0.90
#: A rate this near to limit / hold is explained by the limit; short windows and starts take the rest.
NEAR_CEILING_RATIO = 0.8
#: A unit, or a process that can use one CPU only, with this much of it has none to spare.
SERVER_CPU_LIMIT_PERCENT = FULL_PERCENT


def in_flight(row: SummaryRow) -> float | None:
    """Requests in flight by Little's law: rate x mean latency; None where no latency was observed."""
    if row.latency is None or row.requests_per_s is None or row.correction_notes:
        return None
    return row.requests_per_s * row.latency.mean_us / 1e6


def in_flight_ratio(row: SummaryRow) -> float:
    """Of the connections, those that waited for an answer on average; 0 where latencies do not show it."""
    return (in_flight(row) or 0.0) / row.connections_asked


def held_ratio(row: SummaryRow) -> float:
    """What share of an answer's mean time its hold is; 0 where answers after a time-out are in no latency."""
    if row.latency is None or errors_of(row).timeout or not row.latency.mean_us:
        return 0.0
    return row.hold_ms * 1000 / row.latency.mean_us


def complete_holds_ratio(row: SummaryRow) -> float:
    """What complete holds fill of a window: an answer that does not end in it is not counted. 1 where none fits."""
    return complete_holds(row.hold_ms, row.duration_s)


def complete_holds(hold_ms: int, duration_s: float) -> float:
    """What complete holds fill of a window of that length: 0.9 of 1 s at 100 ms, 0.975 of 4 s."""
    hold_s = hold_ms / 1000
    if hold_s == 0:
        return 1.0
    return math.floor(duration_s / (hold_s * IDEAL_LIMIT_RATIO)) * hold_s / duration_s or 1.0


def above_ideal(row: SummaryRow) -> bool:
    """More than connections / hold."""
    return above(row.ideal_ratio, IDEAL_LIMIT_RATIO)


def above_ceiling(row: SummaryRow) -> bool:
    """More than in-flight limit / hold."""
    return above(row.ceiling_ratio, IDEAL_LIMIT_RATIO)


def overflowed(row: SummaryRow) -> bool:
    """The accept queue was full."""
    return above(row.listen_overflows, 0)


def hold_bound(row: SummaryRow) -> bool:
    """All that the connections can give, or nearly all. In an open loop they give the rate, and nothing is bound."""
    return not row.is_open_loop and not above_ideal(row) and (_is_at_ideal(row) or _is_near_hold(row))


def near_hold_bound(row: SummaryRow) -> bool:
    """Within the near zone: the load sets most of the rate, and the server adds a little to each hold."""
    return hold_bound(row) and not _is_at_ideal(row) and not _is_at_hold(row)


def limit_bound(row: SummaryRow) -> bool:
    """All that the in-flight limit can give; or, of a server at ease, all that Little's law leaves of it."""
    return not row.is_open_loop and not above_ceiling(row) and (at_ceiling(row) or _is_limit_by_law(row))


def below_limit(row: SummaryRow) -> bool:
    """A probed limit that would bind before the connections do, and that the rate does not meet."""
    if row.is_open_loop or not row.is_limit_probed or row.ceiling_per_s is None or row.ceiling_ratio is None:
        return False
    is_binding = row.ideal_per_s is None or row.ceiling_per_s < row.ideal_per_s
    return is_binding and row.ceiling_ratio <= BOUND_RATIO * complete_holds_ratio(row) and not limit_bound(row)


def server_busy(row: SummaryRow) -> bool:
    """The variant used all the CPU that it can use, the kernel's work for it included."""
    return (
        at_least(row.server_cpu_percent, SERVER_CPU_LIMIT_PERCENT)
        or at_least(_own_busy_percent(row), SERVER_CPU_LIMIT_PERCENT)
        or every_process_full(row)
    )


def server_at_ease(row: SummaryRow) -> bool:
    """The server is known to have had CPU to spare: with more to do it would have given more."""
    return row.server_cpu_percent is not None and not server_busy(row)


def every_process_full(row: SummaryRow) -> bool:
    """Each process that serves fills the one CPU that it can use, however many the host has."""
    return (
        row.is_one_cpu_a_process
        and bool(row.saturated_processes_count)
        and row.serving_processes_count == row.saturated_processes_count
    )


def held_text(row: SummaryRow) -> str:
    """Connections and hold."""
    return f"{row.connections_asked:,} connections held {row.hold_ms} ms"


def server_text(row: SummaryRow) -> str:
    """CPU of the unit, of its host, and of its processes."""
    found = f"the unit took {percent(row.server_cpu_percent)} of the CPUs given to the server"
    if row.server_cpus_busy_percent is not None:
        found += f", which were {percent(row.server_cpus_busy_percent)} busy with the kernel's work"
    if every_process_full(row):
        found += (
            f"; {row.saturated_processes_count} of {row.serving_processes_count} serving processes filled one CPU each"
        )
    return found


def _own_busy_percent(row: SummaryRow) -> float | None:
    """Of the server's CPUs, the unit's and the kernel's work for it, on whomever the kernel booked that."""
    if row.server_cpus_busy_percent is None or row.others_cpu_percent is None:
        return None
    return row.server_cpus_busy_percent - (row.neighbours_cpu_percent or 0.0) - row.others_cpu_percent


def _is_at_ideal(row: SummaryRow) -> bool:
    return above(row.ideal_ratio, BOUND_RATIO * complete_holds_ratio(row))


def _has_no_other_reason(row: SummaryRow) -> bool:
    """Whether neither the server's CPUs nor its accept queue explain why the rate is below a bound."""
    return not server_busy(row) and not overflowed(row)


def _is_at_hold(row: SummaryRow) -> bool:
    """Answers take hardly more than their hold, and nearly all connections wait for one.

    Where connections come late into a short window the rate falls short of the ideal, and not by the server's doing.
    """
    return _is_held_for(row, BOUND_RATIO)


def _is_near_hold(row: SummaryRow) -> bool:
    return _is_held_for(row, NEAR_HOLD_RATIO)


def _is_held_for(row: SummaryRow, limit_ratio: float) -> bool:
    # Answers that take less than their hold were not held.
    is_just_held = limit_ratio <= held_ratio(row) <= 1 / BOUND_RATIO
    is_waited_for = in_flight_ratio(row) > limit_ratio * complete_holds_ratio(row)
    return _has_no_other_reason(row) and is_just_held and is_waited_for


def at_ceiling(row: SummaryRow) -> bool:
    """All that the in-flight limit can give in complete holds, or more."""
    return above(row.ceiling_ratio, BOUND_RATIO * complete_holds_ratio(row))


def _is_limit_by_law(row: SummaryRow) -> bool:
    """Whether the requests in the server's workers equal their limit by Little's law.

    rate x service time are in the workers. The service time is at least the quickest answer's and at most the mean
    latency, which has the wait for a free worker in it.
    """
    limit, found = row.in_flight_limit, in_flight(row)
    if not limit or limit > row.connections_asked or found is None or not _has_no_other_reason(row):
        return False
    if at_work(row) > IDEAL_LIMIT_RATIO * limit:
        return False
    # Answers after a time-out are in no mean.
    is_mean_true = not errors_of(row).timeout
    is_full = is_mean_true and BOUND_RATIO <= found / limit / complete_holds_ratio(row) <= 1 / BOUND_RATIO
    is_nearly_full = limit < row.connections_asked and at_work(row) > NEAR_CEILING_RATIO * limit
    return is_full or is_nearly_full


def at_work(row: SummaryRow) -> float:
    """Requests that were in the server's workers at least: rate x what the quickest answer took; 0 where unknown."""
    quickest_us = row.latency.min_us if row.latency and not row.correction_notes else None
    service_us = max(row.hold_ms * 1000.0, quickest_us or 0.0)
    return (row.requests_per_s or 0.0) * service_us / 1e6


def _by_law_text(row: SummaryRow) -> str:
    found = in_flight(row)
    in_flight_text = count(None if found is None else round(found))
    mean_text = duration_us(row.latency.mean_us if row.latency else None)
    return f"{in_flight_text} in flight on {plural(row.connections_asked, 'connection')}, for {mean_text} each"


def _near_hold_text(row: SummaryRow) -> str:
    """How near the two measures of hold-bound are to their limits; empty where there is no hold or no latency."""
    if not held_ratio(row):
        return ""
    return (
        f"{ratio_percent(held_ratio(row))} of an answer's time is its hold and "
        f"{ratio_percent(in_flight_ratio(row))} of "
        f"the connections wait for one (hold-bound above {ratio_percent(BOUND_RATIO)} and "
        f"{ratio_percent(BOUND_RATIO * complete_holds_ratio(row))}, near it above {ratio_percent(NEAR_HOLD_RATIO)} and "
        f"{ratio_percent(NEAR_HOLD_RATIO * complete_holds_ratio(row))})"
    )


def _hold_text(row: SummaryRow) -> str:
    found = f"{ratio_percent(row.ideal_ratio)} of what {held_text(row)} can give; {_by_law_text(row)}"
    return f"{found}; near hold-bound: {_near_hold_text(row)}" if near_hold_bound(row) else found


def _limit_text(row: SummaryRow) -> str:
    """The limit on requests in flight, and where it is known from."""
    source = "probed" if row.is_limit_probed else "by its card"
    return f"{plural(row.in_flight_limit or 0, 'request')} in flight ({source}) held {row.hold_ms} ms"


def _limit_bound_text(row: SummaryRow) -> str:
    by_hold = f"{ratio_percent(row.ceiling_ratio)} of what {_limit_text(row)} can give"
    if at_ceiling(row):
        return by_hold
    limit = row.in_flight_limit or 0
    return (
        f"{by_hold}; by Little's law {at_work(row):.3g} to {in_flight(row) or 0.0:.3g} requests are in the server, of "
        f"{limit:,} that it handles at once"
    )


def _unexplained_text(row: SummaryRow) -> str:
    """CPU of both sides, neither of which explains the rate, and how near it is to the load's bound."""
    cpus = f"{server_text(row)}; wrk took {percent(row.generator_cpu_percent)} of the generator's"
    near = _near_hold_text(row)
    return f"{cpus}; {near}" if near else cpus


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="hold_bound",
        severity=Severity.LOAD,
        doubt="none",
        applies=hold_bound,
        figures=_hold_text,
        meaning="the load, not the server, sets the rate, and variants with this note are equal here",
        next_step="More connections would make them distinguishable",
        words=lambda row: "near hold-bound" if near_hold_bound(row) else "hold-bound",
        settle="more --connections",
        verdict=Verdict.HOLD_BOUND,
    ),
    Rule(
        name="limit_bound",
        severity=Severity.LIMIT,
        doubt="none",
        applies=limit_bound,
        figures=_limit_bound_text,
        meaning="the variant's own limit sets the rate",
        next_step="More workers or threads would raise it",
        words=lambda row: f"limit of {row.in_flight_limit or 0:,}",
        verdict=Verdict.LIMIT_BOUND,
    ),
    Rule(
        name="server_busy",
        severity=Severity.SERVER,
        doubt="none",
        applies=lambda row: server_busy(row) and not row.is_open_loop,
        figures=server_text,
        meaning="the server had no CPU to spare: the rate is the variant's own",
        next_step="More CPUs, or less work an answer, would raise it",
        words=lambda _: "server CPU full",
        verdict=Verdict.SERVER_BOUND,
    ),
    Rule(
        name="above_ceiling",
        severity=Severity.REMARK,
        doubt="none",
        applies=above_ceiling,
        figures=lambda row: (
            f"{rate(row.requests_per_s)} requests/s, where {_limit_text(row)} give {rate(row.ceiling_per_s)}"
        ),
        meaning="more than the known limit on requests in flight can give: the limit is not what it was taken for",
        next_step="Probe it again (invoke probe), or correct it in stack.yml",
        words=lambda _: "above its limit",
        settle="invoke probe",
    ),
    Rule(
        name="below_limit",
        severity=Severity.REMARK,
        doubt="none",
        applies=below_limit,
        figures=lambda row: f"{ratio_percent(row.ceiling_ratio)} of what {_limit_text(row)} can give",
        meaning="wrk's rate does not meet what the probe's capacity allows: something else is the limit",
        next_step="Compare the server's CPU, the accept queue and connections open",
        words=lambda row: f"{ratio_percent(row.ceiling_ratio)} of its limit",
    ),
)

#: The rule of a row that none of the others decides.
UNEXPLAINED = Rule(
    name="unexplained",
    severity=Severity.REMARK,
    doubt="none",
    applies=lambda _: True,
    figures=_unexplained_text,
    meaning="nothing is known to be wrong, and nothing that was watched shows what set the rate",
    next_step=(
        "Do not take it for the server's limit: look for locks, a pool, a disk, a back end or the network, or ask for "
        "more connections"
    ),
    words=lambda _: "unexplained",
    settle="more --connections",
    verdict=Verdict.UNEXPLAINED,
)
