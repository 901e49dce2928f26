"""`invoke lab.up`, `lab.down`, `lab.status`, `lab.ssh`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from invoke.exceptions import Exit
from rich.markup import escape
from rich.table import Table

from wrklab.cli.verbs import console, print_json, results
from wrklab.errors import HostError, ParseError, UnknownNameError, UsageError
from wrklab.hosts import container_lab, vagrant
from wrklab.hosts.host_lock import LockHolder, look_at_lock
from wrklab.hosts.inventory import BACKEND_GROUP, LOADGEN_GROUP, SERVER_GROUP, LabHost, read_hosts, remedy
from wrklab.hosts.node_calls import NODE_DIR
from wrklab.hosts.ready import DEPLOYED_FILE, make_lab, take_down
from wrklab.hosts.remote import RemoteHost, require_network
from wrklab.protocol.backend import BackendName

#: No file of the user's or the system's has a say in how a host is reached; one that is gone is noticed.
_OWN_SETTINGS = ("-F", "none", "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15")

#: Prints the parts of what provision and deploy put on a host; the last of each stands for those before.
_PROVISIONED = f"""
test -e {NODE_DIR}/server_ctl.py && echo scripts
command -v wrk >/dev/null && echo wrk
test -e {DEPLOYED_FILE} && echo record
for name in {" ".join(BackendName)}; do test -e /etc/systemd/system/wrklab_$name.service && echo $name; done
true
"""
_LOOK_LIMIT_S = 30.0


@dataclass(frozen=True)
class HostStatus:
    """One host, and why it cannot be used (empty when it can)."""

    host: LabHost
    problem: str
    #: The controller that has it for itself; None where none has.
    holder: LockHolder | None = None
    #: What else is wrong there, and keeps nobody from using it.
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The host's state for people."""
        if self.problem:
            return self.problem
        held = f"reachable, held by {self.holder}" if self.holder else "reachable"
        return "; ".join([held, *self.notes])


def up(
    lab: str = container_lab.LAB, loadgens: str = "", *, backends: bool = False, by_force: bool = False, as_json: bool
) -> None:
    """A lab of this machine, up, with so many generators; without a number with as many as it has.

    With `backends` it has a host for services that applications need.
    Raises UsageError for hosts that are not made here, TakenHostError where another controller holds them.
    """
    kind = _kind_made_here(lab)
    make_lab(lab, kind, console, _loadgens(loadgens), by_force=by_force, backends=backends)
    status(lab, as_json=as_json)


def _loadgens(text: str) -> int | None:
    """`--loadgens` as a number. Raises UsageError before anything is touched."""
    if not text:
        return None
    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= container_lab.MOST_GENERATORS:
        raise UsageError(f"--loadgens {text!r}: a whole number from 1 to {container_lab.MOST_GENERATORS} was expected")
    return count


def down(lab: str = container_lab.LAB, *, purge: bool, by_force: bool = False) -> None:
    """A lab of this machine, down. Raises UsageError for hosts that are not made here, TakenHostError as `up`."""
    kind = _kind_made_here(lab)
    if purge and kind != container_lab.LAB:
        raise UsageError(f"--purge: only the container lab has caches; leave it out for lab {lab}")
    take_down(lab, kind, console, purge=purge, by_force=by_force)


def _kind_made_here(lab: str) -> str:
    kind = container_lab.LAB if lab == container_lab.LAB else read_hosts(lab).kind
    if kind not in {container_lab.LAB, vagrant.LAB}:
        raise UsageError(
            f"lab {lab}: its hosts are not made here (lab_kind is {kind}), so there is nothing to bring up or down. "
            f"`invoke doctor --lab {lab}` looks at them, `invoke provision --lab {lab}` sets them up, "
            f"`invoke reset --lab {lab}` puts them back."
        )
    return kind


def status(lab: str, *, as_json: bool) -> None:
    """Every host of a lab and whether it answers. Exits with 1 when one does not."""
    hosts = read_hosts(lab)
    if hosts.kind == "container" and not container_lab.status().nodes:
        if as_json:
            print_json({"lab": lab, "kind": hosts.kind, "hosts": []})
        raise Exit(f"lab {lab}: down. {remedy(lab, hosts.kind)}", code=1)
    with ThreadPoolExecutor(max_workers=len(hosts.all)) as pool:
        found = [_with_sharing(status) for status in pool.map(_look, hosts.all)]
    if as_json:
        print_json({"lab": lab, "kind": hosts.kind, "hosts": [_data(status) for status in found]})
    else:
        results().print(_table(found))
    if any(status.problem for status in found):
        raise Exit(f"lab {lab}: not every host can be reached. {remedy(lab, hosts.kind)}", code=1)


