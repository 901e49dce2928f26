"""What raw samples say of a window: rates inside it, increases around it, maxima."""

from __future__ import annotations

import json

import pytest

from wrklab.errors import ParseError
from wrklab.extract.samples import HostSamples, read_samples


def _line(at_s: float, *, cpu_s: float = 0.0, node_s: float = 0.0, threads: int = 1, overflows: int = 0) -> str:
    ticks = round(cpu_s * 100)
    raw = {
        "unit_cpu": f"usage_usec {round(cpu_s * 1e6)}\nuser_usec 0\nsystem_usec 0\n",
        "node_cpu": f"usage_usec {round(node_s * 1e6)}\n",
        "cpu": f"cpu {ticks} 0 0 0 0 0 0 0\ncpu0 {ticks} 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 {ticks}\n",
        "threads": f"{threads}\n",
        "listen_queue": f"tcp4 8080 {threads} 64\n",
        "tcp_extended": (
            "TcpExt: ListenOverflows ListenDrops TCPReqQFullDrop SyncookiesSent TCPTimeouts TCPSynRetrans "
            f"TCPDSACKRecv TCPAbortOnData\nTcpExt: {overflows} 0 0 0 0 0 0 0\n"
        ),
    }
    return _sample(at_s, raw)


def _sample(at_s: float, raw: dict[str, str], errors: dict[str, str] | None = None) -> str:
    """A line of the sampler."""
    return json.dumps({"at": at_s, "mono": at_s, "cost_s": 0.0, "raw": raw, "errors": errors or {}})


def _steady(start_s: float, end_s: float, window: tuple[float, float]) -> HostSamples:
    """From 100 s on at 2 Hz: idle until start, then one CPU until end."""
    moments = [100 + step / 2 for step in range(int((end_s + 3 - 100) * 2))]
    lines = [_line(at_s, cpu_s=min(max(0.0, at_s - start_s), end_s - start_s), node_s=at_s - 100) for at_s in moments]
    return read_samples(lines, *window)


def test_a_rate_is_that_of_the_samples_inside() -> None:
    """The load begins between two samples: the idle part before it does not blur the rate."""
    samples = _steady(101.2, 105.2, window=(101.2, 105.2))
    assert samples.cpu_percent("unit_cpu.usage", 1) == pytest.approx(100)
    assert samples.cpu_percent("unit_cpu.usage", 4) == pytest.approx(25)
    assert samples.machine_cpu_percent("busy", [0]) == pytest.approx(100)
    assert samples.machine_cpu_percent("steal", [0, 1]) == pytest.approx(50)


def test_a_window_with_too_few_samples_inside_is_interpolated() -> None:
    """0.4 s between two samples."""
    samples = _steady(100, 110, window=(103.05, 103.45))
    assert samples.cpu_percent("unit_cpu.usage", 1) == pytest.approx(100)


def test_an_increase_misses_nothing_inside() -> None:
    """From the last sample before to the first after; what came earlier or later is not counted."""
    overflows = [0, 5, 5, 7, 9, 9, 50]
    samples = read_samples([_line(100 + n, overflows=count) for n, count in enumerate(overflows)], 101.5, 104.5)
    assert samples.increase("tcp.listen_overflows") == 4


def test_a_maximum_is_of_the_window() -> None:
    """A larger value outside is another phase's."""
    threads = [40, 3, 8, 4, 90]
    samples = read_samples([_line(100 + n, threads=count) for n, count in enumerate(threads)], 100.5, 103.5)
    assert samples.maximum("unit.threads") == 8
    assert samples.maximum("listen.8080.queued") == 8


@pytest.mark.parametrize("seen", [(100.0, 104.0), (106.5, 113.0), (90.0, 99.5), (111.0, 113.0), (100.0, 100.0)])
def test_a_window_that_was_not_sampled_to_its_edges_has_no_rate(seen: tuple[float, float]) -> None:
    """The sampler died in it, began late, or ran at another time: None, neither 0 nor a part for the whole."""
    moments = [seen[0] + step / 2 for step in range(int((seen[1] - seen[0]) * 2) + 1)]
    samples = read_samples([_line(at_s, cpu_s=at_s - 90, overflows=round(at_s)) for at_s in moments], 100, 110)
    assert samples.cpu_percent("unit_cpu.usage", 1) is None
    assert samples.machine_cpu_percent("steal", [0, 1]) is None
    assert samples.neighbours_cpu_percent([0]) is None
    assert samples.increase("tcp.listen_overflows") is None
    assert not samples.reach_both_edges(0.5)
    assert samples.seen_s == pytest.approx(max(0.0, min(110, seen[1]) - max(100, seen[0])))


