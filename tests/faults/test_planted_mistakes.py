"""What the comparisons of this folder are for: mistakes that look fine until an activity runs a second time.

Each is planted in the real code and found out by one crash, which the code as it is survives in the same circumstances.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from activities.billing import Billed, BillingActivities, ClosePeriod, bill, refs_of
from activities.collecting import ChargeInvoice, CollectingActivities
from activities.ordering import OrderingActivities
from activities.ports import Books, StepAnswer
from domain.audit import AuditEvent
from domain.dunning import Collection
from domain.turn import turned
from store.due import open_lifecycles
from tests.faults.crashes import Aftermath, Crashes, Point, Variant
from tests.faults.stories import gym
from tests.faults.theatre import Theatre, money
from workers.restart import restart_everything, workflow_of
from workers.simulation import Simulation

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def all_workflows_are_lost(world: Simulation) -> None:
    """What was under way is begun anew from the books, by runs of other ids; once the crash has been heard of."""

    async def lose(handle: WorkflowHandle[Any, Any]) -> None:
        while not [one for one in (await handle.describe()).raw_description.pending_activities if one.attempt > 1]:
            await asyncio.sleep(0)
        for record in await open_lifecycles(world.engine):
            with suppress(RPCError):  # of an invoice that is charged for the first time there is none yet
                await world.client.get_workflow_handle(workflow_of(record)).terminate("lost")
        await restart_everything(world.engine, world.world.doors.lifecycles)

    info = activity.info()
    losing.add(asyncio.create_task(lose(world.client.get_workflow_handle(info.workflow_id or ""))))


losing: set[asyncio.Task[None]] = set()


async def all_is_down_for_a_day(world: Simulation) -> None:
    """Longer than the provider remembers a key."""
    world.world.doors.clock.move_to(world.now + timedelta(hours=25))


def provisioned(told: str) -> Any:
    """How often the target was made to do each step."""
    return {one["step"]: one["asked"] for one in json.loads(told)["provisioned"]}


def noting_with_a_counter() -> Variant:
    """Writes the cause of what it records by counting in the process."""
    numbers = count()

    async def settle(real: CollectingActivities, command: ChargeInvoice) -> Collection:
        collection = await real.settle(command)
        async with real._open_books() as books:
            await books.audit.add(
                AuditEvent(
                    type="payment.noted",
                    cause=f"{command.invoice_id}/{next(numbers)}",
                    at=command.at,
                    customer_id=collection.customer_id,
                    subject=command.invoice_id,
                )
            )
        return collection

    return settle


def numbered_by_its_tries() -> Variant:
    """Takes the number of the attempt, and so the id of the payment, from how often the activity has run."""

    async def settle(real: CollectingActivities, command: ChargeInvoice) -> Collection:
        return await real.settle(replace(command, attempt=activity.info().attempt))

    return settle


def keyed_by_its_run() -> Variant:
    """Puts the id of the workflow's run into the key that the target knows a step by."""

    class Target:
        def __init__(self, real: Any) -> None:
            self._real = real

        async def provision(self, *, key: str, **named: Any) -> StepAnswer:
            return await self._real.provision(key=f"{key}/{activity.info().workflow_run_id}", **named)

    async def provision(real: OrderingActivities, command: Any) -> Any:
        parts = {"open_books": real._open_books, "lifecycles": real._lifecycles, "target": Target(real._target)}
        return await OrderingActivities(**parts).provision(command)

    return provision


def committed_after_the_call() -> Variant:
    """Writes nothing down before the money is asked for, all of it afterwards."""

    async def settle(real: CollectingActivities, command: ChargeInvoice) -> Collection:
        called = False

        class Payments:
            def __getattr__(self, verb: str) -> Any:
                async def call(**named: Any) -> Any:
                    nonlocal called
                    answer = await getattr(real._payments, verb)(**named)
                    called = called or verb == "confirm_intent"
                    return answer

                return call

        @asynccontextmanager
        async def open_books() -> AsyncIterator[Books]:
            with suppress(NotYet):
                async with real._open_books() as books:
                    yield books
                    if not called:
                        raise NotYet

        return await with_doors(real, payments=Payments(), open_books=open_books).settle(command)

    return settle


class NotYet(Exception):
    """What stands in the transaction is thrown away."""


def with_doors(real: CollectingActivities, **other: Any) -> CollectingActivities:
    """The same activities behind other doors."""
    names = ("open_books", "payments", "mail", "lifecycles", "clock")
    return CollectingActivities(**{name: getattr(real, f"_{name}") for name in names} | other)


def period_advanced_first() -> Variant:
    """Opens the next period in one transaction, and bills in another."""

    async def close_period(real: BillingActivities, command: ClosePeriod) -> Billed:
        async with real._open_books() as books:
            subscription = await books.subscriptions.lock(command.subscription_id)
            is_closed = subscription.next_due_at != command.due_at
            plans = await books.catalog.plans(refs_of(subscription))
            turn = turned(subscription, plans)
            if not is_closed:
                await books.subscriptions.put(turn.after)
        if not is_closed:
            async with real._open_books() as books:
                await bill(books, subscription, turn, plans)
        return await real.close_period(command)

    return close_period


@dataclass(frozen=True)
class Mistake:
    """`plant` makes a variant of the activity `of`; it does its harm in a crash at `at`, and what befalls the world then.

    `seen_in` takes from what was told what must stay the same.
    """

    plant: Callable[[], Variant]
    of: str
    at: Point
    aftermath: Aftermath | None = None
    seen_in: Callable[[str], Any] = str


SETTLE = "subscription settle"
MISTAKES = (
    Mistake(noting_with_a_counter, "settle", Point(SETTLE, 1, "after")),
    Mistake(numbered_by_its_tries, "settle", Point(SETTLE, 1, "confirm_intent 1")),
    Mistake(
        keyed_by_its_run, "provision", Point("order provision", 1, "provision 1"), all_workflows_are_lost, provisioned
    ),
    Mistake(committed_after_the_call, "settle", Point(SETTLE, 1, "confirm_intent 1"), all_is_down_for_a_day, money),
    Mistake(period_advanced_first, "close_period", Point("subscription close_period", 1, "books 1")),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.plant.__name__)
async def test_what_the_code_survives_finds_the_mistake_out(theatre: Theatre, mistake: Mistake):
    async def told(at: Point | None, **variants: Variant) -> Any:
        crashes = Crashes(at, variants, mistake.aftermath)
        try:
            return mistake.seen_in(await theatre.told(gym, crashes))
        except AssertionError as broken:  # an invariant saw it even before the comparison did
            return str(broken)
        finally:
            assert crashes.struck == (at is not None)

    as_it_is = await told(mistake.at)
    undisturbed, _ = await theatre.as_it_should_be(gym)
    assert as_it_is == mistake.seen_in(undisturbed)

    planted = await told(None, **{mistake.of: mistake.plant()})
    crashed = await told(mistake.at, **{mistake.of: mistake.plant()})
    assert crashed != planted
