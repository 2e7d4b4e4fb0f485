"""Events: the audit trail, as it came about."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response

from api import showing, shown
from api.access import Calling
from api.answers import Paged, answer
from api.context import Context, Doors
from api.customers import whose
from api.docs import says
from api.endpoint import router
from api.roles import HISTORIES
from domain.audit import AuditEvent
from domain.errors import NotFound
from store.access import keys_among
from store.lists import list_events
from store.naming import keys_of

routes = router("events")

_EXAMPLE = {
    "at": "2026-01-31T08:05:00Z",
    "type": "quote.accepted",
    "subject": "quo_0195…",
    "customer": "ada",
    "actor": "key_0195…",
    "actor_role": "sales",
    "actor_label": "web shop",
    "reason": None,
    "data": {"quote": "q1", "state": "accepted"},
    "before": {"state": "draft", "accepted_at": None},
    "after": {"state": "accepted", "accepted_at": "2026-01-31T08:05:00+00:00"},
}


@routes.get("/v1/events", responses=says(shown.Page[shown.Event], {"data": [_EXAMPLE], "next_cursor": None}))
async def get_events(
    context: Doors,
    call: Calling,
    asked: Paged,
    customer: str | None = None,
    subject: Annotated[str | None, Query(description="The id of what it happened to.")] = None,
    subscription: Annotated[str | None, Query(description="Id or key.")] = None,
    type: Annotated[str | None, Query(description="`invoice.issued`, or `invoice.` for all of them.")] = None,
    actor: Annotated[str | None, Query(description="The id of an API key, or `perennial` for what time did.")] = None,
) -> Response:
    """What happened, newest first, to the nouns that the caller's role works with; a customer's key sees its own."""
    page = await list_events(
        context.engine,
        asked,
        customer=await whose(context, call, customer),
        subject=subject,
        subscription_id=await _subscription_id(context, subscription),
        type=type,
        actor=actor,
        nouns=HISTORIES.get(call.key.role),
    )
    return answer(showing.page(await shown_events(context, page.data), page.next_cursor))


async def shown_events(context: Context, events: Sequence[AuditEvent]) -> list[shown.Event]:
    """Events with their customers named by key, and who acted by the role and label of the API key."""
    keys = await keys_of(context.pool, (event.customer_id for event in events))
    actors = await keys_among(context.pool, (event.actor for event in events))
    return [
        showing.event(event, customer=keys.get(event.customer_id), actor=actors.get(event.actor)) for event in events
    ]


async def _subscription_id(context: Context, name: str | None) -> str | None:
    if name is None:
        return None
    async with context.open_books() as books:
        try:
            return (await books.subscriptions.get(name)).id
        except NotFound:
            return name
