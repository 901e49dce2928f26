"""Verdicts on real nodes: servers of known behaviour, a generator and a server that are kept from their CPUs."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab.benches import QUICK, bench, rows_of, status_due, wait_for_window, window_pids
from tests.lab.conftest import invoke
from tests.lab.cpu_thieves import neighbour, other_service, quota
from tests.lab.known_servers import known_server
from tests.lab.nodes_from_outside import lossy_network
from wrklab.catalogue.routing_filter import PROTOCOL
from wrklab.hosts.session import Session
from wrklab.verdicts.bounds import SERVER_CPU_LIMIT_PERCENT
from wrklab.verdicts.hosts import NEIGHBOURS_LIMIT_PERCENT

VARIANT = "go_net_http"
#: Others that lend their commands to known servers, so that one bench measures several.
KEEPS_ALIVE, CLOSES = "openresty_lua", "sanic_fast"
_REQUEST = b"GET / HTTP/1.1\r\nHost: server\r\n\r\n"


#: `invoke bench`'s rows, by variant.
Rows = dict[str, dict[str, Any]]


def bench_rows(*words: str, variants: Sequence[str], connections: int = 64, duration: str = "3s") -> Rows:
    """The rows of a bench of one short round, whatever else goes on on this machine."""
    shape = ("--scenario", "smoke", "--rounds", "1", "--connections", str(connections), "--duration", duration)
    done = invoke("bench", "--variant", ",".join(variants), *shape, *words, "--force", "--json")
    assert done.stdout.strip(), done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert done.returncode == status_due(rows), done.stderr
    assert all(f"  {row['verdict']}  " in done.stderr or row["state"] == "failed" for row in rows)
    return {row["variant"]: row for row in rows}


def bench_row(*words: str, variant: str = VARIANT, connections: int = 64, duration: str = "3s") -> dict[str, Any]:
    """The one row of such a bench."""
    return bench_rows(*words, variants=[variant], connections=connections, duration=duration)[variant]


@pytest.fixture(scope="module")
def held_rows(deployed_session: Session) -> Rows:
    """Go as it is, and two known servers that hold for 100 ms behind other variants' commands."""
    with (
        known_server(deployed_session, KEEPS_ALIVE, "keep_alive_workers", workers=8),
        known_server(deployed_session, CLOSES, "close_after_answer"),
    ):
        return bench_rows(variants=(VARIANT, KEEPS_ALIVE, CLOSES))


@pytest.fixture(scope="module")
def busy_rows(deployed_session: Session) -> Rows:
    """Two known servers that work instead of holding."""
    with (
        known_server(deployed_session, VARIANT, "burn", hold_ms=0),
        known_server(deployed_session, KEEPS_ALIVE, "keep_alive_workers", workers=8, hold_ms=0),
    ):
        return bench_rows("--set", "path=/", variants=(VARIANT, KEEPS_ALIVE))


def is_noisy(row: dict[str, Any]) -> bool:
    """Somebody else really used this machine, or its hypervisor: then that is the right verdict of a good server."""
    noise = (row["neighbours_cpu_percent"], row["generator_neighbours_cpu_percent"])
    is_used = max(noise) > NEIGHBOURS_LIMIT_PERCENT or {"steal", "generator_steal"} & set(row["note_names"].split())
    return bool(row["verdict"] == "disturbed" and is_used)


def test_a_good_server_is_bound_by_the_hold_or_by_its_cpu(held_rows: Rows, busy_rows: Rows) -> None:
    """64 connections at 100 ms are 640 requests/s, and no question for Go; without a hold its CPU is the end."""
    held, busy = held_rows[VARIANT], busy_rows[VARIANT]
    assert held["verdict"] == "hold-bound" or is_noisy(held), held["note"]
    assert busy["verdict"] == "server-bound" or is_noisy(busy), busy["note"]
    assert "server CPU" in busy["verdict_figures"]


def test_starving_connections_are_counted(held_rows: Rows) -> None:
    """8 blocking keep-alive workers under 64 connections: fine numbers from 8, and 56 that never got an answer."""
    row = held_rows[KEEPS_ALIVE]

    assert row["connections_unanswered"] == 56
    assert row["verdict"] == "polluted"
    assert "56 of 64 connections never got an answer" in row["note"]


def test_no_full_cpu_excuses_connections_that_are_never_accepted(session: Session, busy_rows: Rows) -> None:
    """Without a hold the eight fill the CPU, and none of the 56 is accepted."""
    row = busy_rows[KEEPS_ALIVE]

    # Threads of Python use one CPU.
    assert row["server_cpus_busy_percent"] > SERVER_CPU_LIMIT_PERCENT or len(session.hosts.server.cpus) > 1
    assert (row["connections_unanswered"], row["connections_unaccepted"]) == (56, 0)
    assert row["verdict"] == "polluted"


def test_a_full_server_that_lets_in_one_after_the_other_is_server_bound(session: Session) -> None:
    """uvicorn takes one connection a turn of its loop: without a hold any CPU is full, and hundreds wait."""
    row = bench_row("--set", "path=/", variant="fastapi_uvicorn_async", connections=2000, duration="4s")

    assert row["connections_unanswered"] > 100
    assert row["connections_unaccepted"] >= row["connections_unanswered"] - 2
    assert "accepted_slowly" in row["note_names"].split() or is_noisy(row)
    assert "latency" in row["doubts"].split()
    assert row["verdict"] == "server-bound" or is_noisy(row), row["note"]


