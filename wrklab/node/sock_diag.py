"""Sockets as the kernel reports them by netlink (sock_diag): what `ss` shows, 30 times cheaper.

Listening sockets with their accept queue and backlog; the connections to one target, by TCP state, with what each has
received and how long it has been silent; and the local ports that are left for more.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from wrklab.node import node_io

_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NETLINK_SOCK_DIAG = 4
_REQ_BYTECODE = 1
_BC_S_COND = 7
_BC_D_COND = 8

_HEADER = struct.Struct("=LHHLL")
#: inet_diag_msg: family, state, timer, retrans; ports; addresses, interface, cookie; expires, queues, uid, inode.
_MESSAGE = struct.Struct("=BBBB2s2s16s16s12sLLLLL")
_REQUEST = struct.Struct("=BBBBL48x")
#: Of a message: its length; state, retrans, own port and receive queue of the socket.
_BRIEF = struct.Struct("=L13xBxBH50xL")
_ATTRIBUTE = struct.Struct("=HH")
#: The attribute with the kernel's struct tcp_info, and two numbers of it: ms since data came (since the connection was
#: made where none did), and bytes received.
_INFO = 2
_WANT_INFO = 1 << (_INFO - 1)
_RECEIVED = struct.Struct("=52xL72xQ")
_SILENCE_STEP_MS = 100
_SETTINGS = "/proc/sys/net/ipv4"

_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "NEW_SYN_RECV",
}
_ALL_STATES = sum(1 << state for state in _STATES)
_LISTEN = 1 << 10
_ESTABLISHED, _SYN_SENT, _CLOSE_WAIT = 1, 2, 8


class Listener(NamedTuple):
    """One listening socket: connections that wait to be accepted, and how many may wait."""

    family: str
    port: int
    queued_count: int
    backlog: int
    inode: int


class LocalConnections(NamedTuple):
    """The connections to a port of this host, by state; those that the kernel holds for a later accept() apart."""

    states: dict[str, int]
    #: Established, but not accepted yet: no process has a descriptor of them.
    unaccepted_count: int

    @property
    def open_count(self) -> int:
        """Those that a process or the kernel's queue still holds."""
        return sum(self.states.get(state, 0) for state in ("ESTABLISHED", "SYN_RECV", "CLOSE_WAIT"))


class TargetConnections:
    """This host's connections to one target, counted in one pass."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.states: dict[str, int] = {}
        #: Being opened again: a first SYN on its way, or ended by the target and not closed here yet. One whose SYN
        #: had to be sent again does not count: the target does not take it.
        self.reopening_count = 0
        #: Established, with received bytes that the program here has not read yet.
        self.unread_count = 0
        #: Established with nothing left to read, by the tenths of a second since the last byte came.
        self.silences_answered: dict[int, int] = {}
        #: Of those that never received a byte: by the time since they were established.
        self.silences_unanswered: dict[int, int] = {}
        #: Bytes that these have received since they were established, by own port (as the kernel writes it).
        self.received_bytes: dict[int, int] = {}

    def add(self, state: int, retrans: int, unread_bytes: int) -> None:
        """Count one socket."""
        name = _STATES[state]
        self.states[name] = self.states.get(name, 0) + 1
        if state == _ESTABLISHED:
            self.unread_count += unread_bytes > 0
        elif state == _CLOSE_WAIT or (state == _SYN_SENT and retrans == 0):
            self.reopening_count += 1

    def add_silence(self, silent_ms: int, received_bytes: int, port: int) -> None:
        """Count one silent socket."""
        self.received_bytes[port] = received_bytes
        silences = self.silences_answered if received_bytes else self.silences_unanswered
        step = silent_ms // _SILENCE_STEP_MS
        silences[step] = silences.get(step, 0) + 1


def listeners(port: int | None = None) -> list[Listener]:
    """Listening TCP sockets (IPv4 and IPv6), of one port or of all.

    Listeners of MPTCP (Go's, from 1.24 on) are among them, with queue and backlog: below each is a TCP socket.
    """
    return [
        listener
        for family in (socket.AF_INET, socket.AF_INET6)
        for data in _dump(family, _LISTEN)
        for listener in _listeners_in(data)
        if port in (None, listener.port)
    ]


def listeners_text() -> str:
    """The listening sockets as text, a line each: family, port, queued, backlog."""
    return "".join(f"{item.family} {item.port} {item.queued_count} {item.backlog}\n" for item in listeners())


def connection_states(address: str, port: int) -> dict[str, int]:
    """How many of this host's TCP sockets are connected to address:port, by state (ESTABLISHED, TIME_WAIT, ...)."""
    return target_connections(address, port).states


def target_connections(address: str, port: int, *, with_silences: bool = False) -> TargetConnections:
    """This host's TCP sockets that are connected to address:port. 4,000 take 5 ms, with silences 8 ms."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bytecode = _destination_is(family, address, port)
    found = TargetConnections()
    for data in _dump(family, _ALL_STATES, bytecode, _WANT_INFO if with_silences else 0):
        position, end = 0, len(data)
        while position < end:
            length, state, retrans, own_port, unread_bytes = _BRIEF.unpack_from(data, position)
            found.add(state, retrans, unread_bytes)
            if with_silences and state == _ESTABLISHED and unread_bytes == 0:
                info = _info_offset(data, position, position + length)
                if info:
                    silent_ms, received_bytes = _RECEIVED.unpack_from(data, info)
                    found.add_silence(silent_ms, received_bytes, own_port)
            position += (length + 3) & ~3
    return found


def local_ports_count() -> int:
    """Local ports that connections may take: ip_local_port_range less those reserved."""
    low, high = (int(word) for word in (node_io.read_text(f"{_SETTINGS}/ip_local_port_range") or "").split())
    reserved = 0
    for part in (node_io.read_text(f"{_SETTINGS}/ip_local_reserved_ports") or "").strip().split(","):
        first, _, last = part.partition("-")
        if first:
            reserved += max(0, min(high, int(last or first)) - max(low, int(first)) + 1)
    return high - low + 1 - reserved


def free_ports_count(address: str, port: int) -> int:
    """Local ports that no socket towards address:port holds, not even in TIME_WAIT."""
    states = connection_states(address, port)
    if (node_io.read_text(f"{_SETTINGS}/tcp_tw_reuse") or "").strip() == "1":
        states.pop("TIME_WAIT", None)  # the kernel takes those over after a second
    return local_ports_count() - sum(states.values())


def _info_offset(data: bytes, start: int, end: int) -> int:
    """Where tcp_info begins in a message; 0 where it is not complete (kernels before 4.1 count no bytes received)."""
    position = start + _HEADER.size + _MESSAGE.size
    while position < end:
        length, kind = _ATTRIBUTE.unpack_from(data, position)
        if kind == _INFO:
            is_whole = length >= _ATTRIBUTE.size + _RECEIVED.size
            return position + _ATTRIBUTE.size if is_whole else 0
        position += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return 0


def local_connections(port: int) -> LocalConnections:
    """This host's TCP sockets that are connected at its port (seen from the server's side)."""
    counts: dict[int, int] = {}
    unaccepted_count = 0
    for fields in _at_port(port, _ALL_STATES & ~_LISTEN):
        counts[fields[1]] = counts.get(fields[1], 0) + 1
        unaccepted_count += _STATES[fields[1]] in ("ESTABLISHED", "CLOSE_WAIT") and fields[13] == 0
    return LocalConnections({_STATES[state]: count for state, count in sorted(counts.items())}, unaccepted_count)


def peers(port: int) -> dict[str, int]:
    """Who is connected at this host's port: established connections by the address of their other end."""
    counts: dict[str, int] = {}
    for fields in _at_port(port, 1 << _ESTABLISHED):
        # IPv4 stands in the first 4 of 16 bytes.
        packed = fields[7] if fields[0] == socket.AF_INET6 else fields[7][:4]
        address = socket.inet_ntop(fields[0], packed).removeprefix("::ffff:")
        counts[address] = counts.get(address, 0) + 1
    return counts


