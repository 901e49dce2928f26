"""What a host must be before anything of ours touches it, asked over its connection. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wrklab.errors import HostError, ParseError
from wrklab.hosts.node_calls import carried
from wrklab.hosts.remote import CommandResult, RemoteHost, answered_object, failure_text

DISTRIBUTION = "debian 12"
INIT = "systemd"
#: An interpreter's start on an emulated machine takes seconds.
_LOOK_LIMIT_S = 60.0
#: How long the two sides of a transfer may need to begin and end, beside the transfer.
_LINK_SLACK_S = 30.0
_SYSTEM_SCRIPT = """
test -r /etc/os-release && . /etc/os-release
printf '%s %s|%s|%s|' "$ID" "$VERSION_ID" "$PRETTY_NAME" "$(cat /proc/1/comm)"
test -x /usr/bin/python3 && echo yes || echo no
"""


@dataclass(frozen=True)
class System:
    """What a host runs: `distribution` is ID and VERSION_ID of os-release (`debian 12`), `init` is PID 1."""

    distribution: str
    pretty_name: str
    init: str
    has_python: bool

    @property
    def problem(self) -> str:
        """Why it will not do; empty where it will."""
        if self.distribution != DISTRIBUTION or self.init != INIT:
            found = self.pretty_name or self.distribution or "an unknown system"
            return f"{found} with {self.init} as PID 1; Debian 12 with systemd is needed. Take another host."
        if not self.has_python:
            return "no /usr/bin/python3. There, as root: apt-get install python3"
        return ""


@dataclass(frozen=True)
class HostLook:
    """A host before anything of ours is on it."""

    #: A digest that is the same for every name of one running machine.
    machine: str
    cpus: tuple[int, ...]
    disk_free_bytes: int
    memory_bytes: int
    #: Why nothing can listen on its load address; empty where something can.
    load_address_problem: str
    #: Of the route to each load address of the other side; None where there is none.
    mtu_bytes: Mapping[str, int | None]
    #: Those of the ports asked about that a program listens on.
    ports_taken: tuple[int, ...] = ()
    #: What to listen on to be found at its load address: a number, of all addresses where that is not known there.
    listen_address: str = "0.0.0.0"  # noqa: S104  as variants do
    #: What the load addresses of the other side stand for there; None for nothing.
    peer_addresses: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkLook:
    """What one connection from a generator to the server carried."""

    port: int
    bytes_per_s: float
    #: The quickest of several connects: one round trip.
    connect_s: float


_HOST_LOOK = TypeAdapter(HostLook)
#: Of bytes, seconds and ports.
_NUMBER_MAX = 1e18


def read_system(host: RemoteHost) -> System:
    """What a host runs, asked as root. Raises HostError, also where its user may not become root."""
    result = host.run(["sh", "-c", _SYSTEM_SCRIPT], limit_s=_LOOK_LIMIT_S, check=False)
    if result.exit_code != 0 or result.stdout.count("|") != 3:  # noqa: PLR2004  as the script prints
        raise HostError(_no_root_text(host, result))
    distribution, pretty_name, init, python = result.stdout.strip().split("|")
    return System(distribution.strip(), pretty_name, init, has_python=python == "yes")


def _no_root_text(host: RemoteHost, result: CommandResult) -> str:
    user = host.host.user
    if user == "root":
        return failure_text(result)
    said = " ".join((result.stderr.strip() or result.stdout.strip() or "nothing").split())
    if "must have a tty" in said:
        return (
            f"{host.name}: sudo wants a terminal there: {said!r}. There, as root: "
            f"echo 'Defaults:{user} !requiretty' > /etc/sudoers.d/wrklab_tty"
        )
    return (
        f"{host.name}: {user} may not become root there: sudo said {said!r}. Expected: sudo without a password. There, "
        f"as root: echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/wrklab; or set ansible_user: root"
    )


def require_usable(host: RemoteHost) -> None:
    """Raises HostError unless root rights can be had, and the system is one that variants are deployed to."""
    problem = read_system(host).problem
    if problem:
        raise HostError(f"{host.name}: {problem}")


def look_at_host(host: RemoteHost, peer_load_addresses: Sequence[str], ports: Sequence[int] = ()) -> HostLook:
    """CPUs, room, addresses and ports of a host with python3. Raises HostError, ParseError."""
    words = [host.host.load_address, ",".join(peer_load_addresses), ",".join(map(str, ports))]
    answer = host.run(carried("host_look.py", *words), limit_s=_LOOK_LIMIT_S).stdout
    found = answered_object(host.name, "host_look.py", answer)
    try:
        return _HOST_LOOK.validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ParseError(
            f"{host.name}: host_look.py: {where}: {first['msg']}; it is {str(first['input'])[:100]!r}"
        ) from error


def look_at_link(
    generator: tuple[RemoteHost, HostLook],
    server: tuple[RemoteHost, HostLook],
    ports: Sequence[int],
    lasting_s: float = 1.0,
) -> LinkLook:
    """A transfer from the server to a generator over the addresses that carry the load.

    The server listens on the first of `ports` that is free there. Raises HostError, ParseError.
    """
    (fetcher, fetcher_look), (sender, sender_look) = generator, server
    address = fetcher_look.peer_addresses.get(sender.host.load_address)
    if address is None:
        raise HostError(f"{fetcher.name}: {sender.host.load_address} is no address there, nor a name of one")
    limit_s = lasting_s + _LINK_SLACK_S
    listening = ["serve", sender_look.listen_address, ",".join(map(str, ports)), str(2 * limit_s)]
    with sender.talk(carried("link_check.py", *listening), limit_s=limit_s) as ask:
        found = answered_object(sender.name, "link_check.py", ask(""))
        if "error" in found:
            raise HostError(f"{sender.name}: {found['error']}")
        port = _number(sender.name, found, "port")
        fetching = carried("link_check.py", "fetch", address, str(int(port)), str(lasting_s))
        result = fetcher.run(fetching, limit_s=limit_s, check=False)
    if result.exit_code != 0:
        raise HostError(f"no connection to {address}:{port:g}: {result.stderr.strip().rpartition(chr(10))[2]}")
    found = answered_object(fetcher.name, "link_check.py", result.stdout)
    carried_bytes, took_s, connect_s = (_number(fetcher.name, found, key) for key in ("bytes", "took_s", "connect_s"))
    if not took_s:
        raise ParseError(f"{fetcher.name}: link_check.py: took_s: a time above 0 was expected, found {took_s!r}")
    return LinkLook(int(port), carried_bytes / took_s, connect_s)


def _number(host: str, found: Mapping[str, Any], key: str) -> float:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _NUMBER_MAX:
        raise ParseError(f"{host}: link_check.py: {key}: a number of at least 0 was expected, found {value!r:.100}")
    return float(value)
