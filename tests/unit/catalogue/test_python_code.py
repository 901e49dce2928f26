"""A web application's shape is read from its code's text; nothing of it is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrklab.catalogue.python_code import CalledMaker, Made, Mount, ReadVariable, Route, read_module


@pytest.mark.parametrize(
    ("code", "framework", "interface"),
    [
        ("from flask import Flask\napp = Flask(__name__)", "Flask", "wsgi"),
        ("from flask import Flask as F\napp = F(__name__)", "Flask", "wsgi"),
        ("import flask\napp: flask.Flask = flask.Flask('x')", "Flask", "wsgi"),
        ("from fastapi import FastAPI\napp = FastAPI(title='x')", "FastAPI", "asgi"),
        ("import fastapi as f\napp = f.FastAPI()", "FastAPI", "asgi"),
        ("from starlette.applications import Starlette\napp = Starlette()", "Starlette", "asgi"),
        ("import falcon\napp = falcon.App()", "Falcon", "wsgi"),
        ("import falcon.asgi\napp = falcon.asgi.App()", "Falcon", "asgi"),
        ("from bottle import Bottle\napp = Bottle()", "Bottle", "wsgi"),
        ("import bottle\napp = bottle.default_app()", "Bottle", "wsgi"),
        ("from quart import Quart\napp = Quart(__name__)", "Quart", "asgi"),
        ("from litestar import Litestar\napp = Litestar([])", "Litestar", "asgi"),
        ("from django.core.wsgi import get_wsgi_application\napp = get_wsgi_application()", "Django", "wsgi"),
        ("from django.core.asgi import get_asgi_application\napp = get_asgi_application()", "Django", "asgi"),
        (
            "from pyramid.config import Configurator\nconfig = Configurator()\napp = config.make_wsgi_app()",
            "Pyramid",
            "wsgi",
        ),
    ],
)
def test_each_framework_is_known_by_what_makes_its_application(code: str, framework: str, interface: str) -> None:
    """Under the names that the module itself gives."""
    made = read_module(code).made

    assert [(one.name, one.framework, one.interface, one.is_factory) for one in made] == [
        ("app", framework, interface, False)
    ]


def test_an_application_within_if_and_try_is_found_and_one_for_direct_runs_is_not() -> None:
    """What stands behind `__name__ == "__main__"` is not there when a server imports the module."""
    code = """
from flask import Flask
try:
    first = Flask("a")
except ImportError:
    first = None
if True:
    second = Flask("b")
if __name__ == "__main__":
    third = Flask("c")
"""

    assert [one.name for one in read_module(code).made] == ["first", "second"]


def test_a_factory_is_a_function_without_required_arguments_that_returns_an_application() -> None:
    """One that needs an argument cannot be called by a server."""
    code = """
from flask import Flask
def create_app(config=None):
    app = Flask(__name__)
    return app
def make_app():
    return Flask(__name__)
def needs_settings(settings):
    return Flask(settings)
def no_application():
    app = Flask(__name__)
    return 5
"""

    assert read_module(code).made == [
        Made("create_app", "Flask", "wsgi", 3, is_factory=True),
        Made("make_app", "Flask", "wsgi", 6, is_factory=True),
    ]


def test_what_another_modules_function_makes_is_noted_by_its_full_name() -> None:
    """Where it lies, other files say."""
    assert read_module("from shop import create_app\napp = create_app()").called == [
        CalledMaker("app", "shop.create_app", 2)
    ]
    assert read_module("from .factory import create_app\napp = create_app()").called == [
        CalledMaker("app", ".factory.create_app", 2)
    ]


def test_routes_are_gets_whose_path_is_one_text_without_parameters() -> None:
    """A POST, a path with a parameter and a computed path are left out."""
    code = """
from flask import Flask
app = Flask(__name__)
@app.route("/")
def front(): ...
@app.route("/items", methods=["GET", "POST"])
def items(): ...
@app.route("/order", methods=["POST"])
def order(): ...
@app.get("/items/<int:number>")
def item(number): ...
@app.get(PREFIX + "/x")
def computed(): ...
@app.post("/buy")
def buy(): ...
"""

    assert [route.path for route in read_module(code).routes] == ["/", "/items"]


def test_a_routers_own_prefix_is_a_part_of_its_routes_paths() -> None:
    """Where the router lies in the application is another module's to say."""
    code = """
from fastapi import APIRouter
router = APIRouter(prefix="/notes")
@router.get("/all")
async def listed(): ...
"""

    assert read_module(code).routes == [Route("/notes/all", 4, "router")]


def test_mounted_routers_and_djangos_includes_say_their_prefix() -> None:
    """With the full name of what is mounted."""
    fastapi = "from shop.routers import notes\napp.include_router(notes.router, prefix='/api')"
    django = "from django.urls import include, path\nurlpatterns = [path('shop/', include('shop.urls'))]"

    assert read_module(fastapi).mounts == [Mount("/api", "shop.routers.notes.router")]
    assert read_module(django).mounts == [Mount("/shop/", "shop.urls")]


def test_djangos_paths_are_routes_and_its_admin_is_none() -> None:
    """admin.site.urls stands for many of its own."""
    code = """
from django.contrib import admin
from django.urls import path
from . import views
urlpatterns = [path("admin/", admin.site.urls), path("items/", views.items), path("items/<int:pk>/", views.item)]
"""

    assert read_module(code).routes == [Route("/items/", 5, "urls")]


def test_variables_are_required_where_the_code_subscripts_the_environment() -> None:
    """`os.environ[...]` ends an application that does not find it; `.get` does not."""
    code = """
import os
from os import environ, getenv
a = os.environ["A"]
b = os.environ.get("B")
c = os.getenv("C", "x")
d = environ["D"]
os.environ["SET_BY_IT"] = "1"
"""

    assert read_module(code).variables == [
        ReadVariable("A", 4, is_required=True),
        ReadVariable("B", 5, is_required=False),
        ReadVariable("C", 6, is_required=False),
        ReadVariable("D", 7, is_required=True),
    ]


@pytest.mark.parametrize("text", ["def (", "print 'python 2'", "\0", "x = " + "(" * 5000])
def test_what_is_no_python_says_nothing(text: str) -> None:
    """A template with .py at its end, or code of another version, stops nobody."""
    found = read_module(text)

    assert (found.made, found.called, found.routes, found.mounts, found.variables) == ([], [], [], [], [])


def test_nothing_of_the_code_is_run(tmp_path: Path) -> None:
    """Also not at its top level."""
    mark = tmp_path / "was_run"
    read_module(f"from flask import Flask\nopen({str(mark)!r}, 'w').close()\napp = Flask(__name__)")

    assert not mark.exists()
