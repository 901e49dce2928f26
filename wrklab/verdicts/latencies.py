"""Rules on latencies alone: the rate stands, and answers are missing from its latencies or made up among them."""

from __future__ import annotations

from wrklab.formats import duration_us, plural
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.verdict import Direction, Rule, Severity, errors_of

#: p99.9 is one answer in a thousand.
LATENCY_COUNT_MIN = 1000


def cut_off(row: SummaryRow) -> bool:
    """Latencies come near the window's length: longer ones had no time to show."""
    return row.latency is not None and row.latency.p99_us > row.duration_s * 1e6 / 2


#: The rules of this theme, the more severe first within one severity.
RULES: tuple[Rule, ...] = (
    Rule(
        name="timeouts",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=lambda row: errors_of(row).timeout > 0,
        figures=lambda row: f"{plural(errors_of(row).timeout, 'answer')} after {row.timeout_s} s",
        meaning="answers that came after wrk's time-out count in the rate and are missing from the latencies",
        next_step="For true latencies take a scenario whose time-out is longer than its window (standard is one)",
        words=lambda row: f"{errors_of(row).timeout:,} timed out",
        settle="--scenario standard",
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="cut_off",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=cut_off,
        figures=lambda row: (
            f"p99 is {duration_us(row.latency.p99_us if row.latency else None)}, windows are {row.duration_s:g} s"
        ),
        meaning="slower answers had no time to be counted",
        next_step="The rate stands; for the latencies measure longer windows (--duration 60s)",
        words=lambda _: "latencies cut off",
        settle="--duration 60s",
        direction=Direction.TOO_LOW,
    ),
    Rule(
        name="not_observed",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=lambda row: bool(row.correction_notes),
        figures=lambda row: "; ".join(row.correction_notes),
        meaning="wrk's own correction could not be undone, so the latencies hold answers that wrk made up",
        next_step="Do not compare them",
        words=lambda _: "latencies made up",
        unknown_because="answers that wrk adds raise high percentiles, and lower the mean where all answers are slow",
    ),
    Rule(
        name="few_answers",
        severity=Severity.LATENCIES,
        doubt="latency",
        applies=lambda row: row.latency is not None and row.latency.count < LATENCY_COUNT_MIN,
        figures=lambda row: plural(row.latency.count if row.latency else 0, "answer"),
        meaning="p99.9 is just the slowest answer, and p99 rests on a handful",
        next_step="Measure longer windows or more rounds",
        words=lambda row: f"{row.latency.count if row.latency else 0:,} answers",
        settle="--duration 60s",
        unknown_because="a percentile of few answers lies above or below the true one by chance",
        leaves_slowest_open=True,
    ),
)
