"""Subscriptions in the books."""

from datetime import date, datetime
from typing import Any

from sqlmodel import Field, SQLModel

from domain.subscription import Subscription, SubscriptionState
from store.columns import document, one_of, reference, sequence, table_of, where_set
from store.keyed import KeyedBook, Statements


class SubscriptionRow(SQLModel, table=True):
    """`subscriptions`: what runs, one per order. `next_action_at` is when time makes the next thing due."""

    __tablename__ = "subscriptions"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (one_of("state", SubscriptionState), where_set("subscriptions", "next_action_at"))

    id: str = Field(primary_key=True)
    key: str = Field(unique=True)
    order_id: str = reference("orders.id", unique=True)
    customer_id: str = reference("customers.id", index=True)
    currency: str
    state: str = Field(index=True)
    activated_at: datetime
    period_starts_on: date | None
    period_ends_on: date | None
    ends_on: date | None
    ended_at: datetime | None
    next_action_at: datetime | None
    document: Subscription = document(Subscription)
    seq: int = sequence()


class PostgresSubscriptions(KeyedBook[Subscription]):
    """The book of subscriptions. The caller owns the transaction."""

    statements = Statements(table_of(SubscriptionRow), "subscription")

    def _columns(self, value: Subscription) -> dict[str, Any]:
        return {
            "id": value.id,
            "key": value.key,
            "order_id": value.order_id,
            "customer_id": value.customer_id,
            "currency": value.currency,
            "state": value.state,
            "activated_at": value.activated_at,
            "period_starts_on": value.period.starts_on if value.period else None,
            "period_ends_on": value.period.ends_on if value.period else None,
            "ends_on": value.ends_on,
            "ended_at": value.ended_at,
            "next_action_at": value.next_due_at,
            "document": value,
        }
