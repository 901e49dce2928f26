"""Each request of a mix is sent once, and what came is shown without secrets and without what moves a cursor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from wrklab.node.ask_once import ask_once
from wrklab.protocol.request_mix import AskOnceSpec, MixExpectation, MixLogin, MixRequest, MixSpec, MixToken

SECRET = "hunter2hunter2"


class Shop(BaseHTTPRequestHandler):
    """Answers a login with a token, wants it then, and shows more than it should."""

    def do_GET(self) -> None:
        """/items with the token; /key shows a secret; else 404."""
        if self.path == "/key":
            self._answer(200, f"the key is {SECRET}\x1b[2J".encode(), [("Set-Cookie", f"session={SECRET}; Path=/")])
        elif self.path == "/items" and self.headers["Authorization"] == "Bearer tok-123456":
            self._answer(200, b'{"items": [1, 2]}', [("X-Strange", "a\x1bb")])
        else:
            self._answer(404, b"<h1>not found</h1>" + b"x" * 5000)

    def do_POST(self) -> None:
        """A login."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b'{"token": "tok-123456"}')

    def _answer(self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for name, value in headers or []:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where the shop listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def request(name: str, path: str, status: int = 200, method: str = "GET", contains: str | None = None) -> MixRequest:
    """One that is sent, and its answer."""
    expect = MixExpectation(status=status, contains=contains, json={})
    body = "e30=" if method == "POST" else None
    return MixRequest(name=name, method=method, path=path, headers={}, body_base64=body, expect=expect, weight=1)


def spec(port: int, *requests: MixRequest, login: MixLogin | None = None) -> AskOnceSpec:
    """All of them once."""
    mix = MixSpec(requests=requests, login=login, secrets=(SECRET,))
    return AskOnceSpec(host="127.0.0.1", port=port, mix=mix, ready_limit_s=1.0, attempt_limit_s=5.0)


def test_every_request_is_sent_also_after_one_that_is_answered_wrongly(port: int) -> None:
    """Whoever mends one sees all that is left to mend."""
    found = ask_once(spec(port, request("gone", "/gone"), request("key", "/key"), request("also_gone", "/gone", 404)))

    assert found.is_listening
    assert [(one.name, one.status, bool(one.found)) for one in found.asked] == [
        ("gone", 404, True),
        ("key", 200, False),
        ("also_gone", 404, False),
    ]
    assert "status 404 instead of 200" in found.asked[0].found


def test_a_wrong_answer_comes_with_its_headers_and_the_start_of_its_body(port: int) -> None:
    """Bounded: an error page may be long."""
    (one,) = ask_once(spec(port, request("gone", "/gone", contains="Shop"))).asked

    assert "content-length: 5018" in one.headers
    assert one.body_start.startswith("'<h1>not found</h1>")
    assert len(one.body_start) < 300
    assert one.body_bytes == 5018


def test_no_secret_and_no_sign_that_moves_a_cursor_is_shown(port: int) -> None:
    """Neither in the body nor in a header; of a cookie only the name."""
    (one,) = ask_once(spec(port, request("key", "/key", contains="nothing"))).asked

    text = "\n".join([one.found, *one.headers, one.body_start])
    assert SECRET not in text
    assert "\x1b" not in text
    assert "set-cookie: session=(blanked)" in one.headers


def test_a_login_comes_first_and_the_others_carry_its_token(port: int) -> None:
    """The token is shown nowhere."""
    token = MixToken(json_path="token", header="Authorization", prefix="Bearer ")
    login = MixLogin(request=request("enter", "/login", method="POST"), token=token, takes_cookies=False)

    found = ask_once(spec(port, request("items", "/items"), login=login))

    assert [(one.name, one.status, one.found) for one in found.asked] == [("enter", 200, ""), ("items", 200, "")]
    assert "tok-123456" not in found.asked[1].body_start
    assert "x-strange: a?b" in found.asked[1].headers


def test_a_login_that_is_refused_ends_it(port: int) -> None:
    """What the others should carry is not there, so their answers would say nothing."""
    login = MixLogin(request=request("enter", "/gone"), token=None, takes_cookies=True)

    found = ask_once(spec(port, request("items", "/items"), login=login))

    assert [(one.name, one.status) for one in found.asked] == [("enter", 404)]


def test_a_server_that_takes_no_connection_is_no_answer() -> None:
    """The caller looks whether it still starts."""
    found = ask_once(spec(1, request("items", "/items")).replace(ready_limit_s=0.1))

    assert (found.is_listening, found.asked) == (False, ())
