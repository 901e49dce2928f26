"""The answer of a run in sentences: who is fastest, what stands out, what is doubtful and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_environment,
    handmade_failure,
    handmade_histogram,
    handmade_measurement,
    handmade_plan,
)
from wrklab.report.answer import Answer, compose
from wrklab.report.contents import Contents, read_contents
from wrklab.results.records import CellRecord
from wrklab.results.run_folder import Run

RUNTIMES = {"flask": "python", "fastapi": "python", "go": "go", "openresty": "openresty"}


def rounds_of(variant: str, *rates_per_s: float, **changes: Any) -> list[CellRecord]:  # noqa: ANN401  keys of a window
    """One measured cell a rate."""
    return [
        handmade_cell(
            variant,
            round_number=number,
            measurement=handmade_measurement(requests_per_s=rate_per_s, requests=round(rate_per_s * 4), **changes),
        )
        for number, rate_per_s in enumerate(rates_per_s, 1)
    ]


def contents_of(folder: Path, cells: Sequence[CellRecord], limits: dict[str, int] | None = None) -> Contents:
    """What a report of just these cells reads; `limits` are requests at once by variant."""
    planned = handmade_plan(list(cells), runtimes=RUNTIMES)
    plan = planned.model_copy(
        update={
            "cells": tuple(
                cell.model_copy(update={"in_flight_limit": (limits or {}).get(cell.variant)}) for cell in planned.cells
            )
        }
    )
    with Run.create(folder, plan, handmade_environment()) as run:
        for cell in cells:
            run.add_cell(cell, {"observed": handmade_histogram({100_000: 2000})} if cell.measurement else {})
        run.end("finished")
        return read_contents(run)


def answer_of(folder: Path, cells: Sequence[CellRecord], limits: dict[str, int] | None = None) -> Answer:
    """The answer of just these cells."""
    return compose(contents_of(folder, cells, limits))


FAST = (9_000.0, 9_010.0, 9_020.0, 9_030.0, 9_040.0)
SLOW = (3_000.0, 3_010.0, 3_020.0, 3_030.0, 3_040.0)


def test_the_fastest_row_comes_first_with_its_lead(tmp_path: Path) -> None:
    """Its rate, and how far the next one is behind; the fastest Python server where another kind is ahead."""
    cells = [
        *rounds_of("go_net_http", *FAST),
        *rounds_of("flask_gunicorn_gevent", *SLOW),
        *rounds_of("flask_dev_sync", 1000.0, 1001.0, 1002.0, 1003.0, 1004.0),
    ]

    assert answer_of(tmp_path, cells).sentences == (
        "Fastest: go_net_http 9,020 requests/s; 3.0 times faster than flask_gunicorn_gevent.",
        (
            "Fastest Python server: flask_gunicorn_gevent 3,020 requests/s; 3.0 times slower than go_net_http, "
            "3.0 times faster than flask_dev_sync."
        ),
        "All 3 rows can be believed as they stand.",
    )


def test_rows_that_rounds_cannot_tell_apart_are_a_tie(tmp_path: Path) -> None:
    """Both are named, neither is the winner."""
    other = tuple(rate + 3.0 for rate in reversed(FAST))
    found = answer_of(
        tmp_path, [*rounds_of("flask_gunicorn_gevent", *FAST), *rounds_of("fastapi_uvicorn_async", *other)]
    )

    assert found.sentences[0] == (
        "Fastest: fastapi_uvicorn_async 9,023 and flask_gunicorn_gevent 9,020 requests/s, a tie."
    )


def test_rows_at_the_loads_ceiling_are_equal(tmp_path: Path) -> None:
    """What the load sets says nothing of who is faster, however far the rounds are apart."""
    cells = [
        *rounds_of("go_net_http", 19_500.0, 19_510.0, 19_520.0, server={"cpu_percent": 20.0}),
        *rounds_of("openresty_lua", 19_800.0, 19_810.0, 19_820.0, server={"cpu_percent": 20.0}),
    ]

    assert answer_of(tmp_path, cells).sentences[0] == (
        "Fastest: openresty_lua 19,810 and go_net_http 19,510 requests/s, as much as the load allows: 2,000 "
        "connections held 100 ms give at most 20,000, and more connections would tell them apart."
    )


def test_a_variants_own_limit_is_named_as_the_reason(tmp_path: Path) -> None:
    """40 at once held 100 ms are 400 requests/s, whatever the CPU."""
    cells = [*rounds_of("fastapi_uvicorn_sync", 390.0, 391.0, 392.0, server={"cpu_percent": 12.0})]
    found = answer_of(tmp_path, cells, {"fastapi_uvicorn_sync": 40})

    assert (
        "Its own limit on requests at once, not its CPU, sets the rate of fastapi_uvicorn_sync 391.0 (40 at once)."
        in found.sentences
    )


def test_doubtful_rows_are_counted_by_reason_and_never_win(tmp_path: Path) -> None:
    """The highest rate of all is doubtful here, so it is not the fastest; the command that settles it is given."""
    cells = [
        *rounds_of("flask_dev_sync", 19_000.0, 19_010.0, 19_020.0, connections_open=300),
        *rounds_of("flask_gunicorn_gevent", *SLOW),
    ]
    found = answer_of(tmp_path, cells)

    assert found.sentences[0] == "Fastest: flask_gunicorn_gevent 3,020 requests/s."
    assert found.sentences[-1] == "1 of 2 rows is doubtful: connections not open (1)."


def test_a_failed_row_is_told_with_its_reason(tmp_path: Path) -> None:
    """The first failure's text, on one line."""
    cells = [handmade_cell("flask_dev_sync", failure=handmade_failure(text="no right answer\nin 20 s"))]
    found = answer_of(tmp_path, cells)

    assert found.sentences == (
        "Nothing was measured: there is no answer.",
        "Failed: flask_dev_sync, ready: no right answer in 20 s.",
    )


def test_another_hold_is_other_work_and_never_wins(tmp_path: Path) -> None:
    """A variant that does not hold answers more requests because it does less."""
    quick = [cell.model_copy(update={"hold_ms": 0}) for cell in rounds_of("flask_dev_nosleep", *FAST)]
    cells = [*quick, *rounds_of("flask_gunicorn_gevent", *SLOW), *rounds_of("flask_dev_sync", *SLOW)]

    assert "flask_dev_nosleep" not in answer_of(tmp_path, cells).sentences[0]


@pytest.mark.parametrize("count", [1, 3])
def test_one_round_is_said_to_be_one(tmp_path: Path, count: int) -> None:
    """Without a second round nobody knows how far rounds differ."""
    found = answer_of(tmp_path, rounds_of("flask_gunicorn_gevent", *SLOW[:count]))

    assert any("rests on one round" in sentence for sentence in found.sentences) == (count == 1)
