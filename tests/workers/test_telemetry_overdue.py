"""What time should have moved and nobody did is seen by a person: in the list, in the metrics, in the log."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from domain.waiting import OVERDUE_AFTER
from store.due import Overdue, overdue_at
from tests.workflows.worlds import NO_MONEY, Line, line_of
from workers.alarms import watch
from workflows import names


@pytest.fixture
async def lost(database_url: str, tmp_path: Path) -> AsyncIterator[Line]:
    """A world in which the workflow of one open collection is gone, and stood at the instant of its next charge."""
    async with line_of(database_url, tmp_path) as line:
        await line.sold("bob", NO_MONEY)
        invoice_id = (await line.collection("bob"))["invoice_id"]
        await line.world.client.get_workflow_handle(names.collection_workflow(invoice_id)).terminate()
        await line.world.jump_to(line.world.now + timedelta(days=1))
        yield line


async def stuck(line: Line) -> list[tuple[str, str | None]]:
    """The list of what is stuck, and what the collection says of itself."""
    listed = (await line.get("collections", stuck="true"))["data"]
    alone = (await line.collection("bob"))["stuck_reason"]
    assert all(one["stuck_reason"] == alone for one in listed)
    return [(one["customer"], one["stuck_reason"]) for one in listed]


async def metric(line: Line, name: str) -> str:
    answer = await line.world.http.get("/metrics")
    assert answer.status_code == 200
    [found] = re.findall(rf"^{re.escape(name)} (.*)$", answer.text, re.MULTILINE)
    return found


async def test_what_is_due_is_overdue_only_after_a_while(lost: Line):
    await lost.world.jump_to(lost.world.now + OVERDUE_AFTER - timedelta(seconds=1))
    assert await stuck(lost) == []
    assert await metric(lost, 'perennial_overdue{kind="collection"}') == "0.0"
    due_at = (await lost.collection("bob"))["next_action_at"]

    await lost.world.jump_to(lost.world.now + timedelta(seconds=10))
    assert await stuck(lost) == [("bob", "process_failing")]
    [(kind, things, since)] = await overdue_at(lost.world.engine, lost.world.now)
    assert (kind, things, since.isoformat()) == ("collection", 1, due_at.replace("Z", "+00:00"))


async def test_the_metrics_say_how_much_is_late_and_for_how_long_and_requests_still_come_here(lost: Line):
    await lost.world.jump_to(lost.world.now + timedelta(hours=2))
    assert await metric(lost, 'perennial_overdue{kind="collection"}') == "1.0"
    assert await metric(lost, 'perennial_overdue{kind="quote"}') == "0.0"
    assert float(await metric(lost, "perennial_overdue_oldest_seconds")) == pytest.approx(7200, abs=5)
    assert await metric(lost, 'perennial_open_collections{state="retrying"}') == "1.0"
    assert (await lost.world.http.get("/readyz")).status_code == 200


async def test_it_is_not_stored_so_that_it_ends_with_its_cause(lost: Line):
    await lost.world.jump_to(lost.world.now + timedelta(hours=2))
    assert await stuck(lost) == [("bob", "process_failing")]
    async with lost.world.world.doors.open_books() as books:
        collection = await books.collections.get((await lost.collection("bob"))["invoice_id"])
    assert collection.stuck_reason is None
    await lost.world.world.doors.lifecycles.start_collection(collection)
    await lost.settle()
    assert await stuck(lost) == []
    assert await overdue_at(lost.world.engine, lost.world.now) == []


async def test_the_log_says_it_once(lost: Line, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workers.alarms._LOOK_EVERY_S", 0.01)
    await lost.world.jump_to(lost.world.now + timedelta(hours=2))
    looked: list[Overdue] = []

    async def looks(*args: object) -> list[Overdue]:
        looked.extend(found := await overdue_at(*args))  # pyright: ignore[reportArgumentType]
        return found

    monkeypatch.setattr("workers.alarms.overdue_at", looks)
    with structlog.testing.capture_logs() as lines:
        watching = asyncio.create_task(watch(lost.world.engine, lost.world.world.doors.clock))
        async with asyncio.timeout(20):
            while len(looked) < 3:
                await asyncio.sleep(0.01)
        watching.cancel()
    [line] = [line for line in lines if line["event"] == "overdue"]
    assert (line["log_level"], line["kind"], line["things"]) == ("error", "collection", 1)
