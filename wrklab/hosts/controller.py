"""The machine that drives a bench: what of it belongs into the record."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from wrklab.catalogue.deployment import fingerprint
from wrklab.paths import PROJECT_DIR, SCRIPTS_DIR
from wrklab.protocol.codec import decode_json, to_word
from wrklab.protocol.host import HostStateReport, HostStateSpec

_LOCAL_LIMIT_S = 20.0


def controller_environment() -> dict[str, Any]:
    """System, Python, versions of all that is installed beside wrklab, and the state of the checkout."""
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "os": _system(),
        "cpus_count": os.cpu_count(),
        "python": platform.python_version(),
        "packages": dict(sorted((str(found.name).lower(), found.version) for found in distributions())),
        "git": git_state(),
        # Of what hosts get from here: it tells two checkouts apart where there is no git.
        "fingerprint": fingerprint(),
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def controller_name() -> str:
    """Who holds a lab's hosts, for whoever finds them taken: user, machine, process."""
    return f"{getpass.getuser()}@{platform.node()}, process {os.getpid()}"


def git_state(project: Path = PROJECT_DIR) -> dict[str, Any]:
    """Commit, branch, and a digest over all that differs from the commit; of a checkout without git why there is none.

    {"commit", "branch", "is_dirty", "changed_files", "changes_sha256"} or {"commit": None, "reason"}.
    """
    top = _git(project, "rev-parse", "--show-toplevel")
    if top is None:
        return {"commit": None, "reason": "no git work tree, or no git on this machine"}
    if Path(top.strip()).resolve() != project.resolve():
        # Unpacked somewhere within a repository of another thing, whose commit says nothing of these files.
        return {"commit": None, "reason": f"the git work tree {top.strip()} is another project's"}
    commit = _git(project, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return {"commit": None, "reason": "a git work tree without a commit"}
    changed = [
        line[3:] for line in (_git(project, "status", "--porcelain", "--untracked-files=all") or "").splitlines()
    ]
    return {
        "commit": commit.strip(),
        "branch": (_git(project, "rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        "is_dirty": bool(changed),
        "changed_files": changed,
        "changes_sha256": _changes_digest(project) if changed else None,
    }


def _changes_digest(project: Path) -> str:
    """Over the difference from the commit, and over names and contents of files that git does not know yet."""
    digest = hashlib.sha256((_git(project, "diff", "--binary", "--no-ext-diff", "HEAD") or "").encode())
    untracked = (_git(project, "ls-files", "-z", "--others", "--exclude-standard") or "").split("\0")
    for name in sorted(filter(None, untracked)):
        path = project / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _git(project: Path, *words: str) -> str | None:
    """What git says; None where it fails. The checkout may be another user's: `sudo invoke bench` is usual."""
    command = ["git", "-c", f"safe.directory={project.resolve()}", "-C", str(project), *words]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="backslashreplace", check=False, env=environment
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def local_state(look_s: float) -> HostStateReport | None:
    """What goes on on this machine; None where it cannot be found out.

    A lab's containers do not see the processes next to them; this machine does.
    """
    spec = to_word(HostStateSpec(look_s=look_s, paths=()))
    command = [sys.executable, "-I", "-S", str(SCRIPTS_DIR / "host_state.py"), spec]
    limit_s = look_s + _LOCAL_LIMIT_S
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=True)
        return decode_json(HostStateReport, done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
