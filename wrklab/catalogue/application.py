"""A user's own application: what `wrklab.yml` in its folder may say. It is not changed, and knows nothing of wrklab."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from wrklab.catalogue.application_files import APPLICATION_CARD
from wrklab.catalogue.cards import Card, DurationS, Line, Name, line_of, place, read_card, read_yaml
from wrklab.catalogue.request_mix import REQUESTS_MAX, Login, RequestMix, WeightedRequest, check_mix
from wrklab.errors import CardError, UnknownNameError

#: What Debian 12 has, and so every server host.
PYTHON_VERSION = "3.11"

Interface = Literal["wsgi", "asgi"]

#: `package.module:attribute`, or with `()` after it a function without arguments that makes the application.
_IMPORT = re.compile(
    r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?P<call>\(\))?"
)
#: Other braces are plain text: a value may be JSON.
_PLACEHOLDER = re.compile(r"\{([a-z_]+(?:\.[A-Za-z0-9_]+)*)\}")
#: What a unit's command line and environment know, wherever the server is started.
PLACES = ("app_dir", "cpus", "port", "venv")
_BACKEND = re.compile(r"backend\.(?P<name>[a-z]+)\.(?P<part>[a-z_]+)")
_SECRET = re.compile(r"secret\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
#: Values are blanked wherever they are found, and a shorter one is found in ordinary words.
SECRET_MIN_CHARS = 6

_NUMBER = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?")

BACKENDS = ("mariadb", "postgres", "redis")
_LOCKABLE = (".txt", ".in")
_LOCKABLE_NAMES = ("pyproject.toml", "uv.lock")

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _relative_path(text: str) -> str:
    """Raises ValueError for a path that could lead out of the application's folder."""
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"a path below the application's folder was expected, without '..'; found {text!r}")
    return text


RelativePath = Annotated[Line, AfterValidator(_relative_path)]


class Entry(Card):
    """One way into the application: what a server imports, and how it calls it."""

    import_: str = Field(alias="import")
    interface: Interface

    @field_validator("import_")
    @classmethod
    def _names_an_attribute(cls, text: str) -> str:
        if not _IMPORT.fullmatch(text):
            raise ValueError(f"package.module:attribute or package.module:factory() was expected; found {text!r}")
        return text

    @property
    def module(self) -> str:
        """The module that has it."""
        return self.import_.partition(":")[0]

    @property
    def attribute(self) -> str:
        """What of the module is the application, or makes it."""
        return self.import_.partition(":")[2].removesuffix("()")

    @property
    def is_factory(self) -> bool:
        """Whether a function has to be called for the application. Not every server program can do that."""
        return self.import_.endswith("()")


