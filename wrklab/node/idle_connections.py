"""Connections without a request, beside which a server is asked: does it answer others while it waits for these?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def idle_connections(address: str, port: int, count: int) -> Iterator[None]:
    """Begins to open so many and closes them at the end; whether they open is not waited for. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as opened:
        for _ in range(count):
            connection = opened.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            connection.connect_ex((address, port))
        yield
