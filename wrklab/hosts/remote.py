"""Commands on hosts over connections that stay open (Fabric), each with a deadline, each answered by a value."""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Never, Self, TypeVar

import paramiko
from fabric import Config, Connection
from paramiko.hostkeys import InvalidHostKey

from wrklab.errors import HostError, ParseError
from wrklab.hosts import channel, container_lab
from wrklab.hosts.inventory import LabHost, remedy

# Paramiko logs tracebacks of what it raises as well; here the exception is enough.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

#: An emulated machine may need 20 s for the key exchange; the kernel reports an address that nobody has at once.
CONNECT_LIMIT_S = 30.0
#: A cut shorter than this is bridged by TCP itself; a longer one ends the connection, and a new one is made.
DEAD_AFTER_S = 15.0
_STDERR_LINES = 10
_COMMAND_SHOWN_CHARS = 200

#: How long after a lost connection a host is tried again; what runs there goes on meanwhile.
RECONNECT_LIMIT_S = 20.0
#: An sshd that is being restarted may end the first connections after it as well.
_LOSSES_MAX = 5
#: sshd ends connections without a greeting while it restarts, and some of many that begin at once (MaxStartups).
_GREETING_WAITS_S = (0.3, 1.0, 2.0)
#: A connection that was ended later than this was not turned away.
_TURNED_AWAY_WITHIN_S = 3.0

Answer = TypeVar("Answer")

#: Where a host keeps whose it is: `.json` is the record, `.lock` guards it (node/host_lock.py).
LEASE_FILES = "/run/wrklab/controller"
#: No script, and no program that is run here, ends with it.
_LEASE_LOST_STATUS = 197
#: Runs a command unless the record is another controller's, or has gone from the folder that we held the host in: then
#: another had it and let go. A folder that is new is that of a host that was started again; a damaged record counts as
#: none. In the shell: a Python would cost each command 15 ms.
_FENCE = r"""
token=$1 held_in=$2; shift 2
record=
[ ! -f "$0.json" ] || record=$(cat "$0.json")
case $record in
*"\"token\": \"$token\""*) exec "$@" ;;
*'"token": "'*) ;;
*) if [ -e "$0.json" ] || [ "$(stat -c %d.%i.%.9Y "$0.lock" 2>/dev/null)" != "$held_in" ]; then exec "$@"; fi ;;
esac
echo "the host is another controller's by now: ${record:-one that has let go of it again}" >&2
exit 197
"""

#: What paramiko and the system raise when a connection ends under us.
_BROKEN = (paramiko.SSHException, EOFError, OSError)


class ConnectionLostError(HostError):
    """The connection ended before the command's answer was complete; the command may still run on the host."""


class UnknownHostKeyError(paramiko.SSHException):
    """No key of the host is known."""


class _RefuseUnknown(paramiko.RejectPolicy):
    """No key is taken on trust."""

    def missing_host_key(
        self,
        client: paramiko.SSHClient,  # noqa: ARG002  as paramiko calls it
        hostname: str,
        key: paramiko.PKey,
    ) -> Never:
        raise UnknownHostKeyError(f"{hostname}: {key.get_name()}")


class LeaseLostError(HostError):
    """Another controller has the host: it refused what was asked of it, and did nothing."""


@dataclass(frozen=True)
class Lease:
    """A controller's right to act on a host (hosts/host_lock.py)."""

    token: str
    #: The host's name for the folder that holds the lease.
    held_in: str


@dataclass(frozen=True)
class CommandResult:
    """The result of a command on a host."""

    host: str
    command: str
    exit_code: int
    stdout: str
    stderr: str
    took_s: float


