"""When a row is to be doubted or explained: limits with their origin, and one small question each."""

from __future__ import annotations

import math

from wrklab.extract.samples import FULL_PERCENT
from wrklab.extract.stalls import STALL_P99_FACTOR, UNANSWERED_SHARE, are_latencies_cut, slow_answer_s
from wrklab.results.records import Errors
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts import contradictions

#: Above this the generator measures itself; Hyperfoil draws the same line.
GENERATOR_CPU_LIMIT_PERCENT = 80.0
#: A wrk thread is one event loop: on a CPU, or runnable without one, for this share of the time, it has none to spare.
GENERATOR_THREAD_LIMIT_PERCENT = 80.0
#: The half of it, waiting alone: something holds wrk back, however little it would need.
GENERATOR_WAITING_LIMIT_PERCENT = 50.0
#: A generator that has time reads an answer at once; found waiting to be read at most of the looks, it has none.
UNREAD_LIMIT_RATIO = 0.5
#: wrk stopped, or its host not running anything of ours, for so long within a window: beats come every 0.2 s.
HELD_UP_LIMIT_S = 0.5
#: Of the generator's host, everything on it.
GENERATOR_HOST_LIMIT_PERCENT = 95.0
#: A unit, or a process that can use one CPU only, with this much of it has none to spare.
SERVER_CPU_LIMIT_PERCENT = FULL_PERCENT
#: A unit that waits for a CPU for so much more of the time than its CPUs are used is kept from them.
WAITING_LIMIT_PERCENT = 30.0
#: Kept from a CPU that nobody used: for as much of the time as NEIGHBOURS_LIMIT_PERCENT allows others. Quiet: 0-4 %.
HELD_BACK_LIMIT_PERCENT = 10.0
#: More silent connections than this share of those asked for make the rate doubtful, as with errors.
SILENT_LIMIT_RATIO = 0.001
#: Between rounds; pyperf warns from the same.
SPREAD_LIMIT_RATIO = 0.10
#: Generators that begin further apart than this share of the window: a rate is off by half of it at most, which is
#: what rounds of a quiet lab differ by.
START_SKEW_LIMIT_RATIO = 0.02
#: Read and write errors beyond this share of the answers make the rate doubtful.
ERRORS_LIMIT_RATIO = 0.001
#: Fewer open connections than this share of those asked for is another load than the one asked for.
OPEN_LIMIT_RATIO = 0.99
#: A saturated but healthy server shows 0.75-0.85 (docs/metrics.md, busy_ratio).
BUSY_LIMIT_RATIO = 0.6
#: Somebody who looks after the server by hand, or a health check.
FOREIGN_FEW = 2
#: CPU that others took on the server's CPUs, and that the hypervisor took.
NEIGHBOURS_LIMIT_PERCENT = 10.0
STEAL_LIMIT_PERCENT = 5.0
#: What a window's edges may add to an ideal that nothing can exceed.
IDEAL_LIMIT_RATIO = 1.02
#: Of the answers, segments lost on the way. Each costs its connection the retransmission time-out, 200 ms or more
#: (tcp(7), RTO): beyond the first share p99.9 shows that and no longer the server, beyond the second the rate too.
LOST_LATENCY_RATIO = 0.001
LOST_RATE_RATIO = 0.01
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


def did_not_fail(row: SummaryRow) -> bool:
    """A round was measured of a variant that is there to fail."""
    return row.expect_failure is not None and row.rounds > 0


def connections_lost(row: SummaryRow) -> int:
    """Connections that were still waiting for an answer near a window's end, long after others had theirs."""
    return (row.connections_unanswered or 0) + (row.connections_silent or 0)


def without_answers(row: SummaryRow) -> bool:
    """Windows ended without one answer."""
    return row.requests == 0


def connections_not_open(row: SummaryRow) -> bool:
    """The load was not the one asked for."""
    held = row.connections_open if row.connections_held is None else row.connections_held
    return held is not None and held < OPEN_LIMIT_RATIO * row.connections_asked


def reopened(row: SummaryRow) -> bool:
    """The server closes connections, and wrk opens them anew."""
    return _reopening_ratio(row) > 1 - OPEN_LIMIT_RATIO


