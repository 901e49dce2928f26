"""A scenario's request mix as the generators take it: its secrets filled in, its order drawn, known by a digest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping

from wrklab.catalogue.request_mix import Login, Request, RequestMix, WeightedRequest
from wrklab.catalogue.scenario import Scenario
from wrklab.errors import UsageError
from wrklab.protocol.blanking import known_secrets
from wrklab.protocol.load import WrkSpec
from wrklab.protocol.request_mix import MixExpectation, MixLogin, MixRequest, MixSpec, MixToken


def refuse_missing_secrets(scenarios: Iterable[Scenario], environment: Mapping[str, str]) -> None:
    """Raises UsageError where a mix names a `{secret.NAME}` that the environment of this machine does not have."""
    for scenario in scenarios:
        missing = sorted(scenario.mix.secret_names() - set(environment)) if scenario.mix else []
        if missing:
            raise UsageError(
                f"scenario {scenario.name}: its requests need {', '.join(missing)}, and the environment of this "
                f"machine has no such variable. Export it first: export {missing[0]}=..."
            )


def mix_spec(mix: RequestMix, environment: Mapping[str, str]) -> MixSpec:
    """What a generator is to send. Raises UsageError where a secret is missing or makes no request."""
    names = mix.secret_names()
    try:
        filled = mix.filled({name: environment[name] for name in names}) if names else mix
    except KeyError as error:
        raise UsageError(f"requests: the environment of this machine has no variable {error.args[0]}") from error
    except ValueError:
        # What is wrong with it would show it.
        found = ", ".join(sorted(names))
        raise UsageError(f"requests: with {found} filled in they are no requests any more: a line break?") from None
    return MixSpec(
        requests=tuple(_request(request) for request in filled.requests),
        login=_login(filled.login) if filled.login else None,
        # Those of the application too: an answer may show them.
        secrets=tuple(sorted({*(environment[name] for name in names), *known_secrets()})),
    )


def with_mix_seeds(specs: Mapping[str, tuple[WrkSpec, ...]], name: str) -> dict[str, tuple[WrkSpec, ...]]:
    """The wrk processes of all generators, each thread with a seed of its own; `name` decides all of them.

    Two loads of the same name and shape send the same requests in the same order.
    """
    found: dict[str, tuple[WrkSpec, ...]] = {}
    before = 0
    for host, parts in specs.items():
        seeded = []
        for spec in parts:
            numbers = range(before, before + spec.threads)
            seeded.append(spec.replace(mix_seeds=tuple(_seed(name, number) for number in numbers)))
            before += spec.threads
        found[host] = tuple(seeded)
    return found


def _seed(name: str, number: int) -> int:
    """Of 32 bits and above 0, as xorshift32 takes it."""
    digest = hashlib.sha256(f"{name}.{number}".encode()).digest()
    return int.from_bytes(digest[:4], "little") or 1


def _request(request: Request) -> MixRequest:
    body = request.body_bytes()
    return MixRequest(
        name=request.name,
        method=request.method,
        path=request.path,
        headers=request.all_headers(),
        body_base64=None if body is None else base64.b64encode(body).decode(),
        expect=MixExpectation(
            status=request.expect.status, contains=request.expect.contains, json=request.expect.json_values
        ),
        weight=request.weight if isinstance(request, WeightedRequest) else 0,
    )


def _login(login: Login) -> MixLogin:
    token = login.token
    return MixLogin(
        request=_request(login),
        token=None if token is None else MixToken(json_path=token.json_path, header=token.header, prefix=token.prefix),
        takes_cookies=login.cookies,
    )
