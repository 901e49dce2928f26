"""Stacks and their variants: what `servers/<stack>/stack.yml` may say, and what it comes to on a host."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import (
    Field,
    InstanceOf,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from wrklab.catalogue.cards import Card, DurationS, Line, Name, place, read_card, read_yaml, refuse_given_by_place
from wrklab.catalogue.formula import CPUS, CardFormula, parse_formula
from wrklab.catalogue.recipe import (
    RECIPES_DIR,
    CardValue,
    Entry,
    Recipe,
    Serving,
    Value,
    check_limit,
    parse_given,
    plain,
)
from wrklab.errors import CardError, ParameterError, UnknownNameError

#: Where a stack lives on the server host; the roles install to just these places.
STACKS_DIR = "/opt/wrklab/stacks"
#: Values for one run (another hold, say), written before a start and read by every unit.
RUNTIME_ENVIRONMENT_FILE = "/run/wrklab/server.env"

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_KNOWN_PLACEHOLDERS = ("app_dir", CPUS, "port", "recipes_dir", "venv")

#: A card's name of a variant, and of one made of it by the command line: `flask_gunicorn_gthread@threads=16,workers=2`.
VariantName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z][a-z0-9_]{0,62}(@[a-z][a-z0-9_]*=[a-z0-9_]+(,[a-z][a-z0-9_]*=[a-z0-9_]+)*)?$", max_length=160
    ),
]
#: Signs of such names that mean something else in names of units and files.
_IN_FILE_NAMES = str.maketrans({"@": ".", ",": ".", "=": "-"})


def file_name_of(variant: str) -> str:
    """A variant's name where it is a part of a unit's or a file's: `flask_gunicorn_gthread.threads-16.workers-2`.

    `@` would make an instance of a template of a unit, and `=` and `,` are not for units' names (systemd.unit(5)).
    """
    return variant.translate(_IN_FILE_NAMES)


Runtime = Literal["python", "go", "openresty"]
#: Runtimes of which one process uses one CPU at most: Python by its GIL, nginx by its single event loop.
ONE_CPU_A_PROCESS: frozenset[Runtime] = frozenset({"python", "openresty"})


class OwnCopy(Card):
    """How a variant of a user's application runs: in a copy of its folder, made for each start and writable."""

    #: The folder of its packages below the stack's: each server program has its own.
    venv: Name
    #: Commands that come before each start, in this copy and with the server's environment.
    prepare: tuple[Line, ...] = ()


class UserApplication(Card):
    """What deploys and starts of a user's application need besides its variants (catalogue/application_stack.py)."""

    #: The user's folder, and the archive of it, on the controller.
    folder: Path
    archive: Path
    files_digest: str
    #: By the name of their folder, the locks of its packages together with each server program's.
    locks: dict[Name, str]
    backends: tuple[str, ...] = ()
    #: Variables that each start is given: their values have a {secret.NAME}, or a backend's address.
    late_environment: dict[str, str] = Field(default_factory=dict)


#: Where a user's application finds its copy: on the unit's own /tmp.
OWN_COPY_DIR = "/tmp/app"  # noqa: S108  PrivateTmp gives each unit another one


