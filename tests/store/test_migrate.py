"""Migrations: what they build is what the tables of the program say."""

import asyncio
import re

import asyncpg
import pytest

from store.connections import engine_of
from store.migrate import Blocked, current_revision, differences, migrate, newest_revision
from store.schema import METADATA
from tests.postgres import Databases

CATALOG = """
    SELECT 'column' AS kind, attrelid::regclass::text AS "table",
           concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attnum) AS said
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
    ORDER BY 1, 2, 3
"""


async def catalog(url: str) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(re.sub(r"\+asyncpg", "", url))
    try:
        return [tuple(row) for row in await connection.fetch(CATALOG) if row["table"] != "alembic_version"]
    finally:
        await connection.close()


async def test_migrations_and_tables_agree(databases: Databases, database_url: str):
    assert await differences(database_url) == []
    async with databases.fresh(migrated=False) as other:
        engine = engine_of(other)
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        await engine.dispose()
        assert await catalog(other) == await catalog(database_url)


async def test_two_migrators_at_once_do_it_once(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    monkeypatch.chdir(tmp_path_factory.mktemp("anywhere"))
    async with databases.fresh(migrated=False) as url:
        assert await current_revision(url) is None
        assert await asyncio.gather(*(migrate(url) for _ in range(3))) == [newest_revision()] * 3
        assert await current_revision(url) == newest_revision()
        assert await migrate(url) == newest_revision()


async def test_a_table_that_is_held_is_not_waited_for_long_and_nothing_is_changed(databases: Databases):
    async with databases.fresh(migrated=False) as url:
        holder = await asyncpg.connect(re.sub(r"\+asyncpg", "", url))
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        with pytest.raises(Blocked, match="pg_stat_activity"):
            await migrate(url)
        await transaction.rollback()
        await holder.close()
        assert await current_revision(url) is None
        assert await migrate(url) == newest_revision()


async def test_the_first_migration_goes_back_to_nothing(databases: Databases):
    from alembic import command

    from store.migrate import _config

    async with databases.fresh() as url:
        engine = engine_of(url)
        async with engine.begin() as connection:
            await connection.run_sync(lambda sync: command.downgrade(_config(sync), "base"))
        await engine.dispose()
        assert await catalog(url) == []
