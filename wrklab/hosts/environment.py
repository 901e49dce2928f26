"""What a run keeps of its hosts, of the units on the server, and of the machine that drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from wrklab.catalogue.stack import Variant
from wrklab.hosts import node_calls
from wrklab.hosts.clocks import clock_of
from wrklab.hosts.controller import controller_environment
from wrklab.hosts.inventory import BACKEND_GROUP, LOADGEN_GROUP, SERVER_GROUP
from wrklab.hosts.preflight import Readiness
from wrklab.hosts.session import Session
from wrklab.protocol.blanking import blanked
from wrklab.results.raw import Clock
from wrklab.results.records import MOMENT, HostEnvironment, RunEnvironment, UnitFile

#: As records have them.
_GROUPS: dict[str, Literal["server", "loadgen", "backend"]] = {
    SERVER_GROUP: "server",
    LOADGEN_GROUP: "loadgen",
    BACKEND_GROUP: "backend",
}


def run_environment(
    session: Session, facts: Mapping[str, Mapping[str, Any]], variants: Sequence[Variant], readiness: Readiness
) -> RunEnvironment:
    """Every host as environment.py told it (`facts`, by name) with its clock and its state, and this machine.

    Raises HostError.
    """
    clocks = session.on_all(clock_of)
    return RunEnvironment(
        hosts=tuple(
            HostEnvironment(
                host=host.name,
                group=_GROUPS[host.group],
                facts={
                    **facts[host.name],
                    "address": host.load_address,
                    "cpus_given": list(host.cpus),
                    MOMENT: {
                        **facts[host.name].get(MOMENT, {}),
                        **readiness.states[host.name].facts(),
                        "clock": _clock_facts(clocks[host.name]),
                    },
                },
            )
            for host in session.hosts.all
        ),
        units=_units(session, variants),
        controller=controller_environment(),
    )


def _clock_facts(clock: Clock) -> dict[str, float]:
    """Against the controller's clock: ahead of it is positive."""
    return {"ahead_s": clock.ahead_s, "uncertainty_s": clock.uncertainty_s, "round_trip_s": clock.round_trip_s}


def _units(session: Session, variants: Sequence[Variant]) -> dict[str, tuple[UnitFile, ...]]:
    """Each variant's unit as it stands on the server, drop-ins included."""
    units = {variant.name: variant.unit for variant in variants}
    found = node_calls.unit_files(session.server, sorted(set(units.values())))
    return {
        name: tuple(file.model_copy(update={"text": blanked(file.text)}) for file in found.get(unit, []))
        for name, unit in sorted(units.items())
    }
