"""Messages between controller and hosts: what is decoded, what is refused, and in which words."""

from __future__ import annotations

import base64
import inspect
import json
import subprocess
import sys
import zlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest

from wrklab.protocol import codec, host, load, probe, server
from wrklab.protocol.codec import Count, Json, Limits, Message, ProtocolError, Seconds

_ALL = [
    kind
    for module in (host, load, probe, server)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Message) and kind.__module__ == module.__name__
]


class Colour(StrEnum):
    """Two of them."""

    RED = "red"
    BLUE = "blue"


class Row(Message, is_row=True):
    """A list in JSON."""

    run_s: Seconds
    note: str | None


class Wrk(Message):
    """Part of a load."""

    cpu_s: float
    count: Count


class Load(Message):
    """One of each kind of field."""

    wrk: tuple[Wrk, ...]
    rows: Annotated[tuple[Row, ...], Limits(0, 2)]
    pair: tuple[int, str]
    by_step: Mapping[int, Count]
    by_name: Mapping[str, Wrk | None]
    colour: Colour
    is_on: bool
    facts: Json
    name: Annotated[str, Limits(1, 5)] = "one"


class Part(Message, is_partial=True):
    """The one key that is used."""

    used: int


LOAD = Load(
    wrk=(Wrk(cpu_s=1.5, count=2), Wrk(cpu_s=2.0, count=0)),
    rows=(Row(run_s=0.5, note=None), Row(run_s=1.0, note="x")),
    pair=(-1, "two"),
    by_step={10: 3},
    by_name={"a": None, "b": Wrk(cpu_s=0.0, count=1)},
    colour=Colour.BLUE,
    is_on=True,
    facts={"any": [1, None, {"deep": "value"}]},
)


def as_json(**changes: object) -> str:
    """LOAD with other values at some keys; a change to ... removes the key."""
    value = {**codec.encode(LOAD), **changes}
    return json.dumps({key: item for key, item in value.items() if item is not ...})


def test_a_message_comes_back_as_it_was() -> None:
    """Every kind of field; numbers of a float's field are floats, enums are enums again."""
    again = codec.decode_json(Load, codec.encode_json(LOAD))

    assert again == LOAD
    assert again.colour is Colour.BLUE
    assert codec.encode(LOAD)["rows"] == [[0.5, None], [1.0, "x"]]
    assert codec.from_word(Load, codec.to_word(LOAD)) == LOAD


def test_a_message_does_not_change() -> None:
    """Neither by assignment nor by deletion; `replace` makes another one."""
    with pytest.raises(AttributeError, match="replace"):
        LOAD.name = "two"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="deleted"):
        del LOAD.name
    assert (LOAD.replace(name="two").name, LOAD.name) == ("two", "one")


def test_a_message_is_complete_when_it_is_made() -> None:
    """A field that is missing and one that there is not are both an error, as with a dataclass."""
    with pytest.raises(TypeError, match=r"Wrk: unknown \[\], missing \['count'\]"):
        Wrk(cpu_s=1.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"unknown \['size'\]"):
        Wrk(cpu_s=1.0, count=1, size=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"wrk": [{"cpu_s": "x", "count": 0}]}, 'wrk[0].cpu_s: expected a number, found "x"'),
        ({"wrk": [{"cpu_s": True, "count": 0}]}, "wrk[0].cpu_s: expected a number, found true"),
        ({"wrk": [{"cpu_s": 0, "count": 1.0}]}, "wrk[0].count: expected a whole number, found 1.0"),
        ({"wrk": [{"cpu_s": 0, "count": -1}]}, "wrk[0].count: expected a number from 0 to"),
        ({"wrk": [{"cpu_s": 0}]}, 'wrk[0].count: expected a value, found "nothing"'),
        ({"wrk": {}}, "wrk: expected a list, found an object of 0"),
        ({"rows": [[1.0]]}, "rows[0]: expected a list of 2 values (run_s, note), found a list of 1"),
        ({"rows": [[-1.0, None]]}, "rows[0].run_s: expected a number from 0 to"),
        ({"rows": [[1.0, None]] * 3}, 'rows: expected 0 to 2 entries, found "3 entries"'),
        ({"pair": [1]}, "pair: expected a list of 2 values, found a list of 1"),
        ({"pair": [1, 2]}, "pair[1]: expected a text, found 2"),
        ({"by_step": {"x": 1}}, 'by_step: expected whole numbers as keys, found "x"'),
        ({"by_step": {"7": -1}}, "by_step.7: expected a number from 0 to"),
        ({"by_name": {"a": 1}}, "by_name.a: expected an object, found 1"),
        ({"colour": "green"}, 'colour: expected one of red, blue, found "green"'),
        ({"colour": ["red"]}, "colour: expected one of red, blue, found a list of 1"),
        ({"is_on": 1}, "is_on: expected true or false, found 1"),
        ({"name": "too long"}, 'name: expected 1 to 5 characters, found "8 characters"'),
        ({"name": None}, "name: expected a text, found null"),
        ({"facts": ...}, "facts: expected a value"),
        ({"other": 1}, "the message: expected only the keys wrk, rows, pair, by_step, by_name, colour"),
    ],
)
def test_what_is_wrong_is_reported_with_its_key(changes: dict[str, object], text: str) -> None:
    """The path of the key, what was expected, what was found."""
    with pytest.raises(ProtocolError) as caught:
        codec.decode_json(Load, as_json(**changes))

    assert text in str(caught.value)


