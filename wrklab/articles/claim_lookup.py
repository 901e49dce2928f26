"""The figures that a claim names, with the range that each may have: found in a run, or in what its article printed.

A doubt on a row opens a side of the figure's range, and what is physically possible closes it again. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from wrklab.articles.claim_cards import Operand
from wrklab.articles.claim_figures import (
    LOAD,
    Found,
    LoadMetric,
    MeasuredRow,
    of_probe,
    of_published_probe,
    of_published_row,
    of_row,
)
from wrklab.articles.claim_ranges import Figure, Need, Reason
from wrklab.articles.comparison import other_load
from wrklab.articles.library import ArticleLibrary
from wrklab.articles.reference import PublishedRow
from wrklab.catalogue.scenario import Scenario
from wrklab.results.probe_record import ProbeRecord
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts import bounds
from wrklab.verdicts.rules import RULES, Note
from wrklab.verdicts.verdict import Direction, Verdict

#: Rules on the generator and the machine. The server's errors, which others are about, may be counted but for these.
_FOREIGN_VERDICTS = frozenset({Verdict.GENERATOR_BOUND, Verdict.DISTURBED, Verdict.FAILED})
FOREIGN_RULES = frozenset(rule.name for rule in RULES if rule.verdict in _FOREIGN_VERDICTS)
#: Rounds do not agree: the range of all rounds says how far off the median can be.
SPREAD_RULE = "spread"
#: The latencies hold answers that wrk made up, so that not even the slowest was seen.
MADE_UP_RULE = "not_observed"
#: Doubts on a rate that leave the CPU time of an answer standing, up to COST_SLACK_RATIO.
COST_STANDS_RULES = frozenset(rule.name for rule in RULES if rule.cost_stands)
#: How far the CPU time of an answer moves with the load of a busy server: Go's by a quarter from 2,000 to 20,000
#: connections (docs/open_questions.md, 6).
COST_SLACK_RATIO = 0.25
#: From here on a server is busy. Below, an answer costs more than at the server's limit: Flask's development server
#: took 886 us at 44 % of a CPU and 495 us at 84 %.
CPU_BOUND_MIN_PERCENT = 80.0
#: How much cheaper an answer may become where the server was not busy: Go's took 61 us at 500 requests/s, and 21 us at
#: 18,900.
IDLE_COST_SLACK_RATIO = 2.0

#: A figure of one operand. The flag: it is compared with the same variant under another scenario.
Lookup: TypeAlias = Callable[[Operand, bool], Found]


@dataclass(frozen=True)
class Measured:
    """What there is to hold claims against: the rows of a run with its scenarios, or probes."""

    rows: Sequence[MeasuredRow] = ()
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)
    server_cpus_count: int = 0
    probes: Mapping[str, ProbeRecord] = field(default_factory=dict)
    #: Of the run (bench --aa): ratios nearer to a limit than this are open. 0: the run has none.
    noise_floor_ratio: float = 0.0

    def row(self, operand: Operand) -> MeasuredRow | None:
        """The row under the operand's own scenario, else under one that compares with it."""
        of_variant = [found for found in self.rows if found.row.variant == operand.variant]
        exact = [found for found in of_variant if found.row.scenario == operand.scenario]
        stand_ins = [found for found in of_variant if self._stands_for(found.row.scenario, operand.scenario)]
        return next(iter(exact + stand_ins), None)

    def has(self, operand: Operand) -> bool:
        """Whether the operand's variant was requested at all, under whatever load."""
        return operand.variant in self.probes if operand.is_probed else bool(self.loads(operand.variant))

    def has_load(self, operand: Operand) -> bool:
        """Whether the operand was requested under its load."""
        return operand.variant in self.probes if operand.is_probed else self.row(operand) is not None

    def loads(self, variant: str) -> tuple[str, ...]:
        """The scenarios under which a variant was requested."""
        return tuple(found.row.scenario for found in self.rows if found.row.variant == variant)

    def _stands_for(self, scenario: str, of_article: str | None) -> bool:
        return scenario in self.scenarios and self.scenarios[scenario].published_scenario == of_article


def measured_figures(library: ArticleLibrary, measured: Measured) -> Lookup:
    """Looks figures up in what was measured; doubts on a row widen its figure's range."""

    def figure(operand: Operand, is_growth: bool) -> Found:
        if not operand.is_probed:
            return _row_figure(library, measured, operand, is_growth=is_growth)
        record = measured.probes.get(operand.variant)
        if record is None:
            return Reason(f"{operand.variant} was not probed", Need.PROBE)
        return of_probe(operand.metric, record, library.probe_of(operand.variant))

    return figure


