"""Bytes an answer in the window and in the warm-up: what is noise of wrk's end, and what is another answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import handmade_measurement
from wrklab.results.records import Errors, WarmupRecord
from wrklab.summary.answer_sizes import answer_sizes

#: Go's answers of 119 bytes; 16 connections, each request held 100 ms.
WARMUP = WarmupRecord(requests=144, bytes_read=144 * 119, connections=16, errors=Errors())


def deviation(bytes_read: int, warmup: WarmupRecord = WARMUP, **changes: Any) -> float | None:  # noqa: ANN401
    """Of a window of 60,000 answers on 2,000 connections."""
    found = answer_sizes(handmade_measurement(bytes_read=bytes_read, warmup=warmup, **changes))
    return found.deviation_ratio if found else None


@pytest.mark.parametrize(
    ("answers", "is_other"),
    [
        ({119: 60_000}, False),
        # Answers of two pieces that were half read when wrk ended.
        ({119: 60_000, 100: 2_000}, False),
        # 204 for all and for a tenth of them; redirects, with a body and a place to go to.
        ({62: 60_000}, True),
        ({119: 54_000, 62: 6_000}, True),
        ({190: 60_000}, True),
    ],
)
def test_other_answers_have_another_length(answers: dict[int, int], *, is_other: bool) -> None:
    """Longer or shorter, all or some of them."""
    found = deviation(sum(size * number for size, number in answers.items()))

    assert found is not None
    assert (found > 0.02) == is_other


def test_a_warm_up_with_half_read_answers_is_less_exact() -> None:
    """12 whole answers of 117 bytes and four half read ones say 155 bytes an answer (captured so): not another one."""
    warmup = WarmupRecord(requests=12, bytes_read=1864, connections=4, errors=Errors())

    assert deviation(60_000 * 117, warmup) == 0
    assert (deviation(60_000 * 62, warmup) or 0) > 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"warmup": None},
        {"warmup": WARMUP.model_copy(update={"requests": 0, "bytes_read": 0})},
        {"warmup": WARMUP.model_copy(update={"errors": Errors(read=1)})},
        {"errors": Errors(read=1)},
        {"requests": 0},
        {"generator": {"connections_reopening": 40}},
    ],
)
def test_where_sizes_say_nothing_nothing_is_said(changes: dict[str, Any]) -> None:
    """No warm-up, no answers, cut-off ones, connections that close."""
    measurement = handmade_measurement(**{"bytes_read": 60_000 * 62, "warmup": WARMUP} | changes)

    assert answer_sizes(measurement) is None