class Variant(Card):
    """One way to serve a stack: a data entry under `variants:` of its stack.yml.

    `command` is the argv, with `{venv}` (the stack's virtual environment), `{app_dir}` (where its files lie), `{port}`
    and formulas of `{cpus}` (the number of CPUs that the inventory gives to the server) filled in. A card writes it, or
    names a recipe that does.
    """

    given_by_place: ClassVar[frozenset[str]] = frozenset({"name", "own_copy", "serving", "stack"})

    name: VariantName
    stack: Name
    description: Line = Field(min_length=10)
    command: str = ""
    #: Instead of a command: a recipe, what it serves, its parameters where they are not the recipe's defaults, and
    #: further words at the end of its command.
    recipe: Name | None = None
    entry: Entry | None = None
    parameters: dict[Name, CardValue] = Field(default_factory=dict)
    arguments: str = ""
    #: The recipe with all its parameters, where there is one.
    serving: InstanceOf[Serving] | None = Field(default=None, exclude=True)
    environment: dict[str, str] = Field(default_factory=dict)
    #: How long GET /health holds, in ms; given to the application as WRKLAB_HOLD_MS.
    hold_ms: int = Field(default=100, ge=0, le=60_000)
    #: Published rows that this variant answers to: scenario of the article's shape -> `row` of reference/wrk-*.csv.
    published: dict[Name, str] = Field(default_factory=dict)
    #: What GET /health must answer.
    body: str = "ok"
    #: A server that is not ready after this long has failed.
    start_limit_s: DurationS = Field(default=20.0, gt=0, le=300)
    #: Requests that can be handled at once, where the command line fixes it (4 workers: 4); None where it does not.
    #: A formula of the CPUs; on a card also of the recipe's parameters, and it stands instead of the recipe's.
    in_flight_limit: CardFormula | None = None
    #: RLIMIT_NOFILE of the unit; None takes the host's ceiling.
    descriptors_count: int | None = Field(default=None, ge=64)
    #: The most tasks (processes and threads together) that the unit may have; None: no limit.
    tasks_max: int | None = Field(default=None, ge=8)
    #: False: a collective word (`all`, a stack's name) leaves it out of a bench; its own name and globs still mean it.
    benched: bool = True
    #: The `row` of reference/probe-*.csv that this variant answers to.
    published_probe: str | None = None
    #: How many requests a probe of this variant sends; None: as many as it takes.
    probe_requests_count: int | None = Field(default=None, ge=1, le=100_000)
    #: A regular expression: the variant is there to fail, and this is found in its answer or in its log.
    expect_failure: str | None = Field(default=None, min_length=1)
    #: Of a user's application only.
    own_copy: OwnCopy | None = None
    #: In plain words, for the probe's report: what changes the length of its queue, and how many it serves at once.
    queue_setting: str | None = Field(default=None, min_length=4)
    capacity_setting: str | None = Field(default=None, min_length=4)

    @field_validator("expect_failure")
    @classmethod
    def _failure_is_an_expression(cls, expression: str | None) -> str | None:
        try:
            re.compile(expression or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}; found {expression!r}") from None
        return expression

    @model_validator(mode="after")
    def _what_fails_is_not_benched(self) -> Variant:
        if self.expect_failure is not None and self.benched:
            raise ValueError("a variant with expect_failure needs `benched: false`: there is nothing to measure")
        return self

    @model_validator(mode="after")
    def _has_a_command_or_a_recipe(self) -> Variant:
        if self.recipe is None and not self.command:
            raise ValueError("a variant needs `command`, or `recipe` and `entry`")
        if self.recipe is None and (self.entry or self.parameters or self.arguments):
            raise ValueError("`entry`, `parameters` and `arguments` need `recipe`")
        if self.recipe is not None and self.serving is None and (self.command or self.entry is None):
            raise ValueError("`recipe` needs `entry` (module:attribute), and writes the command itself")
        limit = self.in_flight_limit
        if limit is not None and limit.constant is not None and limit.constant < 1:
            raise ValueError(f"in_flight_limit: at least 1 was expected; found {limit}")
        if self.recipe is None and limit is not None and limit.names - {CPUS}:
            raise ValueError(f"in_flight_limit: a number or a formula of {CPUS} was expected; found {limit}")
        return self

    @field_validator("command")
    @classmethod
    def _command_can_be_filled_in(cls, command: str) -> str:
        if not command:
            return command
        unknown = sorted(name for name in _PLACEHOLDER.findall(command) if not _is_known(name))
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in _KNOWN_PLACEHOLDERS)
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; known: {known}, and formulas of {CPUS}")
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"not a line that a shell would split: {error}") from None
        if not words or not words[0].startswith(("/", "{")):
            raise ValueError(f"must start with an absolute path or a placeholder; found {command!r}")
        return command

    @property
    def file_name(self) -> str:
        """Its name where it is a part of a unit's or a file's."""
        return file_name_of(self.name)

    @property
    def unit(self) -> str:
        """The name of its systemd unit."""
        return f"wrklab-{self.file_name}.service"

    @property
    def base(self) -> str:
        """The name of the card's variant that it was made of; its own where it was not made."""
        return self.name.partition("@")[0]

    @property
    def is_made(self) -> bool:
        """Whether the command line made it; no card has it."""
        return "@" in self.name

    @property
    def venv(self) -> str:
        """The virtual environment of its stack on the server host."""
        return f"{STACKS_DIR}/{self.stack}/{self.own_copy.venv if self.own_copy else 'venv'}"

    @property
    def app_dir(self) -> str:
        """The folder of its files on the server host: its stack's, or a copy of that."""
        return OWN_COPY_DIR if self.own_copy else self.deployed_dir

    @property
    def deployed_dir(self) -> str:
        """The folder of its stack's files as they were deployed."""
        return f"{STACKS_DIR}/{self.stack}/app"

    def argv(self, port: int, cpus_count: int) -> list[str]:
        """The exact command, every placeholder filled in."""
        return shlex.split(self.filled_in(self.command, port, cpus_count))

    def filled_in(self, text: str, port: int, cpus_count: int) -> str:
        """A text with each place and each formula of the CPUs filled in. Raises ValueError for others in braces."""
        values = {"venv": self.venv, "app_dir": self.app_dir, "port": str(port), "recipes_dir": RECIPES_DIR}

        def text_of(name: str) -> str:
            return values[name] if name in values else str(parse_formula(name).at({CPUS: cpus_count}))

        return _PLACEHOLDER.sub(lambda match: text_of(match[1]), text)

    def limit_at(self, cpus_count: int) -> int | None:
        """Requests that can be handled at once on so many CPUs; None where the command line sets no limit."""
        return None if self.in_flight_limit is None else max(1, self.in_flight_limit.at({CPUS: cpus_count}))

    def with_recipe(self, recipes: Mapping[str, Recipe]) -> Variant:
        """A card's variant as its recipe has it: command, limit and settings filled in; itself where it names none.

        Raises ParameterError, UnknownNameError, and ValueError for a limit of unknown names.
        """
        if self.recipe is None or self.entry is None:
            return self
        if self.recipe not in recipes:
            raise UnknownNameError("recipe", self.recipe, recipes)
        recipe = recipes[self.recipe]
        if self.in_flight_limit is not None:
            check_limit(self.in_flight_limit, recipe)
        return self._served(
            recipe.serving(self.entry, self.parameters, arguments=self.arguments, in_flight_limit=self.in_flight_limit)
        )

    def with_words(self, given: Mapping[str, str]) -> Variant:
        """As with_parameters, of what was typed. Raises ParameterError."""
        recipe = self._serving_for(given).recipe
        return self.with_parameters({name: parse_given(recipe, name, text) for name, text in given.items()})

    def with_parameters(self, given: Mapping[str, Value]) -> Variant:
        """The same server with other values of its recipe's parameters, under a name that says which were given.

        It answers to no published row. Raises ParameterError, also where it has no recipe.
        """
        serving = self._serving_for(given).changed(given)
        words = ",".join(f"{name}={plain(value)}" for name, value in serving.given.items())
        made = {
            "name": f"{self.base}@{words}",
            "description": f"{self.base} with {words.replace(',', ', ')}",
            "parameters": dict(serving.values),
            "published": {},
            "published_probe": None,
            "probe_requests_count": None,
        }
        return self._served(serving, made)

    def _serving_for(self, given: Mapping[str, object]) -> Serving:
        """Raises ParameterError where it has no recipe whose parameters could be given."""
        if self.serving is None:
            raise ParameterError(
                next(iter(given), ""),
                f"variant {self.name} has no parameters: its card gives a command of its own, and no recipe. "
                "`invoke list` shows which variants have one.",
            )
        return self.serving

    def _served(self, serving: Serving, changes: Mapping[str, object] = MappingProxyType({})) -> Variant:
        """The variant with all that a recipe and its parameters say."""
        return Variant.model_validate(
            {
                **{name: getattr(self, name) for name in Variant.model_fields},
                **changes,
                "serving": serving,
                "command": serving.command,
                "in_flight_limit": serving.in_flight_limit,
                "queue_setting": self.queue_setting or serving.recipe.queue_setting,
                "capacity_setting": self.capacity_setting or serving.recipe.capacity_setting,
            }
        )