@pytest.mark.parametrize(
    "text", ['{"cpu_s": NaN, "count": 1}', '{"cpu_s": 1e999, "count": 1}', "[" * 100_000, "", "null", b"\xff", '"x"']
)
def test_what_is_no_message_is_refused(text: str | bytes) -> None:
    """Numbers without a value, depth without end, bytes that are no text."""
    with pytest.raises(ProtocolError):
        codec.decode_json(Wrk, text)


def test_a_value_is_shown_in_one_short_line() -> None:
    """Whatever a host sends, an error is a line of a terminal."""
    with pytest.raises(ProtocolError) as caught:
        codec.decode_json(Wrk, json.dumps({"cpu_s": "\x1b[31m\n" * 1000, "count": 1}))

    assert len(str(caught.value)) < 120
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_halves_of_characters_become_question_marks() -> None:
    r"""JSON may hold \ud800; no file and no store can."""
    found = codec.decode_json(Row, '[1.0, "a\\ud800b"]')

    assert found.note == "a?b"


def test_a_partial_message_names_what_is_used() -> None:
    """Keys beside it are ignored; its own are checked."""
    assert codec.decode(Part, {"used": 1, "other": "x"}) == Part(used=1)
    with pytest.raises(ProtocolError, match=r"cpu\.used: expected a whole number"):
        codec.decode(Part, {"used": None}, "cpu")


def test_a_pack_is_bounded() -> None:
    """A few bytes of zlib may come to gigabytes; a pack that was cut off is no pack."""
    line = codec.pack(b"x" * 1_000_000)

    assert codec.unpack(line) == b"x" * 1_000_000
    with pytest.raises(ProtocolError, match="at most 1000 bytes"):
        codec.unpack(line, 1000)
    cut = base64.b64encode(zlib.compress(b"x" * 1000)[:-6]).decode()
    with pytest.raises(ProtocolError, match="complete"):
        codec.unpack(cut)
    for wrong in ("%%%", base64.b64encode(b"no zlib").decode(), "é"):
        with pytest.raises(ProtocolError, match="base64 of zlib"):
            codec.unpack(wrong)


@pytest.mark.parametrize("word", ["%%", base64.b64encode(b"{").decode(), base64.b64encode(b"[]").decode(), "é"])
def test_a_word_that_is_no_spec_is_refused(word: str) -> None:
    """The scripts on a host refuse what they cannot read."""
    with pytest.raises(ProtocolError):
        codec.from_word(Wrk, word)


@pytest.mark.parametrize("kind", _ALL, ids=lambda kind: kind.__name__)
def test_every_message_can_be_decoded(kind: type[Message]) -> None:
    """Each field is of a type that the codec knows: a value of none of them is refused, never a crash."""
    hints = codec.hints_of(kind)

    assert kind.__doc__
    for name in kind._names:
        hint = hints[name]
        assert not isinstance(kind.__annotations__[name], str), "types as texts are slow: see codec.hints_of"
        if hint is not object:
            with pytest.raises(ProtocolError):
                codec._decoded(hint, _Nothing(), name)


class _Nothing:
    """A value of no type of JSON."""


@pytest.mark.parametrize("module", ["codec", "host", "load", "probe", "server"])
def test_the_protocol_is_cheap_to_import(module: str) -> None:
    """On a host each call pays for it: neither dataclasses nor inspect, and of the project nothing else."""
    project = Path(codec.__file__).parents[2]
    program = (
        f"import sys; sys.path.append({str(project)!r}); import wrklab.protocol.{module}; "
        "heavy = ('dataclasses', 'inspect', 'pathlib'); "
        "print(*(name for name in sys.modules if name in heavy or name.startswith('wrklab')))"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()

    assert [name for name in found if not name.startswith("wrklab.protocol")] == ["wrklab"]
