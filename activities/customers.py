"""Activities on customers: a new payment method, and what it sets going."""

from dataclasses import dataclass, replace
from datetime import datetime

from temporalio import activity

from activities.ports import Lifecycles, OpenBooks, PaymentMethod, PaymentProvider, ProviderRejected
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


class CustomerActivities:
    """Built once per worker, with the doors it may use."""

    def __init__(self, *, open_books: OpenBooks, payments: PaymentProvider, lifecycles: Lifecycles) -> None:
        self._open_books = open_books
        self._payments = payments
        self._lifecycles = lifecycles

    @activity.defn
    async def use_method(self, command: UseMethod) -> Customer:
        """Save the method at the provider, make it the customer's, and tell the collections that wait for one.

        Idempotent: the provider sees one key per customer and method; recording the same method again changes nothing.
        """
        async with self._open_books() as books:
            customer = await books.customers.get(command.customer_id)
        customer_ref = customer.provider_ref or await self._payments.create_customer(
            customer_id=customer.id, key=f"cus:{customer.id}"
        )
        method = await self._attached(customer_ref, command)
        async with self._open_books() as books:
            customer = replace(
                await books.customers.lock(command.customer_id),
                provider_ref=customer_ref,
                payment_method=method.ref,
                method_label=method.label,
            )
            await books.customers.put(customer)
            waiting = [
                collection.method_changed(command.at) for collection in await books.collections.open_of(customer.id)
            ]
            for collection in waiting:
                await books.collections.put(collection)
            await books.audit.add(
                AuditEvent(
                    type="customer.payment_method_changed",
                    cause=f"{customer.id}/{method.ref}",
                    at=command.at,
                    customer_id=customer.id,
                    subject=customer.id,
                    data={"method": method.label},
                    actor=command.actor,
                )
            )
        for collection in waiting:
            await self._lifecycles.wake_collection(collection, command.at)
        return customer

    async def _attached(self, customer_ref: str, command: UseMethod) -> PaymentMethod:
        key = f"pm:{command.customer_id}:{command.method}:{command.at.isoformat()}"
        try:
            return await self._payments.attach_method(customer_ref=customer_ref, method=command.method, key=key)
        except ProviderRejected as rejected:
            why = f"the payment provider does not take {command.method!r}"
            raise InvalidInput(why, (FieldError(("use",), why),)) from rejected
