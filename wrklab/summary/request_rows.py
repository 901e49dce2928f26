"""A row's requests, where it has a mix of them: counts, errors and latencies of each, all rounds together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wrklab.extract.wrk_report import latency_of
from wrklab.results.records import Latency, RequestRecord
from wrklab.summary.rows import SummaryRow


@dataclass(frozen=True)
class RequestRow:
    """One request of one row."""

    variant: str
    scenario: str
    request: str
    method: str
    path: str
    #: Of all requests, as the mix asks for.
    asked_ratio: float
    sent: int
    #: Of all requests sent.
    sent_ratio: float
    answers: int
    #: Answers / the length of all windows.
    answers_per_s: float
    #: Sent, and without an answer when wrk ended; in a closed loop one a connection at most is on its way then.
    unanswered: int
    timeouts: int
    wrong_status: int
    wrong_body: int
    #: Observed, the histograms of all rounds added; None: no answer was timed.
    latency: Latency | None


def request_rows(row: SummaryRow) -> tuple[RequestRow, ...]:
    """Each request of the row's mix in its order; none without a mix, or without a measured round."""
    mix, windows = row.load.mix, row.windows
    if mix is None or not windows:
        return ()
    parts = {
        request.name: [part for window in windows for part in window.requests_by_name if part.name == request.name]
        for request in mix.requests
    }
    all_sent = sum(part.sent for found in parts.values() for part in found)
    duration_s = sum(window.duration_s for window in windows)
    rows = []
    for request in mix.requests:
        found = parts[request.name]
        sent, answers = sum(part.sent for part in found), sum(part.answers for part in found)
        rows.append(
            RequestRow(
                variant=row.variant,
                scenario=row.scenario,
                request=request.name,
                method=request.method,
                path=request.path,
                asked_ratio=mix.share_of(request),
                sent=sent,
                sent_ratio=sent / all_sent if all_sent else 0.0,
                answers=answers,
                answers_per_s=answers / duration_s,
                unanswered=sent - answers,
                timeouts=sum(part.timeouts for part in found),
                wrong_status=sum(part.wrong_status for part in found),
                wrong_body=sum(part.wrong_body for part in found),
                latency=_latency(row, request.name, found),
            )
        )
    return tuple(rows)


def _latency(row: SummaryRow, name: str, parts: Sequence[RequestRecord]) -> Latency | None:
    if row.histograms_of is None:
        return parts[0].latency if parts else None
    return latency_of(row.added(f"request:{name}"))
