"""What differs between the environments of two runs: the differences alone, whatever facts the hosts reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wrklab.formats import NONE
from wrklab.results.records import MOMENT, RunEnvironment, RunPlan

#: Facts that change by themselves and say nothing of what was measured, left out at any depth.
VOLATILE_KEYS = frozenset({MOMENT, "available"})
#: The place of the facts of the machine that drove the hosts.
_CONTROLLER = "controller"


@dataclass(frozen=True)
class Change:
    """One fact that is not the same in both runs; `-` where a run lacks it."""

    #: A host's name, `controller`, `lab`, or a variant.
    where: str
    #: Dotted: `sysctls.net.core.somaxconn`.
    key: str
    old: str
    new: str


def environment_changes(old: RunEnvironment, new: RunEnvironment) -> tuple[Change, ...]:
    """Facts of hosts (by name), of the controller, and of units that both know, which differ; as they come."""
    before, after = _places(old), _places(new)
    facts = tuple(
        change
        for place in dict.fromkeys([*before, *after])
        for change in fact_changes(place, before.get(place, {}), after.get(place, {}))
    )
    units = tuple(
        change
        for variant in old.units
        if variant in new.units
        for change in fact_changes(variant, *(_unit(found, variant) for found in (old, new)))
    )
    return facts + units


def plan_changes(old: RunPlan, new: RunPlan) -> tuple[Change, ...]:
    """What the plans say of the lab itself: its name and the CPUs of both sides. Notes are of each run by itself."""

    def facts(plan: RunPlan) -> dict[str, object]:
        return {
            "name": plan.lab,
            "server_cpus_count": plan.server_cpus_count,
            "generator_cpus_count": plan.generator_cpus_count,
            "cpus_shared": plan.cpus_shared,
        }

    return fact_changes("lab", facts(old), facts(new))


def fact_changes(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """The facts of one place that differ, volatile ones left out; records within records by dotted keys."""
    before, after = _lasting(old), _lasting(new)
    return tuple(
        Change(where, key, *_texts(before.get(key), after.get(key)))
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    )


def _places(environment: RunEnvironment) -> dict[str, Mapping[str, Any]]:
    hosts = {host.host: {"group": host.group} | host.facts for host in environment.hosts}
    return hosts | {_CONTROLLER: environment.controller}


def _unit(environment: RunEnvironment, variant: str) -> dict[str, str]:
    return {file.path: file.text for file in environment.units[variant]}


def _lasting(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Facts by dotted keys without the volatile ones; lists as they are."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if key in VOLATILE_KEYS:
            continue
        if isinstance(value, Mapping):
            found |= _lasting(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


def _texts(old: object, new: object) -> tuple[str, str]:
    """Both values as text; of long texts (a unit's file) only the lines that the other lacks."""
    if isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        before, after = old.splitlines(), new.splitlines()
        return _lines_without(before, after), _lines_without(after, before)
    return _text(old), _text(new)


def _lines_without(lines: list[str], others: list[str]) -> str:
    return "\n".join(line for line in lines if line not in others) or NONE


def _text(value: object) -> str:
    if value is None:
        return NONE
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
