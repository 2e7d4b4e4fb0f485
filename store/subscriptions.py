"""Subscriptions in the books."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import or_, select, tuple_
from sqlmodel import Field, SQLModel

from domain.subscription import Subscription, SubscriptionState
from store.columns import document, one_of, parameter, reference, sequence, table_of, where_set
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


_ROWS = table_of(SubscriptionRow)
_OLDER = (
    select(_ROWS.c.document)
    .where(_ROWS.c.customer_id == parameter("customer"))
    .where(tuple_(_ROWS.c.activated_at, _ROWS.c.id) < tuple_(parameter("activated_at"), parameter("id")))
    .where(or_(_ROWS.c.ended_at.is_(None), _ROWS.c.ended_at > parameter("since")))
    .order_by(_ROWS.c.activated_at, _ROWS.c.id)
)


class PostgresSubscriptions(KeyedBook[Subscription]):
    """The book of subscriptions. The caller owns the transaction."""

    statements = Statements(_ROWS, "subscription")

    async def older_than(self, subscription: Subscription, since: datetime) -> tuple[Subscription, ...]:
        """What its customer had before it and still had after `since`, oldest first."""
        asked = {"customer": subscription.customer_id, "since": since}
        named = {"activated_at": subscription.activated_at, "id": subscription.id}
        return tuple((await self._connection.execute(_OLDER, asked | named)).scalars())

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
