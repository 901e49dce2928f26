"""A cell's load on a generator, for real: load_cell.py with wrk against servers that do right and wrong on loopback."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from tests.pace import allowed_s
from tests.unit.node.conftest import PYTHON, CellFolder, cell_folder, target
from tests.unit.node.toy_server import ToyServer, Worker
from wrklab.extract.stalls import read_stalls
from wrklab.extract.wrk_report import add_latencies, read_wrk_report
from wrklab.node import node_io
from wrklab.protocol import codec
from wrklab.protocol.load import AnswerKind, FailureKind, LoadFailure, LoadResult, WrkReport

Part = TypeVar("Part")

pytestmark = pytest.mark.usefixtures("wrk")

CHECKING = [{"threads": 2, "connections": 20, "checks_answers": True}]


def there(part: Part | None) -> Part:
    """A part of a result that must be there."""
    assert part is not None
    return part


def failure(result: LoadResult) -> LoadFailure:
    """Why a cell failed, which it must have."""
    return there(result.failed)


def reports(result: LoadResult) -> list[WrkReport]:
    """The reports of all wrk processes, each of which must have left one."""
    return [there(process.report) for process in result.wrk]


@pytest.fixture(autouse=True)
def _first_get_is_the_first(server: ToyServer) -> None:
    server.counter = itertools.count(1)
    server.worker = Worker()


def test_a_cell_from_ready_to_verified(server: ToyServer, tmp_path: Path) -> None:
    """Two wrk processes begin at one mark; their connections are open; every phase is told."""
    folder = cell_folder(
        tmp_path,
        server.port,
        target=target(server, "/hold"),
        warmup={"duration_s": 0.3, "connections": 4, "threads": 2},
        processes=[
            {"threads": 2, "connections": 40, "checks_answers": False},
            {"threads": 1, "connections": 20, "checks_answers": True},
        ],
    )
    result = folder.run()
    assert result.failed is None
    assert there(result.ready).attempts == 1
    assert 0.1 <= there(result.ready).first_answer_s < 0.5
    assert there(result.settle).is_calm
    assert there(there(result.warmup).report).duration_us / 1e6 == pytest.approx(0.35, abs=0.1)
    assert folder.phases() == ["ready", "warmup", "settle", "window", "verify_after"]
    assert all(there(phase.end_at_s) >= phase.start_at_s for phase in result.phases)
    assert [count.states["ESTABLISHED"] for count in result.open_connections] == [60, 60, 60]
    assert there(result.verify_after).kind is AnswerKind.RIGHT
    assert [report.bodies_checked for report in reports(result)] == [False, True]
    assert there(result.paused).stopped_s == 0.0
    assert 0.15 < there(result.paused).gap_s < 0.5
    _threads_were_looked_at(result, [2, 1])
    _begins_together(result)
    _is_timed_by_the_hold(result)


def _threads_were_looked_at(result: LoadResult, event_loops: list[int]) -> None:
    looked = there(result.wrk_threads)
    assert 0.45 < looked.elapsed_s < 1.3  # a look that comes too late on a busy machine is left out
    assert [len(process) - 1 for process in looked.processes] == event_loops
    assert all(thread.run_s > 0 for process in looked.processes for thread in process)
    assert sum(thread.run_s for process in looked.processes for thread in process) < 1.0


def test_connections_that_hang_are_counted(server: ToyServer, tmp_path: Path) -> None:
    """Only the first GET is answered: all twenty of wrk wait through the whole window."""
    result = cell_folder(tmp_path, server.port, target=target(server, "/once_then/never"), duration_s=3.0).run()
    assert there(result.silences).answered == {}
    assert sum(there(result.silences).unanswered.values()) == 20
    assert all(step >= 20 for step in there(result.silences).unanswered)


def test_connections_that_only_drip_are_counted(server: ToyServer, tmp_path: Path) -> None:
    """A byte of an answer now and then is none, and no silence either."""
    result = cell_folder(tmp_path, server.port, target=target(server, "/once_then/drip"), duration_s=3.0).run()
    assert there(result.silences).trickling.count == 20
    assert 1.0 < there(result.silences).trickling.seen_s < 1.6
    figures = read_stalls(result).figures(None)
    assert (figures["connections_unanswered"], figures["connections_silent"]) == (20, 0)


def test_answers_that_come_do_not_drip(server: ToyServer, tmp_path: Path) -> None:
    """Several between two looks, on each connection."""
    result = cell_folder(tmp_path, server.port, target=target(server, "/hold"), duration_s=1.0).run()
    assert there(result.silences).trickling.count == 0


def test_a_stopped_wrk_is_found_out(server: ToyServer, tmp_path: Path) -> None:
    """For 0.8 s, between the looks at its threads and connections."""
    folder = cell_folder(tmp_path, server.port, target=target(server, "/hold"), duration_s=3.0)
    with subprocess.Popen(folder.command()) as cell:
        [wrk] = wait_for_wrk(folder, cell, 1)
        os.kill(wrk, signal.SIGSTOP)
        stopped_at_s = time.monotonic()
        time.sleep(0.8)
        os.kill(wrk, signal.SIGCONT)
        stopped_s = time.monotonic() - stopped_at_s
        assert cell.wait(timeout=20) == 0
    assert read_stalls(folder.result()).paused_s == pytest.approx(stopped_s, abs=0.3)


def _begins_together(result: LoadResult) -> None:
    starts = [there(report.started_at) for report in reports(result)]
    assert max(starts) - min(starts) < 0.1
    assert 0 <= there(result.window).start_at_s - there(result.window).mark_at_s < 0.1
    moments = [float(line.split('"at":')[1].split(",")[0]) for line in result.samples]
    assert moments[0] <= there(result.window).start_at_s
    assert moments[-1] >= there(result.window).end_at_s


def _is_timed_by_the_hold(result: LoadResult) -> None:
    read = [read_wrk_report(report, connections) for report, connections in zip(reports(result), (40, 20), strict=True)]
    latencies = add_latencies(read)
    assert latencies.correction_note == ""
    assert latencies.observed.count == sum(report.requests for report in read)
    assert 100_000 <= latencies.observed.percentile(50) < 130_000


def test_wrong_bodies_are_counted_when_every_body_is_compared(server: ToyServer, tmp_path: Path) -> None:
    """One in ten."""
    cell = cell_folder(tmp_path, server.port, target=target(server, "/each_tenth_wrong"), processes=CHECKING)
    report = reports(cell.run())[0]
    assert report.errors.body == pytest.approx(report.requests / 10, rel=0.05)
    assert report.bodies_checked


def test_bytes_of_cut_off_answers_are_not_the_servers_wrong_bodies(server: ToyServer, tmp_path: Path) -> None:
    """Answers that break off are read errors, each."""
    cell = cell_folder(tmp_path, server.port, target=target(server, "/once_then/cut_off"), processes=CHECKING)
    result = cell.run()
    errors = reports(result)[0].errors
    assert errors.read > 0
    assert errors.body == 0
    verified = there(result.verify_after)
    assert (verified.kind, verified.found) == (AnswerKind.WRONG, "an answer cut off after 2 of 100 bytes")


def test_a_broken_script_fails_the_cell(server: ToyServer, tmp_path: Path) -> None:
    """wrk runs on without it and exits with 0: only its report tells."""
    (tmp_path / "broken.lua").write_text("this is no Lua\n")
    result = cell_folder(tmp_path, server.port, script=str(tmp_path / "broken.lua")).run()
    assert failure(result).phase == "window"
    assert "wrk process 1 of 1 left no complete report (exit 0)" in failure(result).text
    assert "broken.lua" in failure(result).text


def test_a_server_that_falls_silent_is_found_out_afterwards(server: ToyServer, tmp_path: Path) -> None:
    """wrk itself says 0 requests, 0 errors."""
    result = cell_folder(tmp_path, server.port, target=target(server, "/once_then/never")).run()
    assert result.failed is None
    assert reports(result)[0].requests == 0
    assert codec.encode(reports(result)[0].latency) == dict.fromkeys(
        ("min_us", "max_us", "mean_us", "stdev_us", "p50_us", "p90_us", "p99_us", "p999_us")
    ) | {"count": 0}
    assert reports(result)[0].latency.p50_us is None
    assert read_wrk_report(reports(result)[0], 20).corrected.count == 0
    assert there(result.verify_after).found == "timed out: connected, but no complete answer within 1 s"


@pytest.mark.parametrize(
    ("then", "kind", "found"),
    [
        ("never", AnswerKind.STILL_QUEUED, "timed out: connected, but no complete answer within"),
        ("500", AnswerKind.WRONG, "status 500 instead of 200"),
        ("close", AnswerKind.WRONG, "the connection was closed without an answer"),
        ("ok", AnswerKind.RIGHT, ""),
    ],
)
def test_what_is_behind_a_long_queue_is_not_awaited(
    server: ToyServer, tmp_path: Path, then: str, kind: AnswerKind, found: str
) -> None:
    """200 connections at 50 requests/s are 4 s, the limit is 1 s; whatever comes at once is seen all the same."""
    result = _after_a_worker(server, tmp_path, f"20/100000/{then}")
    verified = there(result.verify_after)
    report = there(result.wrk[0].report)

    assert (verified.kind, verified.found[: len(found)]) == (kind, found)
    # By what it answered: on a busy machine fewer, and the queue is longer.
    assert there(verified.queue_s) == pytest.approx(200 * report.duration_us / 1e6 / report.requests, rel=1e-6)
    assert there(verified.queue_s) > 2.8
    assert verified.took_s < 0.9


@pytest.mark.parametrize(
    ("worker", "queue_s"),
    [("1/100000/never", (0.1, 0.9)), ("5/60/never", (2.0, 20.0))],
    ids=["after the window", "within the window"],
)
def test_a_server_that_hangs_is_given_its_time(
    server: ToyServer, tmp_path: Path, worker: str, queue_s: tuple[float, float]
) -> None:
    """One whose queue is short; and one whose low rate comes from hanging, 0.3 s after the window began."""
    verified = there(_after_a_worker(server, tmp_path, worker, duration_s=2.0).verify_after)

    assert verified.kind is AnswerKind.TIMED_OUT
    assert queue_s[0] < there(verified.queue_s) < queue_s[1]
    assert verified.took_s >= 1.0


def _after_a_worker(server: ToyServer, folder: Path, worker: str, duration_s: float = 1.0) -> LoadResult:
    processes = [{"threads": 2, "connections": 200, "checks_answers": False}]
    cell = cell_folder(
        folder, server.port, target=target(server, f"/worker/{worker}"), processes=processes, duration_s=duration_s
    )
    return cell.run()


def wait_for_phase(cell: CellFolder, phase: str) -> None:
    """Until a running cell has announced the phase."""
    until = time.monotonic() + 20
    while phase not in cell.phases():
        assert time.monotonic() < until
        time.sleep(0.01)


def wait_for_wrk(cell: CellFolder, process: subprocess.Popen[bytes], count: int) -> list[int]:
    """Until so many wrk processes have opened connections in the window of a running cell; their process ids."""
    wait_for_phase(cell, "window")
    until = time.monotonic() + 20
    while True:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if len(children) == count and all(_has_sockets(pid) for pid in children):
            return [int(pid) for pid in children]
        assert time.monotonic() < until, children
        time.sleep(0.01)


def _wait_for_answers(server: ToyServer, count: int) -> None:
    """Until the server has counted so many more requests; each look counts as one itself."""
    began, until = next(server.counter), time.monotonic() + 20
    for looks in itertools.count(1):
        if next(server.counter) - began - looks >= count:
            return
        assert time.monotonic() < until
        time.sleep(0.01)


def _has_sockets(pid: str) -> bool:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if str(path.readlink()).startswith("socket:"):
                return True
    return False


@pytest.mark.parametrize("cancelled_in", ["window", "ready"])
def test_a_cancelled_cell_ends_at_once_with_what_there_is(server: ToyServer, tmp_path: Path, cancelled_in: str) -> None:
    """SIGINT: in the window wrk still reports."""
    path = "/each_tenth_wrong" if cancelled_in == "window" else "/never"
    cell = cell_folder(tmp_path, server.port, target=target(server, path), duration_s=20.0, attempt_limit_s=5.0)
    process = subprocess.Popen(cell.command())
    wait_for_phase(cell, cancelled_in)
    if cancelled_in == "window":
        wait_for_wrk(cell, process, 1)
        _wait_for_answers(server, 100)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=3) == 0
    result = cell.result()
    assert failure(result).phase == cancelled_in
    assert failure(result).kind is FailureKind.CANCELLED
    assert "cancelled" in failure(result).text
    assert [bool(there(wrk.report).requests) for wrk in result.wrk] == ([True] if cancelled_in == "window" else [])


def test_a_server_that_comes_up_late_is_waited_for(tmp_path: Path) -> None:
    """Ready is the moment of the first right answer."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    up_at = time.time() + 0.6
    late = threading.Timer(0.6, _serve_ok, (port,))
    late.start()
    result = cell_folder(tmp_path, port, processes=[{"threads": 1, "connections": 1, "checks_answers": False}]).run()
    late.join()
    assert 0 < there(result.ready).at_s - up_at < 0.5
    assert there(result.ready).attempts > 5


