"""The sample applications know nothing of wrklab, and their cards say how they can be measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wrklab.catalogue.application import read_application
from wrklab.catalogue.application_files import find_files
from wrklab.catalogue.application_guess import guess_application
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.current_command import read_current
from wrklab.cli import applications
from wrklab.paths import PROJECT_DIR

EXAMPLES = sorted(path.parent for path in (PROJECT_DIR / "examples").glob("*/wrklab.yml"))
NAMES = [path.name for path in EXAMPLES]


def test_there_are_the_three() -> None:
    """A blocking driver, an async one, and an ORM."""
    assert NAMES == ["django_blog", "fastapi_links", "flask_orders"]


@pytest.mark.parametrize("folder", EXAMPLES, ids=NAMES)
def test_an_example_knows_nothing_of_wrklab(folder: Path) -> None:
    """No file of it but the card, and its page tells what it is."""
    others = [path for path in folder.rglob("*") if path.is_file() and path.name != "wrklab.yml"]

    assert [path for path in others if b"wrklab" in path.read_bytes()] == []
    assert (folder / "README.md").is_file()
    assert f"]({folder.name}/README.md)" in (PROJECT_DIR / "examples/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", EXAMPLES, ids=NAMES)
def test_an_examples_card_can_be_read_and_what_runs_today_has_a_recipe(folder: Path) -> None:
    """With parameters that the recipe takes, and files that it packs."""
    application, recipes = read_application(folder), read_catalogue().recipes
    current = read_current(application.current or "")

    assert current.problem == ""
    assert current.left_out == ()
    assert set(current.parameters) <= set(recipes[current.recipe].parameters)
    assert recipes[current.recipe].interface == next(iter(application.entries.values())).interface
    assert len(application.requests) == 3
    assert application.backends
    assert find_files(folder, application.leave_out)


@pytest.mark.parametrize("folder", EXAMPLES, ids=NAMES)
def test_its_entry_is_what_app_init_finds_by_looking(folder: Path) -> None:
    """So the way from the folder alone leads to the same."""
    guess, application = guess_application(folder), read_application(folder)

    assert {entry.import_ for entry in application.entries.values()} <= {
        one.value.partition(" ")[0] for one in guess.guesses
    }


@pytest.mark.parametrize("folder", EXAMPLES, ids=NAMES)
def test_app_init_writes_a_card_that_can_be_read(folder: Path, tmp_path: Path) -> None:
    """Where there is none yet."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    (copy / "wrklab.yml").unlink()

    applications.init(str(copy))

    assert read_application(copy).requests