def _at_port(port: int, states: int) -> Iterator[tuple[Any, ...]]:
    """The fields of inet_diag_msg of each socket at this host's port, of both families."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for data in _dump(family, states, _source_port_is(port)):
            for position in _messages(data):
                yield _MESSAGE.unpack_from(data, position + _HEADER.size)


def _source_port_is(port: int) -> bytes:
    """A program for the kernel's filter: keep sockets whose own port is this one, at any address."""
    condition = struct.pack("=BBxxi", socket.AF_UNSPEC, 0, port)
    size = 4 + len(condition)
    return struct.pack("=BBH", _BC_S_COND, size, size + 4) + condition


def _destination_is(family: int, address: str, port: int) -> bytes:
    """A program for the kernel's filter: keep sockets whose other end is address:port."""
    packed = socket.inet_pton(family, address)
    condition = struct.pack("=BBxxi", family, len(packed) * 8, port) + packed
    size = 4 + len(condition)
    # Each operation names the offsets for yes and no; an offset past the program's end means no.
    return struct.pack("=BBH", _BC_D_COND, size, size + 4) + condition


def _dump(family: int, states: int, bytecode: bytes = b"", extensions: int = 0) -> Iterator[bytes]:
    """Messages of one dump, as they come. Nothing where the kernel does not know the family (IPv6)."""
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, extensions, 0, states)
    if bytecode:
        request += struct.pack("=HH", 4 + len(bytecode), _REQ_BYTECODE) + bytecode
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(5.0)
        header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0)
        link.send(header + request)
        while True:
            data = link.recv(1 << 17)
            end = _end_of_dump(data)
            if end:
                yield data[:end] if end > 0 else b""
                return
            yield data


def _end_of_dump(data: bytes) -> int:
    """0 where more will come; else the length of what precedes the end mark (-1: nothing does). Raises OSError."""
    position = 0
    while position < len(data):
        length, kind = struct.unpack_from("=LH", data, position)
        if kind == _NLMSG_DONE:
            return position or -1
        if kind == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", data, position + _HEADER.size)[0]
            if code in (errno.ENOENT, errno.EAFNOSUPPORT):
                return position or -1
            raise OSError(code, "sock_diag")
        position += (length + 3) & ~3
    return 0


def _messages(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        yield position
        position += (struct.unpack_from("=L", data, position)[0] + 3) & ~3


def _listeners_in(data: bytes) -> Iterator[Listener]:
    for position in _messages(data):
        fields = _MESSAGE.unpack_from(data, position + _HEADER.size)
        family = "tcp6" if fields[0] == socket.AF_INET6 else "tcp4"
        yield Listener(family, int.from_bytes(fields[4], "big"), fields[10], fields[11], fields[13])
