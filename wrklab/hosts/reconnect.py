"""Calls over a connection that may be lost: it is opened again for a while, and the call is made or followed again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from wrklab.errors import HostError
from wrklab.hosts.remote import ConnectionLostError, RemoteHost

Answer = TypeVar("Answer")

#: How long after a lost connection a host is tried again; what runs there goes on meanwhile.
RECONNECT_LIMIT_S = 20.0
#: An sshd that is being restarted may end the first connections after it as well.
_LOSSES_MAX = 5


def reconnect(host: RemoteHost) -> None:
    """Open a lost connection again, trying for a while. Raises HostError when it stays lost."""
    until = time.monotonic() + RECONNECT_LIMIT_S * host.timeout_scale
    while True:
        try:
            host.open()
        except HostError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return


def retry_on_disconnect(
    host: RemoteHost, call: Callable[[], Answer], again: Callable[[], Answer], on_loss: Callable[[str], None]
) -> Answer:
    """What `call` gives or, each time that the connection is lost and made again, what `again` gives.

    `on_loss` hears why. Raises HostError when the host stays lost, or its connections end one after the other.
    """
    for _ in range(_LOSSES_MAX):
        try:
            return call()
        except ConnectionLostError as error:
            on_loss(str(error))
            reconnect(host)
            call = again
    return call()
