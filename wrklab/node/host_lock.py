"""Keeps this host for one controller at a time: a lease in a file, renewed by lines on stdin.

    host_lock.py hold <base64 spec>   {"folder","token","owner","process","run","lease_s","take_over","held_in"}
    host_lock.py show <folder>        who holds it: the record with "expires_in_s", or {}

`hold` answers each line with one JSON object, {"held": true, "held_in": name} or {"held": false, "holder": record}, and
ends after the latter. `held_in` names the folder until the host is started anew: a caller that held it there already
says so in its next spec, and has lost it where the record is another's, or gone: `holder` is {} then. Lines: `renew`
(the first one takes it), `run <id>`, `release`. When stdin ends, the record stays until it expires: the controller may
be about to come back, and one that died lets go in that way. `take_over` is the token of a holder that the caller knows
to be dead.

A host may not have our scripts yet, so the controller passes this text to the interpreter: it imports none of ours.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from binascii import a2b_base64
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_RECORD = "controller.json"


def now_s() -> float:
    """Seconds since this host was started: no step of the wall clock moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(folder: str) -> dict[str, Any]:
    """Who holds this host; {} where nobody does, or the lease has run out."""
    record = _stored(folder)
    try:
        expires_in_s = float(record["expires_boot_s"]) - now_s()
    except (ValueError, KeyError, TypeError):
        return {}  # none, or not of our making: it holds nobody off
    # More than a whole lease ahead: written before this host was started anew.
    if not 0 < expires_in_s <= float(record.get("lease_s", 0)):
        return {}
    return {**record, "expires_in_s": expires_in_s}


def _stored(folder: str) -> dict[str, Any]:
    """The record as it stands, whether its lease has run out or not; {} where it is none."""
    try:
        with open(f"{folder}/{_RECORD}", encoding="utf-8") as stream:
            record = json.load(stream)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _name_of(guard: int) -> str:
    """Tells this folder from one made anew after a reset, or a reboot that emptied /run: its guard is never written."""
    found = os.fstat(guard)
    return f"{found.st_dev}.{found.st_ino}.{found.st_mtime_ns}"


@contextmanager
def _guarded(folder: str) -> Iterator[int]:
    """One at a time: what the record says holds until the end of the block. Gives the guard's descriptor."""
    with open(f"{folder}/controller.lock", "a", encoding="utf-8") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield guard.fileno()


def _is_lost(folder: str, token: str) -> bool:
    """Whether another has had the host since we held it: the record is its own, or went when it let go."""
    return not os.path.exists(f"{folder}/{_RECORD}") or _stored(folder).get("token", token) != token


def take(spec: dict[str, Any]) -> dict[str, Any]:
    """Take or renew the lease; the answer, as `hold` gives it."""
    folder = str(spec["folder"])
    with _guarded(folder) as guard:
        name, holder = _name_of(guard), read(folder)
        # Without this a controller that took the host, did its work and let go within a renewal would go unnoticed.
        if spec.get("held_in") == name and _is_lost(folder, spec["token"]):
            return {"held": False, "holder": holder}
        if holder and holder.get("token") not in (spec["token"], spec.get("take_over")):
            return {"held": False, "holder": holder}
        record = {key: spec[key] for key in ("token", "owner", "process", "run", "lease_s")}
        record["since_at"] = holder["since_at"] if holder.get("token") == spec["token"] else time.time()
        record["expires_boot_s"] = now_s() + float(spec["lease_s"])
        with open(f"{folder}/{_RECORD}.part", "w", encoding="utf-8") as stream:
            json.dump(record, stream)
        os.rename(f"{folder}/{_RECORD}.part", f"{folder}/{_RECORD}")
    return {"held": True, "held_in": name}


def release(folder: str, token: str) -> None:
    """Let go, where it is still ours: between the look and the removal nobody can take it."""
    # Where the folder itself is gone (the host was reset meanwhile), there is nothing to let go of.
    with suppress(FileNotFoundError), _guarded(folder):
        if read(folder).get("token") == token:
            os.unlink(f"{folder}/{_RECORD}")


def hold(spec: dict[str, Any]) -> None:
    """Answer lines until the lease is released, lost, or nobody speaks any more."""
    os.makedirs(spec["folder"], exist_ok=True)
    for line in sys.stdin:
        verb, _, word = line.strip().partition(" ")
        if verb == "release":
            release(spec["folder"], spec["token"])
            print('{"held": true}', flush=True)
            return
        if verb == "run":
            spec["run"] = word
        answer = take(spec)
        print(json.dumps(answer), flush=True)
        if not answer["held"]:
            return
        spec["held_in"] = answer["held_in"]


def main() -> None:
    """The verb is the first word."""
    verb, *words = sys.argv[1:] or [""]
    if verb == "hold" and len(words) == 1:
        hold(json.loads(a2b_base64(words[0].encode())))
    elif verb == "show" and len(words) == 1:
        print(json.dumps(read(words[0])))
    else:
        sys.exit("host_lock.py hold <spec> | show <folder>")


if __name__ == "__main__":
    main()