def published_figures(library: ArticleLibrary) -> Lookup:
    """Looks figures up in what the articles printed."""

    def figure(operand: Operand, is_growth: bool) -> Found:
        missing = Reason(f"{operand.variant}: no published row", Need.NOTHING)
        if operand.is_probed:
            probe = library.probe_of(operand.variant)
            return of_published_probe(operand.metric, probe) if probe else missing
        row = library.row_of(operand.variant, operand.scenario)
        return of_published_row(operand.metric, row, is_growth=is_growth) if row else missing

    return figure


def _row_figure(library: ArticleLibrary, measured: Measured, operand: Operand, *, is_growth: bool) -> Found:
    found_row = measured.row(operand)
    if found_row is None:
        others = ", ".join(measured.loads(operand.variant))
        instead = f", but under {others}" if others else ""
        text = f"{operand.variant} was not measured under {operand.scenario} or what compares with it{instead}"
        return Reason(text, Need.BENCH)
    row = found_row.row
    if row.state in {"missing", "failed"} and not _is_answered_by_failure(operand.metric, row):
        return _absent(row)
    published = library.row_of(operand.variant, operand.scenario)
    found = of_row(operand.metric, found_row, published, is_growth=is_growth)
    if isinstance(found, Reason):
        return found
    differences = tuple(_load_differences(row, operand, published, library))
    if differences:
        return replace(found, may_be_higher=differences, may_be_lower=differences, least=0.0, is_doubtful=True)
    return _widened(found, found_row, operand.metric)


def _is_answered_by_failure(metric: str, row: SummaryRow) -> bool:
    """That its rounds failed is what the claim is about: a server that ended under the load is down after it."""
    return metric == "is_down_after" and row.rounds_server_ended > 0


def _absent(row: SummaryRow) -> Reason:
    if row.state == "missing":
        return Reason(f"{row.variant}: not reached", Need.BENCH)
    reasons = f" ({'; '.join(row.failures)})" if row.failures else ""
    return Reason(f"{row.variant}: failed{reasons}", Need.BENCH_AGAIN, "its log in raw/ says why")


def _load_differences(
    row: SummaryRow, operand: Operand, published: PublishedRow | None, library: ArticleLibrary
) -> Iterator[Reason]:
    """Where the load is not the article's. Rounds and lengths of windows are no part of it."""
    scenario = library.scenarios.get(operand.scenario or "")
    if scenario is None:
        return
    variant = library.variants.get(operand.variant)
    hold_ms = scenario.hold_ms if scenario.hold_ms is not None else variant.hold_ms if variant else row.hold_ms
    found = other_load(
        row,
        connections=published.connections if published else scenario.connections,
        path=scenario.path,
        hold_ms=published.hold_ms if published else hold_ms if scenario.path == "/health" else row.hold_ms,
    )
    for text in found:
        yield Reason(f"{row.variant}: {text}", Need.BENCH)


@dataclass(frozen=True)
class _Opening:
    """What one doubt does to a figure: how low and how high the true one may be. None: that side stays closed."""

    reason: Reason
    least: float | None = None
    most: float | None = None


def _widened(figure: Figure, measured: MeasuredRow, metric: str) -> Figure:
    """The figure with the range that the row's notes and verdict leave it."""
    spec = LOAD[metric]
    openings = list(_openings(figure, measured, metric))
    lower = [opening for opening in openings if opening.least is not None]
    higher = [opening for opening in openings if opening.most is not None]
    possible = min(figure.most, _possible(measured, metric))
    most = min(possible, max((opening.most or 0.0 for opening in higher), default=math.inf))
    if figure.may_be_higher:  # the load's limit, a shorter window: anything above, as far as it is possible
        most = possible if spec.kind != "rate" else math.inf
    return replace(
        figure,
        may_be_higher=figure.may_be_higher + tuple(opening.reason for opening in higher),
        may_be_lower=tuple(opening.reason for opening in lower),
        least=min((opening.least or 0.0 for opening in lower), default=0.0),
        most=most,
        is_doubtful=bool(openings),
    )


def _openings(figure: Figure, measured: MeasuredRow, metric: str) -> Iterator[_Opening]:
    kind = LOAD[metric].kind
    ignored = {"failed"} if _is_answered_by_failure(metric, measured.row) else set()
    doubting = [note for note in measured.notes if note.doubt != "none" and note.rule not in ignored]
    for note in doubting:
        opening = _opening(figure, measured.row, note, LOAD[metric])
        if opening is not None:
            yield opening
    has_doubtful_rate = any(note.doubt == "rate" for note in doubting)
    if kind in {"rate", "latency", "slowest"} and not has_doubtful_rate and _is_unexplained(measured):
        # Nothing is known to be wrong with it, but it is not known to be the server's limit either.
        hint = next((note.next_step for note in measured.notes if note.rule == str(measured.verdict)), "")
        reason = Reason(f"{measured.row.variant} is {measured.verdict}", Need.BENCH_AGAIN, hint)
        yield _Opening(reason, most=math.inf) if kind == "rate" else _Opening(reason, 0.0, math.inf)


