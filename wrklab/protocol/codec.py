"""Messages between controller and hosts: frozen value classes, and JSON to and from them by their type hints.

A subclass of `Message` is a frozen dataclass with keyword arguments to a type checker. It is not one at run time: a
script on a host would pay 7 ms of every call for `import dataclasses`, and 0.4 ms for each class.

Decoding is strict. A key that is missing or unknown, a value of another type, a number out of its range, a text or a
list that is too long is a ProtocolError with the path of its key: `wrk[0].cpu_s: expected a number, found "x"`.
A field's limits stand in its annotation: `Annotated[int, Limits(0, 65535)]`. Where none stand, COUNT_MAX holds for
lists and TEXT_MAX for texts.

A field may be of type int, float, str, bool, Json, an enum of texts, another message, `X | None`, `tuple[X, ...]`,
a tuple of fixed length, or `Mapping[str, X]` (`Mapping[int, X]`, whose keys are numbers written as texts).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

#: The most entries of a list or an object, and the most characters of a text, where a field sets no limit of its own.
COUNT_MAX = 1 << 20
TEXT_MAX = 1 << 24
#: A pack may come to this once unpacked: a host that sends a bomb must not take this machine's memory.
UNPACKED_MAX_BYTES = 1 << 28
#: Numbers of the kernel's have 64 bits.
NUMBER_MAX = 1 << 64
_SHOWN_LENGTH = 60

#: Any value of JSON: facts that are shown and stored as they are, and never computed with.
Json: TypeAlias = object

MessageType = TypeVar("MessageType", bound="Message")


class ProtocolError(ValueError):
    """What the other side sent is not the message that was expected; the text names the key."""

    def __init__(self, path: str, expected: str, found: object) -> None:
        """`path` is where the value stands in the message; empty for the message itself."""
        self.path = path
        self.expected = expected
        super().__init__(f"{path or 'the message'}: expected {expected}, found {_shown(found)}")


class Limits:
    """The range of a number, or of the length of a text, list or object."""

    __slots__ = ("least", "most")

    def __init__(self, least: float = 0, most: float = NUMBER_MAX) -> None:
        """Both limits are allowed values."""
        self.least = least
        self.most = most


#: A count, a size or a time that is never negative.
Count: TypeAlias = Annotated[int, Limits()]
Seconds: TypeAlias = Annotated[float, Limits()]
Port: TypeAlias = Annotated[int, Limits(0, 65535)]
#: A name, a path or an address; and a sentence for people.
Word: TypeAlias = Annotated[str, Limits(0, 4096)]
Text: TypeAlias = Annotated[str, Limits(0, 65536)]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Message:
    """The base of all messages.

    `class Row(Message, is_row=True)` is a list in JSON, its fields in order, where thousands are sent.
    `class Part(Message, is_partial=True)` names only the keys that are used, and ignores others.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[Mapping[str, object]] = {}
    _hints: ClassVar[Mapping[str, object] | None] = None
    _is_row: ClassVar[bool] = False
    _is_partial: ClassVar[bool] = False

    def __init_subclass__(cls, *, is_row: bool = False, is_partial: bool = False) -> None:
        """Note the fields in order; those of a base class come first."""
        # Not inspect.get_annotations: importing inspect costs as much as dataclasses would.
        annotations = cls.__dict__.get("__annotations__", {})  # noqa: RUF063
        own = [name for name in annotations if not name.startswith("_")]
        cls._names = (*cls._names, *(name for name in own if name not in cls._names))
        cls._defaults = {**cls._defaults, **{name: cls.__dict__[name] for name in own if name in cls.__dict__}}
        cls._hints = None
        cls._is_row, cls._is_partial = is_row, is_partial

    def __init__(self, **values: object) -> None:
        """Every field without a default must be given. Raises TypeError."""
        unknown = values.keys() - set(self._names)
        missing = [name for name in self._names if name not in values and name not in self._defaults]
        if unknown or missing:
            raise TypeError(f"{type(self).__name__}: unknown {sorted(unknown)}, missing {missing}")
        self.__dict__.update(self._defaults)
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        """Refused: a message does not change."""
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: use `replace`")

    def __delattr__(self, name: str) -> None:
        """Refused: a message does not change."""
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        """Of the same class with equal fields."""
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """By the fields. Raises TypeError where one of them is a mapping."""
        return hash((type(self), *(self.__dict__[name] for name in self._names)))

    def __repr__(self) -> str:
        """As it is constructed."""
        return f"{type(self).__name__}({', '.join(f'{name}={self.__dict__[name]!r}' for name in self._names)})"

    def replace(self, **changes: object) -> Self:
        """A copy with these fields changed. Raises TypeError."""
        return type(self)(**{**self.__dict__, **changes})


