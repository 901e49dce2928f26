"""What a probe does on the hosts: a server that was started, or may have been, is ended whatever happens."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.unit.handmade_messages import handmade_server_report
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.errors import CellError, HostError
from wrklab.hosts import node_calls
from wrklab.hosts.remote import ConnectionLostError
from wrklab.hosts.session import Session
from wrklab.node import probe_snapshot
from wrklab.probe import drive
from wrklab.protocol.probe import SettleAnswer
from wrklab.protocol.server import ServerReport

FINISHED = handmade_server_report()
VARIANT = read_catalogue().variants["go_net_http"]


class Hosts:
    """Both hosts of a session, which do as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.start_error: HostError | None = None
        self.finish_errors: list[HostError] = []
        self.calls: list[str] = []
        self.settled = SettleAnswer(is_quiet=True, took_s=0.3, open_count=0)
        host = SimpleNamespace(timeout_scale=1.0, open=lambda: self.calls.append("open"))
        self.session = cast(
            "Session",
            SimpleNamespace(server=host, generators=(host,), timeout_scale=1.0, port_of=lambda _: 8080),
        )
        monkeypatch.setattr(drive, "clock_of", lambda _: None)
        monkeypatch.setattr(drive, "_become_ready", lambda _: self.calls.append("ready"))
        monkeypatch.setattr(drive, "_snapshot", lambda *_: self.settled)
        monkeypatch.setattr(node_calls, "start_server", self._start)
        monkeypatch.setattr(node_calls, "finish_server", self._finish)

    def _start(self, *_: object) -> float:
        self.calls.append("start")
        if self.start_error:
            raise self.start_error
        return 1.0

    def _finish(self, *_: object) -> ServerReport:
        self.calls.append("finish")
        if self.finish_errors:
            raise self.finish_errors.pop(0)
        return FINISHED


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """Hosts on which all goes well."""
    return Hosts(monkeypatch)


def test_a_server_is_ended_when_the_connection_was_lost_while_it_started(hosts: Hosts) -> None:
    """The call may have been carried out: it is ended over a new connection, and the start has failed."""
    hosts.start_error, hosts.finish_errors = ConnectionLostError("server: lost"), [ConnectionLostError("server: lost")]
    with pytest.raises(CellError, match="start: server: lost"), drive.running_server(hosts.session, VARIANT):
        pass
    assert hosts.calls == ["start", "finish", "open", "finish"]


def test_a_server_is_ended_whatever_happens_while_it_runs(hosts: Hosts) -> None:
    """What the host reported of its end is kept."""
    with pytest.raises(KeyboardInterrupt), drive.running_server(hosts.session, VARIANT) as server:
        raise KeyboardInterrupt
    assert hosts.calls == ["start", "ready", "finish"]
    assert server.finished is FINISHED


@pytest.mark.parametrize(
    ("is_quiet", "open_count", "instability"),
    [
        (True, 0, ""),
        (False, 3, "the server was not idle within 6 s: 3 connections open"),
        (False, 0, "the server was not idle within 6 s: its processes were at work"),
    ],
)
def test_a_server_that_is_not_idle_says_why(hosts: Hosts, open_count: int, instability: str, *, is_quiet: bool) -> None:
    """For the probe to make nothing of that try."""
    hosts.settled = SettleAnswer(is_quiet=is_quiet, took_s=6.0, open_count=open_count)
    with drive.running_server(hosts.session, VARIANT) as server:
        assert server.instability == instability


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_limits_are_those_of_the_process() -> None:
    """The soft ones; one that is not set is not in it, nor is a process that is gone."""
    soft = {
        "Max open files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "Max processes": resource.getrlimit(resource.RLIMIT_NPROC)[0],
    }
    set_ones = {name: value for name, value in soft.items() if value != resource.RLIM_INFINITY}
    assert probe_snapshot._limits(os.getpid()) == set_ones
    assert probe_snapshot._limits(2**30) == {}


@pytest.mark.parametrize(
    ("pids_max", "limits", "found"),
    [
        ("max", [], None),
        ("max", [{"Max processes": 300}, {"Max processes": 200}, {"Max open files": 10}], 200),
        ("100", [{"Max processes": 300}], 100),
        ("100", [{}], 100),
        (None, [{"Max processes": 300}], 300),
    ],
)
def test_the_limit_on_tasks_is_the_least_in_force(
    tmp_path: Path, pids_max: str | None, limits: list[dict[str, int]], found: int | None
) -> None:
    """Of the unit's cgroup, which a container may lack, and of its processes' user."""
    if pids_max:
        (tmp_path / "pids.max").write_text(f"{pids_max}\n")
    assert probe_snapshot._tasks_limit(str(tmp_path), limits) == found