def test_answers_that_never_come_are_caught(session: Session) -> None:
    """One request in a thousand is never answered: connections die one by one, and wrk says nothing."""
    with known_server(session, VARIANT, "never", first_right=100, every=1000):
        row = bench_row("--set", "hold_ms=5")

    assert row["errors_read"] == row["errors_timeout"] == 0
    assert row["connections_stalled"] >= 3
    assert "stalled" in row["note_names"].split()
    assert row["verdict"] == "polluted"


def test_a_wrk_that_is_stopped_for_a_second_is_found_out(session: Session) -> None:
    """In between the looks at connections: the rate is a quarter too low, and no CPU says so."""
    [generator] = session.generators
    pause = "pids=$(pgrep -x wrk); kill -STOP $pids; date +%s.%N; sleep 1; date +%s.%N; kill -CONT $pids"
    with bench(*QUICK, "--duration", "4s", "--rounds", "1") as running:
        window = wait_for_window(session)
        stopped_at_s, went_on_at_s = map(float, generator.run(["sh", "-ec", pause], limit_s=30).stdout.split())
        is_still_the_window = window_pids(session) == window
        run_id = running.run_id()
        running.wait()
    [row] = rows_of(run_id)

    assert is_still_the_window
    assert float(row["generator_paused_s"]) == pytest.approx(went_on_at_s - stopped_at_s, abs=0.4)
    assert row["verdict"] == "generator-bound", row["note"]


def test_a_server_that_closes_each_connection_is_not_taken_for_one_that_starves_them(held_rows: Rows) -> None:
    """Its connections are young, not unanswered."""
    row = held_rows[CLOSES]

    assert (row["connections_unanswered"], row["connections_stalled"]) == (0, 0)
    assert row["connections_held"] >= 63
    assert row["verdict"] in ("hold-bound", "unexplained") or is_noisy(row)


def test_a_generator_given_a_tenth_of_a_cpu_is_generator_bound(session: Session) -> None:
    """By a quota outside of the node, which its own cpu.max does not show."""
    with quota(session.hosts.generators[0], 0.1):
        row = bench_row("--set", "path=/", connections=100)

    assert row["verdict"] == "generator-bound", row["note"]
    assert row["generator_cpu_percent"] < 20


@pytest.mark.parametrize("side", ["server", "generator"])
def test_a_neighbour_that_burns_a_hosts_cpus_disturbs(session: Session, side: str) -> None:
    """From outside of the nodes, on the CPUs of one of them."""
    hosts = session.hosts
    host = hosts.server if side == "server" else hosts.generators[0]
    with neighbour(host.cpus):
        row = bench_row(connections=500)

    assert row["verdict"] in (("disturbed",) if side == "server" else ("disturbed", "generator-bound")), row["note"]
    key = "neighbours_cpu_percent" if side == "server" else "generator_neighbours_cpu_percent"
    assert row[key] > NEIGHBOURS_LIMIT_PERCENT


def test_a_network_that_loses_packets_disturbs(session: Session) -> None:
    """One in twenty on the way back: each costs its connection 200 ms, and no CPU is short of anything."""
    port = session.port_of(session.catalogue.variants[VARIANT])
    with lossy_network(session.hosts.generators[0], port, one_in=20):
        row = bench_row(connections=400)

    assert row["segments_lost_ratio"] > 0.01
    assert "lossy_network" in row["note_names"].split()
    assert row["verdict"] == "disturbed", row["note"]


@pytest.mark.parametrize("side", ["server", "generator"])
def test_another_service_on_a_host_disturbs(session: Session, side: str) -> None:
    """From inside of the node."""
    with other_service(session.server if side == "server" else session.generators[0]):
        row = bench_row(connections=500)

    assert row["verdict"] in (("disturbed",) if side == "server" else ("disturbed", "generator-bound")), row["note"]
    key = "others_cpu_percent" if side == "server" else "generator_others_cpu_percent"
    assert row[key] > NEIGHBOURS_LIMIT_PERCENT


def test_another_client_of_the_server_disturbs(session: Session) -> None:
    """From this machine, with a few requests: whoever keeps connections there may ask for more at any time.

    As on a server whose rules are switched off: with them no stranger gets in.
    """
    target = (session.hosts.server.load_address, session.port_of(session.catalogue.variants[VARIANT]))
    with ExitStack() as connections, bench(*QUICK, "--duration", "3s", "--rounds", "1") as running:
        wait_for_window(session)
        session.server.run(["ip", "-4", "rule", "flush", "protocol", str(PROTOCOL)], limit_s=10)
        for _ in range(20):
            connections.enter_context(socket.create_connection(target, timeout=5)).sendall(_REQUEST)
        run_id = running.run_id()
        running.wait()
    [row] = rows_of(run_id)

    assert row["foreign_connections"].endswith("=20")
    assert "others_connected" in row["note_names"].split()
    assert row["verdict"] == "disturbed", row["note"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_server_kept_from_its_cpus_is_disturbed(session: Session, share: float) -> None:
    """A quota on the whole node: its CPU is idle while it waits for it; without a hold it wants all of one."""
    server = session.hosts.server
    if share > 0.5 and len(server.cpus) > 1:
        pytest.skip("on several CPUs, what others ran may explain so small a part (docs/metrics.md)")
    with known_server(session, VARIANT, "burn", hold_ms=0), quota(server, share):
        row = bench_row("--set", "path=/", connections=100)

    assert row["verdict"] == "disturbed", row["note"]
    assert "throttled" in row["note_names"] or is_noisy(row)
