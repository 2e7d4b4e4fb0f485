"""Activities on customers: a new payment method, and what it sets going."""

from dataclasses import dataclass, replace
from datetime import datetime

from temporalio import activity

from activities.ports import Books, Lifecycles, OpenBooks, PaymentMethod, PaymentProvider, ProviderRejected
from domain.audit import AuditEvent
from domain.customer import Customer
from domain.errors import FieldError, InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class UseMethod:
    """Charge `customer` (id) on `method` from `at` (UTC) on; a provider's reference, or one of its test names."""

    customer_id: str
    method: str
    at: datetime
    actor: str = "perennial"
    token: str = ""


class CustomerActivities:
    """Built once per worker, with the doors it may use."""

    def __init__(self, *, open_books: OpenBooks, payments: PaymentProvider, lifecycles: Lifecycles) -> None:
        self._open_books = open_books
        self._payments = payments
        self._lifecycles = lifecycles

    @activity.defn
    async def use_method(self, command: UseMethod) -> None:
        """Save the method at the provider, make it the customer's, and tell the collections that wait for one.

        Idempotent: the provider sees one key per customer and method; a method that is recorded, or older than the one
        that is, changes nothing.
        """
        async with self._open_books() as books:
            customer = await books.customers.get(command.customer_id)
        customer_ref = customer.provider_ref or await self._payments.create_customer(
            customer_id=customer.id, key=f"cus:{customer.id}"
        )
        method = await self._attached(customer_ref, command)
        async with self._open_books() as books:
            customer = await books.customers.lock(command.customer_id)
            if _is_news(customer, method, command):
                customer = replace(
                    customer,
                    provider_ref=customer_ref,
                    payment_method=method.ref,
                    method_label=method.label,
                    method_at=command.at,
                    method_token=command.token or None,
                )
                await _record(books, customer, command)
            waiting = await books.collections.open_of(customer.id)
        for collection in waiting:
            await self._lifecycles.wake_collection(collection, command.at)

    async def _attached(self, customer_ref: str, command: UseMethod) -> PaymentMethod:
        key = f"pm:{command.customer_id}:{command.method}:{command.at.isoformat()}"
        try:
            return await self._payments.attach_method(customer_ref=customer_ref, method=command.method, key=key)
        except ProviderRejected as rejected:
            why = f"the payment provider does not take {command.method!r}"
            raise InvalidInput(why, (FieldError(("use",), why),)) from rejected


def _is_news(customer: Customer, method: PaymentMethod, command: UseMethod) -> bool:
    """Whether the customer's latest word is older than this one. A collection must not be asked twice for one word."""
    if command.token and customer.method_token == command.token:
        return False
    if customer.method_at is None or customer.method_at < command.at:
        return True
    return customer.method_at == command.at and customer.payment_method != method.ref


async def _record(books: Books, customer: Customer, command: UseMethod) -> None:
    await books.customers.put(customer)
    for collection in await books.collections.open_of(customer.id):
        await books.collections.put(collection.method_changed(command.at))
    await books.audit.add(
        AuditEvent(
            type="customer.payment_method_changed",
            cause=f"{customer.id}/{customer.payment_method}/{command.at.isoformat()}",
            at=command.at,
            customer_id=customer.id,
            subject=customer.id,
            data={"method": customer.method_label or ""},
            actor=command.actor,
        )
    )
