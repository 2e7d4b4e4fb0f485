"""Migrate: bring a database to the schema of this program. Works from any folder, also when installed as a package.

`python -m store.migrate postgresql://… "say what changes"` writes the next migration, from how that database differs.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from store.connections import DRIVER
from store.schema import METADATA

R = TypeVar("R")
# One migrator at a time: the lock goes with the transaction.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('perennial.migrate', 0))")
# Whoever waits for a table makes all who come after wait too.
_PATIENCE = text("SET LOCAL lock_timeout = '3s'")
_LOCK_NOT_AVAILABLE = "55P03"


class Blocked(Exception):
    """A table could not be had in time: somebody's transaction holds it. Nothing was changed."""


async def migrate(url: str) -> str:
    """Bring the database at `url` to the newest revision, whole or not at all; answers it. Fine when it is there.

    Of several migrators at once the first does it, the others wait and find it done. Raises Blocked.
    """
    try:
        return await _with_connection(url, _upgrade)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise Blocked(
            "a table is held by a transaction that does not end (see pg_stat_activity); nothing was changed: "
            "let it end, and migrate again"
        ) from error


async def current_revision(url: str) -> str | None:
    """The revision that the database is at, None for an empty one."""
    return await _with_connection(url, _revision)


def newest_revision() -> str:
    """The revision that this program wants."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def differences(url: str) -> list[Any]:
    """Where the database differs from the tables of this program, as alembic sees it."""
    return await _with_connection(url, _compared)


async def revise(url: str, message: str) -> None:
    """Write the next migration from the difference between the database and the tables. For developers."""
    number = f"{int(newest_revision() or 0) + 1:04d}"

    def write(connection: Connection) -> None:
        command.revision(_config(connection), message=message, autogenerate=True, rev_id=number)

    await _with_connection(url, write)


def _upgrade(connection: Connection) -> str:
    connection.execute(_LOCK)
    connection.execute(_PATIENCE)
    command.upgrade(_config(connection), "head")
    return newest_revision()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _compared(connection: Connection) -> list[Any]:
    return compare_metadata(MigrationContext.configure(connection), METADATA)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


async def _with_connection(url: str, work: Callable[[Connection], R]) -> R:
    # Not `engine_of`: reflection wants JSON parsed.
    engine = create_async_engine(make_url(url).set(drivername=DRIVER), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(revise(sys.argv[1], sys.argv[2]))
