"""The Flask application: the same routes as blocking views (`sync_app`) and as coroutines (`async_app`).

`async_blocking_app` has coroutines that never await: they block the thread that runs them.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable

# By name, as the article does: this binds whatever time.sleep is at the moment of the import. serve.py depends on it.
from time import sleep

import probe_notes
from flask import Flask, abort, request

HOLD_S = int(os.environ["WRKLAB_HOLD_MS"]) / 1000
#: Steps of /cpu, the same in every stack: about 5 ms of CPython on a current core.
CPU_STEPS = 100_000


def minimal_standard(steps: int) -> int:
    """The value of Park and Miller's random number generator after `steps` steps from 1; exact in every language."""
    value = 1
    for _ in range(steps):
        value = value * 16807 % 2147483647
    return value


def asked_of_probe() -> tuple[int, float]:
    """`id` and `until` of GET /probe; answers 400 where one is missing or no number."""
    request_id, until = request.args.get("id", type=int), request.args.get("until", type=float)
    if request_id is None or until is None:
        abort(400, "GET /probe?id=NUMBER&until=EPOCH_S")
    return request_id, until


async def block(hold_s: float) -> None:
    """A coroutine's mistake: a sleep that does not await."""
    sleep(hold_s)  # noqa: ASYNC251  on purpose


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

    @app.get("/probe")
    def probe() -> str:
        request_id, until = asked_of_probe()
        with probe_notes.noted(request_id, "thread"):
            sleep(probe_notes.left_s(until))
        return "ok"

    return app


def _async_app(wait: Callable[[float], Awaitable[None]]) -> Flask:
    app = Flask(__name__)

    @app.get("/health")
    async def health() -> str:
        if HOLD_S:
            await wait(HOLD_S)
        return "ok"

    @app.get("/")
    async def index() -> str:
        return "ok"

    @app.get("/cpu")
    async def cpu() -> str:
        return str(minimal_standard(CPU_STEPS))

    @app.get("/probe")
    async def probe() -> str:
        request_id, until = asked_of_probe()
        with probe_notes.noted(request_id, "loop"):
            await wait(probe_notes.left_s(until))
        return "ok"

    return app


sync_app = _sync_app()
async_app = _async_app(asyncio.sleep)
async_blocking_app = _async_app(block)
