"""Requests of a mix as the protocol has them, for the toy server's paths."""

from __future__ import annotations

from typing import Any

from wrklab.protocol.codec import decode
from wrklab.protocol.request_mix import MixRequest, MixSpec


def handmade_request(name: str, path: str, weight: int = 1, **changes: Any) -> MixRequest:  # noqa: ANN401  JSON
    """A GET that expects 200; `status`, `contains` and `json` change what is expected, other keys the request."""
    expect: dict[str, Any] = {"status": 200, "contains": None, "json": {}}
    expect |= {key: changes.pop(key) for key in tuple(expect) if key in changes}
    request: dict[str, Any] = {"method": "GET", "headers": {}, "body_base64": None}
    return decode(MixRequest, {"name": name, "path": path, "weight": weight, "expect": expect} | request | changes)


def handmade_mix(*requests: MixRequest, **changes: Any) -> MixSpec:  # noqa: ANN401  fields
    """A mix without a login."""
    return MixSpec(requests=requests, login=None).replace(**changes)


def drawn_counts(seed: int, weights: dict[str, int], count: int) -> dict[str, int]:
    """How often each name is among the first draws of a thread: xorshift32, and the weights in their order."""
    found, total = dict.fromkeys(weights, 0), sum(weights.values())
    state = seed
    for _ in range(count):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        end = 0
        for name, weight in weights.items():
            end += weight << 32
            if state * total < end:
                found[name] += 1
                break
    return found
