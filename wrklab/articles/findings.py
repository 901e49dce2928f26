"""What a run, or a folder of probes, says about the articles: the interface that reports use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wrklab.articles.claim_figures import MeasuredRow
from wrklab.articles.claim_lookup import Measured
from wrklab.articles.claims import ClaimResult, judge_claims
from wrklab.articles.comparison import (
    NOT_MEASURED,
    Comparison,
    ProbeComparison,
    RankCorrelation,
    compare_probe,
    compare_published,
    rank_correlation,
)
from wrklab.articles.consistency import Inconsistency, find_inconsistencies
from wrklab.articles.library import ArticleLibrary
from wrklab.results.probe_record import ProbeRecord
from wrklab.results.records import CellRecord, Measurement, RunPlan
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.rules import Note, is_doubtful, verdict_of


@dataclass(frozen=True)
class ArticleFindings:
    """What one run says about the articles. Empty of a run that was stored without them."""

    #: By table, in the order of the CSVs: every published row, measured or not.
    published: Mapping[str, tuple[Comparison, ...]] = field(default_factory=dict)
    #: Of the run's suite, or of every suite of which something was measured.
    claims: tuple[ClaimResult, ...] = ()
    #: By table of which something was measured.
    correlations: tuple[RankCorrelation, ...] = ()
    #: Of the articles of these tables.
    inconsistencies: tuple[Inconsistency, ...] = ()

    def comparison(self, row: SummaryRow) -> Comparison | None:
        """The published row that one of the run's rows answers to; None where there is none.

        Of a row that was not reached it has no figures of ours.
        """
        all_of_them = [one for comparisons in self.published.values() for one in comparisons]
        for one in all_of_them:
            if one.ours is not None and (one.ours.scenario, one.ours.variant) == (row.scenario, row.variant):
                return one
        printed = next((one.published for one in all_of_them if one.published.row == row.published_row), None)
        return Comparison(printed, None, remarks=(NOT_MEASURED,)) if printed else None


@dataclass(frozen=True)
class ProbeFindings:
    """What probes say about the articles. Empty of a folder that was stored without them."""

    claims: tuple[ClaimResult, ...] = ()
    #: By variant, where an article has it.
    compared: Mapping[str, ProbeComparison] = field(default_factory=dict)


def article_findings(
    library: ArticleLibrary | None,
    plan: RunPlan,
    rows: Sequence[tuple[SummaryRow, tuple[Note, ...]]],
    cells: Iterable[CellRecord],
    noise_floor_ratio: float | None,
) -> ArticleFindings:
    """What a run says about the articles; `rows` with their notes, `library` as it was stored with the run."""
    if library is None:
        return ArticleFindings()
    keys = {(cell.scenario, cell.variant): cell.published_row for cell in plan.cells}
    published = compare_published(library, [(keys.get((row.scenario, row.variant)), row) for row, _ in rows])
    measured = measured_of(plan, rows, cells, noise_floor_ratio)
    correlations = _correlations(published, measured.rows)
    tables = {found.source for found in correlations}
    articles = {article.article for article in library.data.articles.values() if article.table in tables}
    return ArticleFindings(
        published=published,
        claims=judge_claims(library, measured, plan.suite),
        correlations=correlations,
        inconsistencies=tuple(one for one in find_inconsistencies(library) if one.article in articles),
    )


def probe_findings(library: ArticleLibrary | None, records: Sequence[ProbeRecord], suite: str | None) -> ProbeFindings:
    """What probes say about the articles; `library` as it was stored with them."""
    if library is None:
        return ProbeFindings()
    measured = Measured(probes={record.variant: record for record in records})
    return ProbeFindings(
        claims=judge_claims(library, measured, suite),
        compared={
            record.variant: compare_probe(record, published)
            for record in records
            if (published := library.probe_of(record.variant)) is not None
        },
    )


def measured_of(
    plan: RunPlan,
    rows: Iterable[tuple[SummaryRow, tuple[Note, ...]]],
    cells: Iterable[CellRecord],
    noise_floor_ratio: float | None,
) -> Measured:
    """What claims are held against, of a run: its rows with their notes, windows and verdicts."""
    windows: dict[tuple[str, str], list[Measurement]] = {}
    for cell in cells:
        if cell.measurement is not None:
            windows.setdefault((cell.scenario, cell.variant), []).append(cell.measurement)
    return Measured(
        rows=tuple(
            MeasuredRow(row, notes, tuple(windows.get((row.scenario, row.variant), ())), verdict_of(row))
            for row, notes in rows
        ),
        scenarios=plan.scenarios,
        server_cpus_count=plan.server_cpus_count,
        noise_floor_ratio=noise_floor_ratio or 0.0,
    )


def _correlations(
    published: Mapping[str, tuple[Comparison, ...]], rows: Sequence[MeasuredRow]
) -> tuple[RankCorrelation, ...]:
    unsound = {(found.row.scenario, found.row.variant) for found in rows if is_doubtful(found.row)}
    return tuple(
        rank_correlation(source, comparisons, lambda row: (row.scenario, row.variant) in unsound)
        for source, comparisons in published.items()
        if any(comparison.ours is not None for comparison in comparisons)
    )
