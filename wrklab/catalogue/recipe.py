"""Recipes: ways to serve any entry of an interface (`recipes/<server>.yml`), with parameters of the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, StringConstraints, field_validator, model_validator

from wrklab.catalogue.cards import Card, Line, Name, place, read_card, read_yaml, refuse_given_by_place
from wrklab.catalogue.formula import CPUS, CardFormula, Formula, parse_formula
from wrklab.errors import CardError, ParameterError, UnknownNameError

#: Where the files of recipes (programs that start a server) lie on the server host.
RECIPES_DIR = "/opt/wrklab/recipes"

#: A callable in a module: `shop.wsgi:app`. Not all servers take an attribute of an attribute, or a call.
Entry = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$")
]
Interface = Literal["wsgi", "asgi"]

#: A choice, which becomes a part of file names: lower case, digits, underscores.
_WORD = re.compile(r"[a-z0-9][a-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
#: Words of a command that are left out where their parameters are at the program's own values.
_OPTIONAL = re.compile(r" *\[([^\[\]]*)\]")
#: What a recipe's command may hold next to its parameters; `{cpus}` is a formula and may stand in it, too.
_PLACES = ("app_dir", "entry", "port", "recipes_dir", "venv")
_RESERVED = frozenset({*_PLACES, CPUS, "min", "max"})

#: A default must be in its range on servers of so many CPUs.
_USUAL_CPUS = (1, 2, 3, 4, 8, 64)

#: A number, maybe a formula of the server's CPUs, or one of a parameter's choices.
Value: TypeAlias = Formula | str


def _parse_value(given: object) -> Value:
    """A choice's word stays a word; all else is a formula. Raises ValueError."""
    is_word = isinstance(given, str) and _WORD.fullmatch(given.strip()) and not given.strip().isdigit()
    return str(given).strip() if is_word and str(given).strip() != CPUS else parse_formula(given)


#: A value as a key of a card; written to JSON as a number where it is one, else as text.
CardValue = Annotated[
    Value,
    PlainValidator(_parse_value),
    PlainSerializer(lambda value: plain(value), return_type=object),  # noqa: PLW0108  it stands below
]


def plain(value: Value) -> int | str:
    """A value for people and JSON: a number, a word, or a formula's text."""
    if isinstance(value, str):
        return value
    return str(value) if value.constant is None else value.constant


