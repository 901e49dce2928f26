"""The machine that drives a bench: what of it belongs into the record."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any

from wrklab.paths import PROJECT_DIR

_PACKAGES = ("ansible-core", "fabric", "invoke", "numpy", "pandas", "scipy", "pydantic")


def controller_environment() -> dict[str, Any]:
    """Kernel, Python, versions of the tools, and the git state of the checkout."""
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "git": git_state(),
    }


def controller_name() -> str:
    """Who holds a lab's hosts, for whoever finds them taken: user, machine, process."""
    return f"{getpass.getuser()}@{platform.node()}, process {os.getpid()}"


def git_state() -> dict[str, Any]:
    """Commit, and whether files differ from it; empty where the checkout is no git work tree."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"commit": commit.strip(), "is_dirty": bool((_git("status", "--porcelain") or "").strip())}


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(PROJECT_DIR), *words], capture_output=True, text=True, check=False)
    except OSError:
        return None  # no git on this machine: the record then has no git state, and says so by leaving it out
    return done.stdout if done.returncode == 0 else None
