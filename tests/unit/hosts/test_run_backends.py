"""The databases of a run: made, prepared once, put back, dropped. The calls to hosts are replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from wrklab.errors import HostError
from wrklab.hosts import backend_urls, node_calls
from wrklab.hosts import run_backends as module
from wrklab.hosts.inventory import LabHosts, read_hosts
from wrklab.hosts.remote import CommandResult, RemoteHost
from wrklab.hosts.run_backends import client_addresses, missing_backends, run_backends
from wrklab.hosts.session import Session
from wrklab.protocol.backend import BackendAction, BackendDone, BackendName, InstalledBackend, InstalledBackends

PASSWORD = "p" * 32


class Reaching:
    """A host whose commands end with a status."""

    name = "big_one"
    timeout_scale = 1.0
    is_open = True

    def __init__(self, exit_code: int = 0) -> None:
        """Of every command."""
        self.exit_code = exit_code

    def run(self, argv: Sequence[str], *, limit_s: float, check: bool) -> CommandResult:
        """As told."""
        return CommandResult(self.name, "", self.exit_code, "", "Traceback\nTimeoutError: timed out\n", limit_s)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> LabHosts:
    """The example's."""
    monkeypatch.setattr(backend_urls, "lab_password", lambda _: PASSWORD)
    monkeypatch.setattr(module, "lab_password", lambda _: PASSWORD)
    return read_hosts("example_ssh")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done on the backends' host, as `action backend`."""
    found: list[str] = []

    def do(host: object, backend: BackendName, action: BackendAction, clients: Sequence[str]) -> BackendDone:
        assert clients == ("192.0.2.10", "198.51.100.10")
        found.append(f"{action} {backend}")
        return BackendDone(backend=backend, action=action, version="15.8", took_s=0.1)

    monkeypatch.setattr(node_calls, "backend_do", do)
    return found


def session_of(hosts: LabHosts, exit_code: int = 0) -> Session:
    """A session whose server reaches the backends, or not."""
    server, backend = (cast("RemoteHost", Reaching(code)) for code in (exit_code, 0))
    return Session(catalogue=None, hosts=hosts, server=server, generators=(), backend=backend)  # type: ignore[arg-type]


def test_a_run_makes_its_databases_and_drops_them(hosts: LabHosts, done: list[str]) -> None:
    """Whatever happens within it."""
    with contextlib.suppress(RuntimeError), run_backends(session_of(hosts), ["redis", "postgres"]) as found:
        assert found.versions == {"postgres": "15.8", "redis": "15.8"}
        raise RuntimeError("a cell failed")

    assert done == ["create postgres", "create redis", "drop postgres", "drop redis"]


def test_a_state_is_prepared_once_and_put_back(hosts: LabHosts, done: list[str]) -> None:
    """Another key is another state."""
    with run_backends(session_of(hosts), ["postgres"]) as found:
        done.clear()
        hook = lambda: done.append("hook")  # noqa: E731  shorter than its def
        assert [found.prepare(key, hook) for key in ("one", "one", "two", "two")] == [True, False, True, False]

    assert done == [
        "create postgres", "hook", "snapshot postgres", "restore postgres",
        "create postgres", "hook", "snapshot postgres", "restore postgres",
        "drop postgres",
    ]  # fmt: skip


def test_a_hook_that_fails_leaves_nothing_to_put_back(hosts: LabHosts, done: list[str]) -> None:
    """The next variant begins with an empty database again."""

    def fail() -> None:
        raise HostError("seed.py failed")

    with run_backends(session_of(hosts), ["postgres"]) as found:
        with pytest.raises(HostError, match=r"seed\.py failed"):
            found.prepare("one", fail)
        done.clear()
        assert found.prepare("one", lambda: None)

    assert done[:2] == ["create postgres", "snapshot postgres"]


def test_without_backends_the_hook_alone_is_called(hosts: LabHosts, done: list[str]) -> None:
    """Each time: nothing is kept. No host is asked."""
    calls: list[str] = []
    with run_backends(session_of(replace(hosts, backend=None), exit_code=1), []) as found:
        assert found.prepare("one", lambda: calls.append("hook"))
        assert found.prepare("one", lambda: calls.append("hook"))

    assert (calls, done) == (["hook", "hook"], [])


def test_a_server_that_does_not_reach_a_backend_is_refused(hosts: LabHosts, done: list[str]) -> None:
    """Before anything is made."""
    said = r"big_one does not reach postgres at 198\.51\.100\.31:15432: TimeoutError: timed out\. Does a firewall"
    with pytest.raises(HostError, match=said), run_backends(session_of(hosts, exit_code=1), ["postgres"]):
        pass

    assert done == []


def test_clients_are_addresses(hosts: LabHosts) -> None:
    """A name is left out, as the role does."""
    assert client_addresses(hosts.server) == ("192.0.2.10", "198.51.100.10")
    assert client_addresses(replace(hosts.server, address="big.example.test")) == ("198.51.100.10",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"installed": ()}, "postgres not installed"),
        ({"password_sha256": ""}, "provisioned with another password"),
        ({"is_filtered": False}, "the filter of its ports is gone"),
    ],
)
def test_a_host_is_provisioned_where_something_is_missing(
    hosts: LabHosts, changes: dict[str, object], said: str
) -> None:
    """A service, this lab's password, or the filter; one that is down is started when a run begins."""
    up = InstalledBackend(backend=BackendName.POSTGRES, active_state="inactive", port=15432, is_listening=False)
    found = InstalledBackends(
        installed=(up,), password_sha256=backend_urls.password_digest(PASSWORD), is_filtered=True
    ).replace(**changes)

    assert missing_backends(found, [BackendName.POSTGRES], "example_ssh") == said
