"""Quotes in the books."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from domain.quote import Quote, QuoteState
from store.columns import document, one_of, reference, sequence, table_of, where_set
from store.keyed import KeyedBook, Statements, waits


class QuoteRow(SQLModel, table=True):
    """`quotes`: offers. `next_action_at` is empty for closed ones."""

    __tablename__ = "quotes"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (one_of("state", QuoteState), where_set("quotes", "next_action_at"))

    id: str = Field(primary_key=True)
    key: str = Field(unique=True)
    customer_id: str = reference("customers.id", index=True)
    state: str = Field(index=True)
    created_at: datetime
    waiting_on: str | None
    waiting_until: datetime | None
    next_action: str | None
    next_action_at: datetime | None
    document: Quote = document(Quote)
    seq: int = sequence()


class PostgresQuotes(KeyedBook[Quote]):
    """The book of quotes. The caller owns the transaction."""

    statements = Statements(table_of(QuoteRow), "quote")

    def _columns(self, value: Quote) -> dict[str, Any]:
        return {
            "id": value.id,
            "key": value.key,
            "customer_id": value.customer_id,
            "state": value.state,
            "created_at": value.created_at,
            **waits(value.waiting),
            "document": value,
        }
