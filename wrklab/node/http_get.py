"""One request over a socket of its own, with an absolute deadline, and what exactly was wrong with its answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from wrklab.protocol.load import AnswerKind

_ANSWER_MAX_BYTES = 1 << 20
_SHOWN_CHARACTERS = 200


class Answer(NamedTuple):
    """What came of a request: `found` is empty when the answer was right, else what was there instead."""

    kind: AnswerKind
    found: str
    took_s: float
    #: The status of a complete answer; None where there was none.
    status: int | None
    #: Whether the connection opened.
    connected: bool

    @property
    def is_right(self) -> bool:
        """The expected status and body."""
        return self.kind is AnswerKind.RIGHT


class HttpAnswer(NamedTuple):
    """A complete answer; names of headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _WrongAnswerError(Exception):
    """The server sent something that is not the expected answer."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


def check(address: tuple[str, int], path: str, status: int, body: str, limit_s: float) -> Answer:
    """GET http://address/path and compare status and body; after `limit_s` seconds it has timed out."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host_of(address)}\r\nUser-Agent: wrklab\r\nConnection: close\r\n\r\n"
    return ask(address, request.encode("ascii"), lambda answer: _what_is_wrong(answer, status, body), limit_s)


def ask(address: tuple[str, int], request: bytes, judge: Callable[[HttpAnswer], str], limit_s: float) -> Answer:
    """Send a request; `judge` says what is wrong with its answer, or nothing. After `limit_s` it has timed out."""
    started = time.monotonic()
    kind, found, got, connected = _outcome(address, request, judge, started + limit_s, limit_s)
    return Answer(kind, found, time.monotonic() - started, got, connected)


def host_of(address: tuple[str, int]) -> str:
    """What the Host header says of an address."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def _outcome(
    address: tuple[str, int], request: bytes, judge: Callable[[HttpAnswer], str], deadline: float, limit_s: float
) -> tuple[AnswerKind, str, int | None, bool]:
    connected = False
    try:
        with socket.create_connection(address, timeout=limit_s) as connection:
            connected = True
            answer = _answer_of(_exchange(connection, request, deadline))
    except _WrongAnswerError as error:
        return AnswerKind.WRONG, str(error), error.status, connected
    except TimeoutError:
        what = "connected, but no complete answer" if connected else "no connection"
        return AnswerKind.TIMED_OUT, f"timed out: {what} within {limit_s:g} s", None, connected
    except ConnectionRefusedError:
        return AnswerKind.REFUSED, "connection refused", None, connected
    except (ConnectionResetError, BrokenPipeError):
        return AnswerKind.WRONG, "the connection was reset instead of an answer", None, connected
    except OSError as error:
        return AnswerKind.UNREACHABLE, f"not reachable: {error}", None, connected
    wrong = judge(answer)
    return (AnswerKind.WRONG if wrong else AnswerKind.RIGHT), wrong, answer.status, connected


def _exchange(connection: socket.socket, request: bytes, deadline: float) -> bytes:
    connection.settimeout(_left(deadline))
    connection.sendall(request)
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


def _answer_of(data: bytes) -> HttpAnswer:
    """Raises _WrongAnswerError where it is no complete answer of HTTP."""
    if not data:
        raise _WrongAnswerError("the connection was closed without an answer")
    head, separator, body = data.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    status = rest.strip()[:3]
    if not separator or not protocol.startswith(b"HTTP/") or not status.isdigit():
        raise _WrongAnswerError(f"not an HTTP answer: {shown(data)}")
    if not _is_complete(bytearray(data)):
        body = _cut_off(head, body)
    elif "chunked" in _fields(head).get("transfer-encoding", ""):
        body = _unchunk(body) or b""
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return HttpAnswer(int(status), tuple((name.strip().lower(), value.strip()) for name, _, value in pairs), body)


def _what_is_wrong(answer: HttpAnswer, expected_status: int, expected_body: str) -> str:
    if answer.status != expected_status:
        return f"status {answer.status} instead of {expected_status}: {shown(answer.body)}"
    if answer.body != expected_body.encode():
        return f"status {expected_status}, but the body is {shown(answer.body)} instead of {expected_body!r}"
    return ""


def _cut_off(head: bytes, body: bytes) -> bytes:
    fields = _fields(head)
    if "chunked" in fields.get("transfer-encoding", ""):
        raise _WrongAnswerError(f"a chunked answer cut off after {len(body)} bytes")
    if fields.get("content-length"):
        raise _WrongAnswerError(f"an answer cut off after {len(body)} of {fields['content-length']} bytes")
    return body  # without a length, the end of the connection is the end of the answer


def shown(data: bytes) -> str:
    """The start of a body, escaped, on one line."""
    return repr(data[: _SHOWN_CHARACTERS * 4].decode("utf-8", "replace")[:_SHOWN_CHARACTERS])
