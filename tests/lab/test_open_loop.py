"""Open loops against servers whose latencies are known by construction; each window is a few seconds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.conftest import invoke
from tests.lab.known_servers import known_server
from wrklab.hosts.session import Session

_VARIANT = "go_net_http"
#: Rules that say that the load was not the one requested. On a busy machine rows have other doubts too.
_NOT_THE_LOAD = {"overloaded", "sent_late", "closed_by_server", "unanswered", "latency_trends"}


def measured(*words: str) -> dict[str, Any]:
    """The one row of a bench; another's work on this machine must not have it refused."""
    done = invoke("bench", "--variant", _VARIANT, "--rounds", "1", "--json", "--force", *words)
    assert done.stdout.strip(), done.stderr
    [row] = json.loads(done.stdout)["rows"]
    found: dict[str, Any] = row
    return found


@pytest.mark.parametrize(
    "words", [("--arrivals", "constant"), ("--connection-mode", "close")], ids=["constant", "close"]
)
def test_a_stall_of_one_second_in_five_is_seen_by_those_who_came_in_it(
    session: Session, words: tuple[str, str]
) -> None:
    """A fifth of the requests wait for what is left of the stall; a closed loop shows a request in a thousand."""
    with known_server(session, _VARIANT, "stall", hold_ms=0):
        row = measured("--rate", "500", "--duration", "5s", "--hold-ms", "0", *words)

    is_constant = "constant" in words
    assert not _NOT_THE_LOAD & set(row["note_names"].split()), row["verdict_figures"]
    assert row["scenario"] == f"standard@500-{words[1]}"
    assert row["latency_p50_us"] < 20_000
    # Drawn gaps vary which request is the 250th (25th) of the stall: by sqrt(250) / 500 = 32 ms (10 ms). 4.5 of these.
    assert row["latency_p90_us"] == pytest.approx(500_000, abs=25_000 if is_constant else 150_000)
    assert row["latency_p99_us"] == pytest.approx(950_000, abs=15_000 if is_constant else 45_000)
    assert row["offered_per_s"] == pytest.approx(500, rel=0.001 if is_constant else 0.09)
    assert row["late_ratio"] <= 0.001
    assert row["unanswered_ratio"] == 0


def test_a_pool_of_workers_within_its_capacity_and_beyond(session: Session) -> None:
    """10 workers of 20 ms serve 500/s: at 400/s few wait, at 600/s the queue grows all through the window."""
    with known_server(session, _VARIANT, "pool", hold_ms=20, workers=10):
        within = measured("--rate", "400", "--duration", "4s", "--hold-ms", "20")
        beyond = measured("--rate", "600", "--duration", "4s", "--hold-ms", "20")

    assert not _NOT_THE_LOAD & set(within["note_names"].split()), within["verdict_figures"]
    assert 20_000 <= within["latency_p50_us"] < 30_000
    assert within["latency_p99_us"] < 120_000
    assert "overloaded" in beyond["note_names"].split(), beyond["verdict_figures"]
    assert beyond["achieved_ratio"] < 0.95
    assert beyond["latency_trend_ratio"] > 2


def test_too_few_connections_are_no_open_loop(session: Session) -> None:
    """In a stall all of them wait, and those who would have come are sent late: the row says so."""
    with known_server(session, _VARIANT, "stall", hold_ms=0):
        row = measured("--rate", "500", "--duration", "5s", "--hold-ms", "0", "--connections", "64")

    assert "sent_late" in row["note_names"].split(), row["verdict_figures"]
    assert row["late_ratio"] > 0.001


def test_a_window_at_half_rate_is_at_half_of_what_its_own_closed_loop_reached(session: Session) -> None:
    """On the same row; where another's work makes the round doubtful there is no rate to halve, and no window."""
    with known_server(session, _VARIANT, "pool", hold_ms=20, workers=10):
        row = measured("--half-rate", "--connections", "40", "--duration", "2s", "--hold-ms", "20")

    assert row["scenario"] == "standard"
    if "rate" in row["doubts"].split():
        assert row["half_rate_per_s"] is None
        return
    # A share of a measured rate is rounded to three digits.
    assert row["half_rate_per_s"] == pytest.approx(row["requests_per_s"] / 2, rel=0.005)
    # 40 connections wait for 10 workers at saturation; at half of the rate few wait.
    assert row["latency_p50_us"] > 60_000
    assert 20_000 <= row["half_rate_p50_us"] < 30_000
    assert "rate" not in row["half_rate_doubts"].split()
    assert row["half_rate_achieved_ratio"] > 0.98
