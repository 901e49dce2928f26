"""What a default run (`bench --variant all`, one CPU for the server) can say to the articles' claims.

The rows are handmade after the figures in README.md and docs/open_questions.md. Doubts come from the rules themselves,
once with the directions that the rules give them, and once with none: what is decided here does not rest on directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.handmade_claims import handmade_row
from tests.unit.handmade_records import handmade_latency
from wrklab.articles.claim_figures import MeasuredRow
from wrklab.articles.claim_lookup import Measured
from wrklab.articles.claims import FAILS, HOLDS, OPEN, ClaimResult, judge_claims
from wrklab.articles.library import ArticleLibrary, read_library
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.results.records import Errors
from wrklab.verdicts.verdict import Direction, Verdict


def row(variant: str, rates_per_s: Sequence[float], cpu_percent: float, **changes: Any) -> MeasuredRow:  # noqa: ANN401
    """A row of `standard`: 2,000 connections, three rounds of 4 s, with the CPU time that its windows used."""
    values: dict[str, Any] = {"scenario": "standard", "duration_s": 4.0, "timeout_s": 6, "connections_asked": 2000}
    values |= changes
    median = sorted(rates_per_s)[1]
    hold_s = values.get("hold_ms", 100) / 1000
    values.setdefault("requests", int(median * values["duration_s"] * 3))
    values.setdefault("connections_open", values["connections_asked"])
    values.setdefault("busy_ratio", 0.9)
    values.setdefault("listen_overflows", 0)
    ideal_per_s = values["connections_asked"] / hold_s if hold_s else None
    values["ideal_per_s"] = ideal_per_s
    values["ideal_ratio"] = median / ideal_per_s if ideal_per_s else None
    if limit := values.get("in_flight_limit"):
        values["ceiling_per_s"] = limit / hold_s
        values["ceiling_ratio"] = median * hold_s / limit
    values["server_cpu_percent"] = cpu_percent
    values["server_cpu_us_per_request"] = cpu_percent * 1e4 / median
    found = handmade_row(variant, rates_per_s, **values)
    server = found.windows[0].server.model_copy(update={"cpu_percent": cpu_percent})
    windows = tuple(
        window.model_copy(update={"server": server, "requests": int(window.requests_per_s * 4), "duration_s": 4.0})
        for window in found.windows
    )
    return replace(found, windows=windows)


def slow(mean_ms: float, max_ms: float) -> Any:  # noqa: ANN401
    """Latencies of a server that is busy."""
    return handmade_latency(
        mean_us=mean_ms * 1e3,
        p50_us=mean_ms * 1e3,
        p90_us=mean_ms * 1.2e3,
        p99_us=mean_ms * 1.5e3,
        p999_us=max_ms * 0.9e3,
        max_us=max_ms * 1e3,
        min_us=100_500.0,
    )


#: A full server that lets connections in one after the other: 738 of 2,000 wait in its accept queue all the window.
LET_IN = {"connections_unanswered": 738, "connections_unaccepted": 738, "connections_unexplained": 0}
#: The development server: connections that never opened, and rounds that do not agree.
BROKEN = {"connections_open": 834, "busy_ratio": 0.3}


def default_run() -> list[MeasuredRow]:
    """Every variant that a claim is about, as one CPU serves it."""
    return [
        row("openresty_lua", (18_749, 18_774, 18_807), 27, latency=slow(103, 160)),
        row("go_net_http", (18_572, 18_885, 18_896), 40, latency=slow(102, 150)),
        row("fastapi_uvicorn_async", (5_459, 5_674, 6_017), 100, latency=slow(220, 600), **LET_IN),
        row("fastapi_uvicorn_workers", (5_717, 6_217, 6_297), 100, latency=slow(310, 900)),
        row("fastapi_gunicorn_uvicorn", (5_257, 5_519, 5_577), 100, latency=slow(350, 900)),
        row("fastapi_uvicorn_sync", (366.9, 371.2, 373.1), 11, latency=slow(1_500, 3_900), in_flight_limit=40),
        row("flask_gunicorn_gevent", (3_868, 3_997, 4_045), 100, latency=slow(320, 900), **LET_IN),
        row("flask_dev_sync", (665.4, 1_698, 1_765), 84, latency=slow(250, 3_000), **BROKEN),
        row("flask_dev_async", (890, 960, 985), 96, latency=slow(400, 3_000), errors=Errors(read=40), **BROKEN),
        row("flask_dev_nosleep", (1_900, 2_050, 2_100), 92, hold_ms=0, latency=slow(250, 3_000), **BROKEN),
        row("flask_gevent_wsgi", (9.75, 9.75, 9.75), 1, latency=slow(101, 103), in_flight_limit=1),
        row("flask_gevent_wsgi_monkeypatched", (9.5, 9.75, 9.75), 1, latency=slow(101, 103), in_flight_limit=1),
        row("flask_gevent_wsgi_patched_first", (3_100, 3_150, 3_200), 100, latency=slow(500, 1_500)),
        row("sanic_fast", (11_800, 12_100, 12_300), 100, latency=slow(160, 420)),
        row(
            "go_net_http",
            (36_140, 37_278, 39_081),
            99,
            scenario="standard_20000",
            connections_asked=20_000,
            latency=slow(500, 2_500),
        ),
        row(
            "openresty_lua",
            (72_135, 72_344, 75_283),
            91,
            scenario="standard_25000",
            connections_asked=25_000,
            latency=slow(330, 2_500),
            generator_cpu_percent=85.0,
        ),
        row(
            "fastapi_uvicorn_async",
            (18_097, 18_536, 18_678),
            100,
            scenario="standard_plain_100",
            path="/",
            hold_ms=0,
            connections_asked=100,
            latency=slow(5, 30),
        ),
        row(
            "fastapi_gunicorn_uvicorn",
            (14_609, 17_168, 17_424),
            100,
            scenario="standard_plain_100",
            path="/",
            hold_ms=0,
            connections_asked=100,
            latency=slow(5, 30),
        ),
    ]


@pytest.fixture(scope="module")
def real() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


@pytest.fixture(scope="module")
def library(real: Catalogue) -> ArticleLibrary:
    """The library of this checkout."""
    return read_library(real)


def without_directions(found: MeasuredRow) -> MeasuredRow:
    """The row with notes that do not say which way they move the figure."""
    return replace(found, notes=tuple(replace(note, direction=Direction.UNKNOWN) for note in found.notes))


def judged(library: ArticleLibrary, real: Catalogue, rows: Sequence[MeasuredRow]) -> dict[str, ClaimResult]:
    """Every claim of which the run has a figure, by name."""
    measured = Measured(rows, real.scenarios, server_cpus_count=1)
    return {result.claim.claim: result for result in judge_claims(library, measured)}


#: Decided whatever direction the rules give to their doubts.
DECIDED = {
    "gevent_wsgi_serves_one_by_one": HOLDS,
    "monkey_patching_without_effect": HOLDS,
    "monkey_patching_done_right_without_effect": FAILS,
    "gunicorn_steady": FAILS,
    "gunicorn_without_timeouts": FAILS,
    "gunicorn_workers_are_busy": HOLDS,
    "flask_gunicorn_ahead_of_fastapi": FAILS,
    "fastapi_async_twice_flask_dev": HOLDS,
    "fastapi_async_without_timeouts": FAILS,
    "gunicorn_adds_little_to_uvicorn": HOLDS,
    "gunicorn_unnecessary_for_async": HOLDS,
    "sanic_ahead_of_fastapi": HOLDS,
    "go_ahead_of_python": HOLDS,
    "go_takes_less_cpu": HOLDS,
    "openresty_ahead_of_python": HOLDS,
    "openresty_takes_less_cpu": HOLDS,
}
#: Decided where the rules say which way their doubts move the rate.
DECIDED_BY_DIRECTION = {"fastapi_sync_below_flask_dev": HOLDS, "openresty_highest": HOLDS}


def test_the_handmade_run_has_the_doubts_of_a_real_one() -> None:
    """The development server is polluted, Go is hold-bound, the largest load has a busy generator."""
    verdicts = {(found.row.variant, found.row.scenario): found.verdict for found in default_run()}

    assert verdicts["flask_dev_sync", "standard"] == Verdict.POLLUTED
    assert verdicts["go_net_http", "standard"] == Verdict.HOLD_BOUND
    assert verdicts["fastapi_uvicorn_sync", "standard"] == Verdict.LIMIT_BOUND
    assert verdicts["fastapi_uvicorn_async", "standard"] == Verdict.SERVER_BOUND
    assert verdicts["openresty_lua", "standard_25000"] == Verdict.GENERATOR_BOUND


def test_a_default_run_decides_most_claims_that_need_no_more_cpus(real: Catalogue, library: ArticleLibrary) -> None:
    """At least half of them, and each as its figures say, without any direction of a doubt."""
    found = judged(library, real, [without_directions(one) for one in default_run()])
    within_reach = [result for result in found.values() if result.claim.needs_cpus == 1]

    assert (len(found), len(within_reach)) == (33, 26)
    decided = {result.claim.claim: result.answer for result in within_reach if result.answer != OPEN}
    assert {name: decided.get(name) for name in DECIDED} == DECIDED
    assert len(decided) >= len(within_reach) / 2
    assert {result.answer for result in found.values() if result.claim.needs_cpus > 1} == {OPEN}


def test_directions_decide_more(real: Catalogue, library: ArticleLibrary) -> None:
    """Doubts that can only have kept a server from more close a side: what was decided stays, and some more is."""

    def too_low(found: MeasuredRow) -> MeasuredRow:
        notes = tuple(replace(note, direction=Direction.TOO_LOW) for note in found.notes)
        return replace(found, notes=notes)

    found = judged(library, real, [too_low(one) for one in default_run()])

    expected = DECIDED | DECIDED_BY_DIRECTION
    assert {name: found[name].answer for name in expected} == expected


def test_every_open_claim_says_why_and_what_would_settle_it(real: Catalogue, library: ArticleLibrary) -> None:
    """A command, more CPUs, or that no run under this load can."""
    for result in judged(library, real, default_run()).values():
        assert bool(result.settled_by) == (result.answer == OPEN)
        if result.answer == OPEN:
            assert result.why
            text = "; ".join(result.settled_by)
            assert "invoke bench " in text or "CPUs" in text or text == "no run under this load can"


def test_the_commands_are_the_ones_that_settle(real: Catalogue, library: ArticleLibrary) -> None:
    """The article's own windows for what is rare, a larger server for processes against one."""
    found = judged(library, real, default_run())

    assert found["go_without_timeouts"].settled_by == (
        "invoke bench --suite flask_gunicorn_article --variant go_net_http",
    )
    assert found["gunicorn_at_least_sevenfold"].settled_by == ("a server with 4 CPUs (docs/own_hosts.md)",)
    assert found["sanic_times_out"].settled_by == ("invoke bench --suite flask_gunicorn_article --variant sanic_fast",)
    assert found["openresty_level_with_go"].settled_by == ("no run under this load can",)


def test_the_answers_are_the_ones_that_an_undisturbed_server_would_give(
    real: Catalogue, library: ArticleLibrary
) -> None:
    """The bounds hold for what the development server might do at best and at worst: no answer is wrong."""
    found = judged(library, real, [without_directions(one) for one in default_run()])
    decided = {name for name, result in found.items() if result.answer != OPEN}
    for scale in (0.3, 1.4):
        sound = [
            row("flask_dev_sync", tuple(rate * scale for rate in (1_690, 1_698, 1_765)), 97, latency=slow(900, 3_000))
            if one.row.variant == "flask_dev_sync"
            else one
            for one in default_run()
        ]
        other = judged(library, real, sound)
        assert {name: other[name].answer for name in decided if other[name].answer != OPEN} == {
            name: found[name].answer for name in decided if other[name].answer != OPEN
        }
