"""Recipes: their cards, what they come to with parameters, and what is refused where."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrklab.catalogue.catalogue import Catalogue, check_parameters, read_catalogue
from wrklab.catalogue.formula import parse_formula
from wrklab.catalogue.recipe import Recipe, parse_given, read_recipe_files
from wrklab.errors import CardError, ParameterError

CARD = """---
description: A server for tests
recipes:
  pooled:
    description: The server with threads
    interface: wsgi
    requirements: shop.txt
    command: >-
      {venv}/bin/shop {entry} --port {port} -w {workers}
      [--threads {threads}] [--loop {loop}] --chdir {app_dir}
    parameters:
      workers: {description: processes, default: 2 * cpus + 1, min: 1, max: 8 * cpus}
      threads: {description: threads, default: 4, min: 1, max: 64, omitted_at: 1}
      loop: {description: the loop, default: auto, choices: [auto, uvloop], omitted_at: auto}
    in_flight_limit: workers * min(threads, 32)
    queue_setting: the shop's queue
    capacity_setting: the shop's size
"""


def read(tmp_path: Path, text: str = CARD) -> Recipe:
    """The recipe of such a card in a checkout of its own."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "shop.txt").touch()
    (folder / "shop.yml").write_text(text)
    return read_recipe_files(tmp_path)["shop"].recipes["pooled"]


def test_a_recipe_fills_in_its_command(tmp_path: Path) -> None:
    """Defaults where nothing is given; a formula of the CPUs stays one until their number is known."""
    serving = read(tmp_path).serving("shop.wsgi:app", {})

    assert serving.command == (
        "{venv}/bin/shop shop.wsgi:app --port {port} -w {2 * cpus + 1} --threads 4 --chdir {app_dir}"
    )
    assert str(serving.in_flight_limit) == "(2 * cpus + 1) * 4"
    assert serving.values_at(2) == {"loop": "auto", "threads": 4, "workers": 5}


def test_words_in_brackets_are_left_out_at_the_programs_own_value(tmp_path: Path) -> None:
    """And stand there at every other value."""
    recipe = read(tmp_path)
    given = {"workers": parse_formula(3), "threads": parse_formula(1)}

    assert recipe.serving("shop:app", given).command == "{venv}/bin/shop shop:app --port {port} -w 3 --chdir {app_dir}"
    assert "-w 3 --loop uvloop --chdir" in recipe.serving("shop:app", {**given, "loop": "uvloop"}).command


def test_further_words_and_another_limit_are_the_variants_own(tmp_path: Path) -> None:
    """They come last in the command; the limit is a formula of the same parameters."""
    serving = read(tmp_path).serving(
        "shop:app",
        {"workers": parse_formula(2)},
        arguments="--max-requests 100",
        in_flight_limit=parse_formula("40 * workers"),
    )

    assert serving.command.endswith("--chdir {app_dir} --max-requests 100")
    assert serving.in_flight_limit is not None
    assert serving.in_flight_limit.constant == 80


BAD_CARDS = {
    "unknown placeholder": (
        ("{entry} --port", "{entyr} {entry} --port"),
        (
            "shop.yml:4: recipes.pooled: command: unknown placeholder {entyr}; known: {app_dir}, {entry}, {port}, "
            "{recipes_dir}, {venv}, {cpus}, {workers}, {threads}, {loop}"
        ),
    ),
    "no entry": (("{entry} ", ""), "shop.yml:4: recipes.pooled: command: {entry} was expected in it"),
    "unused parameter": (
        ("[--loop {loop}] ", ""),
        "shop.yml:4: recipes.pooled: command: parameter loop was expected in it as {loop}",
    ),
    "brackets without omitted_at": (
        (", omitted_at: 1", ""),
        (
            "shop.yml:4: recipes.pooled: parameters.threads: `omitted_at` and [ ] around its words in the command go "
            "together"
        ),
    ),
    "formula": (
        ("2 * cpus + 1", "2 ** cpus"),
        (
            "shop.yml:12: recipes.pooled.parameters.workers.default: formula '2 ** cpus': expected a whole number, a "
            "name, min(...), max(...) or (; found '*'"
        ),
    ),
    "name in a range": (
        ("max: 8 * cpus", "max: 8 * threads"),
        "shop.yml:12: recipes.pooled.parameters.workers: max: a formula of cpus was expected; found 8 * threads",
    ),
    "default out of range": (
        ("default: 4", "default: 65"),
        "shop.yml:13: recipes.pooled.parameters.threads: default: at most 64 was expected; found 65",
    ),
    "default that is out of range on one CPU": (
        ("max: 8 * cpus", "max: 2 * cpus"),
        (
            "shop.yml:12: recipes.pooled.parameters.workers: default: at most 2 was expected (2 * cpus with cpus "
            "= 1); found 3"
        ),
    ),
    "half a range": (
        (", max: 64", ""),
        "shop.yml:13: recipes.pooled.parameters.threads: a number needs both `min` and `max`",
    ),
    "no such choice": (
        ("default: auto", "default: trio"),
        "shop.yml:14: recipes.pooled.parameters.loop: default: one of auto, uvloop was expected; found trio",
    ),
    "limit of a word": (
        ("workers * min(threads, 32)", "workers * loop"),
        (
            "shop.yml:4: recipes.pooled: in_flight_limit: loop is no number of recipe pooled; known: cpus, "
            "threads, workers"
        ),
    ),
    "interface": (
        ("interface: wsgi", "interface: rsgi"),
        "shop.yml:6: recipes.pooled.interface: Input should be 'wsgi' or 'asgi'; found 'rsgi'",
    ),
    "no lock": (
        ("shop.txt", "shops.txt"),
        "shop.yml:7: recipes.pooled.requirements: shops.txt does not exist",
    ),
}


