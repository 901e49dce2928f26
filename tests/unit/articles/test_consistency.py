"""What does not fit within an article is found from its figures; what fits is left alone; rank correlations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.handmade_claims import handmade_row
from wrklab.articles.comparison import Comparison, RankCorrelation, rank_correlation
from wrklab.articles.consistency import Inconsistency, find_inconsistencies
from wrklab.articles.library import ArticleLibrary, read_library
from wrklab.articles.reference import PublishedRow, RepeatedFigure, parse_printed
from wrklab.catalogue.catalogue import read_catalogue

LIBRARY = read_library(read_catalogue())
DATA = LIBRARY.data
#: A row of which nothing is wrong.
SOUND = LIBRARY.rows["go-net-http"]


def with_only(**parts: Any) -> ArticleLibrary:  # noqa: ANN401  fields of ArticleData
    """The library without claims, and of rows, probes and repeated figures only these."""
    nothing: dict[str, Any] = {"rows": {}, "probes": {}, "repeated": {}}
    return LIBRARY.model_copy(update={"suites": {}, "data": DATA.model_copy(update=nothing | parts)})


def found_in(row: PublishedRow) -> list[tuple[str, str]]:
    """(kind, what) of everything that does not fit in one row."""
    return [(one.kind, one.what) for one in find_inconsistencies(with_only(rows={row.row: row}))]


def real() -> dict[str, list[Inconsistency]]:
    """Everything in the articles, by row."""
    found: dict[str, list[Inconsistency]] = {}
    for one in find_inconsistencies(LIBRARY):
        found.setdefault(one.row, []).append(one)
    return found


def test_the_summarys_maximum_is_not_its_runs() -> None:
    """One line of the summary repeats the maximum of the line above; all other lines are their runs'."""
    wrong = [one for found in real().values() for one in found if one.second.startswith("the summary says")]

    assert [one.sentence for one in wrong] == [
        "fastapi-gunicorn-uvicorn: maximum latency: its run printed 263.13 ms, but the summary says 273.27ms"
    ]
    assert len(DATA.summaries) == 15


def test_every_kind_of_mismatch_is_found_in_the_articles() -> None:
    """Address, time-out, CPU time, Little's law, requests that are nowhere, and texts that differ from logs."""
    found = {row: {one.what for one in all_of_row if one.kind == "mismatch"} for row, all_of_row in real().items()}

    assert found["openresty"] == {"address"}
    assert found["sanic"] == {"time-out"}
    assert found["fastapi-uvicorn-plain"] == {"CPU time"}
    assert found["fastapi-gunicorn-plain"] == {"rate x mean latency"}
    assert found["flask-uwsgi-threads10"] == {"requests"}
    assert found["fastapi-uvicorn-sync-10000"] == {"requests"}
    assert found["flask-process-limit"] == {"limit that 10000 requests meet"}
    assert "flask-threaded-251" not in found  # 251 by the log, 251 by netstat


def test_claims_that_an_articles_figures_do_not_bear_out_are_among_them() -> None:
    """Nearly ten times is 8.3 times; what rests on rows at the load's limit cannot be told."""
    found = {(one.kind, one.row) for all_of_row in real().values() for one in all_of_row}

    assert {row for kind, row in found if kind == "contradiction"} == {
        "gunicorn_nearly_tenfold",
        "go_tenfold_connections_tenfold_gunicorn",
    }
    assert ("unfounded", "openresty_level_with_go") in found
    assert {one.article for all_of_row in real().values() for one in all_of_row} <= set(DATA.articles)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"requests": 1_190_108},
            [("mismatch", "requests"), ("mismatch", "requests / rate"), ("mismatch", "transfer")],
        ),
        ({"latency_max_ms": 121.62, "errors_timeout": 3}, [("misleading", "maximum latency")]),
        ({"latency_mean_ms": 99.0}, [("mismatch", "mean latency"), ("mismatch", "mean latency")]),
        ({"latency_max_ms": 1200.0}, [("mismatch", "maximum latency"), ("mismatch", "time-out")]),
        ({"hold_ms": 0, "connections": 4000}, [("misleading", "mean latency")]),
        ({"connections": 1900}, [("mismatch", "rate"), ("mismatch", "rate x mean latency")]),
    ],
)
def test_a_figure_that_is_changed_is_found(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """A sound row has nothing; each wrong figure is told by the other that it does not fit."""
    assert found_in(SOUND.model_copy(update=changes)) == expected


def test_repeated_figures_are_the_same_as_far_as_their_digits_go() -> None:
    """16.7 is 17 and is not 16; texts are the same or not."""

    def differs(first: str, second: str) -> bool:
        figure = RepeatedFigure(
            row="one",
            article="article",
            figure="figure",
            first_place="here",
            first=first,
            second_place="there",
            second=second,
        )
        return bool(find_inconsistencies(with_only(repeated={"one": figure})))

    assert not differs("16.7", "17")
    assert differs("16.7", "16")
    assert not differs("asyncio", "asyncio")
    assert differs("asyncio and uvloop", "asyncio")


def test_printed_numbers_keep_their_digits() -> None:
    """Times become ms, sizes bytes; the last digit bounds what the number may have been."""
    assert parse_printed("1.99s").allows(1990)
    assert not parse_printed("1.99s").allows(1999)
    assert parse_printed("388.86KB/s").value == pytest.approx(388.86 * 1024)
    assert parse_printed("137538").allows(137_538)
    assert not parse_printed("137538").allows(137_539)
    with pytest.raises(ValueError, match="'fast' is not a number"):
        parse_printed("fast")


def correlation(*rates: tuple[float, float | None], doubtful: tuple[int, ...] = ()) -> RankCorrelation:
    """Of (published, measured) rates; a measured None was not measured."""
    rows = [None if here is None else handmade_row(f"v{i}", [here] * 3).row for i, (_, here) in enumerate(rates)]
    comparisons = [
        Comparison(SOUND.model_copy(update={"row": f"r{i}", "requests_per_s": there}), row)
        for i, ((there, _), row) in enumerate(zip(rates, rows, strict=True))
    ]
    return rank_correlation("mine", comparisons, lambda row: int(row.variant[1:]) in doubtful)


def test_the_order_of_a_table_is_compared() -> None:
    """The same order is 1, the reverse -1; one pair of three changed is 0.5 by Spearman and a third by Kendall."""
    same = correlation((1, 10), (2, 20), (3, 30))
    reverse = correlation((1, 30), (2, 20), (3, 10))
    changed = correlation((1, 20), (2, 10), (3, 30))

    assert (same.pairs_count, same.spearman, same.kendall) == pytest.approx((3, 1, 1))
    assert (reverse.spearman, reverse.kendall) == pytest.approx((-1, -1))
    assert (changed.spearman, changed.kendall) == pytest.approx((0.5, 1 / 3))


def test_what_a_correlation_leaves_out_is_told() -> None:
    """Rows not measured are out; doubtful ones count in a second figure only; two pairs say nothing."""
    found = correlation((1, 10), (2, 20), (3, 30), (4, 5), (5, None), doubtful=(3,))

    assert found.left_out == (("r4", "not measured in this run"), ("r3", "its rate here is doubtful"))
    assert (found.pairs_count, found.spearman) == pytest.approx((3, 1))
    assert found.doubtful_pairs_count == 1
    assert found.spearman_with_doubtful == pytest.approx(-0.2)
    assert correlation((1, 10), (2, 20)).spearman is None
    assert correlation((1, 10), (2, 10), (3, 10)).kendall is None
