"""wrk_report.lua in a real wrk, and our reading of what it writes against what wrk prints itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.node.conftest import NODE_DIR
from tests.unit.node.toy_server import ToyServer
from wrklab.extract.wrk_report import ProcessReport, latency_of, read_wrk_report
from wrklab.protocol.codec import decode_json
from wrklab.protocol.load import WrkLatency, WrkReport

_SCRIPT = NODE_DIR / "wrk_report.lua"

#: Loads the script twice, once with LuaJIT's FFI and once without, and has both report on the same run.
_BOTH_WAYS = f"""
local getenv = os.getenv
dofile("{_SCRIPT}")
local by_ffi = done
os.getenv = function(name) return name == "WRKLAB_NO_FFI" and "1" or getenv(name) end
dofile("{_SCRIPT}")
local by_loop = done
function done(summary, latency, requests)
  os.getenv = getenv
  by_ffi(summary, latency, requests)
  os.getenv = function(name) return getenv(name) .. (name == "WRKLAB_REPORT" and ".loop" or "") end
  by_loop(summary, latency, requests)
end
"""


@dataclass(frozen=True)
class StalledRun:
    """wrk -c10 for 4 s with a time-out of 1 s against a server that is silent for 1.2 s and for 0.5 s in every 2 s."""

    by_ffi: ProcessReport
    by_loop: ProcessReport
    stdout: str
    #: By which way each histogram was read, and the statistics that wrk gave with it.
    sources: tuple[str, str]
    of_wrk: tuple[WrkLatency, WrkLatency]


@pytest.fixture(scope="module")
def stalled(server: ToyServer, wrk: str, tmp_path_factory: pytest.TempPathFactory) -> StalledRun:
    """One run for all tests: it takes 4 s."""
    folder = tmp_path_factory.mktemp("stalled")
    (folder / "both.lua").write_text(_BOTH_WAYS)
    command = [wrk, "-t2", "-c10", "-d4s", "--timeout", "1s", "--latency", "-s", str(folder / "both.lua")]
    ended = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/stalls"],
        env=os.environ | {"WRKLAB_REPORT": str(folder / "report")},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert ended.stderr == ""
    ffi, loop = (decode_json(WrkReport, (folder / name).read_bytes()) for name in ("report", "report.loop"))
    return StalledRun(
        read_wrk_report(ffi, 10),
        read_wrk_report(loop, 10),
        ended.stdout,
        (ffi.histogram_source, loop.histogram_source),
        (ffi.latency, loop.latency),
    )


def test_the_fast_way_reads_what_the_slow_one_does(stalled: StalledRun) -> None:
    """The private layout is believed after a check, and this is the check of that."""
    assert stalled.sources == ("ffi", "loop")
    assert stalled.by_ffi.corrected == stalled.by_loop.corrected
    assert stalled.of_wrk[0] == stalled.of_wrk[1]


def test_undoing_the_correction_leaves_a_sample_for_each_answer_in_time(stalled: StalledRun) -> None:
    """With time-outs, which are requests but no samples."""
    report = stalled.by_ffi
    assert report.errors.timeout >= 10
    assert report.corrected.count > report.observed().count
    assert report.observed().count == report.requests - report.errors.timeout


def test_observed_latencies_show_the_server_as_it_is(stalled: StalledRun) -> None:
    """2 ms but for the stalls; wrk's own p90 is lifted by samples that it made up (how far, a busy machine decides)."""
    observed = latency_of(stalled.by_ffi.observed())
    assert observed is not None
    assert observed.p90_us < stalled.by_ffi.corrected.percentile(90) / 2


