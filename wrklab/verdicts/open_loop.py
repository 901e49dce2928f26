"""Rules on open loops: was the load the one requested, did the server keep up with it, and how well is a tail known.

In an open loop requests are sent at their time, whatever the server does. What each rule looks for, with an example:
docs/loads.md.
"""

from __future__ import annotations

from wrklab.formats import duration_us, plural, rate, ratio_percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.verdict import Direction, Rule, Severity, Verdict, above, errors_of

#: Requests sent more than 1 ms after their slot: above this share the loop was not open.
LATE_LIMIT_RATIO = 0.001
#: Answers / slots: below this the server does not keep up. Rounds of a quiet lab differ by as much.
ACHIEVED_MIN_RATIO = 0.98
#: As of stalled connections: fewer move no percentile that is shown.
UNANSWERED_LIMIT_RATIO = 0.001
#: wrk sends by its timetable only while it is free at the time: a busier one sends late after it has taken a slot.
GENERATOR_CPU_LIMIT_PERCENT = 70.0
#: From where on a percentile such as p99 is one of requests that wrk sent late.
WRK_LATE_LIMIT_RATIO = 0.01
#: The generator looks around every 0.2 s: where that took longer by 50 ms, it had no CPU for so long.
_BEAT_S, _PAUSE_MIN_S = 0.2, 0.05
#: By order statistics so many answers bound p99 to the answers between p98.8 and p99.2.
P99_COUNT_MIN = 10_000


def overloaded(row: SummaryRow) -> bool:
    """The server did not keep up: answers are missing in the end, or they are too few while latency rises."""
    if not row.is_open_loop:
        return False
    return _below(row.answered_ratio) or _below(row.growing_achieved_ratio)


def sent_late(row: SummaryRow) -> bool:
    """The loop was not open: requests waited for a free connection."""
    return above(row.late_ratio, LATE_LIMIT_RATIO) and not _late_by_pause(row)


def generator_late(row: SummaryRow) -> bool:
    """wrk did not run when requests were due, or when answers came that would have freed connections for them."""
    return above(row.wrk_late_ratio, WRK_LATE_LIMIT_RATIO) or _late_by_pause(row)


def _late_by_pause(row: SummaryRow) -> bool:
    """Whether no slot waited longer for a connection than the generator had no CPU at a time."""
    return above(row.late_ratio, LATE_LIMIT_RATIO) and _PAUSE_MIN_S < _pause_s(row) >= (row.latest_slot_s or 0.0)


def _pause_s(row: SummaryRow) -> float:
    """The longest time for which the generator did not run when it should have."""
    return (row.generator_paused_s or 0.0) - _BEAT_S


def trending(row: SummaryRow) -> bool:
    """Each quarter of a window was slower than the one before."""
    return above(row.latency_trend_ratio, 1.0)


def closed_by_server(row: SummaryRow) -> bool:
    """Connections ended while a request was on its way: wrk then sends again at once, which no timetable has.

    A few are chance: the server closed a connection that rested, in the moment in which its request went out.
    """
    return row.is_open_loop and errors_of(row).read > UNANSWERED_LIMIT_RATIO * (row.requests or 0)


def few_for_tail(row: SummaryRow) -> bool:
    """Too few answers for the percentile shown."""
    return row.is_open_loop and row.latency is not None and row.latency.count < P99_COUNT_MIN


def _below(ratio: float | None) -> bool:
    return ratio is not None and ratio < ACHIEVED_MIN_RATIO


def _overloaded_text(row: SummaryRow) -> str:
    return (
        f"{rate(row.offered_per_s)} requests/s offered, {rate(row.requests_per_s)} answered; of all slots "
        f"{ratio_percent(row.answered_ratio)} had an answer a second after the timetable's end"
    )


def _quarters_text(row: SummaryRow) -> str:
    return f"mean latency by quarter of the window: {', '.join(map(duration_us, row.quarters_mean_us))}"


