"""The checkout's own cards load; names that cards use of each other are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.handmade_checkout import CARDS, SCENARIO, STACK, edit_checkout, write_checkout
from wrklab.catalogue.catalogue import Catalogue, read_catalogue
from wrklab.errors import CardError, UnknownNameError, UsageError


@pytest.fixture(scope="module")
def real() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small checkout: one stack of two variants, one scenario, one suite."""
    write_checkout(tmp_path, CARDS)
    return tmp_path


def test_every_variant_names_its_settings(real: Catalogue) -> None:
    """A probe's report says what changes the queue and what the capacity, of each variant."""
    silent = [
        name for name, variant in real.variants.items() if not (variant.queue_setting and variant.capacity_setting)
    ]
    assert silent == []


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


@pytest.mark.parametrize("suite", ["gil", "gunicorn_front"])
def test_suites_on_several_cpus_ask_for_them(real: Catalogue, suite: str) -> None:
    """And hold their rows against one process."""
    assert real.suites[suite].server_cpus == "all"
    assert real.suites[suite].baseline in {"flask_gunicorn_sync_1", "fastapi_uvicorn_async"}


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
    "unknown_variant_in_a_suites_probes": (
        ("suites/mine.yml", "{variant: two}", "{variant: six}"),
        "suites/mine.yml:7: probes.1.variant: unknown variant 'six'. Known: one, store_one, two.",
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
    edit_checkout(project, edit)

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
