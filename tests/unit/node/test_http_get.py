"""One GET: what is right, and how precisely a wrong answer is told."""

from __future__ import annotations

import socket
import time

import pytest

from tests.unit.node.toy_server import ToyServer
from wrklab.node import http_get


def _found(server: ToyServer, path: str, limit_s: float = 1.0) -> tuple[str, str]:
    answer = http_get.check(("127.0.0.1", server.port), path, 200, "ok", limit_s)
    return answer.kind, answer.found


@pytest.mark.parametrize("path", ["/ok", "/chunked", "/until_eof"])
def test_a_right_answer_is_right_however_its_end_is_told(server: ToyServer, path: str) -> None:
    """By Content-Length, by chunks, by the end of the connection."""
    assert _found(server, path) == ("right", "")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/500", "status 500 instead of 200: 'why??'"),
        ("/wrong", "status 200, but the body is 'nope' instead of 'ok'"),
        ("/long", f"status 200, but the body is {'x' * 200!r} instead of 'ok'"),
        ("/close", "the connection was closed without an answer"),
        ("/cut_off", "an answer cut off after 2 of 100 bytes"),
        ("/not_http", "not an HTTP answer: 'SSH-2.0-OpenSSH_9.2\\r\\n\\r\\n'"),
    ],
)
def test_a_wrong_answer_is_told_precisely(server: ToyServer, path: str, found: str) -> None:
    """Status, body (its first 200 characters), or what came instead of an answer."""
    assert _found(server, path) == ("wrong", found)


def test_a_silent_server_costs_its_limit_and_no_more(server: ToyServer) -> None:
    """The deadline is absolute."""
    began = time.monotonic()
    assert _found(server, "/never", limit_s=0.2) == (
        "timed_out",
        "timed out: connected, but no complete answer within 0.2 s",
    )
    assert time.monotonic() - began < 0.4


def test_a_port_without_listener_refuses() -> None:
    """Told apart from silence."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert http_get.check(("127.0.0.1", port), "/", 200, "ok", 1.0)[:2] == ("refused", "connection refused")