def _serve_ok(port: int) -> None:
    """Answers one GET, then is gone: what follows is not this test's matter."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_a_server_that_answers_wrongly_is_given_up_after_3_s(server: ToyServer, tmp_path: Path) -> None:
    """Long before the limit, with what it answered."""
    began = time.monotonic()
    cell = cell_folder(tmp_path, server.port, target=target(server, "/500"), ready_limit_s=30.0)
    failed = failure(cell.run())
    assert 3 <= time.monotonic() - began < 6
    assert failed.phase == "ready"
    assert f"http://127.0.0.1:{server.port}/500: status 500 instead of 200: 'why??' (for 3." in failed.text


@pytest.mark.parametrize(("path", "found"), [("/never", "timed out: connected"), (None, "connection refused")])
def test_a_server_that_is_never_ready_fails_at_the_limit(
    server: ToyServer, tmp_path: Path, path: str | None, found: str
) -> None:
    """The last finding is told."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = {"host": "127.0.0.1", "port": closed.getsockname()[1], "path": "/"}
    cell = cell_folder(tmp_path, 0, target=target(server, path) if path else nobody, ready_limit_s=0.4)
    failed = failure(cell.run())
    assert failed.phase == "ready"
    assert "not ready within 0.4 s" in failed.text
    assert found in failed.text
    assert "firewall" not in failed.text


