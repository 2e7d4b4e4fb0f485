"""Customers in the books."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from domain.customer import Customer
from store.columns import document, sequence, table_of
from store.keyed import KeyedBook, Statements


class CustomerRow(SQLModel, table=True):
    """`customers`: who buys."""

    __tablename__ = "customers"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    key: str = Field(unique=True)
    currency: str
    created_at: datetime
    provider_ref: str | None = Field(index=True)
    document: Customer = document(Customer)
    seq: int = sequence()


class PostgresCustomers(KeyedBook[Customer]):
    """The book of customers. The caller owns the transaction."""

    statements = Statements(table_of(CustomerRow), "customer")

    def _columns(self, value: Customer) -> dict[str, Any]:
        return {
            "id": value.id,
            "key": value.key,
            "currency": value.currency,
            "created_at": value.created_at,
            "provider_ref": value.provider_ref,
            "document": value,
        }
