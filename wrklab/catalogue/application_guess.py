"""A first wrklab.yml for an application, guessed by looking at its files; each guess says what it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wrklab.catalogue.application_files import APPLICATION_CARD
from wrklab.catalogue.application_needs import (
    Certainty,
    EnvironmentGuess,
    Guess,
    guess_current,
    guess_environment,
    guess_preparation,
    guess_requirements,
    packages_of,
)
from wrklab.catalogue.python_code import CONSTRUCTORS, URLS, Interface, ModuleFindings
from wrklab.catalogue.source_tree import SourceTree
from wrklab.errors import UsageError

#: Modules are searched for an application in this order: what servers are usually pointed at comes first.
_USUAL_MODULES = ("wsgi", "asgi", "main", "app", "application", "server", "web", "api", "__init__")
_USUAL_NAMES = ("application", "app", "api", "server")
_REQUESTS_MAX = 4
#: They answer whether the process lives, not what it is for.
_HEALTH = re.compile(r"/(health|healthz|ping|ready|readyz|live|livez|status|metrics|favicon\.ico)/?$")


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
    requirements: Guess
    environment: EnvironmentGuess
    prepare: Guess | None
    requests: tuple[RequestGuess, ...]
    current: Guess | None

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """All of it, for people."""
        return (
            *(
                Guess(
                    f"entry {entry.name}",
                    f"{entry.import_} ({entry.interface}, {entry.framework})",
                    entry.certainty,
                    entry.because,
                )
                for entry in self.entries
            ),
            self.requirements,
            *self.environment.guesses,
            *([self.prepare] if self.prepare else []),
            *(
                Guess(f"request {one.name}", f"GET {one.path}, expects 200", one.certainty, one.because)
                for one in self.requests
            ),
            *([self.current] if self.current else []),
        )


def guess_application(folder: Path) -> ApplicationGuess:
    """What an application's folder looks like. Nothing of it is run. Raises UsageError where no entry is found."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; app.init takes the folder of your application")
    tree = SourceTree(folder)
    entries = guess_entries(tree)
    requirements = guess_requirements(tree)
    packages = packages_of(tree, requirements.value)
    environment = guess_environment(tree, packages)
    if roots := sorted({entry.root for entry in entries if entry.root}):
        path = ":".join(f"{{app_dir}}/{root}" for root in roots)
        environment = replace(environment, variables={"PYTHONPATH": path, **environment.variables})
    return ApplicationGuess(
        name=application_name(folder.resolve().name),
        entries=entries,
        requirements=requirements,
        environment=environment,
        prepare=guess_preparation(tree, packages, entries[0].framework, entries[0].import_),
        requests=guess_requests(tree),
        current=guess_current(tree),
    )


