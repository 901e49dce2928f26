"""What a unit leaves: errors in servers' logs as they wrote them on Debian 12, and unit files without secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wrklab.node import unit_traces
from wrklab.node.unit_traces import count_errors, read_errors
from wrklab.protocol.server import LoggedError, LoggedErrors

#: `systemctl show --property=Id,FragmentPath,DropInPaths` of systemd 252 for a unit with a drop-in and an unknown one.
SHOWN = """\
Id=wrklab-go_net_http.service
FragmentPath={folder}/wrklab-go_net_http.service
DropInPaths={folder}/override.conf

Id=wrklab-nope.service
FragmentPath=
DropInPaths=
"""
_TRACEBACK = b"""Exception occurred during processing of request from ('10.0.0.1', %d)
Traceback (most recent call last):
  File "/usr/lib/python3.11/threading.py", line 957, in start
    _start_new_thread(self._bootstrap, ())
RuntimeError: can't start new thread
"""


def test_every_traceback_is_counted() -> None:
    """The last line of each; the line before it that raised is none."""
    log = b" * Running on port 8080\n" + b"".join(_TRACEBACK % number for number in range(1200))
    assert count_errors(log) == (LoggedError(text="RuntimeError: can't start new thread", count=1200),)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"  | RuntimeError: no running event loop", "RuntimeError: no running event loop"),
        (
            b"psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec",
            "psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec",
        ),
        (
            b"peewee.MaxConnectionsExceeded: Exceeded maximum connections.",
            "peewee.MaxConnectionsExceeded: Exceeded maximum connections.",
        ),
        (b"sanic.exceptions.ServerError: down", "sanic.exceptions.ServerError: down"),
        (b"panic: runtime error: index out of range [3]", "panic: runtime error: index out of range [3]"),
        (
            b"libgomp: Thread creation failed: Resource temporarily unavailable",
            "libgomp: Thread creation failed: Resource temporarily unavailable",
        ),
        (b"[2026-11-21 02:52:48 +0000] [14032] [CRITICAL] WORKER TIMEOUT (pid:7)", "WORKER TIMEOUT (pid:7)"),
        (b"ERROR:    Exception in ASGI application", "Exception in ASGI application"),
        (
            b"2026/11/21 02:52:48 [alert] 12#12: *77 65535 worker_connections are not enough",
            "65535 worker_connections are not enough",
        ),
        (b"KeyError", "KeyError"),
    ],
)
def test_each_way_of_saying_it(line: bytes, text: str) -> None:
    """Also as the last line of a log, without a line break."""
    assert count_errors(b"started\n" + line) == (LoggedError(text=text, count=1),)


@pytest.mark.parametrize(
    "line",
    [
        b'10.0.0.1 - - "GET /health HTTP/1.1" 200 -',
        b'    raise RuntimeError("can\'t start new thread")',
        b"[2026-11-21 02:52:48 +0000] [14032] [INFO] Booting worker with pid: 14033",
        b"The word Error: within a sentence",
        b"2026/11/21 02:52:48 [notice] 12#12: start worker processes",
    ],
)
def test_what_is_no_error(line: bytes) -> None:
    """Access logs, source lines and notices."""
    assert count_errors(line) == ()


def test_numbers_do_not_tell_errors_apart_and_the_most_frequent_comes_first() -> None:
    """Pids and addresses differ; five texts at most."""
    lines = [b"[x] [1] [CRITICAL] WORKER TIMEOUT (pid:%d)" % number for number in range(3)]
    lines += [b"%sError: once" % name.encode() for name in "ABCDEF"]
    found = count_errors(b"\n".join(lines))
    assert found[0] == LoggedError(text="WORKER TIMEOUT (pid:0)", count=3)
    assert len(found) == 5


def test_a_long_log_is_read_to_a_limit_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is not there has no errors."""
    monkeypatch.setattr(unit_traces, "LOG_MAX_BYTES", 1000)
    path = tmp_path / "server.log"
    path.write_bytes(b"ValueError: x\n" + b"." * 1000)
    only = (LoggedError(text="ValueError: x", count=1),)
    assert read_errors(str(path)) == LoggedErrors(errors=only, is_complete=False)
    assert read_errors(str(tmp_path / "none")) == LoggedErrors(errors=(), is_complete=True)


def test_a_units_text_comes_with_its_drop_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own file first; a unit that systemd does not know is left out."""
    (tmp_path / "wrklab-go_net_http.service").write_text("[Service]\nExecStart=/opt/server\n")
    (tmp_path / "override.conf").write_text("[Service]\nCPUQuota=10%\n")
    (tmp_path / "shown").write_text(SHOWN.format(folder=tmp_path))
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\ncat {tmp_path}/shown\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    found = unit_traces.unit_texts(["wrklab-go_net_http.service", "wrklab-nope.service"]).units

    assert list(found) == ["wrklab-go_net_http.service"]
    assert [file.path for file in found["wrklab-go_net_http.service"]] == [
        f"{tmp_path}/wrklab-go_net_http.service",
        f"{tmp_path}/override.conf",
    ]
    assert "CPUQuota=10%" in found["wrklab-go_net_http.service"][1].text


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Environment=DB_PASSWORD=hunter2 WRKLAB_PORT=8080", "Environment=DB_PASSWORD=(blanked) WRKLAB_PORT=8080"),
        ('Environment="API_KEY=hunter2 3"', 'Environment="API_KEY=(blanked)"'),
        ('Environment=SENTRY_DSN="hunter2 3" A=1', "Environment=SENTRY_DSN=(blanked) A=1"),
        ("ExecStart=/opt/app --auth_token=hunter2 -w 4", "ExecStart=/opt/app --auth_token=(blanked) -w 4"),
        ("Environment=WRKLAB_HOLD_MS=100 LANG=C.UTF-8", "Environment=WRKLAB_HOLD_MS=100 LANG=C.UTF-8"),
    ],
)
def test_values_of_secrets_are_blanked_and_nothing_else(line: str, kept: str) -> None:
    """By the name of the variable."""
    assert unit_traces.blanked(line) == kept
