"""Before a run: whether the server holds what this checkout would put there, unit by unit and package by package.

The fingerprint of a deploy says what was put there; what somebody changed by hand since then only a look shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wrklab.catalogue.deployment import go_difference, lock_text, version_differences
from wrklab.catalogue.stack import Stack, Variant
from wrklab.catalogue.unit import HostGrant, unit_text
from wrklab.errors import ParseError
from wrklab.hosts import node_calls
from wrklab.hosts.session import Session, limits_of
from wrklab.paths import PROJECT_DIR
from wrklab.protocol.blanking import blanked
from wrklab.results.records import UnitFile

_UNITS_DIR = "/etc/systemd/system"
#: Drop-ins for all services of a host, which a container's manager makes: part of the host, not of one variant.
_FOR_ALL_SERVICES = "/service.d/"
_SHOW_LIMIT_S = 30.0


@dataclass(frozen=True)
class Difference:
    """One thing on the server that is not as this checkout has it."""

    #: In one line.
    summary: str
    #: Line by line, as diff(1) shows it; empty where the summary says all.
    diff: tuple[str, ...] = ()

    def __str__(self) -> str:
        """With the lines."""
        return "\n".join([self.summary, *(f"  {line}" for line in self.diff)])


def deployed_differences(
    session: Session, environment: Mapping[str, Any], variants: Iterable[Variant]
) -> tuple[Difference, ...]:
    """What of the variants' units and packages is not as it was deployed; `environment` is the server's.

    `session` is as it was opened: with the CPUs that the inventory gives. Raises HostError, ParseError.
    """
    chosen = sorted({variant.name: variant for variant in variants}.values(), key=lambda variant: variant.name)
    units = node_calls.unit_files(session.server, [variant.unit for variant in chosen])
    stacks = session.catalogue.stacks
    grant = host_grant(session, environment)
    found: list[Difference] = []
    for variant in chosen:
        rendered = unit_text(stacks[variant.stack], variant, grant)
        found += unit_differences(session.server.name, variant.unit, rendered, units.get(variant.unit, []))
    found += _stale_units(session, [variant.unit for variant in chosen])
    for name in sorted({variant.stack for variant in chosen}):
        venvs = {variant.own_copy.venv for variant in chosen if variant.stack == name and variant.own_copy}
        found += package_differences(session.server.name, stacks[name], environment, sorted(venvs))
    return tuple(found)


def host_grant(session: Session, environment: Mapping[str, Any]) -> HostGrant:
    """What deploy gives to a variant on this server. Raises ParseError."""
    server = session.hosts.server
    try:
        allowed_count = len(environment["cpu"]["allowed"])
    except (KeyError, TypeError) as error:
        raise ParseError(f"{server.name}: environment.py gave no CPUs: {error!r}") from error
    limits = limits_of(server.name, dict(environment))
    return HostGrant(len(server.cpus) or allowed_count, server.cpus, limits.descriptors_count, server.app_user)


def unit_differences(host: str, unit: str, rendered: str, files: Sequence[UnitFile]) -> Iterator[Difference]:
    """What of a unit, as systemd has it, is not as it is rendered; secrets are blanked on both sides."""
    own = files[0] if files else None
    path = f"{_UNITS_DIR}/{unit}"
    if own is None or own.path != path:
        where = f"systemd reads it from {own.path}" if own else "systemd does not know it"
        yield Difference(f"{host}: {path} was deployed, but {where}")
        return
    wanted, present = blanked(rendered).splitlines(), blanked(own.text).splitlines()
    if wanted != present:
        lines = [*difflib.unified_diff(wanted, present, "as this checkout has it", path, lineterm="", n=0)]
        changed = "; ".join(line for line in lines[2:] if line.startswith(("+", "-")))
        yield Difference(f"{host}: {path} was changed since it was deployed: {changed}", tuple(lines))
    for drop_in in files[1:]:
        if _FOR_ALL_SERVICES not in drop_in.path:
            lines = [line for line in blanked(drop_in.text).splitlines() if line.strip()]
            yield Difference(
                f"{host}: {drop_in.path} changes {unit}: {'; '.join(lines)}", tuple(f"+{line}" for line in lines)
            )


def _stale_units(session: Session, units: Sequence[str]) -> Iterator[Difference]:
    """Units whose files changed since systemd read them: it runs what it read."""
    words = ["systemctl", "show", "--property=Id,NeedDaemonReload", *units]
    shown = session.server.run(words, limit_s=_SHOW_LIMIT_S * session.server.timeout_scale).stdout
    for block in shown.strip().split("\n\n"):
        values = dict(row.partition("=")[::2] for row in block.splitlines())
        if values.get("NeedDaemonReload") == "yes":
            yield Difference(
                f"{session.server.name}: systemd has read {values.get('Id')} before its file was changed; "
                "`systemctl daemon-reload` there"
            )


def package_differences(
    host: str, stack: Stack, environment: Mapping[str, Any], venvs: Sequence[str] = ()
) -> Iterator[Difference]:
    """What of a stack's packages, or the Go that built it, is not as it is locked.

    `venvs` are those of a user's application that count.
    """
    installed = (environment.get("stacks") or {}).get(stack.name) or {}
    if stack.application:
        locks = stack.application.locks
        found = [
            f"{name}: {one}"
            for name in venvs
            for one in version_differences(locks[name], (installed.get(name) or {}).get("packages") or {})
        ]
    elif stack.runtime == "python":
        found = [
            str(one) for one in version_differences(lock_text(PROJECT_DIR, stack), installed.get("packages") or {})
        ]
    elif stack.runtime == "go":
        difference = go_difference(lock_text(PROJECT_DIR, stack), installed.get("go"))
        found = [str(difference)] if difference else []
    else:
        found = []
    if found:
        yield Difference(f"{host}: stack {stack.name} has other software than its lock: {', '.join(found)}")
