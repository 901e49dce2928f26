"""`invoke app.init` writes a card that can be read, and never over one that is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from wrklab.catalogue.application import read_application
from wrklab.cli import applications, own_application, probing
from wrklab.errors import CardError, UsageError
from wrklab.paths import PROJECT_DIR

SAMPLES = PROJECT_DIR / "tests/lab/applications"


@pytest.mark.parametrize(
    ("sample", "entry", "paths"),
    [
        ("flask_shop", "wsgi:app", ["/", "/items", "/whoami"]),
        ("fastapi_notes", "notes.main:app", ["/", "/api/notes"]),
    ],
)
def test_an_ordinary_application_gets_a_card_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sample: str, entry: str, paths: list[str]
) -> None:
    """What was guessed is said, with how sure it is and where it stands."""
    folder = tmp_path / sample
    shutil.copytree(SAMPLES / sample, folder)

    applications.init(str(folder))

    application = read_application(folder)
    assert application.entries["web"].import_ == entry
    assert [request.path for request in application.requests] == paths
    shown = capsys.readouterr().out
    assert "entry web" in shown
    assert "sure" in shown
    assert f"invoke app.check {folder}" in shown


def test_a_card_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """Also one that leads nowhere."""
    folder = tmp_path / "shop"
    shutil.copytree(SAMPLES / "flask_shop", folder)
    (folder / "wrklab.yml").write_text("mine", encoding="utf-8")

    with pytest.raises(UsageError, match="is there already, and is not written over"):
        applications.init(str(folder))
    assert (folder / "wrklab.yml").read_text(encoding="utf-8") == "mine"


def test_a_card_that_needs_a_change_is_written_and_says_which(tmp_path: Path) -> None:
    """A guess is a start all the same."""
    folder = tmp_path / "shop"
    shutil.copytree(SAMPLES / "flask_shop", folder)
    project = '[project]\nname = "x"\nrequires-python = ">=3.13"\n'
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")

    with pytest.raises(Exit, match=r"needs a change before it can be used:\n.*requires-python is '>=3.13'"):
        applications.init(str(folder))
    assert (folder / "wrklab.yml").is_file()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("", ["gunicorn_sync"], [], []), "--recipe is for an application of your own"),
        (("shop", [], [], ["flask"]), "leave --variant and --suite out"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    words: tuple[str, list[str], list[str], list[str]], complaint: str
) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError, match=complaint):
        own_application.words_of(*words)


def test_a_missing_secret_is_refused_before_anything_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nothing was touched."""
    folder = tmp_path / "shop"
    shutil.copytree(SAMPLES / "flask_shop", folder)
    applications.init(str(folder))
    monkeypatch.delenv("SHOP_SECRET_KEY", raising=False)
    monkeypatch.setattr(own_application, "pack", lambda *_: pytest.fail("it was packed"))
    words = own_application.words_of(str(folder), [], [], [])
    assert words is not None

    with pytest.raises(CardError, match="the secret SHOP_SECRET_KEY is not in your environment"):
        own_application.served(words, "container")


@pytest.mark.parametrize(("limits", "count"), [([0], 64), ([4, 16], 64), ([40, 0], 80), ([900], 1000)])
def test_a_probe_of_an_application_sends_more_than_its_recipes_take(limits: list[int], count: int) -> None:
    """Twice what the one with the highest limit takes, as far as that is known, and not too many."""
    assert probing._crowd_count(limits) == count
