"""What serves an application today, as a recipe with parameters."""

from __future__ import annotations

import pytest

from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.current_command import read_current


@pytest.mark.parametrize(
    ("command", "recipe", "parameters"),
    [
        ("gunicorn shop.wsgi:app -w 4", "gunicorn_sync", {"workers": "4"}),
        ("gunicorn shop.wsgi:app", "gunicorn_sync", {"workers": "1"}),
        ("exec gunicorn -b :$PORT --threads=8 -w2 shop.wsgi", "gunicorn_gthread", {"workers": "2", "threads": "8"}),
        (
            "gunicorn app:app -k gevent -w 3 --worker-connections 200",
            "gunicorn_gevent",
            {"workers": "3", "worker_connections": "200"},
        ),
        (
            "DEBUG=0 poetry run gunicorn app:app -k uvicorn.workers.UvicornWorker --workers 4",
            "gunicorn_uvicorn",
            {"workers": "4"},
        ),
        ("python -m uvicorn app:app --host 0.0.0.0", "uvicorn", {"workers": "1"}),
        (
            "/opt/venv/bin/uvicorn app:app --workers 4 --loop asyncio",
            "uvicorn",
            {"workers": "4", "loop": "asyncio"},
        ),
        ("hypercorn app:app -k uvloop -w 2", "hypercorn_uvloop", {"workers": "2"}),
        (
            "granian --interface wsgi app:app --workers 2 --blocking-threads 4",
            "granian_wsgi",
            {"workers": "2", "threads": "4"},
        ),
        (
            "uwsgi --http-socket :8000 -w shop -p 4 --threads 2",
            "uwsgi_http_socket",
            {"workers": "4", "threads": "2"},
        ),
        ("waitress-serve --listen=*:8000 shop:app", "waitress", {"threads": "4"}),
    ],
)
def test_a_command_is_its_recipe_with_what_the_program_does_unasked(
    command: str, recipe: str, parameters: dict[str, str]
) -> None:
    """The program's own defaults, not the recipe's; every parameter is one that the recipe has."""
    found = read_current(command)

    assert (found.recipe, dict(found.parameters), found.left_out, found.problem) == (recipe, parameters, (), "")
    assert set(parameters) <= set(read_catalogue().recipes[recipe].parameters)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("python manage.py runserver", "no recipe has the program 'manage.py'"),
        ("gunicorn -c gunicorn.conf.py shop:app", "its settings are in a file"),
        ("uwsgi uwsgi.ini", "its settings are in a file"),
        ("gunicorn shop:app -k eventlet", "no recipe has gunicorn's worker class eventlet"),
        ("gunicorn shop:app -k gthread", "with one thread each"),
        ("gunicorn shop:app -w ${WEB_CONCURRENCY:-2}", "is no plain value"),
    ],
)
def test_what_cannot_be_measured_is_said(command: str, why: str) -> None:
    """With the reason."""
    found = read_current(command)

    assert why in found.problem
    assert not found.recipe


def test_flags_without_a_parameter_are_named() -> None:
    """What is measured is not quite what runs."""
    found = read_current("gunicorn shop:app -w 4 --timeout 60 --preload --max-requests=1000")

    assert found.left_out == ("--timeout", "--preload", "--max-requests")
