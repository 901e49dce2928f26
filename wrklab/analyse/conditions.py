"""When a row is to be doubted or explained: limits with their origin, and one small question each."""

from __future__ import annotations

from wrklab.analyse.rows import SummaryRow
from wrklab.model.record import Errors

#: Above this the generator measures itself; Hyperfoil draws the same line.
GENERATOR_CPU_LIMIT_PERCENT = 80.0
#: Between rounds; pyperf warns from the same.
SPREAD_LIMIT_RATIO = 0.10
#: Read and write errors beyond this share of the answers make the rate doubtful.
ERRORS_LIMIT_RATIO = 0.001
#: Fewer open connections than this share of those asked for is another load than the one asked for.
OPEN_LIMIT_RATIO = 0.99
#: A saturated but healthy server shows 0.75-0.85 (docs/metrics.md, busy_ratio).
BUSY_LIMIT_RATIO = 0.6
#: CPU that others took on the server's CPUs, and that the hypervisor took.
NEIGHBOURS_LIMIT_PERCENT = 10.0
STEAL_LIMIT_PERCENT = 5.0
#: What a window's edges may add to an ideal that nothing can exceed.
IDEAL_LIMIT_RATIO = 1.02
#: From here on, the hold or the in-flight limit and not the server's speed sets the rate.
BOUND_RATIO = 0.95
#: p99.9 is one answer in a thousand.
LATENCY_COUNT_MIN = 1000


#: A rate this near to limit / hold is explained by the limit; short windows and starts take the rest.
NEAR_CEILING_RATIO = 0.8


def errors_of(row: SummaryRow) -> Errors:
    """The row's errors; none where nothing was measured."""
    return row.errors or Errors()


def failed(row: SummaryRow) -> bool:
    """A round failed that should not have."""
    return row.rounds_failed > 0 and not row.failure_expected


def failed_as_expected(row: SummaryRow) -> bool:
    """A round failed, and the variant is there to show it."""
    return row.rounds_failed > 0 and row.failure_expected


def without_answers(row: SummaryRow) -> bool:
    """Windows ended without one answer."""
    return row.requests == 0


def connections_not_open(row: SummaryRow) -> bool:
    """The load was not the one asked for."""
    return row.connections_open is not None and row.connections_open < OPEN_LIMIT_RATIO * row.connections_asked


def many_errors(row: SummaryRow) -> bool:
    """Enough read and write errors to move the rate."""
    return _broken_ratio(row) > ERRORS_LIMIT_RATIO


def some_errors(row: SummaryRow) -> bool:
    """Read or write errors, but too few to move the rate."""
    return 0 < _broken_ratio(row) <= ERRORS_LIMIT_RATIO


def above_ideal(row: SummaryRow) -> bool:
    """More than connections / hold."""
    return _above(row.ideal_ratio, IDEAL_LIMIT_RATIO)


def above_ceiling(row: SummaryRow) -> bool:
    """More than in-flight limit / hold."""
    return _above(row.ceiling_ratio, IDEAL_LIMIT_RATIO)


def hold_bound(row: SummaryRow) -> bool:
    """All that the connections can give."""
    return _above(row.ideal_ratio, BOUND_RATIO) and not above_ideal(row)


def limit_bound(row: SummaryRow) -> bool:
    """All that the in-flight limit can give."""
    return _above(row.ceiling_ratio, BOUND_RATIO) and not above_ceiling(row)


def below_limit(row: SummaryRow) -> bool:
    """A probed limit that would bind before the connections do, and that the rate does not meet."""
    if not row.is_limit_probed or row.ceiling_per_s is None or row.ceiling_ratio is None:
        return False
    is_binding = row.ideal_per_s is None or row.ceiling_per_s < row.ideal_per_s
    return is_binding and row.ceiling_ratio <= BOUND_RATIO


def generator_busy(row: SummaryRow) -> bool:
    """The generator had no CPU to spare."""
    return _above(row.generator_cpu_percent, GENERATOR_CPU_LIMIT_PERCENT)


def disturbed(row: SummaryRow) -> bool:
    """Others ran on the server's CPUs."""
    return _above(row.neighbours_cpu_percent, NEIGHBOURS_LIMIT_PERCENT)


def stolen(row: SummaryRow) -> bool:
    """The hypervisor gave the server's CPUs to others."""
    return _above(row.steal_percent, STEAL_LIMIT_PERCENT)


def starved(row: SummaryRow) -> bool:
    """Connections went without answers while the generator had CPU to spare for reading them."""
    return _has_starving(row) and not _is_near_ceiling(row)


def starved_by_limit(row: SummaryRow) -> bool:
    """The same, where the variant's own limit on requests in flight explains it."""
    return _has_starving(row) and _is_near_ceiling(row)


def wrong_after(row: SummaryRow) -> bool:
    """Right after a window the server gave a wrong answer, or none and ended the connection."""
    return any(not _is_timeout(found) for found in row.verify_after)


def slow_after(row: SummaryRow) -> bool:
    """Right after a window the server had not answered when patience ended."""
    return bool(row.verify_after) and all(_is_timeout(found) for found in row.verify_after)


def spread(row: SummaryRow) -> bool:
    """Rounds differ."""
    return _above(row.spread_ratio, SPREAD_LIMIT_RATIO)


def rounds_missing(row: SummaryRow) -> bool:
    """Rounds of the plan that were not reached."""
    return row.rounds + row.rounds_failed < row.rounds_planned


def cut_off(row: SummaryRow) -> bool:
    """Latencies come near the window's length: longer ones had no time to show."""
    return row.latency is not None and row.latency.p99_us > row.duration_s * 1e6 / 2


def few_answers(row: SummaryRow) -> bool:
    """Too few answers for the highest percentile."""
    return row.latency is not None and row.latency.count < LATENCY_COUNT_MIN


def overflowed(row: SummaryRow) -> bool:
    """The accept queue was full."""
    return _above(row.listen_overflows, 0)


def one_round(row: SummaryRow) -> bool:
    """No second round was asked for."""
    return row.rounds == 1 and row.rounds_planned == 1


def shorter_than_published(row: SummaryRow) -> bool:
    """The article measured longer."""
    return _above(row.published_duration_s, row.duration_s) and row.rounds > 0


def _has_starving(row: SummaryRow) -> bool:
    if row.busy_ratio is None or not row.requests:
        return False
    return row.busy_ratio < BUSY_LIMIT_RATIO and not generator_busy(row)


def _is_near_ceiling(row: SummaryRow) -> bool:
    return _above(row.ceiling_ratio, NEAR_CEILING_RATIO)


def _is_timeout(found: str) -> bool:
    return found.startswith("timed out")


def _broken_ratio(row: SummaryRow) -> float:
    return (errors_of(row).read + errors_of(row).write) / max(row.requests or 0, 1)


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
