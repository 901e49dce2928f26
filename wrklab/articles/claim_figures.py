"""The figures that claims compare: of a bench's row, of a probe, and of an article's row. Pure.

Each function gives a Figure, or a text that says why there is none. `is_...` metrics are 1 for yes and 0 for no.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from wrklab import formats
from wrklab.articles.published_probes import PublishedProbe
from wrklab.articles.published_rows import PublishedRow
from wrklab.results.probe_record import OverflowKind, ProbeRecord
from wrklab.results.records import Latency, Measurement
from wrklab.summary.estimate import Figure
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts import conditions, contradictions
from wrklab.verdicts.notes import Note
from wrklab.verdicts.verdict import Verdict

Found: TypeAlias = Figure | str

#: The articles ran wrk with its own default.
WRK_DEFAULT_TIMEOUT_S = 2
_NO_FIGURE = "the article gives no figure"
#: What extract/cell.py says of a cell whose server was not there any more at its end; all that older runs have.
_ENDED_TEXT = "ended under the load"


@dataclass(frozen=True)
class MeasuredRow:
    """A row of this run with its notes and the windows behind it."""

    row: SummaryRow
    notes: tuple[Note, ...] = ()
    windows: tuple[Measurement, ...] = ()
    #: None: not one of its rounds ended.
    verdict: Verdict | None = None


@dataclass(frozen=True)
class LoadMetric:
    """How a metric is taken from a row. `kind` says which doubts forbid it."""

    kind: Literal["rate", "latency", "slowest", "errors"]
    of_row: Callable[[SummaryRow], float | None]
    of_window: Callable[[Measurement], float | None] | None
    published: Callable[[PublishedRow], float | None]


def _latency_ms(name: str) -> Callable[[SummaryRow | Measurement], float | None]:
    def found(source: SummaryRow | Measurement) -> float | None:
        latency: Latency | None = source.latency
        return getattr(latency, name) / 1000 if latency else None

    return found


def _no_figure(_: PublishedRow) -> float | None:
    return None


def _errors_ratio(row: SummaryRow) -> float | None:
    if row.errors is None:
        return None
    return (row.errors.total - row.errors.timeout) / max(row.requests or 0, 1)


def _published_errors_ratio(row: PublishedRow) -> float:
    return (row.errors_connect + row.errors_read + row.errors_write) / max(row.requests, 1)


def ended_under_load(row: SummaryRow) -> bool:
    """The server itself ended in a cell that has failed for it, or in the first attempt of one."""
    told = (*row.failures, *row.first_failures)
    return row.rounds_server_ended > 0 or any(_ENDED_TEXT in text for text in told)


def _is_down_after(row: SummaryRow) -> float | None:
    # A server that broke down leaves no window: the failure is the figure then.
    if ended_under_load(row):
        return 1.0
    if not row.rounds:
        return None
    return float(bool(row.units_ended) or contradictions.wrong_after(row) or contradictions.hung_after(row))


def _cpu_us(window: Measurement) -> float | None:
    server = window.server
    if server.cpu_percent is None or not window.requests:
        return None
    return server.cpu_percent / 100 * server.cpus_count * window.duration_s * 1e6 / window.requests


LOAD: Mapping[str, LoadMetric] = {
    "requests_per_s": LoadMetric(
        "rate", lambda row: row.requests_per_s, lambda window: window.requests_per_s, lambda row: row.requests_per_s
    ),
    "latency_mean_ms": LoadMetric(
        "latency", _latency_ms("mean_us"), _latency_ms("mean_us"), lambda row: row.latency_mean_ms
    ),
    "latency_p50_ms": LoadMetric("latency", _latency_ms("p50_us"), _latency_ms("p50_us"), _no_figure),
    "latency_p99_ms": LoadMetric("latency", _latency_ms("p99_us"), _latency_ms("p99_us"), _no_figure),
    "latency_max_ms": LoadMetric("slowest", _latency_ms("max_us"), None, lambda row: row.latency_max_ms),
    "timeouts_ratio": LoadMetric("errors", lambda _: None, None, lambda row: row.errors_timeout / max(row.requests, 1)),
    "errors_ratio": LoadMetric("errors", _errors_ratio, None, _published_errors_ratio),
    "server_cpu_percent": LoadMetric(
        "rate", lambda row: row.server_cpu_percent, lambda window: window.server.cpu_percent, _no_figure
    ),
    "server_cpu_us_per_request": LoadMetric("rate", lambda row: row.server_cpu_us_per_request, _cpu_us, _no_figure),
    "is_down_after": LoadMetric("errors", _is_down_after, None, _no_figure),
}


def of_row(metric: str, measured: MeasuredRow, published: PublishedRow | None, *, is_growth: bool) -> Found:
    """A metric of a row. `is_growth`: it is set against the same variant at another load, so the load caps nothing."""
    row, spec = measured.row, LOAD[metric]
    if metric == "timeouts_ratio":
        return _timeouts(row, published)
    value = spec.of_row(row)
    if value is None:
        return f"{row.variant}: no {metric} was measured"
    of_window = spec.of_window
    rounds = () if of_window is None else tuple(found for w in measured.windows if (found := of_window(w)) is not None)
    because = ""
    if metric == "requests_per_s" and not is_growth and conditions.hold_bound(row):
        because = hold_bound_text(row.variant, row.ideal_ratio)
    elif spec.kind == "slowest":
        because = _cut_text(row) or _shorter_text(row, published)
    elif metric == "errors_ratio":
        because = _shorter_text(row, published)
    return Figure(value, rounds, because)


def _timeouts(row: SummaryRow, published: PublishedRow | None) -> Found:
    """Answers after 2 s by count where wrk gave up then, else by what the latencies say of them."""
    if row.requests is None or row.errors is None:
        return f"{row.variant}: nothing was measured"
    shorter = _shorter_text(row, published)
    if row.timeout_s == WRK_DEFAULT_TIMEOUT_S:
        return Figure(row.errors.timeout / max(row.requests, 1), (), shorter)
    if row.timeout_s < WRK_DEFAULT_TIMEOUT_S or row.latency is None:
        return f"{row.variant}: wrk's time-out is {row.timeout_s} s here, {WRK_DEFAULT_TIMEOUT_S} s there"
    late = next((share for share, value in _shares(row.latency) if value > WRK_DEFAULT_TIMEOUT_S * 1e6), 0.0)
    if late:
        shorter = (
            f"{row.variant}: wrk's time-out is {row.timeout_s} s here; the latencies bound the share only from below"
        )
    return Figure(late, (), shorter)


def _shares(latency: Latency) -> list[tuple[float, float]]:
    """(share of answers, the latency in µs that they at least have), the largest share first."""
    return [
        (0.5, latency.p50_us),
        (0.1, latency.p90_us),
        (0.01, latency.p99_us),
        (0.001, latency.p999_us),
        (1 / max(latency.count, 1), latency.max_us),
    ]


def hold_bound_text(who: str, ideal_ratio: float | None) -> str:
    """Why a rate at the load's limit bounds a server's speed from below only."""
    return f"{who} is hold-bound: at {formats.ratio_percent(ideal_ratio)} of connections / hold, the load sets its rate"


def _cut_text(row: SummaryRow) -> str:
    if row.errors is not None and row.errors.timeout:
        return f"{row.variant}: answers after {row.timeout_s} s are missing from its latencies"
    return f"{row.variant}: slower answers had no time to be counted" if conditions.cut_off(row) else ""


def _shorter_text(row: SummaryRow, published: PublishedRow | None) -> str:
    """What is rare has less chance to show in a shorter time."""
    total_s = row.duration_s * row.rounds
    if published is None or total_s >= published.duration_s:
        return ""
    return f"{row.variant}: {total_s:g} s measured here, {published.duration_s:g} s there, and what is rare needs time"


def of_published_row(metric: str, row: PublishedRow, *, is_growth: bool) -> Found:
    """The same of an article's row."""
    value = LOAD[metric].published(row)
    if value is None:
        return _NO_FIGURE
    because = ""
    if metric == "requests_per_s" and row.hold_ms and not is_growth:
        ideal_ratio = row.requests_per_s * row.hold_ms / 1000 / row.connections
        if ideal_ratio > conditions.BOUND_RATIO:
            because = hold_bound_text(row.row, ideal_ratio)
    if metric == "latency_max_ms" and row.errors_timeout:
        because = (
            f"{row.row}: {row.errors_timeout:,} answers after {WRK_DEFAULT_TIMEOUT_S} s are missing from its latencies"
        )
    return Figure(value, (), because)


