"""A first wrklab.yml for an application, guessed by looking at its files; each guess says what it rests on."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from wrklab.catalogue.application_files import APPLICATION_CARD, SourceFiles, find_files
from wrklab.catalogue.locks import normal_name
from wrklab.catalogue.python_code import (
    CONSTRUCTORS,
    SOURCE_MAX_BYTES,
    URLS,
    Interface,
    ModuleFindings,
    ReadVariable,
    read_module,
)
from wrklab.errors import UsageError

#: Folders and files that are no part of what is served.
_NOT_SERVED = re.compile(
    r"(^|/)(tests?|docs?|examples?|migrations|alembic|scripts|bin|benchmarks?)/|(^|/)(test_|conftest|setup\.py)"
)
#: Modules are searched for an application in this order: what servers are usually pointed at comes first.
_USUAL_MODULES = ("wsgi", "asgi", "main", "app", "application", "server", "web", "api", "__init__")
_USUAL_NAMES = ("application", "app", "api", "server")
_REQUIREMENTS = (
    "uv.lock",
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/base.txt",
    "requirements.in",
    "pyproject.toml",
)
_BACKEND_PACKAGES: Mapping[str, tuple[str, ...]] = {
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
_REQUESTS_MAX = 4
#: They answer whether the process lives, not what it is for.
_HEALTH = re.compile(r"/(health|healthz|ping|ready|readyz|live|livez|status|metrics|favicon\.ico)/?$")


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
class EntryGuess:
    """An entry, and where its application was found."""

    name: str
    import_: str
    interface: Interface
    framework: str
    #: The folder that the module is imported from, below the application's; empty: that folder itself.
    root: str
    certainty: Certainty
    because: str


@dataclass(frozen=True)
class RequestGuess:
    """A request of the mix."""

    name: str
    path: str
    certainty: Certainty
    because: str


@dataclass(frozen=True)
class ApplicationGuess:
    """A whole first card, with what it rests on."""

    name: str
    entries: tuple[EntryGuess, ...]
    requirements: str
    packages: frozenset[str]
    environment: Mapping[str, str]
    #: Variables that the code reads and that nothing is known about: where, by name.
    unset: Mapping[str, str]
    backends: tuple[str, ...]
    prepare: tuple[str, ...]
    requests: tuple[RequestGuess, ...]
    current: str
    guesses: tuple[Guess, ...]


def guess_application(folder: Path) -> ApplicationGuess:
    """What an application's folder looks like. Nothing of it is run. Raises UsageError where no entry is found."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; app.init takes the folder of your application")
    return _Folder(folder).guess()


