"""The checkout's own cards load and answer every published row; names that cards use of each other are checked."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.errors import CardError, UnknownNameError, UsageError
from wrklab.paths import PROJECT_DIR

STACK = """---
description: A stack for tests
runtime: go
files: [main.go]
variants:
  one:
    description: The first variant
    command: "{app_dir}/server"
    published:
      standard: row-one
    published_probe: probe-one
  two:
    description: The second variant
    command: "{app_dir}/server"
"""
SCENARIO = """---
description: A scenario for tests
threads: 4
connections: 2000
duration_s: 4s
companions: [standard]
"""
SUITE = """---
description: A suite for tests
rows:
  - {variant: one, scenario: standard, published: row-one}
probes:
  - {variant: one, published: probe-one}
  - {variant: two}
"""
PUBLISHED = """row,label,threads,connections,duration_s,hold_ms,requests,requests_per_s,latency_mean_ms,\
latency_stdev_ms,latency_max_ms,err_connect,err_read,err_write,err_timeout,transfer,article_note
row-one,One,4,2000,60,100,100,1.5,65.47,81.07,1990,0,114,0,144,388.86KB/s,note
"""
PUBLISHED_PROBE = """row,label,requests,rate_per_s,hold_s,in_flight,established,queued,overflow,worker_reuse,\
serving_worker,article_note
probe-one,One,1000,3.33,800,unbounded,,0,none seen,no (a new thread per request),Thread-N,note
probe-two,Two,,,,40,1000,960,queued,yes,AnyIO worker thread,
probe-three,Three,1,,,0,,,"500, TypeError",,,
"""


@pytest.fixture(scope="module")
def real() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small checkout: one stack of two variants, one scenario, one suite, one published row."""
    for path, text in {
        "servers/shop/stack.yml": STACK,
        "servers/shop/main.go": "",
        "scenarios/standard.yml": SCENARIO,
        "suites/mine.yml": SUITE,
        "reference/wrk-mine.csv": PUBLISHED,
        "reference/probe-mine.csv": PUBLISHED_PROBE,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
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


def test_every_published_row_stands_in_the_suite_of_its_article(real: Catalogue) -> None:
    """A suite is one article's table: the same rows, each by the variant that answers it under that scenario."""
    suite_of = {
        "wrk-flask-gunicorn": "flask_gunicorn_article",
        "wrk-gunicorn-uvicorn": "gunicorn_fastapi_article",
    }
    for source, suite in suite_of.items():
        in_csv = [row.row for row in real.published.values() if row.source == source]
        assert [entry.published for entry in real.suites[suite].rows] == in_csv
    for suite_card in real.suites.values():
        for entry in suite_card.rows:
            assert real.variants[entry.variant].published.get(entry.scenario) == entry.published


def test_every_published_probe_is_answered_by_one_variant(real: Catalogue) -> None:
    """Each `row` of reference/probe-*.csv stands once among all `published_probe`, and nothing else does."""
    rows = [
        record["row"]
        for path in sorted((PROJECT_DIR / "reference").glob("probe-*.csv"))
        for record in csv.DictReader(path.open(encoding="utf-8"))
    ]
    answered = [variant.published_probe for variant in real.variants.values() if variant.published_probe is not None]

    assert len(rows) == 24
    assert Counter(answered) == Counter(rows)
    assert set(real.published_probes) == set(rows)


def test_every_published_probe_stands_in_the_suite_of_its_article(real: Catalogue) -> None:
    """A suite begins with its article's rows in their order, each by its variant; what follows answers no row."""
    for source, suite in {
        "probe-flask": "flask_concurrency_article",
        "probe-fastapi": "fastapi_concurrency_article",
    }.items():
        in_csv = [row.row for row in real.published_probes.values() if row.source == source]
        probes = real.suites[suite].probes
        assert [probe.published for probe in probes] == in_csv + [None] * (len(probes) - len(in_csv))
        for probe in probes:
            assert real.variants[probe.variant].published_probe == probe.published


def test_every_variant_names_its_settings(real: Catalogue) -> None:
    """A probe's report says what changes the queue and what the capacity, of each variant."""
    silent = [
        name for name, variant in real.variants.items() if not (variant.queue_setting and variant.capacity_setting)
    ]
    assert silent == []


def test_what_fails_in_the_articles_is_expected_to_fail(real: Catalogue) -> None:
    """Variants whose published probe handled nothing expect the text of the article's error, and nothing else does."""
    failing = {row.row: row for row in real.published_probes.values() if row.in_flight == 0}
    expecting = {variant.published_probe: variant for variant in real.variants.values() if variant.expect_failure}

    assert set(expecting) == set(failing)
    for key, variant in expecting.items():
        assert variant.expect_failure is not None
        assert re.search(variant.expect_failure, failing[str(key)].overflow)


def test_variants_for_large_probes_send_what_the_article_sent(real: Catalogue) -> None:
    """10,000 requests are asked for where the article did, nowhere else."""
    asked = {v.published_probe: v.probe_requests_count for v in real.variants.values() if v.probe_requests_count}

    assert asked == {
        row.row: row.requests_count for row in real.published_probes.values() if (row.requests_count or 0) > 4000
    }


def test_the_exhaustion_suite_gives_all_the_same_limit_below_its_load(real: Catalogue) -> None:
    """One number of tasks for everyone, fewer than the connections that come."""
    rows = real.suites["exhaustion"].rows
    limits = {real.variants[row.variant].tasks_max for row in rows}

    assert limits == {200}
    assert all(real.scenarios[row.scenario].connections > 200 for row in rows)


def test_the_cpu_scenario_expects_what_applications_compute(real: Catalogue) -> None:
    """Every answer to /cpu is compared with the one result; one worker is among the variants to compare with."""
    cpu = real.scenarios["cpu"]

    assert (cpu.path, cpu.body, cpu.validate_bodies) == ("/cpu", "46831694", True)
    assert "flask_gunicorn_sync_1" in [row.variant for row in real.suites["cpu"].rows]


def test_the_articles_scenarios_are_the_published_load(real: Catalogue) -> None:
    """Threads, connections and seconds of a published row are those of the scenario that answers it."""
    for variant in real.variants.values():
        for name, key in variant.published.items():
            scenario, row = real.scenarios[name], real.published[key]
            assert (scenario.threads, scenario.connections, scenario.duration_s) == (
                row.threads,
                row.connections,
                row.duration_s,
            )
            assert (variant.hold_ms if scenario.path == "/health" else 0) == row.hold_ms


def test_standard_and_its_companions_compare_with_every_published_row(real: Catalogue) -> None:
    """`bench --variant all` shows each article's row beside a measured one, at the same load."""
    standard = real.scenario("standard")
    family = [standard, *(real.scenario(name) for name in standard.companions)]
    shown = {
        row.row
        for scenario in family
        for variant in real.variants.values()
        if (row := real.published_row(variant, scenario)) is not None
    }

    assert shown == set(real.published)
    for scenario in family:
        article = real.scenario(scenario.published_scenario)
        assert (scenario.path, scenario.threads, scenario.connections) == (
            article.path,
            article.threads,
            article.connections,
        )


def test_words_choose_variants(real: Catalogue) -> None:
    """Names, several with commas, globs, stacks and `all`; in the catalogue's order, each once."""

    def chosen(*words: str) -> list[str]:
        return [variant.name for variant in real.select_variants(words)]

    assert chosen("sanic_fast") == ["sanic_fast"]
    assert chosen("sanic_fast", "flask_dev_sync, sanic_fast") == ["flask_dev_sync", "sanic_fast"]
    assert chosen("flask_gevent_*") == [
        "flask_gevent_wsgi",
        "flask_gevent_wsgi_monkeypatched",
        "flask_gevent_wsgi_patched_first",
    ]
    assert len(chosen("all")) == 22
    assert chosen("go_net_http", "openresty") == ["go_net_http", "openresty_lua"]


def test_collective_words_mean_what_is_benched_and_names_reach_everything(project: Path) -> None:
    """A variant with `benched: false` stays out of `all` and of its stack, unless asked for by name, glob or probe."""
    card = project / "servers/shop/stack.yml"
    card.write_text(card.read_text() + "    benched: false\n")
    catalogue = read_catalogue(project)

    def chosen(word: str, *, with_unbenched: bool = False) -> list[str]:
        return [variant.name for variant in catalogue.select_variants([word], with_unbenched=with_unbenched)]

    assert (chosen("all"), chosen("shop")) == (["one"], ["one"])
    assert (chosen("two"), chosen("tw*"), chosen("*")) == (["two"], ["two"], ["one", "two"])
    assert chosen("all", with_unbenched=True) == ["one", "two"]
    assert chosen("shop", with_unbenched=True) == ["one", "two"]


def test_published_probes_are_read_as_values(project: Path) -> None:
    """Empty columns are None, `unbounded` is no limit; the words on reuse are a yes, a no or nothing."""
    catalogue = read_catalogue(project)
    first, second, third = catalogue.published_probes.values()

    assert catalogue.published_probe(catalogue.variants["one"]) == first
    assert catalogue.published_probe(catalogue.variants["two"]) is None
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
    assert third.overflow == "500, TypeError"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("flask_gunicorn_gevnt", "unknown variant 'flask_gunicorn_gevnt'. Did you mean flask_gunicorn_gevent? Known: "),
        ("flask_nothing_*", "unknown variant 'flask_nothing_*'"),
    ],
)
def test_an_unknown_variant_is_answered_with_the_nearest(real: Catalogue, word: str, expected: str) -> None:
    """The nearest names are listed, of variants and stacks, and the very nearest is suggested."""
    with pytest.raises(UnknownNameError) as caught:
        real.select_variants(["sanic_fast", word])

    assert str(caught.value).startswith(expected)
    assert str(caught.value).count(", ") == 12
    assert str(caught.value).endswith(", ... `invoke list` shows all.")