def test_a_server_that_lets_nobody_connect_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    """The text says where to look: packets that are dropped are a filter's doing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        silent = {"host": "127.0.0.1", "port": full.getsockname()[1], "path": "/"}
        failed = failure(cell_folder(tmp_path, 0, target=silent, ready_limit_s=0.4).run())
    assert "timed out: no connection within" in failed.text
    assert "lab_load_address" in failed.text


def test_too_few_descriptors_are_said_at_once(server: ToyServer, tmp_path: Path) -> None:
    """With both figures."""
    result = cell_folder(tmp_path, server.port).run("sh", "-c", 'ulimit -n 60; exec "$@"', "sh")
    assert failure(result).phase == "ready"
    assert "20 connections in one wrk process need 70 descriptors" in failure(result).text
    assert "RLIMIT_NOFILE) is 60" in failure(result).text
    assert result.ready is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"processes": [{"threads": 3, "connections": 20, "checks_answers": False}]},
            "20 connections are no multiple of 3 threads",
        ),
        ({"wrk": "/nowhere/wrk"}, "exit 127): /nowhere/wrk: [Errno 2] No such file or directory"),
    ],
)
def test_what_cannot_be_run_is_said(server: ToyServer, tmp_path: Path, changes: dict[str, object], text: str) -> None:
    """A wrong split, no wrk."""
    result = cell_folder(tmp_path, server.port, **changes).run()
    assert text in failure(result).text


def test_an_armed_cell_begins_at_the_mark(server: ToyServer, tmp_path: Path) -> None:
    """It is ready, says so, and waits for as long as it takes to be told a moment; wrk begins then."""
    cell = cell_folder(tmp_path, server.port, waits_for_mark=True)
    process = subprocess.Popen(cell.command())
    wait_for_phase(cell, "armed")
    time.sleep(0.3)
    assert cell.phases()[-1] == "armed"
    mark_s = time.time() + 1.0
    node_io.write_file(str(tmp_path / "mark"), f"{mark_s!r}\n")
    assert process.wait(timeout=5) == 0
    result = cell.result()

    assert result.failed is None
    assert cell.phases() == ["ready", "armed", "window", "verify_after"]
    assert there(result.window).mark_at_s == pytest.approx(mark_s, abs=0.001)
    assert 0 <= there(result.window).start_at_s - mark_s < allowed_s(0.1)


def test_a_mark_in_the_past_is_told(server: ToyServer, tmp_path: Path) -> None:
    """A generator that hears too late does not begin later than the others: the cell fails."""
    (tmp_path / "mark").write_text("1.0\n")
    failed = failure(cell_folder(tmp_path, server.port, waits_for_mark=True).run())
    assert failed.phase == "armed"
    assert "the common mark was" in failed.text


def test_a_wrk_that_dies_ends_the_others_at_once(server: ToyServer, tmp_path: Path) -> None:
    """The rest would not be the load that was asked for; which one died is told."""
    processes = [{"threads": 1, "connections": 10, "checks_answers": False}] * 2
    cell = cell_folder(tmp_path, server.port, processes=processes, duration_s=20.0)
    process = subprocess.Popen(cell.command())
    os.kill(wait_for_wrk(cell, process, 2)[1], signal.SIGKILL)
    assert process.wait(timeout=3) == 0
    failed = failure(cell.result())

    assert failed.phase == "window"
    assert "wrk process 2 of 2 left no complete report (exit -9)" in failed.text


@pytest.mark.parametrize("duration_s", [2.0, 1.6])
def test_a_wrk_that_somebody_ends_early_fails_the_cell(server: ToyServer, tmp_path: Path, duration_s: float) -> None:
    """SIGINT from outside: wrk reports as if all were well, of a shorter window."""
    cell = cell_folder(tmp_path, server.port, duration_s=duration_s)
    process = subprocess.Popen(cell.command())
    wait_for_phase(cell, "window")
    time.sleep(0.6 * duration_s)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGINT)
    assert process.wait(timeout=5) == 0
    result = cell.result()
    assert result.wrk[0].exit_code == 0
    assert failure(result).phase == "window"
    assert f"of {duration_s:g} s, and nothing of wrklab's ended it" in failure(result).text


#: A server and a generator in a network of their own, with ten local ports.
_TEN_PORTS = """
ip link set lo up && echo '40000 40009' > /proc/sys/net/ipv4/ip_local_port_range || exit 77
"$1" -c 'import http.server
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", 18080), Ok).serve_forever()' &
shift; "$@"; code=$?; kill $!; exit $code
"""


def test_too_few_local_ports_are_said_with_the_figures(tmp_path: Path) -> None:
    """20 connections from ten ports can never be: nothing is waited for."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
        pytest.skip("no network namespace of one's own without root: too few ports were not tried")
    cell = cell_folder(tmp_path, 18080)
    failed = failure(cell.run("unshare", "-n", "sh", "-c", _TEN_PORTS, "sh", PYTHON))
    assert failed.phase == "drain"
    assert "20 connections need as many local ports towards 127.0.0.1:18080; 10 of 10 are free" in failed.text