class _Folder:
    """One folder, read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: SourceFiles = find_files(folder)
        self._paths = {file.path for file in self._files.files}
        #: By path. Only files that are a part of what is served.
        self._modules = {
            file.path: self._module(file.path)
            for file in self._files.files
            if file.path.endswith(".py") and file.size_bytes <= SOURCE_MAX_BYTES and not _NOT_SERVED.search(file.path)
        }

    def _module(self, path: str) -> ModuleFindings:
        return read_module(self._text(path))

    def _text(self, path: str) -> str:
        try:
            return (self._folder / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def guess(self) -> ApplicationGuess:
        entries = self._entries()
        if not entries:
            raise UsageError(self._no_entry())
        requirements, requirements_guess = self._requirements()
        packages = self._packages(requirements)
        environment, unset, backends, reasons = self._environment(packages)
        roots = sorted({entry.root for entry in entries if entry.root})
        if roots:
            environment = {"PYTHONPATH": ":".join(f"{{app_dir}}/{root}" for root in roots), **environment}
        prepare = self._prepare(entries, packages)
        requests = self._requests()
        current = self._current()
        told = [
            *(
                Guess(
                    f"entry {entry.name}",
                    f"{entry.import_} ({entry.interface}, {entry.framework})",
                    entry.certainty,
                    entry.because,
                )
                for entry in entries
            ),
            requirements_guess,
            *reasons,
            *(Guess("prepare", command, Certainty.LIKELY, why) for command, why in prepare),
            *(
                Guess(f"request {one.name}", f"GET {one.path}, expects 200", one.certainty, one.because)
                for one in requests
            ),
            *([Guess("current", current[0], Certainty.LIKELY, current[1])] if current else []),
        ]
        return ApplicationGuess(
            name=application_name(self._folder.resolve().name),
            entries=tuple(entries),
            requirements=requirements,
            packages=packages,
            environment=environment,
            unset=unset,
            backends=backends,
            prepare=tuple(command for command, _ in prepare),
            requests=tuple(requests),
            current=current[0] if current else "",
            guesses=tuple(told),
        )

    # ---- Entries ----

    def _entries(self) -> list[EntryGuess]:
        """The best entry of each interface that Django has both of; else the best one."""
        found = sorted(
            (candidate for path, module in self._modules.items() for candidate in self._candidates(path, module)),
            key=lambda candidate: candidate.rank,
        )
        if not found:
            return []
        best = found[0]
        rivals = [one for one in found[1:] if one.rank[:1] == best.rank[:1] and one.framework == best.framework]
        entries = [self._entry("web", best, has_rivals=bool(rivals))]
        if best.framework == "Django":
            other = next((one for one in found if one.framework == "Django" and one.interface != best.interface), None)
            if other:
                first, second = sorted((best, other), key=lambda one: one.interface, reverse=True)
                return [self._entry(one.interface, one, has_rivals=False) for one in (first, second)]
        return entries

    def _candidates(self, path: str, module: ModuleFindings) -> Iterable[_Candidate]:
        for made in module.made:
            yield _Candidate(path, made.name, made.framework, made.interface, made.line, made.is_factory)
        for called in module.called:
            if maker := self._maker(path, called.maker):
                yield _Candidate(path, called.name, *maker, called.line, False)

    def _maker(self, path: str, maker: str) -> tuple[str, Interface] | None:
        """What `create_app` of another module, or of this one, makes."""
        module_name, _, name = _absolute(path, maker).rpartition(".")
        for other_path, other in self._modules.items():
            if other_path == path or _module_of(other_path, self._root_of(other_path)) == module_name:
                for made in other.made:
                    if made.is_factory and made.name == name:
                        return made.framework, made.interface
        return None

    def _entry(self, name: str, found: _Candidate, *, has_rivals: bool) -> EntryGuess:
        root = self._root_of(found.path)
        module = _module_of(found.path, root)
        if found.is_factory:
            certainty = Certainty.GUESS
        elif has_rivals:
            certainty = Certainty.LIKELY
        else:
            certainty = Certainty.SURE
        what = "returns" if found.is_factory else "is made"
        because = (
            f"{found.path}:{found.line}: {found.name} {what} {'one of' if found.is_factory else 'by'} {found.framework}"
        )
        return EntryGuess(
            name=name,
            import_=f"{module}:{found.name}{'()' if found.is_factory else ''}",
            interface=found.interface,
            framework=found.framework,
            root="" if root == "." else root,
            certainty=certainty,
            because=because,
        )

    def _root_of(self, path: str) -> str:
        """The folder that a module is imported from: the lowest that is no package, unless code says a higher one."""
        folder = PurePosixPath(path).parent
        while folder.as_posix() != "." and f"{folder}/__init__.py" in self._paths:
            folder = folder.parent
        parts = folder.parts
        # A folder without __init__.py is a package too where other modules import from it by its name.
        for count in range(len(parts)):
            name = ".".join(parts[count:])
            if any(
                word == name or word.startswith(f"{name}.") for each in self._modules.values() for word in each.imported
            ):
                return PurePosixPath(*parts[:count]).as_posix()
        return folder.as_posix()

    def _no_entry(self) -> str:
        frameworks = sorted({name for name, _ in CONSTRUCTORS.values()})
        return (
            f"{self._folder}: no WSGI or ASGI application found in {len(self._modules)} Python files. Looked for what "
            f"makes one of {', '.join(frameworks)} or Pyramid, at the top of a module or in a function without "
            f"arguments. Write {APPLICATION_CARD} by hand: docs/your_application.md shows one"
        )

    # ---- Packages ----

    def _requirements(self) -> tuple[str, Guess]:
        for path in _REQUIREMENTS:
            if path in self._paths and (path != "pyproject.toml" or self._project().get("dependencies")):
                return path, Guess("requirements", path, Certainty.SURE, "the file is there")
        others = sorted(path for path in self._paths if PurePosixPath(path).name == "requirements.txt")
        if others:
            return others[0], Guess(
                "requirements",
                others[0],
                Certainty.LIKELY,
                "the only such file" if len(others) == 1 else f"the first of {len(others)}",
            )
        found = [name for name in ("poetry.lock", "Pipfile.lock", "setup.py", "setup.cfg") if name in self._paths]
        how = (
            "poetry export -o requirements.txt" if "poetry.lock" in found else "pipenv requirements > requirements.txt"
        )
        hint = f" There is {found[0]}: `{how}`" if found[:1] and found[0].endswith("lock") else ""
        raise UsageError(
            f"{self._folder}: no list of the packages that it needs: none of {', '.join(_REQUIREMENTS)} is there (a "
            f"pyproject.toml counts with project.dependencies).{hint} Write requirements.txt, then run app.init again"
        )

    def _project(self) -> Mapping[str, object]:
        try:
            project = tomllib.loads(self._text("pyproject.toml")).get("project", {})
        except tomllib.TOMLDecodeError:
            return {}
        return project if isinstance(project, dict) else {}

    def _packages(self, requirements: str) -> frozenset[str]:
        """The names of what it requires, as far as the file says them in the usual way."""
        if requirements.endswith(".lock"):
            names = re.findall(r'^name = "([^"]+)"', self._text(requirements), re.MULTILINE)
        elif requirements == "pyproject.toml":
            listed = self._project().get("dependencies")
            names = [_NAME.match(str(one).strip()) for one in listed] if isinstance(listed, list) else []
            return frozenset(normal_name(match[0]) for match in names if match)
        else:
            names = [match[0] for line in self._text(requirements).splitlines() if (match := _NAME.match(line.strip()))]
        return frozenset(map(normal_name, names))

    # ---- Environment ----

    def _environment(
        self, packages: frozenset[str]
    ) -> tuple[dict[str, str], dict[str, str], tuple[str, ...], list[Guess]]:
        """Variables that can be given, those that nobody knows, backends, and why."""
        read: dict[str, tuple[str, ReadVariable]] = {}
        for path, module in self._modules.items():
            for variable in module.variables:
                known = read.get(variable.name)
                if known is None or (variable.is_required and not known[1].is_required):
                    read[variable.name] = (path, variable)
        environment, unset, backends, reasons = {}, {}, [], []
        for backend, names in _BACKEND_VARIABLES.items():
            package = next((name for name in _BACKEND_PACKAGES[backend] if name in packages), None)
            variable_name = next((name for name in names if name in read and name not in environment), None)
            if package and variable_name:
                path, variable = read[variable_name]
                environment[variable_name] = f"{{backend.{backend}.url}}"
                backends.append(backend)
                because = f"{package} is required, and {path}:{variable.line} reads {variable_name}"
                reasons.append(Guess(f"backend {backend}", f"in {variable_name}", Certainty.LIKELY, because))
        for name, (path, variable) in sorted(read.items()):
            if name in environment:
                continue
            where = f"{path}:{variable.line}"
            if variable.is_required and _SECRET_NAME.search(name):
                environment[name] = f"{{secret.{name}}}"
                reasons.append(
                    Guess(f"secret {name}", "from your environment", Certainty.LIKELY, f"{where} requires it")
                )
            else:
                unset[name] = f"{where} {'requires' if variable.is_required else 'reads'} it"
        return environment, unset, tuple(backends), reasons

    def _prepare(self, entries: Sequence[EntryGuess], packages: frozenset[str]) -> list[tuple[str, str]]:
        manage = sorted((path for path in self._paths if PurePosixPath(path).name == "manage.py"), key=len)
        if any(entry.framework == "Django" for entry in entries) and manage:
            return [(f"{{venv}}/bin/python {manage[0]} migrate --noinput", f"{manage[0]} is there")]
        if "flask-migrate" in packages and any(path.startswith("migrations/") for path in self._paths):
            application = entries[0].import_.removesuffix("()")
            return [
                (
                    f"{{venv}}/bin/flask --app {application} db upgrade",
                    "Flask-Migrate is required, and migrations/ is there",
                )
            ]
        return []

    # ---- Requests ----

    def _requests(self) -> list[RequestGuess]:
        """GETs without parameters: the front page first, the others as they stand in the code."""
        found: dict[str, RequestGuess] = {}
        for path, module in self._modules.items():
            for route in module.routes:
                prefix = self._prefix_of(path, route.router)
                full = _joined(prefix or "", route.path)
                certainty = Certainty.GUESS if prefix is None else Certainty.LIKELY
                because = f"{path}:{route.line} has the path; which status it answers is not known from the code"
                known = found.get(full)
                if known is None or known.certainty is Certainty.GUESS:
                    found[full] = RequestGuess(_request_name(full), full, certainty, because)
        usual = [one for one in found.values() if not _HEALTH.search(one.path)] or list(found.values())
        usual.sort(key=lambda one: (one.certainty is Certainty.GUESS, one.path != "/"))
        chosen = usual[:_REQUESTS_MAX]
        if not chosen:
            because = "no path without parameters was found in the code"
            chosen = [RequestGuess("front", "/", Certainty.GUESS, because)]
        names: set[str] = set()
        return [_with_own_name(one, names) for one in chosen]

    def _prefix_of(self, path: str, router: str) -> str | None:
        """Where a router's routes lie in the application; None where that is not known."""
        if not router:
            return ""
        module_name = _module_of(path, self._root_of(path))
        if router == URLS and module_name in {each.texts.get("ROOT_URLCONF") for each in self._modules.values()}:
            return ""
        target = module_name if router == URLS else f"{module_name}.{router}"
        for other_path, other in self._modules.items():
            for mount in other.mounts:
                named = mount.target if router == URLS else _absolute(self._below_root(other_path), mount.target)
                # Within its own module a router has no module's name before it.
                if named == target or (other_path == path and mount.target == router):
                    return mount.prefix
        return None

    def _below_root(self, path: str) -> str:
        root = self._root_of(path)
        return path if root == "." else path.removeprefix(f"{root}/")

    # ---- What runs today ----

    def _current(self) -> tuple[str, str] | None:
        """The command line that serves it, from a Procfile or a Dockerfile, and where it stands."""
        for number, line in enumerate(self._text("Procfile").splitlines(), 1):
            kind, _, command = line.partition(":")
            if kind.strip() == "web" and (found := _server_command(command)):
                return found, f"Procfile:{number}"
        for number, line in enumerate(self._text("Dockerfile").splitlines(), 1):
            match = re.match(r"\s*(?:CMD|ENTRYPOINT)\s+(.*)", line)
            if match and (found := _server_command(_docker_words(match[1]))):
                return found, f"Dockerfile:{number}"
        return None


