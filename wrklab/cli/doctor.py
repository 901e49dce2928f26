"""`invoke doctor`: what this machine can do, or the hosts of a lab; what is missing, and the command that fixes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from invoke.exceptions import Exit
from rich.markup import escape
from rich.table import Table

from wrklab.cli.verbs import console, print_json, results
from wrklab.doctor import lab_hosts, machine
from wrklab.doctor.machine import Finding, Level
from wrklab.hosts import container_lab
from wrklab.hosts import vagrant as vagrant_lab
from wrklab.hosts.inventory import read_hosts
from wrklab.progress import doing

_COLOURS: dict[Level, str] = {"good": "green", "note": "yellow", "bad": "red"}


def doctor(lab: str, *, as_json: bool) -> None:
    """Looks at everything and changes nothing. Exits with 1 when the lab asked for cannot work as things are."""
    findings = _findings(lab)
    if as_json:
        print_json({"lab": lab, "findings": [asdict(finding) for finding in findings]})
    else:
        results().print(_table(findings))
    if any(finding.level == "bad" for finding in findings):
        raise Exit(f"doctor: lab {lab} cannot work yet; the remedies are above", code=1)


def _findings(lab: str) -> list[Finding]:
    if lab == container_lab.LAB:
        looks = [*(look() for look in machine.container_looks()), machine.vagrant()]
        return [*looks, machine.labs(looks)]
    hosts = read_hosts(lab)  # what is unknown or wrong is wrong usage, not a finding
    findings = []
    if hosts.kind == vagrant_lab.LAB:
        found = machine.vagrant()
        findings.append(found if found.level == "good" else replace(found, level="bad"))
    with doing(console, f"hosts of {lab}") as step:
        findings += lab_hosts.look_at(hosts, step.at)
    return findings


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    has_hosts = any(finding.host for finding in findings)
    for heading in ("", *(["host"] if has_hosts else []), "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.level]
        told = (*([finding.host] if has_hosts else []), finding.subject, finding.found, finding.remedy)
        table.add_row(f"[{colour}]{finding.level}[/{colour}]", *map(escape, told))
    return table
