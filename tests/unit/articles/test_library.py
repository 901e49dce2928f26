"""Cards answer every published row; wrong names are refused; a stored library is read again as it was."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.handmade_checkout import CARDS, REFERENCES, edit_checkout, write_checkout
from wrklab.articles.library import SNAPSHOT_FILE, ArticleLibrary, attachments, parse_snapshot, read_library
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.errors import CardError, StoreError
from wrklab.paths import PROJECT_DIR


@pytest.fixture(scope="module")
def real() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


@pytest.fixture(scope="module")
def library(real: Catalogue) -> ArticleLibrary:
    """The library of this checkout."""
    return read_library(real)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small checkout: one stack of two variants, one scenario, one suite, one published row, three probes."""
    write_checkout(tmp_path, CARDS | REFERENCES)
    return tmp_path


def test_every_published_row_is_answered_by_one_variant_under_one_scenario(real: Catalogue) -> None:
    """Each `row` of reference/wrk-*.csv stands once among all `published:` entries, and nothing else does."""
    rows = [
        record["row"]
        for path in sorted((PROJECT_DIR / "reference").glob("wrk-*.csv"))
        for record in csv.DictReader(path.open(encoding="utf-8"))
    ]
    answered = Counter(row for variant in real.variants.values() for row in variant.published.values())

    assert len(rows) == 17
    assert answered == Counter(rows)


def test_every_published_row_stands_in_the_suite_of_its_article(real: Catalogue, library: ArticleLibrary) -> None:
    """A suite is one article's table: the same rows, each by the variant that answers it under that scenario."""
    suite_of = {
        "wrk-flask-gunicorn": "flask_gunicorn_article",
        "wrk-gunicorn-uvicorn": "gunicorn_fastapi_article",
    }
    for source, suite in suite_of.items():
        in_csv = [row.row for row in library.rows.values() if row.source == source]
        rows = [(entry.variant, entry.scenario) for entry in real.suites[suite].rows]
        assert [real.variants[variant].published.get(scenario) for variant, scenario in rows] == in_csv


def test_every_published_probe_is_answered_by_one_variant(real: Catalogue, library: ArticleLibrary) -> None:
    """Each `row` of reference/probe-*.csv stands once among all `published_probe`, and nothing else does."""
    rows = [
        record["row"]
        for path in sorted((PROJECT_DIR / "reference").glob("probe-*.csv"))
        for record in csv.DictReader(path.open(encoding="utf-8"))
    ]
    answered = [variant.published_probe for variant in real.variants.values() if variant.published_probe is not None]

    assert len(rows) == 24
    assert Counter(answered) == Counter(rows)
    assert set(library.probes) == set(rows)


def test_every_published_probe_stands_in_the_suite_of_its_article(real: Catalogue, library: ArticleLibrary) -> None:
    """A suite begins with its article's rows in their order, each by its variant; what follows answers no row."""
    for source, suite in {
        "probe-flask": "flask_concurrency_article",
        "probe-fastapi": "fastapi_concurrency_article",
    }.items():
        in_csv = [row.row for row in library.probes.values() if row.source == source]
        probes = real.suites[suite].probes
        answered = [real.variants[probe.variant].published_probe for probe in probes]
        assert answered == in_csv + [None] * (len(probes) - len(in_csv))


def test_what_fails_in_the_articles_is_expected_to_fail(real: Catalogue, library: ArticleLibrary) -> None:
    """Variants whose published probe handled nothing expect the text of the article's error, and nothing else does."""
    failing = {row.row: row for row in library.probes.values() if row.in_flight == 0}
    expecting = {variant.published_probe: variant for variant in real.variants.values() if variant.expect_failure}

    assert set(expecting) == set(failing)
    for key, variant in expecting.items():
        assert variant.expect_failure is not None
        assert re.search(variant.expect_failure, failing[str(key)].overflow_text)


def test_variants_for_large_probes_send_what_the_article_sent(real: Catalogue, library: ArticleLibrary) -> None:
    """10,000 requests are sent where the article did, nowhere else."""
    asked = {v.published_probe: v.probe_requests_count for v in real.variants.values() if v.probe_requests_count}

    assert asked == {row.row: row.requests_count for row in library.probes.values() if (row.requests_count or 0) > 4000}


def test_the_articles_scenarios_are_the_published_load(real: Catalogue, library: ArticleLibrary) -> None:
    """Threads, connections and seconds of a published row are those of the scenario that answers it."""
    for variant in real.variants.values():
        for name, key in variant.published.items():
            scenario, row = real.scenarios[name], library.rows[key]
            assert (scenario.threads, scenario.connections, scenario.duration_s) == (
                row.threads,
                row.connections,
                row.duration_s,
            )
            assert (variant.hold_ms if scenario.path == "/health" else 0) == row.hold_ms


