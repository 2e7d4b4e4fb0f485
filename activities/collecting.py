"""Collecting: charge, look up, remind, suspend, write off; the money side of one open invoice.

A charge is written ahead: the attempt's row, then the provider's unconfirmed intent, then the confirmation, then what came of
it in one transaction. A crash anywhere leaves a row that says where to go on, under the same keys.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio import activity

from activities import recording
from activities.ports import (
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
from domain.customer import Customer
from domain.document import reminder
from domain.dunning import Action, ActionKind, Collection
from domain.ids import derived_id
from domain.payment import CANCELED, UNUSABLE_METHOD, WRONG_REQUEST, Payment, PaymentState
from domain.subscription import SubscriptionState

KEYS_ARE_GOOD_FOR = timedelta(hours=23)
ASK_AT_MOST = 6
NOT_EXECUTED = "not_executed"
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
        """Ask the provider, where its answer is wanted by now, and record it; else answer the collection as it is recorded.

        Idempotent: recording a known outcome again changes nothing.
        """
        async with self._open_books() as books:
            collection = await books.collections.get(command.invoice_id)
            attempts = await books.payments.of_invoice(command.invoice_id)
        if not collection.is_open or collection.read_at is None or collection.read_at > command.at:
            return collection
        # What was heard now is no older than what we wait for.
        at = max(command.at, collection.since)
        if attempts and attempts[-1].intent_ref is not None:
            intent = await self._payments.read_intent(intent_ref=attempts[-1].intent_ref)
            return await self._heard(attempts, intent, at)
        if attempts and attempts[-1].state not in FINAL:
            return await self._never_happened(attempts[-1], NOT_EXECUTED, at)
        return await self._looked(command.invoice_id, at)

    @activity.defn
    async def act(self, command: Act) -> Collection:
        """Remind, suspend, mark as stuck or write off, as the policy says; tell who has to know.

        Idempotent: an action that is recorded is not recorded again; a message has one key, a cancellation one cause.
        """
        action = command.action
        async with self._open_books() as books:
            collection = await books.collections.get(command.invoice_id)
        return await self._acted(collection, action) if collection.next_action == action else collection

    async def _acted(self, collection: Collection, action: Action) -> Collection:
        mail = await self._reminded(collection, action) if action.kind is ActionKind.REMIND else ""
        if action.kind is ActionKind.WRITE_OFF:
            faster = await self._given_up(collection, action.at)
            if faster is not None:
                return faster
            # Before the write-off is recorded: what is lost in between is found again by the open collection.
            await self._ended(collection, action.at)
        async with self._open_books() as books:
            collection = await books.collections.lock(collection.invoice_id)
            if collection.next_action != action:
                return collection
            late = self._late(action.at)
            if action.kind is ActionKind.REMIND:
                return await recording.reminded(books, collection, action, late=late, mail=mail)
            return await recording.ACTS[action.kind](books, collection, action, late=late)

    async def _reminded(self, collection: Collection, action: Action) -> str:
        """Send the reminder; a mail that cannot be sent is given up in the end, so that it never holds up money."""
        async with self._open_books() as books:
            customer = await books.customers.get(collection.customer_id)
            invoice = await books.invoices.get(collection.invoice_id)
        if not customer.email:
            return "no address"
        try:
            await self._mail.send(
                to=customer.email,
                template="payment_reminder",
                facts=reminder(invoice, collection, customer, action.at),
                key=f"{invoice.id}/reminder/{action.at.isoformat()}",
            )
        except (ProviderUnavailable, ValueError) as trouble:
            if isinstance(trouble, ProviderUnavailable) and activity.info().attempt < ASK_AT_MOST:
                raise
            activity.logger.warning("reminder_not_sent %s %s", invoice.id, type(trouble).__name__)
            return "failed"
        return "sent"

    async def _given_up(self, collection: Collection, at: datetime) -> Collection | None:
        """Make sure that no money comes for what is written off next. Where money was faster, the collection with it."""
        async with self._open_books() as books:
            attempts = await books.payments.of_invoice(collection.invoice_id)
        ref = attempts[-1].intent_ref if attempts else None
        if ref is None:
            return None
        try:
            intent = await self._payments.cancel_intent(intent_ref=ref, key=f"cx:{ref}")
        except ProviderRejected as rejected:
            activity.logger.warning("intent_not_cancelled %s %s", ref, rejected)
            return None
        if intent.state is PaymentState.FAILED:
            return None
        return await self._heard(attempts, intent, at)

    async def _ended(self, collection: Collection, at: datetime) -> None:
        """End the subscription whose invoice is written off, where the policy says so."""
        async with self._open_books() as books:
            subscription = await books.subscriptions.get(collection.subscription_id)
        if collection.policy.on_write_off == "cancel" and subscription.state is not SubscriptionState.ENDED:
            cause = f"write-off/{collection.invoice_id}"
            await self._lifecycles.cancel_subscription(subscription, cause=cause, at=at)

    async def _charge(self, command: ChargeInvoice) -> Collection:
        attempt, at = command.attempt, command.at
        async with self._open_books() as books:
            collection = await books.collections.lock(command.invoice_id)
            if not collection.is_open or collection.attempts >= attempt:
                return collection
            payment, customer = await recording.written_ahead(books, collection, attempt=attempt, at=at)
            if payment is None:
                return await recording.unchargeable(books, collection, attempt=attempt, at=at, late=self._late(at))
        try:
            payment = await self._with_intent(payment, customer)
            intent = await self._confirmed(payment)
        except (ProviderUnavailable, OutcomeUnknown) as trouble:
            if activity.info().attempt < ASK_AT_MOST:
                raise
            activity.logger.warning("charge_unheard %s %s", payment.id, type(trouble).__name__)
            intent = Intent(ref=payment.intent_ref or "", state=PaymentState.UNKNOWN)
        except ProviderRejected as rejected:
            activity.logger.warning("charge_rejected %s %s", payment.id, rejected)
            why = UNUSABLE_METHOD if rejected.of_method else WRONG_REQUEST
            intent = Intent(ref=payment.intent_ref or "", state=PaymentState.FAILED, decline=why)
        return await self._record(payment, intent, at)

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

    async def _heard(self, attempts: tuple[Payment, ...], intent: Intent, at: datetime) -> Collection:
        """What the provider says of the last attempt, or of one that the customer has made since, on its own screen."""
        payment = attempts[-1]
        if payment.state in FINAL:
            if not _moved_on(intent, attempts):
                return await self._looked(payment.invoice_id, at)
            attempt = payment.attempt + 1
            payment = replace(
                payment,
                id=derived_id("pay", at, payment.invoice_id, str(attempt)),
                attempt=attempt,
                at=at,
                sent_at=at,
                state=PaymentState.PENDING,
            )
        elif payment.state is not PaymentState.REQUIRES_ACTION and _never_executed(payment, intent, attempts):
            code = CANCELED.code if intent.decline == CANCELED else None
            return await self._never_happened(payment, code or NOT_EXECUTED, at)
        return await self._record(payment, intent, at)

    async def _looked(self, invoice_id: str, at: datetime) -> Collection:
        async with self._open_books() as books:
            collection = (await books.collections.lock(invoice_id)).looked(at)
            await books.collections.put(collection)
        return collection

    async def _never_happened(self, payment: Payment, code: str, at: datetime) -> Collection:
        async with self._open_books() as books:
            collection = await books.collections.lock(payment.invoice_id)
            if collection.in_flight:
                return await recording.not_executed(books, collection, payment, code, at=at, late=self._late(at))
            collection = collection.looked(at)
            await books.collections.put(collection)
        return collection

    async def _record(self, payment: Payment, intent: Intent, at: datetime) -> Collection:
        """Write down what came of the attempt, unless that is known, or nothing did."""
        async with self._open_books() as books:
            collection = await books.collections.lock(payment.invoice_id)
            known = await books.payments.get(payment.id)
            if known is not None and known.state in FINAL:
                return collection
            is_news = known is None or intent.state not in {known.state, PaymentState.PENDING}
            if collection.attempts < payment.attempt or is_news:
                return await recording.outcome(books, collection, payment, intent, at=at, late=self._late(at))
            collection = collection.looked(at)
            await books.collections.put(collection)
        return collection

    def _late(self, at: datetime) -> timedelta:
        """How much later than `at`, when it was due, it is now."""
        return self._clock.now() - at


def _moved_on(intent: Intent, attempts: tuple[Payment, ...]) -> bool:
    """Whether money moves, or has moved, by a charge that none of our attempts made."""
    moves = intent.state in {PaymentState.SUCCEEDED, PaymentState.PROCESSING}
    return moves and intent.charge_ref not in {attempt.charge_ref for attempt in attempts}


def _never_executed(payment: Payment, intent: Intent, attempts: tuple[Payment, ...]) -> bool:
    """Whether the provider has no trace of this attempt: no charge that an earlier one did not make."""
    seen = {earlier.charge_ref for earlier in attempts[:-1]}
    unmoved = intent.state in {PaymentState.PENDING, PaymentState.FAILED}
    return unmoved and (intent.charge_ref is None or intent.charge_ref in seen)