def many_errors(row: SummaryRow) -> bool:
    """Enough read and write errors to move the rate."""
    return _broken_ratio(row) > ERRORS_LIMIT_RATIO


def some_errors(row: SummaryRow) -> bool:
    """Read or write errors, but too few to move the rate."""
    return 0 < _broken_ratio(row) <= ERRORS_LIMIT_RATIO


def server_ended(row: SummaryRow) -> bool:
    """The server itself ended in a round's first attempt."""
    return row.rounds_server_ended > 0


def answers_unchecked(row: SummaryRow) -> bool:
    """Not one answer of the windows was compared."""
    return bool(row.requests) and row.answers_checked == 0


def above_ideal(row: SummaryRow) -> bool:
    """More than connections / hold."""
    return _above(row.ideal_ratio, IDEAL_LIMIT_RATIO)


def above_ceiling(row: SummaryRow) -> bool:
    """More than in-flight limit / hold."""
    return _above(row.ceiling_ratio, IDEAL_LIMIT_RATIO)


def hold_bound(row: SummaryRow) -> bool:
    """All that the connections can give; or an answer takes hardly more than its hold, and nearly all wait for one.

    The latter where connections come late into a short window, and not by the server's doing: it has CPU to spare, and
    its accept queue was never full.
    """
    if above_ideal(row):
        return False
    limit_ratio = BOUND_RATIO * _whole_holds_ratio(row)
    if _above(row.ideal_ratio, limit_ratio):
        return True
    is_at_ease = not server_busy(row) and not overflowed(row)
    return is_at_ease and _is_just_held(row) and _in_flight_ratio(row) > limit_ratio


def limit_bound(row: SummaryRow) -> bool:
    """All that the in-flight limit can give."""
    return _above(row.ceiling_ratio, BOUND_RATIO * _whole_holds_ratio(row)) and not above_ceiling(row)


def below_limit(row: SummaryRow) -> bool:
    """A probed limit that would bind before the connections do, and that the rate does not meet."""
    if not row.is_limit_probed or row.ceiling_per_s is None or row.ceiling_ratio is None:
        return False
    is_binding = row.ideal_per_s is None or row.ceiling_per_s < row.ideal_per_s
    return is_binding and row.ceiling_ratio <= BOUND_RATIO * _whole_holds_ratio(row)


def generator_busy(row: SummaryRow) -> bool:
    """The generator had no CPU to spare."""
    return _above(row.generator_cpu_percent, GENERATOR_CPU_LIMIT_PERCENT)


def generator_thread_busy(row: SummaryRow) -> bool:
    """A wrk thread never rested: on a CPU, or kept from one by a quota, a neighbour or another thread."""
    return _above(row.generator_thread_percent, GENERATOR_THREAD_LIMIT_PERCENT) or _above(
        row.generator_thread_waiting_percent, GENERATOR_WAITING_LIMIT_PERCENT
    )


def generator_behind(row: SummaryRow) -> bool:
    """Answers lay unread at most of the looks: wrk did not get to them, whatever kept it."""
    return _above(row.generator_unread_ratio, UNREAD_LIMIT_RATIO)


def generator_host_full(row: SummaryRow) -> bool:
    """The generator's host had no CPU to spare, whoever used it."""
    return _above(row.generator_host_cpu_percent, GENERATOR_HOST_LIMIT_PERCENT)


def generator_held_up(row: SummaryRow) -> bool:
    """wrk was stopped within a window, or its whole host was."""
    return _above(row.generator_held_up_s, HELD_UP_LIMIT_S)


def generator_saturated(row: SummaryRow) -> bool:
    """The generator had nothing to spare, by any of its signs."""
    signs = (generator_busy, generator_thread_busy, generator_behind, generator_held_up, generator_host_full)
    return any(sign(row) for sign in signs)


def generator_neighbours(row: SummaryRow) -> bool:
    """Others ran on the generator's CPUs: answers were read, and timed, late."""
    return _above(row.generator_neighbours_cpu_percent, NEIGHBOURS_LIMIT_PERCENT)


def others_on_generator(row: SummaryRow) -> bool:
    """Others than wrk ran on the generator's host."""
    return _above(row.generator_others_cpu_percent, NEIGHBOURS_LIMIT_PERCENT)


