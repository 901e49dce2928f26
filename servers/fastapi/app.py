"""The FastAPI application: the same routes as blocking views (`sync_app`) and as coroutines (`async_app`).

`anyio_app` is `async_app` for servers that do not run asyncio: AnyIO's sleep also works on trio, and costs 2 us more.
`async_blocking_app` has coroutines that never await. `sync_tokens_app` and `sync_runvar_app` are `sync_app` with
WRKLAB_THREAD_TOKENS threads in AnyIO's pool instead of 40, set in two ways.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio.lowlevel
import anyio.to_thread
import probe_notes
from fastapi import FastAPI, HTTPException, Request
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


def asked_of_probe(request: Request) -> tuple[int, float]:
    """`id` and `until` of GET /probe; answers 400 where one is missing or no number.

    By hand: as parameters of the views they would cost each start of a server 70 ms for pydantic's validators.
    """
    try:
        return int(request.query_params["id"]), float(request.query_params["until"])
    except (KeyError, ValueError) as error:
        raise HTTPException(400, "GET /probe?id=NUMBER&until=EPOCH_S") from error


async def block(hold_s: float) -> None:
    """A coroutine's mistake: a sleep that does not await."""
    time.sleep(hold_s)  # noqa: ASYNC251  on purpose


def thread_tokens() -> int:
    """How many threads the card wants in AnyIO's pool."""
    return int(os.environ["WRKLAB_THREAD_TOKENS"])


@asynccontextmanager
async def raised_tokens(_: FastAPI) -> AsyncIterator[None]:
    """Changes the pool's limiter where AnyIO says it is, on asyncio as on trio."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = thread_tokens()
    yield


def set_runvar() -> None:
    """The article's way: another limiter under the name of AnyIO's own variable, which AnyIO 3 looked up by name."""
    anyio.lowlevel.RunVar[anyio.CapacityLimiter]("_default_thread_limiter").set(anyio.CapacityLimiter(thread_tokens()))


def _sync_app(app: FastAPI) -> FastAPI:
    """Views without `async`: Starlette runs each in AnyIO's thread pool, 40 threads a process."""

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

    @app.get("/probe")
    def probe(request: Request) -> PlainTextResponse:
        request_id, until = asked_of_probe(request)
        with probe_notes.noted(request_id, "thread"):
            time.sleep(probe_notes.left_s(until))
        return PlainTextResponse("ok")

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

    @app.get("/probe")
    async def probe(request: Request) -> PlainTextResponse:
        request_id, until = asked_of_probe(request)
        with probe_notes.noted(request_id, "loop"):
            await sleep(probe_notes.left_s(until))
        return PlainTextResponse("ok")

    return app


sync_app = _sync_app(FastAPI())
sync_tokens_app = _sync_app(FastAPI(lifespan=raised_tokens))
sync_runvar_app = _sync_app(FastAPI(on_startup=[set_runvar]))
async_app = _async_app(asyncio.sleep)
async_blocking_app = _async_app(block)
anyio_app = _async_app(anyio.sleep)
