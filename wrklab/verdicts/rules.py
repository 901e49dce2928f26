"""All rules in order of severity, and what they make of a row: its verdict, its notes, and what its doubts leave open.

Each theme is a module with its limits, conditions, texts and rules; a new rule touches that module and its test alone.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from wrklab import formats
from wrklab.results.records import CellRecord, RunPlan
from wrklab.summary.rows import GeneratorShare, SummaryRow, cell_row
from wrklab.verdicts import answers, backends, bounds, connections, generator, hosts, latencies, open_loop, rounds
from wrklab.verdicts.bounds import UNEXPLAINED
from wrklab.verdicts.connections import STALLED, is_accepting
from wrklab.verdicts.verdict import Bound, Direction, Doubt, Rule, Verdict, errors_of

#: The themes; of rules of the same severity those of an earlier one come first. Severities, and why they stand in this
#: order: verdict.Severity.
_THEMES = (rounds, answers, hosts, generator, open_loop, backends, bounds, latencies, connections)


def _in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The most severe first. Raises ValueError where two rules have one name."""
    found = sorted(rules, key=lambda rule: rule.severity)
    twice = [name for name, number in Counter(rule.name for rule in found).items() if number > 1]
    if twice:
        raise ValueError(f"wrklab/verdicts: duplicate names of rules: {', '.join(twice)}; each needs its own")
    return tuple(found)


#: Every rule but UNEXPLAINED, the most severe first: of those that lead to a verdict the first that applies decides.
RULES: tuple[Rule, ...] = _in_order(itertools.chain.from_iterable(theme.RULES for theme in _THEMES))


#: What applies to a row that was asked for before: reports ask some thirty times, and a row never changes.
_APPLYING: WeakKeyDictionary[SummaryRow, tuple[Rule, ...]] = WeakKeyDictionary()


def applying(row: SummaryRow) -> tuple[Rule, ...]:
    """The rules that apply to a row, the most severe first; UNEXPLAINED last where none of them decides."""
    if row not in _APPLYING:
        _APPLYING[row] = _found_for(row)
    return _APPLYING[row]


def _found_for(row: SummaryRow) -> tuple[Rule, ...]:
    found = tuple(rule for rule in RULES if rule.applies(row))
    is_decided = row.state == "missing" or any(rule.verdict for rule in found)
    return found if is_decided else (*found, UNEXPLAINED)


def deciding(row: SummaryRow) -> Rule | None:
    """The rule that gives a row its verdict; its `words` are the reason in short. None where no round of it ended."""
    return next((rule for rule in applying(row) if rule.verdict), None)


def verdict_of(row: SummaryRow) -> Verdict | None:
    """A row's verdict; None where no round of it ended."""
    rule = deciding(row)
    return rule.verdict if rule else None


def cell_verdict(plan: RunPlan, cell: CellRecord) -> Verdict:
    """One cell's verdict, by the rules of rows."""
    return verdict_of(cell_row(plan, cell)) or Verdict.UNEXPLAINED


def is_doubtful(row: SummaryRow) -> bool:
    """Whether a row's rate should not be believed as it stands. Reports, exit status and comparisons mean this."""
    return any(rule.doubt == "rate" for rule in applying(row))


def rate_bound(row: SummaryRow) -> Bound:
    """Where the true rate may lie next to the measured one, by all that casts doubt on it but how rounds differ."""
    return Bound.of(rule.direction_of(row) for rule in _opening(row))


def latency_bound(row: SummaryRow) -> Bound:
    """Where true latencies may lie next to the measured ones; those of a doubtful rate are doubtful too."""
    found = (rule.latency_direction_of(row) for rule in applying(row))
    return Bound.of(direction for direction in found if direction)


def settling(row: SummaryRow) -> tuple[str, ...]:
    """The commands or flags that would settle what keeps a row's rate open; none where nothing does."""
    return tuple(dict.fromkeys(rule.settle for rule in _opening(row) if rule.settle))


def _opening(row: SummaryRow) -> tuple[Rule, ...]:
    return tuple(rule for rule in applying(row) if rule.doubt == "rate" and not rule.is_weighed_by_tests)


@dataclass(frozen=True)
class Note:
    """A rule that applied. `variant` and `scenario` are None where it concerns the run as a whole."""

    rule: str
    doubt: Doubt
    #: The figures that it rests on.
    text: str
    meaning: str = ""
    next_step: str = ""
    variant: str | None = None
    scenario: str | None = None
    #: Which way the doubt moves the figure.
    direction: Direction = Direction.UNKNOWN
    #: Which way it moves the latencies; None where it does not doubt them.
    latency_direction: Direction | None = None
    #: The reason in one to four words.
    words: str = ""
    #: The command or flag that would settle it; empty where there is none.
    settle: str = ""

    @property
    def sentence(self) -> str:
        """The note in full: figures, what they mean, what to do."""
        found = f"{self.text}: {self.meaning}" if self.meaning else self.text
        return f"{found}. {self.next_step}." if self.next_step else f"{found}."


