"""Activities on orders: provision step by step, take back, and bring the subscription to life."""

from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from activities.billing import bill, unsettled
from activities.ports import Books, Lifecycles, OpenBooks, ProviderUnavailable, ProvisioningTarget
from domain.audit import AuditEvent
from domain.deal import come_alive
from domain.dunning import Collection
from domain.order import Order, OrderState, StepState
from domain.subscription import Subscription, SubscriptionState


@dataclass(frozen=True, slots=True, kw_only=True)
class DoStep:
    """Ask the target for `step`, which is due at `at` (UTC). `attempt` counts from 1; `cause` names who asked for it again."""

    order_id: str
    step: str
    attempt: int
    at: datetime
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBack:
    """An asynchronous target reports at `at` (UTC) that it has done `step`, or never will.

    `silent`: it said nothing, and its time is over.
    """

    order_id: str
    step: str
    done: bool
    at: datetime
    detail: str = ""
    actor: str = "perennial"
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAt:
    """An order, and the instant (UTC) at which what is asked falls due; `cause` names the request."""

    order_id: str
    at: datetime
    cause: str = ""


class OrderingActivities:
    """Built once per worker, with the doors it may use."""

    def __init__(self, *, open_books: OpenBooks, target: ProvisioningTarget, lifecycles: Lifecycles) -> None:
        self._open_books = open_books
        self._target = target
        self._lifecycles = lifecycles

    @activity.defn
    async def provision(self, command: DoStep) -> Order:
        """Ask the target to do one step, and record what it answers.

        Idempotent: the target sees one key per order and step; an answer that is recorded is not asked for again.
        """
        async with self._open_books() as books:
            order = await books.orders.get(command.order_id)
        if not order.is_open or order.step(command.step).attempts >= command.attempt:
            return order
        try:
            answer = await self._target.provision(
                order_id=order.id,
                step=command.step,
                payload=_payload(order, command.step),
                key=f"{order.id}/{command.step}",
            )
            state, detail = StepState(answer.state), answer.detail
        except ProviderUnavailable as outage:
            state, detail = StepState.UNAVAILABLE, str(outage)
        async with self._open_books() as books:
            order = await books.orders.lock(command.order_id)
            step = order.step(command.step)
            if step.attempts >= command.attempt or step.state is StepState.DONE:
                return order
            order = order.answered(command.step, state, command.at, detail).moved(command.cause)
            await _record(books, order, command.step, command.at)
        return order

    @activity.defn
    async def call_back(self, command: CallBack) -> Order:
        """Record what an asynchronous target reports.

        Idempotent: the same report again changes nothing.
        """
        async with self._open_books() as books:
            was = await books.orders.lock(command.order_id)
            order = was.called_back(
                command.step, done=command.done, at=command.at, detail=command.detail, silent=command.silent
            )
            if order != was:
                await _record(books, order, command.step, command.at, command.actor)
        return order

    @activity.defn
    async def undo(self, command: DoStep) -> Order:
        """Take back one step at its target. An outage raises, to be retried: what was done must not stay.

        Idempotent: the target sees one key per order and step.
        """
        async with self._open_books() as books:
            order = await books.orders.get(command.order_id)
        answer = await self._target.undo(order_id=order.id, step=command.step, key=f"{order.id}/{command.step}/undo")
        if answer.state != "done":
            raise ProviderUnavailable(f"{command.step} is not taken back: {answer.state} {answer.detail}")
        async with self._open_books() as books:
            order = await books.orders.lock(command.order_id)
            if order.step(command.step).state is not StepState.UNDONE:
                order = order.answered(command.step, StepState.UNDONE, command.at)
                await _record(books, order, command.step, command.at)
        return order

    @activity.defn
    async def cancel_order(self, command: OrderAt) -> Order:
        """Everything is taken back: close the order.

        Idempotent: a cancelled order stays as it is.
        """
        async with self._open_books() as books:
            order = await books.orders.lock(command.order_id)
            if order.state is not OrderState.CANCELLED:
                order = order.cancelled(command.at)
                await books.orders.put(order)
                await books.audit.add(_event("order.cancelled", order, command.at))
        return order

    @activity.defn
    async def activate(self, command: OrderAt) -> Order:
        """Bring the subscription to life: it, its entitlements and its first invoice in one transaction; then run it.

        Idempotent: the subscription's id derives from the order; a completed order only makes sure that it runs.
        """
        async with self._open_books() as books:
            order = await books.orders.lock(command.order_id)
            if order.state is not OrderState.COMPLETED:
                order, subscription, collection = await _activate(books, order, command.at)
            else:
                assert order.subscription_id is not None
                subscription = await books.subscriptions.get(order.subscription_id)
                collection = await unsettled(books, subscription)
        if subscription.state is not SubscriptionState.ENDED or subscription.next_due_at:
            await self._lifecycles.start_subscription(subscription, collection)
        return order


async def _activate(books: Books, order: Order, at: datetime) -> tuple[Order, Subscription, Collection | None]:
    customer = await books.customers.get(order.customer_id)
    plans = await books.catalog.plans(dict.fromkeys(item.plan for item in order.items))
    alive = come_alive(order, customer, plans, await books.catalog.features(), at)
    subscription = alive.subscription
    await books.entitlements.put(alive.entitlements)
    await books.subscriptions.put(subscription)
    collection = None
    if not alive.is_trial:
        collection = await bill(books, subscription, alive.turn, plans)
        subscription = alive.turn.after
    order = order.completed(subscription_id=subscription.id, at=at)
    await books.orders.put(order)
    await books.audit.add(
        _event("order.completed", order, at),
        AuditEvent(
            type="subscription.activated",
            cause=subscription.id,
            at=at,
            customer_id=customer.id,
            subject=subscription.id,
            subscription_id=subscription.id,
            data={"subscription": subscription.key, "state": subscription.state},
        ),
        *(
            AuditEvent(
                type="entitlement.granted",
                cause=given.id,
                at=at,
                customer_id=customer.id,
                subject=given.id,
                subscription_id=subscription.id,
                data={"feature": given.feature},
            )
            for given in alive.entitlements
        ),
    )
    return order, subscription, collection


async def _record(books: Books, order: Order, step: str, at: datetime, actor: str = "perennial") -> None:
    now = order.step(step)
    await books.orders.put(order)
    await books.audit.add(
        AuditEvent(
            type=f"order.step_{now.state}",
            cause=f"{order.id}/{step}/{now.attempts}",
            at=at,
            customer_id=order.customer_id,
            subject=order.id,
            data={
                "order": order.key,
                "step": step,
                "state": now.state,
                "attempt": str(now.attempts),
                **({"reason": now.detail} if now.detail else {}),
            },
            actor=actor,
        )
    )


def _payload(order: Order, name: str) -> dict[str, str]:
    """What a target is told: ids and plan keys, no personal data."""
    told = {"order": order.id, "customer": order.customer_id, "step": name}
    item = next((item for item in order.items if _names(name, item.plan.key, item.position)), None)
    return told if item is None else {**told, "plan": item.plan.key, "quantity": str(item.quantity)}


def _names(step: str, plan: str, position: int) -> bool:
    return step == f"{plan}-{position + 1}"


def _event(type_: str, order: Order, at: datetime) -> AuditEvent:
    return AuditEvent(
        type=type_,
        cause=order.id,
        at=at,
        customer_id=order.customer_id,
        subject=order.id,
        data={"order": order.key, "state": order.state},
    )
