"""Previews: what a verb would do, or why it is refused and what is possible instead (`?preview=true`). Nothing is written.

    the record ──► the decision that the verb takes too ──► shown; a rule's "no" is shown as well, what is malformed is a 422

What takes others to answer (targets, the payment provider) is taken to answer well, and at once.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, cast

from fastapi import Depends, Query

from api import showing, showing_money, shown
from api.answers import Answer, IfMatch, Wait, answer
from api.context import Context
from api.showing import Shown
from domain.customer import Customer
from domain.deal import Alive, come_alive, first_invoice
from domain.drafting import dunning_policy
from domain.dunning import Collection, opened
from domain.entitlement import Entitlement
from domain.errors import AlreadyExists, Refused
from domain.invoice import Invoice
from domain.ledger import Account
from domain.order import Order
from domain.quote import Quote
from domain.subscription import Subscription


async def _preview(
    preview: Annotated[
        bool, Query(description="Only say what would happen: nothing is done, nothing is kept.")
    ] = False,
) -> bool:
    return preview


Previewing = Annotated[bool, Depends(_preview)]


@dataclass(frozen=True, slots=True)
class Verb:
    """How a verb is asked for: how long to wait for what follows, whether only to foresee it, and for which version."""

    wait: timedelta
    preview: bool
    if_match: str | None


async def _verb(wait: Wait, preview: Previewing, if_match: IfMatch) -> Verb:
    return Verb(wait, preview, if_match)


Verbal = Annotated[Verb, Depends(_verb)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What would be: the things as they would stand, the money that would be asked for, and what would be told."""

    customer: Customer
    at: datetime
    quote: Quote | None = None
    order: Order | None = None
    alive: Alive | None = None
    invoice: Invoice | None = None
    collections: tuple[Collection, ...] = ()
    method: str | None = None
    messages: tuple[str, ...] = ()


async def previewed(
    decide: Callable[[], Awaitable[Foreseen]], instead: Callable[[], Awaitable[Iterable[str]]]
) -> Answer:
    """What `decide` foresees; where a rule refuses it, that rule and what is possible `instead`."""
    try:
        foreseen = await decide()
    except (Refused, AlreadyExists) as refused:
        refusal: shown.Refusal = {"code": refused.code, "detail": refused.detail}
        return answer({**_NOTHING, "possible": False, "refusal": refusal, "instead": list(await instead())})
    return answer(_shown(foreseen))


async def come_to(
    context: Context, order: Order, at: datetime, *, by: tuple[str, ...], quote: Quote | None
) -> Foreseen:
    """All that `order` brings once its steps are done; `by` is what is told before that. Raises MixedCadence."""
    async with context.open_books() as books:
        customer = await books.customers.get(order.customer_id)
        plans = await books.catalog.plans(dict.fromkeys(item.plan for item in order.items))
        features, book = await books.catalog.features(), await books.catalog.current()
        alive = come_alive(order, customer, plans, features, at)
        currency = alive.subscription.currency
        balance = -await books.ledger.balance(Account.CUSTOMER_CREDIT, customer.id, currency)
    invoice = first_invoice(alive, customer, plans, book, balance)
    collected = opened(invoice, dunning_policy(book, customer)) if invoice and invoice.outstanding.minor else None
    told = ["order.completed", "subscription.activated", *("entitlement.granted" for _ in alive.entitlements)]
    told += list(alive.turn.events) if alive.is_trial else []
    told += ["invoice.issued"] if invoice else []
    told += ["invoice.paid"] if invoice and not collected else []
    return Foreseen(
        customer=customer,
        at=at,
        quote=quote,
        order=order,
        alive=alive,
        invoice=invoice,
        collections=(collected,) if collected else (),
        method=customer.method_label,
        messages=(*by, *told),
    )


