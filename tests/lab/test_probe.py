"""Probes on real nodes: the figures that are certain, twice in a row, and what a probe must never do."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab.conftest import invoke
from tests.lab.cpu_thieves import quota
from tests.pace import allowed_s
from wrklab.catalogue.stack import Variant
from wrklab.hosts.remote import CommandResult, RemoteHost
from wrklab.hosts.session import Session
from wrklab.probe import planning
from wrklab.probe.probing import probe_variant

#: One variant of each kind -> what is certain of it, on any Linux.
CERTAIN: dict[str, dict[str, Any]] = {
    "flask_dev_sync": {
        "requests_count": 1000, "capacity_limited_by": "no limit", "queued_process": 0, "queued_kernel": 0,
        "kernel_limit": 128,
        "overflow": [], "processes": 1, "serving": "thread per request", "reused": False,
    },
    "flask_dev_processes_10": {
        "capacity": 10, "queued_process": 0, "queued_kernel": 129, "kernel_limit": 128, "kernel_queue": "full",
        "overflow": ["SYN pending"], "processes": 11, "serving": "process per request", "reused": False,
    },
    "fastapi_uvicorn_sync": {
        "capacity": 40, "queued_process": 960, "queued_kernel": 0, "kernel_limit": 2048, "overflow": [],
        "serving": "pool", "reused": True, "agrees": "agrees",
    },
    "fastapi_uvicorn_async": {
        "requests_count": 1000, "capacity_limited_by": "no limit", "queued_process": 0, "queued_kernel": 0,
        "overflow": [], "serving": "event loop", "reused": True, "agrees": "agrees",
    },
    "fastapi_uvicorn_async_blocking": {
        "capacity": 1, "queued_process": 0, "queued_kernel": 2049, "kernel_limit": 2048, "kernel_queue": "full",
        "overflow": ["SYN pending"], "serving": "event loop", "reused": True, "agrees": "agrees",
    },
    "flask_gunicorn_sync": {
        "capacity": 4, "queued_process": 0, "queued_kernel": 2049, "kernel_limit": 2048, "kernel_queue": "full",
        "overflow": ["SYN pending"], "processes": 5, "serving": "pool", "reused": True,
    },
    "flask_uwsgi_threads": {
        "capacity": 10, "queued_process": 990, "queued_kernel": 0, "kernel_limit": 100, "overflow": [],
        "serving": "pool", "reused": True, "agrees": "agrees",
    },
    "fastapi_uvicorn_limit_concurrency_20": {"capacity": 19, "queued_process": 0, "overflow": ["5xx"]},
    "fastapi_gunicorn_sync_worker": {
        "capacity": 0, "capacity_limited_by": "fails", "overflow": ["5xx"], "is_expected_failure": True,
        "agrees": "agrees",
    },
}  # fmt: skip
#: The same of variants that are probed once: many workers of one socket, and a limit on tasks.
CERTAIN_ONCE: dict[str, dict[str, Any]] = {
    "flask_gunicorn_gevent": {
        "requests_count": 1000, "capacity_limited_by": "no limit", "queued_process": 0, "queued_kernel": 0,
        "overflow": [], "processes": 5, "serving": "event loop", "reused": True,
    },
    "fastapi_uvicorn_sync_workers_2": {
        "capacity": 80, "queued_process": 920, "queued_kernel": 0, "overflow": [], "serving": "pool",
        "reused": True, "agrees": "agrees",
    },
    # Goroutines, of which each of several threads runs many.
    "go_net_http": {
        "requests_count": 1000, "capacity_limited_by": "no limit", "queued_process": 0, "queued_kernel": 0,
        "overflow": [], "processes": 1, "serving": "runtime scheduler", "reused": True,
    },
    # 200 tasks are the dev server and 199 threads of requests.
    "flask_dev_sync_tasks_200": {
        "capacity": 199, "capacity_limited_by": "task-limited", "queued_process": 0, "overflow": ["closed"],
        "threads": 200,
    },
}  # fmt: skip
#: What two probes of a variant may differ in: times, and what a busy machine makes of them.
MAY_DIFFER = {
    "seconds",
    "tries",
    "started_at_s",
    "displacement_mean",
    "void_reasons",
    "log_tail",
    "log_errors",
    "rate_per_s",
    "error",
}
TIME_LIMIT_S = 20.0
#: A shell's: goes on once a wave's requests have begun to arrive. $1 is the port.
_ARRIVING = 'until ss -Htn state established "( sport = :$1 or dport = :$1 )" | grep -q .; do sleep 0.02; done; '
_ARRIVING_LIMIT_S = 30.0


def probe_rows(*words: str) -> dict[str, dict[str, Any]]:
    """The objects of `invoke probe WORDS --json`, by variant."""
    done = invoke("probe", *words, "--json", limit_s=590)
    assert done.returncode == 0, done.stderr
    return {row["variant"]: row for row in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def twice(deployed_lab: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Each kind, probed twice."""
    words = ("--variant", ",".join(CERTAIN))
    return probe_rows(*words), probe_rows(*words)


@pytest.fixture(scope="module")
def once(deployed_lab: str) -> dict[str, dict[str, Any]]:
    """The others, probed once."""
    return probe_rows("--variant", ",".join(CERTAIN_ONCE))


