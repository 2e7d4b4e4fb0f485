"""Frozen histories: what workflows once did, as Temporal wrote it down, by a name that says what it is.

    PERENNIAL_RECORD_HISTORIES=1 pytest tests/workflows/test_replay.py        writes what is missing, never what is there

Code that is shipped runs what began under older code: so a file is recorded once, and is only ever added to the folder.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from temporalio.client import Client, WorkflowHistory

from tests.faults.stories import GYM_STORY, STARTS, Story, gym, troubles
from tests.postgres import Databases
from workers.simulation import Simulation, simulation
from workers.story import everything
from workflows import names

FOLDER = Path(__file__).parents[1] / "histories"

Chooses = Callable[[list[WorkflowHistory]], WorkflowHistory]


def first(runs: list[WorkflowHistory]) -> WorkflowHistory:
    """The first run of a workflow."""
    return runs[0]


def second(runs: list[WorkflowHistory]) -> WorkflowHistory:
    """The one after it."""
    return runs[1]


def with_cancellation(runs: list[WorkflowHistory]) -> WorkflowHistory:
    """The one in which it was cancelled."""
    return next(run for run in runs if "cancel" in activities_of(run))


def last(runs: list[WorkflowHistory]) -> WorkflowHistory:
    """The last one."""
    return runs[-1]


# Name of the file: story, book, key of what it is about, which run.
WANTED: Mapping[str, tuple[Story, str, str, Chooses]] = {
    "quote-accepted-after-approval": (gym, "quotes", "ada-2026", first),
    "quote-revised-and-approved": (troubles, "quotes", "bob", first),
    "quote-rejected": (troubles, "quotes", "gil", first),
    "quote-expired": (troubles, "quotes", "hal", first),
    "order-completed": (gym, "orders", "ada-2026", first),
    "order-with-a-call-back-and-a-retry": (troubles, "orders", "bob", first),
    "order-taken-back": (troubles, "orders", "eve", first),
    "subscription-first-run": (gym, "subscriptions", "ada-2026", first),
    "subscription-later-run": (gym, "subscriptions", "ada-2026", second),
    "subscription-cancelled-for-want-of-payment": (troubles, "subscriptions", "bob", with_cancellation),
    "subscription-ended": (troubles, "subscriptions", "bob", last),
    "collection-retried-and-paid": (gym, "collections", "ada-2026#2", first),
    "collection-written-off": (troubles, "collections", "bob#1", first),
    "collection-of-a-bank-that-takes-its-time": (troubles, "collections", "dan#1", first),
    "payment-method": (troubles, "customers", "bob", first),
}


def write(folder: Path, name: str, history: WorkflowHistory) -> bool:
    """Keep `history` under `name`; False when something is kept under it already."""
    path = folder / f"{name}.json"
    if path.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"workflow_id": history.workflow_id, **_anonymous(json.loads(history.to_json()))}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    return True


def read(path: Path) -> WorkflowHistory:
    """The history in a file."""
    kept = json.loads(path.read_text())
    return WorkflowHistory.from_json(kept.pop("workflow_id"), kept)


def activities_of(history: WorkflowHistory) -> list[str]:
    """The activities that were asked for, in their order."""
    scheduled = (event.activity_task_scheduled_event_attributes for event in history.events)
    return [asked.activity_type.name for asked in scheduled if asked.activity_type.name]


async def record(databases: Databases, scratch: Path, folder: Path = FOLDER) -> list[str]:
    """Tell both stories, and keep of their histories what is missing; answers the names of what was written."""
    written: list[str] = []
    for story, starts in ((gym, GYM_STORY.starts), (troubles, STARTS)):
        wanted = {name: of for name, of in WANTED.items() if of[0] is story and not (folder / f"{name}.json").exists()}
        if not wanted:
            continue
        async with databases.fresh() as url, simulation(starts=starts, database_url=url, folder=scratch) as world:
            await story(world)
            for name, (_, book, key, chosen) in wanted.items():
                runs = [run async for run in _runs(world.client, await _workflow_id(world, book, key))][::-1]
                written += [name] if write(folder, name, chosen(runs)) else []
    return written


async def _workflow_id(world: Simulation, book: str, key: str) -> str:
    """`key` is one of the book; of collections `ada#2` is the second of that subscription."""
    key, _, nth = key.partition("#")
    rows = [
        row for row in await everything(world.http, f"/v1/{book}") if key in {row.get("key"), row.get("subscription")}
    ]
    row = rows[int(nth or 1) - 1]
    match book:
        case "quotes":
            return names.quote_workflow(row["id"])
        case "orders":
            return names.order_workflow(row["id"])
        case "subscriptions":
            return names.subscription_workflow(row["id"])
        case "collections":
            return names.collection_workflow(row["invoice_id"])
        case _:
            # A simulation numbers the requests: this customer was made by the second one, after the price book.
            return names.payment_method_workflow(row["id"], f"{2:032x}")


async def _runs(client: Client, workflow_id: str) -> AsyncIterator[WorkflowHistory]:
    """The histories of all runs, the last first."""
    run_id: str | None = None
    while True:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        yield history
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return


def _anonymous(value: Any) -> Any:
    """Without the names of the machine and the process that did it, and where its code lay."""
    if isinstance(value, dict):
        told = cast(dict[str, Any], value)
        known = {"identity": "worker", "stackTrace": ""}
        return {name: known.get(name, _anonymous(inner)) for name, inner in told.items()}
    return [_anonymous(inner) for inner in cast(list[Any], value)] if isinstance(value, list) else value
