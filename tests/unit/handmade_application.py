"""A small application of a user's for tests, and recipes that can serve it."""

from __future__ import annotations

from pathlib import Path

from wrklab.catalogue.application import Application, read_application
from wrklab.catalogue.application_stack import ReadyApplication
from wrklab.catalogue.catalogue import Catalogue
from wrklab.catalogue.recipe import Recipe, RecipeFile
from wrklab.catalogue.scenario import Scenario

CARD = """---
application: shop
entries:
  web: {import: "shop.wsgi:create()", interface: wsgi}
  live: {import: "shop.asgi:app", interface: asgi}
requirements: requirements.txt
environment:
  STATIC: "{app_dir}/static"
  WIDE: "{venv}/share"
  SECRET_KEY: "{secret.SHOP_KEY} of {app_dir}"
prepare: ["{venv}/bin/python seed.py --rows 10"]
requests:
  - {name: front, path: /, expect: {contains: Shop}}
"""


def handmade_application(folder: Path, text: str = CARD) -> Application:
    """The application of a new folder with this card."""
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text("flask\n", encoding="utf-8")
    (folder / "wrklab.yml").write_text(text, encoding="utf-8")
    return read_application(folder)


def handmade_ready(application: Application, archive: Path) -> ReadyApplication:
    """The application, packed and locked."""
    locks = {"gunicorn.txt": "gunicorn==27.0.1 \\\n    --hash=sha256:0a\n", "uvicorn.txt": "uvicorn==0.40.0\n"}
    return ReadyApplication(application, archive, "f" * 64, locks)


def handmade_recipes() -> Catalogue:
    """A catalogue of three recipes and one scenario."""
    scenario = Scenario(name="standard", description="A scenario for tests", threads=4, connections=400, duration_s=4)
    return Catalogue(
        stacks={},
        variants={},
        scenarios={"standard": scenario},
        suites={},
        recipe_files={
            "gunicorn": RecipeFile(
                name="gunicorn",
                description="gunicorn for tests",
                recipes={
                    "gunicorn_sync": _recipe("gunicorn_sync", "wsgi", "gunicorn"),
                    "gunicorn_asgi": _recipe("gunicorn_asgi", "asgi", "gunicorn"),
                },
            ),
            "uvicorn": RecipeFile(
                name="uvicorn",
                description="uvicorn for tests",
                recipes={"uvicorn": _recipe("uvicorn", "asgi", "uvicorn")},
            ),
        },
    )


def _recipe(name: str, interface: str, server: str) -> Recipe:
    return Recipe.model_validate(
        {
            "name": name,
            "server": server,
            "description": f"{server} for tests",
            "interface": interface,
            "requirements": f"{server}.txt",
            "command": f"{{venv}}/bin/{server} {{entry}} --chdir {{app_dir}} -b 0.0.0.0:{{port}} -w {{workers}}",
            "parameters": {"workers": {"description": "processes", "default": "2 * cpus", "min": 1, "max": "9 * cpus"}},
            "in_flight_limit": "workers",
            "queue_setting": "none at all",
            "capacity_setting": "the option -w",
        }
    )
