"""How many requests a server works on at once, by Little's law, and what keeps it from more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_histogram,
    handmade_latency,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
)
from wrklab.report.answer import compose, main_entries
from wrklab.report.at_once import AtOnce, SetBy, at_once, at_once_lines, at_once_values, in_work
from wrklab.report.contents import Contents, read_contents
from wrklab.report.markdown import to_markdown
from wrklab.results.records import CellRecord, Errors
from wrklab.results.run_folder import Run

ALONE = handmade_scenario(name="standard@c1", connections=1, threads=1, compares_with=None)
CROWD = handmade_scenario(name="standard@c64", connections=64, compares_with=None)


def alone(variant: str, mean_us: float, number: int = 1) -> CellRecord:
    """One connection, each answer after this time."""
    found = handmade_measurement(
        requests_per_s=1e6 / mean_us,
        latency=handmade_latency(mean_us=mean_us),
        connections_asked=1,
        connections_open=1,
        server={"cpu_percent": 30.0},
    )
    return handmade_cell(variant, ALONE.name, number, measurement=found, published_row=None, hold_ms=0)


def crowd(  # noqa: PLR0913
    variant: str,
    rate_per_s: float,
    number: int = 1,
    *,
    limit: int | None = None,
    cpu_percent: float = 40.0,
    errors_status: int = 0,
) -> CellRecord:
    """64 connections."""
    found = handmade_measurement(
        requests_per_s=rate_per_s,
        connections_asked=64,
        connections_open=64,
        errors=Errors(status=errors_status),
        server={"cpu_percent": cpu_percent},
    )
    return handmade_cell(
        variant, CROWD.name, number, measurement=found, published_row=None, hold_ms=0, in_flight_limit=limit
    )


def contents_of(folder: Path, *cells: CellRecord) -> Contents:
    """What a report on a run of these cells says."""
    with Run.create(folder, handmade_plan(list(cells), scenarios=[ALONE, CROWD]), handmade_environment()) as run:
        for cell in cells:
            mean_us = cell.measurement.latency.mean_us if cell.measurement and cell.measurement.latency else 0.0
            run.add_cell(cell, {"observed": handmade_histogram({round(mean_us): 1000})})
        run.end("finished")
        return read_contents(run)


def found_for(folder: Path, *cells: CellRecord) -> AtOnce:
    """The only variant's."""
    (one,) = at_once(contents_of(folder, *cells))
    return one


@pytest.mark.parametrize(
    ("rate_per_s", "limit", "cpu_percent", "set_by", "text"),
    [
        (197.0, 4, 40.0, SetBy.LIMIT, "about 3.9 requests at once, set by its limit of 4"),
        (51.0, None, 99.0, SetBy.CPU, "about 1.0 requests at once, set by its CPUs"),
        # Its limit is far, and its CPU is what there is.
        (51.0, 64, 99.0, SetBy.CPU, "about 1.0 requests at once, set by its CPUs"),
        (3100.0, None, 60.0, SetBy.CONNECTIONS, "at least 62 requests at once, set by the load: 64 connections"),
        (
            500.0,
            64,
            30.0,
            SetBy.ELSEWHERE,
            "about 10 requests at once, set by something else: a pool, a lock, a backend",
        ),
    ],
)
def test_rate_and_time_alone_say_how_many_are_in_work(  # noqa: PLR0913, PLR0917
    tmp_path: Path, rate_per_s: float, limit: int | None, cpu_percent: float, set_by: SetBy, text: str
) -> None:
    """A request takes 20 ms alone."""
    loaded = crowd("shop", rate_per_s, limit=limit, cpu_percent=cpu_percent)
    one = found_for(tmp_path, alone("shop", 20_000.0), loaded)

    assert one.count == pytest.approx(rate_per_s * 0.02)
    assert one.set_by is set_by
    assert one.sentence.startswith(f"shop works on {text}")


def test_rounds_say_how_sure_it_is(tmp_path: Path) -> None:
    """From the least rate and time to the most."""
    cells = [alone("shop", 20_000.0, 1), alone("shop", 22_000.0, 2), crowd("shop", 190.0, 1), crowd("shop", 200.0, 2)]
    one = found_for(tmp_path, *cells)

    assert [one.low, one.high] == pytest.approx([3.8, 4.4])
    assert next(at_once_lines((one,)))[1:3] == (in_work(one.count), "3.8-4.4")


def test_a_doubtful_rate_makes_a_doubtful_figure(tmp_path: Path) -> None:
    """And says why; report.md shows it in italics."""
    contents = contents_of(tmp_path, alone("shop", 20_000.0), crowd("shop", 300.0, errors_status=30_000))
    (one,) = at_once(contents)

    assert one.doubt
    assert f"(doubtful: {one.doubt})" in one.sentence
    section = to_markdown(contents).partition("## How many requests at once")[2].partition("##")[0]
    assert f"*{in_work(one.count)}*" in section
    assert at_once_values((one,))[0]["doubt"] == one.doubt


def test_both_loads_are_needed(tmp_path: Path) -> None:
    """Without one connection, or with it alone, nothing is said, and report.md has no such part."""
    contents = contents_of(tmp_path, alone("shop", 20_000.0), crowd("other", 300.0))
    assert at_once(contents) == ()
    assert "How many requests at once" not in to_markdown(contents)


def test_the_most_at_once_comes_first(tmp_path: Path) -> None:
    """Of those with the same figure, by name."""
    cells = [
        cell for name in ("b", "a", "c") for cell in (alone(name, 20_000.0), crowd(name, 50.0 if name < "c" else 90.0))
    ]
    assert [one.variant for one in at_once(contents_of(tmp_path, *cells))] == ["c", "a", "b"]


def test_every_report_says_it_in_its_answer(tmp_path: Path) -> None:
    """The rates in it are those of many connections."""
    contents = contents_of(tmp_path, alone("shop", 20_000.0), crowd("shop", 197.0, limit=4))
    sentences = compose(contents).sentences

    assert "shop works on about 3.9 requests at once, set by its limit of 4." in sentences
    assert [entry.row.scenario for entry in main_entries(contents)] == [CROWD.name]
