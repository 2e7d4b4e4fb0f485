"""Orders in the books."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from domain.order import Order, OrderState
from store.columns import document, one_of, reference, sequence, table_of, where_set
from store.keyed import KeyedBook, Statements, waits


class OrderRow(SQLModel, table=True):
    """`orders`: what was accepted, one per quote. `next_action_at` is empty for closed ones."""

    __tablename__ = "orders"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (one_of("state", OrderState), where_set("orders", "next_action_at"))

    id: str = Field(primary_key=True)
    key: str = Field(unique=True)
    quote_id: str = reference("quotes.id", unique=True)
    customer_id: str = reference("customers.id", index=True)
    state: str = Field(index=True)
    accepted_at: datetime
    subscription_id: str | None = Field(index=True)
    waiting_on: str | None
    waiting_until: datetime | None
    next_action: str | None
    next_action_at: datetime | None
    document: Order = document(Order)
    seq: int = sequence()


class PostgresOrders(KeyedBook[Order]):
    """The book of orders. The caller owns the transaction."""

    statements = Statements(table_of(OrderRow), "order")

    def _columns(self, value: Order) -> dict[str, Any]:
        return {
            "id": value.id,
            "key": value.key,
            "quote_id": value.quote_id,
            "customer_id": value.customer_id,
            "state": value.state,
            "accepted_at": value.accepted_at,
            "subscription_id": value.subscription_id,
            **waits(value.waiting),
            "document": value,
        }
