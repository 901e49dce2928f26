"""Sends each request of a mix once to a server that has just been started, and shows what it answered.

ask_once.py -       the AskOnceSpec is a line of standard input, as a mix may have secrets; prints AskedOnce
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence

sys.path.append(__file__.rsplit("/", 3)[0])

from wrklab.node import host_look, node_io
from wrklab.node.http_get import Answer, HttpAnswer
from wrklab.node.request_mix import RequestMix, shown
from wrklab.protocol.blanking import BLANK, blanked
from wrklab.protocol.request_mix import AskedOnce, AskedRequest, AskOnceSpec, MixRequest

_POLL_S = 0.05
_HEADERS_MAX = 60
_HEADER_MAX_CHARS = 300
#: A mix's bodies come to a MiB at most, its headers to as much again; base64 twice.
_LINE_MAX_CHARS = 8 << 20


def ask_once(spec: AskOnceSpec) -> AskedOnce:
    """Wait until the server takes connections, then ask."""
    address = (str(host_look.resolve(spec.host)[1][0]), spec.port)
    if not _takes_connections(address, spec.ready_limit_s):
        return AskedOnce(is_listening=False, asked=())
    heard: list[HttpAnswer] = []
    mix = RequestMix(spec.mix, address, closes=True, hear=heard.append)
    asked = []
    login = spec.mix.login
    if login:
        answer = mix.ask_first(spec.attempt_limit_s)
        asked.append(_asked(login.request, answer, heard, mix.secrets))
        if not answer.is_right:
            # What the others should carry is not there.
            return AskedOnce(is_listening=True, asked=tuple(asked))
    for request in spec.mix.requests:
        heard.clear()
        asked.append(_asked(request, mix.ask(request, spec.attempt_limit_s), heard, mix.secrets))
    return AskedOnce(is_listening=True, asked=tuple(asked))


def _takes_connections(address: tuple[str, int], limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection(address, timeout=max(_POLL_S, until - time.monotonic())).close()
        except OSError:
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _asked(request: MixRequest, answer: Answer, heard: Sequence[HttpAnswer], secrets: Sequence[str]) -> AskedRequest:
    whole = heard[-1] if heard else None
    return AskedRequest(
        name=request.name,
        method=request.method,
        path=request.path,
        found=node_io.cut(answer.found),
        took_s=answer.took_s,
        status=whole.status if whole else answer.status,
        headers=tuple(_header(name, value, secrets) for name, value in (whole.headers[:_HEADERS_MAX] if whole else ())),
        body_start=shown(whole.body, secrets) if whole else "",
        body_bytes=len(whole.body) if whole else 0,
    )


def _header(name: str, value: str, secrets: Sequence[str]) -> str:
    """One header on one line; a cookie's value may let others in."""
    kept = f"{value.partition('=')[0]}={BLANK}" if name == "set-cookie" else value
    for secret in secrets:
        kept = kept.replace(secret, BLANK) if secret else kept
    text = blanked(f"{name}: {kept}")
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:_HEADER_MAX_CHARS]


def main() -> None:
    """The spec is on standard input."""
    if sys.argv[1:] != ["-"]:
        node_io.refuse("ask_once.py -")
    spec = node_io.read_spec(AskOnceSpec, sys.stdin.readline(_LINE_MAX_CHARS).strip())
    node_io.answer(ask_once(spec))


if __name__ == "__main__":
    node_io.guarded(main)
