"""Ordinary applications that know nothing of wrklab, from their folder alone to a measured row."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import invoke
from wrklab.paths import CACHE_DIR, RESULTS_DIR
from wrklab.results.run_folder import run_ids

SAMPLES = Path(__file__).parent / "applications"
#: It looks like nothing that a pattern would find.
SECRET = "Tulip field 7 & <quoted>"
LIGHT = ("--connections", "20", "--duration", "2s", "--rounds", "1", "--threads", "2", "--warmup", "500ms", "--force")
#: Of the shop, after app.init: its database is made before each start, and one request shows its secret.
SHOP_REQUESTS = """prepare: ["{venv}/bin/python seed.py"]
requests:
  - {name: list, weight: 6, path: /items, expect: {status: 200, contains: '"items"', json: {items.0.name: item 0}}}
  - {name: create, weight: 2, method: POST, path: /items, json: {name: pen}, expect: {status: 201}}
  - {name: whoami, weight: 1, path: /whoami, expect: {status: 200, contains: key}}
"""


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's secret is in the controller's environment."""
    monkeypatch.setenv("SHOP_SECRET_KEY", SECRET)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The Flask application with a card of its own."""
    folder = tmp_path / "flask_shop"
    shutil.copytree(SAMPLES / "flask_shop", folder)
    done = invoke("app.init", str(folder))
    assert done.returncode == 0, done.stderr
    card = folder / "wrklab.yml"
    kept = card.read_text(encoding="utf-8").partition("requests:")[0]
    card.write_text(kept + SHOP_REQUESTS, encoding="utf-8")
    return folder


def files_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file and its content, unpacked where it is packed."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield path, gzip.decompress(data) if path.suffix == ".gz" else data


def rows_of(run_id: str) -> list[dict[str, str]]:
    """The rows of a run's report."""
    with (RESULTS_DIR / run_id / "report.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_flask_application_is_checked_and_measured_and_its_secret_is_stored_nowhere(lab: str, shop: Path) -> None:
    """From app.init to a bench of two recipes; each start has a database of its own, so no round sees another's."""
    checked = invoke("app.check", str(shop), "--force", limit_s=600)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "ok    create: POST /items: 201" in checked.stdout
    assert SECRET not in checked.stdout + checked.stderr

    runs_before = set(run_ids(RESULTS_DIR))
    done = invoke("bench", "--app", str(shop), "--recipe", "gunicorn_sync,gunicorn_gthread", *LIGHT, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert sorted(row["variant"] for row in found["rows"]) == [
        "flask_shop_gunicorn_gthread",
        "flask_shop_gunicorn_sync",
    ]
    assert all(row["requests_per_s"] > 10 and row["errors_status"] == 0 for row in found["rows"])
    assert {row["request"] for row in found["requests"]} == {"list", "create", "whoami"}
    (run_id,) = set(run_ids(RESULTS_DIR)) - runs_before
    assert (RESULTS_DIR / run_id / "lock.gunicorn.txt").is_file()
    for folder in (RESULTS_DIR, CACHE_DIR):
        assert [path for path, data in files_below(folder) if SECRET.encode() in data] == []
    raw = [data for path, data in files_below(RESULTS_DIR / run_id / "raw") if path.name == "server.json"]
    # It did log its key; that is what was blanked.
    assert any(b"the key is (blanked)" in data for data in raw)


def test_a_wrong_expectation_is_refused_before_any_load(lab: str, shop: Path) -> None:
    """app.check shows the answer, and a bench sends no load either."""
    card = shop / "wrklab.yml"
    card.write_text(card.read_text(encoding="utf-8").replace("{status: 201}", "{status: 200}"), encoding="utf-8")

    checked = invoke("app.check", str(shop), "--force", limit_s=600)
    assert checked.returncode == 1
    assert "WRONG create: POST /items: 201" in checked.stdout
    assert "status 201 instead of 200" in checked.stdout
    assert "| content-type: application/json" in checked.stdout
    assert "ok    list: GET /items: 200" in checked.stdout

    done = invoke("bench", "--app", str(shop), *LIGHT)
    assert done.returncode == 1
    (row,) = rows_of(run_ids(RESULTS_DIR)[-1])
    assert row["state"] == "failed"
    cell = RESULTS_DIR / run_ids(RESULTS_DIR)[-1] / "raw" / "standard.flask_shop_gunicorn_sync.1"
    load = json.loads(next(cell.glob("load.*.json")).read_text(encoding="utf-8"))
    assert (load["warmup"], load["wrk"]) == (None, [])


def test_an_application_that_does_not_start_is_explained(lab: str, shop: Path) -> None:
    """By the end of its log, and by what that usually means."""
    wsgi = shop / "wsgi.py"
    wsgi.write_text(f"import not_there\n{wsgi.read_text(encoding='utf-8')}", encoding="utf-8")

    checked = invoke("app.check", str(shop), "--force", limit_s=600)

    assert checked.returncode == 1
    assert "WRONG it does not start" in checked.stdout
    assert "likely: the module not_there is not there" in checked.stdout
    assert "| ModuleNotFoundError: No module named 'not_there'" in checked.stdout


def test_a_missing_secret_is_refused_before_a_host_is_touched(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With file, line and key."""
    monkeypatch.delenv("SHOP_SECRET_KEY")

    done = invoke("bench", "--app", str(shop), *LIGHT)

    assert done.returncode == 2
    assert "environment.SHOP_SECRET_KEY: the secret SHOP_SECRET_KEY is not in your environment" in done.stderr


def test_a_fastapi_application_is_checked_and_measured(lab: str, tmp_path: Path) -> None:
    """Without a change to what app.init wrote."""
    folder = tmp_path / "fastapi_notes"
    shutil.copytree(SAMPLES / "fastapi_notes", folder)
    assert invoke("app.init", str(folder)).returncode == 0

    checked = invoke("app.check", str(folder), "--force", limit_s=600)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    done = invoke("bench", "--app", str(folder), "--recipe", "uvicorn,hypercorn_asyncio", *LIGHT, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert sorted(row["variant"] for row in rows) == ["fastapi_notes_hypercorn_asyncio", "fastapi_notes_uvicorn"]
    assert all(row["requests_per_s"] > 10 for row in rows)


#: It knows nothing of wrklab, and each request waits for 50 ms.
SLEEPY = """import time

from flask import Flask

app = Flask(__name__)


@app.get("/")
def wait():
    time.sleep(0.05)
    return "done"
"""


def test_how_many_requests_an_application_works_on_at_once(lab: str, tmp_path: Path) -> None:
    """Six threads that wait work on six: its rate and the time that a request takes alone say so."""
    folder = tmp_path / "sleepy"
    folder.mkdir()
    (folder / "wsgi.py").write_text(SLEEPY, encoding="utf-8")
    (folder / "requirements.txt").write_text("flask\n", encoding="utf-8")
    assert invoke("app.init", str(folder)).returncode == 0

    probed = ("--recipe", "gunicorn_gthread", "--param", "workers=1", "--param", "threads=6")
    done = invoke("probe", "--app", str(folder), *probed, "--force", "--json", limit_s=600)

    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)["at_once"]
    assert found["variant"] == "sleepy_gunicorn_gthread@threads=6,workers=1"
    assert (found["set_by"], found["in_flight_limit"]) == ("limit", 6)
    assert 5.1 <= found["at_once"] <= 6.6
    report = run_ids(RESULTS_DIR)[-1]
    assert "## How many requests at once" in (RESULTS_DIR / report / "report.md").read_text(encoding="utf-8")
