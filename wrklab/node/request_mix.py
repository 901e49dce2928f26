"""A mix of requests on a generator: sent once each and compared, the login before them, and the file that wrk reads."""

from __future__ import annotations

import binascii
import json
import os
from collections.abc import Callable, Mapping, Sequence

from wrklab.node import http_get
from wrklab.node.http_get import Answer, HttpAnswer
from wrklab.protocol.blanking import BLANK, blanked
from wrklab.protocol.codec import Json, encode
from wrklab.protocol.load import AnswerKind
from wrklab.protocol.request_mix import MixExpectation, MixLogin, MixRequest, MixSpec

#: Of what a login answered: a header longer than this is refused by most servers.
_CARRIED_MAX_CHARS = 4096
#: Shorter ones would blank what is no secret.
_SECRET_MIN_CHARS = 4
_SHOWN_CHARACTERS = 200
_MISSING = object()


class RequestMix:
    """The mix of one load. Whatever a login answered is carried by all further requests."""

    def __init__(
        self,
        spec: MixSpec,
        address: tuple[str, int],
        *,
        closes: bool,
        hear: Callable[[HttpAnswer], None] = lambda _answer: None,
    ) -> None:
        """`closes`: each of wrk's requests says that its connection ends with the answer.

        `hear` is called with each complete answer before it is judged.
        """
        self._hear = hear
        self._spec = spec
        self._address = address
        self._closes = closes
        self._carried: dict[str, str] = {}
        self._secrets = list(spec.secrets)

    @property
    def usual(self) -> MixRequest:
        """The one that shows whether the server is calm: the first that reads, else the first."""
        requests = self._spec.requests
        return next((request for request in requests if request.method == "GET"), requests[0])

    def ask_first(self, limit_s: float) -> Answer:
        """What comes first of all: the login; without one, the usual request."""
        login = self._spec.login
        return self.ask(self.usual, limit_s) if login is None else self._log_in(login, limit_s)

    def ask_all(self, limit_s: float) -> dict[str, Answer]:
        """Each request of the mix once, up to the first whose answer is not as expected; by name."""
        found: dict[str, Answer] = {}
        usual = self.usual
        for request in (usual, *(each for each in self._spec.requests if each is not usual)):
            found[request.name] = self.ask(request, limit_s)
            if not found[request.name].is_right:
                break
        return found

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that no text may show: those that it was given, and what a login answered."""
        return tuple(self._secrets)

    def ask(self, request: MixRequest, limit_s: float) -> Answer:
        """One request; `found` begins with its name."""

        def judge(answer: HttpAnswer) -> str:
            self._hear(answer)
            return what_is_wrong(answer, request.expect, self._secrets)

        return self._named(request, http_get.ask(self._address, self._bytes(request, closes=True), judge, limit_s))

    def _log_in(self, login: MixLogin, limit_s: float) -> Answer:
        def judge(answer: HttpAnswer) -> str:
            self._hear(answer)
            return what_is_wrong(answer, login.request.expect, self._secrets) or self._take(login, answer)

        self._carried = {}
        data = self._bytes(login.request, closes=True)
        return self._named(login.request, http_get.ask(self._address, data, judge, limit_s))

    def _take(self, login: MixLogin, answer: HttpAnswer) -> str:
        """Keep what the others are to carry; what is wrong with it, or nothing."""
        carried: dict[str, str] = {}
        if login.takes_cookies:
            carried["Cookie"] = "; ".join(_cookies(answer))
            if not carried["Cookie"]:
                return "no Set-Cookie in its answer, whose cookies the other requests should carry"
        if login.token:
            token = json_at(_json_of(answer.body), login.token.json_path)
            if not isinstance(token, str | int) or isinstance(token, bool):
                return f"no token at {login.token.json_path} in its answer: {shown(answer.body, self._secrets)}"
            carried[login.token.header] = f"{login.token.prefix}{token}"
            self._secrets.append(str(token))
        self._secrets += [pair.partition("=")[2] for pair in carried.get("Cookie", "").split("; ")]
        for name, value in carried.items():
            if len(value) > _CARRIED_MAX_CHARS or not value.isascii() or not value.isprintable():
                return f"what it answered makes no {name} header: one line of {_CARRIED_MAX_CHARS} characters at most"
        self._carried = carried
        return ""

    def _named(self, request: MixRequest, answer: Answer) -> Answer:
        if answer.is_right:
            return answer
        return answer._replace(found=f"{request.name} ({request.method} {request.path}): {answer.found}")

    def _bytes(self, request: MixRequest, *, closes: bool) -> bytes:
        return rendered(request, http_get.host_of(self._address), self._carried, closes=closes)

    def write_file(self, path: str) -> None:
        """For wrk_mix.lua, which says what stands in it; readable by nobody else, as tokens do."""
        parts: list[bytes | str] = [str(len(self._spec.requests))]
        for request in self._spec.requests:
            expect = request.expect
            parts += [request.name, str(request.weight), self._bytes(request, closes=self._closes), str(expect.status)]
            parts += [expect.contains or "", str(len(expect.json))]
            parts += [part for path_in, value in expect.json.items() for part in (path_in, json.dumps(value))]
        encoded = [part.encode() if isinstance(part, str) else part for part in parts]
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(b"".join(b"%d:%s" % (len(part), part) for part in encoded))


def rendered(request: MixRequest, host: str, carried: Mapping[str, str], *, closes: bool) -> bytes:
    """A request as it is sent. What is carried goes over a header of its own; cookies are put together."""
    headers = {"host": ("Host", host)} | {name.lower(): (name, value) for name, value in request.headers.items()}
    for name, value in carried.items():
        own = headers.get(name.lower(), ("", ""))[1]
        headers[name.lower()] = (name, f"{own}; {value}" if own and name == "Cookie" else value)
    body = b"" if request.body_base64 is None else binascii.a2b_base64(request.body_base64, strict_mode=True)
    if closes:
        headers["connection"] = ("Connection", "close")
    # RFC 9110, 8.6: a method that means content says its length even where that is nothing.
    if request.body_base64 is not None or request.method in {"POST", "PUT", "PATCH"}:
        headers["content-length"] = ("Content-Length", str(len(body)))
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.values())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError(f"{request.name}: a line break within its headers")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def what_is_wrong(answer: HttpAnswer, expect: MixExpectation, secrets: Sequence[str] = ()) -> str:
    """What of an answer is not as expected, and what came instead; empty where all is."""
    came = shown(answer.body, secrets)
    if answer.status != expect.status:
        return f"status {answer.status} instead of {expect.status}: {came}"
    if expect.contains is not None and expect.contains.encode() not in answer.body:
        return f"status {answer.status}, but {expect.contains!r} is not in the body: {came}"
    if not expect.json:
        return ""
    body = _json_of(answer.body)
    if body is _MISSING:
        return f"status {answer.status}, but the body is not JSON: {came}"
    for path, value in expect.json.items():
        found = json_at(body, path)
        if not _is_same(found, value):
            what = "there is nothing" if found is _MISSING else f"there is {shown(_json_text(found), secrets)}"
            return f"status {answer.status}, but at {path} {what} instead of {json.dumps(value)}: {came}"
    return ""


def json_at(value: Json, path: str) -> Json:
    """The value at a path such as `items.0.name`; _MISSING where there is none."""
    for key in path.split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def shown(body: bytes, secrets: Sequence[str] = ()) -> str:
    """The start of a body, escaped, on one line, without what is secret."""
    text = body.decode("utf-8", "replace")
    for secret in secrets:
        if len(secret) >= _SECRET_MIN_CHARS:
            text = text.replace(secret, BLANK)
    text = blanked(text[: 10 * _SHOWN_CHARACTERS])
    return repr(text[:_SHOWN_CHARACTERS]) + ("…" if len(text) > _SHOWN_CHARACTERS else "")


def _json_of(body: bytes) -> Json:
    try:
        found: Json = json.loads(body)
    except (ValueError, RecursionError):
        return _MISSING
    return found


def _json_text(value: Json) -> bytes:
    return json.dumps(encode(value)).encode()


def _is_same(found: Json, expected: Json) -> bool:
    """Of one type and equal, as JSON has types: 1 is 1.0, and not true."""
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, int | float) and isinstance(expected, int | float):
        return found == expected
    return type(found) is type(expected) and found == expected


def _cookies(answer: HttpAnswer) -> list[str]:
    """Each cookie that an answer sets, as `name=value`; of one name the last."""
    pairs = [value.partition(";")[0].strip() for name, value in answer.headers if name == "set-cookie"]
    return list({pair.partition("=")[0]: pair for pair in pairs if "=" in pair}.values())


def first_wrong(answers: Mapping[str, Answer]) -> Answer:
    """The one that is not as expected; where all are, the first, which took as long as the usual request."""
    return next((each for each in answers.values() if each.kind is not AnswerKind.RIGHT), next(iter(answers.values())))
