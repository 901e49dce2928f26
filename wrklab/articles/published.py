"""The articles' tables beside ours: every row that was printed, measured in this run or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wrklab import formats
from wrklab.articles.claim_figures import WRK_DEFAULT_TIMEOUT_S
from wrklab.articles.published_rows import PublishedRow
from wrklab.summary.rows import SummaryRow

NOT_MEASURED = "not measured in this run"


@dataclass(frozen=True)
class Comparison:
    """One published row and what this run has to say to it. Ratios: ours / published."""

    published: PublishedRow
    ours: SummaryRow | None
    requests_per_s_ratio: float | None = None
    latency_mean_ratio: float | None = None
    latency_max_ratio: float | None = None
    #: What keeps the two from being the same measurement, and what is wrong with either.
    remarks: tuple[str, ...] = ()


def compare_published(
    published: Mapping[str, PublishedRow], rows: Sequence[SummaryRow]
) -> dict[str, tuple[Comparison, ...]]:
    """By article (the CSV's stem), in the CSV's order: at least one comparison for each published row.

    A published row to which several rows of ours answer (two scenarios) has one comparison each.
    """
    answers: dict[str, list[SummaryRow]] = {}
    for row in rows:
        if row.published_row is not None and row.state != "missing":
            answers.setdefault(row.published_row, []).append(row)
    found: dict[str, list[Comparison]] = {}
    for key, printed in published.items():
        ours = answers.get(key, [])
        comparisons = [_comparison(printed, row) for row in ours] or [
            Comparison(printed, None, remarks=(NOT_MEASURED,))
        ]
        found.setdefault(printed.source, []).extend(comparisons)
    return {source: tuple(comparisons) for source, comparisons in found.items()}


def _comparison(printed: PublishedRow, row: SummaryRow) -> Comparison:
    latency = row.latency
    return Comparison(
        published=printed,
        ours=row,
        requests_per_s_ratio=_ratio(row.requests_per_s, printed.requests_per_s),
        latency_mean_ratio=_ratio(latency.mean_us / 1000 if latency else None, printed.latency_mean_ms),
        latency_max_ratio=_ratio(latency.max_us / 1000 if latency else None, printed.latency_max_ms),
        remarks=tuple(_remarks(printed, row)),
    )


def _remarks(printed: PublishedRow, row: SummaryRow) -> Iterable[str]:
    if row.state == "failed":
        yield f"failed here ({'; '.join(row.failures)})"
        return
    if row.duration_s != printed.duration_s:
        yield f"{row.duration_s:g} s here, {printed.duration_s:g} s there"
    if row.connections_asked != printed.connections:
        yield f"{row.connections_asked:,} connections here, {printed.connections:,} there"
    if row.threads != printed.threads:
        yield f"{formats.plural(row.threads, 'thread')} of wrk here, {printed.threads} there"
    if row.hold_ms != printed.hold_ms:
        yield f"held {row.hold_ms} ms here, {printed.hold_ms} ms there"
    if printed.errors_timeout and row.timeout_s != WRK_DEFAULT_TIMEOUT_S:
        yield f"its {printed.errors_timeout:,} answers after {WRK_DEFAULT_TIMEOUT_S} s are missing from its latencies"


def _ratio(value: float | None, of: float) -> float | None:
    return value / of if value is not None and of else None


#: Below this number of pairs a rank correlation says nothing.
_PAIRS_MIN = 3


@dataclass(frozen=True)
class RankCorrelation:
    """How far the order of an article's rates is the order of ours: 1 the same, 0 unrelated, -1 reversed.

    Spearman's rho and Kendall's tau-b (which counts ties) of published and measured requests/s; None where fewer than
    three pairs are left, or where either side is all one value.
    """

    source: str
    pairs_count: int
    spearman: float | None
    kendall: float | None
    #: (published row, why it is left out).
    left_out: tuple[tuple[str, str], ...]
    #: The same with the rows whose rate is doubtful.
    doubtful_pairs_count: int = 0
    spearman_with_doubtful: float | None = None
    kendall_with_doubtful: float | None = None


def rank_correlation(
    source: str, comparisons: Sequence[Comparison], is_doubtful: Callable[[SummaryRow], bool]
) -> RankCorrelation:
    """Of one article's table; a published row that was measured twice counts once, with its first comparison."""
    left_out: dict[str, str] = {}
    sound: dict[str, tuple[float, float]] = {}
    doubtful: dict[str, tuple[float, float]] = {}
    for comparison in comparisons:
        key, row = comparison.published.row, comparison.ours
        if key in sound or key in doubtful:
            continue
        if row is None or row.requests_per_s is None:
            left_out[key] = NOT_MEASURED if row is None or row.state == "missing" else "failed here"
            continue
        chosen = doubtful if is_doubtful(row) else sound
        chosen[key] = (comparison.published.requests_per_s, row.requests_per_s)
    left_out |= dict.fromkeys(doubtful, "its rate here is doubtful")
    spearman, kendall = _correlations(list(sound.values()))
    with_doubtful = _correlations([*sound.values(), *doubtful.values()]) if doubtful else (spearman, kendall)
    return RankCorrelation(
        source, len(sound), spearman, kendall, tuple(left_out.items()), len(doubtful), *with_doubtful
    )


def _correlations(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """(Spearman's rho, Kendall's tau-b)."""
    there, here = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if len(pairs) < _PAIRS_MIN or len(set(there)) == 1 or len(set(here)) == 1:
        return None, None
    # Only who compares waits for it.
    from scipy import stats

    return float(stats.spearmanr(there, here).statistic), float(stats.kendalltau(there, here).statistic)
