"""Orders: what was accepted on its way to being usable, and what asynchronous targets report of it."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import StringConstraints

from api import showing, shown
from api.access import Call, Calling
from api.answers import Paged, answer, expect, settled
from api.bodies import Body
from api.context import Context, Doors
from api.customers import whose
from api.docs import says
from api.endpoint import router
from api.order_previews import order_previewed
from api.previews import Verb, Verbal
from api.sending import NotRunning, Start, send
from domain.order import Order, OrderState
from store.lists import list_orders
from store.naming import keys_of
from workflows import names
from workflows.order import CallBack, OrderAt, OrderWorkflow
from workflows.runs import OrderRun

routes = router("orders")

RUNNING = frozenset({OrderState.OPEN, OrderState.PROVISIONING, OrderState.COMPENSATING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a target has to say about a step, for people."""

    detail: Annotated[str, StringConstraints(max_length=500)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A verb that takes nothing."""


_EXAMPLE = {
    "id": "ord_0195…",
    "key": "q1",
    "customer": "ada",
    "state": "waiting",
    "steps": [{"name": "account", "state": "done"}, {"name": "all-access-1", "state": "waiting"}],
    "waiting_on": "provider",
}
_REPORT = Body(Report, example={"detail": "door programmed"}, optional=True)
_NOTHING = Body(Nothing, example={}, optional=True)


@routes.get("/v1/orders", responses=says(shown.Page[shown.Order], {"data": [_EXAMPLE], "next_cursor": None}))
async def get_orders(
    context: Doors,
    call: Calling,
    asked: Paged,
    customer: str | None = None,
    state: Annotated[OrderState | None, Query()] = None,
) -> Response:
    """Orders, newest first."""
    page = await list_orders(context.engine, asked, customer=await whose(context, call, customer), state=state)
    keys = await keys_of(context.pool, (order.customer_id for order in page.data))
    shown = (showing.order(order, customer=keys[order.customer_id]) for order in page.data)
    return answer(showing.page(shown, page.next_cursor))


@routes.get("/v1/orders/{id}", responses=says(shown.Order, _EXAMPLE, codes="not_found"))
async def get_order(id: str, context: Doors, call: Calling) -> Response:
    """One order with its steps."""
    return await _shown(context, await _named(context, call, id))


@routes.post(
    "/v1/orders/{id}/retry",
    openapi_extra=_NOTHING.docs,
    responses=says(shown.Order, _EXAMPLE, codes="not_found invalid_state"),
)
async def retry_order(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Ask a target that could not be asked again, now."""
    await _NOTHING(request)
    order = await _named(context, call, id)
    await _expect(context, call, order, verb)
    if verb.preview:
        return await order_previewed(context, call, order, order.retried, ())
    if call.token in order.moved_by:
        return await followed(context, order.id, verb.wait, status=202)
    order.retried()
    command = OrderAt(order_id=order.id, at=call.at, cause=call.token)
    start = _restart(context, order)
    to = names.order_workflow(order.id)
    order = await send(context, OrderWorkflow.retry, command, to=to, token=call.token, answer=Order, start=start)
    return await followed(context, order.id, verb.wait, status=202)


@routes.post(
    "/v1/orders/{id}/steps/{step}/complete",
    openapi_extra=_REPORT.docs,
    responses=says(shown.Order, _EXAMPLE, codes="not_found invalid_state"),
)
async def complete_step(id: str, step: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """A target reports that a step is done. The same report again changes nothing."""
    return await _called_back(context, call, id, step, await _REPORT(request), verb, done=True)


@routes.post(
    "/v1/orders/{id}/steps/{step}/fail",
    openapi_extra=_REPORT.docs,
    responses=says(shown.Order, _EXAMPLE, codes="not_found invalid_state"),
)
async def fail_step(id: str, step: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """A target reports that it will never do a step: all that was done is taken back."""
    return await _called_back(context, call, id, step, await _REPORT(request), verb, done=False)


async def followed(context: Context, name: str, wait: timedelta, *, status: int = 200) -> Response:
    """The order, once it has left its running states or `wait` is over."""

    async def read() -> Order:
        async with context.open_books() as books:
            return await books.orders.get(name)

    order = await settled(read, lambda order: order.state not in RUNNING, within=wait)
    return await _shown(context, order, status)


async def _expect(context: Context, call: Call, order: Order, verb: Verb) -> None:
    """Raises Changed where the order is not what the caller has read; not for what we have done ourselves."""
    if verb.if_match is not None and call.token not in order.moved_by:
        keys = await keys_of(context.pool, [order.customer_id])
        expect(verb.if_match, showing.order(order, customer=keys[order.customer_id]))


async def _called_back(
    context: Context, call: Call, name: str, step: str, report: Report, verb: Verb, *, done: bool
) -> Response:
    order = await _named(context, call, name)
    # Where the record alone decides, nobody is asked; NotFound for a step that is none.
    order.step(step)
    await _expect(context, call, order, verb)
    if verb.preview:
        heard = partial(order.called_back, step, done=done, at=call.at, detail=report.detail)
        return await order_previewed(context, call, order, heard, (f"order.step_{'done' if done else 'failed'}",))
    command = CallBack(order_id=order.id, step=step, done=done, at=call.at, detail=report.detail, actor=call.actor)
    to = names.order_workflow(order.id)
    try:
        order = await send(context, OrderWorkflow.call_back, command, to=to, token=call.token, answer=Order)
    except NotRunning:
        order = await _named(context, call, order.id)
        if order.is_open:
            start = _restart(context, order)
            order = await send(
                context, OrderWorkflow.call_back, command, to=to, token=call.token, answer=Order, start=start
            )
        else:
            order.called_back(step, done=done, at=call.at, detail=report.detail)
    return await followed(context, order.id, verb.wait)


def _restart(context: Context, order: Order) -> Start:
    return Start(
        run=OrderWorkflow.run,
        message=OrderRun(order=order, offset=context.offset),
        customer_id=order.customer_id,
        state=order.state,
    )


async def _named(context: Context, call: Call, name: str) -> Order:
    async with context.open_books() as books:
        order = await books.orders.get(name)
    call.sees(order.customer_id, f"order {name}")
    return order


async def _shown(context: Context, order: Order, status: int = 200) -> Response:
    keys = await keys_of(context.pool, [order.customer_id])
    return answer(showing.order(order, customer=keys[order.customer_id]), status)
