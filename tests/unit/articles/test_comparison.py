"""Published rows next to measured ones: another load has no ratio, and says so; other lengths are a remark."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from tests.unit.handmade_claims import handmade_row
from wrklab.articles.comparison import Comparison, compare_published, rank_correlation
from wrklab.articles.library import ArticleLibrary, read_library
from wrklab.catalogue.catalogue import read_catalogue

GEVENT = "flask-gunicorn-gevent"


@pytest.fixture(scope="module")
def library() -> ArticleLibrary:
    """The library of this checkout."""
    return read_library(read_catalogue())


def compared(library: ArticleLibrary, **changes: Any) -> Comparison:  # noqa: ANN401  fields of a row
    """gunicorn with gevent under the article's load, or another one, next to the article's row."""
    row = handmade_row("flask_gunicorn_gevent", [8000] * 3, **changes).row
    tables = compare_published(library, [(GEVENT, row)])
    [found] = [one for one in tables["wrk-flask-gunicorn"] if one.published.row == GEVENT]
    return found


def test_the_articles_load_has_ratios(library: ArticleLibrary) -> None:
    """Rate, mean and maximum."""
    found = compared(library)

    assert not found.is_other_load
    assert found.requests_per_s_ratio == pytest.approx(8000 / 15_799.31)
    assert found.latency_mean_ratio == pytest.approx(101.0 / 126.18)
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"connections_asked": 500}, "500 connections here, 2,000 there"),
        ({"path": "/cpu", "hold_ms": 0}, "/cpu here, /health there"),
        ({"hold_ms": 20}, "held 20 ms here, 100 ms there"),
        ({"connections_asked": 500, "hold_ms": 20}, "500 connections here, 2,000 there, held 20 ms here, 100 ms there"),
    ],
)
def test_another_load_has_no_ratio_and_says_why(library: ArticleLibrary, changes: dict[str, Any], text: str) -> None:
    """Connections, path and hold set what a server does: its rate is not comparable with the article's."""
    found = compared(library, **changes)

    assert found.is_other_load
    assert (found.requests_per_s_ratio, found.latency_mean_ratio, found.latency_max_ratio) == (None, None, None)
    assert found.remarks == (f"another load, so no ratio: {text}",)
    assert found.ours is not None


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"duration_s": 4.0}, "4 s here, 60 s there"), ({"threads": 2}, "2 threads of wrk here, 4 there")],
)
def test_other_lengths_and_threads_are_a_remark(library: ArticleLibrary, changes: dict[str, Any], text: str) -> None:
    """They do not change what the server is asked to do."""
    found = compared(library, **changes)

    assert found.requests_per_s_ratio is not None
    assert found.remarks == (text,)


def test_another_load_has_no_place_in_an_order(library: ArticleLibrary) -> None:
    """It is left out, with the reason."""
    comparisons = [compared(library), compared(library, hold_ms=20)]
    found = rank_correlation("mine", comparisons[1:], lambda _: False)
    twice = rank_correlation("mine", [comparisons[1], comparisons[0]], lambda _: False)

    assert (found.pairs_count, found.left_out) == (0, ((GEVENT, "another load here"),))
    assert (twice.pairs_count, twice.left_out) == (1, ())


@pytest.mark.parametrize(
    "here",
    [[10, 20, 30, 40, 50], [50, 20, 20, 40, 10], [7, 7, 7, 7, 8], [3, 1, 2, 2, 9]],
    ids=["same order", "ties", "nearly one value", "mixed"],
)
def test_rank_correlations_are_scipys(library: ArticleLibrary, here: list[int]) -> None:
    """With ties on both sides too."""
    there, usual = [1.0, 2.0, 2.0, 4.0, 5.0], compared(library)
    comparisons = [
        replace(
            usual,
            published=usual.published.model_copy(update={"row": f"row {number}", "requests_per_s": published}),
            ours=handmade_row("flask_gunicorn_gevent", [measured] * 3).row,
        )
        for number, (published, measured) in enumerate(zip(there, here, strict=True))
    ]

    found = rank_correlation("mine", comparisons, lambda _: False)

    measured = [comparison.ours.requests_per_s for comparison in comparisons if comparison.ours]
    assert found.pairs_count == len(measured) == 5
    assert found.spearman == pytest.approx(stats.spearmanr(there, measured).statistic)
    assert found.kendall == pytest.approx(stats.kendalltau(there, measured).statistic)