@pytest.mark.parametrize("edges", [(100.9, 110.0), (99.0, 109.1)])
def test_samples_that_end_a_moment_inside_are_the_windows(edges: tuple[float, float]) -> None:
    """On full CPUs a sampler comes late: the rate is that of what it saw."""
    moments = [edges[0] + step / 2 for step in range(int((edges[1] - edges[0]) * 2) + 1)]
    samples = read_samples([_line(at_s, cpu_s=at_s - 90) for at_s in moments], 100, 110)
    assert samples.cpu_percent("unit_cpu.usage", 1) == pytest.approx(100)
    assert samples.reach_both_edges(0.5)


def test_samples_wanted_rarely_may_be_few() -> None:
    """One every 5 s by the scenario, in a window of 3: that is no dead sampler, and no rate either."""
    samples = read_samples([_line(99, cpu_s=1)], 100, 103)
    assert samples.reach_both_edges(5.0)
    assert samples.rate("unit_cpu.usage") is None
    assert not samples.reach_both_edges(0.5)


def test_neighbours_are_what_the_host_itself_did_not_use() -> None:
    """/proc/stat says 100 %, the host's own cgroup 30 %."""
    lines = [_line(100 + n, cpu_s=n, node_s=0.3 * n) for n in range(5)]
    assert read_samples(lines, 100, 104).neighbours_cpu_percent([0]) == pytest.approx(70)


def test_neighbours_are_never_below_nothing() -> None:
    """The two clocks differ by a tick."""
    lines = [_line(100 + n, cpu_s=0.99 * n, node_s=n) for n in range(5)]
    assert read_samples(lines, 100, 104).neighbours_cpu_percent([0]) == 0


def test_what_was_not_sampled_is_none() -> None:
    """Not 0."""
    samples = read_samples([_line(100), _line(101)], 100, 101)
    assert samples.maximum("memory.rss") is None
    assert samples.rate("memory.rss") is None
    assert samples.increase("memory.rss") is None
    assert samples.machine_cpu_percent("busy", [0, 7]) is None
    assert samples.machine_cpu_percent("busy", []) is None
    empty = read_samples([], 100, 101)
    assert empty.cpu_percent("unit_cpu.usage", 1) is None


def test_every_value_goes_to_the_store() -> None:
    """With host, unit and moment."""
    stored = read_samples([_line(100, threads=5)], 100, 101).stored("server")
    assert ("server", "unit.threads", "count", 100.0, 5.0) in stored
    assert len(stored) > 10


def test_a_last_line_that_was_cut_off_is_left_out() -> None:
    """The sampler is ended by SIGKILL."""
    assert len(read_samples([_line(100), _line(101)[:50]], 100, 101).samples) == 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"at": 1', "line 1: the message: expected JSON"),
        ("{}", "line 1: at: expected a value, found .nothing"),
        ("[]", "line 1: the message: expected an object"),
    ],
)
def test_another_line_that_is_none_is_an_error(line: str, text: str) -> None:
    """With its number."""
    with pytest.raises(ParseError, match=text):
        read_samples([line, _line(100)], 100, 101)


def test_what_the_host_could_not_read_is_told() -> None:
    """Per collector."""
    line = _sample(100, {}, errors={"memory": "Permission denied"})
    assert read_samples([line], 100, 101).errors() == {"memory": "Permission denied"}


def _processes(at_s: float, cpu_s: dict[int, float]) -> str:
    stat = "".join(
        f"{pid} {pid} (gunicorn) S 1 1 1 0 -1 0 0 0 0 0 {round(cpu * 100)} 0 0 0\n" for pid, cpu in cpu_s.items()
    )
    pressure = f"some avg10=0 total={round(at_s * 5e5)}\nfull avg10=0 total={round(at_s * 2e5)}\n"
    raw = {"process_cpu": f"page_bytes 4096\n{stat}", "unit_pressure": pressure}
    return _sample(at_s, raw)


def test_processes_that_serve_are_told_from_their_supervisor() -> None:
    """Two workers fill a CPU each, a third does a part, the supervisor hardly anything, a short one is left out."""
    lines = [
        _processes(100.0 + n, {1: 0.01 * n, 2: 0.99 * n, 3: 0.95 * n, 4: 0.5 * n} | ({9: 9.0} if n == 2 else {}))
        for n in range(5)
    ]
    found = read_samples(lines, 100, 104).process_cpus()
    assert found is not None
    assert found.busiest_percent == pytest.approx(99)
    assert (found.serving_count, found.full_count) == (3, 2)
    assert read_samples([_line(100), _line(101)], 100, 101).process_cpus() is None