def generator_stolen(row: SummaryRow) -> bool:
    """The hypervisor gave the generator's CPUs to others."""
    return _above(row.generator_steal_percent, STEAL_LIMIT_PERCENT)


def disturbed(row: SummaryRow) -> bool:
    """Others, outside of the server's host, ran on its CPUs."""
    return _above(row.neighbours_cpu_percent, NEIGHBOURS_LIMIT_PERCENT)


def disturbed_inside(row: SummaryRow) -> bool:
    """Others than the variant ran on the server's host."""
    return _above(row.others_cpu_percent, NEIGHBOURS_LIMIT_PERCENT)


def others_connected(row: SummaryRow) -> bool:
    """Others than the lab's hosts were connected to the variant: so many that the load was not ours alone."""
    few = max(FOREIGN_FEW, (1 - OPEN_LIMIT_RATIO) * row.connections_asked)
    return sum(row.foreign_connections.values()) > few


def held_back(row: SummaryRow) -> bool:
    """The unit waited for a CPU while its CPUs had time: a quota, or an affinity, kept it from them."""
    if _above(row.unit_held_back_percent, HELD_BACK_LIMIT_PERCENT):
        return True
    if row.unit_waiting_percent is None or row.server_cpus_busy_percent is None:
        return False
    return row.unit_waiting_percent > row.server_cpus_busy_percent + WAITING_LIMIT_PERCENT


def stolen(row: SummaryRow) -> bool:
    """The hypervisor gave the server's CPUs to others."""
    return _above(row.steal_percent, STEAL_LIMIT_PERCENT)


def lossy_network(row: SummaryRow) -> bool:
    """So many segments got lost on the way that the rate is the network's."""
    return _above(row.segments_lost_ratio, LOST_RATE_RATIO)


def some_lost(row: SummaryRow) -> bool:
    """Segments got lost on the way, too few to move the rate."""
    return _above(row.segments_lost_ratio, LOST_LATENCY_RATIO) and not lossy_network(row)


def server_busy(row: SummaryRow) -> bool:
    """The variant used all the CPU that it can use, the kernel's work for it included."""
    return (
        _at_least(row.server_cpu_percent, SERVER_CPU_LIMIT_PERCENT)
        or _at_least(_own_busy_percent(row), SERVER_CPU_LIMIT_PERCENT)
        or every_process_full(row)
    )


def _own_busy_percent(row: SummaryRow) -> float | None:
    """Of the server's CPUs, the unit's and the kernel's work for it, on whomever the kernel booked that."""
    if row.server_cpus_busy_percent is None or row.others_cpu_percent is None:
        return None
    return row.server_cpus_busy_percent - (row.neighbours_cpu_percent or 0.0) - row.others_cpu_percent


def every_process_full(row: SummaryRow) -> bool:
    """Each process that serves fills the one CPU that it can use, however many the host has."""
    return (
        row.is_one_cpu_a_process
        and bool(row.full_processes_count)
        and row.serving_processes_count == row.full_processes_count
    )


def silent(row: SummaryRow) -> bool:
    """Connections never got an answer, or none any more, though there was time for many turns of each.

    Also of a variant whose limit explains how many are served: one that lets the others in, turn by turn, has none.
    """
    return _has_silent(row) and _has_turns(row) and not is_letting_in(row)


def let_in_slowly(row: SummaryRow) -> bool:
    """The same, but they wait in the accept queue of a full server, which takes one after the other."""
    return _has_silent(row) and _has_turns(row) and is_letting_in(row)


def silent_by_limit(row: SummaryRow) -> bool:
    """The window ended before each connection had its turn, and the variant's own limit explains it."""
    return _has_silent(row) and not _has_turns(row) and _is_near_ceiling(row)


def few_silent(row: SummaryRow) -> bool:
    """The same, but of too few connections to move the rate."""
    return connections_lost(row) > 0 and not _has_silent(row)


def out_of_turns(row: SummaryRow) -> bool:
    """The window ended before each connection had its turn: slow or unfair cannot be told apart."""
    return _has_silent(row) and not _has_turns(row) and not _is_near_ceiling(row)


