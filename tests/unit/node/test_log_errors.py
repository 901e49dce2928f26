"""Errors in servers' logs: lines as the servers wrote them on Debian 12."""

from __future__ import annotations

from pathlib import Path

import log_errors
import pytest
from log_errors import count_errors, read_errors

_TRACEBACK = b"""Exception occurred during processing of request from ('10.0.0.1', %d)
Traceback (most recent call last):
  File "/usr/lib/python3.11/threading.py", line 957, in start
    _start_new_thread(self._bootstrap, ())
RuntimeError: can't start new thread
"""


def test_every_traceback_is_counted() -> None:
    """The last line of each; the line before it that raised is none."""
    log = b" * Running on port 8080\n" + b"".join(_TRACEBACK % number for number in range(1200))
    assert count_errors(log) == [{"text": "RuntimeError: can't start new thread", "count": 1200}]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"  | RuntimeError: no running event loop", "RuntimeError: no running event loop"),
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
    assert count_errors(b"started\n" + line) == [{"text": text, "count": 1}]


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
    assert count_errors(line) == []


def test_numbers_do_not_tell_errors_apart_and_the_most_frequent_comes_first() -> None:
    """Pids and addresses differ; five texts at most."""
    lines = [b"[x] [1] [CRITICAL] WORKER TIMEOUT (pid:%d)" % number for number in range(3)]
    lines += [b"%sError: once" % name.encode() for name in "ABCDEF"]
    found = count_errors(b"\n".join(lines))
    assert found[0] == {"text": "WORKER TIMEOUT (pid:0)", "count": 3}
    assert len(found) == 5


def test_a_long_log_is_read_to_a_limit_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is not there has no errors."""
    monkeypatch.setattr(log_errors, "BYTES_MAX", 1000)
    path = tmp_path / "server.log"
    path.write_bytes(b"ValueError: x\n" + b"." * 1000)
    assert read_errors(str(path)) == {"errors": [{"text": "ValueError: x", "count": 1}], "is_whole": False}
    assert read_errors(str(tmp_path / "none")) == {"errors": [], "is_whole": True}
