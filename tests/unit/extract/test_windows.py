"""Several generators' windows as one load."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from tests.unit.extract.test_wrk_report import REPORT
from tests.unit.handmade_raw import captured_load, run_host
from wrklab.errors import ParseError
from wrklab.extract.histogram import Histogram
from wrklab.extract.windows import CellWindow, GeneratorWindow, read_window
from wrklab.protocol.load import AnswerKind, LoadResult
from wrklab.results.raw import Clock, RunHost, RunHosts
from wrklab.results.records import BackendRecord

MARK_S = 1000.0


def lab(*cpus: tuple[int, ...], kind: str = "container") -> RunHosts:
    """A server on CPU 0 and generators on these CPUs."""
    generators = tuple(run_host(f"loadgen_{number}", *own) for number, own in enumerate(cpus, 1))
    return RunHosts(kind=kind, server=run_host("server", 0), generators=generators)


def handmade_load(
    start_s: float,
    *,
    ahead_s: float = 0.0,
    values_us: tuple[int, ...] = (100_000,),
    **changes: Any,  # noqa: ANN401  JSON
) -> LoadResult:
    """What a generator reports whose clock is so far ahead: one wrk of 4 connections and 1 s, an answer a value."""
    report = copy.deepcopy(REPORT)
    deltas = [int(delta) for delta in np.diff(values_us, prepend=0)]
    report |= {"duration_us": 1_000_000, "requests": len(values_us)}
    report["histogram"] = {"values": deltas, "counts": [1] * len(deltas)}
    report["latency"]["count"] = len(values_us)
    counts = {"at_s": start_s, "reopening_count": 0, "unread_count": 0}
    values = {
        "warmup": None,
        "wrk": [handmade_wrk(report)],
        "window": {"mark_at_s": MARK_S + ahead_s, "start_at_s": start_s + ahead_s, "end_at_s": start_s + ahead_s + 1.0},
        "open_connections": [{**counts, "states": {"ESTABLISHED": count}} for count in (4, 4, 3)],
        "samples": [],
    }
    return captured_load(**(values | changes))


def handmade_wrk(report: dict[str, Any] | None) -> dict[str, Any]:
    """What a wrk process of 4 connections left."""
    return {
        "argv": ["wrk", "-t2", "-c4"],
        "exit_code": 0,
        "report": report,
        "report_problem": "" if report else "exit -9",
        "stdout": "",
        "stderr": "",
        "cpu_s": 0.3,
    }


def window_of(host: RunHost, start_s: float = MARK_S, ahead_s: float = 0.0, **changes: Any) -> GeneratorWindow:  # noqa: ANN401
    """A generator's window as read."""
    load = handmade_load(start_s, ahead_s=ahead_s, **changes)
    return read_window(load, host, Clock(ahead_s, round_trip_s=0.001, call_s=0.01))


def test_the_window_is_what_all_have_in_common() -> None:
    """Each by its own clock, which may be hours off: from the last start to the first end, by the controller's."""
    first, second = lab((1,), (2,)).generators
    window = CellWindow((window_of(first, MARK_S + 0.01, 3600.0), window_of(second, MARK_S + 0.03, -12.5)))

    assert window.start_s == pytest.approx(MARK_S + 0.03)
    assert window.end_s == pytest.approx(MARK_S + 1.01)
    skews = [record.start_skew_s for record in window.records(lab((1,), (2,)))]
    assert skews == [pytest.approx(0.01), pytest.approx(0.03)]


def test_windows_apart_are_no_load() -> None:
    """Where no moment is common to all, nothing is added up; the text has both windows."""
    first, second = lab((1,), (2,)).generators
    with pytest.raises(ParseError, match=r"loadgen_1 1000\.000 to 1001\.000, loadgen_2 1001\.500 to 1002\.500"):
        CellWindow((window_of(first), window_of(second, MARK_S + 1.5)))


def test_histograms_are_added_and_each_is_kept() -> None:
    """The latencies of all are those of the pooled answers; each generator's stand beside them."""
    first, second = lab((1,), (2,)).generators
    window = CellWindow((window_of(first, values_us=(10, 30, 50)), window_of(second, values_us=(20, 30, 40))))
    found = {kind: Histogram.from_bytes(data) for kind, data in window.histograms().items()}

    assert np.repeat(found["observed"].values_us, found["observed"].counts).tolist() == [10, 20, 30, 30, 40, 50]
    assert found["observed@loadgen_1"].values_us.tolist() == [10, 30, 50]
    assert found["observed@loadgen_2"].values_us.tolist() == [20, 30, 40]
    assert set(CellWindow((window_of(first),)).histograms()) == {"observed", "wrk"}


def test_connections_and_rates_are_added() -> None:
    """Asked, open at the median of each generator's counts, answers per second."""
    first, second = lab((1,), (2,)).generators
    window = CellWindow((window_of(first, values_us=(10, 30, 50)), window_of(second)))

    assert (window.connections_asked, window.connections_open) == (8, 8)
    assert [part.requests_per_s for part in window.generators] == [3.0, 1.0]


