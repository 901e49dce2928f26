"""The hosts' environment as tables: what each host told, side by side, and the packages of each stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wrklab.figures import NONE
from wrklab.model.record import RunEnvironment
from wrklab.report.flat import flatten

#: A table: title, headers, rows.
EnvironmentTable = tuple[str, list[str], list[list[str]]]


def environment_tables(environment: RunEnvironment) -> Iterator[EnvironmentTable]:
    """The hosts side by side, one line a fact; then the machine that drove them."""
    facts = {f"{host.host} ({host.group})": _texts(host.facts) for host in environment.hosts}
    if facts:
        keys = dict.fromkeys(key for found in facts.values() for key in found)
        rows = [[key, *(found.get(key, NONE) for found in facts.values())] for key in keys]
        yield "Hosts", ["fact", *facts], rows
    controller = _texts(environment.controller)
    if controller:
        yield "Controller", ["fact", "value"], [[key, value] for key, value in controller.items()]


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts by dotted keys, as text."""
    return {key: _text(value) for key, value in flatten(facts).items()}


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return NONE if value is None else str(value)
