"""Short links, and how often each was followed."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, HttpUrl
from redis.asyncio import Redis

CACHED_S = 60


class NewLink(BaseModel):
    url: HttpUrl


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.database = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=8)
    app.state.redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    yield
    await app.state.redis.aclose()
    await app.state.database.close()


app = FastAPI(lifespan=lifespan)


@app.get("/links")
async def newest(request: Request, limit: int = 20) -> dict:
    rows = await request.app.state.database.fetch("SELECT code, url FROM link ORDER BY id LIMIT $1", min(limit, 100))
    return {"links": [dict(row) for row in rows]}


@app.get("/links/{code}")
async def follow(request: Request, code: str) -> dict:
    redis, database = request.app.state.redis, request.app.state.database
    url = await redis.get(f"url:{code}")
    if url is None:
        url = await database.fetchval("SELECT url FROM link WHERE code = $1", code)
        if url is None:
            raise HTTPException(404)
        await redis.set(f"url:{code}", url, ex=CACHED_S)
    followed = await redis.incr(f"followed:{code}")
    return {"code": code, "url": url, "followed": followed}


@app.post("/links", status_code=201)
async def add(request: Request, link: NewLink) -> dict:
    code = secrets.token_urlsafe(6)
    await request.app.state.database.execute("INSERT INTO link (code, url) VALUES ($1, $2)", code, str(link.url))
    return {"code": code, "url": str(link.url)}
