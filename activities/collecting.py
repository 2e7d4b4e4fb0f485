"""Collecting: charge, look up, remind, suspend, write off; the money side of one open invoice.

A charge is written ahead: the attempt's row, then the provider's unconfirmed intent, then the confirmation, then what came of
it in one transaction. A crash anywhere leaves a row that says where to go on, under the same keys.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio import activity

from activities.ports import (
    Books,
    Clock,
    Intent,
    Lifecycles,
    Mail,
    OpenBooks,
    OutcomeUnknown,
    PaymentProvider,
    ProviderRejected,
    ProviderUnavailable,
)
from domain.audit import AuditEvent
from domain.customer import Customer
from domain.dunning import Action, ActionKind, Collection, CollectionState
from domain.ids import derived_id
from domain.invoice import Invoice
from domain.ledger import payment_posting, write_off_posting
from domain.payment import CANCELED, Decline, Payment, PaymentState, classify

KEYS_ARE_GOOD_FOR = timedelta(hours=23)
ASK_AT_MOST = 6
FINAL = frozenset({PaymentState.SUCCEEDED, PaymentState.FAILED, PaymentState.REFUNDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeInvoice:
    """Make attempt number `attempt` at an invoice, due at `at` (UTC)."""

    invoice_id: str
    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Something about an invoice's collection may have changed outside; `at` (UTC) is when that was said."""

    invoice_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Do what falls due by time, short of charging."""

    invoice_id: str
    action: Action


class CollectingActivities:
    """Built once per worker, with the doors it may use."""

    def __init__(
        self, *, open_books: OpenBooks, payments: PaymentProvider, mail: Mail, lifecycles: Lifecycles, clock: Clock
    ) -> None:
        self._open_books = open_books
        self._payments = payments
        self._mail = mail
        self._lifecycles = lifecycles
        self._clock = clock

    @activity.defn
    async def settle(self, command: ChargeInvoice) -> Collection:
        """Make the first charge of a new invoice if it is due, and hand what stays open to a collection of its own.

        Idempotent: as `charge`; a collection that runs is found.
        """
        async with self._open_books() as books:
            collection = await books.collections.get(command.invoice_id)
        if collection.charge_at is not None and collection.charge_at <= command.at:
            collection = await self._charge(command)
        if collection.is_open:
            await self._lifecycles.start_collection(collection)
        return collection

    @activity.defn
    async def charge(self, command: ChargeInvoice) -> Collection:
        """Charge what is outstanding. A decline is an answer, an outage raises, a timeout is looked up before anything else.

        Idempotent: attempt n of an invoice is one row and one provider key; an attempt whose outcome is known is not repeated.
        """
        return await self._charge(command)

    @activity.defn
    async def look_up(self, command: LookUp) -> Collection:
        """Read what we wait for at the provider and record it; otherwise answer the collection as it is recorded.

        Idempotent: recording a known outcome again changes nothing.
        """
        async with self._open_books() as books:
            collection = await books.collections.get(command.invoice_id)
            attempts = await books.payments.of_invoice(command.invoice_id)
        if not collection.is_open or not attempts or attempts[-1].state in FINAL:
            return collection
        payment = attempts[-1]
        # What was heard now is no older than what we wait for.
        at = max(command.at, collection.since)
        if payment.intent_ref is None:
            return await self._never_happened(payment, at)
        intent = await self._payments.read_intent(intent_ref=payment.intent_ref)
        if _never_executed(payment, intent, attempts):
            return await self._never_happened(payment, at)
        return await self._record(payment, intent, at)

    @activity.defn
    async def act(self, command: Act) -> Collection:
        """Remind, suspend, mark as stuck or write off, as the policy says; tell who has to know.

        Idempotent: an action that is recorded is not recorded again; a message has one key, a cancellation one cause.
        """
        action = command.action
        async with self._open_books() as books:
            collection = await books.collections.lock(command.invoice_id)
            if collection.next_action == action:
                collection = await _acted(books, collection, action)
            customer = await books.customers.get(collection.customer_id)
            invoice = await books.invoices.get(command.invoice_id)
        await self._told(collection, action, customer, invoice)
        return collection

    async def _told(self, collection: Collection, action: Action, customer: Customer, invoice: Invoice) -> None:
        if action.kind is ActionKind.REMIND and collection.is_open and customer.email:
            await self._reminded(customer.email, action, invoice)
        written_off = action.kind is ActionKind.WRITE_OFF and collection.state is CollectionState.WRITTEN_OFF
        if written_off and collection.policy.on_write_off == "cancel":
            await self._lifecycles.cancel_subscription(
                collection.subscription_id, cause=f"write-off/{invoice.id}", at=action.at
            )

    async def _reminded(self, address: str, action: Action, invoice: Invoice) -> None:
        """Send the reminder; a mail that cannot be sent is given up in the end, so that it never holds up money."""
        try:
            await self._mail.send(
                to=address,
                template="payment_reminder",
                facts={
                    "invoice": invoice.number or "",
                    "amount": invoice.outstanding.text,
                    "currency": invoice.currency,
                },
                key=f"{invoice.id}/reminder/{action.at.isoformat()}",
            )
        except (ProviderUnavailable, ValueError) as trouble:
            if isinstance(trouble, ProviderUnavailable) and activity.info().attempt < ASK_AT_MOST:
                raise
            activity.logger.warning("reminder_not_sent %s %s", invoice.id, type(trouble).__name__)

    async def _charge(self, command: ChargeInvoice) -> Collection:
        async with self._open_books() as books:
            collection = await books.collections.lock(command.invoice_id)
            if not collection.is_open or collection.attempts >= command.attempt:
                return collection
            payment, customer = await _written_ahead(books, collection, command)
            if payment is None:
                collection = collection.unchargeable(command.at)
                await books.collections.put(collection)
                await books.audit.add(
                    _event("collection.no_payment_method", collection, command.at, str(command.attempt))
                )
                return collection
        try:
            payment = await self._with_intent(payment, customer)
            intent = await self._confirmed(payment)
        except (ProviderUnavailable, OutcomeUnknown) as trouble:
            if activity.info().attempt < ASK_AT_MOST:
                raise
            return await self._unheard(payment, trouble, command.at)
        except ProviderRejected as rejected:
            intent = Intent(
                ref=payment.intent_ref or "", state=PaymentState.FAILED, decline=Decline(code="payment_method_unusable")
            )
            activity.logger.warning("charge_rejected %s %s", payment.id, rejected)
        return await self._record(payment, intent, command.at)

    async def _with_intent(self, payment: Payment, customer: Customer) -> Payment:
        """The invoice's one intent, made unconfirmed before any money is asked for."""
        if payment.intent_ref is None:
            assert customer.provider_ref is not None
            intent = await self._payments.create_intent(
                customer_ref=customer.provider_ref,
                amount=payment.amount,
                invoice_id=payment.invoice_id,
                key=f"pi:{payment.invoice_id}:{payment.attempt}",
            )
            payment = replace(payment, intent_ref=intent.ref)
        if payment.sent_at is None:
            payment = replace(payment, sent_at=self._clock.now())
            async with self._open_books() as books:
                await books.collections.lock(payment.invoice_id)
                known = await books.payments.get(payment.id)
                if known is not None and known.sent_at is not None:  # another run of this attempt has gone further
                    return known
                await books.payments.put(payment)
        return payment

    async def _confirmed(self, payment: Payment) -> Intent:
        """Confirm under the attempt's key; once the provider may have forgotten the key, it is looked up before anything."""
        assert payment.intent_ref is not None and payment.sent_at is not None
        if self._clock.now() - payment.sent_at > KEYS_ARE_GOOD_FOR:
            return Intent(ref=payment.intent_ref, state=PaymentState.UNKNOWN)
        return await self._payments.confirm_intent(
            intent_ref=payment.intent_ref, method_ref=payment.method, key=f"cf:{payment.intent_ref}:{payment.attempt}"
        )

    async def _unheard(self, payment: Payment, trouble: Exception, at: datetime) -> Collection:
        """The provider stayed silent: the attempt is unknown, and is read until it is known."""
        activity.logger.warning("charge_unheard %s %s", payment.id, type(trouble).__name__)
        intent = Intent(ref=payment.intent_ref or "", state=PaymentState.UNKNOWN)
        return await self._record(payment, intent, at)

    async def _never_happened(self, payment: Payment, at: datetime) -> Collection:
        async with self._open_books() as books:
            collection = await books.collections.lock(payment.invoice_id)
            if collection.state is CollectionState.PROCESSING:
                collection = collection.not_executed(at)
                await books.payments.put(replace(payment, state=PaymentState.FAILED, decline_code="not_executed"))
                await books.collections.put(collection)
        return collection

    async def _record(self, payment: Payment, intent: Intent, at: datetime) -> Collection:
        """What came of the attempt, everywhere at once."""
        async with self._open_books() as books:
            collection = await books.collections.lock(payment.invoice_id)
            known = await books.payments.get(payment.id)
            if known is not None and known.state in FINAL:
                return collection
            first_answer = collection.attempts < payment.attempt
            if not first_answer and known is not None and known.state is intent.state:
                return collection
            return await _recorded(books, collection, payment, intent, at, first_answer=first_answer)