#: load_cell.py whose wall clock is stepped by so many seconds, so many seconds after it began.
STEPPED_CLOCK = """
import runpy, sys, time
real, began, step_s, after_s = time.time, time.monotonic(), float(sys.argv[1]), float(sys.argv[2])
time.time = lambda: real() + (step_s if time.monotonic() - began > after_s else 0.0)
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_stepped(folder: CellFolder, step_s: float, after_s: float) -> LoadResult:
    script, path = folder.command()[-2:]
    words = [PYTHON, "-I", "-S", "-c", STEPPED_CLOCK, str(step_s), str(after_s), script, path]
    subprocess.run(words, check=True, timeout=30)
    return folder.result()


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 0.2])
def test_a_clock_stepped_within_the_window_fails_the_cell(server: ToyServer, tmp_path: Path, step_s: float) -> None:
    """wrk measures by the wall clock, so its numbers are wrong; nothing waits for the hour to pass."""
    began = time.monotonic()
    result = run_stepped(cell_folder(tmp_path, server.port), step_s, 0.5)

    assert failure(result).phase == "window"
    assert f"stepped by {step_s:+.3f} s within the window" in failure(result).text
    assert time.monotonic() - began < 5


def test_a_clock_stepped_before_the_window_does_no_harm(server: ToyServer, tmp_path: Path) -> None:
    """Phases and samples go on by the clock that the cell began with."""
    warmup = {"duration_s": 0.5, "connections": 4, "threads": 2}
    result = run_stepped(cell_folder(tmp_path, server.port, warmup=warmup), -3600.0, 0.3)

    assert result.failed is None
    assert all(0 <= there(phase.end_at_s) - phase.start_at_s < 3 for phase in result.phases)
    moments = [float(line.split('"at":')[1].split(",")[0]) for line in result.samples]
    assert moments == sorted(moments)
    assert moments[0] - there(result.window).mark_at_s == pytest.approx(0, abs=0.5)
