"""Census: what a story cost in Temporal, counted from the histories themselves."""

from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError

from workers.simulation import Simulation
from workflows import names


async def census(world: Simulation) -> dict[str, int]:
    """Workflows (ids), history events and activities over all runs of everything that was recorded."""
    ids: list[str] = []
    for path, workflow_id in (
        ("/v1/quotes", names.quote_workflow),
        ("/v1/orders", names.order_workflow),
        ("/v1/subscriptions", names.subscription_workflow),
    ):
        ids += [workflow_id(row["id"]) for row in await _all(world, path)]
    ids += [names.collection_workflow(row["invoice_id"]) for row in await _all(world, "/v1/collections")]
    counts = {"count": 0, "history_events": 0, "activities": 0}
    for id_ in ids:
        events, activities = await _runs(world.client, id_)
        counts["count"] += bool(events)
        counts["history_events"] += events
        counts["activities"] += activities
    return counts


async def _all(world: Simulation, path: str) -> list[dict[str, Any]]:
    from workers.story import everything

    return await everything(world.http, path)


async def _runs(client: Client, workflow_id: str) -> tuple[int, int]:
    """Events and activities of the whole chain of runs, walked back from the last; zero when it never ran."""
    events = activities = 0
    run_id: str | None = None
    while True:
        try:
            history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        except RPCError:
            return events, activities
        events += len(history.events)
        activities += sum(1 for event in history.events if event.HasField("activity_task_scheduled_event_attributes"))
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return events, activities
