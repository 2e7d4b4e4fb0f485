"""Billing: what one boundary of a subscription writes, in one transaction.

Period, usage billed, invoice with its number, ledger, collection and what is told to others are written together or not at
all, under the invoice's derived id: a second run finds them and answers the same.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from temporalio import activity

from activities.ports import Books, OpenBooks
from domain.audit import AuditEvent
from domain.calendar import local_day
from domain.catalog import PlanRef, PriceBook
from domain.claim import sold_by, unclaimed
from domain.commitment import counted_since
from domain.customer import Customer
from domain.drafting import Draft, draft_invoice, dunning_policy, issued
from domain.dunning import Collection, opened
from domain.invoice import Invoice
from domain.ledger import Account, invoice_posting
from domain.measure import BilledUsage, late_since, measures
from domain.subscription import Plans, Subscription, SubscriptionState
from domain.tax import tax_rate
from domain.turn import Turn, cancelled, turned
from domain.unpriced import Unpriced


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosePeriod:
    """The boundary whose invoice is due at `due_at` (UTC, grace included) has come."""

    subscription_id: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSubscription:
    """End it at `at` (UTC); `cause` names the reason among all that ever happened to it ("write-off/inv_…")."""

    subscription_id: str
    cause: str
    at: datetime
    actor: str = "perennial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What a subscription's workflow needs to go on. `unsettled` is the invoice whose first charge is due now.

    `ended`: nothing is to come any more, late usage neither.
    """

    next_due_at: datetime | None
    ended: bool
    state: SubscriptionState
    unsettled: Collection | None = None


class BillingActivities:
    """Built once per worker, with the doors it may use."""

    def __init__(self, *, open_books: OpenBooks) -> None:
        self._open_books = open_books

    @activity.defn
    async def close_period(self, command: ClosePeriod) -> Billed:
        """Close the period that ends, open the next, bill both.

        Idempotent: a boundary that is closed already is not closed again; its collection is answered as it stands.
        """
        async with self._open_books() as books:
            subscription = await books.subscriptions.lock(command.subscription_id)
            plans = await books.catalog.plans(refs_of(subscription))
            if subscription.next_due_at != command.due_at:
                return _answer(subscription, await unsettled(books, subscription))
            turn = turned(subscription, plans)
            collection = await bill(books, subscription, turn, plans)
        return _answer(turn.after, collection)

    @activity.defn
    async def cancel(self, command: CancelSubscription) -> Billed:
        """End the subscription now: access ends at the instant, the last invoice holds what is due until then.

        Idempotent: one that has ended by then stays as it is, though its last invoice may be to come.
        """
        async with self._open_books() as books:
            subscription = await books.subscriptions.lock(command.subscription_id)
            if subscription.state_at(command.at) is SubscriptionState.ENDED:
                return _answer(subscription, await unsettled(books, subscription))
            plans = await books.catalog.plans(refs_of(subscription))
            turn = cancelled(subscription, plans, at=command.at, cause=f"cancel/{command.cause}")
            collection = await bill(books, subscription, turn, plans, actor=command.actor)
        return _answer(turn.after, collection)


async def bill(
    books: Books, subscription: Subscription, turn: Turn, plans: Plans, *, actor: str = "perennial"
) -> Collection | None:
    """Write what `turn` does; answers the collection of its invoice, None when nothing is to be paid.

    The customer is locked first: the credit balance is spent by one invoice at a time.
    """
    customer = await books.customers.lock(subscription.customer_id)
    book = await books.catalog.current()
    draft = await _drafted(books, subscription, turn, plans, book, customer)
    await books.audit.add(*(_told(event, turn, actor) for event in turn.events))
    await books.audit.add(*(_unpriced(one, turn) for one in draft.unpriced))
    collection = None
    if draft.invoice is not None:
        collection = await _issued(books, draft.invoice, turn, book, customer, actor)
    await books.invoices.remember_billed(subscription.id, draft.billed)
    await books.subscriptions.put(turn.after)
    if turn.after.state is SubscriptionState.ENDED:
        await books.entitlements.end(subscription.id, turn.after.ended_at or turn.at)
    return collection


def refs_of(subscription: Subscription) -> tuple[PlanRef, ...]:
    """The plan versions of the current period."""
    return tuple(dict.fromkeys(item.plan for section in subscription.sections for item in section.items))