@dataclass(frozen=True)
class _Candidate:
    """Something in a file that may be the entry."""

    path: str
    name: str
    framework: str
    interface: Interface
    line: int
    is_factory: bool

    @property
    def rank(self) -> tuple[bool, int, int, int, str, int]:
        """The best first: an attribute before a factory, usual names before others, high in the tree before deep."""
        path = PurePosixPath(self.path)
        return (
            self.is_factory,
            _place(_USUAL_MODULES, path.stem),
            len(path.parts),
            _place(_USUAL_NAMES, self.name),
            self.path,
            self.line,
        )


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _place(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)


def _module_of(path: str, root: str) -> str:
    """`shop.wsgi` for src/shop/wsgi.py below src."""
    below = PurePosixPath(path).relative_to(root) if root not in ("", ".") else PurePosixPath(path)
    parts = [*below.parts[:-1], *([] if below.stem == "__init__" else [below.stem])]
    return ".".join(parts) or "__init__"


def _absolute(path: str, name: str) -> str:
    """A full name for one that may begin with dots, as seen from a file."""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    package = PurePosixPath(path).parts[:-1]
    base = package[: len(package) - dots + 1]
    return ".".join([*base, name.lstrip(".")])


def _joined(prefix: str, path: str) -> str:
    full = f"{prefix.rstrip('/')}/{path.lstrip('/')}" if prefix else path
    return full if full.startswith("/") else f"/{full}"


def _request_name(path: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", path.lower()).strip("_")
    return "front" if not words else words if words[0].isalpha() else f"get_{words}"


def _with_own_name(request: RequestGuess, taken: set[str]) -> RequestGuess:
    name, number = request.name, 2
    while name in taken:
        name, number = f"{request.name}_{number}", number + 1
    taken.add(name)
    return RequestGuess(name, request.path, request.certainty, request.because)


def application_name(text: str) -> str:
    """A name of ours for a folder's name."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
    return name if name and name[0].isalpha() else f"app_{name}".rstrip("_")


def _server_command(text: str) -> str:
    """A command line where it is one of a server program; else nothing."""
    try:
        words = shlex.split(text)
    except ValueError:
        return ""
    while words and ("=" in words[0] or words[0] in {"exec", "poetry", "uv", "pipenv", "run"}):
        words = words[1:]
    return shlex.join(words) if words and PurePosixPath(words[0]).name in _SERVERS else ""


def _docker_words(text: str) -> str:
    """The command of a Dockerfile's CMD, in either of its forms."""
    try:
        words = json.loads(text)
    except ValueError:
        return text
    return shlex.join(map(str, words)) if isinstance(words, list) else text
