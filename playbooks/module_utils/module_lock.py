"""One module at a time changes a machine: two of its names may be provisioned at once, and lab.up may be called twice.

The lock is a file in a folder of wrklab's own that only its owner may open, so no other user can hold it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Of root. The leases of controllers lie there as well; it goes with a reboot.
FOLDER = Path("/run/wrklab")
LIMIT_S = 120.0
_PAUSE_S = 0.05
_NOTE_BYTES = 200
_LOCKS = Path("/proc/locks")


class LockedError(Exception):
    """Another process kept the lock for too long; the text names it."""


def folder() -> Path:
    """Where the lock files are, made if need be: /run/wrklab for root, else a folder of this user's. Raises OSError."""
    is_root = os.geteuid() == 0
    place = FOLDER if is_root else Path(tempfile.gettempdir()) / f"wrklab-{os.geteuid()}"
    try:
        place.mkdir(mode=0o700)
        place.chmod(0o755 if is_root else 0o700)
    except FileExistsError:
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{place}: a folder of user {os.geteuid()} is expected there; remove it") from None
    return place


@contextmanager
def held(name: str, what: str, limit_s: float = LIMIT_S) -> Iterator[None]:
    """Hold the lock `name` for the block; `what` tells those who wait what is being done.

    Raises:
        LockedError: another process has held it for `limit_s`.
        OSError: the lock file cannot be made.
    """
    path = folder() / f"{name}.lock"
    deadline = time.monotonic() + limit_s
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if _is_ours(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()} {what}"[:_NOTE_BYTES].encode(), 0)
                yield
                return
            if time.monotonic() > deadline:
                raise LockedError(
                    f"{path}: held for {limit_s:g} s by {_holder(descriptor)}. Wait for its end, or end it, "
                    "and run the command again"
                )
        finally:
            os.close(descriptor)
        time.sleep(_PAUSE_S)


def _is_ours(descriptor: int, path: Path) -> bool:
    """Whether the lock is taken now, on the file that others will open: a reset removes the folder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        if not path.parent.exists():
            folder()
        return False


def _holder(descriptor: int) -> str:
    """The process that holds the lock, as far as it can be told."""
    pid = _holding_pid(os.fstat(descriptor).st_ino)
    if not pid:
        return "a process that is not visible here"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()[:_NOTE_BYTES].replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        command = ""
    noted, _, what = os.pread(descriptor, _NOTE_BYTES, 0).decode(errors="replace").partition(" ")
    said = what if noted == str(pid) else command.strip()
    return f"process {pid} ({said or 'without a command line'})"


def _holding_pid(inode: int) -> int:
    """Of /proc/locks; 0 where it is not there, or does not say."""
    try:
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 4321 00:2f:1234 0 EOF
        words = line.split()
        if words[1:2] == ["FLOCK"] and words[5].rpartition(":")[2] == str(inode) and words[4].isdecimal():
            return int(words[4])
    return 0
