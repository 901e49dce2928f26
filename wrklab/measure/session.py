"""A lab with its connections open, its environments read, and its ceilings known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from wrklab.doors import node_calls
from wrklab.doors.inventory import LabHost, LabHosts, read_hosts
from wrklab.doors.remote import RemoteHost
from wrklab.errors import HostError, ParseError
from wrklab.measure.limits import HostLimits
from wrklab.model.catalogue import Catalogue
from wrklab.model.stack import Variant

Answer = TypeVar("Answer")

_HOLD_LIMIT_S = 10.0
#: Takes the lock, says so, and keeps it until its standard input ends; $1 is who holds it.
_HOLD_SCRIPT = """
mkdir -p /run/wrklab && cd /run/wrklab && exec 9>>controller.lock
if flock --nonblock 9; then echo "$1" > controller; echo held; exec cat > /dev/null; fi
echo "taken $(cat controller)"
"""


@dataclass(frozen=True)
class Session:
    """The hosts of a lab over open connections."""

    catalogue: Catalogue
    hosts: LabHosts
    server: RemoteHost
    generators: tuple[RemoteHost, ...]

    @property
    def all(self) -> tuple[RemoteHost, ...]:
        """The server first."""
        return (self.server, *self.generators)

    def port_of(self, variant: Variant) -> int:
        """The TCP port that a variant listens on."""
        return self.catalogue.stacks[variant.stack].port

    def on_all(self, work: Callable[[RemoteHost], Answer]) -> dict[str, Answer]:
        """The same work on every host at once; its answers by host name. Raises HostError naming each that failed."""
        with ThreadPoolExecutor(max_workers=len(self.all)) as pool:
            futures = {host.name: pool.submit(work, host) for host in self.all}
        failures = [str(future.exception()) for future in futures.values() if isinstance(future.exception(), HostError)]
        if failures:
            raise HostError("\n".join(failures))
        return {name: future.result() for name, future in futures.items()}

    def environments(self) -> dict[str, dict[str, Any]]:
        """The environment of every host."""
        return self.on_all(node_calls.environment)

    def clean_up(self) -> dict[str, list[str]]:
        """End whatever of ours runs on the hosts; what was ended, by host."""
        return self.on_all(node_calls.clean_up)


def with_known_cpus(session: Session, environments: dict[str, dict[str, Any]]) -> Session:
    """The session, with the CPUs that a host may use where its inventory gives none. Raises ParseError."""

    def known(host: LabHost) -> LabHost:
        if host.cpus:
            return host
        try:
            return replace(host, cpus=tuple(environments[host.name]["cpu"]["allowed"]))
        except (KeyError, TypeError) as error:
            raise ParseError(f"{host.name}: environment.py gave no CPUs: {error!r}") from error

    hosts = session.hosts
    return replace(
        session,
        hosts=replace(hosts, server=known(hosts.server), generators=tuple(known(host) for host in hosts.generators)),
    )


@contextmanager
def hold_hosts(session: Session, owner: str) -> Iterator[None]:
    """The hosts for one controller alone.

    The lock is a process on each host that lives as long as its ssh channel: a controller that dies lets go of it.
    Raises HostError naming the owner of a host that is taken.
    """
    with ExitStack() as held:
        for host in session.all:
            held.enter_context(_held(host, owner))
        yield


@contextmanager
def _held(host: RemoteHost, owner: str) -> Iterator[None]:
    words = ["sh", "-c", _HOLD_SCRIPT, "hold", owner]
    with host.hold(words, limit_s=_HOLD_LIMIT_S) as answer:
        if answer != "held":
            raise HostError(
                f"{host.name}: taken by another controller ({answer.removeprefix('taken ') or 'unknown'}). Wait for "
                "its end; one that died lets go by itself."
            )
        yield


@contextmanager
def open_session(catalogue: Catalogue, lab: str) -> Iterator[Session]:
    """A session with a lab, closed at the end. Raises LabError, HostError for every host that cannot be reached."""
    hosts = read_hosts(lab)
    session = Session(
        catalogue=catalogue,
        hosts=hosts,
        server=RemoteHost(hosts.server),
        generators=tuple(RemoteHost(host) for host in hosts.generators),
    )
    try:
        session.on_all(lambda host: host.open())
        yield session
    finally:
        for host in session.all:
            host.close()


def limits_of(host: str, environment: dict[str, Any]) -> HostLimits:
    """A host's ceilings from its environment. Raises ParseError where they are not in it."""
    try:
        limits = environment["limits"]
        return HostLimits(host, int(limits["unit_descriptors_max"]), int(limits["local_ports_count"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"{host}: environment.py gave no ceilings: {error!r}") from error