def _generator_late_text(row: SummaryRow) -> str:
    text = f"wrk itself sent {100 * (row.wrk_late_ratio or 0.0):.2g} % of the requests at least 20 ms late"
    if not _late_by_pause(row):
        return text
    late = f"{100 * (row.late_ratio or 0.0):.2g} % had no free connection at their time"
    return f"{text}; {late}, and the generator did not run for {1000 * _pause_s(row):.0f} ms at a time"


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="open_loop_generator_busy",
        severity=Severity.GENERATOR_FULL,
        doubt="rate",
        applies=lambda row: row.is_open_loop and above(row.generator_cpu_percent, GENERATOR_CPU_LIMIT_PERCENT),
        figures=lambda row: f"wrk took {ratio_percent((row.generator_cpu_percent or 0) / 100)} of the generator's CPUs",
        meaning="a wrk that is this busy sends after the time that it planned, and no slot shows it",
        next_step="Add a generator, give it more CPUs, or ask for a lower rate",
        words=lambda _: "generator busy",
        settle="invoke lab.up --loadgens 2",
        verdict=Verdict.GENERATOR_BOUND,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        shows_saturation=True,
        cost_stands=True,
    ),
    Rule(
        name="open_loop_generator_late",
        severity=Severity.GENERATOR_FULL,
        doubt="rate",
        applies=generator_late,
        figures=_generator_late_text,
        meaning="wrk did not run when they were due, so they came in bursts, and their answers were read late",
        next_step="See what else runs on the generator, add one, or ask for a lower rate",
        words=lambda _: "generator late",
        settle="invoke lab.up --loadgens 2",
        verdict=Verdict.GENERATOR_BOUND,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_HIGH,
        cost_stands=True,
    ),
    Rule(
        name="overloaded",
        severity=Severity.OTHER_LOAD,
        doubt="rate",
        applies=overloaded,
        figures=_overloaded_text,
        meaning="the server does not keep up with the rate: its queue grows as long as the load lasts",
        next_step="Ask for a lower rate; invoke capacity finds the highest one within an objective",
        words=lambda row: f"overloaded at {rate(row.rate_per_s)}",
        settle="a lower --rate",
        verdict=Verdict.OVERLOADED,
        # What it answers is what it can; a longer window would make its latencies worse.
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_LOW,
    ),
    Rule(
        name="sent_late",
        severity=Severity.OTHER_LOAD,
        doubt="rate",
        applies=sent_late,
        figures=lambda row: (
            f"{100 * (row.late_ratio or 0.0):.2g} % of the requests were sent more than 1 ms after their slot, the "
            f"latest {row.latest_slot_s or 0.0:.3g} s"
        ),
        meaning="no connection was free at their time, so requests that would have waited were never sent",
        next_step="More connections (rate x the longest latency x 1.2), or a lower rate",
        words=lambda row: f"{100 * (row.late_ratio or 0.0):.2g} % sent late",
        settle="more --connections",
        verdict=Verdict.POLLUTED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_LOW,
    ),
    Rule(
        name="closed_by_server",
        severity=Severity.OTHER_LOAD,
        doubt="rate",
        applies=closed_by_server,
        figures=lambda row: f"{plural(errors_of(row).read, 'connection')} ended with a request on its way",
        meaning=(
            "the server closed them instead of answering; wrk opens another one and sends again, ahead of its time"
        ),
        next_step="Look at the server's log; where it limits requests a connection: --connection-mode close",
        words=lambda row: f"{errors_of(row).read:,} closed by server",
        settle="--connection-mode close",
        verdict=Verdict.POLLUTED,
        unknown_because="some requests came too early, and others were sent twice",
    ),
    Rule(
        name="unanswered",
        severity=Severity.OTHER_LOAD,
        doubt="rate",
        applies=lambda row: above(row.unanswered_ratio, UNANSWERED_LIMIT_RATIO),
        figures=lambda row: (
            f"{100 * (row.unanswered_ratio or 0.0):.2g} % of the requests had no answer a second after the timetable"
        ),
        meaning="requests hang, and no latency shows their wait",
        next_step="Look at the server's workers: one that keeps a connection serves nobody else meanwhile",
        words=lambda row: f"{100 * (row.unanswered_ratio or 0.0):.2g} % unanswered",
        settle="--connection-mode close",
        verdict=Verdict.POLLUTED,
        direction=Direction.TOO_LOW,
        latency_direction=Direction.TOO_LOW,
    ),
    Rule(
        name="rate_held",
        severity=Severity.LOAD,
        doubt="none",
        applies=lambda row: row.is_open_loop and row.rounds > 0,
        figures=lambda row: (
            f"{rate(row.offered_per_s)} requests/s offered, {ratio_percent(row.achieved_ratio)} answered in time"
        ),
        meaning="the load set the rate, and the latencies are those of that rate",
        next_step="invoke capacity finds the highest rate within an objective",
        words=lambda _: "rate held",
        verdict=Verdict.RATE_HELD,
    ),
    Rule(
        name="latency_trends",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=trending,
        figures=_quarters_text,
        meaning="latency rises throughout the window: a queue grows, and a longer window would show more of it",
        next_step="A lower rate, or a longer window to see where it ends (--duration 60s)",
        words=lambda row: f"latency x {row.latency_trend_ratio or 1.0:.2g} in window",
        settle="--duration 60s",
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="few_for_tail",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=few_for_tail,
        figures=lambda row: (
            f"p99 of {plural(row.latency.count if row.latency else 0, 'answer')} lies between "
            f"{duration_us(row.latency_p99_low_us)} and {duration_us(row.latency_p99_high_us)} (95 %)"
        ),
        meaning=f"p99 needs {P99_COUNT_MIN:,} answers, and p99.9 ten times as many",
        next_step="Longer windows or more rounds",
        words=lambda row: f"p99 of {row.latency.count if row.latency else 0:,}",
        settle="--duration 60s",
        unknown_because="a percentile of few answers lies above or below the true one by chance",
        leaves_slowest_open=True,
    ),
    Rule(
        name="idle_closed",
        severity=Severity.REMARK,
        doubt="none",
        applies=lambda row: above(row.idle_closed, 0),
        figures=lambda row: f"{plural(row.idle_closed or 0, 'connection')} closed by the server while they rested",
        meaning=(
            "its keep-alive time-out is shorter than connections / rate; another connection was opened at once, and no "
            "request was lost"
        ),
        next_step="Nothing. Each reopened connection costs the server an accept; fewer --connections avoid it",
        words=lambda row: f"{row.idle_closed or 0:,} idle connections closed",
        settle="fewer --connections",
    ),
)
