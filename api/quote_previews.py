"""Previews of quotes: what an offer, a decision or an acceptance would come to, by the rules that the verbs take."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from api.access import Call
from api.answers import Answer
from api.context import Context
from api.previews import Foreseen, come_to, previewed
from domain.customer import Customer
from domain.deal import ordered
from domain.ids import derived_id
from domain.offer import OfferedLine, offered
from domain.quote import Quote, QuoteState, possible
from workflows.quote import Move

_TOLD = {Move.SUBMIT: "submitted", Move.APPROVE: "approved", Move.REJECT: "rejected", Move.WITHDRAW: "withdrawn"}


async def offer_previewed(
    context: Context,
    call: Call,
    lines: Sequence[OfferedLine],
    valid_for: timedelta,
    *,
    customer: Customer,
    key: str = "",
    instead_of: Quote | None = None,
    known: Callable[[], Awaitable[Quote | None]] | None = None,
) -> Answer:
    """The quote that would be made, or remade, and what it would bring if it were accepted at once.

    `known` finds the same offer, made before: then nothing would happen.
    """

    async def decide() -> Foreseen:
        if known is not None and (found := await known()) is not None:
            return Foreseen(customer=customer, at=call.at, quote=found)
        async with context.open_books() as books:
            book = await books.catalog.current()
        quote = offered(
            lines,
            id=instead_of.id if instead_of else derived_id("quo", call.at, "key", key),
            key=instead_of.key if instead_of else key,
            customer=customer,
            book=book,
            at=call.at,
            valid_for=valid_for,
        )
        verb = "created"
        if instead_of is not None:
            quote, verb = instead_of.revised(quote, call.at), "revised"
        return replace(await _accepted(context, quote, call, by=(f"quote.{verb}",)), order=None)

    async def instead() -> Sequence[str]:
        if instead_of is not None and not instead_of.is_open:
            return possible(instead_of, call.at)
        async with context.open_books() as books:
            plans = (await books.catalog.current()).plans
        return [f"plan {plan.key}" for plan in plans if plan.currency == customer.currency]

    return await previewed(decide, instead)


async def move_previewed(
    context: Context, call: Call, quote: Quote, move: Move, rule: Callable[[Quote], Quote], approver: str
) -> Answer:
    """The quote after `move`, made in the name of `approver` if it is a decision."""

    async def decide() -> Foreseen:
        call.decides_as(approver)
        moved = rule(quote)
        async with context.open_books() as books:
            customer = await books.customers.get(quote.customer_id)
        told = () if moved == quote else (f"quote.{_TOLD[move]}",)
        return Foreseen(customer=customer, at=call.at, quote=moved, messages=told)

    return await previewed(decide, lambda: _verbs(quote, call))


async def acceptance_previewed(context: Context, call: Call, quote: Quote, accepted_by: str) -> Answer:
    """The order, all that it brings, its first invoice and what is charged when."""

    async def decide() -> Foreseen:
        if quote.state is QuoteState.ACCEPTED:
            async with context.open_books() as books:
                order = await books.orders.get(quote.order_id or quote.key)
                customer = await books.customers.get(quote.customer_id)
            return Foreseen(customer=customer, at=call.at, quote=quote, order=order)
        order = ordered(quote, call.at)
        accepted = quote.accepted(by=accepted_by, at=call.at, order_id=order.id)
        return await _accepted(context, accepted, call, by=("quote.accepted", "order.created"))

    return await previewed(decide, lambda: _verbs(quote, call))


async def _accepted(context: Context, quote: Quote, call: Call, *, by: tuple[str, ...]) -> Foreseen:
    foreseen = await come_to(context, ordered(quote, call.at), call.at, by=by, quote=quote)
    return foreseen if quote.state is QuoteState.ACCEPTED else replace(foreseen, messages=by)


async def _verbs(quote: Quote, call: Call) -> tuple[str, ...]:
    return possible(quote, call.at)
