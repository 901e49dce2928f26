"""From a user's folder to what can be deployed, and what each start is given that no file keeps."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.handmade_application import CARD, handmade_application, handmade_ready, handmade_recipes
from wrklab.catalogue.application_stack import application_stack, choose_recipes, with_application
from wrklab.errors import CardError
from wrklab.hosts import application as own
from wrklab.hosts.session import Session
from wrklab.protocol.blanking import forget_secrets, without_known_secrets

BACKENDS_CARD = CARD.replace("environment:", 'backends: [postgres]\nenvironment:\n  DB: "{backend.postgres.url}"')


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """Secrets of one test are none of the next one."""
    yield
    forget_secrets()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and locks that are there already."""
    monkeypatch.setattr(own, "APPLICATIONS_DIR", tmp_path / "cache")
    monkeypatch.setattr(
        own, "read_server_packages", lambda _, names: [SimpleNamespace(name=name) for name in sorted(names)]
    )
    monkeypatch.setattr(own, "locked_together", lambda _application, server, _folder: f"# {server.name}\n")
    return tmp_path / "cache"


def session_of(tmp_path: Path, text: str = CARD, **hosts: Any) -> Session:  # noqa: ANN401
    """A session with this application in its catalogue, and a server of two CPUs."""
    application = handmade_application(tmp_path / "shop", text)
    pairs = choose_recipes(handmade_recipes(), application, [])
    stack = application_stack(handmade_ready(application, tmp_path / "shop.tar"), pairs)
    found = SimpleNamespace(
        catalogue=with_application(handmade_recipes(), stack),
        cpus_count=2,
        hosts=SimpleNamespace(lab="container", kind="container", backend=None, **hosts),
    )
    return cast("Session", found)


def test_files_are_packed_once_and_each_server_program_has_a_lock(tmp_path: Path, cache: Path) -> None:
    """The archive is named by its content; of an application that is worked on only the newest stay."""
    application = handmade_application(tmp_path / "shop")
    pairs = choose_recipes(handmade_recipes(), application, ["all"])

    first = own.pack(application, pairs)
    again = own.pack(application, pairs)

    assert first == again
    assert first.locks == {"gunicorn.txt": "# gunicorn.txt\n", "uvicorn.txt": "# uvicorn.txt\n"}
    with tarfile.open(first.archive) as tar:
        assert tar.getnames() == ["requirements.txt", "wrklab_entry_web.py"]
    for number in range(4):
        (application.folder / "app.py").write_text(f"x = {number}", encoding="utf-8")
        newest = own.pack(application, pairs).archive
    archives = sorted((cache / "shop").glob("*.tar"))
    assert len(archives) == 2
    assert newest in archives


def test_a_start_is_given_its_secrets_with_places_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the card says; the rest of the controller's environment stays where it is."""
    monkeypatch.setenv("SHOP_KEY", "a long secret")
    monkeypatch.setenv("OTHER", "not for the application")
    session = session_of(tmp_path)

    found = own.start_environment(session, session.catalogue.variants["shop_web_gunicorn_sync"])

    assert found == {"SECRET_KEY": "a long secret of /tmp/app"}


def test_a_secret_that_is_gone_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is resumed needs it again."""
    monkeypatch.delenv("SHOP_KEY", raising=False)
    session = session_of(tmp_path)

    with pytest.raises(CardError, match=r"\{secret\.SHOP_KEY\} of its environment has no value here"):
        own.start_environment(session, session.catalogue.variants["shop_web_gunicorn_sync"])


def test_a_variant_of_the_checkouts_own_is_given_nothing(tmp_path: Path) -> None:
    """Its card says all."""
    session = session_of(tmp_path)
    variant = session.catalogue.variants["shop_web_gunicorn_sync"].model_copy(update={"own_copy": None})

    assert own.start_environment(session, variant) == {}


def test_a_backends_address_is_filled_in_and_its_password_blanked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password by itself looks like nothing."""
    monkeypatch.setenv("SHOP_KEY", "a long secret")
    monkeypatch.setattr(own, "backend_access", lambda _hosts, names: dict.fromkeys(names))
    monkeypatch.setattr(own, "backend_values", lambda _: {"backend.postgres.url": "postgresql://me:tulips12@db/x"})
    monkeypatch.setattr(own, "secrets_of", lambda _: ["tulips12"])
    session = session_of(tmp_path, BACKENDS_CARD)

    found = own.start_environment(session, session.catalogue.variants["shop_web_gunicorn_sync"])

    assert found["DB"] == "postgresql://me:tulips12@db/x"
    assert without_known_secrets("saw tulips12") == "saw (blanked)"
    assert own.backends_of(session.catalogue) == ("postgres",)


def test_a_catalogue_without_an_application_needs_no_backend() -> None:
    """Whatever stacks it has."""
    assert own.backends_of(replace(handmade_recipes(), stacks={})) == ()


def test_secrets_are_blanked_as_soon_as_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything else is done with the application."""
    monkeypatch.setenv("SHOP_KEY", "a long secret")

    own.with_secrets_blanked(handmade_application(tmp_path / "shop"))

    assert without_known_secrets("it is a long secret!") == "it is (blanked)!"
