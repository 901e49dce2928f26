"""The figures that a claim names, found in what was measured or in what its article published. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from wrklab.articles.claim_cards import Operand
from wrklab.articles.claim_figures import (
    LOAD,
    Found,
    MeasuredRow,
    ended_under_load,
    of_probe,
    of_published_probe,
    of_published_row,
    of_row,
)
from wrklab.articles.published_probes import PublishedProbe
from wrklab.articles.published_rows import PublishedRow
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.scenario import Scenario
from wrklab.results.probe_record import ProbeRecord
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.rules import RULES
from wrklab.verdicts.verdict import Verdict

#: Verdicts on the generator and the machine: these alone forbid to count a server's errors, which the others are about.
_FOREIGN_VERDICTS = frozenset({Verdict.GENERATOR_BOUND, Verdict.DISTURBED, Verdict.FAILED})
_FOREIGN_RULES = frozenset(rule.name for rule in RULES if rule.verdict in _FOREIGN_VERDICTS)
#: Of the slowest answer these say that it may have been slower still: a bound from below, which is used as such.
_SLOWER_STILL = frozenset(rule.name for rule in RULES if rule.is_slower_still)

#: A figure of one operand; `is_growth` where it is set against the same variant under another scenario.
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
        """Whether the operand's variant was asked for at all, under whatever load."""
        return operand.variant in self.probes if operand.is_probed else bool(self.loads(operand.variant))

    def has_load(self, operand: Operand) -> bool:
        """Whether the operand was asked for under its load."""
        return operand.variant in self.probes if operand.is_probed else self.row(operand) is not None

    def loads(self, variant: str) -> tuple[str, ...]:
        """The scenarios under which a variant was asked for."""
        return tuple(found.row.scenario for found in self.rows if found.row.variant == variant)

    def _stands_for(self, scenario: str, of_article: str | None) -> bool:
        return scenario in self.scenarios and self.scenarios[scenario].published_scenario == of_article


def measured_figures(catalogue: Catalogue, measured: Measured) -> Lookup:
    """Looks figures up in what was measured; doubts on a row go with its figure."""

    def figure(operand: Operand, is_growth: bool) -> Found:
        if not operand.is_probed:
            return _row_figure(catalogue, measured, operand, is_growth=is_growth)
        record = measured.probes.get(operand.variant)
        if record is None:
            return f"{operand.variant} was not probed"
        return of_probe(operand.metric, record, _published_probe(catalogue, operand))

    return figure


def published_figures(catalogue: Catalogue) -> Lookup:
    """Looks figures up in the rows that the articles printed."""

    def figure(operand: Operand, is_growth: bool) -> Found:
        if operand.is_probed:
            probe = _published_probe(catalogue, operand)
            return of_published_probe(operand.metric, probe) if probe else f"{operand.variant}: no published row"
        row = _published_row(catalogue, operand)
        if row is None:
            return f"{operand.variant}: no published row"
        return of_published_row(operand.metric, row, is_growth=is_growth)

    return figure


def _row_figure(catalogue: Catalogue, measured: Measured, operand: Operand, *, is_growth: bool) -> Found:
    row = measured.row(operand)
    if row is None:
        others = ", ".join(measured.loads(operand.variant))
        instead = f", but under {others}" if others else ""
        return f"{operand.variant} was not measured under {operand.scenario} or what compares with it{instead}"
    if row.row.state in {"missing", "failed"} and not _is_answered_by_failure(operand.metric, row.row):
        return _absent_text(row.row)
    published = _published_row(catalogue, operand)
    found = of_row(operand.metric, row, published, is_growth=is_growth)
    if isinstance(found, str):
        return found
    doubts = [*_doubts(row, operand.metric), *_other_load(row, operand, published, catalogue)]
    return replace(found, doubtful_because=tuple(doubts))


def _is_answered_by_failure(metric: str, row: SummaryRow) -> bool:
    """That its rounds failed is what is asked about: a server that ended under the load is down after it."""
    return metric == "is_down_after" and ended_under_load(row)


def _absent_text(row: SummaryRow) -> str:
    reasons = f" ({'; '.join(row.failures)})" if row.failures else ""
    return f"{row.variant}: {'not reached' if row.state == 'missing' else 'failed'}{reasons}"


def _doubts(measured: MeasuredRow, metric: str) -> Iterable[str]:
    """Why a row's figure cannot carry a claim."""
    row, kind = measured.row, LOAD[metric].kind
    ignored = {"failed"} if _is_answered_by_failure(metric, row) else set()
    against = [note for note in measured.notes if _forbids(note.rule, note.doubt, kind) and note.rule not in ignored]
    if against:
        more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
        yield f"{row.variant} is doubtful, {against[0].rule}: {against[0].text}{more}"
    elif measured.verdict is not None and not measured.verdict.is_explained and kind != "errors":
        yield f"{row.variant} is {measured.verdict}"


def _forbids(rule: str, doubt: str, kind: str) -> bool:
    if kind == "errors":
        return rule in _FOREIGN_RULES
    if kind == "slowest" and rule in _SLOWER_STILL:
        return False
    return doubt == "rate" or (doubt == "latency" and kind in {"latency", "slowest"})


def _other_load(
    measured: MeasuredRow, operand: Operand, published: PublishedRow | None, catalogue: Catalogue
) -> Iterable[str]:
    """Where the load is not the article's: connections, path and hold set what a server does; rounds do not."""
    row, scenario = measured.row, catalogue.scenarios.get(operand.scenario or "")
    if scenario is None:
        return
    connections = published.connections if published else scenario.connections
    if row.connections_asked != connections:
        yield f"{row.variant}: {row.connections_asked:,} connections here, {connections:,} there"
    if row.path != scenario.path:
        yield f"{row.variant}: {row.path} here, {scenario.path} there"
    variant = catalogue.variants.get(operand.variant)
    hold_ms = scenario.hold_ms if scenario.hold_ms is not None else variant.hold_ms if variant else row.hold_ms
    if published is not None:
        hold_ms = published.hold_ms
    if row.hold_ms != hold_ms and scenario.path == "/health":
        yield f"{row.variant}: held {row.hold_ms} ms here, {hold_ms} ms there"


def _published_row(catalogue: Catalogue, operand: Operand) -> PublishedRow | None:
    variant = catalogue.variants.get(operand.variant)
    key = variant.published.get(operand.scenario or "") if variant else None
    return catalogue.published.get(key) if key else None


def _published_probe(catalogue: Catalogue, operand: Operand) -> PublishedProbe | None:
    variant = catalogue.variants.get(operand.variant)
    return catalogue.published_probe(variant) if variant else None
