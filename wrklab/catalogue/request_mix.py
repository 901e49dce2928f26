"""Request mixes: weighted requests, what each must be answered, and a login whose token or cookies the others carry.

A mix stands under `requests:` (and `login:`) of a scenario or of an application's card. `RequestMix` is those two keys
as one value; `check_mix` says what is wrong with them together, for the card that has them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from wrklab.catalogue.cards import Card, Line, Name

#: A generator holds every request of a mix in each thread of wrk.
REQUESTS_MAX = 50
BODY_MAX_BYTES = 1 << 16
BODIES_MAX_BYTES = 1 << 20
WEIGHT_MAX = 10_000
_HEADERS_MAX = 50
_CHARACTERS_MAX = 4096
#: What wrk or the connection mode says; a second one would contradict it.
_HEADERS_GIVEN = frozenset({"connection", "content-length", "expect", "transfer-encoding", "upgrade"})
_SECRET = re.compile(r"\{secret\.([A-Za-z_][A-Za-z0-9_]*)\}")


def _path_within(text: str) -> str:
    """Raises ValueError for a place outside of the card's folder."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\0" in text:
        raise ValueError(f"a path within the card's folder was expected, such as bodies/pen.json; found {text!r}")
    return text


def _json_path(text: str) -> str:
    if not all(text.split(".")):
        raise ValueError(f"keys and places with dots between were expected, such as items.0.name; found {text!r}")
    return text


def _header_name(name: str) -> str:
    if name.lower() in _HEADERS_GIVEN:
        raise ValueError(f"{name}: the generator gives this header itself; remove it")
    return name


