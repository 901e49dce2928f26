"""`invoke lab.up`, `lab.down`, `lab.status`, `lab.ssh`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from invoke.exceptions import Exit
from rich.markup import escape
from rich.table import Table

from wrklab.cli.verbs import console, print_json, results
from wrklab.doors import container_lab
from wrklab.doors.inventory import LabHost, read_hosts, remedy
from wrklab.doors.remote import RemoteHost
from wrklab.errors import HostError, UnknownNameError
from wrklab.progress import doing

_LOOK_LIMIT_S = 10.0


@dataclass(frozen=True)
class HostStatus:
    """One host, and why it cannot be used (empty when it can)."""

    host: LabHost
    problem: str


def up(*, as_json: bool) -> None:
    """The container lab, up and whole."""
    with doing(console, "lab container: up") as step:
        if not container_lab.up(on_task=step.at).changed:
            step.outcome = "as it was"
    status("container", as_json=as_json)


def down(*, purge: bool) -> None:
    """The container lab, down."""
    with doing(console, "lab container: down") as step:
        container_lab.down(purge=purge, on_task=step.at)


def status(lab: str, *, as_json: bool) -> None:
    """Every host of a lab and whether it answers. Exits with 1 when one does not."""
    hosts = read_hosts(lab)
    if hosts.kind == "container" and not container_lab.status().nodes:
        if as_json:
            print_json({"lab": lab, "kind": hosts.kind, "hosts": []})
        raise Exit(f"lab {lab}: down. {remedy(lab, hosts.kind)}", code=1)
    with ThreadPoolExecutor(max_workers=len(hosts.all)) as pool:
        found = list(pool.map(_look, hosts.all))
    if as_json:
        print_json({"lab": lab, "kind": hosts.kind, "hosts": [_data(status) for status in found]})
    else:
        results().print(_table(found))
    if any(status.problem for status in found):
        raise Exit(f"lab {lab}: not every host can be reached. {remedy(lab, hosts.kind)}", code=1)


def ssh(lab: str, name: str) -> None:
    """Replaces this process by an ssh session to a host, with the lab's key and its checked host keys."""
    hosts = {host.name: host for host in read_hosts(lab).all}
    if name not in hosts:
        raise UnknownNameError("host", name, hosts)
    host = hosts[name]
    words = ["ssh", "-p", str(host.port)]
    if host.key_path:
        words += ["-i", str(host.key_path), "-o", "IdentitiesOnly=yes"]
    if host.known_hosts_path:
        words += ["-o", f"UserKnownHostsFile={host.known_hosts_path}", "-o", "StrictHostKeyChecking=yes"]
    if host.jump_host:
        words += ["-J", host.jump_host]
    os.execvp("ssh", [*words, f"{host.user}@{host.address}"])  # noqa: S606  the session is the user's own


def _look(host: LabHost) -> HostStatus:
    remote = RemoteHost(host)
    try:
        remote.run(["true"], limit_s=_LOOK_LIMIT_S)
    except HostError as error:
        return HostStatus(host, str(error))
    finally:
        remote.close()
    return HostStatus(host, "")


def _data(status: HostStatus) -> dict[str, Any]:
    host = status.host
    return {
        "host": host.name,
        "group": host.group,
        "address": host.address,
        "load_address": host.load_address,
        "cpus": list(host.cpus),
        "reachable": not status.problem,
        "problem": status.problem,
    }


def _table(found: list[HostStatus]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("host", "group", "address", "CPUs", "state"):
        table.add_column(heading, overflow="fold")
    for status in found:
        host = status.host
        cpus = ",".join(str(cpu) for cpu in host.cpus) or "all"
        cells = (host.name, host.group, host.address, cpus, status.problem or "reachable")
        table.add_row(*map(escape, cells))
    return table
