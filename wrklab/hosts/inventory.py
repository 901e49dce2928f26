"""The hosts of a lab, as Ansible's inventory gives them: addresses, users, keys, CPUs."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wrklab.errors import InventoryError
from wrklab.hosts.ansible import inventory_path
from wrklab.hosts.inventory_files import check_files, check_variables, place_of
from wrklab.results.raw import RunHost, RunHosts

#: Nothing else decides what a host does.
SERVER_GROUP = "server"
LOADGEN_GROUP = "loadgen"
BACKEND_GROUP = "backend"
_SSH_PORT = 22


@dataclass(frozen=True)
class LabHost:
    """One host: how to reach it, and what it is given. `load_address` is where measured traffic goes."""

    name: str
    group: str
    address: str
    load_address: str
    user: str
    port: int
    key_path: Path | None
    known_hosts_path: Path | None
    #: A host to go through, as `user@host:port`.
    jump_host: str | None
    cpus: tuple[int, ...]
    lab: str
    lab_kind: str
    #: The key that the host to go through wants.
    jump_key_path: Path | None = None
    #: The unprivileged account that variants run as; the roles have the same default.
    app_user: str = "wrklab_app"

    @property
    def described(self) -> RunHost:
        """What of it is stored with every cell."""
        return RunHost(name=self.name, address=self.address, load_address=self.load_address, cpus=self.cpus)


@dataclass(frozen=True)
class LabHosts:
    """The hosts of one lab: one server, at least one generator, and one for backends where the lab has that."""

    lab: str
    kind: str
    server: LabHost
    generators: tuple[LabHost, ...]
    backend: LabHost | None = None

    @property
    def all(self) -> tuple[LabHost, ...]:
        """The server first, the backends' host last."""
        return (self.server, *self.generators, *((self.backend,) if self.backend else ()))

    @property
    def described(self) -> RunHosts:
        """What of them is stored with every cell."""
        return RunHosts(
            kind=self.kind,
            server=self.server.described,
            generators=tuple(host.described for host in self.generators),
            backend=self.backend.described if self.backend else None,
        )


def read_hosts(lab: str) -> LabHosts:
    """The hosts of a lab. Raises UnknownNameError for the lab, InventoryError for what is wrong or missing in it."""
    folder = inventory_path(lab)
    check_files(lab, folder)
    groups, said = _resolve(lab, folder)
    servers = groups[SERVER_GROUP]
    if len(servers) != 1 or not groups[LOADGEN_GROUP]:
        raise InventoryError(
            f"inventory/{lab}: one host in group {SERVER_GROUP} and at least one in {LOADGEN_GROUP} are needed; "
            f"found {len(servers)} and {len(groups[LOADGEN_GROUP])}.{said}"
        )
    backends = groups[BACKEND_GROUP]
    if len(backends) > 1:
        names = ", ".join(name for name, _ in backends)
        raise InventoryError(f"inventory/{lab}: at most one host in group {BACKEND_GROUP}; found {names}")
    kind = str(servers[0][1].get("lab_kind") or "ssh")
    hosts = LabHosts(
        lab=lab,
        kind=kind,
        server=_host(lab, SERVER_GROUP, *servers[0]),
        generators=tuple(_host(lab, LOADGEN_GROUP, *found) for found in groups[LOADGEN_GROUP]),
        backend=_host(lab, BACKEND_GROUP, *backends[0]) if backends else None,
    )
    _refuse_one_host_twice(hosts)
    return hosts


