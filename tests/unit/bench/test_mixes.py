"""A scenario's mix as the generators take it."""

from __future__ import annotations

import pytest

from tests.unit.handmade_mixes import drawn_counts
from tests.unit.handmade_records import handmade_scenario
from wrklab.bench.mixes import mix_spec, refuse_missing_secrets, with_mix_seeds
from wrklab.catalogue.request_mix import RequestMix
from wrklab.errors import UsageError
from wrklab.protocol.codec import decode, encode
from wrklab.protocol.load import WrkSpec
from wrklab.protocol.request_mix import MixSpec

MIX = RequestMix.model_validate(
    {
        "requests": [
            {"name": "list", "weight": 8, "path": "/items", "expect": {"contains": "items", "json": {"n": 1}}},
            {"name": "create", "weight": 2, "method": "POST", "path": "/items", "json": {"key": "{secret.KEY}"}},
        ],
        "login": {"name": "log_in", "path": "/login", "headers": {"X-Key": "{secret.KEY}"}, "token": {"json": "t"}},
    }
)


def test_a_generator_is_told_all_of_a_mix() -> None:
    """Secrets filled in, and named as what is not to be shown; it goes over the protocol and back."""
    spec = mix_spec(MIX, {"KEY": "k3y"})

    assert [(request.name, request.weight, request.body_base64) for request in spec.requests] == [
        ("list", 8, None),
        ("create", 2, "eyJrZXkiOiJrM3kifQ=="),
    ]
    assert spec.requests[0].expect.json == {"n": 1}
    assert spec.login is not None
    assert spec.login.request.headers == {"X-Key": "k3y"}
    assert spec.secrets == ("k3y",)
    assert decode(MixSpec, encode(spec)) == spec


def test_a_missing_secret_is_told_before_any_host_is_touched() -> None:
    """With the variable's name; what is wrong with a secret is told without showing it."""
    scenario = handmade_scenario(requests=MIX.model_dump()["requests"], login=MIX.model_dump()["login"])
    with pytest.raises(UsageError, match=r"scenario standard: its requests need KEY, .* export KEY="):
        refuse_missing_secrets([scenario], {})
    refuse_missing_secrets([scenario, handmade_scenario()], {"KEY": "x"})

    with pytest.raises(UsageError) as caught:
        mix_spec(MIX, {"KEY": "hunter22\r\nX: y"})
    assert "hunter22" not in str(caught.value)
    assert "with KEY filled in" in str(caught.value)


def test_each_thread_draws_an_order_of_its_own() -> None:
    """The same for the same name, on all generators; and over all threads the shares are those of the weights."""
    checking = WrkSpec(threads=1, connections=1, checks_answers=True)
    parts = (WrkSpec(threads=2, connections=4, checks_answers=False), checking)
    specs = {"one": parts, "two": parts}

    found = with_mix_seeds(specs, "mix.1")

    seeds = [seed for spec in (*found["one"], *found["two"]) for seed in spec.mix_seeds]
    assert [len(spec.mix_seeds) for spec in found["one"]] == [2, 1]
    assert len(set(seeds)) == 6
    assert all(0 < seed < 1 << 32 for seed in seeds)
    assert with_mix_seeds(specs, "mix.1") == found != with_mix_seeds(specs, "mix.2")
    drawn = [drawn_counts(seed, {"list": 8, "create": 2}, 5000)["list"] for seed in seeds]
    # 4,000 with a standard deviation of 28.
    assert all(abs(count - 4000) < 4 * 28 for count in drawn)
    assert abs(sum(drawn) - 24_000) < 4 * 70
