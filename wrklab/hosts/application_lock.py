"""The packages of a user's application together with those of a server program, locked with hashes by uv.

The lock is kept in the cache and goes with each run; nothing is written into the user's folder. It is made again only
when what is asked for has changed, so that a run which is resumed has the packages that it began with.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from wrklab.catalogue.application import PYTHON_VERSION, Application
from wrklab.catalogue.deployment import locked_versions, normal_name
from wrklab.errors import CardError, LabError
from wrklab.hosts.ansible import tool_environment
from wrklab.results.run_folder import write_file

_LIMIT_S = 600.0
_SAID_MAX_CHARS = 3000
_COMMON = ("--quiet", "--no-header", "--no-annotate", "--no-emit-index-url")
#: Lines of requirements.txt that name another file.
_INCLUDED = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[ =]\s*(\S+)", re.MULTILINE)
#: The application's own folder as a package: it is copied, and need not be installed.
_OWN_FOLDER = re.compile(r"^(?:(?:-e|--editable)[ =]\s*)?(?:\.|file://\S+)(?:\[[^\]]*\])?\s*$", re.MULTILINE)
_LOCKED_LINE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?==")


@dataclass(frozen=True)
class ServerPackages:
    """What a server program needs: the packages that are asked for, and the lock of them and what they need."""

    #: Its lock's file name in recipes/, as recipes name it.
    name: str
    wanted: str
    lock: str

    @property
    def pins(self) -> tuple[str, ...]:
        """The program's own packages at just the versions of its lock: recipes are written for these.

        What they need in turn may have another version where the application wants that.
        """
        versions = locked_versions(self.lock)
        pins = []
        for line in self.wanted.splitlines():
            text = line.partition("#")[0].strip()
            if text:
                found = Requirement(text)
                extras = f"[{','.join(sorted(found.extras))}]" if found.extras else ""
                pins.append(f"{found.name}{extras}=={versions[normal_name(found.name)]}")
        return tuple(pins)


def read_server_packages(project: Path, names: Iterable[str]) -> list[ServerPackages]:
    """The packages of server programs by their locks in recipes/. Raises CardError."""
    found = []
    for name in sorted(set(names)):
        lock = project / "recipes" / name
        wanted = lock.with_suffix(".in")
        try:
            server = ServerPackages(name, wanted.read_text(encoding="utf-8"), lock.read_text(encoding="utf-8"))
            _ = server.pins
        except OSError as error:
            raise CardError(f"{wanted}: {error.strerror}; `invoke lock` makes the lock of it") from error
        except (InvalidRequirement, KeyError) as error:
            raise CardError(f"{wanted}: {error!r}; `invoke lock` makes the lock of it again") from error
        found.append(server)
    return found


def locked_together(application: Application, server: ServerPackages, folder: Path) -> str:
    """The lock of both; kept in `folder`. Raises CardError where they cannot go together, LabError without uv."""
    requirements = application.folder / application.requirements
    digest = _digest(requirements, server)
    path = folder / f"{Path(server.name).stem}.{digest[:16]}.txt"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    source = _exported(application, folder) if requirements.name == "uv.lock" else requirements
    pins = folder / f"{Path(server.name).stem}.in"
    write_file(pins, "\n".join(server.pins) + "\n")
    # What an output file holds already is preferred: the server's own packages stay at their versions.
    made = folder / f"{path.name}.new"
    write_file(made, server.lock)
    words = ["compile", *_COMMON, "--generate-hashes", "--python-version", PYTHON_VERSION, "--python-platform", "linux"]
    said = _uv(["pip", *words, "--output-file", str(made), str(source), str(pins)], application.folder)
    if said is not None:
        raise CardError(_why_not(application, server, said))
    lock = _without_own_folder(made.read_text(encoding="utf-8"), application)
    write_file(path, lock)
    made.unlink()
    return lock


def _digest(requirements: Path, server: ServerPackages) -> str:
    """Over all that decides the lock: every file that the list names, and the server's packages."""
    texts = [PYTHON_VERSION, *server.pins, server.lock, *_texts_of(requirements, set())]
    if requirements.name == "uv.lock":
        texts += _texts_of(requirements.with_name("pyproject.toml"), set())
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _texts_of(path: Path, seen: set[Path]) -> list[str]:
    if path in seen or not path.is_file():
        return []
    seen.add(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    others = _INCLUDED.findall(text) if path.suffix in {".txt", ".in"} else []
    return [text, *(each for name in others for each in _texts_of(path.parent / name, seen))]


def _exported(application: Application, folder: Path) -> Path:
    """The packages of a uv.lock as a list that pins each of them. Raises CardError."""
    lock = application.folder / application.requirements
    path = folder / "uv_lock.txt"
    words = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-hashes"]
    said = _uv(
        [*words, "--format", "requirements-txt", "--output-file", str(path), "--project", str(lock.parent)], folder
    )
    if said is not None:
        raise CardError(f"{lock}: uv cannot export it: {said}")
    return path


def _uv(words: Sequence[str], folder: Path) -> str | None:
    """What uv said where it failed; None where it did not. Raises LabError where there is no uv."""
    program = Path(sys.executable).with_name("uv")
    command = [str(program) if program.exists() else "uv", *words]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=tool_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError("uv is not installed on this machine: run ./inv, which installs requirements.txt") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"uv {words[0]} had not ended after {_LIMIT_S:g} s: is the package index reachable?") from error
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip()[-_SAID_MAX_CHARS:]


def _why_not(application: Application, server: ServerPackages, said: str) -> str:
    """What of the two does not go together, for people."""
    where = application.folder / application.requirements
    known = {normal_name(Requirement(pin).name): pin for pin in server.pins}
    conflicts = [pin for name, pin in known.items() if re.search(rf"\b{re.escape(name)}\b", said, re.IGNORECASE)]
    if conflicts:
        return (
            f"{where} does not go together with the server program's {', '.join(conflicts)} (recipes/{server.name}), "
            "for which the recipe is written. Leave the server out of the list, or allow this version. uv says:\n"
            f"{said}"
        )
    return f"{where} cannot be locked for Python {PYTHON_VERSION} on Linux. uv says:\n{said}"


def _without_own_folder(lock: str, application: Application) -> str:
    """The lock without the application itself. Raises CardError for what has no hash to check."""
    text = _OWN_FOLDER.sub("", lock)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "#"))]
    strange = [line for line in lines if not _LOCKED_LINE.match(line)]
    if strange:
        where = application.folder / application.requirements
        raise CardError(
            f"{where}: {strange[0].split(' --')[0]!r} cannot be checked by a hash: packages of an index were expected, "
            "and no folders, addresses or repositories"
        )
    return text
