"""A configuration as a command for the user's own machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.handmade_application import handmade_application, handmade_ready
from wrklab.catalogue.application_stack import application_stack, choose_recipes
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.command_line import command_line

CARD = """---
application: shop
entries:
  web: {{import: "{web}", interface: wsgi}}
  live: {{import: "{live}", interface: asgi}}
requirements: requirements.txt
requests: [{{name: front, path: /}}]
"""


@pytest.mark.parametrize(
    ("web", "live", "recipe", "given", "command"),
    [
        (
            "shop.wsgi:app",
            "shop.asgi:app",
            "gunicorn_gthread",
            {"workers": "2", "threads": "16"},
            "gunicorn shop.wsgi:app --no-control-socket -b 0.0.0.0:8000 -w 2 --threads 16",
        ),
        (
            "shop.wsgi:create()",
            "shop.asgi:app",
            "gunicorn_sync",
            {},
            "gunicorn 'shop.wsgi:create()' --no-control-socket -b 0.0.0.0:8000 -w 9",
        ),
        (
            "shop.wsgi:app",
            "shop.asgi:create()",
            "uvicorn",
            {"workers": "2"},
            "uvicorn shop.asgi:create --factory --host 0.0.0.0 --port 8000 --no-access-log --workers 2",
        ),
        (
            "shop.wsgi:app",
            "shop.asgi:app",
            "hypercorn_asyncio",
            {"workers": "2"},
            "hypercorn shop.asgi:app -b 0.0.0.0:8000 -w 2 -k asyncio",
        ),
        (
            "shop.wsgi:app",
            "shop.asgi:app",
            "granian_wsgi",
            {"workers": "4", "threads": "8"},
            (
                "granian --interface wsgi --host 0.0.0.0 --port 8000 --http 1 --workers 4 --blocking-threads 8 "
                "shop.wsgi:app"
            ),
        ),
    ],
)
def test_a_command_runs_in_the_applications_folder(  # noqa: PLR0913, PLR0917  what a case is made of
    tmp_path: Path, web: str, live: str, recipe: str, given: dict[str, str], command: str
) -> None:
    """No path of the lab's server is left in it, formulas are numbers, and a factory is called as its server does."""
    application = handmade_application(tmp_path / "shop", CARD.format(web=web, live=live))
    pairs = choose_recipes(read_catalogue(), application, [recipe])
    stack = application_stack(handmade_ready(application, tmp_path / "shop.tar"), pairs)
    (variant,) = stack.variants.values()

    assert command_line(variant.with_words(given) if given else variant, application, 4) == command