class Application(Card):
    """An application as its folder's wrklab.yml describes it."""

    given_by_place: ClassVar[frozenset[str]] = frozenset({"folder"})

    #: Where its files lie on the controller.
    folder: Path
    application: Name
    description: Line | None = Field(default=None, min_length=10)
    entries: dict[Name, Entry] = Field(min_length=1)
    #: What it needs: a list (*.txt, *.in), pyproject.toml or uv.lock. It is locked with hashes where it is not.
    requirements: RelativePath
    #: Variables of its environment; {secret.NAME} and {backend.NAME.url} are filled in at each start.
    environment: dict[EnvironmentName, Line] = Field(default_factory=dict)
    backends: tuple[Line, ...] = ()
    #: Run in order before each start of the server, in a fresh copy of the folder.
    prepare: tuple[Line, ...] = ()
    #: What visitors send, and what each must be answered; `login` is sent once before them (docs/mixes.md).
    requests: tuple[WeightedRequest, ...] = Field(min_length=1, max_length=REQUESTS_MAX)
    login: Login | None = None
    #: The command line that serves it today, for comparison.
    current: Line | None = Field(default=None, min_length=4)
    #: Globs of what the server does not need.
    leave_out: tuple[Line, ...] = ()
    #: Preparation and start together; a server that does not answer by then has failed.
    start_limit_s: DurationS = Field(default=60.0, alias="start_limit", gt=0, le=300)

    @field_validator("backends")
    @classmethod
    def _backends_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in BACKENDS:
                raise ValueError(str(UnknownNameError("backend", name, BACKENDS)))
        if len(set(names)) < len(names):
            raise ValueError(f"each backend once was expected; found {', '.join(names)}")
        return names

    @field_validator("environment")
    @classmethod
    def _values_can_be_filled_in(cls, environment: dict[str, str]) -> dict[str, str]:
        for name, value in environment.items():
            for word in placeholders(value):
                if word not in PLACES and not _BACKEND.fullmatch(word) and not _SECRET.fullmatch(word):
                    known = ["secret.NAME", "backend.postgres.url", *PLACES]
                    raise ValueError(f"{name}: {UnknownNameError('placeholder', word, known)}")
        return environment

    @field_validator("prepare")
    @classmethod
    def _commands_can_be_run(cls, commands: tuple[str, ...]) -> tuple[str, ...]:
        for command in commands:
            _check_command(command)
        return commands

    @field_validator("current")
    @classmethod
    def _current_is_a_command(cls, command: str | None) -> str | None:
        if command is not None:
            _words_of(command)
        return command

    @field_validator("requirements")
    @classmethod
    def _requirements_can_be_locked(cls, path: str) -> str:
        if not path.endswith(_LOCKABLE) and PurePosixPath(path).name not in _LOCKABLE_NAMES:
            raise ValueError(
                f"requirements.txt (or another .txt or .in), pyproject.toml or uv.lock was expected; found {path!r}. "
                "Poetry: `poetry export -o requirements.txt`; Pipenv: `pipenv requirements > requirements.txt`"
            )
        return path

    @model_validator(mode="after")
    def _requests_fit_together(self) -> Application:
        check_mix(self.requests, self.login)
        return self

    @model_validator(mode="after")
    def _backends_are_named(self) -> Application:
        for name, value in self.environment.items():
            for word in placeholders(value):
                match = _BACKEND.fullmatch(word)
                if match and match["name"] not in self.backends:
                    raise ValueError(
                        f"environment: {name} uses {{{word}}}, and backends does not have {match['name']}: "
                        f"write backends: [{', '.join([*self.backends, match['name']])}]"
                    )
        return self

    @property
    def card(self) -> Path:
        """The file that says all this."""
        return self.folder / APPLICATION_CARD

    @property
    def mix(self) -> RequestMix:
        """Its requests, and the login before them."""
        return RequestMix(requests=self.requests, login=self.login)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that its environment and its requests need."""
        words = [word for value in self.environment.values() for word in placeholders(value)]
        names = [match["name"] for word in words if (match := _SECRET.fullmatch(word))]
        return tuple(dict.fromkeys([*names, *sorted(self.mix.secret_names())]))

    @property
    def fixed_environment(self) -> dict[str, str]:
        """Variables that are the same at each start: they may stand in a unit file."""
        return {name: value for name, value in self.environment.items() if not _is_filled_in_late(value)}

    @property
    def late_environment(self) -> dict[str, str]:
        """Variables with a secret or a backend's address: they are given to each start, and never stored."""
        return {name: value for name, value in self.environment.items() if _is_filled_in_late(value)}


def placeholders(text: str) -> list[str]:
    """What stands in braces and is to be filled in, in its order."""
    return _PLACEHOLDER.findall(text)


def filled_in(text: str, value_of: Callable[[str], str]) -> str:
    """A text with each placeholder replaced."""
    return _PLACEHOLDER.sub(lambda match: value_of(match[1]), text)


def _is_filled_in_late(value: str) -> bool:
    return any(word not in PLACES for word in placeholders(value))


def _words_of(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"not a line that a shell would split: {error}; found {command!r}") from None
    if not words:
        raise ValueError("a command was expected, found an empty line")
    return words


def _check_command(command: str) -> None:
    """Raises ValueError for a command of `prepare` that cannot be run."""
    words = _words_of(command)
    for word in placeholders(command):
        if word not in PLACES:
            raise ValueError(
                f"{{{word}}} in {command!r}: secrets and addresses of backends go by the environment, where no list of "
                f"processes shows them. A command knows {', '.join(f'{{{name}}}' for name in PLACES)}"
            )
    if not words[0].startswith(("/", "{venv}", "{app_dir}")):
        raise ValueError(
            f"{command!r} must start with {{venv}}/bin/..., {{app_dir}}/... or an absolute path: no shell looks for it"
        )


