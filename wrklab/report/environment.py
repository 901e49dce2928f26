"""The hosts' environment as tables: what each host told, side by side, and the libraries of each stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wrklab.formats import NONE
from wrklab.results.records import MOMENT, HostEnvironment, RunEnvironment, UnitFile

#: A table: title, headers, rows.
EnvironmentTable = tuple[str, list[str], list[list[str]]]
#: The fact that holds, by stack, what its venv or binary is made of (node/environment.py).
_STACKS = "stacks"
#: Facts that say the same thing at two times are told in one line (node/environment.py).
_SYSCTLS, _SYSCTLS_BEFORE = "sysctls", "sysctls_before"
_PACKAGES = "packages"
#: A list of files that differ from the commit is told so far; environment.json has all.
_PARTS_SHOWN = 12
#: Of a number this large, digits behind the first one after the point say nothing.
_WHOLE_FROM = 1000.0


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"memory": {"total_bytes": 1}} as {"memory.total_bytes": 1}; lists stay lists."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def environment_tables(environment: RunEnvironment) -> Iterator[EnvironmentTable]:
    """The hosts side by side, one line a fact; the stacks' libraries; the machine that drove them all."""
    facts = {f"{host.host} ({host.group})": _host_texts(host) for host in environment.hosts}
    if facts:
        keys = _ordered({key: None for found in facts.values() for key in found})
        rows = [[key, *(found.get(key, NONE) for found in facts.values())] for key in keys]
        now = [row for row in rows if row[0].startswith(f"{MOMENT}.")]
        yield "Hosts", ["fact", *facts], [row for row in rows if row not in now]
        if now:
            names = [[row[0].removeprefix(f"{MOMENT}."), *row[1:]] for row in now]
            yield "Hosts just before the first cell", ["fact", *facts], names
    for host in environment.hosts:
        stacks = host.facts.get(_STACKS)
        if host.group == "server" and isinstance(stacks, Mapping) and stacks:
            rows = [[name, _versions(found)] for name, found in sorted(stacks.items())]
            yield f"Stacks on {host.host}", ["stack", "versions"], rows
    controller = dict(environment.controller)
    packages = controller.pop(_PACKAGES, {})
    if controller:
        rows = [[key, value] for key, value in _texts(controller).items()]
        yield "Controller", ["fact", "value"], [*rows, [_PACKAGES, _versions({_PACKAGES: packages})]]


def _ordered(keys: Iterable[str]) -> list[str]:
    """Keys of one kind together, kinds as they come first; without those that stand for a whole that others have."""
    found = list(keys)
    kinds = list(dict.fromkeys(key.partition(".")[0] for key in found))
    wholes = {key.rpartition(".")[0] for key in found}
    return sorted((key for key in found if key not in wholes), key=lambda key: kinds.index(key.partition(".")[0]))


@dataclass(frozen=True)
class UnitTexts:
    """The units of a run's variants without saying the same line many times."""

    #: Lines that every variant's unit has, in order.
    common: tuple[str, ...]
    #: By variant, the lines of its own, each drop-in begun by its path.
    own: Mapping[str, tuple[str, ...]]


def unit_texts(units: Mapping[str, Sequence[UnitFile]]) -> UnitTexts:
    """What variants' units have in common, and what each adds. Comments and blank lines are left out."""
    lines = {name: _directives(files) for name, files in units.items() if files}
    if not lines:
        return UnitTexts((), {})
    first, *others = lines.values()
    shared = set(first).intersection(*others) if others else set()
    common = tuple(dict.fromkeys(line for line in first if line in shared))
    return UnitTexts(common, {name: tuple(x for x in found if x not in shared) for name, found in lines.items()})


def _directives(files: Sequence[UnitFile]) -> list[str]:
    """Every line that says something; a drop-in's are begun by its path."""
    found: list[str] = []
    for number, file in enumerate(files):
        found += [f"# {file.path}"] if number else []
        found += [line for line in file.text.splitlines() if line.strip() and not line.lstrip().startswith(("#", ";"))]
    return found


def _host_texts(host: HostEnvironment) -> dict[str, str]:
    """A host's facts as text; a setting that provisioning changed as `4096 -> 65535`."""
    before = host.facts.get(_SYSCTLS_BEFORE) or {}
    facts = {key: value for key, value in host.facts.items() if key not in {_STACKS, _SYSCTLS_BEFORE}}
    # Names of settings have dots themselves, so they are looked up before they are made flat.
    settings = facts.get(_SYSCTLS) or {}
    facts |= (
        {_SYSCTLS: {name: changed(before.get(name), value) for name, value in settings.items()}} if settings else {}
    )
    return _texts(facts)


def changed(before: str | None, now: str) -> str:
    """A setting's value, and what it was before provisioning where that is another."""
    return now if before is None or before == now else f"{before or '(empty)'} -> {now}"


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
        shown = ", ".join(str(part) for part in value[:_PARTS_SHOWN])
        return f"{shown}, ... ({len(value)} in all)" if len(value) > _PARTS_SHOWN else shown or NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= _WHOLE_FROM else f"{value:.4g}"
    return NONE if value is None else str(value)
