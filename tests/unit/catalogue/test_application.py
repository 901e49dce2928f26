"""A user's wrklab.yml is refused with file, line and key where it cannot be meant; secrets are never in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrklab.catalogue.application import Application, read_application, read_secrets
from wrklab.errors import CardError

CARD = """---
application: shop
entries: {web: {import: "shop.wsgi:app", interface: wsgi}}
requirements: requirements.txt
environment:
  DATABASE_URL: "{backend.postgres.url}"
  SECRET_KEY: "{secret.SHOP_KEY}"
  STATIC: "{app_dir}/static"
  OPTIONS: '{"debug": false}'
backends: [postgres]
prepare: ["{venv}/bin/flask db upgrade"]
requests:
  - {name: list, weight: 8, path: "/items?page=1", expect: {status: 200, contains: '"items"'}}
  - {name: create, weight: 2, method: POST, path: /items, json: {name: pen}, expect: {status: 201}}
current: gunicorn shop.wsgi:app -w 4
"""


def application_of(tmp_path: Path, text: str = CARD) -> Application:
    """The application of a folder with this card, and with a list of packages."""
    (tmp_path / "requirements.txt").write_text("flask\n", encoding="utf-8")
    (tmp_path / "wrklab.yml").write_text(text, encoding="utf-8")
    return read_application(tmp_path)


def complaint_about(tmp_path: Path, old: str, new: str) -> str:
    """What is said where a part of the card is another one."""
    assert old in CARD
    with pytest.raises(CardError) as caught:
        application_of(tmp_path, CARD.replace(old, new))
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_right_card_is_read(tmp_path: Path) -> None:
    """Its environment falls into what is always the same, and what each start is given."""
    found = application_of(tmp_path)

    assert (found.application, found.folder, found.start_limit_s) == ("shop", tmp_path, 60.0)
    assert found.entries["web"].module == "shop.wsgi"
    assert found.fixed_environment == {"STATIC": "{app_dir}/static", "OPTIONS": '{"debug": false}'}
    assert found.late_environment == {"DATABASE_URL": "{backend.postgres.url}", "SECRET_KEY": "{secret.SHOP_KEY}"}
    assert found.secrets == ("SHOP_KEY",)
    assert [request.name for request in found.mix.requests] == ["list", "create"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("application: shop", "application: My Shop", "wrklab.yml:2: application: String should match pattern"),
        ("interface: wsgi", "interface: cgi", "wrklab.yml:3: entries.web.interface: Input should be 'wsgi' or 'asgi'"),
        (
            "shop.wsgi:app",
            "shop/wsgi.py",
            "wrklab.yml:3: entries.web.import: package.module:attribute or package.module:factory() was expected",
        ),
        ("requirements.txt", "missing.txt", "wrklab.yml:4: requirements: missing.txt does not exist"),
        ("requirements.txt", "../x.txt", "wrklab.yml:4: requirements: a path below the application's folder"),
        ("requirements.txt", "poetry.lock", "wrklab.yml:4: requirements: requirements.txt (or another .txt or .in)"),
        ("{backend.postgres.url}", "{backend.redis.url}", "environment: DATABASE_URL uses {backend.redis.url}, and"),
        (
            "{secret.SHOP_KEY}",
            "{secrets.KEY}",
            "wrklab.yml:5: environment: SECRET_KEY: unknown placeholder 'secrets.KEY'",
        ),
        ("backends: [postgres]", "backends: [mysql]", "wrklab.yml:10: backends: unknown backend 'mysql'"),
        ("{venv}/bin/flask", "flask", "wrklab.yml:11: prepare: 'flask db upgrade' must start with {venv}/bin/..."),
        (
            "flask db upgrade",
            "flask {secret.SHOP_KEY}",
            "wrklab.yml:11: prepare: {secret.SHOP_KEY} in '{venv}/bin/flask {secret.SHOP_KEY}': secrets and addresses",
        ),
        ("name: create", "name: list", "requests: the name list stands there twice"),
        (
            "gunicorn shop.wsgi:app -w 4",
            "gunicorn 'shop",
            "wrklab.yml:15: current: not a line that a shell would split",
        ),
        ("current:", "currant:", "wrklab.yml:15: currant: unknown key 'currant'. Did you mean current?"),
        ("application: shop", "application: shop\nfolder: /tmp", "wrklab.yml:3: folder: its place gives this"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_line_and_key(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    """Each with what was found and what was expected."""
    assert complaint in complaint_about(tmp_path, old, new)


def test_a_folder_without_a_card_is_told_how_to_get_one(tmp_path: Path) -> None:
    """And one that is not there is no folder."""
    with pytest.raises(CardError, match=r"wrklab\.yml: no such file\. `invoke app\.init .*` writes a first one"):
        read_application(tmp_path)
    with pytest.raises(CardError, match="no such folder"):
        read_application(tmp_path / "nowhere")


def test_the_same_entry_twice_is_refused(tmp_path: Path) -> None:
    """Every variant would be measured twice."""
    twice = '{web: {import: "shop.wsgi:app", interface: wsgi}, web2: {import: "shop.wsgi:app", interface: wsgi}}'
    complaint = complaint_about(tmp_path, '{web: {import: "shop.wsgi:app", interface: wsgi}}', twice)

    assert complaint == "wrklab.yml:3: entries.web2: the same as web: remove one of them"


@pytest.mark.parametrize(
    ("wanted", "is_refused"),
    [(">=3.12", True), (">=3.9", False), ("~=3.11", False), ("<3.11", True), ("==3.11.*", False)],
)
def test_a_python_that_servers_do_not_have_is_refused(tmp_path: Path, wanted: str, *, is_refused: bool) -> None:
    """Before anything is locked or deployed."""
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\nrequires-python = "{wanted}"\n', encoding="utf-8")
    if is_refused:
        with pytest.raises(CardError, match=rf"wrklab\.yml:4: requirements: .*requires-python is '{wanted}'"):
            application_of(tmp_path)
    else:
        assert application_of(tmp_path).application == "shop"


def test_secrets_come_from_the_environment_and_are_never_printed(tmp_path: Path) -> None:
    """Not even where the object that holds them is."""
    values = read_secrets(application_of(tmp_path), {"SHOP_KEY": "a long secret", "OTHER": "x"})

    assert dict(values.values) == {"SHOP_KEY": "a long secret"}
    assert "a long secret" not in f"{values!r} {values}"


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "wrklab.yml:7: environment.SECRET_KEY: the secret SHOP_KEY is not in your environment"),
        ({"SHOP_KEY": "short"}, "wrklab.yml:7: environment.SECRET_KEY: the secret SHOP_KEY has 5 characters"),
        ({"SHOP_KEY": "20261128"}, "and not a number"),
        ({"SHOP_KEY": "two\nlines of it"}, "one line of at least 6 was expected"),
    ],
)
def test_a_secret_that_is_missing_or_cannot_be_blanked_is_refused(
    tmp_path: Path, environment: dict[str, str], complaint: str
) -> None:
    """The text names file, line and key, and never the value."""
    application = application_of(tmp_path)

    with pytest.raises(CardError) as caught:
        read_secrets(application, environment)
    assert complaint in str(caught.value)
    assert "lines of it" not in str(caught.value)


def test_a_secret_in_a_request_is_needed_too(tmp_path: Path) -> None:
    """A header may carry a key of the application's own."""
    text = CARD.replace("path: /items, json", 'path: /items, headers: {X-Key: "{secret.API_KEY}"}, json')
    application = application_of(tmp_path, text)

    assert application.secrets == ("SHOP_KEY", "API_KEY")
    with pytest.raises(CardError, match=r"wrklab\.yml:14: requests\.1: the secret API_KEY is not in your environment"):
        read_secrets(application, {"SHOP_KEY": "a long secret"})
