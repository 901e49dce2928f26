"""Rules on the generator: whether wrk had time to send and to read, and whose doing it is where it had not.

A generator without time makes the rate too low (the server could have given more) and latencies too high (answers lie
there before wrk reads and times them).
"""

from __future__ import annotations

from collections.abc import Callable

from wrklab.formats import percent, ratio_percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.hosts import NEIGHBOURS_LIMIT_PERCENT, STEAL_LIMIT_PERCENT
from wrklab.verdicts.verdict import Direction, Rule, Severity, Verdict, above

#: Above this the generator measures itself; Hyperfoil draws the same line.
GENERATOR_CPU_LIMIT_PERCENT = 80.0
#: A wrk thread is one event loop: on a CPU, or runnable without one, for this share of the time, it has none to spare.
GENERATOR_THREAD_LIMIT_PERCENT = 80.0
#: Waiting alone for half of the time: something keeps wrk from its CPU, however little it would need.
GENERATOR_WAITING_LIMIT_PERCENT = 50.0
#: A generator that has time reads an answer at once; found waiting to be read in most of the samples, it has none.
UNREAD_LIMIT_RATIO = 0.5
#: wrk paused, or its host not running anything of ours, for so long within a window: beats come every 0.2 s.
PAUSED_LIMIT_S = 0.5
#: Of the generator's host, everything on it.
GENERATOR_HOST_LIMIT_PERCENT = 95.0
#: Generators that begin further apart than this share of the window: a rate is off by half of it at most, which is
#: what rounds of a quiet lab differ by.
START_SKEW_LIMIT_RATIO = 0.02

_SENT_LATE = "wrk sent and timed late, so neither rate nor latencies are the server's alone"
_AGAIN = "invoke bench again"
_SECOND_GENERATOR = "invoke lab.up --loadgens 2"


def saturated(row: SummaryRow) -> bool:
    """The generator had nothing to spare, by any of its signs."""
    return any(rule.applies(row) for rule in RULES if rule.shows_saturation)


def _is_thread_busy(row: SummaryRow) -> bool:
    """A wrk thread never rested: on a CPU, or kept from one by a quota, a neighbour or another thread."""
    return above(row.generator_thread_percent, GENERATOR_THREAD_LIMIT_PERCENT) or above(
        row.generator_thread_waiting_percent, GENERATOR_WAITING_LIMIT_PERCENT
    )


def _has_neighbours(row: SummaryRow) -> bool:
    """Where server and generator share CPUs the neighbour is the server, which verdicts/hosts.py judges."""
    return not row.cpus_shared and above(row.generator_neighbours_cpu_percent, NEIGHBOURS_LIMIT_PERCENT)


