"""A mix of requests: what a generator is to send and to expect, and what wrk counted of each request."""

from collections.abc import Mapping
from typing import Annotated

from wrklab.protocol.codec import Count, Json, Limits, Message, Port, Seconds, Text, Word

#: wrklab.catalogue.request_mix refuses more: these are for a controller that is not to be trusted.
_REQUESTS_MAX = 50
_BODY_MAX_CHARS = 90_000


class MixExpectation(Message):
    """What an answer must be."""

    status: Annotated[int, Limits(100, 599)]
    #: None: the body may be without any certain text.
    contains: Word | None
    #: By path, such as `items.0.name`, the values in a body of JSON; each a text, a number, true, false or null.
    json: Annotated[Mapping[str, Json], Limits(0, 50)]


class MixRequest(Message):
    """One request, without the headers that the generator gives: Host, Connection, Content-Length."""

    name: Word
    method: Word
    path: Word
    headers: Annotated[Mapping[str, Word], Limits(0, 60)]
    body_base64: Annotated[str, Limits(0, _BODY_MAX_CHARS)] | None
    expect: MixExpectation
    #: Of the login, which is no part of the mix, 0.
    weight: Count


class MixToken(Message):
    """Where a login's answer has a token, and how the others carry it."""

    json_path: Word
    header: Word
    prefix: Word


class MixLogin(Message):
    """A request that is sent once, before all others."""

    request: MixRequest
    token: MixToken | None
    #: Whether the others carry the cookies that it sets.
    takes_cookies: bool


class MixSpec(Message):
    """The mix that a load sends."""

    requests: Annotated[tuple[MixRequest, ...], Limits(1, _REQUESTS_MAX)]
    login: MixLogin | None
    #: Blanked wherever an answer is shown.
    secrets: Annotated[tuple[Word, ...], Limits(0, 1000)] = ()


class AskOnceSpec(Message):
    """Each request of a mix once, after the login: does the server answer as expected?"""

    host: Word
    port: Port
    mix: MixSpec
    #: How long to wait for a server that starts to take connections.
    ready_limit_s: Seconds
    #: How long one answer may take.
    attempt_limit_s: Seconds


class AskedRequest(Message):
    """What came of one request."""

    name: Word
    method: Word
    path: Word
    #: What was not as expected, and what came instead; empty where all was.
    found: Text
    took_s: Seconds
    #: Of a complete answer, without secrets; None where there was none.
    status: Annotated[int, Limits(0, 999)] | None
    headers: Annotated[tuple[Text, ...], Limits(0, 200)]
    #: Escaped, on one line.
    body_start: Text
    body_bytes: Count


class AskedOnce(Message):
    """What a server answered to each request; none where it took no connection."""

    is_listening: bool
    asked: Annotated[tuple[AskedRequest, ...], Limits(0, 100)]


class RequestHistogram(Message):
    """Distinct latencies as differences (the first one from 0), µs, and how often each came."""

    values: tuple[Count, ...]
    counts: tuple[Count, ...]


class RequestCounts(Message):
    """What one wrk process counted of one request of the mix."""

    name: Word
    sent: Count
    answers: Count
    #: Later than wrk's --timeout: answers, but no latencies.
    timeouts: Count
    #: Another status than expected.
    wrong_status: Count
    #: The right status, and not the text or the values of JSON that were expected.
    wrong_body: Count
    #: Bodies with bytes of a cut-off answer in front, perhaps: wrk's doing.
    stale_bodies: Count
    histogram: RequestHistogram


class MixReport(Message):
    """What wrk_mix.lua counted in one wrk process."""

    requests: Annotated[tuple[RequestCounts, ...], Limits(1, _REQUESTS_MAX)]
    #: Answers to which no request was found: they came unasked, or without any header.
    unknown: Count