def test_standard_and_its_companions_compare_with_every_published_row(real: Catalogue, library: ArticleLibrary) -> None:
    """`bench --variant all` shows each article's row beside a measured one, at the same load."""
    standard = real.scenario("standard")
    family = [standard, *(real.scenario(name) for name in standard.companions)]
    shown = {
        key
        for scenario in family
        for variant in real.variants.values()
        if (key := real.published_key(variant, scenario)) is not None
    }

    assert shown == set(library.rows)
    for scenario in family:
        article = real.scenario(scenario.published_scenario)
        assert (scenario.path, scenario.threads, scenario.connections) == (
            article.path,
            article.threads,
            article.connections,
        )


def test_published_probes_are_read_as_values(project: Path) -> None:
    """Empty columns are None, `unbounded` is no limit; the words on reuse are a yes, a no or nothing."""
    small = read_library(read_catalogue(project), project)
    first, second, third = small.probes.values()

    assert small.probe_of("one") == first
    assert small.probe_of("two") is None
    assert (first.row, first.source, first.requests_count, first.rate_per_s, first.hold_s) == (
        "probe-one",
        "probe-mine",
        1000,
        3.33,
        800.0,
    )
    assert [probe.in_flight for probe in (first, second, third)] == [None, 40, 0]
    assert (second.requests_count, second.established, second.queued) == (None, 1000, 960)
    assert [probe.reused for probe in (first, second, third)] == [False, True, None]
    assert (third.overflow, third.overflow_text) == ("5xx", "500, TypeError")
    assert (first.overflow, first.overflow_text, first.reuse_text) == (
        "none seen",
        "none seen",
        "no (a new thread per request)",
    )


BAD_REFERENCES = {
    "unknown_row_in_published": (
        ("servers/shop/stack.yml", "row-one", "row-two"),
        (
            "servers/shop/stack.yml:10: variants.one.published.standard: unknown row of reference/wrk-*.csv 'row-two'. "
            "Did you mean row-one? Known: row-one."
        ),
    ),
    "unknown_published_probe": (
        ("servers/shop/stack.yml", "probe-one", "probe-on"),
        (
            "servers/shop/stack.yml:11: variants.one.published_probe: unknown row of reference/probe-*.csv 'probe-on'. "
            "Did you mean probe-one? Known: probe-one, probe-three, probe-two."
        ),
    ),
    "unreadable_number_in_a_published_probe": (
        ("reference/probe-mine.csv", "40,1000", "forty,1000"),
        "reference/probe-mine.csv:3: in_flight: 'forty' is not a whole number",
    ),
    "published_probe_without_a_capacity": (
        ("reference/probe-mine.csv", "40,1000", ",1000"),
        "reference/probe-mine.csv:3: in_flight: a number or `unbounded` was expected, found nothing",
    ),
    "published_probe_twice": (
        ("reference/probe-mine.csv", "probe-two", "probe-one"),
        "reference/probe-mine.csv:3: duplicate row 'probe-one'",
    ),
    "unreadable_number_in_a_published_row": (
        ("reference/wrk-mine.csv", "65.47", "sixty"),
        "reference/wrk-mine.csv:2: could not convert string to float: 'sixty'",
    ),
    "unknown_word_for_the_overflow": (
        ("reference/probe-mine.csv", "queued,,yes", "waiting,,yes"),
        (
            "reference/probe-mine.csv:3: overflow: one of none seen, queued, blocked, connect time-out, closed, 5xx "
            "was expected, found 'waiting'"
        ),
    ),
    "unknown_word_for_reuse": (
        ("reference/probe-mine.csv", "queued,,yes", "queued,,often"),
        "reference/probe-mine.csv:3: reused: yes, no or nothing was expected, found 'often'",
    ),
}


@pytest.mark.parametrize(("edit", "expected"), BAD_REFERENCES.values(), ids=BAD_REFERENCES)
def test_a_wrong_name_or_figure_is_refused_where_it_stands(
    project: Path, edit: tuple[str, str, str], expected: str
) -> None:
    """File, line and key, and the names that would do. The catalogue alone is read: it knows no articles."""
    edit_checkout(project, edit)
    catalogue = read_catalogue(project)

    with pytest.raises(CardError) as caught:
        read_library(catalogue, project)

    assert str(caught.value).replace(f"{project}/", "") == expected


def test_a_snapshot_is_the_library(library: ArticleLibrary) -> None:
    """Rows, probes, claims and all else come back from the text that a run stores."""
    [(name, text)] = attachments(library).items()

    assert name == SNAPSHOT_FILE
    assert parse_snapshot(text, Path("run")) == library


def test_a_run_without_a_snapshot_has_no_articles() -> None:
    """It was stored without them."""
    assert parse_snapshot(None, Path("run")) is None


def test_a_damaged_snapshot_is_refused_with_its_place(library: ArticleLibrary) -> None:
    """The file, the key, and what to do."""
    text = library.to_json().replace('"requests_per_s": 19643.94', '"requests_per_s": "fast"')

    with pytest.raises(StoreError, match=re.escape("run/articles.json: data.rows.go-net-http.requests_per_s: ")):
        parse_snapshot(text, Path("run"))
