"""Keeps this host for one controller at a time: a lease in a file, renewed by lines on stdin.

    host_lock.py hold <base64 spec>   {"folder","token","owner","process","run","lease_s","take_over","held_in"}
    host_lock.py show <folder>        who holds it: the record with "expires_in_s"; {} for nobody

`hold` answers each line with one JSON object, {"held": true, "held_in": name} or {"held": false, "holder": record}, and
ends after the latter. `held_in` names the folder until the host is started again: a caller that held it there already
says so in its next spec, and has lost it where the record is another's, or gone: `holder` is {} then. Lines: `renew`
(the first one takes it), `run <id>`, `release`. When stdin ends, the record stays until it expires: the controller may
be about to come back, and the lease of one that died runs out. `take_over` is the token of a holder that the caller
knows to be dead, or ends by force.

A record that is not of the form that is written here holds nobody off: answers name it in "damaged". {"error": text}
stands for an answer where the lock on the file cannot be had.

A host may not have our scripts yet, so the controller passes this text to the interpreter: it imports none of ours.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
import time
from binascii import a2b_base64
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_RECORD = "controller.json"
_GUARD = "controller.lock"
_RECORD_MAX_BYTES = 16384
_TEXT_MAX_CHARS = 1000
#: No lease is longer; and no host's clock is past the year 2200.
_LEASE_MAX_S = 3600.0
_SINCE_MAX_S = 7.3e9
#: Whoever keeps the guard does it for milliseconds.
_GUARD_LIMIT_S = 10.0
_GUARD_PAUSE_S = 0.02


class GuardError(Exception):
    """The guard's lock cannot be had; the text says who keeps it."""


