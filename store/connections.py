"""Connections: an engine for the books, a plain asyncpg pool for the paths that must be fast. Both cheap to make."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from asyncpg import Connection, Pool, Record, create_pool
from sqlalchemy import QueuePool, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DRIVER = "postgresql+asyncpg"
# A check or an event that is not answered by then is given up, in as much time again; who asks can ask again.
_FAST_WITHIN_S = 5
_SETTINGS = {"timezone": "UTC", "jit": "off"}


class Fetches(Protocol):
    """What the fast paths need: an asyncpg pool, or one connection of it."""

    async def fetch(self, query: str, *args: object) -> Sequence[Record]:
        """Run one statement."""
        ...


def engine_of(url: str, *, size: int = 10, name: str = "perennial") -> AsyncEngine:
    """The engine that `store.books` and `store.lists` run on, at most `size` connections, none opened yet.

    `url` is "postgresql://…"; `name` is what PostgreSQL lists the connections under.
    """
    return create_async_engine(
        make_url(url).set(drivername=DRIVER),
        pool_size=size,
        max_overflow=0,
        # JSON stays text until `store.columns.Document` reads it into a value.
        json_deserializer=str,
        # An error must not carry what was written: it goes into logs and workflow histories.
        hide_parameters=True,
        connect_args={"server_settings": {**_SETTINGS, "application_name": name}},
    )


async def pool_of(url: str, *, size: int = 10, name: str = "perennial") -> "Pool[Record]":
    """The pool that `store.usage`, `store.checks` and `store.access` run on; one connection is opened now."""
    return await create_pool(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False),
        min_size=1,
        max_size=size,
        timeout=_FAST_WITHIN_S,
        command_timeout=_FAST_WITHIN_S,
        reset=_nothing_to_reset,
        server_settings={**_SETTINGS, "application_name": name},
    )


def in_use(engine: AsyncEngine, pool: Fetches) -> Mapping[str, int]:
    """How many connections are out at this moment: of the engine for the books, and of the pool for the fast paths."""
    books, fast = engine.pool, pool
    return {
        "books": books.checkedout() if isinstance(books, QueuePool) else 0,
        "fast": fast.get_size() - fast.get_idle_size() if isinstance(fast, Pool) else 0,
    }


async def _nothing_to_reset(connection: "Connection[Record]") -> None:
    """Nobody changes the session here; asyncpg's own reset would cost a round trip per statement."""