def is_letting_in(row: SummaryRow) -> bool:
    """Whether the accept queue explains who has no answer. Of a server with time to spare it explains nothing."""
    is_explained = (row.connections_unexplained or 0) <= SILENT_LIMIT_RATIO * row.connections_asked
    return bool(row.connections_not_let_in) and is_explained and server_busy(row)


def starved(row: SummaryRow) -> bool:
    """Connections went without answers while the generator had CPU to spare for reading them."""
    # A busy server that is just too slow, for the window or for wrk's time-out (of whose answers no latency tells), is
    # told by out_of_turns, cut_off and timeouts.
    is_too_slow = are_latencies_cut(row.requests or 0, errors_of(row).timeout) or not _has_turns(row)
    is_just_slow = server_busy(row) and is_too_slow
    return _has_starving(row) and not _is_near_ceiling(row) and not is_just_slow


def starved_by_limit(row: SummaryRow) -> bool:
    """The same, where the variant's own limit on requests in flight explains it."""
    return _has_starving(row) and _is_near_ceiling(row)


def silence_not_counted(row: SummaryRow) -> bool:
    """The look that tells hung connections did not happen in some window."""
    return row.rounds_without_silences > 0


def started_apart(row: SummaryRow) -> bool:
    """Several generators were not one load."""
    return _above(row.start_skew_ratio, START_SKEW_LIMIT_RATIO)


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
    # While a connection is opened anew, or not let in yet, no latency runs: the socket tables say how many are.
    elsewhere_ratio = _reopening_ratio(row) + (_not_let_in_ratio(row) if is_letting_in(row) else 0.0)
    return row.busy_ratio + elsewhere_ratio < BUSY_LIMIT_RATIO and not generator_saturated(row)


def _has_silent(row: SummaryRow) -> bool:
    return connections_lost(row) > SILENT_LIMIT_RATIO * row.connections_asked


def _not_let_in_ratio(row: SummaryRow) -> float:
    return (row.connections_not_let_in or 0) / row.connections_asked


def _has_turns(row: SummaryRow) -> bool:
    """Whether a silence can be told from slowness: answers are fast enough for several within the window."""
    if not row.requests:
        return True
    p99_s = row.latency.p99_us / 1e6 if row.latency else 0.0
    slow_s = slow_answer_s(
        p99_s, row.requests, errors_of(row).timeout, row.requests_per_s or 0.0, row.connections_asked
    )
    return STALL_P99_FACTOR * slow_s < UNANSWERED_SHARE * row.duration_s


def _reopening_ratio(row: SummaryRow) -> float:
    return (row.connections_reopening or 0) / row.connections_asked


def _is_just_held(row: SummaryRow) -> bool:
    """Whether the server adds next to nothing to the hold. Where answers came after a time-out, nobody knows."""
    if row.latency is None or errors_of(row).timeout:
        return False
    return row.latency.mean_us * BOUND_RATIO <= row.hold_ms * 1000


def _in_flight_ratio(row: SummaryRow) -> float:
    """Of the connections, those that waited for an answer on average; 0 where latencies do not tell."""
    return (contradictions.in_flight(row) or 0.0) / row.connections_asked


def _whole_holds_ratio(row: SummaryRow) -> float:
    """What whole holds fill of a window: an answer that does not end in it is not counted. 1 where none fits."""
    hold_s = row.hold_ms / 1000
    if hold_s == 0:
        return 1.0
    return math.floor(row.duration_s / (hold_s * IDEAL_LIMIT_RATIO)) * hold_s / row.duration_s or 1.0


def _is_near_ceiling(row: SummaryRow) -> bool:
    """Whether the limit explains who waits: not one that the rate exceeds, nor where nobody is served any more."""
    is_anybody_served = connections_lost(row) < row.connections_asked
    return _above(row.ceiling_ratio, NEAR_CEILING_RATIO) and not above_ceiling(row) and is_anybody_served


def _broken_ratio(row: SummaryRow) -> float:
    if row.broken_ratio is not None:
        return row.broken_ratio
    return (errors_of(row).read + errors_of(row).write) / max(row.requests or 0, 1)


def _at_least(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
