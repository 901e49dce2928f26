"""The articles' figures next to ours: rows of wrk's figures, findings on concurrency, and the order of rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wrklab import formats
from wrklab.articles.library import ArticleLibrary
from wrklab.articles.reference import PublishedOverflow, PublishedProbe, PublishedRow
from wrklab.results.probe_record import CapacityLimit, KernelQueue, OverflowKind, ProbeRecord
from wrklab.summary.rows import SummaryRow

NOT_MEASURED = "not measured in this run"
AGREES = "agrees"
#: The articles ran wrk with its own default.
WRK_DEFAULT_TIMEOUT_S = 2
#: Below this number of pairs a rank correlation says nothing.
_PAIRS_MIN = 3

#: What a probe here may find where the article found this; nothing: requests wait, and none is turned away.
_OVERFLOW_KINDS: Mapping[PublishedOverflow, frozenset[OverflowKind]] = {
    "queued": frozenset(),
    "blocked": frozenset(),
    "none seen": frozenset(),
    "connect time-out": frozenset({OverflowKind.SYN_PENDING}),
    "closed": frozenset({OverflowKind.CLOSED, OverflowKind.REFUSED}),
    "5xx": frozenset({OverflowKind.SERVER_ERROR}),
}


@dataclass(frozen=True)
class Comparison:
    """One published row and what this run measured for it. Ratios are measured / published.

    They are None where nothing was measured, and where the load was another one.
    """

    published: PublishedRow
    ours: SummaryRow | None
    requests_per_s_ratio: float | None = None
    latency_mean_ratio: float | None = None
    latency_max_ratio: float | None = None
    #: Connections, path or hold are not the article's: the two are not comparable.
    is_other_load: bool = False
    #: What keeps the two from being the same measurement, and what is wrong with either.
    remarks: tuple[str, ...] = ()


def compare_published(
    library: ArticleLibrary, rows: Iterable[tuple[str | None, SummaryRow]]
) -> dict[str, tuple[Comparison, ...]]:
    """By table (the CSV's stem), in the CSV's order: at least one comparison for each published row.

    `rows` come with the key of the published row that each answers to. A published row that several rows answer to (two
    scenarios) has one comparison each.
    """
    answers: dict[str, list[SummaryRow]] = {}
    for key, row in rows:
        if key is not None and row.state != "missing":
            answers.setdefault(key, []).append(row)
    found: dict[str, list[Comparison]] = {}
    for key, printed in library.rows.items():
        comparisons = [_comparison(library, printed, row) for row in answers.get(key, [])]
        if not comparisons:
            comparisons = [Comparison(printed, None, remarks=(NOT_MEASURED,))]
        found.setdefault(printed.source, []).extend(comparisons)
    return {source: tuple(comparisons) for source, comparisons in found.items()}


def other_load(row: SummaryRow, *, connections: int, path: str, hold_ms: int) -> list[str]:
    """How a row's load differs from an article's, in what sets a server's work; empty where it does not.

    wrk's threads are no part of it: they are the generator's, and a generator without time to spare is a doubt of its
    own.
    """
    found = []
    if row.connections_asked != connections:
        found.append(f"{row.connections_asked:,} connections here, {connections:,} there")
    if row.path != path:
        found.append(f"{row.path} here, {path} there")
    elif row.hold_ms != hold_ms:
        found.append(f"held {row.hold_ms} ms here, {hold_ms} ms there")
    return found


def _comparison(library: ArticleLibrary, printed: PublishedRow, row: SummaryRow) -> Comparison:
    path = library.path_of(printed) or row.path
    differences = other_load(row, connections=printed.connections, path=path, hold_ms=printed.hold_ms)
    remarks = tuple(_remarks(printed, row, differences))
    if differences:
        return Comparison(printed, row, is_other_load=True, remarks=remarks)
    latency = row.latency
    return Comparison(
        published=printed,
        ours=row,
        requests_per_s_ratio=_ratio(row.requests_per_s, printed.requests_per_s),
        latency_mean_ratio=_ratio(latency.mean_us / 1000 if latency else None, printed.latency_mean_ms),
        latency_max_ratio=_ratio(latency.max_us / 1000 if latency else None, printed.latency_max_ms),
        remarks=remarks,
    )


def _remarks(printed: PublishedRow, row: SummaryRow, differences: Sequence[str]) -> Iterable[str]:
    if row.state == "failed":
        yield f"failed here ({'; '.join(row.failures)})"
        return
    if differences:
        yield f"another load, so no ratio: {', '.join(differences)}"
    if row.duration_s != printed.duration_s:
        yield f"{row.duration_s:g} s here, {printed.duration_s:g} s there"
    if row.threads != printed.threads:
        yield f"{formats.plural(row.threads, 'thread')} of wrk here, {printed.threads} there"
    if printed.errors_timeout and row.timeout_s != WRK_DEFAULT_TIMEOUT_S:
        yield f"its {printed.errors_timeout:,} answers after {WRK_DEFAULT_TIMEOUT_S} s are missing from its latencies"


def _ratio(value: float | None, of: float) -> float | None:
    return value / of if value is not None and of else None


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
    #: With the rows whose rate is doubtful.
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
        if comparison.is_other_load:
            left_out[key] = "another load here"
            continue
        chosen = doubtful if is_doubtful(row) else sound
        chosen[key] = (comparison.published.requests_per_s, row.requests_per_s)
    left_out |= dict.fromkeys(doubtful, "its rate here is doubtful")
    left_out = {key: why for key, why in left_out.items() if key not in sound}
    spearman, kendall = _correlations(list(sound.values()))
    with_doubtful = _correlations([*sound.values(), *doubtful.values()]) if doubtful else (spearman, kendall)
    return RankCorrelation(
        source, len(sound), spearman, kendall, tuple(left_out.items()), len(doubtful), *with_doubtful
    )


def _correlations(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """(Spearman's rho, Kendall's tau-b), both from the signs of all differences; scipy.stats takes a second to load."""
    there, here = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if len(pairs) < _PAIRS_MIN or len(set(there)) == 1 or len(set(here)) == 1:
        return None, None
    signs_there, signs_here = (np.sign(np.subtract.outer(values, values)) for values in (there, here))
    # A value's mean rank is half of the sum of its signs, and a constant.
    rho = np.corrcoef(signs_there.sum(axis=1), signs_here.sum(axis=1))[0, 1]
    tau = (signs_there * signs_here).sum() / np.sqrt((signs_there**2).sum() * (signs_here**2).sum())
    return float(rho), float(tau)


@dataclass(frozen=True)
class ProbeComparison:
    """An article's finding on a variant, and whether the probe here agrees."""

    published: PublishedProbe
    #: `agrees`, or `differs, because ...`; None where the probe was void and has no figures.
    agrees: str | None


def compare_probe(record: ProbeRecord, published: PublishedProbe) -> ProbeComparison:
    """A probe next to the article's finding on the same variant."""
    return ProbeComparison(published, _agreement(record, published))


def _agreement(record: ProbeRecord, published: PublishedProbe) -> str | None:
    if record.state == "void":
        return None
    if published.in_flight == 0:
        return AGREES if record.is_expected_failure else f"differs, because {_another_end(record, published)}"
    if record.capacity is None:
        return f"differs, because the server failed here: {record.error or 'see its log'}"
    reasons = [
        reason
        for reason in (
            _capacity(record, published),
            _queue(record, published),
            _overflow(record, published),
            _reuse(record, published),
        )
        if reason
    ]
    return f"differs, because {'; '.join(reasons)}" if reasons else AGREES


def _capacity(record: ProbeRecord, published: PublishedProbe) -> str:
    """Empty where both found the same number, or no limit."""
    ours, theirs = record.capacity, published.in_flight
    # All that the article sent were handled: no limit was met there either.
    were_all_handled = theirs is None or theirs == published.requests_count
    if ours == theirs or (record.is_unlimited and were_all_handled):
        return ""
    if record.is_unlimited:
        text = f"the article met a limit of {theirs}, and here was none up to {record.requests_count}"
    else:
        said = "no limit" if theirs is None else f"{theirs}"
        text = f"{ours} are handled at once here ({record.capacity_limited_by}), {said} in the article"
    if record.capacity_setting and not record.is_unlimited:
        text += f" (what sets it here: {record.capacity_setting})"
    return f"{text} (article: {published.note})" if published.note else text


def _queue(record: ProbeRecord, published: PublishedProbe) -> str:
    """Empty where the article's queue is the one found here; the one that Linux admits beyond a backlog counts as such.

    A queue within the process grows with the number of requests: there the numbers are no property of the server.
    """
    if published.queued is None or record.queued_process is None or record.queued_kernel is None:
        return ""
    if record.kernel_queue is KernelQueue.FULL and not record.queued_process:
        if published.queued in (record.kernel_limit, record.queued_kernel):
            return ""
        return (
            f"{record.queued_kernel} wait in the kernel here (backlog {record.kernel_limit}; Linux admits one more), "
            f"{published.queued} in the article"
        )
    ours = record.queued_process + record.queued_kernel
    if bool(ours) == bool(published.queued):
        return ""
    return f"{ours} requests wait here, {published.queued} in the article"


def _another_end(record: ProbeRecord, published: PublishedProbe) -> str:
    """Of a server that failed every request there, and not so here."""
    if record.capacity is None or record.capacity_limited_by is CapacityLimit.FAILS:
        return f"the server fails otherwise here: {record.error or 'see its log'}"
    return f"{record.capacity} are handled at once here, and none was in the article ({published.overflow_text})"


def _overflow(record: ProbeRecord, published: PublishedProbe) -> str:
    """Empty where the article's requests beyond met what ours did, or might have.

    Only what turns a request away contradicts: that it waits, or finds no place to wait, is a matter of their number,
    and so is all else where more were sent here than there.
    """
    is_like = (record.requests_count or 0) <= (published.requests_count or 0)
    ours = set(record.overflow) - {OverflowKind.SYN_PENDING}
    if not is_like or not ours or ours & _OVERFLOW_KINDS[published.overflow]:
        return ""
    return f"requests beyond: {', '.join(record.overflow)} here, {published.overflow_text} in the article"


def _reuse(record: ProbeRecord, published: PublishedProbe) -> str:
    if record.reused is None or published.reused is None or record.reused == published.reused:
        return ""
    return f"what serves is {'' if record.reused else 'not '}used again here ({record.serving})"
