"""Each request of a row's mix, all rounds together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_histogram,
    handmade_measurement,
    handmade_plan,
    handmade_scenario,
    row_of,
)
from wrklab.results.records import CellRecord, RequestRecord
from wrklab.summary.request_rows import request_rows
from wrklab.summary.rows import SummaryRow, cell_row, summarise

SCENARIO = handmade_scenario(
    name="shop",
    compares_with=None,
    requests=[{"name": "list", "weight": 8, "path": "/items"}, {"name": "create", "weight": 2, "path": "/new"}],
)


def part(name: str, sent: int, **changes: Any) -> RequestRecord:  # noqa: ANN401
    """Of one round; all but one are answered."""
    values = {"name": name, "sent": sent, "answers": sent - 1, "timeouts": 0, "wrong_status": 0, "wrong_body": 0}
    return RequestRecord.model_validate(values | {"latency": None} | changes)


def cell(round_number: int, *parts: RequestRecord) -> CellRecord:
    """A round of 4 s."""
    measurement = handmade_measurement(requests_by_name=parts)
    return handmade_cell(scenario="shop", round_number=round_number, measurement=measurement)


CELLS = [
    cell(1, part("list", 801), part("create", 201, wrong_status=3)),
    cell(2, part("list", 799), part("create", 199, wrong_body=2, timeouts=1)),
]
HISTOGRAMS = {
    CELLS[0].cell_id: {"request:list": handmade_histogram({100: 99}), "request:create": handmade_histogram({900: 5})},
    CELLS[1].cell_id: {"request:list": handmade_histogram({300: 1}), "request:create": handmade_histogram({700: 5})},
}


def shop_row() -> SummaryRow:
    """Both rounds."""
    [row] = summarise(handmade_plan(CELLS, scenarios=[SCENARIO]), CELLS, HISTOGRAMS.__getitem__)
    return row


def test_counts_of_all_rounds_are_added() -> None:
    """Rates are over the length of all windows, shares of all that was sent."""
    items, create = request_rows(shop_row())

    assert (items.request, items.path, items.asked_ratio, items.sent_ratio) == ("list", "/items", 0.8, 0.8)
    assert (items.sent, items.answers, items.unanswered) == (1600, 1598, 2)
    assert items.answers_per_s == pytest.approx(1598 / 8)
    assert (create.timeouts, create.wrong_status, create.wrong_body) == (1, 3, 2)


def test_latencies_come_from_added_histograms() -> None:
    """Never from percentiles of rounds."""
    items, create = request_rows(shop_row())

    assert items.latency is not None
    assert create.latency is not None
    assert (items.latency.mean_us, items.latency.p50_us, items.latency.max_us) == (102, 100, 300)
    assert create.latency.mean_us == 800


def test_without_a_mix_there_are_none() -> None:
    """An ordinary row; and of a cell's own row the record has the latencies."""
    assert request_rows(row_of([handmade_cell()])) == ()
    own = cell_row(handmade_plan(CELLS, scenarios=[SCENARIO]), CELLS[0])
    assert [found.latency for found in request_rows(own)] == [None, None]
