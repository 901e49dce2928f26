"""The Flask application: the same three routes as blocking views (`sync_app`) and as coroutines (`async_app`)."""

import asyncio
import os

# By name, as the article does: this binds whatever time.sleep is at the moment of the import. serve.py depends on it.
from time import sleep

from flask import Flask

HOLD_S = int(os.environ["WRKLAB_HOLD_MS"]) / 1000
#: Steps of /cpu, the same in every stack: about 5 ms of CPython on a current core.
CPU_STEPS = 100_000


def minimal_standard(steps: int) -> int:
    """The value of Park and Miller's random number generator after `steps` steps from 1; exact in every language."""
    value = 1
    for _ in range(steps):
        value = value * 16807 % 2147483647
    return value


def _sync_app() -> Flask:
    app = Flask(__name__)

    @app.get("/health")
    def health() -> str:
        if HOLD_S:  # sleep(0) would still hand over to another thread
            sleep(HOLD_S)
        return "ok"

    @app.get("/")
    def index() -> str:
        return "ok"

    @app.get("/cpu")
    def cpu() -> str:
        return str(minimal_standard(CPU_STEPS))

    return app


def _async_app() -> Flask:
    app = Flask(__name__)

    @app.get("/health")
    async def health() -> str:
        if HOLD_S:
            await asyncio.sleep(HOLD_S)
        return "ok"

    @app.get("/")
    async def index() -> str:
        return "ok"

    @app.get("/cpu")
    async def cpu() -> str:
        return str(minimal_standard(CPU_STEPS))

    return app


sync_app = _sync_app()
async_app = _async_app()
