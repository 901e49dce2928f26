"""What the scripts on a host share: a spec in, one message out, files written in one step, commands with a deadline.

Everything here is imported at each call within a cell, so it stays small: no argparse, no subprocess.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from wrklab.protocol.codec import Message, MessageType, ProtocolError, encode_json, from_word
from wrklab.protocol.host import EXIT_REFUSED, Refusal

NODE_DIR = __file__.rpartition("/")[0]
CELLS_DIR = "/var/lib/wrklab/cells"
RUN_DIR = "/run/wrklab"

COMMAND_LIMIT_S = 30.0
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-@")
#: A text for people is cut to this: what a program prints has no limit, messages have.
TEXT_LENGTH_MAX = 20_000

#: Between the wall clock and the monotonic one, as this process found them.
_EPOCH_S = time.time() - time.monotonic()


def now() -> float:
    """Epoch seconds that no later step of the wall clock moves: what this process began with, and time passed since."""
    return _EPOCH_S + time.monotonic()


class CommandResult:
    """The exit code and the output of a command."""

    __slots__ = ("exit_code", "output")

    def __init__(self, exit_code: int, output: str) -> None:
        """`output` is stdout and stderr in one."""
        self.exit_code = exit_code
        self.output = output


def refuse(text: str, exit_code: int = EXIT_REFUSED) -> NoReturn:
    """End the script with a Refusal on stdout."""
    answer(Refusal(error=cut(text)))
    sys.exit(exit_code)


def guarded(main: Callable[[], None]) -> None:
    """Run a script; what its host cannot do (a full disk, say) is refused with the reason, not with a traceback."""
    try:
        main()
    except OSError as error:
        room = ", ".join(f"{number:,} bytes in {folder}" for folder, number in free_bytes().items())
        refuse(f"{error}; free here: {room}")


def answer(message: Message) -> None:
    """The script's one message on stdout."""
    sys.stdout.write(encode_json(message) + "\n")
    sys.stdout.flush()


def read_spec(kind: type[MessageType], word: str) -> MessageType:
    """A spec from its word on the command line. Ends the script where it is none."""
    try:
        return from_word(kind, word)
    except ProtocolError as error:
        refuse(f"the spec ({kind.__name__}): {error}")


def cut(text: str) -> str:
    """The end of a text that may be long."""
    return text if len(text) <= TEXT_LENGTH_MAX else f"…{text[-TEXT_LENGTH_MAX:]}"


def cell_dir(name: str) -> str:
    """The folder of a cell on this host. Ends the script where the name could leave the cells' folder."""
    if not name or name.startswith(".") or not _NAME_LETTERS.issuperset(name):
        refuse(f"cell {name!r}: letters, digits and _ . - @ make a cell's name")
    return f"{CELLS_DIR}/{name}"


def drop_other_cells(keep: str) -> list[str]:
    """Remove the folders of earlier cells: they were pulled, or nobody asks for them any more. Which those were."""
    try:
        names = os.listdir(CELLS_DIR)
    except FileNotFoundError:
        return []
    paths = [path for name in names if (path := f"{CELLS_DIR}/{name}") != keep]
    for path in paths:
        remove_folder(path)
    return paths


def remove_folder(path: str) -> None:
    """Remove a folder of files (cells have no folders within). What is gone already is no error.

    Two names of one machine may remove the same one at the same time.
    """
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        remove(path)
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_folder(entry.path)
        else:
            remove(entry.path)
    remove(path, os.rmdir)


def remove(path: str, how: Callable[[str], None] = os.unlink) -> bool:
    """Remove a file, or with os.rmdir an empty folder; False where it is gone already."""
    try:
        how(path)
    except FileNotFoundError:
        return False
    return True


def free_bytes() -> dict[str, int]:
    """Room in the folders that a cell needs, by folder."""
    found = {}
    for folder in (CELLS_DIR, RUN_DIR):
        # One that is not there yet will be made on its parent's disk.
        state = os.statvfs(folder if os.path.isdir(folder) else f"{folder.rpartition('/')[0].rpartition('/')[0]}/")
        found[folder] = state.f_bavail * state.f_frsize
    return found


def raise_descriptor_limit(connections: int) -> None:
    """Raise the soft limit to the hard one. Raises OSError when that is too low for a process's connections."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and connections + 50 > hard:
        raise OSError(
            f"{connections} connections in one wrk process need {connections + 50} descriptors; "
            f"the ceiling here (hard RLIMIT_NOFILE) is {hard}: use more processes"
        )


def write_file(path: str, text: str) -> None:
    """Write a file in one step: a reader finds all of it or none."""
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.rename(part, path)


def write_private_file(path: str, text: str) -> None:
    """Write a file in one step that only root may read, at no moment anybody else."""
    part = f"{path}.part"
    remove(part)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    os.rename(part, path)


def read_text(path: str) -> str | None:
    """A small file's text; None where there is no such file (or process)."""
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return None


def line(path: str) -> str | None:
    """A small file's text as one line, blanks made single; None where there is no such file or it cannot be read now.

    The kernel refuses to give some values that do not apply: an interface's speed while it has none.
    """
    try:
        text = read_text(path)
    except OSError:
        return None
    return " ".join(text.split()) if text is not None else None


def tail(path: str, lines_count: int, bytes_count: int = 65536) -> list[str]:
    """The last lines of a file; none where there is no such file."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - bytes_count))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines_count:]


def run(argv: list[str], limit_s: float = COMMAND_LIMIT_S, text: str = "") -> CommandResult:
    """Run a command to its end. One that is not there ends with 127, one that takes too long with 124.

    `text` is what it reads; no longer than a pipe holds (64 KiB), as nobody waits for it to read.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    text_end, given_end = os.pipe2(os.O_CLOEXEC)
    os.write(given_end, text.encode())
    os.close(given_end)
    actions = [
        (os.POSIX_SPAWN_DUP2, text_end, 0),
        (os.POSIX_SPAWN_DUP2, write_end, 1),
        (os.POSIX_SPAWN_DUP2, write_end, 2),
    ]
    try:
        pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
    except FileNotFoundError:
        os.close(read_end)
        return CommandResult(127, f"{argv[0]}: no such program")
    finally:
        os.close(write_end)
        os.close(text_end)
    output, ended = _read_until(read_end, time.monotonic() + limit_s)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not ended:
        return CommandResult(124, f"{output}\n{argv[0]}: no end within {limit_s:g} s")
    return CommandResult(exit_code, output)


def _read_until(descriptor: int, deadline: float) -> tuple[str, bool]:
    parts: list[bytes] = []
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    try:
        while poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            part = os.read(descriptor, 65536)
            if not part:
                return b"".join(parts).decode("utf-8", "replace"), True
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace"), False
    finally:
        os.close(descriptor)
