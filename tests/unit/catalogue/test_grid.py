"""The grid of configurations, and what the checkout's own recipes try."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.handmade_application import handmade_application, handmade_ready, handmade_recipes
from wrklab.catalogue.application_stack import EntryRecipe, application_stack, choose_recipes
from wrklab.catalogue.catalogue import Catalogue, check_parameters, read_catalogue
from wrklab.catalogue.grid import grid
from wrklab.catalogue.stack import Stack
from wrklab.errors import ParameterError

CARD = """---
application: shop
entries: {web: {import: "shop:app", interface: wsgi}}
requirements: requirements.txt
requests: [{name: front, path: /}]
"""


def shop(tmp_path: Path, catalogue: Catalogue, *recipes: str) -> Stack:
    """The application under such recipes."""
    application = handmade_application(tmp_path / "shop", CARD)
    pairs: list[EntryRecipe] = choose_recipes(catalogue, application, recipes)
    return application_stack(handmade_ready(application, tmp_path / "shop.tar"), pairs)


def test_a_grid_has_each_combination_in_terms_of_the_cpus(tmp_path: Path) -> None:
    """Values that are the same on this server are there once."""
    stack = shop(tmp_path, read_catalogue(), "gunicorn_gthread", "gevent_wsgi")

    names = grid(stack.variants.values(), 1)

    assert names == (
        "shop_gevent_wsgi",
        *(f"shop_gunicorn_gthread@threads={threads},workers={w}" for threads in (4, 16, 64) for w in (1, 3)),
    )


@pytest.mark.parametrize("cpus_count", [1, 2, 4, 16, 64])
def test_every_value_that_is_tried_is_in_its_range(tmp_path: Path, cpus_count: int) -> None:
    """And there are a few dozen of them, not hundreds, whatever the server has."""
    catalogue = read_catalogue()
    stack = shop(tmp_path, catalogue, "all")
    names = grid(stack.variants.values(), cpus_count)
    made = catalogue.__class__(
        stacks={stack.name: stack},
        variants=dict(stack.variants),
        scenarios={},
        suites={},
        recipe_files=catalogue.recipe_files,
    ).with_made(names)

    check_parameters([made.variants[name] for name in names], cpus_count)
    assert len(set(names)) == len(names)
    assert 20 <= len(names) <= 50


def test_values_of_the_command_line_stand_instead_of_the_recipes(tmp_path: Path) -> None:
    """Where a recipe has the parameter; one that no recipe has is refused."""
    stack = shop(tmp_path, read_catalogue(), "gunicorn_sync", "waitress")
    given = {"workers": ["2", "6"]}

    names = grid(stack.variants.values(), 4, given)

    assert [name for name in names if "sync" in name] == [
        "shop_gunicorn_sync@workers=2",
        "shop_gunicorn_sync@workers=6",
    ]
    assert sum("waitress" in name for name in names) == 3
    with pytest.raises(ParameterError, match="no recipe that is tried has it"):
        grid(stack.variants.values(), 4, {"loop": ["uvloop"]})


def test_a_recipe_without_such_values_is_tried_as_it_is(tmp_path: Path) -> None:
    """Once."""
    stack = shop(tmp_path, handmade_recipes(), "gunicorn_sync")

    assert grid(stack.variants.values(), 4) == ("shop_gunicorn_sync",)