def test_our_statistics_of_wrks_histogram_are_those_that_wrk_gives(stalled: StalledRun) -> None:
    """The same definitions: percentiles to the µs, mean and standard deviation as floats agree."""
    ours, theirs = latency_of(stalled.by_ffi.corrected), stalled.of_wrk[0]
    assert ours is not None
    assert theirs.mean_us is not None
    assert theirs.stdev_us is not None
    for name in ("count", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.mean_us == pytest.approx(theirs.mean_us, rel=1e-12)
    assert ours.stdev_us == pytest.approx(theirs.stdev_us, rel=1e-9)


def test_counts_are_those_that_wrk_prints(stalled: StalledRun) -> None:
    """Its text is kept, and read by nobody but this test."""
    printed = re.search(r"(\d+) requests in ([\d.]+)s", stalled.stdout)
    timeouts = re.search(r"timeout (\d+)", stalled.stdout)
    assert printed
    assert timeouts
    assert stalled.by_ffi.requests == int(printed[1])
    assert stalled.by_ffi.duration_s == pytest.approx(float(printed[2]), abs=0.006)
    assert stalled.by_ffi.errors.timeout == int(timeouts[1])


def test_without_a_place_to_report_to_wrk_fails(server: ToyServer, wrk: str, tmp_path: Path) -> None:
    """A run whose numbers go nowhere does not end with 0."""
    command = [wrk, "-t1", "-c1", "-d1s", "-s", str(_SCRIPT), f"http://127.0.0.1:{server.port}/ok"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    assert ended.returncode != 0
    assert "WRKLAB_REPORT" in ended.stderr


@pytest.mark.parametrize(("path", "uncompared_ratio"), [("/302", 0), ("/500", 1)])
def test_another_status_than_200_is_counted_where_answers_are_compared(
    server: ToyServer, wrk: str, tmp_path: Path, path: str, uncompared_ratio: int
) -> None:
    """A redirect with the right body passes in wrk itself; an error that wrk counts is counted once."""
    for expected, wrong_ratio in (({"WRKLAB_EXPECT_BODY": "ok"}, 1), ({}, uncompared_ratio)):
        command = [wrk, "-t2", "-c4", "-d1s", "-s", str(_SCRIPT), f"http://127.0.0.1:{server.port}{path}"]
        environment = os.environ | {"WRKLAB_REPORT": str(tmp_path / "report")} | expected
        subprocess.run(command, env=environment, capture_output=True, check=True, timeout=10)
        report = read_wrk_report(decode_json(WrkReport, (tmp_path / "report").read_bytes()), 4)

        assert report.requests > 0
        assert report.errors.status == wrong_ratio * report.requests


def open_loop(  # noqa: PLR0913  a load
    wrk: str,
    folder: Path,
    url: str,
    *,
    rate_per_s: float,
    connections: int,
    slots_s: float,
    arrivals: str,
    threads: int = 1,
    is_stopped: bool = False,
) -> WrkReport:
    """What wrk reports of an open loop of so many slots a second and connections, over all of its threads.

    With `is_stopped` it gets no CPU for some ms, again and again, as on a machine whose neighbours take it.
    """
    command = [wrk, f"-t{threads}", f"-c{connections}", f"-d{slots_s + 1:g}s", "--timeout", "5s", "-s", str(_SCRIPT)]
    environment = os.environ | {
        "WRKLAB_REPORT": str(folder / "report"),
        "WRKLAB_RATE": str(rate_per_s / threads),
        "WRKLAB_ARRIVALS": arrivals,
        "WRKLAB_BEGIN": repr(time.time() + 0.3),
        "WRKLAB_SLOTS_S": str(slots_s),
        "WRKLAB_OFFSET_S": "0",
        "WRKLAB_THREAD_OFFSET_S": str(1 / rate_per_s),
        "WRKLAB_SEED": "7",
        "WRKLAB_CONNECTIONS": str(connections // threads),
    }
    with subprocess.Popen([*command, url], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as ended:
        while is_stopped and ended.poll() is None:
            ended.send_signal(signal.SIGSTOP)
            time.sleep(0.03)
            ended.send_signal(signal.SIGCONT)
            time.sleep(0.03)
        _, errors = ended.communicate(timeout=10)
    assert (ended.returncode, errors) == (0, b"")
    return decode_json(WrkReport, (folder / "report").read_bytes())


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Its address, while it serves."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("arrivals", ["poisson", "constant"])
def test_an_open_loop_sends_by_its_timetable(server: ToyServer, wrk: str, tmp_path: Path, arrivals: str) -> None:
    """200 slots a second for 2 s on two threads: all sent and answered; the time in flight is that of the latencies."""
    url = f"http://127.0.0.1:{server.port}/hold"
    report = open_loop(wrk, tmp_path, url, rate_per_s=200, connections=100, slots_s=2, arrivals=arrivals, threads=2)

    slots = report.slots
    assert slots is not None
    assert slots.sent == slots.scheduled == sum(slots.quarters_scheduled)
    if arrivals == "constant":
        assert slots.quarters_scheduled == (100, 100, 100, 100)
    else:
        assert 320 < slots.scheduled < 480
    # Each of the last quarter's waits ends behind the timetable.
    assert slots.sent - report.requests == 0
    assert sum(slots.quarters_answered) < slots.sent
    # The hold is 100 ms: by the area under the number in flight, about as much as by the histogram.
    mean_us = report.latency.mean_us
    assert mean_us is not None
    waiting_s = sum(slots.quarters_waiting_s)
    assert waiting_s == pytest.approx(mean_us / 1e6 * slots.sent, rel=0.2)


class _OneAtATime(BaseHTTPRequestHandler):
    """As a worker that waits for the request of the connection that it accepted, and ends it with its answer."""

    def do_GET(self) -> None:
        """`ok`, after 4 ms."""
        time.sleep(0.004)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Not written."""


@pytest.mark.parametrize("threads", [1, 2])
def test_connections_are_opened_when_their_request_is_due(wrk: str, tmp_path: Path, threads: int) -> None:
    """50 requests a second on 40 connections to a server of one worker: none waits for the slot of another one."""
    with serving(HTTPServer(("127.0.0.1", 0), _OneAtATime)) as url:
        report = open_loop(
            wrk, tmp_path, url, rate_per_s=50, connections=40, slots_s=3, arrivals="constant", threads=threads
        )

    slots = report.slots
    assert slots is not None
    assert slots.sent == slots.scheduled == report.requests == 150
    assert slots.opened == report.errors.write == 150
    assert slots.idle_closed == 0
    assert read_wrk_report(report, 40).errors.total == 0
    # All at once the connections of wrk's start would fill the accept queue of five: packets are sent again after 1 s.
    assert slots.latest_s < 0.5
    assert (report.latency.p50_us or 0) < 15_000


class _Closing(BaseHTTPRequestHandler):
    """HTTP/1.0: the connection ends with its answer. Many answers come at once, every 50 ms."""

    def do_GET(self) -> None:
        """`ok`."""
        time.sleep(0.05 - time.time() % 0.05)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Not written."""


class _CrowdedServer(ThreadingHTTPServer):
    """Its accept queue is short, so that some connections take longer to open than others."""

    request_queue_size, daemon_threads = 32, True


@pytest.mark.parametrize("is_early", [False, True])
def test_connections_that_close_after_each_answer_are_told_apart(
    wrk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_early: bool
) -> None:
    """While wrk does not keep up, many are opened and asked for in one turn of its loop: each has its slot, once."""
    if is_early:
        monkeypatch.setenv("WRKLAB_OPEN_EARLY", "1")
    with serving(_CrowdedServer(("127.0.0.1", 0), _Closing)) as url:
        report = open_loop(
            wrk, tmp_path, url, rate_per_s=600, connections=600, slots_s=3, arrivals="poisson", is_stopped=True
        )

    slots = report.slots
    assert slots is not None
    # A machine whose neighbours take it serves less, but no slot is taken twice.
    assert 0.2 * slots.scheduled < report.requests <= slots.sent <= slots.scheduled
    assert slots.opened == report.errors.write
    # No server closed one that waited for its slot.
    assert slots.idle_closed == report.errors.read == 0


class _Impatient(BaseHTTPRequestHandler):
    """Closes a connection that rests for 0.5 s."""

    protocol_version, timeout = "HTTP/1.1", 0.5

    def do_GET(self) -> None:
        """`ok`."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Not written."""


def test_connections_that_rest_too_long_are_opened_again_and_cost_no_slot(wrk: str, tmp_path: Path) -> None:
    """80 slots a second on 60 connections, each of which rests for 0.75 s: slots are taken once, at their time."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Impatient)
    server.daemon_threads = True
    with serving(server) as url:
        report = open_loop(wrk, tmp_path, url, rate_per_s=80, connections=60, slots_s=3, arrivals="poisson")

    slots = report.slots
    assert slots is not None
    assert slots.sent == slots.scheduled
    # Those that rest at the end were closed as well.
    assert 100 < slots.idle_closed <= report.errors.read
    # A server may close a connection in the very moment in which a request goes out: wrk sends that one again.
    assert read_wrk_report(report, 60).errors.read <= 0.03 * slots.sent
    assert slots.sent <= report.requests <= 1.03 * slots.sent
    # Sent at once on connections that were open again: nobody waited for a connection.
    assert (report.latency.p99_us or 0) < 50_000
