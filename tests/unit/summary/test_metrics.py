"""The registry: what an entry is, that one entry is enough, and that every entry says what it should."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import pytest

from tests.unit.handmade_records import ROUNDS, changed, handmade_summary, row_of
from tests.unit.handmade_run import handmade_run
from wrklab.summary.metrics import Metric, Over, RowSource, Unit, largest, metrics_of, of_row
from wrklab.summary.rows import GENERATOR_METRICS, METRICS, SummaryRow, summarise

#: What a name ends in, and the unit that it then has.
_ENDINGS = {
    "_per_s": Unit.PER_SECOND,
    "_percent": Unit.PERCENT,
    "_ratio": Unit.RATIO,
    "_us": Unit.MICROSECONDS,
    "_us_per_request": Unit.MICROSECONDS,
    "_ms": Unit.MILLISECONDS,
    "_bytes": Unit.BYTES,
}


RowType = TypeVar("RowType", bound=SummaryRow)


def as_row(row_type: type[RowType]) -> RowType:
    """ROUNDS as a row of another class."""
    row = row_of(ROUNDS)
    return row_type(**{field.name: getattr(row, field.name) for field in fields(row)})


class _RowWithMore(SummaryRow):
    """What a new metric takes: one entry."""

    softirq_cpu_percent = largest(
        lambda window: window.server.softirq_cpu_percent, Unit.PERCENT, "the kernel's work for packets", share="softirq"
    ).shown("softirq %", "rate", str)


def test_a_new_metric_is_one_entry() -> None:
    """It is computed over the rounds, has a column, and stands where its class says."""
    [new] = [metric for metric in metrics_of(_RowWithMore) if metric not in METRICS]
    row = as_row(_RowWithMore)

    assert (new.name, new.theme, new.doubt, new.rounds) == ("softirq_cpu_percent", "Harness", "none", Over.LARGEST)
    assert (row.softirq_cpu_percent, new.scalar_of(row), new.text_of(row)) == (None, None, "None")


def test_a_value_is_computed_once() -> None:
    """And kept in the row, so that a test can set it there."""
    calls: list[int] = []

    def count(row: RowSource) -> int:
        calls.append(1)
        return len(row.cells)

    class Counting(SummaryRow):
        counted = of_row(count, Unit.NONE, "how many cells")

    found = as_row(Counting)
    assert (found.counted, found.counted, calls) == (3, 3, [1])
    assert replace(found, cells=()).counted == 0


def test_what_follows_from_a_changed_value_follows_again() -> None:
    """The tests' rows: a changed metric changes those that are derived from it, unless they are given."""
    row = handmade_summary(requests_per_s=10_000.0, rounds=3, requests_per_s_min=9_000.0, requests_per_s_max=11_000.0)

    assert row.ideal_ratio == 0.5
    assert row.spread_ratio == pytest.approx(0.2)
    assert changed(row, requests_per_s=16_000.0).ideal_ratio == 0.8
    assert changed(row, requests_per_s=16_000.0, ideal_ratio=0.9).ideal_ratio == 0.9
    with pytest.raises(AttributeError, match="a row has no speed"):
        changed(row, speed=1)


def test_an_entry_without_a_scalar_says_so() -> None:
    """Instead of a column with a Python object's name in it."""

    class Wrong(SummaryRow):
        hosts = of_row(lambda _: ("a", "b"), Unit.NONE, "no scalar")

    wrong = as_row(Wrong)
    with pytest.raises(TypeError, match=r"metric hosts: its value is a tuple; give the entry written\(\.\.\.\)"):
        Wrong.hosts.scalar_of(wrong)
    with pytest.raises(ValueError, match="metric hosts has no column in the main table"):
        Wrong.hosts.text_of(wrong)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_an_entry_is_complete(metric: Metric[object]) -> None:
    """A definition of one sentence that fits its table, and the unit that its name ends in."""
    assert metric.definition
    assert "\n" not in metric.definition
    assert not metric.definition.endswith(".")
    assert "|" not in metric.definition
    assert metric.theme
    ends = [unit for ending, unit in _ENDINGS.items() if metric.name.endswith(ending)]
    if metric.is_column and ends:
        assert metric.unit in ends


def test_names_and_keys_are_unique() -> None:
    """Of columns, of keys of one generator, and of the main table's headers."""
    for names in (
        [metric.name for metric in METRICS],
        [metric.share for metric in GENERATOR_METRICS],
        [metric.header.title for metric in METRICS if metric.header],
    ):
        assert len(names) == len(set(names))


def test_every_entry_has_a_scalar_of_every_row() -> None:
    """Also of rows that failed or were not reached."""
    plan, cells, histograms = handmade_run()
    rows = summarise(plan, cells, lambda cell_id: histograms[cell_id])

    assert {row.state for row in rows} == {"measured", "partial", "failed", "missing"}
    for row in rows:
        for metric in METRICS:
            if metric.is_column:
                assert isinstance(metric.scalar_of(row), str | int | float | None)
        for share in row.generators:
            for metric in GENERATOR_METRICS:
                assert isinstance(metric.scalar_of(share), str | int | float | None)


def test_generators_without_a_rule_to_combine_have_one_value_each() -> None:
    """What a single generator shows of itself says how several became one."""
    alone = {"start_skew_s", "start_apart_s", "connections_asked", "requests_per_s"}

    assert {metric.name for metric in GENERATOR_METRICS if metric.generators is Over.NONE} == alone
