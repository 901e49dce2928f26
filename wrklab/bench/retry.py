"""After a failure: are the hosts still there, and can they carry on?"""

from __future__ import annotations

import time

from wrklab.errors import HostError
from wrklab.hosts import node_calls
from wrklab.hosts.remote import RemoteHost
from wrklab.hosts.session import Session

#: How long a host may be away after a cell that waited for it as well; then the run ends, to be resumed some day.
HOST_GONE_LIMIT_S = 15.0
#: What a host needs free: a cell of 20,000 connections and a minute writes some 10 MiB; /run holds an environment.
ROOM_MIN_BYTES = {"/var/lib/wrklab/cells": 32 * 1024 * 1024, "/run/wrklab": 1024 * 1024}
_LOOK_AGAIN_S = 1.0


def revive(session: Session, limit_s: float = HOST_GONE_LIMIT_S) -> tuple[str, ...]:
    """Every host reached again, and nothing of the failed attempt left on it; names of those that rebooted meanwhile.

    Raises HostError where one stays unreachable for `limit_s` (on slow hosts as much longer as they are slow), or
    cannot be used: no sudo, no Python, a full disk.
    """
    limit_s *= session.timeout_scale
    until = time.monotonic() + limit_s
    has_rebooted = session.on_all(lambda host: _revive(host, until, limit_s))
    return tuple(name for name, rebooted in has_rebooted.items() if rebooted)


def _revive(host: RemoteHost, until: float, limit_s: float) -> bool:
    while True:
        try:
            host.open()
            cleaned = node_calls.clean_up(host)
            break
        except HostError as error:
            if time.monotonic() > until:
                raise HostError(f"{host.name}: of no use for {limit_s:g} s after a failed cell: {error}") from error
            time.sleep(_LOOK_AGAIN_S)
    for folder, free_bytes in cleaned.free_bytes.items():
        if free_bytes < ROOM_MIN_BYTES.get(folder, 0):
            raise HostError(
                f"{host.name}: its disk is full: {free_bytes:,} bytes are free in {folder}, "
                f"{ROOM_MIN_BYTES[folder]:,} are needed. Make room, then resume"
            )
    has_rebooted = host.boot_id not in ("", cleaned.boot_id)
    host.boot_id = cleaned.boot_id
    return has_rebooted
