"""Reading YAML cards into pydantic models, with errors that name file, line and key."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from wrklab.errors import CardError, UnknownNameError


def _one_line(text: str) -> str:
    """Raises ValueError where a text would begin a second line, or a directive of its own, in a unit file."""
    strange = sorted({sign for sign in text if unicodedata.category(sign) in _NOT_OF_A_LINE})
    if strange:
        raise ValueError(f"one line of plain text was expected; found {', '.join(map(repr, strange))} in {text[:60]!r}")
    return text


#: Control and format characters (a line break, a right-to-left mark), separators of lines, halves of characters.
_NOT_OF_A_LINE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
#: A text that stands in one line, wherever it is shown or written.
Line = Annotated[str, AfterValidator(_one_line)]

#: A name of ours: lower case, digits, underscores; it becomes a file name, a unit name and a column's value.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

#: A card and what its aliases stand for, written out. The largest here has 15,000 characters and 500 values.
_CARD_MAX_CHARS = 1 << 20
_VALUES_MAX = 50_000
_LEVELS_MAX = 50

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Card(BaseModel):
    """The base of every card: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    #: Keys that no file may give, because the card's place (its file's or its entry's name) does.
    given_by_place: ClassVar[frozenset[str]] = frozenset()


def parse_duration_s(value: object) -> float:
    """Seconds from 5, 2.5, '5', '5s', '500ms' or '1m'. Raises ValueError on anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    for unit in ("ms", "s", "m", "h"):
        if text.endswith(unit):
            try:
                return float(text.removesuffix(unit)) * _UNIT_S[unit]
            except ValueError:
                break
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{value!r} is not a duration: write 5, 2.5s, 500ms or 1m") from None


def parse_whole_seconds(value: object) -> int:
    """Whole seconds from what parse_duration_s takes. Raises ValueError on anything else."""
    seconds = parse_duration_s(value)
    if not seconds.is_integer():
        raise ValueError(f"{value!r} is not in whole seconds: write 5, 5s or 1m")
    return int(seconds)


#: A duration in seconds; cards and command lines may write 5, '5s', '500ms', '1m'.
DurationS = Annotated[float, BeforeValidator(parse_duration_s)]
#: The same where only whole seconds can be meant.
WholeSecondsS = Annotated[int, BeforeValidator(parse_whole_seconds)]

CardType = TypeVar("CardType", bound=Card)


def read_yaml(path: Path) -> tuple[dict[str, Any], yaml.Node]:
    """The mapping in a YAML file, and its node tree (for line numbers). Raises CardError with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CardError(f"{path}:{line}: not UTF-8: {error.reason}") from error
    _refuse_what_is_no_card(path, text)
    try:
        node, data = _parse(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise CardError(f"{path}:{line}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CardError(f"{path}:{line}: not YAML: {error.reason}") from error
    if not isinstance(data, dict) or node is None:
        raise CardError(f"{path}:1: a mapping was expected, found {type(data).__name__}")
    _refuse_duplicate_keys(path, node)
    return data, node


@dataclass
class _Part:
    """A value of a file that is being read: how large it is, its aliases written out."""

    anchor: str | None = None
    values_count: int = 1
    #: Of those within it; it is one level more.
    levels_count: int = 0

    def add(self, part: _Part) -> None:
        self.values_count += part.values_count
        self.levels_count = max(self.levels_count, part.levels_count + 1)


class _Sizes:
    """Counts a file's values by its events, of which there are no more than the text is long.

    An alias stands for all that its anchor holds: eight lines can stand for 16 million values.
    """

    def __init__(self) -> None:
        self._anchored: dict[str, _Part] = {}
        #: Those that have begun, the file first.
        self._open = [_Part()]

    def problem_with(self, event: yaml.Event) -> str:
        """Takes the next event; why the file is refused, or nothing."""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {part.anchor for part in self._open}:
                return f"alias *{event.anchor} stands within what it stands for; write it out"
            self._end(self._anchored.get(event.anchor or "", _Part()))
        elif isinstance(event, yaml.ScalarEvent):
            self._end(_Part(event.anchor))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open.append(_Part(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end(self._open.pop())
        if self._open[-1].values_count > _VALUES_MAX:
            return f"with its aliases written out it has more than {_VALUES_MAX:,} values"
        if len(self._open) + self._open[-1].levels_count > _LEVELS_MAX:
            return f"nested more than {_LEVELS_MAX} levels deep"
        return ""

    def _end(self, part: _Part) -> None:
        self._open[-1].add(part)
        if part.anchor:
            self._anchored[part.anchor] = part


#: libyaml is nine times faster, which every verb's start and each of Ansible's tasks feel.
_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _refuse_what_is_no_card(path: Path, text: str) -> None:
    """Raises CardError for a text that is too long, or stands for too much."""
    if len(text) > _CARD_MAX_CHARS:
        raise CardError(f"{path}: it has {len(text):,} characters; at most {_CARD_MAX_CHARS:,} were expected")
    sizes = _Sizes()
    try:
        for event in yaml.parse(text, Loader=_FAST_LOADER):
            if problem := sizes.problem_with(event):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise CardError(f"{path}:{line}: {problem}")
    except yaml.YAMLError:
        return  # whoever reads it next says where


def _parse(text: str) -> tuple[yaml.Node | None, object]:
    """The node tree and the value. Raises yaml.YAMLError; Python's parser explains errors."""
    try:
        return _loaded(text, _FAST_LOADER)
    except yaml.YAMLError:
        return _loaded(text, yaml.SafeLoader)


def _loaded(text: str, loader_type: type[yaml.SafeLoader]) -> tuple[yaml.Node | None, object]:
    loader = loader_type(text)
    try:
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_duplicate_keys(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise CardError(f"{path}:{key.start_mark.line + 1}: duplicate key {key.value!r}")
            seen.add(key.value)
            _refuse_duplicate_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicate_keys(path, item)


def line_of(node: yaml.Node, location: tuple[int | str, ...]) -> int:
    """The 1-based line of the deepest part of `location` that the node tree holds."""
    line = node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                return line
            line = found[0].start_mark.line + 1
            node = found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def place(path: Path, location: tuple[int | str, ...]) -> str:
    """`file:line: key` of a part of a card, for an error about it. Raises CardError as read_yaml."""
    _, node = read_yaml(path)
    return f"{path}:{line_of(node, location)}: {'.'.join(str(part) for part in location)}"


def read_card(path: Path, model: type[CardType], **extra: object) -> CardType:
    """The card in a YAML file. `extra` are values that the file's place gives (its name). Raises CardError.

    Models find the file's folder in their validation context, for files that a card names.
    """
    data, node = read_yaml(path)
    refuse_given_by_place(path, data, model, ())
    try:
        return model.model_validate({**data, **extra}, context={"folder": path.parent})
    except ValidationError as error:
        raise CardError(explain(error, f"{path}", model, node)) from error


def refuse_given_by_place(path: Path, data: object, model: type[Card], location: tuple[int | str, ...]) -> None:
    """Keys stay out of a file which its place gives. Raises CardError."""
    for key in sorted(model.given_by_place & set(data)) if isinstance(data, dict) else []:
        raise CardError(f"{place(path, (*location, key))}: its place gives this; remove the key")


def explain(error: ValidationError, where: str, model: type[Card], node: yaml.Node | None) -> str:
    """One line for each thing that pydantic found wrong: place, key, what was found, what is known."""
    lines = []
    wrong = error.errors()
    for found in wrong:
        # A list whose entries are wrong counts as empty to pydantic: only the entries are worth telling.
        if found["type"] == "too_short" and any(_is_within(other["loc"], found["loc"]) for other in wrong):
            continue
        location = tuple(part for part in found["loc"] if part != "[key]")
        line = f":{line_of(node, location)}" if node is not None else ""
        # A key of a mapping may be any text.
        key = ".".join(str(part) if str(part).isprintable() else repr(part) for part in location)
        message = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            message = str(UnknownNameError("key", str(location[-1]), known_keys(model, location)))
        elif found["type"] != "missing" and found["type"] != "value_error":
            message = f"{message}; found {found['input']!r}"
        lines.append(f"{where}{line}: {key or 'the file'}: {message}")
    return "\n".join(lines)


def _is_within(location: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the model at `location`'s parent knows, in the order of their definition."""
    current: type[BaseModel] = model
    for part in location[:-1]:
        field = current.model_fields.get(str(part))
        if field is None:
            continue
        inner = _model_within(field.annotation)
        if inner is not None:
            current = inner
    given = current.given_by_place if issubclass(current, Card) else frozenset()
    return [field.alias or name for name, field in current.model_fields.items() if name not in given]


def _model_within(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  a type expression has no narrower type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_within(argument)
        if found is not None:
            return found
    return None
