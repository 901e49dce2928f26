"""Reading what wrk_report.lua wrote: checked, added over processes, as records."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from wrklab.errors import ParseError
from wrklab.extract.wrk_report import (
    ProcessReport,
    add_errors,
    add_latencies,
    busy_ratio,
    latency_of,
    read_wrk_report,
)
from wrklab.protocol.codec import ProtocolError, decode
from wrklab.protocol.load import WrkReport

#: By wrk 4.1.0 (Debian 12) and wrk_report.lua against a server that holds 100 ms; its histogram cut to four values.
REPORT: dict[str, Any] = {
    "duration_us": 1001533,
    "requests": 4,
    "bytes": 472,
    "threads": 2,
    "started_at": 1795222534.194983,
    "errors": {"connect": 0, "read": 1, "write": 0, "status": 0, "timeout": 0, "body": 2},
    "bodies_checked": True,
    "bodies_stale": 0,
    "latency": {
        "count": 4,
        "min_us": 100285,
        "max_us": 100985,
        "mean_us": 100579.5,
        "stdev_us": 131.10930687655377,
        "p50_us": 100545,
        "p90_us": 100771,
        "p99_us": 100935,
        "p999_us": 100985,
    },
    "histogram_source": "ffi",
    "histogram": {"values": [100285, 260, 226, 214], "counts": [1, 1, 1, 1]},
}


def _changed(*path: str, to: object) -> dict[str, Any]:
    report = copy.deepcopy(REPORT)
    inner = report
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return report


def read(report: object) -> ProcessReport:
    """What a process of 4 connections wrote."""
    return read_wrk_report(decode(WrkReport, report), connections=4)


def test_a_report_becomes_records() -> None:
    """Counts, errors by kind, latencies."""
    report = read(REPORT)
    assert report.duration_s == pytest.approx(1.001533)
    assert (report.requests, report.bytes_read, report.threads) == (4, 472, 2)
    assert (report.errors.read, report.errors.body, report.errors.total) == (1, 2, 3)
    latency = latency_of(report.observed())
    assert latency is not None
    assert (latency.count, latency.p50_us, latency.max_us) == (4, 100771, 100985)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (None, "expected an object, found null"),
        ([], "expected an object, found a list of 0"),
        (_changed("requests", to="4"), 'requests: expected a whole number, found "4"'),
        (_changed("requests", to=True), "requests: expected a whole number, found true"),
        (_changed("duration_us", to=-1), "duration_us: expected a number from 0"),
        (_changed("errors", to={}), "errors.connect: expected a value, found .nothing"),
        (_changed("histogram", to=None), "histogram: expected an object"),
        (_changed("histogram", "counts", to=7), "histogram.counts: expected a list, found 7"),
        (_changed("histogram", "counts", to=[1, 1, 1]), "histogram of"),
        (_changed("histogram", "counts", to=[1, 1, 1, 2]), "latency.count is 4, the histogram has 5"),
        (_changed("latency", "p99_us", to="?"), "latency.p99_us: expected a number"),
    ],
)
def test_what_is_not_as_it_should_be_is_an_error(report: object, text: str) -> None:
    """Never guessed, never 0."""
    with pytest.raises((ParseError, ProtocolError), match=text):
        read(report)


def test_processes_are_added() -> None:
    """Histograms and errors; percentiles are never averaged."""
    one = read(REPORT)
    other = read(_changed("histogram", "values", to=[200_000, 1, 1, 1]))
    latencies = add_latencies([one, other])
    assert latencies.correction_note == ""
    assert latencies.observed.count == 8
    assert latencies.observed.percentile(50) == 200_000
    assert add_errors([one, other]).body == 4


def test_a_correction_that_cannot_be_undone_is_noted_and_nothing_is_lost() -> None:
    """The latencies are wrk's own then."""
    one = read(_changed("requests", to=9))
    latencies = add_latencies([one])
    assert "9 requests less 0 time-outs were expected" in latencies.correction_note
    assert latencies.observed == latencies.corrected


def test_no_answer_at_all_is_no_latency() -> None:
    """None instead of zeros."""
    nothing = _changed("histogram", to={"values": [], "counts": []})
    nothing["latency"] = dict.fromkeys(nothing["latency"]) | {"count": 0}
    report = read(nothing | {"requests": 0})
    assert latency_of(report.observed()) is None


def test_the_busy_ratio_tells_starved_connections() -> None:
    """Four connections busy for 0.4 s of 4 x 1 s."""
    report = read(REPORT)
    assert busy_ratio(report.observed(), report.duration_us, 4) == pytest.approx(0.1, rel=0.01)
    with pytest.raises(ParseError, match="busy ratio over 0 µs"):
        busy_ratio(report.observed(), 0, 4)