def _is_unexplained(measured: MeasuredRow) -> bool:
    """Whether what set its rate is not known, or a verdict doubts it without a note."""
    verdict = measured.verdict
    return verdict is not None and (verdict is Verdict.UNEXPLAINED or not verdict.is_sound)


def _opening(figure: Figure, row: SummaryRow, note: Note, spec: LoadMetric) -> _Opening | None:
    """What one doubting note does to a figure; None where it does not touch it."""
    reason = Reason(f"{row.variant} is doubtful, {note.rule}: {note.text}", Need.BENCH_AGAIN, note.next_step)
    if spec.kind == "errors":
        return _Opening(reason, 0.0, math.inf) if note.rule in FOREIGN_RULES else None
    if spec.kind == "slowest":
        return _slowest(reason, note)
    if spec.kind == "latency":
        # What a doubt on the rate does to latencies, its direction does not say.
        return _directed(reason, note.direction if note.doubt == "latency" else Direction.UNKNOWN)
    if note.doubt == "latency":
        return None
    return _cost(reason, figure, row, note) if spec.kind == "cost" else _rate(reason, figure, row, note)


def _rate(reason: Reason, figure: Figure, row: SummaryRow, note: Note) -> _Opening:
    if note.rule == SPREAD_RULE and figure.rounds:
        spread = row.spread_ratio or 0.0
        return _Opening(reason, min(figure.rounds) / (1 + spread), max(figure.rounds) * (1 + spread))
    return _directed(reason, note.direction)


def _directed(reason: Reason, direction: Direction) -> _Opening:
    return _Opening(
        reason,
        least=None if direction == Direction.TOO_LOW else 0.0,
        most=None if direction == Direction.TOO_HIGH else math.inf,
    )


def _slowest(reason: Reason, note: Note) -> _Opening:
    """An answer that took so long did take so long, unless wrk made it up or read it late."""
    is_certain = note.rule not in {MADE_UP_RULE, *FOREIGN_RULES} and note.direction != Direction.TOO_HIGH
    return _Opening(reason, None if is_certain else 0.0, math.inf)


def _cost(reason: Reason, figure: Figure, row: SummaryRow, note: Note) -> _Opening:
    """CPU time of an answer: what failed took some as well, and each answer that was counted was served."""
    if note.rule not in COST_STANDS_RULES:
        return _Opening(reason, 0.0, math.inf)
    is_busy = (row.server_cpu_percent or 0.0) >= CPU_BOUND_MIN_PERCENT
    slack_ratio = COST_SLACK_RATIO if is_busy else IDLE_COST_SLACK_RATIO
    low = min((figure.value, *figure.rounds)) / (1 + slack_ratio) / (1 + _failed_ratio(row))
    return _Opening(reason, low, max((figure.value, *figure.rounds)) * (1 + COST_SLACK_RATIO))


def _failed_ratio(row: SummaryRow) -> float:
    """Requests that came to nothing / answers."""
    errors = row.errors
    return (errors.connect + errors.read + errors.write) / max(row.requests or 0, 1) if errors else 0.0


def _possible(measured: MeasuredRow, metric: str) -> float:
    """The highest value that a doubtful figure can truly have on this server and under this load."""
    row = measured.row
    if metric == "requests_per_s":
        return min(_by_limit(row), _by_cpu(measured))
    if metric == "latency_mean_ms" and not any(note.doubt == "rate" for note in measured.notes):
        return _by_littles_law(row)
    return math.inf


def _by_limit(row: SummaryRow) -> float:
    """What the variant's limit on requests in flight can give, unless the rate shows that it has no such limit."""
    if row.ceiling_per_s is None or bounds.above_ceiling(row):
        return math.inf
    return row.ceiling_per_s * bounds.IDEAL_LIMIT_RATIO


def _by_cpu(measured: MeasuredRow) -> float:
    """What the server's CPUs can give at the CPU time that an answer took, less COST_SLACK_RATIO."""
    row, cpu_percent = measured.row, measured.row.server_cpu_percent or 0.0
    rates = [window.requests_per_s for window in measured.windows]
    # Part of the CPU time went to others' requests, nobody knows how much.
    if cpu_percent < CPU_BOUND_MIN_PERCENT or not rates or row.foreign_connections:
        return math.inf
    return max(rates) * 100 / cpu_percent * (1 + _failed_ratio(row)) * (1 + COST_SLACK_RATIO)


def _by_littles_law(row: SummaryRow) -> float:
    """Connections / rate, in ms: nobody waits longer on average, those included that no latency tells of."""
    rate_per_s = row.requests_per_s_low or row.requests_per_s_min or row.requests_per_s
    return row.connections_asked / rate_per_s * 1000 * bounds.IDEAL_LIMIT_RATIO if rate_per_s else math.inf
