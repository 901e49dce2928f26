"""One digest over all that decides what deploy puts on the hosts, so that a bench can tell that nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from wrklab.paths import PROJECT_DIR

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
