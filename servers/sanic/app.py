"""The Sanic application, and Sanic's own server around it."""

import argparse
import asyncio
import os

import probe_notes
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import BadRequest
from sanic.response import text

HOLD_S = int(os.environ["WRKLAB_HOLD_MS"]) / 1000
#: Steps of /cpu, the same in every stack: about 5 ms of CPython on a current core.
CPU_STEPS = 100_000

app = Sanic("wrklab")


def minimal_standard(steps: int) -> int:
    """The value of Park and Miller's random number generator after `steps` steps from 1; exact in every language."""
    value = 1
    for _ in range(steps):
        value = value * 16807 % 2147483647
    return value


@app.get("/health")
async def health(_: Request) -> HTTPResponse:
    """`ok` after the hold."""
    if HOLD_S:
        await asyncio.sleep(HOLD_S)
    return text("ok")


@app.get("/")
async def index(_: Request) -> HTTPResponse:
    """`ok` at once."""
    return text("ok")


@app.get("/cpu")
async def cpu(_: Request) -> HTTPResponse:
    """The result of a fixed amount of computation."""
    return text(str(minimal_standard(CPU_STEPS)))


@app.get("/probe")
async def probe(request: Request) -> HTTPResponse:
    """`ok` at the deadline `until`; notes down who held it."""
    try:
        request_id, until = int(request.args["id"][0]), float(request.args["until"][0])
    except (KeyError, ValueError) as error:
        raise BadRequest("GET /probe?id=NUMBER&until=EPOCH_S") from error
    with probe_notes.noted(request_id, "loop"):
        await asyncio.sleep(probe_notes.left_s(until))
    return text("ok")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    # fast: as many workers as os.sched_getaffinity(0) allows the process CPUs.
    app.run(host="0.0.0.0", port=parser.parse_args().port, fast=True, debug=False, access_log=False)
