"""Where an article's figures do not fit each other: its summary and its runs, rates and counts, texts and logs. Pure.

Found from reference/*.csv, and from the claims of suites/*.yml held against the articles' own figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from wrklab.articles.claims import FAILS, HOLDS, article_text, judge_articles, limit_text
from wrklab.articles.comparison import WRK_DEFAULT_TIMEOUT_S
from wrklab.articles.library import ArticleLibrary
from wrklab.articles.reference import (
    Printed,
    PublishedProbe,
    PublishedRow,
    RepeatedFigure,
    SummaryLine,
    WrkOutput,
    parse_printed,
)
from wrklab.verdicts.bounds import IDEAL_LIMIT_RATIO
from wrklab.verdicts.connections import BUSY_LIMIT_RATIO

#: `mismatch`: two figures that cannot both be right. `misleading`: a figure that is not what it seems to be.
#: `contradiction`: a claim that the article's own figures do not bear out. `unfounded`: one that they cannot tell.
Kind = Literal["mismatch", "misleading", "contradiction", "unfounded"]

#: wrk prints the length of a run of a minute as 1.00m, that is within 0.3 s.
_DURATION_SLACK_S = 0.3
#: A time-out ends where wrk next looks at its clock (every 100 ms, RECORD_INTERVAL_MS of wrk).
_TIMEOUT_SLACK_MS = 100.0
#: CPU time that a start takes besides the load.
_START_CPU_S = 2.0
#: Requests under way cannot be more than connections; wrk's "correction" adds slow answers that never were.
_CORRECTED = ": wrk's correction adds slow answers that never were, and the mean with them"
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Inconsistency:
    """Two figures of one article that do not fit. `row` is that of reference/*.csv, or the claim."""

    article: str
    row: str
    kind: Kind
    what: str
    first: str
    second: str

    @property
    def sentence(self) -> str:
        """All in one line."""
        return f"{self.row}: {self.what}: {self.first}, but {self.second}"


def find_inconsistencies(library: ArticleLibrary) -> tuple[Inconsistency, ...]:
    """Everything that does not fit, in the order of the articles and of their rows; claims last."""
    data = library.data
    found: list[Inconsistency] = []
    for row in library.rows.values():
        if row.row in data.summaries:
            found += _summary(row, data.summaries[row.row])
        found += _run(row)
        if row.row in data.outputs:
            found += _output(row, data.outputs[row.row])
    for probe in library.probes.values():
        found += _probe(probe)
    for figure in data.repeated.values():
        found += _repeated(figure)
    found += _claims(library)
    # Rows know their table, which is an article's.
    articles = {article.table: article.article for article in data.articles.values()}
    named = [replace(one, article=articles.get(one.article, one.article)) for one in found]
    order = list(data.articles)
    return tuple(sorted(named, key=lambda one: order.index(one.article) if one.article in order else len(order)))


def _claims(library: ArticleLibrary) -> Iterator[Inconsistency]:
    """What an article says and its own figures do not."""
    for result in judge_articles(library):
        if result.article_answer in {None, HOLDS}:
            continue
        kind: Kind = "contradiction" if result.article_answer == FAILS else "unfounded"
        claim = result.claim
        yield Inconsistency(
            claim.source, claim.claim, kind, claim.says.rstrip("."), limit_text(claim), article_text(result)
        )


def _summary(row: PublishedRow, line: SummaryLine) -> Iterator[Inconsistency]:
    """A summary's figure is the run's, as far as the summary's digits go."""
    pairs: tuple[tuple[str, float, Printed, str], ...] = (
        ("requests", row.requests, line.requests, ""),
        ("requests/s", row.requests_per_s, line.requests_per_s, ""),
        ("mean latency", row.latency_mean_ms, line.latency_mean, " ms"),
        ("maximum latency", row.latency_max_ms, line.latency_max, " ms"),
    )
    for what, value, printed, unit in pairs:
        if not printed.allows(value):
            yield Inconsistency(
                row.source,
                row.row,
                "mismatch",
                what,
                f"its run printed {value:g}{unit}",
                f"the summary says {printed.text}",
            )


def _run(row: PublishedRow) -> Iterator[Inconsistency]:
    """What wrk counted fits what wrk divided, and what can be."""
    measured_s = row.requests / row.requests_per_s
    if abs(measured_s - row.duration_s) > _DURATION_SLACK_S:
        yield _of(
            row, "mismatch", "requests / rate", f"a window of {measured_s:.2f} s", f"{row.duration_s:g} s requested"
        )
    if row.hold_ms:
        ideal = row.connections / row.hold_ms * 1000
        if row.requests_per_s > ideal * IDEAL_LIMIT_RATIO:
            yield _of(row, "mismatch", "rate", f"{row.requests_per_s:g}/s", f"connections / hold allow {ideal:g}/s")
        if row.latency_mean_ms < row.hold_ms:
            yield _of(
                row, "mismatch", "mean latency", f"{row.latency_mean_ms:g} ms", f"each answer is held {row.hold_ms} ms"
            )
    if row.errors_timeout:
        late = row.errors_timeout / row.requests
        yield _of(
            row,
            "misleading",
            "maximum latency",
            f"{row.latency_max_ms:g} ms",
            f"{row.errors_timeout:,} answers ({late * 100:.2g} %) came after wrk's time-out of "
            f"{WRK_DEFAULT_TIMEOUT_S} s and are in no latency",
        )
    # Little's law: what is under way is rate x mean time.
    busy = row.requests_per_s * row.latency_mean_ms / 1000
    if busy > row.connections * IDEAL_LIMIT_RATIO:
        yield _of(
            row,
            "mismatch",
            "rate x mean latency",
            f"{busy:,.0f} under way",
            f"{row.connections:,} connections{_CORRECTED}",
        )
    elif busy < row.connections * BUSY_LIMIT_RATIO:
        yield _of(
            row,
            "misleading",
            "mean latency",
            f"rate x mean are {busy:,.0f} requests under way",
            f"{row.connections:,} connections always busy: most waited without an answer, and are in no latency",
        )


def _output(row: PublishedRow, output: WrkOutput) -> Iterator[Inconsistency]:
    """wrk's further lines fit its first, and the script's setting what came of it."""
    if output.banner_url != output.command_url:
        yield _of(
            row, "mismatch", "address", f"wrk was started for {output.command_url}", f"it drove {output.banner_url}"
        )
    measured_s = row.requests / row.requests_per_s
    if not output.transfer_per_s.overlaps(output.read.low / measured_s, output.read.high / measured_s):
        first = f"{output.read.text} read in {measured_s:.2f} s"
        yield _of(row, "mismatch", "transfer", first, f"{output.transfer_per_s.text} printed")
    limit_s = output.script_timeout_s
    if limit_s is not None and row.latency_max_ms > limit_s * 1000 + _TIMEOUT_SLACK_MS:
        first = f"the script sets a time-out of {limit_s:g} s"
        second = f"answers took up to {row.latency_max_ms:g} ms: the setting had no effect"
        yield _of(row, "mismatch", "time-out", first, second)
    if output.cpu_time_s is not None and output.processes:
        possible_s = output.processes * row.duration_s + _START_CPU_S
        if output.cpu_time_s > possible_s:
            first = f"{output.processes} of the server's processes used {output.cpu_time_s:g} s"
            second = f"{row.duration_s:g} s of load allow {possible_s:g} s: it served more than this run"
            yield _of(row, "mismatch", "CPU time", first, second)


def _probe(probe: PublishedProbe) -> Iterator[Inconsistency]:
    """Connections are handled or wait, and requests are handled, wait or are turned away."""
    known = (probe.in_flight, probe.queued, probe.established)
    if None not in known and (probe.in_flight or 0) + (probe.queued or 0) != probe.established:
        first = f"{probe.in_flight} handled and {probe.queued} waiting"
        yield _of(probe, "mismatch", "connections", first, f"{probe.established} established")
    sent, established = probe.requests_count, probe.established
    if sent and established and probe.overflow == "queued" and established < sent:
        first = f"{sent:,} sent, and all that are not handled are said to wait"
        yield _of(
            probe, "mismatch", "requests", first, f"{established:,} connections: {sent - established} are nowhere"
        )


def _repeated(figure: RepeatedFigure) -> Iterator[Inconsistency]:
    if not _same(figure.first, figure.second):
        first, second = f"{figure.first} ({figure.first_place})", f"{figure.second} ({figure.second_place})"
        yield Inconsistency(figure.article, figure.row, "mismatch", figure.figure, first, second)


def _same(first: str, second: str) -> bool:
    """Texts are the same; numbers are the same as far as the digits of both go."""
    if not (_NUMBER.fullmatch(first) and _NUMBER.fullmatch(second)):
        return first == second
    other = parse_printed(second)
    return parse_printed(first).overlaps(other.low, other.high)


def _of(row: PublishedRow | PublishedProbe, kind: Kind, what: str, first: str, second: str) -> Inconsistency:
    return Inconsistency(row.source, row.row, kind, what, first, second)
