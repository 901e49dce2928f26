"""What an application needs, guessed from its files: packages, environment, backends, preparation; what serves it."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from wrklab.catalogue.deployment import normal_name
from wrklab.catalogue.python_code import ReadVariable
from wrklab.catalogue.source_tree import SourceTree
from wrklab.errors import UsageError

_REQUIREMENTS = (
    "uv.lock",
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/base.txt",
    "requirements.in",
    "pyproject.toml",
)
#: Lists that other tools have, with the command that makes one of ours.
_OTHER_LISTS = {
    "poetry.lock": "poetry export -o requirements.txt",
    "Pipfile.lock": "pipenv requirements > requirements.txt",
}
_BACKEND_PACKAGES = {
    "postgres": ("psycopg", "psycopg2", "psycopg2-binary", "asyncpg", "pg8000", "aiopg"),
    "redis": ("redis", "aioredis", "django-redis"),
    "mariadb": ("mysqlclient", "pymysql", "mariadb", "aiomysql", "asyncmy"),
}
_BACKEND_VARIABLES = {
    "postgres": ("DATABASE_URL", "POSTGRES_URL", "PG_URL"),
    "redis": ("REDIS_URL",),
    "mariadb": ("DATABASE_URL", "MYSQL_URL"),
}
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|PRIVATE_?KEY|_KEY$|DSN")
_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "granian", "waitress-serve", "uwsgi", "daphne")
#: Before the server's own command.
_STARTERS = frozenset({"exec", "pipenv", "poetry", "run", "uv"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Certainty(StrEnum):
    """How sure a guess is."""

    SURE = "sure"
    LIKELY = "likely"
    GUESS = "a guess"


@dataclass(frozen=True)
class Guess:
    """One thing that was guessed, with what it rests on, for people."""

    what: str
    value: str
    certainty: Certainty
    because: str


@dataclass(frozen=True)
class EnvironmentGuess:
    """The environment of an application, and the services that it names."""

    variables: Mapping[str, str]
    #: Variables that the code reads and that nothing is known about: where, by name.
    unset: Mapping[str, str]
    backends: tuple[str, ...]
    guesses: tuple[Guess, ...]


def guess_requirements(tree: SourceTree) -> Guess:
    """The list of the packages that it needs. Raises UsageError where there is none."""
    for path in _REQUIREMENTS:
        if path in tree.paths and (path != "pyproject.toml" or _project(tree).get("dependencies")):
            return Guess("requirements", path, Certainty.SURE, "the file is there")
    others = sorted(path for path in tree.paths if PurePosixPath(path).name == "requirements.txt")
    if others:
        because = "the only such file" if len(others) == 1 else f"the first of {len(others)}"
        return Guess("requirements", others[0], Certainty.LIKELY, because)
    found = next((name for name in _OTHER_LISTS if name in tree.paths), None)
    hint = f" There is {found}: `{_OTHER_LISTS[found]}`." if found else ""
    raise UsageError(
        f"{tree.folder}: no list of the packages that it needs: none of {', '.join(_REQUIREMENTS)} is there (a "
        f"pyproject.toml counts with project.dependencies).{hint} Write requirements.txt, then run app.init again"
    )


def packages_of(tree: SourceTree, requirements: str) -> frozenset[str]:
    """The names of what it requires, as far as the file says them in the usual way."""
    if requirements.endswith(".lock"):
        lines = re.findall(r'^name = "([^"]+)"', tree.text(requirements), re.MULTILINE)
    elif requirements == "pyproject.toml":
        listed = _project(tree).get("dependencies")
        lines = [str(one) for one in listed] if isinstance(listed, list) else []
    else:
        lines = tree.text(requirements).splitlines()
    return frozenset(normal_name(match[0]) for line in lines if (match := _NAME.match(line.strip())))


def _project(tree: SourceTree) -> Mapping[str, object]:
    try:
        project = tomllib.loads(tree.text("pyproject.toml")).get("project", {})
    except tomllib.TOMLDecodeError:
        return {}
    return project if isinstance(project, dict) else {}


def guess_environment(tree: SourceTree, packages: frozenset[str]) -> EnvironmentGuess:
    """Variables that can be given, those that nobody knows, backends, and why."""
    read = _variables(tree)
    variables: dict[str, str] = {}
    guesses: list[Guess] = []
    backends: list[str] = []
    for backend, names in _BACKEND_VARIABLES.items():
        package = next((name for name in _BACKEND_PACKAGES[backend] if name in packages), None)
        name = next((name for name in names if name in read and name not in variables), None)
        if package and name:
            path, variable = read[name]
            variables[name] = f"{{backend.{backend}.url}}"
            backends.append(backend)
            because = f"{package} is required, and {path}:{variable.line} reads {name}"
            guesses.append(Guess(f"backend {backend}", f"in {name}", Certainty.LIKELY, because))
    unset: dict[str, str] = {}
    for name, (path, variable) in sorted(read.items()):
        where = f"{path}:{variable.line} {'requires' if variable.is_required else 'reads'} it"
        if name in variables:
            continue
        if variable.is_required and _SECRET_NAME.search(name):
            variables[name] = f"{{secret.{name}}}"
            guesses.append(Guess(f"secret {name}", "from your environment", Certainty.LIKELY, where))
        else:
            unset[name] = where
    return EnvironmentGuess(variables, unset, tuple(backends), tuple(guesses))


def _variables(tree: SourceTree) -> dict[str, tuple[str, ReadVariable]]:
    """By name, where a variable is read first; where it is required, if it is anywhere."""
    read: dict[str, tuple[str, ReadVariable]] = {}
    for path, module in tree.modules.items():
        for variable in module.variables:
            known = read.get(variable.name)
            if known is None or (variable.is_required and not known[1].is_required):
                read[variable.name] = (path, variable)
    return read


def guess_preparation(tree: SourceTree, packages: frozenset[str], framework: str, entry: str) -> Guess | None:
    """The command that makes the database; `entry` is what servers import."""
    manage = min((path for path in tree.paths if PurePosixPath(path).name == "manage.py"), key=len, default=None)
    if framework == "Django" and manage:
        command = f"{{venv}}/bin/python {manage} migrate --noinput"
        return Guess("prepare", command, Certainty.LIKELY, f"{manage} is there")
    if "flask-migrate" in packages and any(path.startswith("migrations/") for path in tree.paths):
        command = f"{{venv}}/bin/flask --app {entry.removesuffix('()')} db upgrade"
        return Guess("prepare", command, Certainty.LIKELY, "Flask-Migrate is required, and migrations/ is there")
    return None


def guess_current(tree: SourceTree) -> Guess | None:
    """The command line that serves it today, from a Procfile or a Dockerfile."""
    for number, line in enumerate(tree.text("Procfile").splitlines(), 1):
        kind, _, command = line.partition(":")
        if kind.strip() == "web" and (found := _server_command(command)):
            return Guess("current", found, Certainty.LIKELY, f"Procfile:{number}")
    for number, line in enumerate(tree.text("Dockerfile").splitlines(), 1):
        match = re.match(r"\s*(?:CMD|ENTRYPOINT)\s+(.*)", line)
        if match and (found := _server_command(_docker_words(match[1]))):
            return Guess("current", found, Certainty.LIKELY, f"Dockerfile:{number}")
    return None


def _server_command(text: str) -> str:
    """A command line where it is one of a server program; else nothing."""
    try:
        words = shlex.split(text)
    except ValueError:
        return ""
    while words and ("=" in words[0] or words[0] in _STARTERS):
        words = words[1:]
    return shlex.join(words) if words and PurePosixPath(words[0]).name in _SERVERS else ""


def _docker_words(text: str) -> str:
    """The command of a Dockerfile's CMD, in either of its forms."""
    try:
        words = json.loads(text)
    except ValueError:
        return text
    return shlex.join(map(str, words)) if isinstance(words, list) else text