def row_notes(row: SummaryRow) -> tuple[Note, ...]:
    """Every note on one row, the most severe first as the rules stand."""
    return tuple(
        Note(
            rule=rule.name,
            doubt=rule.doubt,
            text=rule.figures(row),
            meaning=rule.meaning,
            next_step=rule.next_step,
            variant=row.variant,
            scenario=row.scenario,
            direction=rule.direction_of(row),
            latency_direction=rule.latency_direction_of(row),
            words=rule.words(row),
            settle=rule.settle,
        )
        for rule in applying(row)
    )


def run_notes(plan: RunPlan, rows: Sequence[SummaryRow]) -> tuple[Note, ...]:
    """What concerns the run as a whole: its lab, what is missing, what failed."""
    found = [Note("lab", "none", text.rstrip(".")) for text in plan.notes]
    if plan.cpus_shared:
        found.append(
            Note(
                "cpus_shared",
                "none",
                "Server and generator share CPUs",
                f"what wrk takes the server lacks; from {hosts.SHARED_LIMIT_PERCENT:g} % on a row is doubtful",
                "Each row says how much it was",
                words="CPUs shared with wrk",
            )
        )
    with_windows = [*rows, *(row.half_rate for row in rows if row.half_rate is not None)]
    missing_count = sum(row.rounds_planned - row.rounds - row.rounds_failed for row in with_windows)
    if missing_count:
        found.append(
            Note(
                "unfinished",
                "none",
                f"{missing_count:,} of {formats.plural(len(plan.cells), 'cell')} were not measured",
                "the run ended early",
                "Figures rest on the rounds that were",
                words="unfinished",
                settle="invoke bench --resume",
            )
        )
    return tuple(found)


def doubts(notes: Iterable[Note]) -> set[Doubt]:
    """What a row's notes cast doubt on: a subset of {"rate", "latency"}."""
    return {note.doubt for note in notes} - {"none"}


def verdict_figures(row: SummaryRow) -> str:
    """What a verdict rests on: CPU of both sides, errors, connections open, Little's law; empty without a round."""
    if not row.rounds:
        return ""
    return "; ".join([_cpus(row), _connections(row), _littles_law(row)])


def _cpus(row: SummaryRow) -> str:
    server, server_host, wrk, wrk_host, thread, others = map(
        formats.percent,
        (
            row.server_cpu_percent,
            row.server_host_cpu_percent,
            row.generator_cpu_percent,
            row.generator_host_cpu_percent,
            row.generator_thread_percent,
            row.neighbours_cpu_percent,
        ),
    )
    return (
        f"server CPU {server} (its host {server_host}), wrk CPU {wrk} (its host {wrk_host}, busiest thread {thread}), "
        f"others on the server's CPUs {others}"
    )


def _connections(row: SummaryRow) -> str:
    errors = formats.plural(errors_of(row).total, "error")
    lost = (
        f"{formats.count(row.connections_unanswered)} never answered, {formats.count(row.connections_stalled)} stalled"
    )
    return f"{errors}; {formats.count(row.connections_open)} of {row.connections_asked:,} connections open, {lost}"


def _littles_law(row: SummaryRow) -> str:
    """Little's law: requests in flight = rate x mean time of one; they should be nearly all connections.

    In an open loop they need not be: there the timetable says whether the load was the one requested.
    """
    if row.latency is None or row.requests_per_s is None:
        return "no answer was timed"
    if row.is_open_loop:
        return (
            f"{formats.rate(row.offered_per_s)} requests/s offered, {formats.ratio_percent(row.achieved_ratio)} "
            f"achieved, {formats.ratio_percent(row.late_ratio)} sent late"
        )
    found = row.requests_per_s * row.latency.mean_us / 1e6
    return (
        f"{formats.rate(row.requests_per_s)} requests/s x {formats.duration_us(row.latency.mean_us)} = "
        f"{found:,.0f} in flight"
    )


# ---- One generator of several: the rules of rows, asked of its part of the load ----

#: None of them applies.
OK = "ok"


def generator_rules(share: GeneratorShare) -> tuple[Rule, ...]:
    """The rules that apply to one generator's part of a row, the most severe first.

    What set the rate is a matter of the row as a whole. Connections without answers are nobody's fault where the
    server's accept queue explains the row's.
    """
    explained = (STALLED,) if is_accepting(share.of) else ()
    return tuple(rule for rule in RULES if rule.concerns_generator and rule not in explained and rule.applies(share))


def generator_verdict(rules: tuple[Rule, ...]) -> str:
    """A `Verdict` where one of them leads to it, else `ok`."""
    return next((str(rule.verdict) for rule in rules if rule.verdict), OK)