@pytest.mark.parametrize("variant", CERTAIN)
def test_certain_figures(twice: tuple[dict[str, dict[str, Any]], ...], variant: str) -> None:
    """A pool of 40 is 40, and a backlog of 128 lets 129 wait."""
    row = twice[0][variant]
    assert {key: row[key] for key in CERTAIN[variant]} == CERTAIN[variant]


@pytest.mark.parametrize("variant", CERTAIN_ONCE)
def test_certain_figures_of_many_workers_and_few_tasks(once: dict[str, dict[str, Any]], variant: str) -> None:
    """All workers are reached, and what ends a thread a request is the limit on tasks."""
    row = once[variant]
    assert {key: row[key] for key in CERTAIN_ONCE[variant]} == CERTAIN_ONCE[variant]


@pytest.mark.parametrize("variant", CERTAIN)
def test_a_second_probe_says_the_same(twice: tuple[dict[str, dict[str, Any]], ...], variant: str) -> None:
    """In every figure."""
    first, second = (rows[variant] for rows in twice)
    differing = {key: (first[key], second[key]) for key in first if first[key] != second[key]}
    assert set(differing) <= MAY_DIFFER, differing


def test_a_probe_takes_less_than_20_s(
    twice: tuple[dict[str, dict[str, Any]], ...], once: dict[str, dict[str, Any]]
) -> None:
    """Where no try of it was void."""
    rows = twice[0] | once
    seconds = {name: row["seconds"] for name, row in rows.items() if not row["void_reasons"]}
    assert max(seconds.values()) < allowed_s(TIME_LIMIT_S), seconds


def test_the_failure_is_the_finding(twice: tuple[dict[str, dict[str, Any]], ...]) -> None:
    """gunicorn's sync worker cannot call an ASGI application, and says so."""
    assert "missing 1 required positional argument: 'send'" in twice[0]["fastapi_gunicorn_sync_worker"]["error"]


def once_requests_arrive(session: Session, host: RemoteHost, variant: Variant, command: str) -> CommandResult:
    """Runs a shell's command on a host as soon as the host sees a wave's first connection."""
    words = ["sh", "-c", _ARRIVING + command, "sh", str(session.port_of(variant))]
    return host.run(words, limit_s=_ARRIVING_LIMIT_S, check=False)


def test_nothing_is_left_running(twice: object, session: Session) -> None:
    """Neither a server nor a client nor a snapshot."""
    for host in session.all:
        running = host.run(["ps", "-eo", "args"], limit_s=10).stdout
        assert not [line for line in running.splitlines() if "probe_client" in line or "probe_snapshot" in line]
        units = host.run(["systemctl", "list-units", "--no-legend", "--state=active", "wrklab-*"], limit_s=10).stdout
        assert not units.strip()


def test_a_stopped_server_makes_a_void_probe(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both snapshots agree when a server is stopped, and yet they say nothing of it: void each time, then given up."""
    monkeypatch.setattr(planning, "TRIES_MAX", 2)  # a stopped server takes many seconds to end
    variant = session.catalogue.variants["fastapi_uvicorn_sync"]
    with ThreadPoolExecutor() as pool:
        stopping: list[Future[CommandResult]] = []

        def stop_during_wave(step: str) -> None:
            if "requests" in step:
                stop = f"systemctl kill --signal=STOP {variant.unit}"
                stopping.append(pool.submit(once_requests_arrive, session, session.server, variant, stop))

        record = probe_variant(session, variant, stop_during_wave).record
    assert [each.result().exit_code for each in stopping] == [0] * len(stopping)
    assert (record.state, record.tries) == ("void", 2)
    assert record.capacity is None
    assert all("stopped" in reason for reason in record.void_reasons)


def test_a_client_that_was_paused_once_is_tried_again(session: Session) -> None:
    """The void try is reported, and the figure is that of the next one."""
    variant = session.catalogue.variants["flask_dev_processes_10"]
    # The bracket keeps the pattern from matching the shell that looks for it.
    pause = "pids=$(pgrep -f 'python3.*[p]robe_client.py wave'); kill -STOP $pids; sleep 1; kill -CONT $pids"
    with ThreadPoolExecutor() as pool:
        pausing: list[Future[CommandResult]] = []

        def pause_first_wave(step: str) -> None:
            if "requests (try 1)" in step:
                generator = session.generators[0]
                pausing.append(pool.submit(once_requests_arrive, session, generator, variant, pause))

        record = probe_variant(session, variant, pause_first_wave).record
    assert [each.result().exit_code for each in pausing] == [0]
    assert "arrivals fell behind schedule" in record.void_reasons[0]
    assert record.state == "measured"
    assert (record.capacity, record.queued_kernel) == (10, 129)


def test_a_server_without_a_cpu_makes_a_void_try(session: Session) -> None:
    """A hundredth of a CPU for the whole node, for seconds of the first wave: nothing that was seen then counts."""
    variant = session.catalogue.variants["flask_dev_processes_10"]
    starved = ExitStack()
    timers: list[threading.Timer] = []

    def starve_first_wave(step: str) -> None:
        if "requests (try 1)" in step:
            starved.enter_context(quota(session.hosts.server, 0.01))
            # The fault's length: shorter than what a wave's calls are given, longer than its arrivals take.
            timers.append(threading.Timer(4.0, starved.close))
            timers[-1].start()

    with starved:
        record = probe_variant(session, variant, starve_first_wave).record
    for timer in timers:
        timer.join()
    assert record.void_reasons, record
    assert record.state == "measured"
    assert (record.capacity, record.queued_kernel) == (10, 129)
