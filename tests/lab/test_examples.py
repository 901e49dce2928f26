"""The sample applications, each with its real backends: from a folder without a card to a bench of two recipes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.lab.conftest import invoke
from wrklab.paths import PROJECT_DIR

LIGHT = ("--connections", "20", "--duration", "2s", "--rounds", "1", "--threads", "2", "--warmup", "500ms", "--force")


@pytest.mark.parametrize(
    ("name", "recipes"),
    [
        ("flask_orders", ("gunicorn_sync", "gunicorn_gthread")),
        ("fastapi_links", ("uvicorn", "hypercorn_asyncio")),
        ("django_blog", ("gunicorn_gthread", "waitress")),
    ],
)
def test_an_example_is_checked_and_measured(
    backend_lab: str, tmp_path: Path, name: str, recipes: tuple[str, ...]
) -> None:
    """app.init finds its way; with its own card each request of its mix is answered as expected, in both rows."""
    source, folder = PROJECT_DIR / "examples" / name, tmp_path / name
    shutil.copytree(source, folder)
    (folder / "wrklab.yml").unlink()
    begun = invoke("app.init", str(folder))
    assert begun.returncode == 0, begun.stdout + begun.stderr
    shutil.copy(source / "wrklab.yml", folder / "wrklab.yml")

    checked = invoke("app.check", str(folder), "--force", limit_s=600)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    done = invoke("bench", "--app", str(folder), "--recipe", ",".join(recipes), *LIGHT, "--json", limit_s=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(row["variant"] for row in found["rows"]) == sorted(f"{name}_{recipe}" for recipe in recipes)
    assert all(row["requests_per_s"] > 5 and row["errors_status"] == 0 for row in found["rows"])
    assert all(row["answers"] > 0 and row["errors_body"] == 0 for row in found["requests"])