async def _written_ahead(
    books: Books, collection: Collection, command: ChargeInvoice
) -> tuple[Payment | None, Customer]:
    """The attempt's row, as it was first written; None when the customer has nothing to charge."""
    customer = await books.customers.get(collection.customer_id)
    attempts = await books.payments.of_invoice(command.invoice_id)
    mine = next((payment for payment in attempts if payment.attempt == command.attempt), None)
    if mine is not None:
        return mine, customer
    if customer.payment_method is None:
        return None, customer
    invoice = await books.invoices.get(command.invoice_id)
    payment = Payment(
        id=derived_id("pay", command.at, command.invoice_id, str(command.attempt)),
        invoice_id=command.invoice_id,
        customer_id=customer.id,
        attempt=command.attempt,
        amount=invoice.outstanding,
        method=customer.payment_method,
        method_label=customer.method_label,
        at=command.at,
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


def _never_executed(payment: Payment, intent: Intent, attempts: tuple[Payment, ...]) -> bool:
    """Whether the provider has no trace of this attempt: no charge that an earlier one did not make."""
    seen = {earlier.charge_ref for earlier in attempts[:-1]}
    unmoved = intent.state in {PaymentState.PENDING, PaymentState.FAILED}
    return unmoved and (intent.charge_ref is None or intent.charge_ref in seen)


async def _recorded(
    books: Books, collection: Collection, payment: Payment, intent: Intent, at: datetime, *, first_answer: bool
) -> Collection:
    decline = intent.decline
    code = (decline.decline_code or decline.code) if decline else None
    payment = replace(payment, state=intent.state, charge_ref=intent.charge_ref, decline_code=code)
    told = collection.attempted if first_answer else collection.resolved
    collection = told(intent.state, classify(decline) if decline else None, code, at)
    await books.payments.put(payment)
    await books.collections.put(collection)
    events = [_payment_event(payment, collection, at)]
    if intent.state is PaymentState.SUCCEEDED:
        invoice = (await books.invoices.lock(payment.invoice_id)).paid_with(payment.amount, at)
        await books.invoices.put(invoice)
        await books.ledger.post(payment_posting(payment, at))
        await books.entitlements.restore(invoice.id, at)
        events += [_event("invoice.paid", collection, at, invoice.number or "")]
    await books.audit.add(*events)
    return collection


async def _acted(books: Books, collection: Collection, action: Action) -> Collection:
    after = collection.acted(action)
    events = {
        ActionKind.REMIND: "collection.reminded",
        ActionKind.SUSPEND: "entitlement.suspended",
        ActionKind.MARK_STUCK: "collection.stuck",
        ActionKind.WRITE_OFF: "invoice.written_off",
    }
    if action.kind is ActionKind.SUSPEND:
        await books.entitlements.suspend(collection.subscription_id, collection.invoice_id, action.at)
    if action.kind is ActionKind.WRITE_OFF:
        invoice = await books.invoices.lock(collection.invoice_id)
        await books.ledger.post(write_off_posting(invoice, action.at))
        await books.invoices.put(invoice.written_off())
        await books.entitlements.restore(invoice.id, action.at)
    await books.collections.put(after)
    if action.kind in events:
        await books.audit.add(_event(events[action.kind], after, action.at, action.at.isoformat()))
    return after


def _event(type_: str, collection: Collection, at: datetime, cause: str) -> AuditEvent:
    return AuditEvent(
        type=type_,
        cause=f"{collection.invoice_id}/{cause}",
        at=at,
        customer_id=collection.customer_id,
        subject=collection.invoice_id,
        subscription_id=collection.subscription_id,
        data={"state": collection.state, "stuck_reason": collection.stuck_reason or ""},
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
