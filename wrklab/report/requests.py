"""The table of a mix's requests, for people (report.md, the terminal) and for programs (requests.csv, JSON)."""

from __future__ import annotations

import csv
import io

from wrklab import formats
from wrklab.report.contents import Contents
from wrklab.summary.request_rows import RequestRow, request_rows

REQUEST_HEADERS = (
    "variant",
    "request",
    "asked %",
    "sent %",
    "answers",
    "per s",
    "errors",
    "mean ms",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "max ms",
)
#: Places of texts, which stand to the left.
REQUEST_TEXTS = (0, 1)

REQUESTS_MEANING = (
    "Each request of a mix by itself, all rounds together; the tables above are of all requests. `asked` is its "
    "weight, `sent` what was drawn. `errors` counts answers with another status, text or value of JSON than expected, "
    "and those after the time-out."
)

_LATENCIES = ("mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us")
_COLUMNS = (
    *("variant", "scenario", "request", "method", "path", "asked_ratio", "sent_ratio", "sent", "answers"),
    *("answers_per_s", "unanswered", "errors_timeout", "errors_status", "errors_body"),
    *(f"latency_{name}" for name in _LATENCIES),
)
_DIGITS = 4


def request_lines(contents: Contents) -> list[tuple[str, ...]]:
    """A line a row and request by REQUEST_HEADERS; none where no scenario has a mix."""
    many = len(contents.plan.scenarios) > 1
    return [_cells(found, many=many) for entry in contents.rows for found in request_rows(entry.row)]


def request_values(contents: Contents) -> list[dict[str, object]]:
    """A mapping a row and request, by the columns of requests.csv."""
    return [_values(found) for entry in contents.rows for found in request_rows(entry.row)]


def to_requests_csv(contents: Contents) -> str:
    """requests.csv; empty where no scenario has a mix."""
    rows = request_values(contents)
    if not rows:
        return ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _cells(found: RequestRow, *, many: bool) -> tuple[str, ...]:
    latency = found.latency
    return (
        f"{found.variant} ({found.scenario})" if many else found.variant,
        found.request,
        formats.ratio_percent_number(found.asked_ratio),
        formats.ratio_percent_number(found.sent_ratio),
        formats.count(found.answers),
        formats.rate(found.answers_per_s),
        formats.count(found.timeouts + found.wrong_status + found.wrong_body),
        *(
            formats.ms(value)
            for value in (
                (latency.mean_us, latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us)
                if latency
                else (None,) * 5
            )
        ),
    )


def _values(found: RequestRow) -> dict[str, object]:
    latency = found.latency.model_dump() if found.latency else {}
    return {
        "variant": found.variant,
        "scenario": found.scenario,
        "request": found.request,
        "method": found.method,
        "path": found.path,
        "asked_ratio": round(found.asked_ratio, _DIGITS),
        "sent_ratio": round(found.sent_ratio, _DIGITS),
        "sent": found.sent,
        "answers": found.answers,
        "answers_per_s": round(found.answers_per_s, _DIGITS),
        "unanswered": found.unanswered,
        "errors_timeout": found.timeouts,
        "errors_status": found.wrong_status,
        "errors_body": found.wrong_body,
    } | {f"latency_{name}": None if name not in latency else round(latency[name], _DIGITS) for name in _LATENCIES}
