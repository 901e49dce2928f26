"""A server of known behaviour, for a node's own Python (standard library alone): known_servers.py says how to use it.

    known_server_program.py PORT BEHAVIOUR [--first-right N] [--every N] [--hold-ms MS] [--late-s S] [--workers N]
                            [--per-s N] [--backlog N]

Any path is answered alike: `ok` after a hold, as the applications do. Of the requests after the first N that are right
(`--first-right`, counted over all connections), each `--every`-th one meets the behaviour.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import os
import signal
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass

_HEADERS_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: What a wrong request is answered with, at the end of its hold.
_WRONG = {
    "status_500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
    "wrong_body": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nok",
}
_SLOW = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Slow: " + 100 * b"x" + b"\r\n\r\nok"
#: The same, and the connection ends.
_LAST_WORDS = {
    "close_after_answer": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    "close_without_answer": b"",
    "cut_off": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
}
_OTHERS = ("right", "never", "drip", "late", "reset", "hang", "die", "burn", "stall", "pool", "crowd")
#: `stall`: every 5 s by the wall clock nothing is answered for the first one.
_STALL_EVERY_S, _STALL_S = 5.0, 1.0
BEHAVIOURS = (*_WRONG, *_LAST_WORDS, *_OTHERS, "keep_alive_workers")


@dataclass(frozen=True)
class _State:
    """What all connections share."""

    numbers: itertools.count[int]
    #: When each worker of a pool is free, a heap.
    free_at_s: list[float]
    #: When the requests of the last second came.
    came_at_s: deque[float]


class _Connection(asyncio.Protocol):
    """One connection of the event loop's server."""

    def __init__(self, options: argparse.Namespace, state: _State) -> None:
        self._options = options
        self._state = state
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._pending = (self._pending + data).split(_HEADERS_END)
        for request in requests:
            self._begin(is_last=b"connection: close" in request.lower())

    def _begin(self, *, is_last: bool) -> None:
        options, number = self._options, next(self._state.numbers) - self._options.first_right
        is_right = number <= 0 or number % options.every != 0
        behaviour = "right" if is_right else options.behaviour
        ending = "close_after_answer" if is_last and behaviour in {"right", "stall", "pool", "crowd"} else behaviour
        hold_s = self._hold_s(behaviour)
        if hold_s:
            asyncio.get_running_loop().call_later(hold_s, self._end, ending)
        else:
            self._end(ending)

    def _hold_s(self, behaviour: str) -> float:
        """From a request to its answer."""
        if behaviour == "late":
            return float(self._options.late_s)
        hold_s = self._options.hold_ms / 1000
        if behaviour == "stall":
            return float(max(hold_s, _STALL_S - time.time() % _STALL_EVERY_S))
        if behaviour == "pool":
            now_s = asyncio.get_running_loop().time()
            # The worker that is free first takes it, and has it for just the hold: M/D/k under Poisson arrivals.
            end_s = max(now_s, heapq.heappop(self._state.free_at_s)) + hold_s
            heapq.heappush(self._state.free_at_s, end_s)
            return float(end_s - now_s)
        if behaviour == "crowd" and self._count_of_last_second() > self._options.per_s:
            return float(self._options.late_s)
        return float(hold_s)

    def _count_of_last_second(self) -> int:
        now_s, came_at_s = asyncio.get_running_loop().time(), self._state.came_at_s
        came_at_s.append(now_s)
        while came_at_s[0] < now_s - 1:
            came_at_s.popleft()
        return len(came_at_s)

    def _end(self, behaviour: str) -> None:
        if behaviour in _LAST_WORDS:
            self._transport.write(_LAST_WORDS[behaviour])
            self._transport.close()
        elif behaviour == "reset":
            linger_of_nothing = b"\x01\0\0\0\0\0\0\0"
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_of_nothing)
            self._transport.abort()
        elif behaviour == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif behaviour == "die":
            os._exit(3)
        elif behaviour == "drip":
            self._drip(0)
        elif behaviour != "never":
            if behaviour == "burn":
                _burn(0.001)
            self._transport.write(_WRONG.get(behaviour, _OK))

    def _drip(self, sent_count: int) -> None:
        """A byte of an answer every 0.4 s, which is not whole before a minute is over."""
        if not self._transport.is_closing():
            self._transport.write(_SLOW[sent_count : sent_count + 1])
            asyncio.get_running_loop().call_later(0.4, self._drip, sent_count + 1)


def _burn(cpu_s: float) -> None:
    """Uses this much CPU time."""
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


async def _serve(options: argparse.Namespace) -> None:
    state = _State(itertools.count(1), [0.0] * options.workers, deque())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(options, state), "0.0.0.0", options.port, backlog=options.backlog
    )
    await server.serve_forever()


def _serve_by_workers(options: argparse.Namespace) -> None:
    """So many threads, each with one connection at a time until its other end closes it; without a hold they work."""
    with socket.create_server(("0.0.0.0", options.port), backlog=options.backlog) as listening:
        workers = [
            threading.Thread(target=_work, args=(listening, options.hold_ms / 1000)) for _ in range(options.workers)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def _work(listening: socket.socket, hold_s: float) -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            try:
                while _HEADERS_END in connection.recv(1 << 16):
                    if hold_s:
                        time.sleep(hold_s)
                    else:
                        _burn(0.001)
                    connection.sendall(_OK)
            except ConnectionError:
                continue


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("behaviour", choices=BEHAVIOURS)
    parser.add_argument("--first-right", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--hold-ms", type=float, default=float(os.environ.get("WRKLAB_HOLD_MS", "100")))
    parser.add_argument("--late-s", type=float, default=3.0)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--per-s", type=int, default=500)
    parser.add_argument("--backlog", type=int, default=4096)
    options = parser.parse_args()
    if options.behaviour == "keep_alive_workers":
        _serve_by_workers(options)
    else:
        asyncio.run(_serve(options))


if __name__ == "__main__":
    main()