def now_s() -> float:
    """Seconds since this host was started: no step of the wall clock moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(folder: str) -> dict[str, Any]:
    """Who holds this host; {} where nobody does, the lease has run out, or the record is damaged."""
    record = _stored(folder)
    if not record or damage_of(record):
        return {}
    expires_in_s = record["expires_boot_s"] - now_s()
    # More than a complete lease ahead: written before this host was started again.
    if not 0 < expires_in_s <= record["lease_s"]:
        return {}
    return {**record, "expires_in_s": expires_in_s}


def damage_of(record: dict[str, Any]) -> str:
    """Why a record is none that was written here; empty where it is one."""
    if "damaged" in record:
        return str(record["damaged"])
    for key in ("token", "owner", "process", "run"):
        if not isinstance(record.get(key), str) or len(record[key]) > _TEXT_MAX_CHARS:
            return f"{key}: a text was expected"
    for key, most in (("lease_s", _LEASE_MAX_S), ("since_at", _SINCE_MAX_S), ("expires_boot_s", _SINCE_MAX_S)):
        value = record.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            return f"{key}: a number from 0 to {most:g} was expected"
    return ""


def _stored(folder: str) -> dict[str, Any]:
    """The record as it stands, whether its lease has run out or not; {} without one, {"damaged": why} for no record."""
    try:
        # Without O_NONBLOCK a pipe in its place would be waited for.
        descriptor = os.open(f"{folder}/{_RECORD}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"damaged": str(error.strerror)}
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {"damaged": "it is no regular file"}
        record = json.loads(os.read(descriptor, _RECORD_MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        return {"damaged": str(error)}
    finally:
        os.close(descriptor)
    return record if isinstance(record, dict) else {"damaged": "it holds no object"}


def _name_of(guard: int) -> str:
    """Names this folder as `stat -c %d.%i.%.9Y` does for its guard, which is never written.

    A folder made again after a reset, or after a reboot that emptied /run, has another name.
    """
    found = os.fstat(guard)
    return f"{found.st_dev}.{found.st_ino}.{found.st_mtime_ns // 10**9}.{found.st_mtime_ns % 10**9:09d}"


@contextmanager
def _guarded(folder: str) -> Iterator[int]:
    """One at a time: what the record says holds until the end of the block. Gives the guard's descriptor.

    Raises GuardError.
    """
    path = f"{folder}/{_GUARD}"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        guard = os.open(path, flags, 0o600)
    except FileNotFoundError:
        raise
    except OSError:
        _move_away(path)
        guard = os.open(path, flags, 0o600)
    try:
        # Whoever may open it can keep it.
        os.fchmod(guard, 0o600)
        _wait_for(guard, path)
        yield guard
    finally:
        os.close(guard)


def _wait_for(guard: int, path: str) -> None:
    deadline_s = time.monotonic() + _GUARD_LIMIT_S
    while True:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise GuardError(
                    f"{path} is locked for {_GUARD_LIMIT_S:g} s by {_locker_of(guard)}; end it, and try again"
                ) from None
            time.sleep(_GUARD_PAUSE_S)
        else:
            return


def _locker_of(guard: int) -> str:
    """Who keeps a lock, by /proc/locks: `1: FLOCK ADVISORY WRITE 4321 00:18:99 0 EOF`."""
    inode = str(os.fstat(guard).st_ino)
    with suppress(OSError):
        with open("/proc/locks", encoding="utf-8") as stream:
            rows = [line.split() for line in stream if "->" not in line]
        for row in rows:
            if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode and row[4].isdecimal():
                with open(f"/proc/{row[4]}/cmdline", encoding="utf-8", errors="replace") as stream:
                    return f"process {row[4]} ({stream.read(200).replace(chr(0), ' ').strip()})"
    return "a process that is not visible here"


def _move_away(path: str) -> None:
    """What is no file of ours makes room, and stays for whoever looks for it."""
    with suppress(FileNotFoundError):
        os.rename(path, f"{path}.damaged.{time.time_ns()}")


def _is_lost(folder: str, token: str) -> bool:
    """Whether another has had the host since we held it: the record is its own, or went when it let go."""
    return not os.path.lexists(f"{folder}/{_RECORD}") or _stored(folder).get("token", token) != token


def take(spec: dict[str, Any]) -> dict[str, Any]:
    """Take or renew the lease; the answer, as `hold` gives it. Raises GuardError."""
    folder = str(spec["folder"])
    with _guarded(folder) as guard:
        name, stored, holder = _name_of(guard), _stored(folder), read(folder)
        # Without this a controller that took the host, did its work and let go within a renewal would go unnoticed.
        if spec.get("held_in") == name and _is_lost(folder, spec["token"]):
            return {"held": False, "holder": holder}
        if holder and holder.get("token") not in (spec["token"], spec.get("take_over")):
            return {"held": False, "holder": holder}
        record = {key: spec[key] for key in ("token", "owner", "process", "run", "lease_s")}
        record["since_at"] = holder["since_at"] if holder.get("token") == spec["token"] else time.time()
        record["expires_boot_s"] = now_s() + float(spec["lease_s"])
        _write(folder, record)
    damage = damage_of(stored) if stored else ""
    return {"held": True, "held_in": name} | ({"damaged": damage} if damage else {})


def _write(folder: str, record: dict[str, Any]) -> None:
    path = f"{folder}/{_RECORD}"
    if os.path.isdir(path) and not os.path.islink(path):
        _move_away(path)
    part = f"{folder}/.{record['token']}.part"
    with open(part, "w", encoding="utf-8") as stream:
        json.dump(record, stream)
    os.rename(part, path)


def release(folder: str, token: str) -> None:
    """Let go, where it is still ours: between the look and the removal nobody can take it. Raises GuardError."""
    # Where the folder itself is gone (the host was reset meanwhile), there is nothing to let go of.
    with suppress(FileNotFoundError), _guarded(folder):
        if read(folder).get("token") == token:
            os.unlink(f"{folder}/{_RECORD}")


def hold(spec: dict[str, Any]) -> None:
    """Answer lines until the lease is released, lost, or nobody speaks any more."""
    for line in sys.stdin:
        verb, _, word = line.strip().partition(" ")
        try:
            os.makedirs(spec["folder"], mode=0o755, exist_ok=True)
            if verb == "release":
                release(spec["folder"], spec["token"])
                print('{"held": true}', flush=True)
                return
            if verb == "run":
                spec["run"] = word
            answer = take(spec)
        except (GuardError, OSError) as error:
            print(json.dumps({"error": str(error)}), flush=True)
            return
        print(json.dumps(answer), flush=True)
        if not answer["held"]:
            return
        spec["held_in"] = answer["held_in"]


def show(folder: str) -> dict[str, Any]:
    """Who holds this host, or {"damaged": why} where the record is none; {} for nobody."""
    stored = _stored(folder)
    damage = damage_of(stored) if stored else ""
    return {"damaged": damage} if damage else read(folder)


def main() -> None:
    """The verb is the first word."""
    verb, *words = sys.argv[1:] or [""]
    if verb == "hold" and len(words) == 1:
        hold(json.loads(a2b_base64(words[0].encode())))
    elif verb == "show" and len(words) == 1:
        print(json.dumps(show(words[0])))
    else:
        sys.exit("host_lock.py hold <spec> | show <folder>")


if __name__ == "__main__":
    main()
