"""When the connections of an open loop are opened: early, unless each would keep a worker of the server waiting."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.node.conftest import cell_folder, handmade_timetable


class _Ok(BaseHTTPRequestHandler):
    """Keeps a connection as long as its client does."""

    protocol_version = "HTTP/1.1"

    #: Head and body are two segments, and the second would wait 40 ms for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """`ok`."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Not written."""


class _OkOnce(_Ok):
    """Ends each connection with its answer."""

    protocol_version = "HTTP/1.0"


@pytest.mark.parametrize(
    ("server_class", "handler", "is_early"),
    [(ThreadingHTTPServer, _Ok, True), (HTTPServer, _OkOnce, False)],
    ids=["a thread for each connection", "one worker for all"],
)
def test_a_pool_is_open_before_the_timetable_where_that_keeps_no_worker_waiting(
    tmp_path: Path, server_class: type[HTTPServer], handler: type[_Ok], *, is_early: bool
) -> None:
    """The server is asked beside as many idle connections. Either way every request is answered at its time."""
    server = server_class(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    process = {"threads": 1, "connections": 20, "checks_answers": False, "timetable": handmade_timetable(100.0)}
    result = cell_folder(tmp_path, server.server_port, processes=[process], drain_s=0.5).run()
    server.shutdown()
    server.server_close()

    assert result.failed is None
    [wrk] = result.wrk
    assert wrk.report is not None
    slots = wrk.report.slots
    assert slots is not None
    assert slots.sent == slots.scheduled == wrk.report.requests > 50
    assert slots.opened == (0 if is_early else slots.sent)
    assert (wrk.report.latency.p50_us or 0) < 20_000