def _refuse_one_host_twice(hosts: LabHosts) -> None:
    """Names tell hosts apart everywhere; only the server may be a generator's machine as well, under another name."""
    if hosts.backend and hosts.backend.name in {host.name for host in (hosts.server, *hosts.generators)}:
        raise InventoryError(
            f"inventory/{hosts.lab}: {hosts.backend.name} stands in {BACKEND_GROUP} and in another group. One machine "
            f"may have both roles, under two names: give it a second one in {BACKEND_GROUP} with the same ansible_host."
        )
    if hosts.server.name in {host.name for host in hosts.generators}:
        raise InventoryError(
            f"inventory/{hosts.lab}: {hosts.server.name} stands in both groups. One machine may have both roles, under "
            f"two names: give it a second one in {LOADGEN_GROUP} with the same ansible_host."
        )
    for what in ("address", "load_address"):
        names: dict[tuple[str, int], str] = {}
        for host in hosts.generators:
            port = host.port if what == "address" else 0
            other = names.setdefault((getattr(host, what), port), host.name)
            if other != host.name:
                key = "ansible_host" if what == "address" else "lab_load_address"
                raise InventoryError(
                    f"inventory/{hosts.lab}: {other} and {host.name}: both have {key} {getattr(host, what)}; each "
                    "generator needs an address of its own"
                )


def remedy(lab: str, kind: str) -> str:
    """What to do about a lab whose hosts do not answer."""
    if kind == "container":
        return "`invoke lab.up` brings the lab up."
    if kind == "vagrant":
        return "`vagrant up` brings the lab up."
    return f"Are its machines on, and do their addresses and keys stand right in inventory/{lab}?"


_Groups = dict[str, list[tuple[str, Mapping[str, Any]]]]


def _resolve(lab: str, folder: Path) -> tuple[_Groups, str]:
    """Host names with their variables, Jinja filled in, by group; and what Ansible said meanwhile, a line each.

    Ansible's own classes do it: one truth.
    """
    from ansible import constants
    from ansible.errors import AnsibleError
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar
    from ansible.vars.manager import VariableManager

    _load_plugins()
    loader = DataLoader()
    # Otherwise it goes on without the hosts of a script that failed.
    constants.INVENTORY_ANY_UNPARSED_IS_FAILED = True
    # Ansible warns of hosts that are called like their groups; here that is meant: two machines, two roles.
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            inventory = InventoryManager(loader=loader, sources=[str(folder)])
        except AnsibleError as error:
            raise InventoryError(f"inventory/{lab}: {error}{_indented(said.getvalue())}") from error
    variables = VariableManager(loader=loader, inventory=inventory)
    found: _Groups = {}
    not_of_hosts = set(variables.get_vars())
    for group in (SERVER_GROUP, LOADGEN_GROUP, BACKEND_GROUP):
        found[group] = []
        for host in inventory.groups[group].get_hosts() if group in inventory.groups else []:
            raw = _raw_variables(lab, host, variables)
            check_variables(lab, folder, host.name, sorted(set(raw) - not_of_hosts))
            templar = Templar(loader=loader, variables=raw)
            wanted = {key: raw[key] for key in raw if key.startswith(("ansible_", "lab_"))}
            found[group].append((host.name, _filled_in(lab, host.name, templar, wanted)))
    return found, _indented(said.getvalue())


def _indented(said: str) -> str:
    return "".join(f"\n  {line}" for line in said.splitlines() if line.strip())


def _raw_variables(lab: str, host: Any, variables: Any) -> Mapping[str, Any]:  # noqa: ANN401  Ansible ships no types
    from ansible.errors import AnsibleError

    try:
        found: Mapping[str, Any] = variables.get_vars(host=host)
    except AnsibleError as error:
        where = f"inventory/{lab}: {host.name}: its variables (group_vars, host_vars)"
        raise InventoryError(f"{where}: {error}") from error
    return found


@cache
def _load_plugins() -> None:
    """Once a process: Ansible warns of a second time."""
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader()