def _generator_bound(  # noqa: PLR0913  what differs from sign to sign
    *,
    name: str,
    applies: Callable[[SummaryRow], bool],
    figures: Callable[[SummaryRow], str],
    meaning: str,
    next_step: str,
    words: Callable[[SummaryRow], str],
    settle: str = "",
) -> Rule:
    """A sign that wrk had no time to spare: the server could have given more, and answers were timed too long."""
    return Rule(
        name=name,
        severity=Severity.GENERATOR_FULL,
        doubt="rate",
        applies=applies,
        figures=figures,
        meaning=meaning,
        next_step=next_step,
        words=words,
        settle=settle,
        verdict=Verdict.GENERATOR_BOUND,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        concerns_generator=True,
        shows_saturation=True,
        cost_stands=True,
    )


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    _generator_bound(
        name="generator_busy",
        applies=lambda row: above(row.generator_cpu_percent, GENERATOR_CPU_LIMIT_PERCENT),
        figures=lambda row: (
            f"wrk took {percent(row.generator_cpu_percent)} of {row.busiest_generator}'s CPUs, the server's unit "
            f"{percent(row.server_cpu_percent)} of its own"
        ),
        meaning="the rate may be wrk's, not the server's",
        next_step="Give the generator more CPUs or add a generator; checking every body costs it 12-16 % CPU an answer",
        words=lambda _: "generator full",
        settle=_SECOND_GENERATOR,
    ),
    _generator_bound(
        name="generator_thread_busy",
        applies=_is_thread_busy,
        figures=lambda row: (
            f"wrk's busiest thread ran or waited for a CPU {percent(row.generator_thread_percent)} of the time, "
            f"waiting "
            f"{percent(row.generator_thread_waiting_percent)} of it; wrk took "
            f"{percent(row.generator_cpu_percent)} of the "
            "generator's CPUs"
        ),
        meaning="a wrk thread is one event loop and this one never rested: the rate may be wrk's, not the server's",
        next_step=(
            "More threads (--threads) on a generator with CPUs to spare; waiting points to a quota or a neighbour"
        ),
        words=lambda _: "wrk thread full",
        settle="more --threads",
    ),
    _generator_bound(
        name="generator_behind",
        applies=lambda row: above(row.generator_unread_ratio, UNREAD_LIMIT_RATIO),
        figures=lambda row: (
            f"{ratio_percent(row.generator_unread_ratio)} of the connections had an answer that wrk had not read"
        ),
        meaning="answers lay on the generator when it was sampled: wrk was stopped, or kept from its CPU",
        next_step="Look for what keeps wrk from running: a CPU quota, a neighbour, a slow host",
        words=lambda _: "generator reads late",
        settle=_SECOND_GENERATOR,
    ),
    _generator_bound(
        name="generator_paused",
        applies=lambda row: above(row.generator_paused_s, PAUSED_LIMIT_S),
        figures=lambda row: f"for {row.generator_paused_s or 0.0:.1f} s of {row.duration_s:g} s in the worst round",
        meaning=(
            "wrk was stopped, or nothing ran on its host: nothing was asked meanwhile, and answers were timed too long"
        ),
        next_step="Look for what stops it: a debugger, a freezer, a host that is migrated or suspended",
        words=lambda row: f"generator paused {row.generator_paused_s or 0.0:.1f} s",
    ),
    _generator_bound(
        name="generator_host_full",
        applies=lambda row: above(row.generator_host_cpu_percent, GENERATOR_HOST_LIMIT_PERCENT),
        figures=lambda row: (
            f"{row.busiest_generator}'s CPUs were {percent(row.generator_host_cpu_percent)} busy, wrk itself took "
            f"{percent(row.generator_cpu_percent)}"
        ),
        meaning="wrk had no CPU to spare: the rate may be the generator's, not the server's",
        next_step="End what else runs on the generator, give it more CPUs or add a generator",
        words=lambda _: "generator full",
        settle=_SECOND_GENERATOR,
    ),
    Rule(
        name="started_apart",
        severity=Severity.GENERATOR_FULL,
        doubt="rate",
        applies=lambda row: above(row.start_skew_ratio, START_SKEW_LIMIT_RATIO),
        figures=lambda row: (
            f"{', '.join(part.host for part in row.generators)} began up to {ratio_percent(row.start_skew_ratio)} of a "
            "window apart"
        ),
        meaning="in that time the load was not the one requested, and rates of different times were added",
        next_step="Measure longer windows, and look at what delayed a generator (raw/, invoke doctor)",
        words=lambda _: "generators started apart",
        settle="--duration 60s",
        verdict=Verdict.GENERATOR_BOUND,
        # Each had the server alone for a while, and their rates add up to too much.
        direction=Direction.TOO_HIGH,
        latency_direction=Direction.TOO_LOW,
        concerns_generator=True,
        cost_stands=True,
    ),
    Rule(
        name="generator_steal",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lambda row: above(row.generator_steal_percent, STEAL_LIMIT_PERCENT),
        figures=lambda row: (
            f"the hypervisor took {percent(row.generator_steal_percent)} of the generator's CPU time in the worst round"
        ),
        meaning=_SENT_LATE,
        next_step="Measure again on a quieter machine",
        words=lambda row: f"generator steal {percent(row.generator_steal_percent)}",
        settle=_AGAIN,
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        concerns_generator=True,
        cost_stands=True,
    ),
    Rule(
        name="generator_neighbours",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=_has_neighbours,
        figures=lambda row: (
            f"others took {percent(row.generator_neighbours_cpu_percent)} of the generator's CPUs in the worst round"
        ),
        meaning=_SENT_LATE,
        next_step="End what else runs on that machine and measure again",
        words=lambda row: f"generator's neighbour {percent(row.generator_neighbours_cpu_percent)}",
        settle=_AGAIN,
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        concerns_generator=True,
        cost_stands=True,
    ),
    Rule(
        name="others_on_generator",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lambda row: above(row.generator_others_cpu_percent, NEIGHBOURS_LIMIT_PERCENT),
        figures=lambda row: (
            f"others on {row.busiest_generator} took {percent(row.generator_others_cpu_percent)} of its CPUs in "
            f"the worst "
            "round"
        ),
        meaning=_SENT_LATE,
        next_step="Look what else runs there (systemd-cgtop), end it and measure again",
        words=lambda row: f"generator shared {percent(row.generator_others_cpu_percent)}",
        settle=_AGAIN,
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        concerns_generator=True,
        cost_stands=True,
    ),
)