def of_probe(metric: str, record: ProbeRecord, published: PublishedProbe | None) -> Found:
    """A metric of a probe."""
    if record.state == "void":
        return f"{record.variant}: the probe was void ({'; '.join(record.void_reasons[-1:]) or 'no reason told'})"
    is_failing = record.is_failing
    if metric == "is_failing":
        return Figure(float(is_failing))
    if is_failing:
        return f"{record.variant} fails: {record.error or 'see its log'}"
    if reason := _fewer_text(metric, record, published) or _unmet_text(metric, record):
        return reason
    value = _probed_values(record)[metric]
    return f"{record.variant}: the probe did not find {metric}" if value is None else Figure(float(value))


def _probed_values(record: ProbeRecord) -> dict[str, float | None]:
    waiting = [count for count in (record.queued_process, record.queued_kernel) if count is not None]
    return {
        "capacity": math.inf if record.is_unlimited else record.capacity,
        "queued": sum(waiting) if waiting else None,
        "processes": record.processes,
        "threads": record.threads,
        "is_unbounded": record.is_unlimited,
        "is_all_queued": (record.capacity or 0) + sum(waiting) == record.requests_count,
        "is_refused_beyond": bool({OverflowKind.REFUSED, OverflowKind.CLOSED} & set(record.overflow)),
        "is_reused": record.reused,
    }


def _unmet_text(metric: str, record: ProbeRecord) -> str:
    """Nothing is beyond a limit that was not met."""
    if metric != "is_refused_beyond" or not record.is_unlimited:
        return ""
    return f"{record.variant}: no limit was met up to {formats.count(record.requests_count)} requests"


def _fewer_text(metric: str, record: ProbeRecord, published: PublishedProbe | None) -> str:
    """A yes to `no limit` and `all wait` says nothing of more requests than were sent."""
    sent, theirs = record.requests_count or 0, (published.requests_count if published else None) or 0
    if metric not in {"is_unbounded", "is_all_queued"} or sent >= theirs or record.overflow:
        return ""
    return f"{record.variant}: {sent:,} requests here, {theirs:,} there"


def of_published_probe(metric: str, probe: PublishedProbe) -> Found:
    """The same of what an article found out."""
    values: dict[str, float | None] = {
        "capacity": math.inf if probe.in_flight is None else probe.in_flight,
        "queued": probe.queued,
        "is_unbounded": probe.in_flight is None or probe.in_flight == probe.requests_count,
        "is_all_queued": probe.overflow == "queued",
        "is_refused_beyond": "reset" in probe.overflow or "refused" in probe.overflow,
        "is_reused": probe.reused,
        "is_failing": probe.in_flight == 0,
    }
    value = values.get(metric)
    return _NO_FIGURE if value is None else Figure(float(value))
