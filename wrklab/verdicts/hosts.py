"""Rules on the server's host and on the network: CPUs that others took, quotas, other clients, lost segments.

Whatever keeps a server from its CPUs or its answers from the generator makes the rate too low and latencies too high.
"""

from __future__ import annotations

from wrklab.formats import percent, plural
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.verdict import Direction, Rule, Severity, Verdict, above, at_least

#: CPU that others took on a host's CPUs, and that the hypervisor took.
NEIGHBOURS_LIMIT_PERCENT = 10.0
STEAL_LIMIT_PERCENT = 5.0
#: A unit that waits for a CPU for so much more of the time than its CPUs are used is kept from them.
WAITING_LIMIT_PERCENT = 30.0
#: Of the server's CPUs, what a generator that shares them may take: half of what neighbours may, as it comes on top.
SHARED_LIMIT_PERCENT = 5.0
#: Kept from a CPU that nobody used: for as much of the time as NEIGHBOURS_LIMIT_PERCENT allows others. Quiet: 0-4 %.
THROTTLED_LIMIT_PERCENT = 10.0
#: Somebody who looks after the server by hand, or a health check.
FOREIGN_FEW_COUNT = 2
#: More connections of others than this share of the requested ones are part of the load.
FOREIGN_LIMIT_RATIO = 0.01
#: Of the answers, segments lost on the way. Each costs its connection the retransmission time-out, 200 ms or more
#: (tcp(7), RTO): beyond the first share p99.9 shows that and no longer the server, beyond the second the rate too.
LOST_LATENCY_RATIO = 0.001
LOST_RATE_RATIO = 0.01

_ADDRESSES_SHOWN = 3
_AGAIN = "invoke bench again"
_CHECK_NETWORK = "Look at interfaces, switches and MTU between the hosts (ip -s link, invoke doctor)"
_SEGMENTS_COST = "the network loses segments, and each costs its connection 200 ms or more"
_WITHOUT_ITS_CPUS = "the server did not have the CPUs that were given to it"


def throttled(row: SummaryRow) -> bool:
    """The unit waited for a CPU while its CPUs had time: a quota, or an affinity, kept it from them."""
    if above(row.unit_throttled_percent, THROTTLED_LIMIT_PERCENT):
        return True
    if row.unit_waiting_percent is None or row.server_cpus_busy_percent is None:
        return False
    return row.unit_waiting_percent > row.server_cpus_busy_percent + WAITING_LIMIT_PERCENT


def others_connected(row: SummaryRow) -> bool:
    """Others than the lab's hosts were connected to the variant: so many that the load was not the lab's alone."""
    few = max(FOREIGN_FEW_COUNT, FOREIGN_LIMIT_RATIO * row.connections_asked)
    return _foreign_count(row) > few


def lossy_network(row: SummaryRow) -> bool:
    """So many segments got lost on the way that the rate is the network's."""
    return above(row.segments_lost_ratio, LOST_RATE_RATIO)


def _is_much_shared(row: SummaryRow) -> bool:
    return at_least(row.shared_cpus_taken_percent, SHARED_LIMIT_PERCENT)


def _shared_text(row: SummaryRow) -> str:
    taken = percent(row.shared_cpus_taken_percent)
    return f"the generator took {taken} of the time of the server's CPUs in the worst round"


def _foreign_count(row: SummaryRow) -> int:
    return sum(row.foreign_connections.values())


def _foreign_text(row: SummaryRow) -> str:
    found = sorted(row.foreign_connections.items(), key=lambda entry: -entry[1])
    whose = ", ".join(f"{number:,} of {address}" for address, number in found[:_ADDRESSES_SHOWN])
    return f"connections besides the lab's own: {whose}{' and others' if len(found) > _ADDRESSES_SHOWN else ''}"


def _throttled_text(row: SummaryRow) -> str:
    waited = (
        f"the unit waited for a CPU {percent(row.unit_waiting_percent)} of the time, while the server's CPUs were "
        f"{percent(row.server_cpus_busy_percent)} busy"
    )
    if not row.unit_throttled_percent:
        return waited
    return f"{waited}; for {percent(row.unit_throttled_percent)} of the time nobody had the CPU that it waited for"


