"""The FastAPI application: the same three routes as blocking views (`sync_app`) and as coroutines (`async_app`).

`anyio_app` is `async_app` for servers that do not run asyncio: AnyIO's sleep also works on trio, and costs 2 us more.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import anyio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

HOLD_S = int(os.environ["WRKLAB_HOLD_MS"]) / 1000
#: Steps of /cpu, the same in every stack: about 5 ms of CPython on a current core.
CPU_STEPS = 100_000


def minimal_standard(steps: int) -> int:
    """The value of Park and Miller's random number generator after `steps` steps from 1; exact in every language."""
    value = 1
    for _ in range(steps):
        value = value * 16807 % 2147483647
    return value


def _sync_app() -> FastAPI:
    """Views without `async`: Starlette runs each in AnyIO's thread pool, 40 threads a process."""
    app = FastAPI()

    @app.get("/health")
    def health() -> PlainTextResponse:
        if HOLD_S:  # sleep(0) would still hand over to another thread
            time.sleep(HOLD_S)
        return PlainTextResponse("ok")

    @app.get("/")
    def index() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/cpu")
    def cpu() -> PlainTextResponse:
        return PlainTextResponse(str(minimal_standard(CPU_STEPS)))

    return app


def _async_app(sleep: Callable[[float], Awaitable[None]]) -> FastAPI:
    """Views on the event loop, which must be one that `sleep` belongs to."""
    app = FastAPI()

    @app.get("/health")
    async def health() -> PlainTextResponse:
        if HOLD_S:
            await sleep(HOLD_S)
        return PlainTextResponse("ok")

    @app.get("/")
    async def index() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/cpu")
    async def cpu() -> PlainTextResponse:
        return PlainTextResponse(str(minimal_standard(CPU_STEPS)))

    return app


sync_app = _sync_app()
async_app = _async_app(asyncio.sleep)
anyio_app = _async_app(anyio.sleep)
