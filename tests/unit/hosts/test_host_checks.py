"""What a host answers before anything is on it may be anything: an error of ours names host and key."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.unit.hosts.test_preflight import HOST
from wrklab.errors import ParseError
from wrklab.hosts.host_checks import HostLook, look_at_host, look_at_link
from wrklab.hosts.remote import CommandResult, RemoteHost, answered_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOK: dict[str, Any] = {
    "machine": "abc", "cpus": [0, 1], "disk_free_bytes": 10**10, "memory_bytes": 10**9, "load_address_problem": "",
    "mtu_bytes": {"192.0.2.2": 1500}, "ports_taken": [], "listen_address": "192.0.2.1", "peer_addresses": {},
}  # fmt: skip
LINK = {"bytes": 1000, "took_s": 1.0, "connect_s": 0.001}


class Answering:
    """A host that answers this to everything."""

    name = "server"
    host = HOST

    def __init__(self, text: str, port: object = 8080) -> None:
        self._text, self._port = text, port

    def run(self, argv: list[str], *, limit_s: float, check: bool = True) -> CommandResult:
        return CommandResult("server", "", 0, self._text, "", 0.0)

    @contextmanager
    def talk(self, argv: list[str], *, limit_s: float) -> Iterator[Callable[[str], str]]:
        yield lambda line: json.dumps({"port": self._port})


def answering(text: str, port: object = 8080) -> RemoteHost:
    """The same, as its callers take it."""
    return cast("RemoteHost", Answering(text, port))


def look() -> HostLook:
    """A look at a sound host."""
    return look_at_host(answering(json.dumps(LOOK)), [])


def test_a_sound_answer_is_read() -> None:
    """With lists as tuples."""
    assert (look().cpus, look().mtu_bytes) == ((0, 1), {"192.0.2.2": 1500})


@pytest.mark.parametrize("key", [*LOOK])
@pytest.mark.parametrize("value", [{"a": [None]}, "\ud800"])
def test_a_value_of_another_kind_is_named(key: str, value: object) -> None:
    """Each key, with what it should not be."""
    if isinstance(value, str) and isinstance(LOOK[key], str):
        # A text that no file can hold is shown with a question mark.
        answer = look_at_host(answering(json.dumps(LOOK | {key: value})), [])
        assert getattr(answer, key) == "?"
        return
    if isinstance(value, dict) and isinstance(LOOK[key], dict):
        key = f"{key}.a"
    with pytest.raises(ParseError, match=rf"server: host_look\.py: {key}"):
        look_at_host(answering(json.dumps(LOOK | {key.partition(".")[0]: value})), [])


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"a":' * 100_000, "NaN"])
def test_what_is_no_object_is_an_error(text: str) -> None:
    """Also what is nested so deeply that Python gives up."""
    with pytest.raises(ParseError, match=r"server: x\.py answered"):
        answered_object("server", "x.py", text)


@pytest.mark.parametrize("changes", [{"took_s": 0}, {"bytes": "1"}, {"connect_s": float("nan")}, {"took_s": None}])
def test_a_transfer_that_makes_no_sense_is_an_error(changes: dict[str, object]) -> None:
    """No division by what a host says is nothing."""
    seen = HostLook("m", (0,), 1, 1, "", {}, peer_addresses={HOST.load_address: "192.0.2.1"})
    sound = answering(json.dumps(LINK))
    assert look_at_link((sound, seen), (sound, seen), [8080]).bytes_per_s == 1000
    broken = answering(json.dumps(LINK | changes))
    with pytest.raises(ParseError, match=r"server: link_check\.py: (took_s|bytes|connect_s): a (number|time)"):
        look_at_link((broken, seen), (sound, seen), [8080])
    with pytest.raises(ParseError, match=r"link_check\.py: port: a number"):
        look_at_link((sound, seen), (answering("", port="x"), seen), [8080])