def test_no_word_is_refused(real: Catalogue) -> None:
    """Nothing given is not everything."""
    with pytest.raises(UsageError, match="--variant is empty"):
        real.select_variants(["", " , "])


def test_unknown_scenarios_and_suites_are_answered_with_the_known(project: Path) -> None:
    """A scenario or suite that is not there lists those that are."""
    catalogue = read_catalogue(project)

    with pytest.raises(
        UnknownNameError, match=r"unknown scenario 'standart'\. Did you mean standard\? Known: standard"
    ):
        catalogue.scenario("standart")
    with pytest.raises(UnknownNameError, match=r"unknown suite 'yours'\. Known: mine\."):
        catalogue.suite("yours")


BAD_REFERENCES = {
    "unknown_scenario_in_published": (
        ("servers/shop/stack.yml", "standard: row-one", "standrd: row-one"),
        (
            "servers/shop/stack.yml:10: variants.one.published.standrd: unknown scenario 'standrd'. "
            "Did you mean standard? Known: standard."
        ),
    ),
    "unknown_row_in_published": (
        ("servers/shop/stack.yml", "row-one", "row-two"),
        (
            "servers/shop/stack.yml:10: variants.one.published.standard: unknown row of reference/wrk-*.csv 'row-two'. "
            "Did you mean row-one? Known: row-one."
        ),
    ),
    "variant_called_like_another_stack": (
        ("servers/shop/stack.yml", "  two:", "  store:"),
        "servers/shop/stack.yml:12: variants.store: this is the name of another stack; choose another name",
    ),
    "variant_of_another_stack": (
        ("servers/shop/stack.yml", "  two:", "  store_one:"),
        "servers/store/stack.yml:6: variants.store_one: the stack shop has a variant of this name already",
    ),
    "unknown_companion": (
        ("scenarios/standard.yml", "[standard]", "[standard, rush]"),
        "scenarios/standard.yml:6: companions.1: unknown scenario 'rush'. Known: standard.",
    ),
    "unknown_variant_in_a_suite": (
        ("suites/mine.yml", "variant: one", "variant: oen"),
        "suites/mine.yml:4: rows.0.variant: unknown variant 'oen'. Did you mean one? Known: one, store_one, two.",
    ),
    "unknown_scenario_in_a_suite": (
        ("suites/mine.yml", "scenario: standard", "scenario: article"),
        "suites/mine.yml:4: rows.0.scenario: unknown scenario 'article'. Known: standard.",
    ),
    "unknown_published_probe": (
        ("servers/shop/stack.yml", "probe-one", "probe-on"),
        (
            "servers/shop/stack.yml:11: variants.one.published_probe: unknown row of reference/probe-*.csv 'probe-on'. "
            "Did you mean probe-one? Known: probe-one, probe-three, probe-two."
        ),
    ),
    "unknown_variant_in_a_suites_probes": (
        ("suites/mine.yml", "{variant: two}", "{variant: six}"),
        "suites/mine.yml:7: probes.1.variant: unknown variant 'six'. Known: one, store_one, two.",
    ),
    "unknown_row_in_a_suites_probes": (
        ("suites/mine.yml", "probe-one", "row-one"),
        (
            "suites/mine.yml:6: probes.0.published: unknown row of reference/probe-*.csv 'row-one'. "
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
        "reference/probe-mine.csv:3: row 'probe-one' stands here a second time",
    ),
    "unreadable_number_in_a_published_row": (
        ("reference/wrk-mine.csv", "65.47", "sixty"),
        "reference/wrk-mine.csv:2: could not convert string to float: 'sixty'",
    ),
}


@pytest.mark.parametrize(("edit", "expected"), BAD_REFERENCES.values(), ids=BAD_REFERENCES)
def test_a_wrong_name_is_refused_where_it_is_used(project: Path, edit: tuple[str, str, str], expected: str) -> None:
    """File, line and key of the use, and the names that would do."""
    store = project / "servers/store"
    store.mkdir()
    (store / "main.go").touch()
    store_card = STACK[: STACK.index("    published:")].replace("one:", "store_one:")
    (store / "stack.yml").write_text(store_card)
    path, old, new = edit
    assert old in (project / path).read_text()
    (project / path).write_text((project / path).read_text().replace(old, new))

    with pytest.raises(CardError) as caught:
        read_catalogue(project)

    assert str(caught.value).replace(f"{project}/", "") == expected


def test_a_folder_is_a_stack_and_a_file_is_a_scenario(project: Path) -> None:
    """Copying one is all that it takes to add one."""
    (project / "scenarios/rush.yml").write_text(SCENARIO)

    catalogue = read_catalogue(project)

    assert list(catalogue.variants) == ["one", "two"]
    assert list(catalogue.scenarios) == ["rush", "standard"]
    assert catalogue.scenarios["rush"].name == "rush"
