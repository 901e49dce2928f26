"""Files and folders of nodes, seen from the controller: written, linked, unmounted, removed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .commands import ContainerLabError, run, succeeds, wait_until

UNMOUNT_LIMIT_S = 3.0


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Write a file of a node with its folders, unless it is just so; whether it was written.

    Written beside and renamed, so that a link which somebody put there in the node is replaced, never followed.
    """
    if path.is_file() and not path.is_symlink() and path.read_text(encoding="utf-8", errors="replace") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(mode)
    new.rename(path)
    return True


def link(path: Path, target: str) -> None:
    """Make a symbolic link, over whatever file was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


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