#: RFC 9110, 5.6.2: a token.
HeaderName = Annotated[
    str,
    StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}$"),
    AfterValidator(_header_name),
]
#: A line break would begin another header, or another request.
HeaderValue = Annotated[
    Line, StringConstraints(max_length=_CHARACTERS_MAX, strip_whitespace=True, pattern=r"^[ -~\u00a1-\u00ff]*$")
]
RequestPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=_CHARACTERS_MAX)]
#: A value within JSON: `items.0.name`. A key with a dot of its own cannot be named.
JsonPath = Annotated[Line, StringConstraints(min_length=1, max_length=200), AfterValidator(_json_path)]
JsonScalar = str | bool | int | float | None
#: Not HEAD: wrk waits for the body that its answer announces.
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _WithJson(Card):
    """`json` is a method of pydantic's models: the key of that name is a field of another."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True, allow_inf_nan=False)


class Expectation(_WithJson):
    """What an answer must be; a body is looked at only where something is said of it."""

    status: int = Field(default=200, ge=200, le=599)
    #: A text that stands in the body.
    contains: str | None = Field(default=None, min_length=1, max_length=_CHARACTERS_MAX)
    #: By path, the values in a body of JSON.
    json_values: dict[JsonPath, JsonScalar] = Field(default_factory=dict, alias="json", max_length=50)

    @property
    def looks_at_body(self) -> bool:
        """Whether more than the status is expected."""
        return self.contains is not None or bool(self.json_values)


class Request(_WithJson):
    """One request and what it must be answered."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"file_base64"})

    name: Name
    method: Method = "GET"
    path: RequestPath
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=_HEADERS_MAX)
    #: One of the three at most: a text, a value that is sent as JSON, a file beside the card.
    body: str | None = None
    json_body: JsonValue = Field(default=None, alias="json")
    file: Annotated[Line, AfterValidator(_path_within)] | None = None
    #: What the file held when the card was read: a run that is resumed sends the same.
    file_base64: str | None = None
    expect: Expectation = Field(default_factory=Expectation)

    @field_validator("headers")
    @classmethod
    def _headers_once(cls, headers: dict[str, str]) -> dict[str, str]:
        lower = [name.lower() for name in headers]
        if twice := sorted({name for name in lower if lower.count(name) > 1}):
            raise ValueError(f"{twice[0]} stands there twice: case does not tell headers apart")
        return headers

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, values: object, info: ValidationInfo) -> object:
        """Where a card is read from a folder (`context={"folder": Path}`), the file's bytes become part of it."""
        folder = (info.context or {}).get("folder")
        if not isinstance(values, Mapping) or folder is None:
            return values
        if "file_base64" in values:
            raise ValueError("file_base64: the file gives this; remove the key")
        file = values.get("file")
        if not isinstance(file, str):
            return values
        return {**values, "file_base64": _content_base64(folder, _path_within(file))}

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        given = [name for name, value in self._bodies() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{self.name}: {' and '.join(given)} both give the body; leave one")
        if (self.file is None) != (self.file_base64 is None):
            raise ValueError(f"{self.name}: file {self.file!r} without what it holds; read the card from its folder")
        size = len(self.body_bytes() or b"")
        if size > BODY_MAX_BYTES:
            raise ValueError(f"{self.name}: the body has {size:,} bytes; at most {BODY_MAX_BYTES:,} were expected")
        return self

    def _bodies(self) -> tuple[tuple[str, object], ...]:
        return ("body", self.body), ("json", self.json_body), ("file", self.file)

    def body_bytes(self) -> bytes | None:
        """What is sent; None: no body. Raises ValueError where a stored file is not whole."""
        if self.body is not None:
            return self.body.encode()
        if self.json_body is not None:
            return json.dumps(self.json_body, ensure_ascii=False, separators=(",", ":")).encode()
        if self.file_base64 is None:
            return None
        try:
            return base64.b64decode(self.file_base64, validate=True)
        except binascii.Error as error:
            raise ValueError(f"{self.name}: file_base64 is not base64: {error}") from error

    def all_headers(self) -> dict[str, str]:
        """With the Content-Type that `json` means."""
        if self.json_body is None or any(name.lower() == "content-type" for name in self.headers):
            return dict(self.headers)
        return {**self.headers, "Content-Type": "application/json"}

    def secret_names(self) -> set[str]:
        """Of all `{secret.NAME}` in header values and in `body` or `json`."""
        texts = [*self.headers.values(), self.body or "", json.dumps(self.json_body, ensure_ascii=False)]
        return {name for text in texts for name in _SECRET.findall(text)}

    def filled(self, secrets: Mapping[str, str]) -> Self:
        """With every `{secret.NAME}` replaced. Raises KeyError where one is not known, ValueError for a bad value."""
        changes: dict[str, object] = {
            "headers": {name: _fill(value, secrets) for name, value in self.headers.items()},
            "body": None if self.body is None else _fill(self.body, secrets),
            "json": _fill_json(self.json_body, secrets),
        }
        return type(self).model_validate({**self.model_dump(), **changes})


class WeightedRequest(Request):
    """A request of a mix: of all requests, weight / the sum of all weights are this one."""

    weight: int = Field(default=1, ge=1, le=WEIGHT_MAX)


class Token(_WithJson):
    """Where the login's answer has a token, and in which header the others send it."""

    json_path: JsonPath = Field(alias="json")
    header: HeaderName = "Authorization"
    prefix: Annotated[str, StringConstraints(pattern=r"^[ -~]*$", max_length=100)] = "Bearer "


class Login(Request):
    """A request that is sent once, before all others, which then carry what it answered."""

    token: Token | None = None
    #: The cookies that it sets.
    cookies: bool = False

    @model_validator(mode="after")
    def _gives_something(self) -> Self:
        if self.token is None and not self.cookies:
            raise ValueError(f"{self.name}: nothing of its answer is used; say cookies: true, or token: {{json: PATH}}")
        return self


class RequestMix(Card):
    """Weighted requests, and the login before them."""

    requests: tuple[WeightedRequest, ...] = Field(min_length=1, max_length=REQUESTS_MAX)
    login: Login | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_mix(self.requests, self.login)
        return self

    @property
    def all_requests(self) -> tuple[Request, ...]:
        """In the order in which they are tried once: the login, then the mix."""
        return self.requests if self.login is None else (self.login, *self.requests)

    @property
    def looks_at_json(self) -> bool:
        """Whether some answer is read as JSON, which costs a generator more than all other checks."""
        return any(request.expect.json_values for request in self.requests)

    @property
    def digest(self) -> str:
        """Of all that is sent and expected: loads of the same digest ask for the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def share_of(self, request: WeightedRequest) -> float:
        """Of all requests, 0-1."""
        return request.weight / sum(each.weight for each in self.requests)

    def secret_names(self) -> set[str]:
        """Those that `filled` needs."""
        return {name for request in self.all_requests for name in request.secret_names()}

    def filled(self, secrets: Mapping[str, str]) -> RequestMix:
        """With every `{secret.NAME}` replaced: for the generator alone, never stored. Raises KeyError, ValueError."""
        return RequestMix(
            requests=tuple(request.filled(secrets) for request in self.requests),
            login=None if self.login is None else self.login.filled(secrets),
        )


def check_mix(requests: Sequence[WeightedRequest], login: Login | None) -> None:
    """Raises ValueError where a card's `requests` and `login` do not fit together."""
    if not requests:
        if login is not None:
            raise ValueError("login: there are no requests that would carry what it answers; give requests, too")
        return
    every = [*([login] if login else []), *requests]
    names = [request.name for request in every]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"requests: the name {twice[0]} stands there twice; each needs one of its own")
    total = sum(len(request.body_bytes() or b"") for request in every)
    if total > BODIES_MAX_BYTES:
        raise ValueError(f"requests: the bodies have {total:,} bytes; at most {BODIES_MAX_BYTES:,} were expected")
    _refuse_same(requests)


def _refuse_same(requests: Iterable[WeightedRequest]) -> None:
    """An answer's request is known by its bytes: two that are sent alike cannot be told apart."""
    seen: dict[object, str] = {}
    for request in requests:
        sent = (request.method, request.path, tuple(sorted(request.all_headers().items())), request.body_bytes())
        if sent in seen:
            raise ValueError(
                f"requests: {seen[sent]} and {request.name} send the same; make them one, of the sum of their weights"
            )
        seen[sent] = request.name


def _content_base64(folder: Path, file: str) -> str:
    """Raises ValueError where it cannot be read, lies outside of the folder by a link, or is too large."""
    path = folder / file
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"file {file!r} leads out of {folder}; copy it there")
        with path.open("rb") as stream:
            content = stream.read(BODY_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"file {str(path)!r} cannot be read: {error.strerror}") from error
    if len(content) > BODY_MAX_BYTES:
        raise ValueError(f"file {str(path)!r} has more than {BODY_MAX_BYTES:,} bytes")
    return base64.b64encode(content).decode()


def _fill(text: str, secrets: Mapping[str, str]) -> str:
    return _SECRET.sub(lambda found: secrets[found[1]], text)


def _fill_json(value: JsonValue, secrets: Mapping[str, str]) -> JsonValue:
    if isinstance(value, str):
        return _fill(value, secrets)
    if isinstance(value, list):
        return [_fill_json(item, secrets) for item in value]
    if isinstance(value, dict):
        return {key: _fill_json(item, secrets) for key, item in value.items()}
    return value
