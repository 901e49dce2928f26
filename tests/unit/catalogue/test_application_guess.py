"""A first card is guessed from an application's files, and says how sure each guess is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from wrklab.catalogue.application_guess import ApplicationGuess, application_name, guess_application
from wrklab.catalogue.application_needs import Certainty
from wrklab.catalogue.application_text import card_text
from wrklab.errors import UsageError

FLASK = "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef front(): ...\n"
DJANGO = {
    "manage.py": "import os",
    "shop/__init__.py": "",
    "shop/settings.py": "import os\nROOT_URLCONF = 'shop.urls'\nSECRET_KEY = os.environ['DJANGO_SECRET_KEY']\n",
    "shop/urls.py": (
        "from django.urls import include, path\n"
        "urlpatterns = [path('', front), path('items/', include('items.urls'))]\n"
    ),
    "shop/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
    "shop/asgi.py": "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
    "items/__init__.py": "",
    "items/urls.py": "from django.urls import path\nurlpatterns = [path('latest/', latest), path('<int:pk>/', one)]\n",
    "requirements.txt": "Django==5.1\npsycopg2-binary>=2.9\n",
}


def guess(tmp_path: Path, files: dict[str, str]) -> ApplicationGuess:
    """What a folder with these files looks like."""
    folder = tmp_path / "shop"
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return guess_application(folder)


def prepared(found: ApplicationGuess) -> str:
    """The command that makes the database; empty where there is none."""
    return found.prepare.value if found.prepare else ""


def entries_of(found: ApplicationGuess) -> list[tuple[str, str, str]]:
    """What is written of each."""
    return [(entry.name, entry.import_, entry.interface) for entry in found.entries]


def test_the_one_application_of_a_folder_is_sure(tmp_path: Path) -> None:
    """It is named with file and line."""
    found = guess(tmp_path, {"app.py": FLASK, "requirements.txt": "flask"})

    assert entries_of(found) == [("web", "app:app", "wsgi")]
    assert found.entries[0].certainty is Certainty.SURE
    assert found.entries[0].because == "app.py:2: app is made by Flask"


def test_wsgi_py_wins_over_other_modules_and_says_that_there_are_others(tmp_path: Path) -> None:
    """Servers are pointed at it as a rule; so it is likely, not sure."""
    found = guess(tmp_path, {"tools.py": FLASK, "wsgi.py": FLASK, "requirements.txt": "flask"})

    assert entries_of(found) == [("web", "wsgi:app", "wsgi")]
    assert found.entries[0].certainty is Certainty.LIKELY


def test_an_attribute_made_by_another_modules_factory_is_found(tmp_path: Path) -> None:
    """`app = create_app()` in wsgi.py says nothing of the framework by itself."""
    package = "from flask import Flask\ndef create_app():\n    app = Flask(__name__)\n    return app\n"
    found = guess(
        tmp_path,
        {
            "shop/__init__.py": package,
            "wsgi.py": "from shop import create_app\napp = create_app()\n",
            "requirements.txt": "",
        },
    )

    assert entries_of(found) == [("web", "wsgi:app", "wsgi")]


def test_a_factory_that_a_package_hands_on_is_found(tmp_path: Path) -> None:
    """`from shop import create_app`, where shop/__init__.py imports it from a module of its own."""
    found = guess(
        tmp_path,
        {
            "src/shop/__init__.py": "from .factory import create_app\n",
            "src/shop/factory.py": "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n",
            "src/shop/wsgi.py": "from . import create_app\napplication = create_app()\n",
            "requirements.txt": "",
        },
    )

    assert entries_of(found) == [("web", "shop.wsgi:application", "wsgi")]
    assert found.environment.variables == {"PYTHONPATH": "{app_dir}/src"}


def test_a_factory_alone_is_an_entry_by_guess(tmp_path: Path) -> None:
    """It may need what only its caller knows."""
    package = "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n"
    found = guess(tmp_path, {"shop/__init__.py": package, "requirements.txt": ""})

    assert entries_of(found) == [("web", "shop:create_app()", "wsgi")]
    assert found.entries[0].certainty is Certainty.GUESS


def test_django_has_both_entries_its_migration_its_urls_and_its_secret(tmp_path: Path) -> None:
    """Paths of an included urls.py have their prefix."""
    found = guess(tmp_path, DJANGO)

    assert entries_of(found) == [
        ("wsgi", "shop.wsgi:application", "wsgi"),
        ("asgi", "shop.asgi:application", "asgi"),
    ]
    assert prepared(found) == "{venv}/bin/python manage.py migrate --noinput"
    assert [request.path for request in found.requests] == ["/", "/items/latest/"]
    assert found.environment.variables == {"DJANGO_SECRET_KEY": "{secret.DJANGO_SECRET_KEY}"}


def test_a_project_in_a_subfolder_is_put_on_the_path(tmp_path: Path) -> None:
    """Modules are imported from where the packages begin."""
    found = guess(tmp_path, {f"backend/{path}": text for path, text in DJANGO.items()})

    assert entries_of(found)[0][1] == "shop.wsgi:application"
    assert found.environment.variables["PYTHONPATH"] == "{app_dir}/backend"
    assert found.requirements.value == "backend/requirements.txt"
    assert prepared(found) == "{venv}/bin/python backend/manage.py migrate --noinput"


def test_a_folder_without_init_is_a_package_where_code_imports_it_so(tmp_path: Path) -> None:
    """FastAPI's own tutorial lays applications out like that."""
    main = (
        "from fastapi import FastAPI\nfrom app.routers import items\n"
        "app = FastAPI()\napp.include_router(items.router)\n"
    )
    items = "from fastapi import APIRouter\nrouter = APIRouter(prefix='/items')\n@router.get('/')\ndef listed(): ...\n"
    found = guess(tmp_path, {"app/main.py": main, "app/routers/items.py": items, "requirements.txt": "fastapi"})

    assert entries_of(found) == [("web", "app.main:app", "asgi")]
    assert "PYTHONPATH" not in found.environment.variables
    assert [(request.path, request.certainty) for request in found.requests] == [("/items/", Certainty.LIKELY)]