@pytest.mark.parametrize(("edit", "expected"), BAD_CARDS.values(), ids=BAD_CARDS)
def test_a_bad_recipe_is_refused_with_file_line_and_key(tmp_path: Path, edit: tuple[str, str], expected: str) -> None:
    """Each mistake where it stands, with what was found and what would be right."""
    assert edit[0] in CARD
    with pytest.raises(CardError) as caught:
        read(tmp_path, CARD.replace(edit[0], edit[1], 1))

    assert str(caught.value).replace(f"{tmp_path}/recipes/", "") == expected


def test_a_recipe_has_one_owner(tmp_path: Path) -> None:
    """Two servers with a recipe of the same name are refused: variants name recipes without their server."""
    read(tmp_path)
    (tmp_path / "recipes" / "store.yml").write_text(CARD)

    with pytest.raises(CardError, match=r"store.yml:4: recipes.pooled: shop.yml has a recipe of this name"):
        read_recipe_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        (
            "thread",
            "4",
            "unknown parameter of recipe pooled 'thread'. Did you mean threads? Known: loop, threads",
        ),
        (
            "threads",
            "many",
            "parameter threads of recipe pooled: a whole number from 1 to 64 was expected; found",
        ),
        ("threads", "1.5", "a whole number from 1 to 64 was expected; found '1.5'"),
        ("threads", "-1", "a whole number from 1 to 64 was expected; found '-1'"),
        ("threads", "2*cpus", "a whole number from 1 to 64 was expected; found '2*cpus'"),
        ("threads", "9" * 12, "a whole number or a formula was expected"),
        ("loop", "trio", "parameter loop of recipe pooled: one of auto, uvloop was expected; found 'trio'"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_known(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    """Unknown names and wrong types, with exit status 2."""
    with pytest.raises(ParameterError) as caught:
        parse_given(read(tmp_path), name, text)

    assert complaint in str(caught.value)
    assert caught.value.exit_status == 2
    assert caught.value.parameter == name


@pytest.mark.parametrize(("cpus_count", "is_refused"), [(None, False), (1, True), (2, False)])
def test_a_range_of_the_cpus_is_checked_where_they_are_known(
    tmp_path: Path, cpus_count: int | None, is_refused: bool
) -> None:
    """12 workers are too many on one CPU; without a number of CPUs nothing can be said of it."""
    serving = read(tmp_path).serving("shop:app", {"workers": parse_formula(12)})

    if is_refused:
        with pytest.raises(
            ParameterError, match=r"workers of recipe .*: at most 8 was expected .8 \* cpus with cpus = 1"
        ):
            serving.check(cpus_count)
    else:
        serving.check(cpus_count)


@pytest.fixture(scope="module")
def real() -> Catalogue:
    """The catalogue of this checkout."""
    return read_catalogue()


COMMAND_LINES = [
    line.split("\t")
    for line in (Path(__file__).parents[1] / "captured/units/command_lines.tsv").read_text().splitlines()
]


@pytest.mark.parametrize(("name", "command"), COMMAND_LINES, ids=[name for name, _ in COMMAND_LINES])
def test_a_variants_command_line_stays_what_it_is(real: Catalogue, name: str, command: str) -> None:
    """Rows of the articles and stored runs rest on them. As rendered before recipes were, for a server of 2 CPUs."""
    from wrklab.catalogue.unit import command_line

    variant = real.variants[name]

    assert command_line(variant.argv(real.stacks[variant.stack].port, 2)) == command


def test_a_variant_is_made_by_its_parameters(real: Catalogue) -> None:
    """Its name says which were given, sorted; the rest is the card's own. It answers to no published row."""
    base = real.variants["flask_gunicorn_gthread"]
    variant = base.with_words({"workers": "2", "threads": "16"})

    assert variant.name == "flask_gunicorn_gthread@threads=16,workers=2"
    assert variant.unit == "wrklab-flask_gunicorn_gthread.threads-16.workers-2.service"
    assert variant.description == "flask_gunicorn_gthread with threads=16, workers=2"
    assert variant.argv(8080, 4)[-4:] == ["-w", "2", "--threads", "16"]
    assert variant.limit_at(4) == 32
    assert (variant.stack, variant.published, variant.base) == ("flask", {}, "flask_gunicorn_gthread")
    assert base.with_words({"threads": "16"}).argv(8080, 4)[-4:] == ["-w", "4", "--threads", "16"]
    assert variant.with_words({"threads": "8"}).name == "flask_gunicorn_gthread@threads=8,workers=2"


def test_a_made_variants_limit_follows_the_cards_formula(real: Catalogue) -> None:
    """40 threads a worker, because the application's view is blocking: the recipe knows nothing of that."""
    assert real.variants["fastapi_uvicorn_sync"].with_words({"workers": "3"}).limit_at(2) == 120


def test_a_limit_of_the_cpus_is_known_where_they_are(real: Catalogue) -> None:
    """A worker for each CPU handles as many requests."""
    variant = real.variants["flask_gunicorn_sync_cpus"]

    assert [variant.limit_at(cpus) for cpus in (1, 2, 8)] == [1, 2, 8]
    assert variant.argv(8080, 8)[-2:] == ["-w", "8"]


def test_a_variant_without_a_recipe_has_no_parameters(real: Catalogue) -> None:
    """The error says what to look at."""
    with pytest.raises(ParameterError, match="flask_dev_sync has no parameters: its card gives a command of its own"):
        real.variants["flask_dev_sync"].with_words({"workers": "2"})


def test_a_name_with_parameters_is_a_variant(real: Catalogue) -> None:
    """In words of a command line, in any order of the parameters; among its stack's, and next to all others."""
    words = ["flask_gunicorn_gthread@workers=2,threads=16,go_net_http", "flask_gunicorn_sync@workers=1"]
    made = real.with_made(words[:1][0].rsplit(",", 1)[:1] + words[1:])

    chosen = [variant.name for variant in made.select_variants(words)]

    assert set(chosen) == {
        "flask_gunicorn_gthread@threads=16,workers=2",
        "flask_gunicorn_sync@workers=1",
        "go_net_http",
    }
    assert "flask_gunicorn_sync@workers=1" in made.stacks["flask"].variants
    assert "flask_gunicorn_sync@workers=1" not in real.variants
    assert made.with_made(chosen).variants == made.variants


def test_ranges_bind_what_is_made_and_not_what_a_card_has(real: Catalogue) -> None:
    """An article's worker count is what it is, on however few CPUs."""
    too_many = real.variants["flask_gunicorn_sync"].with_words({"workers": "20"})

    check_parameters([*real.variants.values(), too_many], 2)
    with pytest.raises(ParameterError, match="at most 16 was expected"):
        check_parameters([too_many], 1)


def test_a_parameter_may_say_what_is_tried(tmp_path: Path) -> None:
    """Numbers, formulas of the CPUs, and words of a choice."""
    text = CARD.replace("max: 8 * cpus}", "max: 8 * cpus, tune: [1, cpus]}").replace(
        "choices: [auto, uvloop], ", "choices: [auto, uvloop], tune: [uvloop], "
    )

    recipe = read(tmp_path, text)

    assert recipe.parameters["workers"].tune == (parse_formula(1), parse_formula("cpus"))
    assert recipe.parameters["loop"].tune == ("uvloop",)
    assert recipe.parameters["threads"].tune == ()


@pytest.mark.parametrize(
    ("tune", "problem"),
    [
        ("[0]", "tune: at least 1 was expected; found 0"),
        ("[9 * cpus]", "tune: at most"),
        ("[auto]", "tune: a whole number or a formula of cpus was expected"),
        ("[threads]", "a formula of cpus was expected|a whole number"),
    ],
)
def test_values_that_could_not_be_tried_are_refused_where_the_card_is_read(
    tmp_path: Path, tune: str, problem: str
) -> None:
    """On any usual number of CPUs."""
    with pytest.raises(CardError, match=problem):
        read(tmp_path, CARD.replace("max: 8 * cpus}", f"max: 8 * cpus, tune: {tune}}}"))
