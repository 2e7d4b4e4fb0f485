"""The disk is full, for the table of usage: what cannot be stored is refused, not half stored; what was taken is there.

    limit on the size of a file (16 MB, as large as a segment of the log) ──► PostgreSQL cannot lengthen the table

The kernel says no, as on a full disk, and no right to mount anything is needed; but it says "too large" where there it says "no
space", so PostgreSQL's code is XX000, not 53100.
"""

import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from store.migrate import migrate
from tests.workflows.worlds import Line, line_of
from workers.postgres import EmbeddedPostgres

pytestmark = pytest.mark.slow

FULL = 16 << 20
FILLED = 70_000


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    await postgres.start()
    await postgres.create_database("books")
    await migrate(postgres.url("books"))
    yield postgres
    await postgres.stop()


@pytest.fixture
async def line(postgres: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Line]:
    async with line_of(postgres.url("books"), tmp_path) as line:
        yield line


async def again(postgres: EmbeddedPostgres, longest_file: int = resource.RLIM_INFINITY) -> None:
    """The server is started anew, and can make no file longer than that; it has the limit from us."""
    await postgres.stop()
    ours = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest_file, ours[1]))
    try:
        await postgres.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, ours)


def entries(batch: str, count: int = 100) -> list[dict[str, Any]]:
    more = {"specversion": "1.0", "source": "gate", "type": "pool.entered", "subject": "ada"}
    return [{**more, "id": f"{batch}-{number}"} for number in range(count)]


async def stored(line: Line, like: str = "%") -> set[str]:
    await line.world.engine.dispose()  # its connections are to a server that has been stopped
    async with line.world.engine.connect() as connection:
        found = await connection.execute(text("SELECT id FROM usage_events WHERE id LIKE :like"), {"like": like})
        return {row.id for row in found}


async def test_no_event_is_half_stored_and_none_that_was_acknowledged_is_lost(postgres: EmbeddedPostgres, line: Line):
    await line.sold("ada")
    assert (await line.post("usage", entries("first", 1)))[0] == 202
    async with line.world.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO usage_events SELECT (jsonb_populate_record(e, jsonb_build_object('id', 'filled-' || n))).*"
                " FROM usage_events e, generate_series(1, :n) n"
            ),
            {"n": FILLED},
        )
    await again(postgres, FULL)

    acknowledged = {"first-0"}
    with structlog.testing.capture_logs() as lines:
        for number in range(1000):
            batch = entries(f"more{number}")
            status, answer = await line.post("usage", batch)
            if status != 202:
                break
            acknowledged |= {event["id"] for event in batch}
    assert [line["log_level"] for line in lines if line["event"] == "database_in_trouble"] == ["error"]
    assert (status, answer["code"], number > 0) == (503, "unavailable", True)
    assert await stored(line, "%-%") - await stored(line, "filled-%") == acknowledged

    # Reading goes on, and counts what was acknowledged.
    used = int((await line.get("entitlements/ada/pool"))["used"])
    assert used == FILLED + len(acknowledged)

    await again(postgres)
    for _ in range(2):
        assert (await line.post("usage", batch))[0] == 202
    assert await stored(line, "more%") == (acknowledged - {"first-0"}) | {event["id"] for event in batch}
    assert int((await line.get("entitlements/ada/pool"))["used"]) == used + len(batch)
