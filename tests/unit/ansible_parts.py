"""Running this checkout's Ansible modules for real, loading its filters, and copying what deploy reads."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import module_lock

from wrklab.catalogue.deployment import SOURCES
from wrklab.paths import PLAYBOOKS_DIR, PROJECT_DIR

_MODULE_UTILS = PLAYBOOKS_DIR / "module_utils"
#: Ansible ships the checkout's module_utils with a module, below its own.
_AS_ANSIBLE_DOES = (
    f"import runpy, sys, ansible.module_utils as shipped; shipped.__path__.append({str(_MODULE_UTILS)!r}); "
    "runpy.run_path(sys.argv.pop(), run_name='__main__')"
)


def run_module(
    name: str, arguments: dict[str, Any], *, check: bool = False, within: Sequence[str] = ()
) -> dict[str, Any]:
    """What a module of playbooks/library answers; `within` is a command that it runs under."""
    given = {**arguments, "_ansible_check_mode": check}
    done = subprocess.run(
        [*within, sys.executable, "-c", _AS_ANSIBLE_DOES, str(PLAYBOOKS_DIR / "library" / f"{name}.py")],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def load_plugin(path: Path) -> ModuleType:
    """A file that no package holds, as a module."""
    if str(_MODULE_UTILS) not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(str(_MODULE_UTILS))
    spec = importlib.util.spec_from_file_location(f"plugin_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def copy_of_checkout(target: Path) -> Path:
    """A copy of what deploy reads, to be altered."""
    for name in (*SOURCES, "scenarios", "suites", "reference"):
        source, place = PROJECT_DIR / name, target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place)
    return target


@contextmanager
def module_of_another_name() -> Iterator[None]:
    """As if a module that changes files were at work on this machine by another of its names."""
    with module_lock.held("modules", "a test"):
        yield
