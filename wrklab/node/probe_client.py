"""The client of a concurrency probe: N requests at a fixed schedule, and what became of each.

    probe_client.py ready <base64 spec>   {"host","port","path","limit_s","any_answer"}: wait for a first answer
    probe_client.py wave <base64 spec>    {"host","port","path","first_id","requests_count","start_at","slow_count",
                                          "slow_step_s","rate_per_s","burst_count","until_at","until_step_s",
                                          "looks_at":[...],"release_at","release_limit_s"}

Times (_at) are epoch seconds of this host, but for `until_at`, which the server's handlers compare with their own
clock. The first `slow_count` requests of a wave are sent `slow_step_s` apart from `start_at` on, the others at the
rate, `burst_count` at a time; number k holds until until_at + k * until_step_s. At each time of `looks_at` the state of
every request is noted. At `release_at` those whose connection was never made are given up, and the others waited for,
at most release_limit_s.

Both print base64 of zlib of JSON as one line. A wave ends when nobody reads it.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import select
import socket
import sys
import time
import zlib
from binascii import b2a_base64
from typing import Any

sys.path.insert(0, __file__.rpartition("/")[0])

import http_get
import node_io
from wrk_process import raise_descriptor_limit

_TCP_INFO = 11
_TCP_ESTABLISHED, _TCP_SYN_SENT = 1, 2
_READ_BYTES = 65536
_POLL_S = 0.02
_STDOUT = 1


class Request:
    """One request, from its turn in the schedule to its end. Times are epoch seconds, None where it did not happen."""

    __slots__ = ("answered_at", "body", "connected_at", "ended", "ended_at", "number", "sent_at", "socket", "status")

    def __init__(self, number: int) -> None:
        """`number` counts from 0 in the order of arrival."""
        self.number = number
        self.socket: socket.socket | None = None
        self.sent_at = 0.0
        self.connected_at: float | None = None
        self.answered_at: float | None = None
        self.status: int | None = None
        #: "" while it goes on; answered, refused, closed, reset, given_up, or the name of another error.
        self.ended = ""
        self.ended_at: float | None = None
        self.body = b""

    def state(self) -> str:
        """What the kernel and we know of it now: pending, waiting, answered, refused, closed, reset, ..."""
        if self.status is not None:
            return f"answered_{self.status}"
        if self.ended or self.socket is None:
            return self.ended or "unsent"
        state = self.socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
        return {_TCP_SYN_SENT: "pending", _TCP_ESTABLISHED: "waiting"}.get(state, "closing")

    def end(self, how: str) -> None:
        """It is over; its socket is closed."""
        self.ended, self.ended_at = how, node_io.now()
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Client:
    """All requests of one wave."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """See the module."""
        self._spec = spec
        self._address = (str(spec["host"]), int(spec["port"]))
        self._family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        self._due = [spec["start_at"] + _arrival_s(spec, number) for number in range(spec["requests_count"])]
        self._looks_at = list(spec["looks_at"])
        self._epoll = select.epoll()
        self._epoll.register(_STDOUT, 0)
        self._by_descriptor: dict[int, Request] = {}
        self.requests: list[Request] = []
        self.looks: list[dict[str, Any]] = []

    def run(self) -> None:
        """Arrivals, looks, release."""
        while self._next_time() is not None:
            self._wait(self._next_time())
            self._do_what_is_due()
        release_at = self._spec["release_at"]
        while node_io.now() < release_at:
            self._wait(release_at)
        for request in list(self._by_descriptor.values()):
            if request.connected_at is None:
                self._end(request, "given_up")
        limit = release_at + self._spec["release_limit_s"]
        while self._by_descriptor and node_io.now() < limit:
            self._wait(limit)
        for request in list(self._by_descriptor.values()):
            self._end(request, "answered" if request.status is not None else "unanswered")

    def _next_time(self) -> float | None:
        sent = len(self.requests)
        times = [*self._due[sent : sent + 1], *self._looks_at[:1]]
        return min(times) if times else None

    def _do_what_is_due(self) -> None:
        now = node_io.now()
        while len(self.requests) < len(self._due) and self._due[len(self.requests)] <= now:
            self._send(Request(len(self.requests)))
        if self._looks_at and self._looks_at[0] <= node_io.now():
            planned = self._looks_at.pop(0)
            at = node_io.now()
            states = [request.state() for request in self.requests]
            self.looks.append({"planned_at": planned, "at": at, "took_s": node_io.now() - at, "states": states})

    def _wait(self, until: float | None) -> None:
        timeout_s = max(0.0, (until or 0.0) - node_io.now())
        for descriptor, events in self._epoll.poll(timeout_s):
            if descriptor == _STDOUT:
                sys.exit("nobody reads this any more")
            self._progress(self._by_descriptor[descriptor], events)

    def _send(self, request: Request) -> None:
        self.requests.append(request)
        request.sent_at = node_io.now()
        try:
            request.socket = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = request.socket.connect_ex(self._address)
        except OSError as error:
            code = error.errno or 0
        if code != errno.EINPROGRESS or request.socket is None:
            request.end(_name(code))
            return
        self._by_descriptor[request.socket.fileno()] = request
        self._epoll.register(request.socket.fileno(), select.EPOLLOUT)

    def _progress(self, request: Request, events: int) -> None:
        connection = request.socket
        if connection is None:
            return
        if request.connected_at is None:
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._end(request, _name(code))
            elif events & select.EPOLLOUT:
                self._ask(request, connection)
            return
        try:
            data = connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(request, "answered" if request.status is not None else _name(error.errno or 0))
            return
        self._take(request, data)

    def _ask(self, request: Request, connection: socket.socket) -> None:
        request.connected_at = node_io.now()
        number, spec = request.number, self._spec
        until = spec["until_at"] + number * spec["until_step_s"]
        target = f"{spec['path']}?id={spec['first_id'] + number}&until={until:.6f}"
        host = f"{self._address[0]}:{self._address[1]}"
        # All of it fits into an empty send buffer.
        connection.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        self._epoll.modify(connection.fileno(), select.EPOLLIN)

    def _take(self, request: Request, data: bytes) -> None:
        if not data:
            self._end(request, "answered" if request.status is not None else "closed")
            return
        request.body += data
        words = request.body[:64].split(None, 2)
        if request.status is None and len(words) > 2 and words[1].isdigit():  # noqa: PLR2004  HTTP/1.1 200 OK
            request.status, request.answered_at = int(words[1]), node_io.now()

    def _end(self, request: Request, how: str) -> None:
        if request.socket is not None:
            self._by_descriptor.pop(request.socket.fileno(), None)
        request.end(how)

    def result(self) -> dict[str, Any]:
        """Everything seen: a list a request (see `fields`), and the looks."""
        fields = ("sent_at", "connected_at", "answered_at", "status", "ended", "ended_at")
        return {
            "fields": ["due_at", *fields],
            "requests": [
                [due, *(getattr(request, name) for name in fields)]
                for due, request in zip(self._due, self.requests, strict=True)
            ],
            "looks": self.looks,
            "error_text": _first_error_body(self.requests),
        }


def _arrival_s(spec: dict[str, Any], number: int) -> float:
    slow = min(number, int(spec["slow_count"]))
    burst = int(spec["burst_count"])
    return float(slow * spec["slow_step_s"] + (number - slow) // burst * burst / spec["rate_per_s"])


def _name(code: int) -> str:
    known = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EPIPE: "reset", errno.ETIMEDOUT: "gave_up"}
    return known.get(code, errno.errorcode.get(code, str(code)))


def _first_error_body(requests: list[Request]) -> str:
    """The first answer that was not 200, as text."""
    for request in requests:
        if request.status not in (None, 200):
            return request.body[:2000].decode("utf-8", "replace")
    return ""


def ready(spec: dict[str, Any]) -> dict[str, Any]:
    """Wait for a first answer; what the last attempt found."""
    began, attempts = time.monotonic(), 0
    while True:
        left_s = spec["limit_s"] - (time.monotonic() - began)
        finding = http_get.check((spec["host"], spec["port"]), spec["path"], 200, "ok", max(0.05, left_s))
        attempts += 1
        is_ready = finding.kind == "right" or (spec["any_answer"] and finding.found.startswith("status "))
        if is_ready or time.monotonic() - began >= spec["limit_s"]:
            return {"ready": is_ready, "found": finding.found, "attempts": attempts}
        time.sleep(_POLL_S)


def wave(spec: dict[str, Any]) -> dict[str, Any]:
    """Run a wave to its end."""
    raise_descriptor_limit(spec["requests_count"])
    gc.disable()
    client = Client(spec)
    client.run()
    return client.result()


def main() -> None:
    """The verb is the first word; the answer is packed: base64 of zlib of JSON."""
    verbs = {"ready": ready, "wave": wave}
    verb, *words = sys.argv[1:] or [""]
    if verb not in verbs or len(words) != 1:
        node_io.refuse("probe_client.py ready <spec> | wave <spec>")
    found = verbs[verb](node_io.read_spec(words[0]))
    packed = zlib.compress(json.dumps(found, separators=(",", ":")).encode(), 1)
    sys.stdout.write(b2a_base64(packed, newline=False).decode() + "\n")
    sys.stdout.flush()
    os._exit(0)  # thousands of sockets need no tidy end


if __name__ == "__main__":
    main()
