"""Each request of a mix over all wrk processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.extract.test_wrk_report import REPORT
from tests.unit.handmade_raw import captured_load, captured_server, handmade_raw
from tests.unit.handmade_records import handmade_cell, handmade_planned
from wrklab.errors import ParseError
from wrklab.extract.cell import cell_outcome
from wrklab.extract.request_mix import add_requests
from wrklab.extract.wrk_report import ProcessReport, add_latencies, read_wrk_report
from wrklab.protocol.codec import decode
from wrklab.protocol.load import WrkReport
from wrklab.protocol.request_mix import MixReport


def counts(name: str, latencies: list[int], **changes: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """A request whose answers took so long, one each, ascending."""
    deltas = [after - before for before, after in zip([0, *latencies], latencies, strict=False)]
    found = {"name": name, "sent": len(latencies) + 1, "answers": len(latencies), "timeouts": 0}
    found |= {"wrong_status": 0, "wrong_body": 0, "stale_bodies": 0}
    return found | {"histogram": {"values": deltas, "counts": [1] * len(latencies)}} | changes


#: The latencies of REPORT, dealt to two requests.
LIST, CREATE = counts("list", [100285, 100545, 100771], wrong_body=2), counts("create", [100985])


def report_of(*requests: dict[str, Any], unknown: int = 0) -> ProcessReport:
    """REPORT with these requests."""
    return read_wrk_report(decode(WrkReport, REPORT | {"mix": {"requests": list(requests), "unknown": unknown}}), 4)


def test_requests_of_all_processes_are_added() -> None:
    """Counts and histograms, exactly."""
    reports = [report_of(LIST, CREATE), report_of(LIST, CREATE)]

    items, create = add_requests(reports, add_latencies(reports))

    assert (items.sent, items.answers, items.wrong_body) == (8, 6, 4)
    assert items.observed.counts.tolist() == [2, 2, 2]
    record = create.record()
    assert record.latency is not None
    assert (record.answers, record.latency.p99_us) == (2, 100985)


def test_without_a_mix_there_are_none() -> None:
    """An ordinary load."""
    report = read_wrk_report(decode(WrkReport, REPORT), 4)
    assert add_requests([report], add_latencies([report])) == ()


def test_a_cells_record_and_histograms_have_each_request() -> None:
    """A captured cell whose answers are all of one request, in each of wrk's processes."""
    load = captured_load()
    mixed = []
    for wrk in load.wrk:
        assert wrk.report is not None
        connections = next(int(word[2:]) for word in wrk.argv if word.startswith("-c"))
        observed = read_wrk_report(wrk.report, connections).observed()
        deltas = [int(delta) for delta in np.diff(observed.values_us, prepend=0)]
        histogram = {"values": deltas, "counts": [int(count) for count in observed.counts]}
        all_counts = {"sent": wrk.report.requests + 2, "answers": wrk.report.requests, "histogram": histogram}
        mix = decode(MixReport, {"requests": [counts("one", [], **all_counts)], "unknown": 0})
        mixed.append(wrk.replace(report=wrk.report.replace(mix=mix)))
    raw = handmade_raw(load.replace(wrk=tuple(mixed)), server=captured_server())

    outcome = cell_outcome(raw, handmade_planned(handmade_cell()), 0)

    measured = outcome.record.measurement
    assert measured is not None
    [one] = measured.requests_by_name
    assert (one.name, one.answers, one.sent) == ("one", measured.requests, measured.requests + 2 * len(load.wrk))
    assert one.latency == measured.latency
    assert outcome.histograms["request:one"] == outcome.histograms["observed"]


def test_answers_that_do_not_add_up_are_refused() -> None:
    """Those of the requests and the unknown ones are all that wrk has."""
    with pytest.raises(ParseError, match="its requests have 3 answers and 0 are unknown; 4 were expected"):
        report_of(LIST)
    assert report_of(LIST, unknown=1).mix is not None


def test_latencies_that_are_not_wrks_own_are_refused() -> None:
    """An answer given to another connection has that one's send time."""
    shifted = report_of(counts("list", [200, 300, 400]), CREATE)
    with pytest.raises(ParseError, match="have a mean of 25471 µs, and wrk's own 100646 µs"):
        add_requests([shifted], add_latencies([shifted]))


def test_latencies_that_are_not_those_of_the_answers_are_refused() -> None:
    """A late one has none."""
    late = report_of(LIST | {"timeouts": 1}, CREATE)
    with pytest.raises(ParseError, match="list has 3 latencies of 3 answers, 1 late"):
        add_requests([late], add_latencies([late]))


def test_processes_with_different_mixes_are_refused() -> None:
    """They were to send the same."""
    reports = [report_of(LIST, CREATE), report_of(CREATE, LIST)]
    with pytest.raises(ParseError, match="not every process has the requests list, create"):
        add_requests(reports, add_latencies(reports))
