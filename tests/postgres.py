"""PostgreSQL for tests: one server per process, one migrated template, and a copy of it for each test that asks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from store.books import PostgresBooks
from store.books import open_books as books_of
from store.connections import engine_of, pool_of
from store.migrate import migrate
from workers.postgres import EmbeddedPostgres

TEMPLATE = "template_perennial"
OpenBooks = Callable[[], AbstractAsyncContextManager[PostgresBooks]]


class Databases:
    """Gives out databases of one server, each a copy of the migrated template."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._numbers = count(1)

    @asynccontextmanager
    async def fresh(self, *, migrated: bool = True) -> AsyncIterator[str]:
        """The URL of a new database, dropped when the block is left."""
        name = f"test_{next(self._numbers)}"
        await self.server.create_database(name, template=TEMPLATE if migrated else None)
        try:
            yield self.server.url(name)
        finally:
            await self.server.drop_database(name)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """One server for all tests of this process."""
    server = EmbeddedPostgres(Path(tmp_path_factory.mktemp("postgres")), durable=False)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        try:
            runner.run(server.create_database(TEMPLATE))
            runner.run(migrate(server.url(TEMPLATE)))
            yield Databases(server)
        finally:
            runner.run(server.stop())


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A database of this test's own, migrated and empty."""
    async with databases.fresh() as url:
        yield url


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on this test's database."""
    engine = engine_of(database_url, size=20)
    yield engine
    await engine.dispose()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A plain pool on this test's database."""
    async with await pool_of(database_url, size=20) as pool:
        yield pool


@pytest.fixture
def open_books(engine: AsyncEngine) -> OpenBooks:
    """Opens the books of this test's database."""
    return books_of(engine)