class RemoteHost:
    """One host over one open ssh connection. The host's key must be known: it is never taken on trust."""

    def __init__(self, host: LabHost) -> None:
        """Nothing is opened yet."""
        self.host = host
        #: How many times as long as usual it may take to answer; hosts/session.py sets it once it knows.
        self.timeout_scale = 1.0
        #: With it the host checks before each command that it is still this controller's; None checks nothing.
        self.lease: Lease | None = None
        #: Of the boot in which it was last cleaned up; empty while that is not known.
        self.boot_id = ""
        self._connection: Any = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name in the inventory."""
        return self.host.name

    def __enter__(self) -> Self:
        """Opens the connection. Raises HostError."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that nothing says has ended."""
        with self._lock:
            return self._connection is not None and bool(self._connection.is_connected)

    def open(self) -> None:
        """Opens the connection unless it is open. Raises HostError saying what to do."""
        self._opened()

    def _opened(self) -> Any:  # noqa: ANN401  Fabric ships no types
        """The open connection. A caller keeps to it: another thread may put a new one in its place."""
        with self._lock:
            if self._connection is not None and self._connection.is_connected:
                return self._connection
            self._close()
            require_network(self.host)
            try:
                connection = _greeted(self.host)
                # By way of a jump host, the socket that is ours is the one to that.
                own = (connection.gateway or connection).transport.sock
                # Nagle's algorithm against delayed acknowledgements costs 43 ms of a command's 45 ms (measured).
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _notice_when_dead(own)
            except _BROKEN as error:
                raise HostError(_unreachable(self.host, error)) from error
            self._connection = connection
            return connection

    def _drop(self, connection: Any) -> None:  # noqa: ANN401  Fabric ships no types
        """Closes a connection that has ended, unless another thread has a new one by now."""
        with self._lock:
            if self._connection is connection:
                self._close()

    def close(self) -> None:
        """Closes the connection; more than once does no harm."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*_BROKEN):
                self._connection.close()
            self._connection = None

    def run(
        self,
        argv: Sequence[str],
        *,
        limit_s: float,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        stdin_line: str = "",
    ) -> CommandResult:
        """Run a command as root (by sudo where the login user is another) and wait for its end.

        `on_line` is called with each line of stdout as it comes; `stdin_line` is what it reads first.

        Raises HostError when the command fails (unless not `check`), takes longer than `limit_s`, or prints more than
        is accepted; ConnectionLostError when the connection ends first; LeaseLostError where the host is another
        controller's by now.
        """
        shown = _shown(shlex.join(self._as_root(argv)))
        lease = self.lease
        command = shlex.join(self._as_root(_fenced(argv, lease) if lease else argv))
        started_s = time.monotonic()
        connection = self._opened()
        try:
            output = channel.execute(connection.transport, command, started_s + limit_s, on_line, stdin_line)
        except TimeoutError as error:
            raise HostError(f"{self.name}: no end of `{shown}` within {limit_s:g} s") from error
        except channel.TooMuchOutputError as error:
            raise HostError(f"{self.name}: `{shown}`: {error}") from error
        except _BROKEN as error:
            self._drop(connection)
            raise ConnectionLostError(f"{self.name}: the connection ended during `{shown}`: {error!r}") from error
        if output.exit_code < 0:
            self._drop(connection)
            raise ConnectionLostError(f"{self.name}: the connection ended during `{shown}`")
        if lease and output.exit_code == _LEASE_LOST_STATUS:
            raise LeaseLostError(f"{self.name}: `{shown}` was refused there: {output.stderr.strip()[:400]}")
        took_s = time.monotonic() - started_s
        result = CommandResult(self.name, shown, output.exit_code, output.stdout, output.stderr, took_s)
        if check and result.exit_code != 0:
            raise HostError(failure_text(result))
        return result

    @contextmanager
    def talk(self, argv: Sequence[str], *, limit_s: float) -> Iterator[Callable[[str], str]]:
        """A command that answers each line with a line, as a function; the command ends with the block.

        Each answer may take `limit_s`. Raises HostError.
        """
        connection = self._opened()
        command = shlex.join(self._as_root(argv))
        try:
            with channel.conversation(connection.transport, command, limit_s) as ask:
                yield ask
        except channel.TooMuchOutputError as error:
            raise HostError(f"{self.name}: `{_shown(command)}`: {error}") from error
        except _BROKEN as error:
            self._drop(connection)
            raise ConnectionLostError(f"{self.name}: `{_shown(command)}` did not answer: {error!r}") from error

    def _as_root(self, argv: Sequence[str]) -> list[str]:
        return [*argv] if self.host.user == "root" else ["sudo", "-n", "--", *argv]


def _fenced(argv: Sequence[str], lease: Lease) -> list[str]:
    return ["/bin/sh", "-c", _FENCE, LEASE_FILES, lease.token, lease.held_in, *argv]


def _shown(command: str) -> str:
    """A command in a message: a spec, or the text of a script, makes a long line."""
    return command if len(command) < _COMMAND_SHOWN_CHARS else f"{command[:_COMMAND_SHOWN_CHARS]}…"


def _notice_when_dead(connection: socket.socket) -> None:
    """Lets the connection end when its peer has vanished (powered off, network cut)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 3), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # Linux; elsewhere the system's own hours hold
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Where something is under way unacknowledged, keepalives are not sent (tcp(7)).
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DEAD_AFTER_S * 1000))


def answered_object(host: str, script: str, text: str) -> dict[str, Any]:
    """The JSON object that a script answered; halves of characters become question marks, as no file can hold them.

    Raises ParseError.
    """
    try:
        found = json.loads(text)
        if "\\ud" in text.lower():
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{host}: {script} answered no JSON ({error}): {text[:200]!r}") from error
    if not isinstance(found, dict):
        raise ParseError(f"{host}: {script} answered {type(found).__name__}, an object was expected: {text[:200]!r}")
    return found


def failure_text(result: CommandResult) -> str:
    """A failed command for the user: host, command, exit code, the last lines of stderr (else of stdout)."""
    lines = (result.stderr.strip() or result.stdout.strip()).splitlines()[-_STDERR_LINES:]
    shown = "\n".join(f"  {line}" for line in lines) or "  (no output)"
    return f"{result.host}: `{result.command}` ended with {result.exit_code}:\n{shown}"


