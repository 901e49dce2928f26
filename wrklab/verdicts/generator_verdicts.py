"""A verdict for each of several generators: the rules of rows, asked of one generator's part of the load."""

from __future__ import annotations

from dataclasses import replace

from wrklab.summary.generator_rows import GeneratorRow
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.connections import is_accepting
from wrklab.verdicts.rules import RULES
from wrklab.verdicts.verdict import Rule

#: None of them applies.
OK = "ok"


def generator_rules(row: SummaryRow, part: GeneratorRow) -> tuple[Rule, ...]:
    """The rules that apply to one generator of a row, the most severe first: those of its own part of the load.

    What set the rate is a matter of the row as a whole.
    """
    alone = _alone(row, part)
    return tuple(rule for rule in RULES if rule.concerns_generator and rule.applies(alone))


def generator_verdict(rules: tuple[Rule, ...]) -> str:
    """A `Verdict` where one of them leads to it, else `ok`."""
    return next((str(rule.verdict) for rule in rules if rule.verdict), OK)


def _alone(row: SummaryRow, part: GeneratorRow) -> SummaryRow:
    """The row as if all of its load were this generator's."""
    return replace(
        row,
        generators=(),
        requests=part.requests,
        errors=part.errors,
        broken_ratio=None,
        # The first one's, whoever is asked.
        warmup_errors=None,
        latency=part.latency or row.latency,
        connections_asked=part.connections_asked,
        connections_open=part.connections_open,
        connections_held=part.connections_held,
        connections_reopening=part.connections_reopening,
        connections_unanswered=part.connections_unanswered,
        # Where the server's accept queue explains the row's, it explains each generator's; else nobody knows whose.
        connections_unexplained=0 if is_accepting(row) else part.connections_lost,
        connections_silent=part.connections_silent,
        generator_cpu_percent=part.cpu_percent,
        generator_host_cpu_percent=part.host_cpu_percent,
        generator_thread_percent=part.thread_percent,
        generator_thread_waiting_percent=part.thread_waiting_percent,
        generator_unread_ratio=part.unread_ratio,
        generator_neighbours_cpu_percent=part.neighbours_cpu_percent,
        generator_others_cpu_percent=part.others_cpu_percent,
        generator_steal_percent=part.steal_percent,
        generator_held_up_s=part.held_up_s,
        start_skew_ratio=None if part.start_apart_s is None else part.start_apart_s / row.duration_s,
    )
