"""Previews of orders: what a retry or a target's report would bring."""

from collections.abc import Callable

from api.access import Call
from api.answers import Answer
from api.context import Context
from api.previews import Foreseen, come_to, previewed
from domain.order import Order, OrderState, possible


async def order_previewed(
    context: Context, call: Call, order: Order, rule: Callable[[], object], told: tuple[str, ...]
) -> Answer:
    """What follows when `rule` holds: all that the order brings, or that it is taken back."""

    async def decide() -> Foreseen:
        ruled = rule()
        after = ruled if isinstance(ruled, Order) else order
        if after == order and not after.is_open:
            return await _as_it_stands(after, ())
        if after.state is OrderState.COMPENSATING:
            return await _as_it_stands(after, (*told, "order.cancelled"))
        return await come_to(context, after, call.at, by=told, quote=None)

    async def _as_it_stands(after: Order, messages: tuple[str, ...]) -> Foreseen:
        async with context.open_books() as books:
            customer = await books.customers.get(order.customer_id)
        return Foreseen(customer=customer, at=call.at, order=after, messages=messages)

    async def instead() -> tuple[str, ...]:
        return possible(order, call.at)

    return await previewed(decide, instead)
