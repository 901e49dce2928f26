"""The files of a user's application that go to the server host: which they are, and one archive of them."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wrklab.errors import CardError

#: The card of an application. It is no part of what is served, so another request mix is no other server.
APPLICATION_CARD = "wrklab.yml"
#: More than this is data that a benchmark does not need, or a folder that was included by mistake.
FILES_MAX_COUNT = 10_000
FILES_MAX_BYTES = 64 << 20
_MIB = 1 << 20
_SHOWN_FOLDERS = 5

#: By name, wherever they lie: what tools and editors keep, and what is made again from other files.
LEFT_OUT_NAMES = frozenset(
    {
        ".cache",
        ".direnv",
        ".eggs",
        ".git",
        ".hg",
        ".idea",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".tox",
        ".venv",
        ".vscode",
        "__pycache__",
        "node_modules",
    }
)
#: Files that hold secrets: what they set belongs into `environment`, as {secret.NAME}.
SECRET_FILES = (".env", ".env.*")
_LEFT_OUT_FILES = ("*.pyc", "*.pyo", *SECRET_FILES)
#: It marks a virtual environment, whatever its folder is called.
_VENV_MARK = "pyvenv.cfg"


@dataclass(frozen=True)
class SourceFile:
    """One file or link of the application, by its path below the application's folder."""

    path: str
    #: Of the target: None for a file.
    link: str | None = None
    size_bytes: int = 0
    is_executable: bool = False


@dataclass(frozen=True)
class SourceFiles:
    """What goes to the server host, by path, and what was left out of it by name."""

    folder: Path
    files: tuple[SourceFile, ...]
    left_out: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    def read(self, file: SourceFile) -> bytes:
        """The content of a file. Raises CardError where it cannot be read."""
        path = self.folder / file.path
        try:
            return path.read_bytes()
        except OSError as error:
            raise CardError(f"{path}: cannot be read: {error.strerror}; make it readable, or leave it out") from error


def find_files(folder: Path, leave_out: Sequence[str] = ()) -> SourceFiles:
    """The files of an application's folder. `leave_out` are globs for a name or for a path below the folder.

    Raises CardError for a link that leads out of the folder, and for more than a benchmark needs.
    """
    found: list[SourceFile] = []
    skipped: list[str] = []
    for path, is_left_out in _walk(folder, PurePosixPath(), leave_out):
        if is_left_out:
            skipped.append(path)
            continue
        found.append(_source_file(folder, path))
        if len(found) > FILES_MAX_COUNT:
            raise CardError(f"{folder}: it has more than {FILES_MAX_COUNT:,} files. {_what_to_leave_out(found)}")
    files = SourceFiles(folder, tuple(found), tuple(skipped))
    if files.size_bytes > FILES_MAX_BYTES:
        raise CardError(
            f"{folder}: its files have {files.size_bytes / _MIB:,.0f} MiB; at most {FILES_MAX_BYTES // _MIB} go to the "
            f"server. {_what_to_leave_out(found)}"
        )
    return files


def _walk(folder: Path, below: PurePosixPath, leave_out: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each file or link by its path, and whether it is left out; a folder that is left out counts as one."""
    try:
        entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    except OSError as error:
        raise CardError(
            f"{folder / below}: cannot be read: {error.strerror}; make it readable, or leave it out"
        ) from error
    for entry in entries:
        path = below / entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if _is_left_out(entry, path.as_posix(), leave_out):
            yield f"{path}/" if is_folder else str(path), True
        elif is_folder:
            yield from _walk(folder, path, leave_out)
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield str(path), False


def _is_left_out(entry: os.DirEntry[str], path: str, leave_out: Sequence[str]) -> bool:
    if path == APPLICATION_CARD or any(_matches(entry.name, path, pattern) for pattern in leave_out):
        return True
    if entry.is_dir(follow_symlinks=False):
        return entry.name in LEFT_OUT_NAMES or Path(entry.path, _VENV_MARK).is_file()
    return any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in _LEFT_OUT_FILES)


def _matches(name: str, path: str, pattern: str) -> bool:
    wanted = pattern.rstrip("/")
    return fnmatch.fnmatchcase(path, wanted) or ("/" not in wanted and fnmatch.fnmatchcase(name, wanted))


def _source_file(folder: Path, path: str) -> SourceFile:
    full = folder / path
    try:
        found = full.lstat()
    except OSError as error:
        raise CardError(f"{full}: cannot be read: {error.strerror}") from error
    if stat.S_ISLNK(found.st_mode):
        return SourceFile(path, link=_link_within(folder, path))
    return SourceFile(path, size_bytes=found.st_size, is_executable=bool(found.st_mode & stat.S_IXUSR))


def _link_within(folder: Path, path: str) -> str:
    """What a link says, where it leads to a place in the folder. Raises CardError."""
    full = folder / path
    target = str(full.readlink())
    if target.startswith("/") or not full.resolve().is_relative_to(folder.resolve()):
        raise CardError(
            f"{full}: the link leads to {target}, out of the application's folder, and such files are not copied. "
            "Put the files themselves there, or name the link under leave_out"
        )
    return target


def _what_to_leave_out(files: Sequence[SourceFile]) -> str:
    """The largest folders, for whoever has to choose."""
    sizes: dict[str, int] = {}
    counts: dict[str, int] = {}
    for file in files:
        top = file.path.partition("/")[0]
        sizes[top] = sizes.get(top, 0) + file.size_bytes
        counts[top] = counts.get(top, 0) + 1
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_SHOWN_FOLDERS]
    shown = ", ".join(f"{name} ({sizes[name] / _MIB:,.1f} MiB, {counts[name]:,} files)" for name in largest)
    return f"Name what the server does not need under leave_out in {APPLICATION_CARD}; the largest: {shown}"


def files_digest(files: SourceFiles, added: Mapping[str, str]) -> str:
    """The hex SHA-256 over names, kinds and contents; the same wherever the folder lies."""
    digest = hashlib.sha256()
    for file in files.files:
        content = (file.link or "").encode() if file.link is not None else files.read(file)
        kind = "link" if file.link is not None else "program" if file.is_executable else "file"
        digest.update(f"{kind}\0{file.path}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    for path, text in sorted(added.items()):
        digest.update(f"added\0{path}\0{text}\0".encode())
    return digest.hexdigest()


def archive(files: SourceFiles, added: Mapping[str, str]) -> bytes:
    """A tar archive of the files; `added` are further ones, path -> text. The same files make the same bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in files.files:
            if file.link is not None:
                member = tarfile.TarInfo(file.path)
                member.type, member.linkname = tarfile.SYMTYPE, file.link
                tar.addfile(member)
            else:
                _add(tar, file.path, files.read(file), 0o755 if file.is_executable else 0o644)
        for path, text in sorted(added.items()):
            _add(tar, path, text.encode(), 0o644)
    return stream.getvalue()


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
