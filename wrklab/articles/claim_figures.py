"""The figures that claims compare: of a bench's row, of a probe, and of what an article printed. Pure.

Each function gives a Figure, or the Reason why there is none. `is_...` metrics are 1 for yes and 0 for no.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from wrklab import formats
from wrklab.articles.claim_ranges import Figure, Need, Reason
from wrklab.articles.comparison import WRK_DEFAULT_TIMEOUT_S
from wrklab.articles.reference import PublishedProbe, PublishedRow
from wrklab.extract.stalls import STALL_LIMIT_S, STALL_P99_FACTOR, STALLS_COUNTED_AT, UNANSWERED_SHARE
from wrklab.results.probe_record import OverflowKind, ProbeRecord
from wrklab.results.records import Latency, Measurement
from wrklab.summary.rows import SummaryRow
from wrklab.verdicts import answers, bounds, latencies
from wrklab.verdicts.rules import Note
from wrklab.verdicts.verdict import Verdict

Found: TypeAlias = Figure | Reason

#: wrk opens all connections at once; 20,000 of them take about a second (scenarios/standard_20000.yml).
_OPENING_S = 1.0
_NO_FIGURE = Reason("the article gives no figure", Need.NOTHING)


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
    """How a metric is taken from a row. `kind` decides what a doubt on the row means for it (claim_lookup.py)."""

    kind: Literal["rate", "cost", "latency", "slowest", "errors"]
    of_row: Callable[[SummaryRow], float | None]
    of_window: Callable[[Measurement], float | None] | None
    published: Callable[[PublishedRow], float | None]
    #: Nothing above is possible.
    most: float = math.inf


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


def _is_down_after(row: SummaryRow) -> float | None:
    # A server that ended under the load may leave no window: the failure is the figure then.
    if row.rounds_server_ended:
        return 1.0
    if not row.rounds:
        return None
    return float(bool(row.units_ended) or answers.wrong_after(row) or answers.hung_after(row))


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
        "rate", lambda row: row.server_cpu_percent, lambda window: window.server.cpu_percent, _no_figure, most=100.0
    ),
    "server_cpu_us_per_request": LoadMetric("cost", lambda row: row.server_cpu_us_per_request, _cpu_us, _no_figure),
    "is_down_after": LoadMetric("errors", _is_down_after, None, _no_figure, most=1.0),
}


def of_row(metric: str, measured: MeasuredRow, published: PublishedRow | None, *, is_growth: bool) -> Found:
    """A metric of a row as it was measured, before any doubt.

    `is_growth`: it is compared with the same variant at another load, so that the load caps nothing.
    """
    row, spec = measured.row, LOAD[metric]
    if metric == "timeouts_ratio":
        return _timeouts(row, published)
    value = spec.of_row(row)
    if value is None:
        return Reason(f"{row.variant}: no {metric} was measured", Need.BENCH)
    of_window = spec.of_window
    rounds = () if of_window is None else tuple(found for w in measured.windows if (found := of_window(w)) is not None)
    higher: tuple[Reason, ...] = ()
    if metric == "requests_per_s" and not is_growth and bounds.hold_bound(row):
        higher = (hold_bound_reason(row.variant, row.ideal_ratio),)
    elif spec.kind == "slowest":
        value = max(value, _queued_s(row) * 1000)
        higher = _cut(row) or _shorter(row, published)
    elif metric == "errors_ratio":
        higher = _shorter(row, published)
    return Figure(value, rounds, higher, most=spec.most)


def _timeouts(row: SummaryRow, published: PublishedRow | None) -> Found:
    """Answers after 2 s: by wrk's count where it gave up then, else by what latencies and waits say of them."""
    if row.requests is None or row.errors is None:
        return Reason(f"{row.variant}: nothing was measured", Need.BENCH)
    shorter = _shorter(row, published)
    if row.timeout_s == WRK_DEFAULT_TIMEOUT_S:
        return Figure(row.errors.timeout / max(row.requests, 1), (), shorter)
    if row.timeout_s < WRK_DEFAULT_TIMEOUT_S or row.latency is None:
        text = f"{row.variant}: wrk's time-out is {row.timeout_s} s here, {WRK_DEFAULT_TIMEOUT_S} s there"
        return Reason(text, Need.BENCH)
    late = next((share for share, value in _shares(row.latency) if value > WRK_DEFAULT_TIMEOUT_S * 1e6), 0.0)
    late = late or _waiting_ratio(row, published)
    if late:
        text = f"{row.variant}: wrk's time-out is {row.timeout_s} s here; latencies bound the share from below"
        shorter = (Reason(text, Need.BENCH),)
    return Figure(late, (), shorter)


def _shares(latency: Latency) -> list[tuple[float, float]]:
    """(share of answers, the latency in µs that they have at least), the largest share first."""
    return [
        (0.5, latency.p50_us),
        (0.1, latency.p90_us),
        (0.01, latency.p99_us),
        (0.001, latency.p999_us),
        (1 / max(latency.count, 1), latency.max_us),
    ]


def _waiting_ratio(row: SummaryRow, published: PublishedRow | None) -> float:
    """Connections whose first answer took more than wrk's 2 s, / the answers of a window as long as the article's.

    It may have happened once only, when the load began.
    """
    if _queued_s(row) <= WRK_DEFAULT_TIMEOUT_S:
        return 0.0
    waiting = row.connections_unaccepted or 0
    longer = max(published.duration_s / row.duration_s, 1.0) if published else 1.0
    return waiting / max((row.requests or 0) * longer, waiting)


