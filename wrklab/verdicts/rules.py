"""The rules by which a row is doubted or explained, as data: condition, figures, meaning, next step, verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wrklab.formats import count, duration_us, occurrences, percent, plural, rate, ratio_percent
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts import conditions, contradictions
from wrklab.verdicts import rule_figures as told
from wrklab.verdicts.conditions import errors_of
from wrklab.verdicts.contradictions import wrong_in_warmup
from wrklab.verdicts.doubt import Direction, Doubt
from wrklab.verdicts.verdict import Verdict


@dataclass(frozen=True)
class Rule:
    """One reason to doubt or to explain a row."""

    name: str
    doubt: Doubt
    applies: Callable[[SummaryRow], bool]
    #: The figures that it rests on; what differs from row to row.
    figures: Callable[[SummaryRow], str]
    #: What such figures mean, the same for every row.
    meaning: str
    next_step: str
    #: What it makes of a cell or a row, unless a graver rule applies; None: it decides nothing.
    verdict: Verdict | None = None
    #: Which way the doubt moves the figure; says nothing where `doubt` is none.
    direction: Direction = Direction.UNKNOWN


# The gravest first, and of those that lead to a verdict the first that applies is the row's. The order says which of
# several true things would mislead most if it were left out:
#   1. no figures at all;
#   2. wrong answers and errors, which are the server's doing however slow anybody was (a server that resets connections
#      keeps wrk busy, not the other way round);
#   3. a generator without time to spare: of the server nothing can be said then, and connections that never opened or
#      starve may be its work;
#   4. connections that wait far longer than the others: no lack of CPU gives some fast answers and others none;
#   5. CPUs that others took, which may explain what follows;
#   6. connections that did not open or were short of answers: the rate is of another load than the one asked for;
#   7. rounds that do not agree;
#   8. what set a sound rate. The load first: beside it, a busy server was not driven further;
#   9. what explains or limits the reading of a figure and decides nothing.
RULES: tuple[Rule, ...] = (
    Rule(
        "failed",
        "rate",
        conditions.failed,
        told.failed,
        "figures, where there are any, are of the other rounds",
        "The server's last log lines stand below and in raw/",
        Verdict.FAILED,
    ),
    Rule(
        "failed_as_expected",
        "none",
        conditions.failed_as_expected,
        told.failed,
        "it was expected to",
        "The variant is here to show that it does not work",
        Verdict.FAILED_AS_EXPECTED,
    ),
    Rule(
        "connect_errors",
        "rate",
        lambda row: errors_of(row).connect > 0,
        lambda row: f"{errors_of(row).connect:,} of {row.connections_asked:,} a round",
        "connections could not be opened, and wrk never tries those again",
        "Check descriptors and ports of the generator (invoke doctor), or ask for fewer connections",
        Verdict.POLLUTED,
    ),
    Rule(
        "wrong_status",
        "rate",
        lambda row: errors_of(row).status + wrong_in_warmup(row).status > 0,
        lambda row: told.wrong_answers(row, "status"),
        "answers had another status than 200, and the rate counts them",
        "Read the server's log in raw/: a rate of error pages says nothing of the server's work",
        Verdict.POLLUTED,
    ),
    Rule(
        "wrong_body",
        "rate",
        lambda row: errors_of(row).body + wrong_in_warmup(row).body > 0,
        lambda row: told.wrong_answers(row, "body"),
        "answers had a wrong body, and the rate counts them",
        "With read errors beside it, a cut answer may have spoilt the next one; else read the log in raw/",
        Verdict.POLLUTED,
    ),
    Rule(
        "answers_differ",
        "rate",
        contradictions.answers_differ,
        told.answer_sizes,
        "the window's answers are not those of the warm-up, of which every one was compared",
        "Ask the server by hand under load, or compare every body: --set validate_bodies=true",
        Verdict.POLLUTED,
    ),
    Rule(
        "many_errors",
        "rate",
        conditions.many_errors,
        told.errors,
        "connections were reset, closed or refused",
        "The server cannot hold this load: ask for fewer connections or raise its backlog",
        Verdict.POLLUTED,
    ),
    Rule(
        "above_ideal",
        "rate",
        conditions.above_ideal,
        lambda row: (
            f"{rate(row.requests_per_s)} requests/s, where {told.held(row)} give {rate(row.ideal_per_s)} at most"
        ),
        "more than connections / hold is impossible: the hold is not in effect",
        "Look at the answers and at WRKLAB_HOLD_MS",
        Verdict.POLLUTED,
    ),
    Rule(
        "hold_not_kept",
        "rate",
        contradictions.hold_not_kept,
        told.quickest,
        "an answer came before its hold could be over: some or all of them are not held, or are an error or a cache's",
        "Look at the answers and at WRKLAB_HOLD_MS; a path that holds nothing has hold_ms 0",
        Verdict.POLLUTED,
    ),
    Rule(
        "more_than_connections",
        "rate",
        contradictions.more_than_connections,
        told.in_flight_by_law,
        "more requests in flight than connections is impossible: some answers were counted more than once",
        "Look at what the server sends for one request",
        Verdict.POLLUTED,
    ),
    Rule(
        "miscounted",
        "rate",
        lambda row: row.is_miscounted,
        lambda row: "; ".join(row.correction_notes),
        "wrk counted another number of answers than it timed: the server answers more often than it is asked",
        "Look at what the server sends for one request",
        Verdict.POLLUTED,
    ),
    Rule(
        "server_ended",
        "rate",
        conditions.server_ended,
        lambda row: (
            f"{row.rounds_server_ended} of {plural(row.rounds_planned, 'round')}: {'; '.join(row.first_failures)}"
        ),
        "the server ended under this load and was measured in a second attempt: the rate is of the times it survived",
        "Read its log in raw/<cell>/attempt_1: a crash, or the OOM killer?",
        Verdict.POLLUTED,
    ),
    Rule(
        "unit_ended",
        "rate",
        lambda row: bool(row.units_ended),
        lambda row: "; ".join(row.units_ended),
        "the server was not running at the end of a window",
        "Read its log in raw/",
        Verdict.POLLUTED,
    ),
    Rule(
        "wrong_after",
        "rate",
        contradictions.wrong_after,
        lambda row: "; ".join(row.verify_after),
        "right after a window the server did not answer as it should: the load overran, hung or broke it",
        "Read its log in raw/",
        Verdict.POLLUTED,
    ),
    Rule(
        "hung_after",
        "rate",
        contradictions.hung_after,
        told.hung_after,
        "right after a window the server did not answer, though it should have served what was queued: it hangs",
        "Read its log in raw/, and look for a deadlock or a process that was stopped",
        Verdict.POLLUTED,
    ),
    Rule(
        "generator_busy",
        "rate",
        conditions.generator_busy,
        told.generator,
        "the rate may be wrk's, not the server's",
        "Give the generator more CPUs or add a generator; checking every body costs it 12-16 % CPU an answer",
        Verdict.GENERATOR_BOUND,
    ),
    Rule(
        "generator_thread_busy",
        "rate",
        conditions.generator_thread_busy,
        told.generator_thread,
        "a wrk thread is one event loop and this one never rested: the rate may be wrk's, not the server's",
        "More threads (--threads) on a generator with CPUs to spare; waiting says that a quota or a neighbour has them",
        Verdict.GENERATOR_BOUND,
    ),
    Rule(
        "generator_behind",
        "rate",
        conditions.generator_behind,
        lambda row: (
            f"{ratio_percent(row.generator_unread_ratio)} of the connections had an answer that wrk had not read"
        ),
        "answers lay on the generator at the looks within a window: wrk was stopped, or kept from its CPU",
        "Look for what holds wrk back: a CPU quota, a neighbour, a slow host",
        Verdict.GENERATOR_BOUND,
    ),
    Rule(
        "generator_held_up",
        "rate",
        conditions.generator_held_up,
        lambda row: f"for {row.generator_held_up_s or 0.0:.1f} s of {row.duration_s:g} s in the worst round",
        "wrk was stopped, or nothing ran on its host: in that time nothing was asked, and answers were timed too long",
        "Look for what stops it: a debugger, a freezer, a host that is migrated or suspended",
        Verdict.GENERATOR_BOUND,
    ),
    Rule(
        "generator_host_full",
        "rate",
        conditions.generator_host_full,
        lambda row: (
            f"{row.busiest_generator}'s CPUs were {percent(row.generator_host_cpu_percent)} busy, wrk itself took "
            f"{percent(row.generator_cpu_percent)}"
        ),
        "wrk had no CPU to spare: the rate may be the generator's, not the server's",
        "End what else runs on the generator, give it more CPUs or add a generator",
        Verdict.GENERATOR_BOUND,
    ),
    Rule(
        "started_apart",
        "rate",
        conditions.started_apart,
        lambda row: (
            f"{', '.join(part.host for part in row.generators)} began up to {ratio_percent(row.start_skew_ratio)} of a "
            "window apart"
        ),
        "in that time the load was not the one asked for, and rates of different times were added",
        "Measure longer windows, and look at what held a generator up (raw/, invoke doctor)",
        Verdict.GENERATOR_BOUND,
    ),
    Rule(
        "silent",
        "rate",
        conditions.silent,
        told.silent,
        "connections waited for answers that did not come, and no latency shows their wait: the rate is of the others",
        "The server does not serve all its connections: look at its workers, their keep-alive, and its log in raw/",
        Verdict.POLLUTED,
    ),
    Rule(
        "steal",
        "rate",
        conditions.stolen,
        lambda row: f"the hypervisor took {percent(row.steal_percent)} of the server's CPU time in the worst round",
        "the server did not have the CPUs that were given to it",
        "Measure again on a quieter machine",
        Verdict.DISTURBED,
    ),
    Rule(
        "neighbours",
        "rate",
        conditions.disturbed,
        lambda row: f"others took {percent(row.neighbours_cpu_percent)} of the server's CPUs in the worst round",
        "the server did not have the CPUs that were given to it",
        "End what else runs on that machine and measure again",
        Verdict.DISTURBED,
    ),
    Rule(
        "others_on_server",
        "rate",
        conditions.disturbed_inside,
        lambda row: (
            f"others on the server's host took {percent(row.others_cpu_percent)} of its CPUs in the worst round"
        ),
        "the variant did not have the CPUs that were given to it",
        "Look what else runs there (systemd-cgtop), end it and measure again",
        Verdict.DISTURBED,
    ),
    Rule(
        "others_connected",
        "rate",
        conditions.others_connected,
        told.foreign_connections,
        "others were connected to the server when wrk had ended: what it did for them is in no figure here",
        "Keep other clients, health checks too, away from its port while it is measured",
        Verdict.DISTURBED,
    ),
    Rule(
        "held_back",
        "rate",
        conditions.held_back,
        told.held_back,
        "something kept the server from CPUs that were free: a CPU quota or an affinity, set on its unit or outside",
        "Look for CPUQuota, cpu.max and CPUAffinity from the unit up to the machine, and measure again",
        Verdict.DISTURBED,
    ),
    Rule(
        "generator_steal",
        "rate",
        conditions.generator_stolen,
        lambda row: (
            f"the hypervisor took {percent(row.generator_steal_percent)} of the generator's CPU time in the worst round"
        ),
        "wrk sent and timed late, so neither rate nor latencies are the server's alone",
        "Measure again on a quieter machine",
        Verdict.DISTURBED,
    ),
    Rule(
        "generator_neighbours",
        "rate",
        conditions.generator_neighbours,
        lambda row: (
            f"others took {percent(row.generator_neighbours_cpu_percent)} of the generator's CPUs in the worst round"
        ),
        "wrk sent and timed late, so neither rate nor latencies are the server's alone",
        "End what else runs on that machine and measure again",
        Verdict.DISTURBED,
    ),
    Rule(
        "others_on_generator",
        "rate",
        conditions.others_on_generator,
        lambda row: (
            f"others on {row.busiest_generator} took {percent(row.generator_others_cpu_percent)} of its CPUs in the "
            "worst round"
        ),
        "wrk sent and timed late, so neither rate nor latencies are the server's alone",
        "Look what else runs there (systemd-cgtop), end it and measure again",
        Verdict.DISTURBED,
    ),
    Rule(
        "lossy_network",
        "rate",
        conditions.lossy_network,
        told.segments_lost,
        "the network loses segments, and each costs its connection 200 ms or more: the rate is the network's",
        "Look at interfaces, switches and MTU between the hosts (ip -s link, invoke doctor), and measure again",
        Verdict.DISTURBED,
    ),
    Rule(
        "one_machine",
        "rate",
        lambda row: row.one_machine,
        lambda row: f"{plural(row.connections_asked, 'connection')} over the loopback",
        "server and wrk ran on one machine, so what either takes the other lacks, and no network was crossed",
        "Compare variants of this run with each other only; a generator of its own gives rates to rely on",
        Verdict.DISTURBED,
    ),
    Rule(
        "without_answers",
        "rate",
        conditions.without_answers,
        lambda row: f"{plural(row.rounds, 'window')} of {row.duration_s:g} s",
        "not one answer came",
        "Look at the server's log in raw/, and at the connections open",
        Verdict.POLLUTED,
    ),
    Rule(
        "connections_not_open",
        "rate",
        conditions.connections_not_open,
        lambda row: f"{count(row.connections_open)} of {row.connections_asked:,} open in the worst round",
        "the other connections never opened, died, or were being opened anew (a server that closes after each answer)",
        "Compare the listen backlog and its overflows; ask for fewer connections to see the server without this",
        Verdict.POLLUTED,
    ),
    Rule(
        "starved",
        "rate",
        conditions.starved,
        told.starved,
        "most connections hung, starved, were being opened anew, or waited past the end of the window",
        "A longer window tells slow from hung (--duration 60s)",
        Verdict.POLLUTED,
    ),
    Rule(
        "spread",
        "rate",
        conditions.spread,
        told.spread,
        "the rounds do not agree",
        "Measure more or longer rounds, and look for neighbours",
        Verdict.UNSTABLE,
    ),
    Rule(
        "hold_bound",
        "none",
        conditions.hold_bound,
        lambda row: (
            f"{ratio_percent(row.ideal_ratio)} of what {told.held(row)} can give; {told.in_flight_by_law(row)}, for "
            f"{duration_us(row.latency.mean_us if row.latency else None)} each"
        ),
        "the load, not the server, sets the rate, and variants with this note are equal here",
        "More connections would tell them apart",
        Verdict.HOLD_BOUND,
    ),
    Rule(
        "limit_bound",
        "none",
        conditions.limit_bound,
        lambda row: f"{ratio_percent(row.ceiling_ratio)} of what {told.in_flight(row)} can give",
        "the variant's own limit sets the rate",
        "More workers or threads would raise it",
        Verdict.LIMIT_BOUND,
    ),
    Rule(
        "silent_by_limit",
        "latency",
        conditions.silent_by_limit,
        told.silent,
        "more connections than the variant handles at once: the rate stands, and the waits of those are in no latency",
        "Ask for as many connections as its limit to see its latencies",
        Verdict.LIMIT_BOUND,
    ),
    Rule(
        "starved_by_limit",
        "latency",
        conditions.starved_by_limit,
        told.starved,
        "more connections than the variant handles at once: the rate stands, the latencies are those of the few served",
        "Ask for as many connections as its limit to see its latencies",
        Verdict.LIMIT_BOUND,
    ),
    Rule(
        "server_busy",
        "none",
        conditions.server_busy,
        told.server,
        "the server had no CPU to spare: the rate is the variant's own",
        "More CPUs, or less work an answer, would raise it",
        Verdict.SERVER_BOUND,
    ),
    Rule(
        "timeouts",
        "latency",
        lambda row: errors_of(row).timeout > 0,
        lambda row: f"{plural(errors_of(row).timeout, 'answer')} after {row.timeout_s} s",
        "answers that came after wrk's time-out count in the rate and are missing from the latencies",
        "For true latencies take a scenario whose time-out is longer than its window (standard is one)",
    ),
    Rule(
        "cut_off",
        "latency",
        conditions.cut_off,
        lambda row: (
            f"p99 is {duration_us(row.latency.p99_us if row.latency else None)}, windows are {row.duration_s:g} s"
        ),
        "slower answers had no time to be counted",
        "The rate stands; for the latencies measure longer windows (--duration 60s)",
    ),
    Rule(
        "out_of_turns",
        "latency",
        conditions.out_of_turns,
        told.silent,
        "the window ended before each connection had its turn, and the waits of those are in no latency",
        "A longer window tells slow from unfair (--duration 60s)",
    ),
    Rule(
        "let_in_slowly",
        "latency",
        conditions.let_in_slowly,
        told.not_let_in,
        "a full server that answers those it has let in before it lets in more: the rate is its own, and the waits of "
        "those outside are in no latency",
        "A new client waits as long. More processes let it in sooner; fewer connections leave nobody outside",
    ),
    Rule(
        "some_lost",
        "latency",
        conditions.some_lost,
        told.segments_lost,
        "the network loses segments, and each costs its connection 200 ms or more: high percentiles are the network's",
        "Look at interfaces, switches and MTU between the hosts (ip -s link, invoke doctor)",
    ),
    Rule(
        "silence_not_counted",
        "latency",
        conditions.silence_not_counted,
        lambda row: f"{row.rounds_without_silences} of {plural(row.rounds, 'round')}",
        "connections without answers were not counted near the window's end, so none of them may be known to hang",
        "Look at what kept the generator from it (raw/), and measure again",
    ),
    Rule(
        "few_silent",
        "latency",
        conditions.few_silent,
        told.silent,
        "too few to move the rate, but their waits are in no latency",
        "Read the server's log in raw/; a longer window shows whether they become more",
    ),
    Rule(
        "not_observed",
        "latency",
        lambda row: bool(row.correction_notes),
        lambda row: "; ".join(row.correction_notes),
        "wrk's own correction could not be undone, so the latencies hold answers that wrk made up",
        "Do not compare them",
    ),
    Rule(
        "few_answers",
        "latency",
        conditions.few_answers,
        lambda row: plural(row.latency.count if row.latency else 0, "answer"),
        "p99.9 is just the slowest answer, and p99 rests on a handful",
        "Measure longer windows or more rounds",
    ),
    Rule(
        "did_not_fail",
        "none",
        conditions.did_not_fail,
        lambda row: f"{plural(row.rounds, 'round')}, and its card expects `{row.expect_failure}`",
        "the variant is here to show that it does not work, and it answered as it should",
        "Something changed: look at its command and versions, and take expect_failure out of its card if it works now",
    ),
    Rule(
        "answers_unchecked",
        "none",
        conditions.answers_unchecked,
        lambda row: f"none of {plural(row.requests or 0, 'answer')}",
        "no answer's body was compared within the windows: a wrong one of the right length would not have been seen",
        "More connections a thread, or --set validate_bodies=true",
    ),
    Rule(
        "second_attempt",
        "none",
        lambda row: row.rounds_retried > 0,
        told.retried,
        "a round that fails is measured once more, on a fresh server",
        "The first attempt's evidence is in raw/<cell>/attempt_1",
    ),
    Rule(
        "some_errors",
        "none",
        conditions.some_errors,
        told.errors,
        "connections were reset, closed or refused, too few to move the rate",
        "Nothing needs to be done",
    ),
    Rule(
        "above_ceiling",
        "none",
        conditions.above_ceiling,
        lambda row: (
            f"{rate(row.requests_per_s)} requests/s, where {told.in_flight(row)} give {rate(row.ceiling_per_s)}"
        ),
        "more than the known limit on requests in flight can give: the limit is not what it was taken for",
        "Probe it again (invoke probe), or correct it in stack.yml",
    ),
    Rule(
        "below_limit",
        "none",
        conditions.below_limit,
        lambda row: f"{ratio_percent(row.ceiling_ratio)} of what {told.in_flight(row)} can give",
        "wrk's rate does not meet what the probe's capacity allows: something else is the limit",
        "Compare the server's CPU, the accept queue and connections open",
    ),
    Rule(
        "slow_after",
        "none",
        contradictions.slow_after,
        lambda row: "; ".join(row.verify_after),
        "right after a window the server still worked off what wrk had left queued",
        "Nothing: each round has a fresh server",
    ),
    Rule(
        "rounds_missing",
        "none",
        conditions.rounds_missing,
        lambda row: f"{row.rounds_planned - row.rounds - row.rounds_failed} of {plural(row.rounds_planned, 'round')}",
        "rounds were not reached: the run ended early",
        "Measure again for all rounds",
    ),
    Rule(
        "overflows",
        "none",
        conditions.overflowed,
        lambda row: f"{plural(row.listen_overflows or 0, 'time')} with a backlog of {count(row.backlog)}",
        "the accept queue was full",
        "Raise the server's backlog to let all connections in at once",
    ),
    Rule(
        "reopened",
        "none",
        conditions.reopened,
        lambda row: f"{count(row.connections_reopening)} of {row.connections_asked:,} at once",
        "the server closes connections, and wrk opens them anew: the rate includes that, no latency does",
        "Nothing, where the variant is meant to close; else look at its keep-alive",
    ),
    Rule(
        "log_errors",
        "none",
        lambda row: bool(row.log_errors),
        lambda row: occurrences(row.log_errors.items()),
        "the server's log says so of itself",
        "Read it in raw/",
    ),
    Rule(
        "one_round",
        "none",
        conditions.one_round,
        lambda row: f"one window of {row.duration_s:g} s",
        "how far rounds differ cannot be said",
        "Take differences below 10 % for nothing",
    ),
)

#: The rule of a row that none of the others decides.
UNEXPLAINED = Rule(
    "unexplained",
    "none",
    lambda _: True,
    told.unexplained,
    "nothing is known to be wrong, and nothing that was watched says what set the rate",
    "Do not take it for the server's limit: look for locks, a pool, a disk, a back end or the network, or ask for more "
    "connections",
    Verdict.UNEXPLAINED,
)
