"""Connections: an engine for the books, a plain asyncpg pool for the paths that must be fast. Both cheap to make."""

from asyncpg import Pool, Record, create_pool
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DRIVER = "postgresql+asyncpg"
_SETTINGS = {"timezone": "UTC", "jit": "off"}


def engine_of(url: str, *, size: int = 10, name: str = "perennial") -> AsyncEngine:
    """The engine that `store.books` and `store.lists` run on, at most `size` connections, none opened yet.

    `url` is "postgresql://…"; `name` is what PostgreSQL lists the connections under.
    """
    return create_async_engine(
        make_url(url).set(drivername=DRIVER),
        pool_size=size,
        max_overflow=0,
        connect_args={"server_settings": {**_SETTINGS, "application_name": name}},
    )


async def pool_of(url: str, *, size: int = 10, name: str = "perennial") -> "Pool[Record]":
    """The pool that `store.usage`, `store.checks` and `store.access` run on; one connection is opened now."""
    return await create_pool(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False),
        min_size=1,
        max_size=size,
        server_settings={**_SETTINGS, "application_name": name},
    )
