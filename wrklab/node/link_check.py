"""A short transfer between two hosts of a lab, to learn what the network between them carries.

Sent as the text of `python3 -c`, so it imports nothing of ours; an ADDRESS is a number (host_look.py looks names up):
  link_check.py serve ADDRESS PORT,PORT,... LIMIT_S    asked by a line, says the first of these ports that is free, then
                                                       sends to whoever connects until LIMIT_S is over or stdin ends
  link_check.py fetch ADDRESS PORT LIMIT_S             reads for LIMIT_S or MAX_BYTES, says what came
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time

MAX_BYTES = 256 << 20
#: Connections that only tell how long connecting takes.
KNOCKS_COUNT = 5
CONNECT_LIMIT_S = 5.0
_BLOCK = bytes(1 << 16)


def serve(address: str, ports: list[int], limit_s: float) -> None:
    """Send to one peer after another."""
    until = time.monotonic() + limit_s
    try:
        listener = listen(address, ports)
    except OSError as error:
        answer({"error": str(error)})
        return
    answer({"port": listener.getsockname()[1]})
    while time.monotonic() < until:
        ready = select.select([listener, sys.stdin], [], [], until - time.monotonic())[0]
        if listener not in ready:
            return
        peer = listener.accept()[0]
        peer.settimeout(CONNECT_LIMIT_S)
        # The peer closes when it has enough.
        with peer, contextlib.suppress(OSError):
            while time.monotonic() < until:
                peer.sendall(_BLOCK)


def answer(told: dict[str, object]) -> None:
    """Say one thing, once it is asked for."""
    sys.stdin.readline()
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def listen(address: str, ports: list[int]) -> socket.socket:
    """A listener on the first port that is free. Raises OSError when none is."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in ports:
        with contextlib.suppress(OSError):
            return socket.create_server((address, port), family=family)
    raise OSError(f"none of the ports {ports} is free on {address}")


def fetch(address: str, port: int, limit_s: float) -> dict[str, float]:
    """Bytes, seconds, and the quickest of several connects in seconds (one round trip)."""
    connects = []
    for _ in range(KNOCKS_COUNT):
        began = time.monotonic()
        with socket.create_connection((address, port), timeout=CONNECT_LIMIT_S):
            connects.append(time.monotonic() - began)
    with socket.create_connection((address, port), timeout=CONNECT_LIMIT_S) as peer:
        began = time.monotonic()
        got = 0
        while got < MAX_BYTES and (left := began + limit_s - time.monotonic()) > 0:
            peer.settimeout(left)
            try:
                part = peer.recv(len(_BLOCK))
            except TimeoutError:
                break
            if not part:
                break
            got += len(part)
    return {"bytes": got, "took_s": time.monotonic() - began, "connect_s": min(connects)}


if __name__ == "__main__":
    word, where, which, seconds = sys.argv[1:5]
    if word == "serve":
        serve(where, [int(port) for port in which.split(",")], float(seconds))
    else:
        sys.stdout.write(json.dumps(fetch(where, int(which), float(seconds))) + "\n")
