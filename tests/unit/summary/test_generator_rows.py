"""What each of several generators did, over rounds."""

from __future__ import annotations

from tests.unit.handmade_records import handmade_cell, handmade_generator, handmade_histogram, handmade_measurement
from wrklab.results.records import CellRecord, Errors, GeneratorRecord
from wrklab.summary.generator_rows import generator_rows


def part(host: str, **changes: object) -> GeneratorRecord:
    """One generator's window: half of 2,000 connections."""
    values: dict[str, object] = {
        "host": host,
        "wrk_processes": 1,
        "requests": 30_000,
        "requests_per_s": 7500.0,
        "connections_asked": 1000,
        "connections_open": 1000,
        "wrk_cpu_percent_of_one": 40.0,
        "cpus_count": 1,
        "cpu_percent": 40.0,
        "start_skew_s": 0.004,
    }
    return handmade_generator(**(values | changes))


def cell(round_number: int, *parts: GeneratorRecord) -> CellRecord:
    """A round on these generators."""
    return handmade_cell(round_number=round_number, measurement=handmade_measurement(generators=parts))


def test_one_generator_is_no_matter_of_its_own() -> None:
    """Its figures are the row's."""
    assert generator_rows([cell(1, part("loadgen")), cell(2, part("loadgen"))], lambda _: {}) == ()


def test_rounds_are_combined_as_the_rows_are() -> None:
    """Counts are added, rates and CPU in the middle, the worst of connections and skew, histograms added."""
    first = cell(
        1,
        part("loadgen", shared_cpu_percent=80.0),
        part("loadgen_2", connections_open=990, errors=Errors(read=2)),
    )
    second = cell(
        2,
        part("loadgen", requests_per_s=7300.0, start_skew_s=0.012),
        part("loadgen_2", errors=Errors(read=1, timeout=4)),
    )
    histograms = {
        first.cell_id: {"observed": b"", "observed@loadgen": handmade_histogram({100: 1, 300: 1})},
        second.cell_id: {"observed": b"", "observed@loadgen": handmade_histogram({200: 3})},
    }
    one, other = generator_rows([first, second], lambda cell_id: histograms[cell_id])

    assert (one.host, one.requests, one.requests_per_s, one.start_skew_s) == ("loadgen", 60_000, 7400.0, 0.012)
    assert one.cpu_percent == 60.0
    assert one.latency is not None
    assert (one.latency.count, one.latency.p50_us, one.latency.max_us) == (5, 200, 300)
    assert (other.connections_open, other.errors, other.latency) == (990, Errors(read=3, timeout=4), None)