def application_name(text: str) -> str:
    """A name of ours for a folder's name."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
    return name if name and name[0].isalpha() else f"app_{name}".rstrip("_")


# ---- Entries ----


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


def _place(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)


def guess_entries(tree: SourceTree) -> tuple[EntryGuess, ...]:
    """The best entry; of Django the best one of each interface. Raises UsageError where there is none."""
    found = sorted(
        (candidate for path, module in tree.modules.items() for candidate in _candidates(tree, path, module)),
        key=lambda candidate: candidate.rank,
    )
    if not found:
        raise UsageError(_no_entry(tree))
    best = found[0]
    if best.framework == "Django":
        other = next((one for one in found if one.framework == "Django" and one.interface != best.interface), None)
        if other:
            both = sorted((best, other), key=lambda one: one.interface, reverse=True)
            return tuple(_entry(tree, one.interface, one, has_rivals=False) for one in both)
    rivals = [one for one in found[1:] if one.is_factory == best.is_factory and one.framework == best.framework]
    return (_entry(tree, "web", best, has_rivals=bool(rivals)),)


def _candidates(tree: SourceTree, path: str, module: ModuleFindings) -> Iterator[_Candidate]:
    for made in module.made:
        yield _Candidate(path, made.name, made.framework, made.interface, made.line, made.is_factory)
    for called in module.called:
        if maker := _maker(tree, path, called.maker):
            yield _Candidate(path, called.name, *maker, called.line, False)


def _maker(tree: SourceTree, path: str, maker: str) -> tuple[str, Interface] | None:
    """What `create_app` of another module, or of this one, makes; a package may hand on what a module of it has."""
    module_name, _, name = tree.absolute(path, maker).rpartition(".")
    for other_path, other in tree.modules.items():
        other_name = tree.module_name(other_path)
        if other_path == path or other_name == module_name or other_name.startswith(f"{module_name}."):
            for made in other.made:
                if made.is_factory and made.name == name:
                    return made.framework, made.interface
    return None


def _entry(tree: SourceTree, name: str, found: _Candidate, *, has_rivals: bool) -> EntryGuess:
    root = tree.root_of(found.path)
    certainty = Certainty.LIKELY if has_rivals else Certainty.SURE
    what = f"returns one of {found.framework}" if found.is_factory else f"is made by {found.framework}"
    return EntryGuess(
        name=name,
        import_=f"{tree.module_name(found.path)}:{found.name}{'()' if found.is_factory else ''}",
        interface=found.interface,
        framework=found.framework,
        root="" if root == "." else root,
        certainty=Certainty.GUESS if found.is_factory else certainty,
        because=f"{found.path}:{found.line}: {found.name} {what}",
    )


def _no_entry(tree: SourceTree) -> str:
    frameworks = sorted({name for name, _ in CONSTRUCTORS.values()})
    return (
        f"{tree.folder}: no WSGI or ASGI application found in {len(tree.modules)} Python files. Looked for what makes "
        f"one of {', '.join(frameworks)} or Pyramid, at the top of a module or in a function without arguments. Write "
        f"{APPLICATION_CARD} by hand: docs/your_application.md shows one"
    )


# ---- Requests ----


def guess_requests(tree: SourceTree) -> tuple[RequestGuess, ...]:
    """GETs without parameters: the front page first, the others as they stand in the code."""
    found: dict[str, RequestGuess] = {}
    for path, module in tree.modules.items():
        for route in module.routes:
            prefix = _prefix_of(tree, path, route.router)
            full = _joined(prefix or "", route.path)
            certainty = Certainty.GUESS if prefix is None else Certainty.LIKELY
            known = found.get(full)
            if known is None or known.certainty is Certainty.GUESS:
                found[full] = RequestGuess(_request_name(full), full, certainty, f"{path}:{route.line} has the path")
    usual = [one for one in found.values() if not _HEALTH.search(one.path)] or list(found.values())
    usual.sort(key=lambda one: (one.certainty is Certainty.GUESS, one.path != "/"))
    because = "no path without parameters was found in the code"
    return tuple(_named_apart(usual[:_REQUESTS_MAX] or [RequestGuess("front", "/", Certainty.GUESS, because)]))


def _prefix_of(tree: SourceTree, path: str, router: str) -> str | None:
    """Where a router's routes lie in the application; None where that is not known."""
    if not router:
        return ""
    module_name = tree.module_name(path)
    if router == URLS and module_name in {each.texts.get("ROOT_URLCONF") for each in tree.modules.values()}:
        return ""
    target = module_name if router == URLS else f"{module_name}.{router}"
    for other_path, other in tree.modules.items():
        for mount in other.mounts:
            named = mount.target if router == URLS else tree.absolute(other_path, mount.target)
            # Within its own module a router has no module's name before it.
            if named == target or (other_path == path and mount.target == router):
                return mount.prefix
    return None


def _joined(prefix: str, path: str) -> str:
    full = f"{prefix.rstrip('/')}/{path.lstrip('/')}" if prefix and path else prefix or path
    return full if full.startswith("/") else f"/{full}"


def _request_name(path: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", path.lower()).strip("_")
    return "front" if not words else words if words[0].isalpha() else f"get_{words}"


def _named_apart(requests: Iterable[RequestGuess]) -> Iterator[RequestGuess]:
    taken: set[str] = set()
    for request in requests:
        name, number = request.name, 2
        while name in taken:
            name, number = f"{request.name}_{number}", number + 1
        taken.add(name)
        yield replace(request, name=name)
