"""What a run has to say to the articles: their claims, the order of their tables, and what does not fit within them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wrklab.articles.claim_figures import MeasuredRow
from wrklab.articles.claim_lookup import Measured
from wrklab.articles.claim_result import ClaimResult
from wrklab.articles.claims import judge_claims
from wrklab.articles.consistency import Inconsistency, find_inconsistencies
from wrklab.articles.published import Comparison, RankCorrelation, rank_correlation
from wrklab.articles.reference import ArticleData
from wrklab.catalogue.catalogue import Catalogue
from wrklab.results.records import CellRecord, Measurement, RunPlan
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts.rules import Note, is_doubtful, verdict_of


@dataclass(frozen=True)
class ArticleFindings:
    """All of it, of one run."""

    #: Of the run's suite, or of every suite of which something was measured.
    claims: tuple[ClaimResult, ...] = ()
    #: By table of which something was measured.
    correlations: tuple[RankCorrelation, ...] = ()
    #: Of the articles of these tables.
    inconsistencies: tuple[Inconsistency, ...] = ()


def article_findings(
    measured: Measured,
    suite: str | None,
    published: Mapping[str, tuple[Comparison, ...]],
    catalogue: Catalogue,
    data: ArticleData,
) -> ArticleFindings:
    """What a run of a suite, or of no suite, says to the articles; `published` by table (compare_published)."""
    correlations = _correlations(published, measured.rows)
    tables = {found.source for found in correlations}
    articles = {article.article for article in catalogue.articles.values() if article.table in tables}
    return ArticleFindings(
        claims=judge_claims(catalogue, measured, suite),
        correlations=correlations,
        inconsistencies=tuple(one for one in find_inconsistencies(catalogue, data) if one.article in articles),
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
