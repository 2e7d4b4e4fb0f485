"""Collections: every invoice with money due, where it stands, and whose move it is."""

from datetime import timedelta
from typing import Annotated

from fastapi import Query, Response

from api import showing, showing_money, shown, shown_money
from api.answers import Paged, answer
from api.context import Context, Doors
from api.docs import says
from api.endpoint import router
from api.reading import invalid
from api.shapes import duration
from domain.dunning import CollectionState
from domain.errors import FieldError
from store.lists import Collected, list_collections
from store.naming import invoice_named, keys_of

routes = router("collections")

_EXAMPLE = {
    "invoice": "IW-2026-000002",
    "customer": "ada",
    "subscription": "q1",
    "amount_due": "58.31",
    "currency": "EUR",
    "state": "retrying",
    "stuck_reason": None,
    "attempts": [{"attempt": 1, "state": "failed", "decline_code": "insufficient_funds", "method": "visa •0341"}],
    "retries_left": 3,
    "waiting_on": "us",
    "next_action": "charge",
    "next_action_at": "2026-03-01T23:00:00Z",
}


@routes.get(
    "/v1/collections", responses=says(shown.Page[shown_money.Collection], {"data": [_EXAMPLE], "next_cursor": None})
)
async def get_collections(
    context: Doors,
    asked: Paged,
    customer: str | None = None,
    state: Annotated[CollectionState | None, Query()] = None,
    stuck: Annotated[bool, Query(description="Only what does not move by itself, or should have.")] = False,
    aging: Annotated[str | None, Query(description="Only what is open and overdue for longer than this: P30D.")] = None,
) -> Response:
    """Collections, newest first, with all attempts."""
    now = context.clock.now()
    page = await list_collections(
        context.engine,
        asked,
        customer=customer,
        state=state,
        stuck_at=now if stuck else None,
        due_before=None if aging is None else now - _duration(aging),
    )
    return answer(showing.page(await _shown(context, page.data), page.next_cursor))


@routes.get("/v1/collections/{invoice}", responses=says(shown_money.Collection, _EXAMPLE, codes="not_found"))
async def get_collection(invoice: str, context: Doors) -> Response:
    """The collection of one invoice, by the invoice's id, number, or `q1#2`."""
    name = await invoice_named(context.pool, invoice)
    async with context.open_books() as books:
        collection = await books.collections.get(name)
        number = (await books.invoices.get(collection.invoice_id)).number or ""
        attempts = await books.payments.of_invoice(collection.invoice_id)
    found = Collected(collection=collection, number=number, attempts=attempts)
    return answer((await _shown(context, (found,)))[0])


async def _shown(context: Context, found: tuple[Collected, ...]) -> list[shown_money.Collection]:
    of, now = [one.collection for one in found], context.clock.now()
    keys = await keys_of(context.pool, (id_ for one in of for id_ in (one.customer_id, one.subscription_id)))
    return [
        showing_money.collection(
            one.collection,
            invoice=one.number,
            customer=keys[one.collection.customer_id],
            subscription=keys[one.collection.subscription_id],
            attempts=one.attempts,
            at=now,
        )
        for one in found
    ]


def _duration(text: str) -> timedelta:
    read = duration(text)
    if read is None or not timedelta(0) <= read <= timedelta(days=36600):
        raise invalid([FieldError(("aging",), "must be an ISO 8601 duration in days, such as P30D")])
    return read
