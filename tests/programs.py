"""Programs that tests need beside the locked packages: installed where they are missing and can be, else a skip."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

_LIMIT_S = 480
#: Another installation may be under way.
_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")


def needed(program: str, *packages: str, tests: str) -> str:
    """The program's path. As root on Debian its packages are installed first; skips where it cannot be had.

    `tests` says in the skip's reason what was not tested then.
    """
    if not shutil.which(program) and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run([*_APT, *words], env=quiet, capture_output=True, timeout=_LIMIT_S, check=False)
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} here, and apt-get could not install {' '.join(packages)}: {tests} was not tested")
    return found
