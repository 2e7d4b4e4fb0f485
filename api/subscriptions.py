"""Subscriptions: what runs, and what has happened to it."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response

from api import showing, shown
from api.access import Call, Calling
from api.answers import Paged, answer
from api.context import Context, Doors
from api.customers import whose
from api.docs import says
from api.endpoint import router
from api.events import shown_events
from api.roles import HISTORIES
from domain.subscription import Subscription, SubscriptionState
from store.lists import list_events, list_subscriptions, suspended_among
from store.naming import keys_of

routes = router("subscriptions")

_EXAMPLE = {
    "id": "sub_0195…",
    "key": "q1",
    "customer": "ada",
    "state": "active",
    "period": {"start": "2026-01-31", "end": "2026-02-28"},
    "waiting_on": "us",
    "next_action": "bill the period",
}


@routes.get(
    "/v1/subscriptions", responses=says(shown.Page[shown.Subscription], {"data": [_EXAMPLE], "next_cursor": None})
)
async def get_subscriptions(
    context: Doors,
    call: Calling,
    asked: Paged,
    customer: str | None = None,
    state: Annotated[SubscriptionState | None, Query(description="As stored: a suspended one is `active`.")] = None,
) -> Response:
    """Subscriptions, newest first."""
    page = await list_subscriptions(context.engine, asked, customer=await whose(context, call, customer), state=state)
    return answer(showing.page(await _shown(context, call, page.data), page.next_cursor))


@routes.get("/v1/subscriptions/{id}", responses=says(shown.Subscription, _EXAMPLE, codes="not_found"))
async def get_subscription(id: str, context: Doors, call: Calling) -> Response:
    """One subscription, in the state in which it is now."""
    return answer((await _shown(context, call, [await _named(context, call, id)]))[0])


@routes.get(
    "/v1/subscriptions/{id}/timeline",
    responses=says(shown.Page[shown.Event], {"data": [], "next_cursor": None}, codes="not_found"),
)
async def get_timeline(id: str, context: Doors, call: Calling, asked: Paged) -> Response:
    """What has happened to it, newest first, as far as the caller's role works with it."""
    subscription = await _named(context, call, id)
    nouns = HISTORIES.get(call.key.role)
    page = await list_events(context.engine, asked, subscription_id=subscription.id, nouns=nouns)
    return answer(showing.page(await shown_events(context, page.data), page.next_cursor))


async def _named(context: Context, call: Call, name: str) -> Subscription:
    async with context.open_books() as books:
        subscription = await books.subscriptions.get(name)
    call.sees(subscription.customer_id, f"subscription {name}")
    return subscription


async def _shown(context: Context, call: Call, found: Sequence[Subscription]) -> list[shown.Subscription]:
    if not found:
        return []
    keys = await keys_of(context.pool, (one.customer_id for one in found))
    shut = await suspended_among(context.engine, (one.id for one in found), call.at)
    return [
        showing.subscription(one, customer=keys[one.customer_id], at=call.at, suspended=one.id in shut) for one in found
    ]