def encode(value: object) -> Any:  # noqa: ANN401  a value of JSON
    """A message, or what its fields hold, as a value of JSON."""
    if isinstance(value, Message):
        fields = value.__dict__
        if type(value)._is_row:  # noqa: SLF001  this module is the class's other half
            return [encode(fields[name]) for name in type(value)._names]  # noqa: SLF001
        return {name: encode(fields[name]) for name in type(value)._names}  # noqa: SLF001
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def encode_json(message: Message) -> str:
    """A message as one line of JSON."""
    return json.dumps(encode(message), separators=(",", ":"))


def decode_json(kind: type[MessageType], text: str | bytes) -> MessageType:
    """A message from its JSON. Raises ProtocolError."""
    return decode(kind, parse_json(text))


def parse_json(text: str | bytes) -> Json:
    """A value of JSON; halves of characters become question marks, as no file can hold them. Raises ProtocolError."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        found: Json = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text.lower():
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("", f"JSON ({error})", text) from error
    return found


def decode(kind: type[MessageType], value: Json, path: str = "") -> MessageType:
    """A message from a value of JSON. Raises ProtocolError."""
    hints = hints_of(kind)
    values = _row_values(kind, value, path) if kind._is_row else _object_values(kind, value, path)  # noqa: SLF001
    fields = {name: _decoded(hints[name], item, f"{path}.{name}" if path else name) for name, item in values.items()}
    return kind(**fields)


def hints_of(kind: type[Message]) -> Mapping[str, object]:
    """The types of a message's fields, read when a message of this kind is first decoded.

    In a module with `from __future__ import annotations` they are texts. Turning one into a type takes 0.1 ms, too much
    for a call on a host: the messages' own modules do without.
    """
    if kind._hints is None:  # noqa: SLF001
        hints: dict[str, object] = {}
        for each in reversed(kind.__mro__):
            hints |= each.__dict__.get("__annotations__", {})  # noqa: RUF063  as in Message
        is_text = any(isinstance(hints[name], str) for name in kind._names)  # noqa: SLF001
        kind._hints = get_type_hints(kind, include_extras=True) if is_text else hints  # noqa: SLF001
    return kind._hints  # noqa: SLF001


def _object_values(kind: type[Message], value: Json, path: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise ProtocolError(path, "an object", value)
    names = kind._names  # noqa: SLF001
    for name in names:
        if name not in value and name not in kind._defaults:  # noqa: SLF001
            raise ProtocolError(f"{path}.{name}" if path else name, "a value", "nothing")
    for name in value:
        if name not in names and not kind._is_partial:  # noqa: SLF001
            raise ProtocolError(path, f"only the keys {', '.join(names)}", name)
    return {name: value[name] for name in names if name in value}


def _row_values(kind: type[Message], value: Json, path: str) -> Mapping[str, Json]:
    names = kind._names  # noqa: SLF001
    if not isinstance(value, list) or len(value) != len(names):
        raise ProtocolError(path, f"a list of {len(names)} values ({', '.join(names)})", value)
    return dict(zip(names, value, strict=True))


def _decoded(hint: Any, value: Json, path: str, limits: Limits | None = None) -> object:  # noqa: ANN401  a type
    origin = get_origin(hint)
    if origin is Annotated:
        return _decoded(get_args(hint)[0], value, path, limits or get_args(hint)[1])
    if origin in (Union, UnionType):
        kinds = get_args(hint)
        if value is None and NoneType in kinds:
            return None
        return _decoded(next(kind for kind in kinds if kind is not NoneType), value, path, limits)
    if origin is tuple:
        return _decoded_tuple(get_args(hint), value, path, limits)
    if origin is not None:
        return _decoded_mapping(get_args(hint), value, path, limits)
    return _decoded_plain(hint, value, path, limits)


def _decoded_plain(hint: Any, value: Json, path: str, limits: Limits | None) -> object:  # noqa: ANN401  a type
    if hint is int or hint is float:
        return _number(hint, value, path, limits)
    if hint is str:
        if not isinstance(value, str):
            raise ProtocolError(path, "a text", value)
        _check_length(value, limits, TEXT_MAX, path)
        return value
    if hint is bool:
        if not isinstance(value, bool):
            raise ProtocolError(path, "true or false", value)
        return value
    if hint is object:
        return value
    if issubclass(hint, Message):
        return decode(hint, value, path)
    if issubclass(hint, StrEnum):
        if not isinstance(value, str) or value not in hint._value2member_map_:
            raise ProtocolError(path, f"one of {', '.join(hint)}", value)
        return hint(value)
    raise TypeError(f"{path}: messages have no fields of type {hint}")


def _number(kind: type, value: Json, path: str, limits: Limits | None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and not isinstance(value, int)):
        raise ProtocolError(path, "a whole number" if kind is int else "a number", value)
    least, most = (limits.least, limits.most) if limits else (-NUMBER_MAX, NUMBER_MAX)
    # No infinity and no NaN is within any limits.
    if not least <= value <= most:
        raise ProtocolError(path, f"a number from {least:g} to {most:g}", value)
    return value if kind is int else float(value)


def _decoded_tuple(kinds: tuple[Any, ...], value: Json, path: str, limits: Limits | None) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise ProtocolError(path, "a list", value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:  # noqa: PLR2004  tuple[X, ...]
        _check_length(value, limits, COUNT_MAX, path)
        if _are_plain_counts(kinds[0], value):
            return tuple(value)
        return tuple(_decoded(kinds[0], item, f"{path}[{place}]") for place, item in enumerate(value))
    if len(value) != len(kinds):
        raise ProtocolError(path, f"a list of {len(kinds)} values", value)
    pairs = zip(kinds, value, strict=True)
    return tuple(_decoded(kind, item, f"{path}[{place}]") for place, (kind, item) in enumerate(pairs))


def _are_plain_counts(kind: object, value: list[Any]) -> bool:
    """Whether a list is one of Counts that needs no closer look: a histogram may have 100,000 of them."""
    if kind != Count or not all(type(item) is int for item in value):
        return False
    return not value or (min(value) >= 0 and max(value) <= NUMBER_MAX)


def _decoded_mapping(kinds: tuple[Any, ...], value: Json, path: str, limits: Limits | None) -> dict[Any, object]:
    if not isinstance(value, dict):
        raise ProtocolError(path, "an object", value)
    _check_length(value, limits, COUNT_MAX, path)
    key_kind, kind = kinds
    return {
        _key(key_kind, key, path): _decoded(kind, item, f"{path}.{key[:_SHOWN_LENGTH]}") for key, item in value.items()
    }


def _key(kind: type, key: str, path: str) -> str | int:
    if kind is str:
        return sys.intern(key)
    if not (key.isascii() and key.isdecimal()):
        raise ProtocolError(path, "whole numbers as keys", key)
    return int(key)


def _check_length(value: str | list[Any] | dict[str, Any], limits: Limits | None, usual: int, path: str) -> None:
    least, most = (limits.least, limits.most) if limits else (0, usual)
    if not least <= len(value) <= most:
        what = "characters" if isinstance(value, str) else "entries"
        raise ProtocolError(path, f"{least:g} to {most:g} {what}", f"{len(value)} {what}")


def _refuse_constant(word: str) -> Any:  # noqa: ANN401  it never returns
    raise ValueError(f"{word} is not a number of JSON")


def _shown(found: object) -> str:
    """The start of a value, on one line."""
    if isinstance(found, str | int | float | bool | None):
        text = json.dumps(found if not isinstance(found, str) else found[: _SHOWN_LENGTH + 1])
    elif isinstance(found, bytes):
        text = repr(found[:_SHOWN_LENGTH])
    else:
        text = (
            f"{'a list' if isinstance(found, list) else 'an object'} of {len(found)}"
            if hasattr(found, "__len__")
            else type(found).__name__
        )
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def to_word(message: Message) -> str:
    """A message as one word of a command line: base64 of its JSON."""
    from binascii import b2a_base64

    return b2a_base64(encode_json(message).encode(), newline=False).decode()


def from_word(kind: type[MessageType], word: str) -> MessageType:
    """A message from its word. Raises ProtocolError."""
    from binascii import Error, a2b_base64

    try:
        text = a2b_base64(word.encode(), strict_mode=True)
    except (ValueError, Error) as error:
        raise ProtocolError("", f"base64 of JSON ({error})", word) from error
    return decode_json(kind, text)


def pack(text: bytes) -> str:
    """A long text as one line: base64 of zlib."""
    import zlib
    from binascii import b2a_base64

    return b2a_base64(zlib.compress(text, 1), newline=False).decode()


def unpack(line: str, bytes_max: int = UNPACKED_MAX_BYTES) -> bytes:
    """The text of a pack. Raises ProtocolError, also where it would be longer than `bytes_max`."""
    import zlib
    from binascii import Error, a2b_base64

    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(a2b_base64(line.encode(), strict_mode=True), bytes_max + 1)
    except (ValueError, Error, zlib.error) as error:
        raise ProtocolError("", f"base64 of zlib ({error})", line) from error
    if len(text) > bytes_max:
        raise ProtocolError("", f"at most {bytes_max} bytes once unpacked", "more")
    if not unpacking.eof:
        raise ProtocolError("", "a complete zlib stream", f"one cut off after {len(text)} bytes")
    return text