def _with_sharing(status: HostStatus) -> HostStatus:
    """The status of a host, and with whom a container lab's backends share their CPUs."""
    if status.host.lab_kind != container_lab.LAB or status.host.group != BACKEND_GROUP:
        return status
    nodes = [node for node in container_lab.status().nodes if node.name == status.host.name and node.cpus_shared_with]
    said = [
        f"no CPU of its own: shares {_numbers(node.cpus)} with {', '.join(node.cpus_shared_with)}" for node in nodes
    ]
    return replace(status, notes=(*status.notes, *said))


def _numbers(cpus: Sequence[int]) -> str:
    return ",".join(map(str, cpus))


def ssh(lab: str, name: str) -> None:
    """Replaces this process by an ssh session to a host, with the lab's key and its checked host keys.

    Raises HostError for a container lab that is down.
    """
    hosts = {host.name: host for host in read_hosts(lab).all}
    if name not in hosts:
        raise UnknownNameError("host", name, hosts)
    require_network(hosts[name])
    words = ssh_command(hosts[name])
    os.execvp(words[0], words)  # noqa: S606  the session is the user's own


def ssh_command(host: LabHost) -> list[str]:
    """`ssh` to a host as the lab's connections are: its key alone, and checked host keys, also on the way there."""
    checked = []
    if host.known_hosts_path:
        checked = ["-o", f"UserKnownHostsFile={host.known_hosts_path}", "-o", "StrictHostKeyChecking=yes"]
    by_way_of = []
    if host.jump_host:
        # Not -J, which would take the user's own keys and known hosts for the host on the way.
        proxy = [
            "ssh",
            *_OWN_SETTINGS,
            *_identity(host.jump_key_path),
            *checked,
            "-W",
            "[%h]:%p",
            f"ssh://{host.jump_host}",
        ]
        by_way_of = ["-o", f"ProxyCommand={shlex.join(proxy)}"]
    return [
        *("ssh", *_OWN_SETTINGS, "-p", str(host.port), *_identity(host.key_path), *checked, *by_way_of),
        f"{host.user}@{host.address}",
    ]


def _identity(key_path: Path | None) -> list[str]:
    return ["-i", str(key_path), "-o", "IdentitiesOnly=yes"] if key_path else []


def _look(host: LabHost) -> HostStatus:
    remote = RemoteHost(host)
    try:
        lock = look_at_lock(remote)
        provisioned = remote.run(["sh", "-c", _PROVISIONED], limit_s=_LOOK_LIMIT_S, check=False).stdout.split()
        damaged = [f"its lease record is damaged ({lock.damage}) and counts as none"] if lock.damage else []
        return HostStatus(host, "", lock.holder, (*damaged, *_provisioning_notes(host, provisioned)))
    except (HostError, ParseError) as error:
        return HostStatus(host, str(error))
    finally:
        remote.close()


def _provisioning_notes(host: LabHost, found: Sequence[str]) -> Iterator[str]:
    """What is missing on a host before it can be measured; `found` are the parts that are there."""
    if "scripts" not in found:
        yield f"not provisioned (`invoke provision --lab {host.lab}`; a bench does it by itself)"
    elif host.group == LOADGEN_GROUP and "wrk" not in found:
        yield f"provisioned in part: there is no wrk (`invoke provision --lab {host.lab}`)"
    elif host.group == BACKEND_GROUP:
        services = ", ".join(name for name in BackendName if name in found)
        yield f"has {services}" if services else "no service yet (lab_backends; a bench installs what it needs)"
    elif host.group == SERVER_GROUP and "record" not in found:
        yield f"provisioned, nothing deployed (`invoke deploy --lab {host.lab}`; a bench does it by itself)"


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
        "notes": list(status.notes),
        "held_by": status.holder.model_dump(exclude={"token"}) if status.holder else None,
    }


def _table(found: list[HostStatus]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("host", "group", "address", "CPUs", "state"):
        table.add_column(heading, overflow="fold")
    for status in found:
        host = status.host
        cpus = _numbers(host.cpus) or "all"
        cells = (host.name, host.group, host.address, cpus, status.text)
        table.add_row(*map(escape, cells))
    return table
