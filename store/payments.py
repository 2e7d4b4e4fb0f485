"""Payments in the books: one row per attempt."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint, desc, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.payment import Payment, PaymentState
from store.columns import document, minor, one_of, reference, sequence, table_of
from store.keyed import taken, upsert


class PaymentRow(SQLModel, table=True):
    """`payments`: attempts at collecting invoices, numbered per invoice."""

    __tablename__ = "payments"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (one_of("state", PaymentState), UniqueConstraint("invoice_id", "attempt"))

    id: str = Field(primary_key=True)
    invoice_id: str = reference("invoices.id")
    attempt: int
    customer_id: str = Field(index=True)
    amount_minor: int = minor()
    currency: str
    at: datetime
    state: str = Field(index=True)
    intent_ref: str | None = Field(index=True)
    document: Payment = document(Payment)
    seq: int = sequence()


_PAYMENTS = table_of(PaymentRow)
_PUT = upsert(_PAYMENTS)


class PostgresPayments:
    """The book of payments. The caller owns the transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, payment_id: str) -> Payment | None:
        """By id."""
        found = await self._connection.execute(select(_PAYMENTS.c.document).where(_PAYMENTS.c.id == payment_id))
        return found.scalar_one_or_none()

    async def of_invoice(self, invoice_id: str) -> tuple[Payment, ...]:
        """All attempts, in their order."""
        statement = select(_PAYMENTS.c.document).where(_PAYMENTS.c.invoice_id == invoice_id)
        return tuple((await self._connection.execute(statement.order_by(_PAYMENTS.c.attempt))).scalars())

    async def put(self, payment: Payment) -> None:
        """Insert or replace by id. Raises AlreadyExists when another has the invoice's attempt of that number."""
        async with taken(f"invoice {payment.invoice_id} has an attempt {payment.attempt} already"):
            await self._connection.execute(_PUT, _columns(payment))

    async def by_intent(self, intent_ref: str) -> Payment | None:
        """The latest attempt on the provider's intent."""
        statement = select(_PAYMENTS.c.document).where(_PAYMENTS.c.intent_ref == intent_ref)
        latest = statement.order_by(desc(_PAYMENTS.c.attempt), desc(_PAYMENTS.c.seq)).limit(1)
        return (await self._connection.execute(latest)).scalar_one_or_none()


def _columns(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "invoice_id": payment.invoice_id,
        "attempt": payment.attempt,
        "customer_id": payment.customer_id,
        "amount_minor": payment.amount.minor,
        "currency": payment.amount.currency,
        "at": payment.at,
        "state": payment.state,
        "intent_ref": payment.intent_ref,
        "document": payment,
    }
