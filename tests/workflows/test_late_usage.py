"""Usage that is told after the last invoice: billed on one of its own, once nothing more can come."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.postgres import Databases
from tests.workflows.worlds import STARTS, Line, eventually, line_of, price_book
from workers.restart import restart_everything
from workflows import names

END = datetime.fromisoformat("2026-02-04T23:00:00+00:00")  # 5 February in Berlin
LAST_LOOK = END + timedelta(days=35)


@pytest.fixture
async def line(databases: Databases, tmp_path: Path) -> AsyncIterator[Line]:
    """A pass for one month."""
    async with databases.fresh() as url, line_of(url, tmp_path) as line:
        book = price_book()
        book["plans"][0]["term"] = {"intervals": 1, "auto_renew": False}
        await line.catalog(book)
        yield line


async def entered(line: Line, id: str, at: datetime) -> Any:
    event = {"specversion": "1.0", "id": id, "source": "gate", "type": "pool.entered", "subject": "ada", "data": {}}
    return await line.done("usage", [event | {"time": at.isoformat()}])


async def invoices(line: Line) -> list[Any]:
    """Oldest first."""
    return (await line.get("invoices"))["data"][::-1]


async def has_ended(line: Line, workflow_id: str) -> bool:
    return await line.status(workflow_id) is WorkflowExecutionStatus.COMPLETED


async def test_is_billed_thirty_five_days_after_the_end_and_only_once(line: Line):
    await line.sold("ada")
    for n in range(3):
        await entered(line, f"in-time-{n}", STARTS)
    await line.world.reach(END + timedelta(days=3))
    assert [len(await invoices(line)), (await line.get("subscriptions/ada"))["state"]] == [2, "ended"]
    for n in range(2):
        await entered(line, f"late-{n}", END - timedelta(hours=1))
    await entered(line, "after", END + timedelta(hours=1))
    await line.world.reach(LAST_LOOK - timedelta(seconds=1))
    assert len(await invoices(line)) == 2
    await line.world.reach(LAST_LOOK + timedelta(days=100))
    *_, late = await invoices(line)
    assert [one["kind"] for one in late["lines"]] == ["late_usage"]
    # Two entries at 1.50: those after the second of the period cost, and the third had come in time.
    assert (late["subtotal"], late["issued_at"][:19]) == ("3.00", LAST_LOOK.isoformat()[:19])
    assert (late["period"]["start"], late["period"]["end"]) == ("2026-01-05", "2026-02-05")
    assert late["state"] == "paid"
    await eventually(has_ended, line, names.subscription_workflow((await line.get("subscriptions/ada"))["id"]))
    await line.sound()


async def test_that_never_comes_makes_no_invoice_and_ends_the_process(line: Line):
    await line.sold("ada")
    await line.world.reach(LAST_LOOK + timedelta(seconds=1))
    assert [invoice["state"] for invoice in await invoices(line)] == ["paid"]
    await eventually(has_ended, line, names.subscription_workflow((await line.get("subscriptions/ada"))["id"]))
    await line.sound()


async def test_is_waited_for_also_by_a_process_that_was_lost(line: Line):
    await line.sold("ada")
    await line.world.reach(END + timedelta(days=3))
    workflow_id = names.subscription_workflow((await line.get("subscriptions/ada"))["id"])
    await line.world.client.get_workflow_handle(workflow_id).terminate()
    for n in range(3):
        await entered(line, f"late-{n}", END - timedelta(hours=1))
    await restart_everything(line.world.engine, line.world.world.doors.lifecycles)
    await line.world.reach(LAST_LOOK)
    assert [invoice["subtotal"] for invoice in await invoices(line)] == ["74.00", "1.50"]
    await line.sound()