def _greeted(host: LabHost) -> Any:  # noqa: ANN401  Fabric ships no types
    """An open connection; tried again where the host turned it away without a greeting. Raises HostError, _BROKEN."""
    for wait_s in (*_GREETING_WAITS_S, None):
        connection, began_s = _connection(host), time.monotonic()
        try:
            connection.open()
        except (paramiko.SSHException, EOFError):
            transport = connection.client.get_transport()
            is_turned_away = transport is not None and not transport.remote_version
            if wait_s is None or not is_turned_away or time.monotonic() - began_s > _TURNED_AWAY_WITHIN_S:
                raise
            time.sleep(wait_s)
        else:
            break
    return connection


def _connection(host: LabHost) -> Any:  # noqa: ANN401  Fabric ships no types
    # False, as None would let Fabric look for one elsewhere.
    gateway = _connection_to(host, host.jump_host, host.jump_key_path) if host.jump_host else False
    return _connection_to(host, host.address, host.key_path, user=host.user, port=host.port, gateway=gateway)


def _connection_to(host: LabHost, address: str, key_path: Path | None, **more: Any) -> Any:  # noqa: ANN401  Fabric ships no types
    """Not opened. ~/.ssh/config and Fabric's own files do not count: the inventory says how a host is reached.

    Fabric would take a way from them that it does not check host keys on. Raises HostError.
    """
    connection = Connection(
        address,
        config=Config(ssh_config=paramiko.SSHConfig(), lazy=True),
        connect_timeout=int(CONNECT_LIMIT_S),
        connect_kwargs=_connect_kwargs(key_path),
        **more,
    )
    _check_host_keys(connection, host)
    return connection


def _connect_kwargs(key_path: Path | None) -> dict[str, object]:
    # A host on the way that never opens the way on would be waited for for an hour (paramiko's default).
    limits: dict[str, object] = {
        "banner_timeout": CONNECT_LIMIT_S,
        "auth_timeout": CONNECT_LIMIT_S,
        "channel_timeout": CONNECT_LIMIT_S,
    }
    if key_path is None:
        return limits
    return limits | {"key_filename": str(key_path), "look_for_keys": False, "allow_agent": False}


def _check_host_keys(connection: Any, host: LabHost) -> None:  # noqa: ANN401  Fabric ships no types
    client: paramiko.SSHClient = connection.client
    client.set_missing_host_key_policy(_RefuseUnknown())
    known_hosts = host.known_hosts_path
    where = f"{host.name}: {known_hosts or '~/.ssh/known_hosts'}"
    try:
        if known_hosts is None:
            client.load_system_host_keys()
        # Without the file no key is known, which is told when one is asked for.
        elif known_hosts.exists():
            client.load_host_keys(str(known_hosts))
    except (OSError, ValueError) as error:
        raise HostError(
            f"{where} cannot be read: {error}. Expected: a file that you may read, a host key a line as ssh-keyscan "
            "writes it; lab_known_hosts in the inventory says which"
        ) from error
    except InvalidHostKey as error:
        raise HostError(
            f"{where}: a line has no complete host key: {error.line[:80]!r}. Remove it, and take the key again"
        ) from error


def is_without_network(host: LabHost) -> bool:
    """Whether it is a node of a container lab that is down: its address may be that of another machine."""
    return host.lab_kind == container_lab.LAB and not container_lab.is_network_there()


def require_network(host: LabHost) -> None:
    """Raises HostError for a node of a container lab that is down."""
    if is_without_network(host):
        raise HostError(f"{host.name}: lab {host.lab} is down. {remedy(host.lab, host.lab_kind)}")


def _unreachable(host: LabHost, error: BaseException) -> str:
    known = host.known_hosts_path or "~/.ssh/known_hosts"
    way = f" by way of {host.jump_host}" if host.jump_host else ""
    where = f"{host.name} ({host.user}@{host.address}:{host.port}{way})"
    if isinstance(error, paramiko.BadHostKeyException):
        return f"{where}: its host key is not the one in {known}. If the host was made again, replace the line there."
    if isinstance(error, UnknownHostKeyError):
        return (
            f"{where}: its host key is not in {known}. Check it, then add it: ssh-keyscan -p {host.port} {host.address}"
        )
    if isinstance(error, paramiko.AuthenticationException):
        return f"{where}: the login was refused ({error}). Expected: the key {host.key_path or 'of your agent'}."
    return f"{where}: not reachable: {error}. {remedy(host.lab, host.lab_kind)}"


def reconnect(host: RemoteHost) -> None:
    """Open a lost connection again, trying for a while. Raises HostError when it stays lost."""
    until = time.monotonic() + RECONNECT_LIMIT_S * host.timeout_scale
    while True:
        try:
            host.open()
        except HostError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return


def retry_on_disconnect(
    host: RemoteHost, call: Callable[[], Answer], again: Callable[[], Answer], on_loss: Callable[[str], None]
) -> Answer:
    """What `call` gives or, each time that the connection is lost and made again, what `again` gives.

    `on_loss` hears why. Raises HostError when the host stays lost, or its connections end one after the other.
    """
    for _ in range(_LOSSES_MAX):
        try:
            return call()
        except ConnectionLostError as error:
            on_loss(str(error))
            reconnect(host)
            call = again
    return call()