def test_a_value_is_the_last_one_seen_until_then() -> None:
    """Within the window only."""
    raw = [{"listen_queue": f"4 8080 {queued} 2048\n"} for queued in (7, 90, 60, 40)]
    lines = [_sample(100.0 + n, found) for n, found in enumerate(raw)]
    samples = read_samples(lines, 100.5, 103.5)

    assert samples.value_at("listen.8080.queued", 102.9) == 60
    assert samples.value_at("listen.8080.queued", 103.0) == 40
    assert samples.value_at("listen.8080.queued", 100.9) is None
    assert samples.value_at("listen.81.queued", 103.0) is None


def test_waiting_is_a_share_of_the_window() -> None:
    """Half of the time some task had no CPU, a fifth of it none had one."""
    samples = read_samples([_processes(100.0 + n, {}) for n in range(5)], 100, 104)
    assert samples.time_percent("unit_pressure.waiting") == pytest.approx(50)
    assert samples.time_percent("unit_pressure.stalled") == pytest.approx(20)
    assert read_samples([_line(100), _line(101)], 100, 101).time_percent("unit_pressure.stalled") is None


def test_others_on_the_host_are_what_neither_unit_nor_kernel_used() -> None:
    """The host's cgroup took 90 %, the unit 50 %, softirq 10 %: 30 % are others'."""
    lines = [_line(100 + n, cpu_s=0.5 * n, node_s=0.9 * n) for n in range(5)]
    samples = read_samples(lines, 100, 104)
    softirq = samples.machine_cpu_percent("softirq", [0]) or 0.0
    assert samples.others_cpu_percent([0], 50.0) == pytest.approx(90 - 50 - softirq)
    assert samples.others_cpu_percent([0], None) is None
    assert read_samples([_line(100), _line(101)], 100, 101).others_cpu_percent([0], 0.0) == 0


def lossy(*moments: tuple[int, int, int]) -> HostSamples:
    """Every 0.5 s from 100 s on: segments sent again, of these of handshakes, of these not lost. The window: 2.2 s."""
    tcp = (
        "Tcp: ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs OutRsts\n"
        "Tcp: 0 0 0 0 0 0 0 {0} 0\n"
    )
    extended = (
        "TcpExt: ListenOverflows ListenDrops TCPReqQFullDrop SyncookiesSent TCPTimeouts TCPSynRetrans TCPDSACKRecv "
        "TCPAbortOnData\nTcpExt: 0 0 0 0 0 {1} {2} 0\n"
    )
    raws = [{"tcp": tcp.format(*counts), "tcp_extended": extended.format(*counts)} for counts in moments]
    lines = [_sample(100 + step / 2, raw) for step, raw in enumerate(raws)]
    return read_samples(lines, 100.4, 102.6)


@pytest.mark.parametrize(
    ("counts", "lost"),
    [
        # Each interval loses some.
        ([(0, 0, 0), (9, 0, 0), (21, 0, 0), (30, 0, 0), (41, 0, 0), (50, 0, 0)], 45),
        # A burst while connections open; handshakes; probes of what the other end had; all of them together with loss.
        ([(0, 0, 0), (994, 0, 0), (994, 0, 0), (994, 0, 0), (994, 0, 0), (994, 0, 0)], 0),
        ([(0, 0, 0), (90, 90, 0), (180, 180, 0), (270, 270, 0), (360, 360, 0), (450, 450, 0)], 0),
        ([(0, 0, 0), (90, 0, 90), (180, 0, 179), (270, 0, 270), (360, 0, 360), (450, 0, 450)], 0),
        ([(0, 0, 0), (999, 5, 4), (1010, 8, 8), (1020, 9, 9), (1034, 11, 11), (1044, 12, 12)], 40),
        ([(0, 0, 0), (9, 0, 0)], None),
    ],
)
def test_lost_segments_are_told_from_what_else_is_sent_again(
    counts: list[tuple[int, int, int]], lost: int | None
) -> None:
    """By what the kernels of both ends say, and by how evenly it comes."""
    assert lossy(*counts).segments_lost() == lost


@pytest.mark.parametrize(
    ("retransmitted", "lasting"), [((0, 994, 994, 994, 994, 994), 0), ((0, 9, 21, 30, 41, 50), 45), ((0, 9), None)]
)
def test_what_lasts_is_told_from_a_burst(retransmitted: tuple[int, ...], lasting: int | None) -> None:
    """An interval counts for as much as the median one."""
    samples = lossy(*((number, 0, 0) for number in retransmitted))
    assert samples.lasting_increase("tcp.segments_retransmitted") == lasting
