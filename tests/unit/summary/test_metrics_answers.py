"""Whether answers were right: their sizes, errors in logs, what was found after the window."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_records import (
    handmade_cell,
    handmade_measurement,
    handmade_plan,
    row_of,
)
from wrklab.protocol.load import AnswerKind
from wrklab.results.records import Errors, WarmupRecord
from wrklab.summary.metrics_answers import answer_sizes
from wrklab.summary.rows import summarise

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


def test_a_unit_that_ended_and_a_wrong_answer_are_kept_once() -> None:
    """Texts of several rounds stand once each; a unit that ran on leaves none."""
    after = {"verify_after": "no answer in 4 s", "verify_after_kind": "timed_out"}
    dead = handmade_measurement(server={"unit_state": "failed/oom-kill"}, generator=after)
    row = row_of(
        [
            handmade_cell(round_number=1, measurement=dead),
            handmade_cell(round_number=2, measurement=dead),
            handmade_cell(round_number=3),
        ]
    )

    assert (row.units_ended, [found.text for found in row.found_after]) == (("failed/oom-kill",), ["no answer in 4 s"])


def test_errors_of_the_servers_logs_are_added_over_rounds() -> None:
    """Numbers within a text (pids) do not tell errors apart; the most frequent comes first."""
    logs = (
        [{"text": "WORKER TIMEOUT (pid:1)", "count": 1}, {"text": "RuntimeError: can't start new thread", "count": 5}],
        [{"text": "WORKER TIMEOUT (pid:2)", "count": 2}],
    )
    cells = [
        handmade_cell(round_number=number, measurement=handmade_measurement(server={"log_errors": found}))
        for number, found in enumerate(logs, start=1)
    ]
    (row,) = summarise(handmade_plan(cells), cells, lambda _: {})
    assert list(row.log_errors.items()) == [("RuntimeError: can't start new thread", 5), ("WORKER TIMEOUT (pid:1)", 3)]


def test_what_tells_right_answers_is_combined_over_rounds() -> None:
    """The quickest idle answer; the warm-ups' errors added; the round whose answers differ most."""
    cells = [
        handmade_cell(
            round_number=number,
            measurement=handmade_measurement(
                first_answer_s=first_answer_s,
                bytes_read=60_000 * size,
                warmup={"requests": 100, "bytes_read": 11_900, "connections": 4, "errors": {"status": 2}},
            ),
        )
        for number, first_answer_s, size in ((1, 0.102, 119), (2, 0.101, 62), (3, 0.103, 119))
    ]
    row = row_of(cells)

    assert (row.first_answer_s, row.warmup_errors, row.warmup_requests) == (0.101, Errors(status=6), 300)
    assert row.answer_sizes is not None
    assert (row.answer_sizes.window_bytes, row.answer_sizes.warmup_bytes) == (62, 119)


def test_each_generators_get_after_the_window_stands_alone() -> None:
    """So that one that was refused is not lost behind one that only waited."""
    [generator] = handmade_measurement().generators
    parts = [
        generator.model_copy(update={"host": host, "verify_after": found, "verify_after_kind": kind})
        for host, found, kind in (
            ("loadgen", "timed out", AnswerKind.TIMED_OUT),
            ("loadgen_2", "connection refused", AnswerKind.REFUSED),
            ("loadgen_3", "", AnswerKind.RIGHT),
        )
    ]
    row = row_of([handmade_cell(measurement=handmade_measurement(generators=parts, verify_after="both, as one text"))])

    assert [found.text for found in row.found_after] == [
        "timed out (from loadgen)",
        "connection refused (from loadgen_2)",
    ]
