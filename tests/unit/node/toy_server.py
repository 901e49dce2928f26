"""An HTTP server on loopback whose paths are behaviours: right, wrong, late, silent, closing, stalling."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from types import TracebackType
from typing import Self

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: Every 2 s, no answers from the first to the second moment of each pair: one stall longer than a second, one shorter.
_STALL_EVERY_S, _STALLS_S = 2.0, ((0.0, 1.2), (1.4, 1.9))

#: Paths that answer at once, always the same.
_ANSWERS = {
    "/ok": _OK,
    "/wrong": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope",
    "/302": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 2\r\n\r\nok",
    "/500": b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nwhy??",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
    "/items": b'HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n{"items": [{"id": 7, "name": "pen"}]}\n',
    "/login": b"HTTP/1.1 200 OK\r\nSet-Cookie: session=c00kie; Path=/\r\nSet-Cookie: a=b\r\nContent-Length: 22\r\n\r\n"
    b'{"token": "tok-12345"}',
    "/long": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000,
}
#: Paths that answer and close the connection.
_LAST_WORDS = {
    "/close": b"",
    "/not_http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "/until_eof": b"HTTP/1.0 200 OK\r\n\r\nok",
    "/cut_off": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
}


class Worker:
    """Serves one request at a time, in the order in which they came, until it hangs."""

    def __init__(self) -> None:
        """Nothing is queued."""
        self._free_at_s = 0.0
        self._served_count = 0

    def due_s(self, now_s: float, interval_s: float, most: int) -> float | None:
        """When the next request is answered, by the loop's clock; None where `most` have been."""
        if self._served_count == most:
            return None
        self._served_count += 1
        self._free_at_s = max(self._free_at_s, now_s) + interval_s
        return self._free_at_s


class ToyServer:
    """Runs in a thread while it is entered."""

    def __init__(self) -> None:
        """Takes any free port of loopback once it is entered."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.counter = itertools.count(1)
        self.worker = Worker()
        self.port = 0

    def __enter__(self) -> Self:
        """Listening from here on."""
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread with all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _listen(self) -> int:
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1000)
        return int(server.sockets[0].getsockname()[1])


class _Connection(asyncio.Protocol):
    def __init__(self, server: ToyServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for request in data.split(b"\r\n\r\n")[:-1]:
            path = request.split()[1].decode()
            if path == "/private":
                self._transport.write(_private_answer(request))
            elif path.startswith("/worker/"):
                self._work(path, is_wrk=b"User-Agent: wrklab" not in request)
            else:
                self._answer(path)

    def _work(self, path: str, *, is_wrk: bool) -> None:
        """/worker/<ms a request>/<hangs after>/<then>: the cell's first GET is answered, its later ones as `then`."""
        _, _, interval_ms, most, then = path.split("/")
        if not is_wrk:
            self._answer("/ok" if next(self._server.counter) == 1 else f"/{then}")
            return
        loop = asyncio.get_running_loop()
        due_s = self._server.worker.due_s(loop.time(), int(interval_ms) / 1000, int(most))
        if due_s is not None:
            loop.call_at(due_s, self._write_if_open, _OK)

    def _write_if_open(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _answer(self, path: str) -> None:
        loop, write = asyncio.get_running_loop(), self._transport.write
        if path in _ANSWERS:
            write(_ANSWERS[path])
        elif path in _LAST_WORDS:
            write(_LAST_WORDS[path])
            self._transport.close()
        elif path == "/hold":
            loop.call_later(0.1, write, _OK)
        elif path == "/late_body":
            # Its headers end with an empty one, and its body is there: a reader has all but the end of the answer.
            write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Empty: \r\n\r\n2\r\nok\r\n")
            loop.call_later(0.03, write, b"0\r\n\r\n")
        elif path == "/drip":
            self._drip(0)
        elif path == "/stalls":
            loop.call_later(_until_stall_ends(), write, _OK)
        elif path.startswith("/once_then/"):
            # The first GET of a cell finds a right answer; what follows is the behaviour named.
            self._answer("/ok" if next(self._server.counter) == 1 else path.removeprefix("/once_then"))
        elif path == "/each_tenth_wrong":
            write(_ANSWERS["/wrong"] if next(self._server.counter) % 10 == 0 else _OK)
        else:
            assert path == "/never", path

    def _drip(self, sent_count: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_OK[sent_count % 20 :][:1])
        asyncio.get_running_loop().call_later(0.3, self._drip, sent_count + 1)


def _private_answer(request: bytes) -> bytes:
    """To whoever carries what /login answered."""
    lines = request.split(b"\r\n")
    if b"Authorization: Bearer tok-12345" in lines and b"Cookie: session=c00kie; a=b" in lines:
        return _OK
    return b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 23\r\n\r\nno token tok-12345 here"


def _until_stall_ends() -> float:
    phase_s = time.monotonic() % _STALL_EVERY_S
    return next((end_s - phase_s for begin_s, end_s in _STALLS_S if begin_s <= phase_s < end_s), 0.002)