async def _drafted(
    books: Books, subscription: Subscription, turn: Turn, plans: Plans, book: PriceBook, customer: Customer
) -> Draft:
    since = late_since(subscription)
    asked_since = counted_since(subscription, plans, since)
    billed = (await books.invoices.billed_since([subscription.id], asked_since))[subscription.id]
    earlier = tuple(was for was in billed if was.part.ends_at > since)
    plans = {**plans, **await books.catalog.plans({was.part.item.plan for was in earlier} - set(plans))}
    if measures(turn.parts, earlier, plans):
        turn, earlier = await _unclaimed(books, subscription, turn, earlier, plans)
    wanted = measures(turn.parts, earlier, plans)
    measured = await books.usage.measured(subscription.customer_id, wanted) if wanted else {}
    return draft_invoice(
        subscription,
        turn,
        plans,
        measured=measured,
        tax_rate=tax_rate(book.taxes, customer.country),
        inclusive=book.inclusive,
        earlier=earlier,
        counted=tuple(was for was in billed if was.meter is None),
    )


async def _unclaimed(
    books: Books, subscription: Subscription, turn: Turn, earlier: tuple[BilledUsage, ...], plans: Plans
) -> tuple[Turn, tuple[BilledUsage, ...]]:
    """The same without the usage that older lines of the customer bill."""
    parts = (*turn.parts, *(was.part for was in earlier))
    since = min(part.starts_at for part in parts)
    all_ = (*await books.subscriptions.older_than(subscription, since), subscription)
    plans = {**plans, **await books.catalog.plans({ref for one in all_ for ref in refs_of(one)} - set(plans))}
    billed = await books.invoices.billed_since([one.id for one in all_], since)
    sold = [line for one in all_ for line in sold_by(one, billed[one.id], plans)]
    parts = unclaimed(subscription, parts, sold)
    now, then = parts[: len(turn.parts)], parts[len(turn.parts) :]
    return replace(turn, parts=now), tuple(replace(was, part=part) for was, part in zip(earlier, then, strict=True))


async def _issued(
    books: Books, draft: Invoice, turn: Turn, book: PriceBook, customer: Customer, actor: str
) -> Collection | None:
    policy = dunning_policy(book, customer)
    year = local_day(turn.issue_at, book.entity.timezone).year
    balance = -await books.ledger.balance(Account.CUSTOMER_CREDIT, customer.id, draft.currency)
    number = await books.invoices.next_number(book.entity, year)
    invoice = issued(draft, turn, book, customer, number=number, balance=balance)
    await books.invoices.put(invoice)
    await books.ledger.post(invoice_posting(invoice))
    await books.audit.add(_invoice_event("invoice.issued", invoice, turn.issue_at, actor))
    if not invoice.outstanding.minor:
        await books.audit.add(_invoice_event("invoice.paid", invoice, turn.issue_at, actor))
        return None
    collection = opened(invoice, policy)
    await books.collections.put(collection)
    return collection


async def unsettled(books: Books, subscription: Subscription) -> Collection | None:
    """The latest invoice of this subscription, if its first charge is still due. An older one, on terms, runs by itself."""
    for collection in reversed(await books.collections.open_of(subscription.customer_id)):
        if collection.subscription_id == subscription.id and not collection.attempts and not collection.cause:
            return collection
    return None


def _answer(subscription: Subscription, unsettled: Collection | None) -> Billed:
    return Billed(
        next_due_at=subscription.next_due_at,
        ended=subscription.state is SubscriptionState.ENDED and subscription.next_due_at is None,
        state=subscription.state,
        unsettled=unsettled,
    )


def _told(event: str, turn: Turn, actor: str) -> AuditEvent:
    return AuditEvent(
        type=event,
        cause=f"{turn.after.id}/{turn.cause}",
        at=turn.at,
        customer_id=turn.after.customer_id,
        subject=turn.after.id,
        subscription_id=turn.after.id,
        data={"subscription": turn.after.key, "period": f"{turn.period.starts_on}/{turn.period.ends_on}"},
        actor=actor,
    )


def _unpriced(left: Unpriced, turn: Turn) -> AuditEvent:
    part = left.part
    return AuditEvent(
        type="usage.unpriced",
        cause=f"{turn.after.id}/{turn.cause}/{part.starts_at:%Y-%m-%dT%H:%M:%SZ}/{part.item.position}/{left.charge}",
        at=turn.issue_at,
        customer_id=turn.after.customer_id,
        subject=turn.after.id,
        subscription_id=turn.after.id,
        data={
            "subscription": turn.after.key,
            "plan": part.item.plan.key,
            "charge": left.charge,
            "period": f"{part.period.starts_on}/{part.period.ends_on}",
            "why": left.why,
        },
    )


def _invoice_event(event: str, invoice: Invoice, at: datetime, actor: str) -> AuditEvent:
    return AuditEvent(
        type=event,
        cause=invoice.id,
        at=at,
        customer_id=invoice.customer_id,
        subject=invoice.id,
        subscription_id=invoice.subscription_id,
        data={"invoice": invoice.number or "", "total": invoice.total.text, "currency": invoice.currency},
        actor=actor,
    )