def read_application(folder: Path) -> Application:
    """The application in a folder. Raises CardError (file, line, key), also for files that it names and has not."""
    path = folder / APPLICATION_CARD
    if not folder.is_dir():
        raise CardError(f"{folder}: no such folder; --app takes the folder of your application")
    if not path.is_file():
        raise CardError(f"{path}: no such file. `invoke app.init {folder}` writes a first one")
    application = read_card(path, Application, folder=folder.resolve())
    _check_requirements(path, application)
    _check_entries(path, application)
    return application


def _check_requirements(path: Path, application: Application) -> None:
    """Raises CardError where the file is not there, or excludes the Python of the server hosts."""
    where = place(path, ("requirements",))
    found = application.folder / application.requirements
    if not found.is_file():
        raise CardError(f"{where}: {found} does not exist")
    project = found.parent / "pyproject.toml"
    if project.is_file() and (problem := python_problem(project)):
        raise CardError(f"{where}: {problem}")


def python_problem(project: Path) -> str:
    """Why a pyproject.toml excludes the Python of the server hosts; empty where it does not."""
    try:
        wanted = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("requires-python")
        if wanted is None or SpecifierSet(str(wanted)).contains(f"{PYTHON_VERSION}.2", prereleases=True):
            return ""
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError) as error:
        return f"{project} cannot be read: {error}"
    except InvalidSpecifier as error:
        return f"{project}: project.requires-python: {error}"
    return (
        f"{project}: project.requires-python is {wanted!r}, and server hosts have Debian 12's Python {PYTHON_VERSION}. "
        "Lower it where the application runs there too"
    )


def _check_entries(path: Path, application: Application) -> None:
    """Raises CardError for two entries that are the same."""
    seen: dict[tuple[str, str], str] = {}
    for name, entry in application.entries.items():
        other = seen.setdefault((entry.import_, entry.interface), name)
        if other != name:
            raise CardError(f"{place(path, ('entries', name))}: the same as {other}: remove one of them")


# ---- Secrets: from the controller's environment, never stored ----


@dataclass(frozen=True, repr=False)
class SecretValues:
    """The values of an application's secrets, by name. They are never printed, not even by accident."""

    values: Mapping[str, str]

    def __repr__(self) -> str:
        """The names alone."""
        return f"SecretValues({', '.join(sorted(self.values))})"


def read_secrets(application: Application, environment: Mapping[str, str]) -> SecretValues:
    """The values of an application's secrets from `environment`, the controller's.

    Raises CardError (file, line, key) naming each that is missing there, or too short to be blanked.
    """
    problems = list(_secret_problems(application, environment))
    if problems:
        raise CardError("\n".join(problems))
    return SecretValues({name: environment[name] for name in application.secrets})


def _secret_problems(application: Application, environment: Mapping[str, str]) -> Iterator[str]:
    node = read_yaml(application.card)[1]
    for name in application.secrets:
        where = _place_of_secret(application, name)
        line = f"{application.card}:{line_of(node, where)}: {'.'.join(map(str, where))}"
        found = environment.get(name)
        if found is None:
            yield (
                f"{line}: the secret {name} is not in your environment. Set it for the command: {name}=... invoke ..., "
                "or export it from where you keep it"
            )
        elif len(found) < SECRET_MIN_CHARS or any(sign in found for sign in "\n\r\0") or _NUMBER.fullmatch(found):
            yield (
                f"{line}: the secret {name} has {len(found)} characters; one line of at least {SECRET_MIN_CHARS} was "
                "expected, and not a number: it is blanked wherever it stands, and so would ordinary words be"
            )


def _place_of_secret(application: Application, name: str) -> tuple[int | str, ...]:
    """The first key of the card that needs a secret."""
    for key, value in application.environment.items():
        if f"secret.{name}" in placeholders(value):
            return "environment", key
    for number, request in enumerate(application.requests):
        if name in request.secret_names():
            return "requests", number
    return ("login",)