def _filled_in(lab: str, name: str, templar: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401  Ansible ships no types
    from ansible.errors import AnsibleError

    values: dict[str, Any] = {}
    for key in _KEYS:
        # Without a host to go through its key need not be known.
        if key in wanted and (key != "lab_jump_key" or values.get("lab_jump_host")):
            try:
                values[key] = templar.template(wanted[key])
            except AnsibleError as error:
                raise InventoryError(f"{_place(lab, key)}: {name}: {key}: {error}") from error
    for key, other in _ALIASES.items():
        if other in values and values.setdefault(key, values[other]) != values[other]:
            raise InventoryError(
                f"{_place(lab, other)}: {name}: {key} is {values[key]!r} and {other} is {values[other]!r}: "
                "they mean the same; leave one out"
            )
    return values


def _place(lab: str, key: str) -> str:
    return place_of(lab, inventory_path(lab), key)


#: Ansible's former names of what we read.
_ALIASES = {
    "ansible_host": "ansible_ssh_host",
    "ansible_port": "ansible_ssh_port",
    "ansible_ssh_private_key_file": "ansible_private_key_file",
    "ansible_user": "ansible_ssh_user",
}
#: Options that only Ansible's ssh is given, and those of them that go through another host.
_SSH_OPTIONS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_WAY = re.compile(r"Proxy(?:Jump|Command)(?![=\s\"']*none\b)|(?:^|\s)-J", re.IGNORECASE)
#: Other connections than ssh cannot be ours.
_CONNECTIONS = frozenset({"ansible.builtin.ssh", "paramiko", "paramiko_ssh", "smart", "ssh"})
_KEYS = (
    *_ALIASES,
    *_ALIASES.values(),
    *_SSH_OPTIONS,
    "ansible_connection",
    "lab_app_user",
    "lab_cpus",
    "lab_jump_host",
    "lab_jump_key",
    "lab_kind",
    "lab_known_hosts",
    "lab_load_address",
)


def _host(lab: str, group: str, name: str, values: Mapping[str, Any]) -> LabHost:
    address = str(values.get("ansible_host") or name)
    cpus = values.get("lab_cpus") or ()
    if not isinstance(cpus, list | tuple) or not all(isinstance(cpu, int) for cpu in cpus):
        where = f"{_place(lab, 'lab_cpus')}: {name}"
        raise InventoryError(f"{where}: lab_cpus must be a list of CPU numbers, found {cpus!r}")
    connection = values.get("ansible_connection") or "ssh"
    if connection not in _CONNECTIONS:
        where = f"{_place(lab, 'ansible_connection')}: {name}"
        raise InventoryError(f"{where}: ansible_connection is {connection!r}: hosts are reached by ssh; leave it out")
    if not values.get("lab_jump_host"):
        _refuse_a_way_of_ansibles_own(lab, name, values)
    return LabHost(
        name=name,
        group=group,
        address=address,
        load_address=str(values.get("lab_load_address") or address),
        user=str(values.get("ansible_user") or "root"),
        port=_port(lab, name, values.get("ansible_port") or _SSH_PORT),
        key_path=_path(values.get("ansible_ssh_private_key_file")),
        known_hosts_path=_path(values.get("lab_known_hosts")),
        jump_host=str(values["lab_jump_host"]) if values.get("lab_jump_host") else None,
        jump_key_path=_path(values.get("lab_jump_key")) or _path(values.get("ansible_ssh_private_key_file")),
        cpus=tuple(int(cpu) for cpu in cpus),
        lab=lab,
        lab_kind=str(values.get("lab_kind") or "ssh"),
        app_user=str(values.get("lab_app_user") or "wrklab_app"),
    )


def _refuse_a_way_of_ansibles_own(lab: str, name: str, values: Mapping[str, Any]) -> None:
    """Our connections would go straight to the host where Ansible's go through another."""
    for key in _SSH_OPTIONS:
        if found := _WAY.search(str(values.get(key) or "")):
            raise InventoryError(
                f"{_place(lab, key)}: {name}: {key} has {found[0].strip()}, which only Ansible would go by: name that "
                "host in lab_jump_host (and its key in lab_jump_key), as in inventory/example_ssh/group_vars/all.yml"
            )


def _port(lab: str, name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise InventoryError(
            f"{_place(lab, 'ansible_port')}: {name}: ansible_port must be a number, found {value!r}"
        ) from None


def _path(value: object) -> Path | None:
    return Path(str(value)).expanduser() if value else None
