"""A guestbook: entries are rows in PostgreSQL, and Redis counts who read them."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import asyncpg
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SCHEMA = "CREATE TABLE IF NOT EXISTS entries (id serial PRIMARY KEY, text text NOT NULL)"


class State(TypedDict):
    pool: asyncpg.Pool
    redis: Redis


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[State]:
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=2) as pool,
        Redis.from_url(os.environ["REDIS_URL"], decode_responses=True) as redis,
    ):
        await pool.execute(SCHEMA)
        yield {"pool": pool, "redis": redis}


async def health(request: Request) -> JSONResponse:
    await request.state.pool.execute("SELECT 1")
    await request.state.redis.ping()
    return JSONResponse({"status": "ok"})


async def write(request: Request) -> JSONResponse:
    text = (await request.json())["text"]
    number = await request.state.pool.fetchval("INSERT INTO entries (text) VALUES ($1) RETURNING id", text)
    return JSONResponse({"id": number}, status_code=201)


async def read(request: Request) -> JSONResponse:
    rows = await request.state.pool.fetch("SELECT text FROM entries ORDER BY id")
    readers = await request.state.redis.incr("readers")
    return JSONResponse({"entries": [row["text"] for row in rows], "readers": readers})


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/entries", write, methods=["POST"]),
        Route("/entries", read, methods=["GET"]),
    ],
    lifespan=lifespan,
)
