"""Every recipe from its own lock: it starts, serves an application that it does not know, and handles as many requests
at once as its formula says.
"""

from __future__ import annotations

import asyncio
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from wrklab.catalogue.catalogue import read_catalogue
from wrklab.catalogue.formula import parse_formula
from wrklab.catalogue.recipe import Recipe, Serving
from wrklab.paths import PROJECT_DIR

#: In a package, as users have it.
APPLICATION = """
import time


def wsgi(environ, start_response):
    time.sleep(1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope, receive, send):
    assert scope["type"] == "http", scope["type"]
    await sleep_of_the_loop()(1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def sleep_of_the_loop():
    import asyncio
    import sys

    if "trio" in sys.modules:
        import trio

        return trio.sleep
    return asyncio.sleep
"""
HOLD_S = 1.0
#: One process, so that all requests meet the same limit, and small limits. Other parameters as they are by default.
SMALL = {"workers": 1, "threads": 3, "worker_connections": 4, "connections": 4}
RECIPES = read_catalogue().recipes


#: What a parameter is set to for a try, where 2 would be below its range.
_ELSE = {"backlog": 200, "connections": 4}


@pytest.fixture(scope="module")
def app_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the application."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "entry.py").write_text(APPLICATION)
    return folder


@pytest.fixture(scope="module")
def venvs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for environments, one for each lock."""
    return tmp_path_factory.mktemp("venvs")


def venv_of(recipe: Recipe, venvs: Path) -> Path:
    """An environment with the recipe's lock alone. Skips where it cannot be made."""
    venv, uv = venvs / recipe.requirements, str(Path(sys.executable).with_name("uv"))
    if not venv.exists():
        lock = PROJECT_DIR / "recipes" / recipe.requirements
        for words in (
            ["venv", "--quiet", "--python", "3.11", str(venv)],
            ["pip", "sync", "--quiet", "--require-hashes", "--python", f"{venv}/bin/python", str(lock)],
        ):
            done = subprocess.run([uv, *words], capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                pytest.skip(f"RECIPES' TESTS SKIPPED: {shlex.join(words)}: {done.stderr.strip()[-300:]}")
    return venv


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(serving: Serving, places: Mapping[str, str], cwd: Path, log: Path) -> Iterator[int]:
    """The server, listening; its port."""
    port = free_port()
    text = serving.command.replace("{port}", str(port))
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    environment = {"PATH": f"{places['venv']}/bin:/usr/bin:/bin", "HOME": str(log.parent), "LANG": "C.UTF-8"}
    with log.open("wb") as output:
        process = subprocess.Popen(shlex.split(text), cwd=cwd, env=environment, stdout=output, stderr=output)
        try:
            _wait_for(port, process, log)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers: some listen before their workers are there."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if answers(port, 1)[0][0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"it did not answer:\n{log.read_text()}")


def answers(port: int, count: int) -> list[tuple[int, float]]:
    """Status and seconds of so many requests that are sent at once."""
    # In a thread of its own: the browser's tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(_answers(port, count))).result()


async def _answers(port: int, count: int) -> list[tuple[int, float]]:
    """The status of so many requests that come at once, and after how many seconds each was answered."""

    async def ask() -> tuple[int, float]:
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n")
        took_s = time.monotonic() - begun
        await reader.read()
        writer.close()
        return int(head.split()[1]), took_s

    return await asyncio.gather(*(ask() for _ in range(count)))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_serves_as_many_requests_at_once_as_it_says(
    name: str, app_dir: Path, venvs: Path, tmp_path: Path
) -> None:
    """With one process; those beyond the limit wait for one that is done. Without a limit none waits."""
    recipe = RECIPES[name]
    given = {key: parse_formula(value) for key, value in SMALL.items() if key in recipe.parameters}
    if name == "granian_asgi":
        given["backlog"] = parse_formula(128)
    serving = recipe.serving(f"shop.entry:{recipe.interface}", given)
    limit = serving.in_flight_limit.constant if serving.in_flight_limit else None
    places = {
        "venv": str(venv_of(recipe, venvs)),
        "app_dir": str(app_dir),
        "recipes_dir": str(PROJECT_DIR / "recipes"),
    }

    with running(serving, places, app_dir, tmp_path / "log") as port:
        found = answers(port, 2 * limit if limit else 50)

    assert {status for status, _ in found} == {200}
    at_once = [took_s for _, took_s in found if took_s < 1.7 * HOLD_S]
    assert len(at_once) == (limit or len(found)), sorted(took_s for _, took_s in found)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_starts_with_every_parameter_away_from_its_default(
    name: str, app_dir: Path, venvs: Path, tmp_path: Path
) -> None:
    """Every option of its command line is one that the program knows."""
    recipe = RECIPES[name]
    given = {
        key: parse_formula(_ELSE.get(key, 2)) if parameter.is_number else parameter.choices[-1]
        for key, parameter in recipe.parameters.items()
    }
    serving = recipe.serving(f"shop.entry:{recipe.interface}", given)
    assert "[" not in serving.command
    places = {
        "venv": str(venv_of(recipe, venvs)),
        "app_dir": str(app_dir),
        "recipes_dir": str(PROJECT_DIR / "recipes"),
    }

    with running(serving, places, app_dir, tmp_path / "log") as port:
        assert answers(port, 1)[0][0] == 200
