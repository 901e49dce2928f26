"""A lab with its connections open, its environments read, and its ceilings known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.stack import Variant
from wrklab.errors import HostError, ParseError
from wrklab.hosts import node_calls
from wrklab.hosts.conditions import timeout_scale
from wrklab.hosts.host_checks import require_usable
from wrklab.hosts.inventory import LabHost, LabHosts, read_hosts
from wrklab.hosts.limits import HostLimits
from wrklab.hosts.remote import RemoteHost
from wrklab.protocol.backend import BackendName
from wrklab.protocol.server import CleanedHost

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Session:
    """The hosts of a lab over open connections."""

    catalogue: Catalogue
    hosts: LabHosts
    server: RemoteHost
    generators: tuple[RemoteHost, ...]
    #: How many times as long as usual anything may take that waits for the hosts: slow ones get more.
    timeout_scale: float = 1.0
    #: The host of services that applications need; None where the lab has none.
    backend: RemoteHost | None = None
    #: The services there that this session's variants use; their host is sampled with each cell.
    backends: tuple[BackendName, ...] = ()

    @property
    def all(self) -> tuple[RemoteHost, ...]:
        """The server first, the backends' host last."""
        return (self.server, *self.generators, *((self.backend,) if self.backend else ()))

    @property
    def cpus_count(self) -> int:
        """How many CPUs the server has; known once its environment was read (with_known_machines)."""
        return max(1, len(self.hosts.server.cpus))

    def port_of(self, variant: Variant) -> int:
        """The TCP port that a variant listens on."""
        return self.catalogue.stacks[variant.stack].port

    def with_scaled_timeouts(self, variant: Variant) -> Variant:
        """The variant, with as long a start as these hosts need."""
        return variant.model_copy(update={"start_limit_s": variant.start_limit_s * self.timeout_scale})

    def on_all(self, work: Callable[[RemoteHost], Answer]) -> dict[str, Answer]:
        """The same work on every host at once; its answers by host name. Raises HostError naming each that failed."""
        with ThreadPoolExecutor(max_workers=len(self.all)) as pool:
            futures = {host.name: pool.submit(work, host) for host in self.all}
        failures = [str(future.exception()) for future in futures.values() if isinstance(future.exception(), HostError)]
        if failures:
            raise HostError("\n".join(failures))
        return {name: future.result() for name, future in futures.items()}

    def environments(self) -> dict[str, Mapping[str, Any]]:
        """The environment of every host."""
        return self.on_all(node_calls.environment)

    def clean_up(self) -> dict[str, CleanedHost]:
        """End whatever of ours runs on the hosts; what that was, by host."""
        return self.on_all(node_calls.clean_up)


def with_known_machines(session: Session, environments: Mapping[str, Mapping[str, Any]]) -> Session:
    """The session, patient, and with the CPUs that a host may use where its inventory gives none.

    Raises ParseError.
    """

    def known(host: LabHost) -> LabHost:
        if host.cpus:
            return host
        try:
            return replace(host, cpus=tuple(environments[host.name]["cpu"]["allowed"]))
        except (KeyError, TypeError) as error:
            raise ParseError(f"{host.name}: environment.py gave no CPUs: {error!r}") from error

    hosts, ratio = session.hosts, timeout_scale(environments)
    for remote in session.all:
        remote.timeout_scale = ratio
    return replace(
        session,
        timeout_scale=ratio,
        hosts=replace(
            hosts,
            server=known(hosts.server),
            generators=tuple(known(host) for host in hosts.generators),
            backend=known(hosts.backend) if hosts.backend else None,
        ),
    )


@contextmanager
def open_session(catalogue: Catalogue, lab: str) -> Iterator[Session]:
    """A session with a lab, closed at the end. Raises LabError, and HostError for every host
    that cannot be reached or is not such as is needed: nothing was changed by then.
    """
    hosts = read_hosts(lab)
    session = Session(
        catalogue=catalogue,
        hosts=hosts,
        server=RemoteHost(hosts.server),
        generators=tuple(RemoteHost(host) for host in hosts.generators),
        backend=RemoteHost(hosts.backend) if hosts.backend else None,
    )
    try:
        session.on_all(require_usable)
        yield session
    finally:
        for host in session.all:
            host.close()


def limits_of(host: str, environment: Mapping[str, Any]) -> HostLimits:
    """A host's ceilings from its environment. Raises ParseError where they are not in it."""
    try:
        limits = environment["limits"]
        return HostLimits(host, int(limits["unit_descriptors_max"]), int(limits["local_ports_count"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"{host}: environment.py gave no ceilings: {error!r}") from error
