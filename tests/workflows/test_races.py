"""What comes at the wrong moment: found by reading, proved here, held from now on."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import ActivityEnvironment

from activities.billing import BillingActivities, CancelSubscription
from activities.collecting import Act, ChargeInvoice, CollectingActivities
from activities.quoting import Offer, OfferedLine, QuotingActivities
from domain.dunning import ActionKind
from domain.order import Order, OrderState
from domain.subscription import SubscriptionState
from tests.faults.crashes import Crashed, Crashes, Point, watched
from tests.workflows.worlds import CARD, NO_MONEY, Line, eventually, price_book
from workers.clock import StoryClock
from workflows import names
from workflows.subscription import SubscriptionWorkflow


async def test_two_cancellations_at_once_are_both_answered(line: Line):
    await line.sold("ada")
    subscription = (await line.get("subscriptions/ada"))["id"]
    handle = line.world.client.get_workflow_handle_for(
        SubscriptionWorkflow.run, names.subscription_workflow(subscription)
    )
    commands = [
        CancelSubscription(subscription_id=subscription, cause=cause, at=line.world.now) for cause in ("one", "two")
    ]
    async with asyncio.timeout(20):
        answers = await asyncio.gather(
            *(handle.execute_update(SubscriptionWorkflow.cancel, command, id=command.cause) for command in commands)
        )
    assert [answer.state for answer in answers] == [SubscriptionState.ENDED] * 2
    assert (await line.get("subscriptions/ada"))["state"] == "ended"
    await line.later(days=35)

    async def has_ended() -> bool:
        return await line.status(names.subscription_workflow(subscription)) is WorkflowExecutionStatus.COMPLETED

    await eventually(has_ended)


async def test_an_order_that_was_cancelled_is_not_revived_by_an_older_record_of_it(line: Line):
    await line.customer("ada")
    await line.quote("ada")
    line.world.world.sandbox.provisioning.fail(422)
    older: list[Order] = []
    order = await line.accept("ada")
    async with line.world.world.doors.open_books() as books:
        cancelled = await books.orders.get(order["id"])
    assert cancelled.state is OrderState.CANCELLED
    asked = len(line.world.world.sandbox.provisioning.steps())
    # A worker that starts reads what is open, and this order was; by the time it gets to it, all is over.
    pending = tuple(replace(step, state=type(step.state).PENDING, attempts=0, at=None) for step in cancelled.steps)
    older.append(replace(cancelled, state=OrderState.OPEN, steps=pending, changed_at=None))
    await line.world.world.doors.lifecycles.start_order(older[0])

    async def has_ended() -> bool:
        return await line.status(names.order_workflow(order["id"])) is WorkflowExecutionStatus.COMPLETED

    await eventually(has_ended, within=15)
    assert (await line.order("ada"))["state"] == "cancelled"
    assert len(line.world.world.sandbox.provisioning.steps()) == asked
    assert not (await line.get("subscriptions"))["data"]


async def test_a_write_off_that_is_no_longer_due_cancels_nothing(line: Line):
    await line.sold("ada", NO_MONEY)
    invoice = (await line.collection("ada"))["invoice_id"]
    await line.done("customers/ada/payment-methods", {"use": CARD})
    await line.later(days=2)
    assert (await line.collection("ada"))["state"] == "paid"
    doors = line.world.world.doors
    activities = CollectingActivities(
        open_books=doors.open_books,
        payments=doors.payments,
        mail=doors.mail,
        lifecycles=doors.lifecycles,
        clock=doors.clock,
    )
    async with doors.open_books() as books:
        collection = await books.collections.get(invoice)
    due = next(a for a in collection._actions() if a.kind is ActionKind.WRITE_OFF)  # what the workflow had seen
    await ActivityEnvironment().run(activities.act, Act(invoice_id=invoice, action=due))
    assert (await line.get("subscriptions/ada"))["state"] == "active"


async def test_a_closed_period_with_an_older_invoice_on_terms_is_answered_with_its_own(line: Line):
    terms = {"net_days": 40, "retries": ["P1D"]}
    await line.catalog(price_book(terms=terms))
    await line.sold("ada", collections="terms")
    await line.later(days=32)
    first, second = (await line.collection("ada", 1)), (await line.collection("ada", 2))
    assert (first["state"], second["state"]) == ("open", "open")
    from datetime import datetime

    from activities.billing import ClosePeriod

    activities = BillingActivities(open_books=line.world.world.doors.open_books)
    subscription = (await line.get("subscriptions/ada"))["id"]
    again = ClosePeriod(subscription_id=subscription, due_at=datetime.fromisoformat(second["issued_at"]))
    billed = await ActivityEnvironment().run(activities.close_period, again)
    assert billed.unsettled.invoice_id == second["invoice_id"]


async def test_a_quote_that_was_written_is_found_again_though_the_price_book_has_changed(line: Line):
    await line.customer("ada")
    doors = line.world.world.doors
    activities = QuotingActivities(open_books=doors.open_books, lifecycles=doors.lifecycles)
    command = Offer(
        quote_id="quo_1", key="ada", customer="ada", lines=(OfferedLine(plan="all-access"),), at=line.world.now
    )
    written = await ActivityEnvironment().run(activities.offer, command)
    book = price_book()
    book["plans"][0]["charges"][0]["amount"] = "30.00"
    await line.catalog(book)
    assert await ActivityEnvironment().run(activities.offer, command) == written


async def test_what_the_provider_says_after_its_keys_are_forgotten_may_be_of_an_earlier_attempt(line: Line):
    await line.sold("ada", NO_MONEY)
    collection = await line.collection("ada")
    await line.world.client.get_workflow_handle(names.collection_workflow(collection["invoice_id"])).terminate()
    clock = StoryClock(line.world.now + timedelta(days=1))
    command = ChargeInvoice(invoice_id=collection["invoice_id"], attempt=2, at=clock.now())

    def activities(crashes: Crashes) -> CollectingActivities:
        doors = watched(line.world.world.doors, crashes)
        return CollectingActivities(
            open_books=doors.open_books,
            payments=doors.payments,
            mail=doors.mail,
            lifecycles=doors.lifecycles,
            clock=clock,
        )

    env = ActivityEnvironment()
    crashes = Crashes(Point("test unknown", 1, "books 2"))

    async def first() -> None:
        await crashes.execute(lambda: activities(crashes).charge(command))

    with contextlib.suppress(Crashed):
        await env.run(first)
    assert crashes.struck
    clock.move_to(clock.now() + timedelta(days=1))
    after = await env.run(activities(Crashes()).charge, command)
    print(after)
    assert after.retries_used == 1
    assert len(await line.charges()) == 1


async def test_a_provider_that_is_away_for_long_is_asked_again_until_it_is_back(line: Line):
    await line.sandbox("faults", kind="unavailable", times=8, on="create_intent")
    await line.sold("ada")
    assert (await line.collection("ada"))["state"] == "processing"
    await line.later(minutes=30)
    await line.paid_once("ada")


async def test_an_older_method_that_is_late_does_not_replace_a_newer_one(line: Line):
    pass
