"""What raw samples say of a window: rates inside it, increases around it, maxima."""

from __future__ import annotations

import json

import pytest

from wrklab.errors import ParseError
from wrklab.measure.samples import HostSamples, read_samples


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
            f"TCPAbortOnData\nTcpExt: {overflows} 0 0 0 0 0 0\n"
        ),
    }
    return json.dumps({"at": at_s, "mono": at_s, "cost_s": at_s / 1000, "raw": raw})


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
    assert empty.sampler_cpu_percent() is None
    assert empty.cpu_percent("unit_cpu.usage", 1) is None


def test_the_samplers_own_cost_is_told() -> None:
    """1 ms a second."""
    assert _steady(100, 110, (101, 102)).sampler_cpu_percent() == pytest.approx(0.1)


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
        ('{"at": 1', "line 1: Expecting"),
        ("{}", "line 1: not a line of the sampler"),
        ("[]", "not a line of the sampler"),
    ],
)
def test_another_line_that_is_none_is_an_error(line: str, text: str) -> None:
    """With its number."""
    with pytest.raises(ParseError, match=text):
        read_samples([line, _line(100)], 100, 101)


def test_what_the_host_could_not_read_is_told() -> None:
    """Per collector."""
    line = json.dumps({"at": 100, "cost_s": 0, "raw": {}, "errors": {"memory": "Permission denied"}})
    assert read_samples([line], 100, 101).errors() == {"memory": "Permission denied"}
