"""The databases of one run: made before it, filled and put back before each variant, dropped after it.

    with run_backends(session, ["postgres"]) as backends:
        environment = backend_values(backends.access)
        ...
        backends.prepare(key, hook)     # before each cell, while no application runs

`prepare` calls the hook (an application's own commands: migrations, seeds) on an empty database once for each key, and
keeps what that made. From then on it puts the kept state back, which takes a fraction of the time: PostgreSQL copies a
template, MariaDB loads a dump, Redis copies its keys. So state does not grow from round to round, and each variant of a
key begins with the same rows.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from wrklab.errors import HostError, ParseError
from wrklab.hosts import node_calls
from wrklab.hosts.backend_urls import BackendAccess, backend_access, lab_password, password_digest
from wrklab.hosts.inventory import LabHost
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session
from wrklab.protocol.backend import BackendAction, BackendName, InstalledBackends

_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_REACH_LIMIT_S = 5.0
#: Connects, and says nothing: the service's own refusal of an account comes later.
_REACHES = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))"


@dataclass
class RunBackends:
    """The databases of one run; without any, everything here does nothing."""

    host: RemoteHost | None
    clients: tuple[str, ...]
    #: By the backend's name.
    access: dict[str, BackendAccess]
    #: What the services say of themselves, by name.
    versions: dict[str, str]
    #: What the databases hold, as `prepare` was told; None: nothing, as they were made.
    _kept_key: str | None = None

    def prepare(self, key: str, hook: Callable[[], None]) -> bool:
        """The databases as the hook leaves empty ones; whether it was called, and not what it left put back.

        `key` stands for all that decides what the hook does (commands, application, packages): another key means
        another content. No application may be connected. Raises HostError, and whatever the hook raises; after that the
        next call begins with empty databases again.
        """
        if not self.access:
            hook()
            return True
        if self._kept_key == key:
            self._on_each(BackendAction.RESTORE)
            return False
        self._kept_key = None
        self._on_each(BackendAction.CREATE)
        hook()
        self._on_each(BackendAction.SNAPSHOT)
        self._kept_key = key
        return True

    def create(self) -> None:
        """Empty databases, whatever was there. Raises HostError."""
        self._kept_key = None
        self._on_each(BackendAction.CREATE)

    def drop(self) -> None:
        """Neither databases nor accounts. Raises HostError."""
        self._kept_key = None
        self._on_each(BackendAction.DROP)

    def _on_each(self, action: BackendAction) -> None:
        for name in self.access:
            assert self.host is not None
            done = node_calls.backend_do(self.host, BackendName(name), action, self.clients)
            self.versions[name] = done.version


@contextmanager
def run_backends(session: Session, names: Iterable[str]) -> Iterator[RunBackends]:
    """The databases of one run, made now and dropped at the end of the block.

    What cannot be dropped then (the host is gone) the next run on the host drops, or `invoke cleanup`. Raises
    InventoryError where the lab has no host for backends, HostError where the server does not reach one.
    """
    access = backend_access(session.hosts, names)
    found = RunBackends(session.backend, client_addresses(session.hosts.server), access, {})
    for each in access.values():
        _require_reachable(session.server, each)
    try:
        found.create()
        yield found
    finally:
        if found.host is not None and found.host.is_open:
            with contextlib.suppress(HostError, ParseError):
                found.drop()


def client_addresses(server: LabHost) -> tuple[str, ...]:
    """Where the application connects from; the role `backends` lets the same ones in."""
    found = (server.address, server.load_address)
    return tuple(sorted({address for address in found if _IPV4.fullmatch(address)}))


def _require_reachable(server: RemoteHost, access: BackendAccess) -> None:
    words = ["/usr/bin/python3", "-I", "-c", _REACHES, access.host, str(access.port), f"{_REACH_LIMIT_S:g}"]
    tried = server.run(words, limit_s=node_calls.call_limit_s(server), check=False)
    if tried.exit_code:
        why = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise HostError(
            f"{server.name} does not reach {access.name} at {access.host}:{access.port}: {why}. Does a firewall "
            "between the two let it through, and are both lab_load_address right?"
        )


def missing_backends(found: InstalledBackends, wanted: Sequence[BackendName], lab: str) -> str:
    """Why a host has to be provisioned before these backends can be used; empty where it need not be."""
    up = {each.backend for each in found.installed}
    if lacking := [name for name in wanted if name not in up]:
        return f"{', '.join(lacking)} not installed"
    if found.password_sha256 != password_digest(lab_password(lab)):
        return "provisioned with another password"
    if not found.is_filtered:
        return "the filter of its ports is gone"
    return ""
