"""Recording: what collecting writes into the books, each time in one transaction that the caller owns.

`late` is how much later than due it is done, by the clock.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from activities.ports import Books, Intent
from domain.audit import AuditEvent
from domain.customer import Customer
from domain.dunning import Action, ActionKind, Collection
from domain.ids import derived_id
from domain.invoice import Invoice
from domain.ledger import payment_posting, write_off_posting
from domain.payment import CANCELED, Payment, PaymentState, classify
from domain.subscription import SubscriptionState


async def written_ahead(
    books: Books, collection: Collection, *, attempt: int, at: datetime
) -> tuple[Payment | None, Customer]:
    """The row of `attempt`, due at `at`, as it was first written; None when the customer has nothing to charge."""
    customer = await books.customers.get(collection.customer_id)
    attempts = await books.payments.of_invoice(collection.invoice_id)
    mine = next((payment for payment in attempts if payment.attempt == attempt), None)
    if mine is not None:
        return mine, customer
    if customer.payment_method is None:
        return None, customer
    invoice = await books.invoices.get(collection.invoice_id)
    payment = Payment(
        id=derived_id("pay", at, invoice.id, str(attempt)),
        invoice_id=invoice.id,
        customer_id=customer.id,
        attempt=attempt,
        amount=invoice.outstanding,
        method=customer.payment_method,
        method_label=customer.method_label,
        at=at,
        intent_ref=_reusable_intent(attempts, invoice),
    )
    await books.payments.put(payment)
    return payment, customer


def _reusable_intent(attempts: tuple[Payment, ...], invoice: Invoice) -> str | None:
    """The invoice's intent, unless it was cancelled or asks for another amount than is outstanding now."""
    last = attempts[-1] if attempts else None
    if last is None or last.decline_code == CANCELED.code or last.amount != invoice.outstanding:
        return None
    return last.intent_ref


async def unchargeable(
    books: Books, collection: Collection, *, attempt: int, at: datetime, late: timedelta
) -> Collection:
    """The charge that was due at `at` had nothing to be made on."""
    collection = collection.unchargeable(at).behind(late)
    await books.collections.put(collection)
    await books.audit.add(_event("collection.no_payment_method", collection, at, str(attempt)))
    return collection


async def outcome(
    books: Books, collection: Collection, payment: Payment, intent: Intent, *, at: datetime, late: timedelta
) -> Collection:
    """What came of the attempt, everywhere at once: payment, collection, and of a success invoice, ledger and access."""
    decline = intent.decline
    code = (decline.decline_code or decline.code) if decline else None
    payment = replace(payment, state=intent.state, charge_ref=intent.charge_ref, decline_code=code)
    told = collection.attempted if collection.attempts < payment.attempt else collection.resolved
    after = told(intent.state, classify(decline) if decline else None, code, at).behind(late)
    await books.payments.put(payment)
    await books.collections.put(after)
    events = [_payment_event(payment, after, at)]
    if intent.state is PaymentState.SUCCEEDED:
        invoice = (await books.invoices.lock(payment.invoice_id)).paid_with(payment.amount, at)
        await books.invoices.put(invoice)
        await books.ledger.post(payment_posting(payment, at))
        events += [_event("invoice.paid", after, at, invoice.number or "")]
        if collection.suspended:
            events += [await _restored(books, after, at)]
    await books.audit.add(*events)
    return after


async def not_executed(
    books: Books, collection: Collection, payment: Payment, code: str, *, at: datetime, late: timedelta
) -> Collection:
    """The provider has no trace of the attempt: it is over without a charge; `code` says why."""
    after = collection.not_executed(at).behind(late)
    payment = replace(payment, state=PaymentState.FAILED, decline_code=code)
    await books.payments.put(payment)
    await books.collections.put(after)
    await books.audit.add(replace(_payment_event(payment, after, at), type="payment.not_executed"))
    return after


async def reminded(books: Books, collection: Collection, action: Action, *, late: timedelta, mail: str) -> Collection:
    """A reminder was due; `mail` says what became of it: sent, failed, or no address."""
    return await _acted(books, collection, action, "collection.reminded", late, mail=mail)


async def suspended(books: Books, collection: Collection, action: Action, *, late: timedelta) -> Collection:
    """What the subscription gives is shut, if it still gives anything."""
    subscription = await books.subscriptions.get(collection.subscription_id)
    if subscription.state is not SubscriptionState.ENDED:
        await books.entitlements.suspend(collection.subscription_id, collection.invoice_id, action.at)
    return await _acted(books, collection, action, "entitlement.suspended", late)


async def stuck(books: Books, collection: Collection, action: Action, *, late: timedelta) -> Collection:
    """Only a person can go on."""
    return await _acted(books, collection, action, "collection.stuck", late)


async def written_off(books: Books, collection: Collection, action: Action, *, late: timedelta) -> Collection:
    """The money is given up. Access that is shut stays so where the subscription is cancelled next."""
    invoice = await books.invoices.lock(collection.invoice_id)
    await books.ledger.post(write_off_posting(invoice, action.at))
    await books.invoices.put(invoice.written_off())
    if collection.suspended and collection.policy.on_write_off == "keep":
        await books.audit.add(await _restored(books, collection, action.at))
    return await _acted(books, collection, action, "invoice.written_off", late)


ACTS = {ActionKind.SUSPEND: suspended, ActionKind.MARK_STUCK: stuck, ActionKind.WRITE_OFF: written_off}


async def _acted(
    books: Books, collection: Collection, action: Action, event: str, late: timedelta, **data: str
) -> Collection:
    after = collection.acted(action).behind(late)
    await books.collections.put(after)
    await books.audit.add(_event(event, after, action.at, action.at.isoformat(), **data))
    return after


async def _restored(books: Books, collection: Collection, at: datetime) -> AuditEvent:
    await books.entitlements.restore(collection.invoice_id, at)
    return _event("entitlement.restored", collection, at, at.isoformat())


def _event(type_: str, collection: Collection, at: datetime, cause: str, **data: str) -> AuditEvent:
    return AuditEvent(
        type=type_,
        cause=f"{collection.invoice_id}/{cause}",
        at=at,
        customer_id=collection.customer_id,
        subject=collection.invoice_id,
        subscription_id=collection.subscription_id,
        data={"state": collection.state, "stuck_reason": collection.stuck_reason or "", **data},
    )


def _payment_event(payment: Payment, collection: Collection, at: datetime) -> AuditEvent:
    return AuditEvent(
        type=f"payment.{payment.state}",
        cause=payment.id,
        at=at,
        customer_id=payment.customer_id,
        subject=payment.id,
        subscription_id=collection.subscription_id,
        data={
            "invoice": payment.invoice_id,
            "amount": payment.amount.text,
            "attempt": str(payment.attempt),
            "decline_code": payment.decline_code or "",
        },
    )
