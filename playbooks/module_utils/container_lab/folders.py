"""Files and folders of nodes, seen from the controller: written, linked, unmounted, removed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from .commands import ContainerLabError, run, succeeds, wait_until

UNMOUNT_LIMIT_S = 3.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class NotAPlainFileError(ContainerLabError):
    """A link, or something else that nobody of ours made, stands where a node's file or folder belongs."""


def write(root: Path, name: str, text: str, mode: int = 0o644, folder_mode: int = 0o755) -> bool:
    """Write the file `name` below a root that others may change meanwhile, unless it is just so; whether it was.

    Each folder on the way is opened without following links, so nothing outside of the root is ever touched. Folders
    that are missing are made with `folder_mode`.

    Raises:
        NotAPlainFileError: a folder on the way is none, or a folder stands where the file belongs.
    """
    content = text.encode()
    with _folder_of(root, name, folder_mode) as (folder, last):
        if _holds(folder, last, content, mode):
            return False
        new = f".{last}.{secrets.token_hex(8)}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            os.fchmod(descriptor, mode)
        _put_in_place(root, name, new, folder)
    return True


def link(root: Path, name: str, target: str) -> None:
    """Make `name` below a root a symbolic link, over whatever file was there. Raises NotAPlainFileError as `write`."""
    with _folder_of(root, name, 0o755) as (folder, last):
        new = f".{last}.{secrets.token_hex(8)}.new"
        os.symlink(target, new, dir_fd=folder)
        _put_in_place(root, name, new, folder)


def _put_in_place(root: Path, name: str, new: str, folder: int) -> None:
    try:
        os.rename(new, PurePosixPath(name).name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        os.unlink(new, dir_fd=folder)
        raise NotAPlainFileError(f"{root / name}: cannot be replaced by a file: {error.strerror}") from error


@contextmanager
def _folder_of(root: Path, name: str, mode: int) -> Iterator[tuple[int, str]]:
    """Descriptor of the folder that holds `name`, made where it is missing, and the last part of the name."""
    *parts, last = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts or last == "..":
        raise ValueError(f"{name!r} is not a path below {root}")
    folder = os.open(root, _FOLDER)
    try:
        for index, part in enumerate(parts):
            try:
                inner = _open_folder(folder, part, mode)
            except OSError as error:
                place = root.joinpath(*parts[: index + 1])
                raise NotAPlainFileError(f"{place}: a folder is expected there: {error.strerror}") from error
            os.close(folder)
            folder = inner
        yield folder, last
    finally:
        os.close(folder)


def _open_folder(parent: int, name: str, mode: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=parent)
    made = os.open(name, _FOLDER, dir_fd=parent)
    os.fchmod(made, mode)  # whatever the umask is
    return made


def _holds(folder: int, name: str, content: bytes, mode: int) -> bool:
    """Whether a regular file of that mode is there with just this content. Opens nothing else, not even a device."""
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        return False
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode) or (stat.S_IMODE(status.st_mode), status.st_size) != (mode, len(content)):
            return False
        with Path(f"/proc/self/fd/{found}").open("rb") as stream:
            return stream.read(len(content) + 1) == content
    finally:
        os.close(found)


def parse_mounts_below(mountinfo: str, place: Path) -> list[Path]:
    """Mount points at or below `place`, innermost first, of /proc/self/mountinfo's text."""
    points = []
    for line in mountinfo.splitlines():
        # The kernel writes odd characters in octal.
        point = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4]))
        if point == place or place in point.parents:
            points.append(point)
    return points[::-1]


def _mounts_below(place: Path) -> list[Path]:
    return parse_mounts_below(Path("/proc/self/mountinfo").read_text(), place)


def remove(place: Path) -> bool:
    """Unmount what is mounted in a node's folder, then delete the folder; whether there was one."""
    for point in _mounts_below(place):
        # A dying container's processes hold the mount for a moment.
        if not wait_until(lambda point=point: succeeds(["umount", str(point)]), UNMOUNT_LIMIT_S):  # type: ignore[misc]
            run(["umount", "--lazy", str(point)])
    if _mounts_below(place):
        raise ContainerLabError(f"{place}: still mounted: {_mounts_below(place)}; nothing below it was deleted")
    if not place.exists():
        return False
    shutil.rmtree(place)
    return True