def _queued_s(row: SummaryRow) -> float:
    """How long connections waited at least in the accept queue, their request sent, until they were counted there.

    No latency shows these waits. 0 where none was counted.
    """
    if not row.connections_unaccepted:
        return 0.0
    counted_at_s = STALLS_COUNTED_AT * row.duration_s
    p99_s = row.latency.p99_us / 1e6 if row.latency else 0.0
    counted_from_s = min(max(STALL_LIMIT_S, STALL_P99_FACTOR * p99_s), UNANSWERED_SHARE * counted_at_s)
    # Where the accept queue never overflowed, the kernel took every connection as soon as wrk opened it.
    return max(counted_from_s, counted_at_s - _OPENING_S) if row.listen_overflows == 0 else counted_from_s


def hold_bound_reason(who: str, ideal_ratio: float | None) -> Reason:
    """Why a rate at the load's limit bounds a server's speed from below only."""
    share = formats.ratio_percent(ideal_ratio)
    return Reason(f"{who} is hold-bound: at {share} of connections / hold, the load sets its rate", Need.NOTHING)


def _cut(row: SummaryRow) -> tuple[Reason, ...]:
    if row.errors is not None and row.errors.timeout:
        text = f"{row.variant}: answers after {row.timeout_s} s are missing from its latencies"
        return (Reason(text, Need.BENCH_AGAIN, "a scenario with a longer time-out (standard) keeps them"),)
    if latencies.cut_off(row):
        return (Reason(f"{row.variant}: slower answers had no time to be counted", Need.BENCH),)
    return ()


def _shorter(row: SummaryRow, published: PublishedRow | None) -> tuple[Reason, ...]:
    """What is rare is less likely to show in a shorter time."""
    total_s = row.duration_s * row.rounds
    if published is None or total_s >= published.duration_s:
        return ()
    text = f"{row.variant}: {total_s:g} s measured here, {published.duration_s:g} s there, and what is rare needs time"
    return (Reason(text, Need.BENCH),)


def of_published_row(metric: str, row: PublishedRow, *, is_growth: bool) -> Found:
    """A metric of a row that an article printed."""
    value = LOAD[metric].published(row)
    if value is None:
        return _NO_FIGURE
    higher: tuple[Reason, ...] = ()
    if metric == "requests_per_s" and row.hold_ms and not is_growth:
        ideal_ratio = row.requests_per_s * row.hold_ms / 1000 / row.connections
        if ideal_ratio > bounds.BOUND_RATIO:
            higher = (hold_bound_reason(row.row, ideal_ratio),)
    if metric == "latency_max_ms" and row.errors_timeout:
        text = (
            f"{row.row}: {row.errors_timeout:,} answers after {WRK_DEFAULT_TIMEOUT_S} s are missing from its latencies"
        )
        higher = (Reason(text, Need.NOTHING),)
    return Figure(value, (), higher)


def of_probe(metric: str, record: ProbeRecord, published: PublishedProbe | None) -> Found:
    """A metric of a probe."""
    if record.state == "void":
        why = "; ".join(record.void_reasons[-1:]) or "no reason stored"
        return Reason(f"{record.variant}: the probe was void ({why})", Need.PROBE)
    is_failing = record.is_failing
    if metric == "is_failing":
        return Figure(float(is_failing))
    if is_failing:
        return Reason(f"{record.variant} fails: {record.error or 'see its log'}", Need.PROBE)
    if reason := _fewer(metric, record, published) or _unmet(metric, record):
        return reason
    value = _probed_values(record)[metric]
    if value is None:
        return Reason(f"{record.variant}: the probe did not find {metric}", Need.PROBE)
    return Figure(float(value))


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


def _unmet(metric: str, record: ProbeRecord) -> Reason | None:
    """Nothing is beyond a limit that was not met."""
    if metric != "is_refused_beyond" or not record.is_unlimited:
        return None
    sent = formats.count(record.requests_count)
    return Reason(f"{record.variant}: no limit was met up to {sent} requests", Need.NOTHING)


def _fewer(metric: str, record: ProbeRecord, published: PublishedProbe | None) -> Reason | None:
    """A yes to `no limit` and `all wait` says nothing of more requests than were sent."""
    sent, theirs = record.requests_count or 0, (published.requests_count if published else None) or 0
    if metric not in {"is_unbounded", "is_all_queued"} or sent >= theirs or record.overflow:
        return None
    hint = f"set probe_requests_count: {theirs} on its card"
    return Reason(f"{record.variant}: {sent:,} requests here, {theirs:,} there", Need.PROBE, hint)


def of_published_probe(metric: str, probe: PublishedProbe) -> Found:
    """A metric of what an article found on concurrency."""
    values: dict[str, float | None] = {
        "capacity": math.inf if probe.in_flight is None else probe.in_flight,
        "queued": probe.queued,
        "is_unbounded": probe.in_flight is None or probe.in_flight == probe.requests_count,
        "is_all_queued": probe.overflow == "queued",
        "is_refused_beyond": probe.overflow == "closed",
        "is_reused": probe.reused,
        "is_failing": probe.in_flight == 0,
    }
    value = values.get(metric)
    return _NO_FIGURE if value is None else Figure(float(value))
