"""One GET over a socket of its own, with an absolute deadline, and what exactly was wrong with its answer."""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

from wrklab.protocol.load import AnswerKind

_ANSWER_MAX_BYTES = 1 << 20
_SHOWN_CHARACTERS = 200


class Answer(NamedTuple):
    """What came of a GET: `found` is empty when the answer was right, else what was there instead."""

    kind: AnswerKind
    found: str
    took_s: float
    #: The status of a complete answer; None where there was none.
    status: int | None

    @property
    def is_right(self) -> bool:
        """The expected status and body."""
        return self.kind is AnswerKind.RIGHT


class _WrongAnswerError(Exception):
    """The server sent something that is not the expected answer."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


def check(address: tuple[str, int], path: str, status: int, body: str, limit_s: float) -> Answer:
    """GET http://address/path and compare status and body; after `limit_s` seconds it has timed out."""
    started = time.monotonic()
    kind, found, got = _outcome(address, path, (status, body), started + limit_s, limit_s)
    return Answer(kind, found, time.monotonic() - started, got)


def _outcome(
    address: tuple[str, int], path: str, expected: tuple[int, str], deadline: float, limit_s: float
) -> tuple[AnswerKind, str, int | None]:
    connected = False
    try:
        with socket.create_connection(address, timeout=limit_s) as connection:
            connected = True
            _compare(_exchange(connection, address, path, deadline), *expected)
    except _WrongAnswerError as error:
        return AnswerKind.WRONG, str(error), error.status
    except TimeoutError:
        what = "connected, but no complete answer" if connected else "no connection"
        return AnswerKind.TIMED_OUT, f"timed out: {what} within {limit_s:g} s", None
    except ConnectionRefusedError:
        return AnswerKind.REFUSED, "connection refused", None
    except (ConnectionResetError, BrokenPipeError):
        return AnswerKind.WRONG, "the connection was reset instead of an answer", None
    except OSError as error:
        return AnswerKind.UNREACHABLE, f"not reachable: {error}", None
    return AnswerKind.RIGHT, "", expected[0]


def _exchange(connection: socket.socket, address: tuple[str, int], path: str, deadline: float) -> bytes:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{address[1]}\r\nUser-Agent: wrklab\r\nConnection: close\r\n\r\n"
    connection.settimeout(_left(deadline))
    connection.sendall(request.encode("ascii"))
    data = bytearray()
    while not _is_complete(data):
        connection.settimeout(_left(deadline))
        part = connection.recv(65536)
        if not part:
            break
        data += part
        if len(data) > _ANSWER_MAX_BYTES:
            raise _WrongAnswerError(f"an answer of more than {_ANSWER_MAX_BYTES} bytes")
    return bytes(data)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _is_complete(data: bytearray) -> bool:
    """Whether the answer is complete by its own headers; one without a length ends with its connection."""
    head, separator, body = bytes(data).partition(b"\r\n\r\n")
    if not separator:
        return False
    fields = _fields(head)
    if "chunked" in fields.get("transfer-encoding", ""):
        return _unchunk(body) is not None
    length = fields.get("content-length", "")
    return length.isdecimal() and len(body) >= int(length)


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip().lower() for name, _, value in (line.partition(":") for line in lines)}


def _unchunk(data: bytes) -> bytes | None:
    """The body in chunks put together; None where it is not complete. Raises _WrongAnswerError."""
    parts: list[bytes] = []
    while True:
        line, separator, data = data.partition(b"\r\n")
        if not separator:
            return None
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            size = -1
        if size < 0:
            raise _WrongAnswerError(f"a chunk's length that is not a number: {line[:20]!r}")
        if size == 0:
            return b"".join(parts)
        if len(data) < size + 2:
            return None
        parts.append(data[:size])
        data = data[size + 2 :]


def _compare(data: bytes, expected_status: int, expected_body: str) -> None:
    if not data:
        raise _WrongAnswerError("the connection was closed without an answer")
    head, separator, body = data.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    status = rest.strip()[:3]
    if not separator or not protocol.startswith(b"HTTP/") or not status.isdigit():
        raise _WrongAnswerError(f"not an HTTP answer: {_shown(data)}")
    if not _is_complete(bytearray(data)):
        body = _cut_off(head, body)
    elif "chunked" in _fields(head).get("transfer-encoding", ""):
        body = _unchunk(body) or b""
    if int(status) != expected_status:
        text = f"status {int(status)} instead of {expected_status}: {_shown(body)}"
        raise _WrongAnswerError(text, int(status))
    if body != expected_body.encode():
        text = f"status {expected_status}, but the body is {_shown(body)} instead of {expected_body!r}"
        raise _WrongAnswerError(text, expected_status)


def _cut_off(head: bytes, body: bytes) -> bytes:
    fields = _fields(head)
    if "chunked" in fields.get("transfer-encoding", ""):
        raise _WrongAnswerError(f"a chunked answer cut off after {len(body)} bytes")
    if fields.get("content-length"):
        raise _WrongAnswerError(f"an answer cut off after {len(body)} of {fields['content-length']} bytes")
    return body  # without a length, the end of the connection is the end of the answer


def _shown(data: bytes) -> str:
    return repr(data[: _SHOWN_CHARACTERS * 4].decode("utf-8", "replace")[:_SHOWN_CHARACTERS])
