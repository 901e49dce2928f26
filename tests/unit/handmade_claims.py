"""Builders of what claims are held against: handmade rows and probes, and the articles' own rows as if measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.unit.handmade_records import handmade_latency, handmade_measurement, handmade_summary
from wrklab.articles.claim_cards import Claim
from wrklab.articles.claim_figures import MeasuredRow
from wrklab.articles.claim_lookup import Measured
from wrklab.articles.claims import ClaimResult, judge
from wrklab.articles.library import ArticleLibrary
from wrklab.articles.reference import PublishedProbe, PublishedRow
from wrklab.catalogue.scenario import Scenario
from wrklab.results.probe_record import ProbeRecord
from wrklab.results.records import Errors
from wrklab.verdicts.rules import row_notes, verdict_of


def handmade_claim(**changes: Any) -> Claim:  # noqa: ANN401  keys of the card
    """Gunicorn with gevent at least seven times the development server, or another limit or measure."""
    values: dict[str, Any] = {"claim": "mine", "says": "A claim for tests.", "source": "gunicorn_flask_benchmark"}
    if not changes.keys() & {"value_of", "ratio_of"}:
        values["ratio_of"] = {
            "metric": "requests_per_s",
            "of": "flask_gunicorn_gevent",
            "to": "flask_dev_sync",
            "scenario": "article",
        }
        if changes.keys().isdisjoint({"at_most", "more_than", "less_than", "about", "exactly"}):
            values["at_least"] = 7
    return Claim.model_validate(values | changes)


def handmade_row(variant: str, rates_per_s: Sequence[float] = (1000, 1000, 1000), **changes: Any) -> MeasuredRow:  # noqa: ANN401
    """A row of the scenario `article` at the article's load, without any fault, and its windows."""
    median = sorted(rates_per_s)[len(rates_per_s) // 2]
    values: dict[str, Any] = {
        "variant": variant,
        "stack": variant.split("_", maxsplit=1)[0],
        "scenario": "article",
        "state": "measured",
        "path": "/health",
        "hold_ms": 100,
        "threads": 4,
        "duration_s": 60.0,
        "timeout_s": 2,
        "connections_asked": 2000,
        "connections_open": 2000,
        "rounds": len(rates_per_s),
        "rounds_planned": len(rates_per_s),
        "requests": int(median * 60 * len(rates_per_s)),
        "requests_per_s": median,
        "requests_per_s_min": min(rates_per_s),
        "requests_per_s_max": max(rates_per_s),
        "ideal_ratio": median / 20_000,
        "latency": handmade_latency(mean_us=101_000.0),
        "errors": Errors(),
        "server_cpu_percent": 97.0,
    }
    row = handmade_summary(**(values | changes))
    windows = tuple(handmade_measurement(requests_per_s=rate) for rate in rates_per_s)
    return MeasuredRow(row, row_notes(row), windows, verdict_of(row))


def handmade_probe(variant: str, **changes: Any) -> ProbeRecord:  # noqa: ANN401
    """A pool of 40 threads under 1,000 requests."""
    values: dict[str, Any] = {
        "variant": variant,
        "stack": variant.split("_", maxsplit=1)[0],
        "state": "measured",
        "started_at_s": 1000.0,
        "seconds": 9.0,
        "tries": 1,
        "requests_count": 1000,
        "capacity": 40,
        "capacity_limited_by": "the server's own limit",
        "queued_process": 960,
        "queued_kernel": 0,
        "overflow": (),
        "processes": 1,
        "threads": 45,
        "reused": True,
    }
    return ProbeRecord.model_validate(values | changes)


def judged(claim: Claim, library: ArticleLibrary, *rows: MeasuredRow, **changes: Any) -> ClaimResult:  # noqa: ANN401
    """The claim held against rows, on a server of four CPUs; `standard` may stand in for `article`."""
    standard = library.scenarios["article"].model_copy(update={"name": "standard", "compares_with": "article"})
    scenarios: dict[str, Scenario] = {**library.scenarios, "standard": standard}
    values: dict[str, Any] = {"rows": rows, "scenarios": scenarios, "server_cpus_count": 4}
    return judge(claim, "mine", library, Measured(**(values | changes)))


def published_as_measured(library: ArticleLibrary) -> Measured:
    """Every row of the articles as if it had been measured here, three times the same, without any doubt."""
    rows = [
        _row_of(library.rows[key], name, scenario)
        for name, variant in library.variants.items()
        for scenario, key in variant.rows.items()
    ]
    probes = {
        name: _probe_of(found, name) for name in library.variants if (found := library.probe_of(name)) is not None
    }
    return Measured(tuple(rows), library.scenarios, server_cpus_count=4, probes=probes)


def _row_of(row: PublishedRow, variant: str, scenario: str) -> MeasuredRow:
    latency = handmade_latency(mean_us=row.latency_mean_ms * 1000, max_us=row.latency_max_ms * 1000)
    measured = handmade_row(
        variant,
        [row.requests_per_s] * 3,
        scenario=scenario,
        path="/" if scenario == "plain_100" else "/health",
        hold_ms=row.hold_ms,
        connections_asked=row.connections,
        requests=row.requests * 3,
        ideal_ratio=row.requests_per_s * row.hold_ms / 1000 / row.connections if row.hold_ms else None,
        latency=latency,
        errors=Errors(
            connect=row.errors_connect * 3,
            read=row.errors_read * 3,
            write=row.errors_write * 3,
            timeout=row.errors_timeout * 3,
        ),
        server_cpu_percent=None,
    )
    windows = tuple(handmade_measurement(requests_per_s=row.requests_per_s, latency=latency) for _ in range(3))
    return MeasuredRow(measured.row, (), windows)


def _probe_of(probe: PublishedProbe, variant: str) -> ProbeRecord:
    sent = probe.requests_count or 1000
    is_unbounded = probe.in_flight is None or probe.in_flight == sent
    capacity = sent if is_unbounded else probe.in_flight
    # What the article cannot account for is another matter (test_consistency.py).
    waiting = sent - (capacity or 0) if probe.overflow == "queued" else probe.queued or 0
    if probe.in_flight == 0:
        return handmade_probe(variant, capacity=0, capacity_limited_by="fails", overflow=("5xx",), reused=None)
    return handmade_probe(
        variant,
        requests_count=sent,
        capacity=capacity,
        capacity_limited_by="no limit" if is_unbounded else "the server's own limit",
        queued_process=0 if is_unbounded else waiting,
        overflow=("closed",) if probe.overflow == "closed" else () if probe.overflow == "queued" else ("SYN pending",),
        reused=probe.reused,
    )