def _is_known(placeholder: str) -> bool:
    """Whether a command may hold it: a place, or a formula of the CPUs."""
    if placeholder in _KNOWN_PLACEHOLDERS:
        return True
    try:
        return parse_formula(placeholder).names == {CPUS}
    except ValueError:
        return False


class Stack(Card):
    """An application with its dependencies: `servers/<stack>/stack.yml`."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"application", "name"})

    name: Name
    description: Line = Field(min_length=10)
    runtime: Runtime
    #: Of a user's application only: its files are a folder of the user's, its packages are locked in several ways.
    application: UserApplication | None = None
    #: Files of the stack's folder that are put into `{app_dir}` on the server host.
    files: tuple[str, ...] = Field(min_length=1)
    #: Locked, hashed requirements of a python stack; a file beside stack.yml.
    requirements: str | None = Field(default=None, validate_default=True)
    #: TCP port that every variant of the stack listens on.
    port: int = Field(default=8080, ge=1024, le=65535)
    variants: dict[VariantName, Variant] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _tell_variants_their_names(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("variants"), dict):
            return data
        named = {
            key: {**value, "name": key, "stack": data.get("name")} if isinstance(value, dict) else value
            for key, value in data["variants"].items()
        }
        return {**data, "variants": named}

    @field_validator("requirements")
    @classmethod
    def _runtime_has_what_it_needs(cls, requirements: str | None, info: ValidationInfo) -> str | None:
        runtime = info.data.get("runtime")  # missing when it is wrong itself
        if runtime == "python" and requirements is None:
            raise ValueError("a python stack needs this key: a locked file beside stack.yml")
        if runtime not in ("python", None) and requirements is not None:
            raise ValueError(f"only for python stacks; this one's runtime is {runtime}")
        return requirements


def read_stack(folder: Path, recipes: Mapping[str, Recipe]) -> Stack:
    """The stack in a folder of servers/, its variants as their recipes have them.

    Raises CardError (file, line, key), also for files that are not there.
    """
    path = folder / "stack.yml"
    variants = read_yaml(path)[0].get("variants")
    for name, entry in variants.items() if isinstance(variants, dict) else []:
        refuse_given_by_place(path, entry, Variant, ("variants", name))
    stack = read_card(path, Stack, name=folder.name)
    listed: list[tuple[tuple[int | str, ...], str]] = [(("files", i), name) for i, name in enumerate(stack.files)]
    if stack.requirements is not None:
        listed.append((("requirements",), stack.requirements))
    for location, name in listed:
        if not (folder / name).is_file():
            raise CardError(f"{place(path, location)}: {folder / name} does not exist")
    served = {name: _with_recipe(path, variant, recipes) for name, variant in stack.variants.items()}
    return stack.model_copy(update={"variants": served})


def _with_recipe(path: Path, variant: Variant, recipes: Mapping[str, Recipe]) -> Variant:
    """Raises CardError."""
    here = ("variants", variant.name)
    try:
        return variant.with_recipe(recipes)
    except ParameterError as error:
        raise CardError(f"{place(path, (*here, 'parameters', error.parameter))}: {error}") from error
    except UnknownNameError as error:
        raise CardError(f"{place(path, (*here, 'recipe'))}: {error}") from error
    except ValueError as error:
        raise CardError(f"{place(path, here)}: {error}") from error
