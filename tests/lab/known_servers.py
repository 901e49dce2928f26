"""A server of known behaviour behind a real variant's commands, so that `invoke bench` meets what it must not believe.

    with known_server(session, "go_net_http", "status_500", first_right=50):
        invoke("bench", "--variant", "go_net_http", ...)

The variant's unit runs known_server_program.py instead of its own command, by a drop-in below /run of the server node
that is gone afterwards; port, user, sandbox and every other line of the unit stay. A bench looks with a GET before it
begins, and warms up: `first_right` requests are answered well, so that the behaviour shows in the window.

behaviour              each request that meets it (after the hold of 100 ms)
right                  `ok`
status_500 wrong_body  is answered so; empty: 200 without a body; redirect: 302
late                   `ok` after `late_s` instead of the hold
close_after_answer     `ok`, and the connection is closed
close_without_answer   only that; reset: by RST
cut_off                an answer of which most is missing
never                  no answer; the connection stays open; drip: a byte of one now and then
hang                   the process stops (SIGSTOP); die: it exits with 3
burn                   `ok` after 1 ms of CPU
stall                  `ok` after the hold, and in the first second of every five not before its end
pool                   `ok` after the hold with one of `workers` workers, for whom requests queue (M/D/k)
crowd                  `ok` after the hold, or after `late_s` where more than `per_s` came in the last second
keep_alive_workers     none of the above: `workers` threads, each serving one connection until its other end closes it;
                       without a hold each answer takes 1 ms of CPU
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wrklab.hosts.session import Session

_PROGRAM = Path(__file__).with_name("known_server_program.py")
_FOLDER = "/run/wrklab-known-server"
_PUT = 'mkdir -p "$1" "$2" && printf %s "$3" > "$1/program.py" && printf %s "$4" > "$2/known_server.conf"'
_REMOVE = 'rm -rf "$1" "$2/known_server.conf"; rmdir --ignore-fail-on-non-empty "$2"'


@contextmanager
def known_server(session: Session, variant: str, behaviour: str, **options: float) -> Iterator[None]:
    """Behind `variant`'s unit runs a server of this behaviour for as long as the block does.

    `options`: first_right, every (each so-many-th request meets it; 1: all), hold_ms, late_s, workers, per_s, backlog.
    Changes nothing of a unit that runs already. Raises HostError.
    """
    found = session.catalogue.variants[variant]
    drop_ins = f"/run/systemd/system/{found.unit}.d"
    words = [
        *("/usr/bin/python3", "-I", "-S", f"{_FOLDER}/program.py", str(session.port_of(found)), behaviour),
        *(word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))),
    ]
    lines = f"[Service]\nExecStart=\nExecStart={shlex.join(words)}\n"
    server = session.server
    try:
        server.run(["sh", "-ec", _PUT, "put", _FOLDER, drop_ins, _PROGRAM.read_text(), lines], limit_s=10)
        server.run(["systemctl", "daemon-reload"], limit_s=20)
        yield
    finally:
        server.run(["sh", "-c", _REMOVE, "remove", _FOLDER, drop_ins], limit_s=10)
        server.run(["systemctl", "daemon-reload"], limit_s=20)
