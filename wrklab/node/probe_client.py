"""The client of a concurrency probe: N requests at a fixed schedule, and what became of each.

    probe_client.py ready <ReadySpec>    wait for a first answer; prints ReadyAnswer
    probe_client.py wave <WaveSpec>      one wave; prints WaveResult

At each time of `looks_at_s` the state of every request is noted. Both print one packed line. A wave ends when nobody
reads it.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import sys
import time
from collections.abc import Iterable

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import http_get, node_io
from wrklab.protocol.codec import encode_json, pack
from wrklab.protocol.probe import (
    ClientLook,
    ReadyAnswer,
    ReadySpec,
    RequestState,
    RequestTimes,
    StateCount,
    WaveResult,
    WaveSpec,
)

_TCP_INFO = 11
_TCP_ESTABLISHED, _TCP_SYN_SENT = 1, 2
_READ_BYTES = 65536
_POLL_S = 0.02
_STDOUT = 1
_OK = 200
#: What the other end did, by the error of a system call on the connection. Any other error is this host's own.
_BY_ERROR = {
    errno.ECONNREFUSED: RequestState.REFUSED,
    errno.ECONNRESET: RequestState.RESET,
    # It had been reset before this end sent anything.
    errno.EPIPE: RequestState.RESET,
    errno.ETIMEDOUT: RequestState.TIMED_OUT,
}


class Request:
    """One request, from its turn in the schedule to its end. Times are epoch seconds, None where it did not happen."""

    __slots__ = (
        "answered_at_s", "body", "connected_at_s", "ended", "ended_at_s", "error", "number", "sent_at_s", "socket",
        "status",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        """`number` counts from 0 in the order of arrival."""
        self.number = number
        self.socket: socket.socket | None = None
        self.sent_at_s = 0.0
        self.connected_at_s: float | None = None
        self.answered_at_s: float | None = None
        self.status: int | None = None
        #: None while it goes on.
        self.ended: RequestState | None = None
        #: The errno's name where the generator failed.
        self.error = ""
        self.ended_at_s: float | None = None
        self.body = b""

    def state(self) -> tuple[RequestState, int | None, str]:
        """Where it is now; its status where it is answered, the error where this host failed."""
        if self.status is not None:
            return RequestState.ANSWERED, self.status, ""
        if self.ended is not None:
            return self.ended, None, self.error
        pending = self.kernel_state() == _TCP_SYN_SENT
        return (RequestState.PENDING if pending else RequestState.WAITING), None, ""

    def kernel_state(self) -> int:
        """The TCP state of its connection; 0 without one."""
        return self.socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] if self.socket else 0

    def end(self, how: RequestState, error: str = "") -> None:
        """It is over; its socket is closed."""
        self.ended, self.error, self.ended_at_s = how, error, node_io.now()
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def times(self, due_at_s: float) -> RequestTimes:
        """As the result has it."""
        return RequestTimes(
            due_at_s=due_at_s,
            sent_at_s=self.sent_at_s,
            connected_at_s=self.connected_at_s,
            answered_at_s=self.answered_at_s,
            status=self.status,
            ended=self.ended or RequestState.UNANSWERED,
            ended_at_s=self.ended_at_s,
        )


class Client:
    """All requests of one wave."""

    def __init__(self, spec: WaveSpec) -> None:
        """Nothing is sent yet."""
        self._spec = spec
        self._address = (spec.host, spec.port)
        self._family = socket.AF_INET6 if ":" in spec.host else socket.AF_INET
        self._due = [spec.start_at_s + _arrival_s(spec, number) for number in range(spec.requests_count)]
        self._looks_at_s = list(spec.looks_at_s)
        self._epoll = select.epoll()
        self._epoll.register(_STDOUT, 0)
        self._by_descriptor: dict[int, Request] = {}
        self.requests: list[Request] = []
        self.looks: list[ClientLook] = []

    def run(self) -> None:
        """Arrivals, looks, release."""
        while self._next_time() is not None:
            self._wait(self._next_time())
            self._do_what_is_due()
        release_at_s = self._spec.release_at_s
        while node_io.now() < release_at_s:
            self._wait(release_at_s)
        for request in list(self._by_descriptor.values()):
            if request.connected_at_s is None:
                self._end(request, RequestState.GIVEN_UP)
        limit_s = release_at_s + self._spec.release_limit_s
        while self._by_descriptor and node_io.now() < limit_s:
            self._wait(limit_s)
        for request in list(self._by_descriptor.values()):
            self._end(request, RequestState.UNANSWERED)

    def _next_time(self) -> float | None:
        sent = len(self.requests)
        times = [*self._due[sent : sent + 1], *self._looks_at_s[:1]]
        return min(times) if times else None

    def _do_what_is_due(self) -> None:
        now = node_io.now()
        while len(self.requests) < len(self._due) and self._due[len(self.requests)] <= now:
            self._send(Request(len(self.requests)))
        if self._looks_at_s and self._looks_at_s[0] <= node_io.now():
            self._look(self._looks_at_s.pop(0))

    def _look(self, planned_at_s: float) -> None:
        at_s = node_io.now()
        for request in list(self._by_descriptor.values()):
            # The other end has closed the connection, which no wait has found yet. That is its doing, not ours.
            if request.kernel_state() not in (_TCP_SYN_SENT, _TCP_ESTABLISHED):
                self._catch_up(request)
        self.looks.append(
            ClientLook(
                planned_at_s=planned_at_s,
                at_s=at_s,
                took_s=node_io.now() - at_s,
                states=_counted(request.state() for request in self.requests),
            )
        )

    def _catch_up(self, request: Request) -> None:
        """Read what there is, up to the end that the other side has set."""
        while request.socket is not None:
            before = (request.connected_at_s, len(request.body))
            self._progress(request, select.EPOLLIN)
            if (request.connected_at_s, len(request.body)) == before:
                return

    def _wait(self, until: float | None) -> None:
        timeout_s = max(0.0, (until or 0.0) - node_io.now())
        for descriptor, events in self._epoll.poll(timeout_s):
            if descriptor == _STDOUT:
                sys.exit("nobody reads this any more")
            self._progress(self._by_descriptor[descriptor], events)

    def _send(self, request: Request) -> None:
        self.requests.append(request)
        request.sent_at_s = node_io.now()
        try:
            request.socket = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = request.socket.connect_ex(self._address)
        except OSError as error:
            code = error.errno or 0
        if code != errno.EINPROGRESS or request.socket is None:
            request.end(*_outcome(code))
            return
        self._by_descriptor[request.socket.fileno()] = request
        self._epoll.register(request.socket.fileno(), select.EPOLLOUT)

    def _progress(self, request: Request, events: int) -> None:
        connection = request.socket
        if connection is None:
            return
        if request.connected_at_s is None:
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._end(request, *_outcome(code))
            elif events & select.EPOLLOUT or request.kernel_state() != _TCP_SYN_SENT:
                self._ask(request, connection)
            return
        try:
            data = connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(request, *_outcome(error.errno or 0))
            return
        self._take(request, data)

    def _ask(self, request: Request, connection: socket.socket) -> None:
        request.connected_at_s = node_io.now()
        number, spec = request.number, self._spec
        until = spec.until_at_s + number * spec.until_step_s
        target = f"{spec.path}?id={spec.first_id + number}&until={until:.6f}"
        head = f"GET {target} HTTP/1.1\r\nHost: {spec.host}:{spec.port}\r\nConnection: close\r\n\r\n"
        try:
            # All of it fits into an empty send buffer.
            connection.send(head.encode())
        except OSError as error:
            # The other end accepted the connection and closed it before anything was sent.
            self._end(request, *_outcome(error.errno or 0))
            return
        self._epoll.modify(connection.fileno(), select.EPOLLIN)

    def _take(self, request: Request, data: bytes) -> None:
        if not data:
            self._end(request, RequestState.CLOSED)
            return
        request.body += data
        words = request.body[:64].split(None, 2)
        if request.status is None and len(words) > 2 and words[1].isdigit():  # noqa: PLR2004  HTTP/1.1 200 OK
            request.status, request.answered_at_s = int(words[1]), node_io.now()

    def _end(self, request: Request, how: RequestState, error: str = "") -> None:
        """It is over; one that has its answer ended with it, whatever became of the connection."""
        if request.socket is not None:
            self._by_descriptor.pop(request.socket.fileno(), None)
        is_answered = request.status is not None
        request.end(RequestState.ANSWERED if is_answered else how, "" if is_answered else error)

    def result(self) -> WaveResult:
        """Everything seen."""
        pairs = zip(self._due, self.requests, strict=True)
        return WaveResult(
            requests=tuple(request.times(due_at_s) for due_at_s, request in pairs),
            looks=tuple(self.looks),
            error_text=_first_error_body(self.requests),
        )


def _arrival_s(spec: WaveSpec, number: int) -> float:
    slow = min(number, spec.slow_count)
    burst = spec.burst_count
    return slow * spec.slow_step_s + (number - slow) // burst * burst / spec.rate_per_s


def _outcome(code: int) -> tuple[RequestState, str]:
    """How a request ends by an error of its connection, and the error's name where it is this host's."""
    state = _BY_ERROR.get(code)
    return (state, "") if state else (RequestState.GENERATOR_FAILED, errno.errorcode.get(code, str(code)))


def _counted(states: Iterable[tuple[RequestState, int | None, str]]) -> tuple[StateCount, ...]:
    counts: dict[tuple[RequestState, int | None, str], int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return tuple(
        StateCount(state=state, status=status, error=error, count=count)
        for (state, status, error), count in counts.items()
    )


def _first_error_body(requests: list[Request]) -> str:
    """The first answer that was not 200, as text."""
    for request in requests:
        if request.status not in (None, _OK):
            return request.body[:2000].decode("utf-8", "replace")
    return ""


def ready(spec: ReadySpec) -> ReadyAnswer:
    """Wait for a first answer; what the last attempt found."""
    began, attempts = time.monotonic(), 0
    while True:
        left_s = spec.limit_s - (time.monotonic() - began)
        answer = http_get.check((spec.host, spec.port), spec.path, _OK, "ok", max(0.05, left_s))
        attempts += 1
        is_ready = answer.is_right or (spec.any_answer and answer.status is not None)
        if is_ready or time.monotonic() - began >= spec.limit_s:
            return ReadyAnswer(is_ready=is_ready, found=answer.found, attempts=attempts)
        time.sleep(_POLL_S)


def wave(spec: WaveSpec) -> WaveResult:
    """Run a wave to its end."""
    node_io.raise_descriptor_limit(spec.requests_count)
    gc.disable()
    client = Client(spec)
    client.run()
    return client.result()


def main() -> None:
    """The verb is the first word."""
    verb, *words = sys.argv[1:] or [""]
    found: ReadyAnswer | WaveResult
    if verb == "ready" and len(words) == 1:
        found = ready(node_io.read_spec(ReadySpec, words[0]))
    elif verb == "wave" and len(words) == 1:
        found = wave(node_io.read_spec(WaveSpec, words[0]))
    else:
        node_io.refuse("probe_client.py ready <spec> | wave <spec>")
    sys.stdout.write(pack(encode_json(found).encode()) + "\n")
    sys.stdout.flush()
    os._exit(0)  # thousands of sockets need no tidy end


if __name__ == "__main__":
    main()