_NOTHING: shown.Preview = {
    "possible": True,
    "refusal": None,
    "instead": [],
    "quote": None,
    "order": None,
    "subscription": None,
    "entitlements": [],
    "invoice": None,
    "charges": [],
    "messages": [],
    "dates": [],
}
EXAMPLE = {
    **_NOTHING,
    "subscription": {"key": "q1", "state": "active", "period": {"start": "2026-01-31", "end": "2026-02-28"}},
    "entitlements": [
        {
            "feature": "pool",
            "type": "metered",
            "value": None,
            "limit": "1",
            "starts_at": "2026-01-31T08:05:00Z",
            "ends_at": None,
        }
    ],
    "invoice": {"subtotal": "49.00", "discount": "0.00", "tax": "9.31", "total": "58.31", "amount_due": "58.31"},
    "charges": [{"amount": "58.31", "currency": "EUR", "at": "2026-01-31T08:05:00Z", "method": "visa •4242"}],
    "messages": ["quote.accepted", "order.created", "order.completed", "subscription.activated", "invoice.issued"],
    "dates": [{"at": "2026-02-27T23:00:00Z", "action": "bill the period"}],
}


def _shown(foreseen: Foreseen) -> shown.Preview:
    key, alive, invoice = foreseen.customer.key, foreseen.alive, foreseen.invoice
    sold = _sold(alive)
    return {
        **_NOTHING,
        "quote": _unborn(showing.quote(foreseen.quote, customer=key)) if foreseen.quote else None,
        "order": _unborn(showing.order(foreseen.order, customer=key)) if foreseen.order else None,
        "subscription": _unborn(showing.subscription(sold, customer=key, at=foreseen.at, suspended=False))
        if sold
        else None,
        "entitlements": [_granted(one) for one in alive.entitlements] if alive else [],
        "invoice": _unborn(showing_money.invoice(invoice, customer=key, subscription=sold.key))
        if invoice and sold
        else None,
        "charges": list(_charges(foreseen)),
        "messages": list(foreseen.messages),
        "dates": sorted(_dates(foreseen, sold), key=lambda due: due["at"]),
    }


def _sold(alive: Alive | None) -> Subscription | None:
    """As it stands right after the order: with its first period, unless a trial comes before."""
    if alive is None:
        return None
    return alive.subscription if alive.is_trial else alive.turn.after


def _unborn(thing: object) -> Shown:
    """Without what is given only when it is done."""
    names = {"id", "order", "number"}
    kept = cast(Shown, thing)
    return {name: value for name, value in kept.items() if name not in names}


def _granted(given: Entitlement) -> shown.Granted:
    return {
        "feature": given.feature,
        "type": given.type,
        "value": given.value,
        "limit": showing.exact(given.limit),
        "starts_at": showing.instant(given.starts_at),
        "ends_at": showing.instant(given.ends_at),
    }


def _charges(foreseen: Foreseen) -> Iterator[shown.Charge]:
    for collected in foreseen.collections:
        if collected.charge_at is not None:
            yield {
                "amount": collected.amount_due.text,
                "currency": collected.amount_due.currency,
                "at": showing.instant(collected.charge_at),
                "method": foreseen.method,
            }


def _dates(foreseen: Foreseen, sold: Subscription | None) -> Iterator[shown.Due]:
    for open_ in (foreseen.quote, foreseen.order if foreseen.alive is None else None):
        waiting = open_.waiting if open_ else None
        if waiting and waiting.next_action and waiting.next_action_at:
            yield {"at": showing.instant(waiting.next_action_at), "action": waiting.next_action}
    if sold is None:
        return
    now = showing.subscription(sold, customer="", at=foreseen.at, suspended=False)
    if now["next_action_at"] and now["next_action"]:
        yield {"at": now["next_action_at"], "action": now["next_action"]}
    if sold.term_ends_on:
        renews = sold.term is not None and sold.term.auto_renew
        yield {"at": showing.instant(sold.instant(sold.term_ends_on)), "action": "renew" if renews else "end"}
    elif sold.ends_on:
        yield {"at": showing.instant(sold.instant(sold.ends_on)), "action": "end"}
    if foreseen.invoice and foreseen.invoice.due_at and foreseen.collections:
        yield {"at": showing.instant(foreseen.invoice.due_at), "action": "be paid"}
