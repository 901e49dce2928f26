"""A lab's hosts, ours alone, with everything deployed, looked at, and fit to be measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.stack import Variant
from wrklab.hosts import prepare
from wrklab.hosts.circumstances import circumstances
from wrklab.hosts.controller import controller_name
from wrklab.hosts.environment import run_environment
from wrklab.hosts.host_lock import HeldHosts, hold_hosts
from wrklab.hosts.inventory import read_hosts
from wrklab.hosts.limits import HostLimits
from wrklab.hosts.preflight import Readiness, check_hosts
from wrklab.hosts.session import Session, limits_of, open_session, with_known_machines
from wrklab.results.records import RunEnvironment


@dataclass(frozen=True)
class ReadyHosts:
    """Hosts just before the first cell."""

    session: Session
    held: HeldHosts
    #: What environment.py told, by host.
    facts: Mapping[str, Mapping[str, Any]]
    readiness: Readiness

    @property
    def limits(self) -> dict[str, HostLimits]:
        """The ceilings of each host, by its name. Raises ParseError."""
        return {name: limits_of(name, dict(found)) for name, found in self.facts.items()}

    def environment(self, variants: Sequence[Variant]) -> RunEnvironment:
        """What a run with these variants keeps of the hosts. Raises HostError."""
        return run_environment(self.session, self.facts, variants, self.readiness)


@contextmanager
def ready_hosts(
    catalogue: Catalogue, lab: str, console: Console, *, is_forced: bool, server_takes_all_cpus: bool = False
) -> Iterator[ReadyHosts]:
    """A lab in the state that measuring needs, held. Raises LabError; of it BusyHostError only unless it is forced.

    With `server_takes_all_cpus` the container lab's server may use the generators' CPUs, else it has its usual ones.
    """
    prepare.ensure_lab(lab, read_hosts(lab).kind, console, server_takes_all_cpus=server_takes_all_cpus)
    with open_session(catalogue, lab) as opened, hold_hosts(opened.all, controller_name()) as held:
        prepare.ensure_deployed(opened, console)
        facts = opened.environments()
        session = with_known_machines(opened, facts)
        readiness = check_hosts(session, console, is_forced=is_forced)
        notes = (*readiness.notes, *circumstances(session.hosts, facts))
        yield ReadyHosts(session, held, facts, replace(readiness, notes=notes))