@pytest.mark.parametrize(
    ("cpus", "kind", "busy"),
    [
        (((1,), (1,)), "container", [60.0, 60.0]),
        (((1,), (2,)), "container", [30.0, 30.0]),
        (((1, 2), (1, 2)), "container", [30.0, 30.0]),
        (((1,), (1,)), "ssh", [30.0, 30.0]),
    ],
)
def test_generators_on_the_same_cpus_are_as_busy_as_these(
    cpus: tuple[tuple[int, ...], ...], kind: str, busy: list[float]
) -> None:
    """Two wrk of 30 % each on one CPU leave 40 % of it; CPU 1 of two machines is not the same."""
    hosts = lab(*cpus, kind=kind)
    window = CellWindow(tuple(window_of(host) for host in hosts.generators))

    assert [record.busy_percent for record in window.records(hosts)] == pytest.approx(busy)


def test_a_wrong_answer_after_the_window_names_its_generator() -> None:
    """Where there are several; its kind is in each generator's record."""
    hosts = lab((1,), (2,))
    first, second = hosts.generators
    verified = {"kind": "timed_out", "found": "timed out", "took_s": 2.0}
    wrong = read_window(handmade_load(MARK_S, verify_after=verified), second, Clock(0.0, 0.001, 0.01))
    both = CellWindow((window_of(first), wrong))

    assert both.wrong_after == "timed out (from loadgen_2)"
    assert [part.verify_after_kind for part in both.records(hosts)] == [AnswerKind.RIGHT, AnswerKind.TIMED_OUT]
    assert CellWindow((wrong,)).wrong_after == "timed out"


def test_a_queue_after_the_window_is_kept_with_its_seconds() -> None:
    """The generator's record has what the rules need to name it."""
    hosts = lab((1,))
    verified = {"kind": "still_queued", "found": "timed out", "took_s": 0.45, "queue_s": 54.1}
    load = handmade_load(MARK_S, verify_after=verified)
    [record] = CellWindow((read_window(load, hosts.generators[0], Clock(0.0, 0.001, 0.01)),)).records(hosts)

    assert (record.verify_after_kind, record.queue_after_s) == (AnswerKind.STILL_QUEUED, 54.1)


@pytest.mark.parametrize(
    ("lost", "text"),
    [
        ({"wrk": []}, "has no wrk process"),
        ({"wrk": [handmade_wrk(None)]}, "a wrk process left no report: exit -9"),
        ({"window": None}, "has no complete window: window is missing"),
        ({"ready": None, "verify_after": None}, "has no complete window: ready, verify_after is missing"),
        ({"open_connections": []}, "connections were not counted"),
    ],
)
def test_a_result_that_is_not_complete_names_its_generator(lost: dict[str, Any], text: str) -> None:
    """Which of several it was."""
    with pytest.raises(ParseError, match=f"^loadgen_1: .*{text}"):
        read_window(handmade_load(MARK_S, **lost), lab((1,)).generators[0], Clock(0.0, 0.001, 0.01))


def test_the_warm_up_and_the_first_answer_are_the_loads() -> None:
    """One generator warms up for all; the quickest idle answer counts."""
    first, second = lab((1,), (2,)).generators
    ready = {"at_s": MARK_S, "attempts": 1}
    warmed = handmade_load(MARK_S, ready=ready | {"first_answer_s": 0.102}, warmup=handmade_wrk(copy.deepcopy(REPORT)))
    asked = handmade_load(MARK_S, ready=ready | {"first_answer_s": 0.101})
    clock = Clock(0.0, 0.001, 0.01)
    window = CellWindow((read_window(asked, second, clock), read_window(warmed, first, clock)))

    assert window.first_answer_s == 0.101
    assert window.warmup is not None
    assert (window.warmup.requests, window.warmup.bytes_read, window.warmup.connections) == (4, 472, 4)
    assert window.warmup.errors.body == 2
    assert CellWindow((window_of(first),)).warmup is None


def host_sample(at_s: float, busy_s: float, own_s: float) -> str:
    """A sampler's line of a host on CPU 1, which was so long busy, and with the host's own work."""
    ticks = f"cpu1 {round(100 * busy_s)} 0 0 0 0 0 0 0"
    raw = {"cpu": ticks, "node_cpu": f"usage_usec {round(1e6 * own_s)}"}
    return json.dumps({"at": at_s, "mono": at_s, "cost_s": 0.0, "raw": raw, "errors": {}})


def test_a_backend_on_a_generators_cpus_is_no_neighbour_of_it() -> None:
    """What its host took is left out; of a generator that shares no CPU with it nothing is."""
    samples = [host_sample(MARK_S + at_s, 0.8 * (at_s + 1), 0.2 * (at_s + 1)) for at_s in (-0.5, 0.0, 0.5, 1.0, 1.5)]
    window = CellWindow((window_of(lab((1,)).generators[0], samples=samples),))
    backend = BackendRecord(host="backend", cpus_count=1, host_cpu_percent=55.0, connections={})

    [alone] = window.records(lab((1,)))
    [shared] = window.records(lab((1,)), backend.model_copy(update={"shared_with": ("loadgen_1",)}))
    [other] = window.records(lab((1,)), backend)

    assert alone.neighbours_cpu_percent == pytest.approx(60.0)
    assert shared.neighbours_cpu_percent == pytest.approx(5.0)
    assert other.neighbours_cpu_percent == pytest.approx(60.0)