class Parameter(Card):
    """What may be chosen of a recipe's command line: a whole number in a range, or one of several words."""

    description: Line = Field(min_length=4)
    #: Taken where nothing else is said.
    default: CardValue
    #: Of a number, both ends included.
    min: CardFormula | None = None
    max: CardFormula | None = None
    #: Of words, instead of a range.
    choices: tuple[str, ...] = ()
    #: The program's own value: words in [ ] of the command are left out at it.
    omitted_at: CardValue | None = None
    #: What `invoke tune` tries, coarsely; none: the default alone.
    tune: tuple[CardValue, ...] = ()

    @model_validator(mode="after")
    def _is_a_number_or_a_choice(self) -> Parameter:
        if bool(self.choices) == (self.min is not None or self.max is not None):
            raise ValueError("a parameter needs `min` and `max`, or `choices`, and not both")
        for word in self.choices:
            if not _WORD.fullmatch(word) or word.isdigit() or word == CPUS:
                raise ValueError(f"choices of lower-case letters, digits and _ were expected; found {word!r}")
        if not self.choices and (self.min is None or self.max is None):
            raise ValueError("a number needs both `min` and `max`")
        for key in ("default", "min", "max", "omitted_at"):
            self._check_key(key, getattr(self, key))
        for value in self.tune:
            self._check_key("tune", value)
        for key, value in [("default", self.default), *(("tune", value) for value in self.tune)]:
            problems = (self.problem_with(value, cpus_count) for cpus_count in _USUAL_CPUS)
            if problem := next(filter(None, problems), ""):
                raise ValueError(f"{key}: {problem}")
        return self

    def _check_key(self, key: str, value: Value | None) -> None:
        if isinstance(value, Formula) and value.names - {CPUS}:
            raise ValueError(f"{key}: a formula of {CPUS} was expected; found {value}")
        if value is not None and self.is_number != isinstance(value, Formula):
            expected = "a whole number or a formula of cpus" if self.is_number else f"one of {', '.join(self.choices)}"
            raise ValueError(f"{key}: {expected} was expected; found {value}")
        if isinstance(value, str) and value not in self.choices:
            raise ValueError(f"{key}: one of {', '.join(self.choices)} was expected; found {value}")

    @property
    def is_number(self) -> bool:
        """Whether it is a number in a range, not a word."""
        return not self.choices

    def problem_with(self, value: Value, cpus_count: int | None) -> str:
        """What was expected instead of a value on a server of so many CPUs; empty where nothing is wrong.

        Where the number of CPUs is not known yet, only what does not depend on it is checked.
        """
        if isinstance(value, str):
            return "" if value in self.choices else self.expected
        if not self.is_number:
            return self.expected
        number = _known(value, cpus_count)
        least, most = _known(self.min, cpus_count), _known(self.max, cpus_count)
        if number is not None and least is not None and number < least:
            return f"at least {least} was expected{_from(self.min, cpus_count)}; found {number}"
        if number is not None and most is not None and number > most:
            return f"at most {most} was expected{_from(self.max, cpus_count)}; found {number}"
        return ""

    @property
    def expected(self) -> str:
        """What it takes, for an error."""
        if self.is_number:
            return f"a whole number from {self.min} to {self.max} was expected"
        return f"one of {', '.join(self.choices)} was expected"


def _from(bound: Formula | None, cpus_count: int | None) -> str:
    """Where a bound comes from, if it is not simply a number."""
    return "" if bound is None or bound.constant is not None else f" ({bound} with {CPUS} = {cpus_count})"


def _known(formula: Formula | None, cpus_count: int | None) -> int | None:
    """A formula's value; None where it needs the number of CPUs and that is not known."""
    if formula is None or cpus_count is None:
        return None if formula is None else formula.constant
    return formula.at({CPUS: cpus_count})