def _lost_text(row: SummaryRow) -> str:
    return f"{(row.segments_lost_ratio or 0.0) * 100:.2g} lost segments for 100 answers in the worst round"


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="steal",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lambda row: above(row.steal_percent, STEAL_LIMIT_PERCENT),
        figures=lambda row: (
            f"the hypervisor took {percent(row.steal_percent)} of the server's CPU time in the worst round"
        ),
        meaning=_WITHOUT_ITS_CPUS,
        next_step="Measure again on a quieter machine",
        words=lambda row: f"steal {percent(row.steal_percent)}",
        settle=_AGAIN,
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="neighbours",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lambda row: above(row.neighbours_cpu_percent, NEIGHBOURS_LIMIT_PERCENT),
        figures=lambda row: (
            f"others took {percent(row.neighbours_cpu_percent)} of the server's CPUs in the worst round"
        ),
        meaning=_WITHOUT_ITS_CPUS,
        next_step="End what else runs on that machine and measure again",
        words=lambda row: f"neighbour {percent(row.neighbours_cpu_percent)}",
        settle=_AGAIN,
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="others_on_server",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lambda row: above(row.others_cpu_percent, NEIGHBOURS_LIMIT_PERCENT),
        figures=lambda row: (
            f"others on the server's host took {percent(row.others_cpu_percent)} of its CPUs in the worst round"
        ),
        meaning="the variant did not have the CPUs that were given to it",
        next_step="Look what else runs there (systemd-cgtop), end it and measure again",
        words=lambda row: f"host shared {percent(row.others_cpu_percent)}",
        settle=_AGAIN,
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="others_connected",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=others_connected,
        figures=_foreign_text,
        meaning="others were connected to the server when wrk had ended: what it did for them is in no figure here",
        next_step="Keep other clients, health checks too, away from its port while it is measured",
        words=lambda row: f"{_foreign_count(row):,} other clients",
        settle=_AGAIN,
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
    ),
    Rule(
        name="throttled",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=throttled,
        figures=_throttled_text,
        meaning=(
            "something kept the server from CPUs that were free: a CPU quota or an affinity, set on its unit or outside"
        ),
        next_step="Look for CPUQuota, cpu.max and CPUAffinity from the unit up to the machine, and measure again",
        words=lambda _: "server throttled",
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="lossy_network",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lossy_network,
        figures=_lost_text,
        meaning=f"{_SEGMENTS_COST}: the rate is the network's",
        next_step=f"{_CHECK_NETWORK}, and measure again",
        words=lambda _: "lossy network",
        settle="invoke doctor",
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="one_machine",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=lambda row: row.one_machine,
        figures=lambda row: f"{plural(row.connections_asked, 'connection')} over the loopback",
        meaning="server and wrk ran on one machine, so what either takes the other lacks, and no network was crossed",
        next_step="Compare variants of this run with each other only; a generator of its own gives rates to rely on",
        words=lambda _: "one machine",
        verdict=Verdict.DISTURBED,
        unknown_because="wrk takes the server's CPUs, which costs rate, and no network is crossed, which saves work",
        cost_stands=True,
    ),
    Rule(
        name="cpus_shared",
        severity=Severity.CPUS_TAKEN,
        doubt="rate",
        applies=_is_much_shared,
        figures=_shared_text,
        meaning="server and generator share CPUs, and what the generator takes the server lacks",
        next_step="Compare variants of this run with each other only, or use hosts with CPUs of their own",
        words=lambda row: f"CPUs shared, wrk {percent(row.shared_cpus_taken_percent)}",
        verdict=Verdict.DISTURBED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="some_lost",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=lambda row: above(row.segments_lost_ratio, LOST_LATENCY_RATIO) and not lossy_network(row),
        figures=_lost_text,
        meaning=f"{_SEGMENTS_COST}: high percentiles are the network's",
        next_step=_CHECK_NETWORK,
        words=lambda _: "segments lost",
        settle="invoke doctor",
        direction=Direction.TOO_HIGH,
    ),
    Rule(
        name="cpus_barely_shared",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: row.shared_cpus_taken_percent is not None and not _is_much_shared(row),
        figures=_shared_text,
        meaning=f"server and generator share CPUs, but this is less than {SHARED_LIMIT_PERCENT:g} %",
        next_step="Nothing: the rate is the server's",
        words=lambda row: f"CPUs shared, wrk {percent(row.shared_cpus_taken_percent)}",
    ),
)