def test_tests_and_migrations_are_not_looked_at(tmp_path: Path) -> None:
    """The application of a test is not what is served."""
    with pytest.raises(UsageError, match="no WSGI or ASGI application found in 0 Python files"):
        guess(tmp_path, {"tests/app.py": FLASK, "test_app.py": FLASK, "requirements.txt": ""})


def test_without_a_list_of_packages_it_says_which_were_looked_for(tmp_path: Path) -> None:
    """With the command for one that is there and cannot be used."""
    with pytest.raises(UsageError, match=r"none of uv\.lock, requirements\.txt.*poetry export -o requirements\.txt"):
        guess(tmp_path, {"app.py": FLASK, "poetry.lock": ""})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"uv.lock": "", "requirements.txt": "", "pyproject.toml": ""}, "uv.lock"),
        ({"requirements.txt": "flask", "pyproject.toml": "[project]\ndependencies = ['flask']"}, "requirements.txt"),
        ({"pyproject.toml": "[project]\nname = 'x'\ndependencies = ['flask']"}, "pyproject.toml"),
        ({"pyproject.toml": "[tool.black]", "requirements/prod.txt": "flask"}, "requirements/prod.txt"),
    ],
)
def test_the_most_exact_list_of_packages_is_taken(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    """A lock before a list; a pyproject.toml only where it has dependencies."""
    assert guess(tmp_path, {"app.py": FLASK, **files}).requirements.value == expected


def test_a_database_is_a_backend_where_driver_and_variable_are_there(tmp_path: Path) -> None:
    """A driver alone may be a leftover, and a variable alone may be another service's."""
    code = f"import os\n{FLASK}url = os.environ['DATABASE_URL']\ncache = os.getenv('REDIS_URL')\n"
    found = guess(tmp_path, {"app.py": code, "requirements.txt": "flask\npsycopg[binary]>=3\n"})

    assert found.environment.backends == ("postgres",)
    assert found.environment.variables == {"DATABASE_URL": "{backend.postgres.url}"}
    assert found.environment.unset == {"REDIS_URL": "app.py:7 reads it"}


def test_a_variable_that_is_no_secret_is_left_to_the_user(tmp_path: Path) -> None:
    """Nobody knows its value; the card names it in a comment with file and line."""
    found = guess(tmp_path, {"app.py": f"import os\n{FLASK}x = os.environ['REGION']\n", "requirements.txt": ""})

    assert found.environment.variables == {}
    assert "#   REGION: ...  # app.py:6 requires it" in card_text(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Procfile", "release: x\nweb: gunicorn app:app -w 4\n"),
        ("Dockerfile", 'FROM python\nCMD ["gunicorn", "app:app", "-w", "4"]\n'),
        ("Dockerfile", "FROM python\nCMD exec gunicorn app:app -w 4\n"),
    ],
)
def test_what_serves_it_today_is_read_from_procfile_and_dockerfile(tmp_path: Path, name: str, text: str) -> None:
    """In both forms that a Dockerfile may have."""
    found = guess(tmp_path, {"app.py": FLASK, "requirements.txt": "", name: text}).current

    assert found is not None
    assert found.value == "gunicorn app:app -w 4"


def test_health_checks_are_measured_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    """They answer whether the process lives, which is not what visitors come for."""
    health = "@app.get('/health')\ndef health(): ...\n"
    both = guess(tmp_path, {"app.py": FLASK + health, "requirements.txt": ""})
    assert [request.path for request in both.requests] == ["/"]

    alone = FLASK.replace("'/'", "'/health'")
    assert [request.path for request in guess(tmp_path, {"app.py": alone}).requests] == ["/health"]


def test_the_text_is_yaml_that_says_what_was_guessed(tmp_path: Path) -> None:
    """Values that YAML would read otherwise stand in quotes."""
    data = yaml.safe_load(card_text(guess(tmp_path, {**DJANGO, "Procfile": "web: gunicorn shop.wsgi -w 4"})))

    assert data == {
        "application": "shop",
        "entries": {
            "wsgi": {"import": "shop.wsgi:application", "interface": "wsgi"},
            "asgi": {"import": "shop.asgi:application", "interface": "asgi"},
        },
        "requirements": "requirements.txt",
        "environment": {"DJANGO_SECRET_KEY": "{secret.DJANGO_SECRET_KEY}"},
        "prepare": ["{venv}/bin/python manage.py migrate --noinput"],
        "requests": [
            {"name": "front", "weight": 1, "path": "/", "expect": {"status": 200}},
            {"name": "items_latest", "weight": 1, "path": "/items/latest/", "expect": {"status": 200}},
        ],
        "current": "gunicorn shop.wsgi -w 4",
    }


@pytest.mark.parametrize(
    ("folder", "name"), [("My Shop", "my_shop"), ("2fast", "app_2fast"), ("...", "app"), ("shop-API_v2", "shop_api_v2")]
)
def test_a_folders_name_becomes_a_name(folder: str, name: str) -> None:
    """Lower case, digits and underscores, a letter first."""
    assert application_name(folder) == name
