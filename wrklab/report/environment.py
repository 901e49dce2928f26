"""The hosts' environment as tables: what each host told, side by side, and the libraries of each stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wrklab.figures import NONE
from wrklab.model.record import HostEnvironment, RunEnvironment
from wrklab.report.flat import flatten

#: A table: title, headers, rows.
EnvironmentTable = tuple[str, list[str], list[list[str]]]
#: The fact that holds, by stack, what its venv or binary is made of (node/environment.py).
_STACKS = "stacks"


def environment_tables(environment: RunEnvironment) -> Iterator[EnvironmentTable]:
    """The hosts side by side, one line a fact; the stacks' libraries; the machine that drove them all."""
    facts = {f"{host.host} ({host.group})": _texts(_without_stacks(host)) for host in environment.hosts}
    if facts:
        keys = dict.fromkeys(key for found in facts.values() for key in found)
        rows = [[key, *(found.get(key, NONE) for found in facts.values())] for key in keys]
        yield "Hosts", ["fact", *facts], rows
    for host in environment.hosts:
        stacks = host.facts.get(_STACKS)
        if host.group == "server" and isinstance(stacks, Mapping) and stacks:
            rows = [[name, _versions(found)] for name, found in sorted(stacks.items())]
            yield f"Stacks on {host.host}", ["stack", "versions"], rows
    controller = _texts(environment.controller)
    if controller:
        yield "Controller", ["fact", "value"], [[key, value] for key, value in controller.items()]


def _without_stacks(host: HostEnvironment) -> dict[str, Any]:
    return {key: value for key, value in host.facts.items() if key != _STACKS}


def _versions(stack: Mapping[str, Any]) -> str:
    """`python 3.11.2, flask 3.1.2, ...`: what the stack runs on first, then its packages by name."""
    facts = flatten(stack)
    ordered = sorted(facts, key=lambda key: (key.startswith("packages."), key))
    return ", ".join(f"{key.removeprefix('packages.')} {_text(facts[key])}" for key in ordered) or NONE


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts by dotted keys, as text."""
    return {key: _text(value) for key, value in flatten(facts).items()}


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return NONE if value is None else str(value)