class Recipe(Card):
    """One way to serve any entry of an interface: an entry under `recipes:` of a server's file.

    `command` has `{venv}` (the application's virtual environment), `{app_dir}` (where its files lie), `{entry}`
    (`module:attribute`), `{port}`, `{recipes_dir}` (where the recipes' own files lie), and each parameter by its name.
    Words in [ ] are left out where all their parameters are at `omitted_at`.
    """

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name", "server"})

    name: Name
    #: The program's file in recipes/, without .yml.
    server: Name
    description: Line = Field(min_length=10)
    interface: Interface
    command: str = Field(min_length=1)
    #: The lock of the server's own packages: a file beside the card.
    requirements: str = Field(min_length=1)
    parameters: dict[Name, Parameter] = Field(default_factory=dict)
    #: Requests that can be handled at once, of parameters that are numbers; None where the command line sets no limit.
    in_flight_limit: CardFormula | None = None
    #: In plain words: what changes the length of its queue, and how many it serves at once.
    queue_setting: str = Field(min_length=4)
    capacity_setting: str = Field(min_length=4)

    @field_validator("parameters")
    @classmethod
    def _names_are_free(cls, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
        if taken := sorted(_RESERVED & set(parameters)):
            raise ValueError(f"{taken[0]} has a meaning in commands and formulas; choose another name")
        return parameters

    @model_validator(mode="after")
    def _uses_what_it_has(self) -> Recipe:
        used = set(_PLACEHOLDER.findall(self.command))
        for name in sorted(used - set(_PLACES) - {CPUS} - set(self.parameters)):
            raise ValueError(f"command: {_unknown_placeholder(name, self.parameters)}")
        for name in sorted(set(self.parameters) - used):
            raise ValueError(f"command: parameter {name} was expected in it as {{{name}}}")
        if "entry" not in used:
            raise ValueError("command: {entry} was expected in it")
        _check_words(self.command)
        optional = {name for group in _OPTIONAL.findall(self.command) for name in _PLACEHOLDER.findall(group)}
        for name, parameter in self.parameters.items():
            if (parameter.omitted_at is not None) != (name in optional):
                raise ValueError(f"parameters.{name}: `omitted_at` and [ ] around its words in the command go together")
        if self.in_flight_limit is not None:
            check_limit(self.in_flight_limit, self)
        return self

    def serving(
        self,
        entry: str,
        given: Mapping[str, Value],
        *,
        arguments: str = "",
        in_flight_limit: Formula | None = None,
    ) -> Serving:
        """An entry served so, with the parameters `given` and the defaults of all others.

        `arguments` are further words at the end of the command; `in_flight_limit` stands instead of the recipe's.
        Raises ParameterError; ranges that depend on the CPUs are checked by Serving.check.
        """
        for name in given:
            if name not in self.parameters:
                text = str(UnknownNameError(f"parameter of recipe {self.name}", name, self.parameters))
                raise ParameterError(name, text)
        values = {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}
        serving = Serving(self, entry, values, arguments, in_flight_limit)
        serving.check(None)
        return serving


def _unknown_placeholder(name: str, parameters: Mapping[str, Parameter]) -> str:
    known = ", ".join(f"{{{known}}}" for known in (*_PLACES, CPUS, *parameters))
    return f"unknown placeholder {{{name}}}; known: {known}"


def _check_words(command: str) -> None:
    """Raises ValueError for a line that a shell would not split, or that starts no program."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"command: not a line that a shell would split: {error}") from None
    if not words or not words[0].startswith(("/", "{")):
        raise ValueError(f"command: must start with an absolute path or a placeholder; found {command!r}")


def check_limit(limit: Formula, recipe: Recipe) -> None:
    """Raises ValueError where a limit is a formula of something else than numbers of the recipe and CPUs."""
    numbers = {name for name, parameter in recipe.parameters.items() if parameter.is_number}
    if strange := sorted(limit.names - numbers - {CPUS}):
        known = ", ".join(sorted({*numbers, CPUS}))
        raise ValueError(f"in_flight_limit: {strange[0]} is no number of recipe {recipe.name}; known: {known}")


@dataclass(frozen=True)
class Serving:
    """An entry served by a recipe, with a value for each parameter."""

    recipe: Recipe
    entry: str
    #: Of every parameter of the recipe.
    values: Mapping[str, Value]
    #: Further words at the end of the command.
    arguments: str = ""
    #: Stands instead of the recipe's; of the same names.
    own_limit: Formula | None = None
    #: Parameters that were given on the command line, in the order of their names.
    given: Mapping[str, Value] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command with entry and parameters filled in: of a variant, as a card would have it.

        What depends on the CPUs stands in it as a formula: `-w {2 * cpus + 1}`.
        """
        template = _OPTIONAL.sub(
            lambda group: "" if self._is_omitted(group[1]) else f" {group[1]}", self.recipe.command
        )
        texts = {"entry": self.entry} | {name: _as_word(value) for name, value in self.values.items()}
        full = " ".join(part for part in (template.strip(), self.arguments.strip()) if part)
        return _PLACEHOLDER.sub(lambda match: texts.get(match[1], match[0]), full)

    def _is_omitted(self, group: str) -> bool:
        names = _PLACEHOLDER.findall(group)
        return all(self.values[name] == self.recipe.parameters[name].omitted_at for name in names)

    @property
    def in_flight_limit(self) -> Formula | None:
        """Requests that can be handled at once, as a formula of the CPUs alone; None where nothing sets a limit."""
        limit = self.own_limit or self.recipe.in_flight_limit
        numbers = {name: value for name, value in self.values.items() if isinstance(value, Formula)}
        return limit.filled(numbers) if limit is not None else None

    def changed(self, given: Mapping[str, Value]) -> Serving:
        """The same entry with other values of some parameters. Raises ParameterError."""
        serving = self.recipe.serving(
            self.entry, {**self.values, **given}, arguments=self.arguments, in_flight_limit=self.own_limit
        )
        return replace(serving, given=dict(sorted({**self.given, **given}.items())))

    def values_at(self, cpus_count: int) -> dict[str, int | str]:
        """Every parameter on a server of so many CPUs, by name."""
        return {
            name: value if isinstance(value, str) else value.at({CPUS: cpus_count})
            for name, value in sorted(self.values.items())
        }

    def check(self, cpus_count: int | None) -> None:
        """Raises ParameterError for a value outside of its range; None for CPUs that are not known yet."""
        for name, value in self.values.items():
            if problem := self.recipe.parameters[name].problem_with(value, cpus_count):
                found = "" if "found" in problem else f"; found {plain(value)!r}"
                raise ParameterError(name, f"parameter {name} of recipe {self.recipe.name}: {problem}{found}")


def _as_word(value: Value) -> str:
    """A value in a command: a formula of the CPUs stays one, to be filled in where their number is known."""
    return f"{{{value}}}" if isinstance(value, Formula) and value.constant is None else str(value)


def parse_given(recipe: Recipe, name: str, text: str) -> Value:
    """A parameter's value from the command line: a whole number or a word. Raises ParameterError.

    Formulas are not taken there: a name made of one would mean another server on another host.
    """
    parameter = recipe.parameters.get(name)
    if parameter is None:
        unknown = UnknownNameError(f"parameter of recipe {recipe.name}", name, recipe.parameters)
        raise ParameterError(name, str(unknown))
    if parameter.is_number and text.isascii() and text.isdigit():
        try:
            return parse_formula(int(text))
        except ValueError as error:
            raise ParameterError(name, f"parameter {name} of recipe {recipe.name}: {error}") from None
    if parameter.is_number or text not in parameter.choices:
        raise ParameterError(name, f"parameter {name} of recipe {recipe.name}: {parameter.expected}; found {text!r}")
    return text


class RecipeFile(Card):
    """All recipes of one server program: `recipes/<server>.yml`."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    description: Line = Field(min_length=10)
    #: Files beside the card that go into `{recipes_dir}` on the server host.
    files: tuple[str, ...] = ()
    recipes: dict[Name, Recipe] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _tell_recipes_their_names(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("recipes"), dict):
            return data
        named = {
            key: {**value, "name": key, "server": data.get("name")} if isinstance(value, dict) else value
            for key, value in data["recipes"].items()
        }
        return {**data, "recipes": named}


def read_recipe_files(project: Path) -> dict[str, RecipeFile]:
    """The server programs of a checkout, by name. Raises CardError (file, line, key), also for missing files."""
    found: dict[str, RecipeFile] = {}
    owners: dict[str, str] = {}
    for path in sorted((project / "recipes").glob("*.yml")):
        card = _read_recipe_file(path)
        for name in card.recipes:
            if name in owners:
                raise CardError(
                    f"{place(path, ('recipes', name))}: {owners[name]}.yml has a recipe of this name already"
                )
            owners[name] = card.name
        found[card.name] = card
    return found


def _read_recipe_file(path: Path) -> RecipeFile:
    entries = read_yaml(path)[0].get("recipes")
    for name, entry in entries.items() if isinstance(entries, dict) else []:
        refuse_given_by_place(path, entry, Recipe, ("recipes", name))
    card = read_card(path, RecipeFile, name=path.stem)
    for location, name in _files_of(card):
        if not (path.parent / name).is_file():
            raise CardError(f"{place(path, location)}: {path.parent / name} does not exist")
    return card


def _files_of(card: RecipeFile) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """The files that a card names, each with where it does."""
    for i, name in enumerate(card.files):
        yield ("files", i), name
    for recipe in card.recipes.values():
        yield ("recipes", recipe.name, "requirements"), recipe.requirements
