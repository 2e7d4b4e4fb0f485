"""Collections in the books: one per invoice with money due."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.dunning import CLOSED_STATES, Collection, CollectionState
from domain.errors import NotFound
from store.changes import Changes
from store.columns import document, minor, one_of, parameter, reference, sequence, table_of, where_set
from store.invoice_rows import InvoiceRow
from store.keyed import upsert, waits


class CollectionRow(SQLModel, table=True):
    """`collections`: `next_action_at` is when time acts, `since` and `waiting_*` say whose move it is."""

    __tablename__ = "collections"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (one_of("state", CollectionState), where_set("collections", "next_action_at"))

    invoice_id: str = reference("invoices.id", primary_key=True)
    customer_id: str = reference("customers.id", index=True)
    subscription_id: str = Field(index=True)
    state: str = Field(index=True)
    amount_due_minor: int = minor()
    currency: str
    issued_at: datetime
    due_at: datetime
    since: datetime
    stuck_reason: str | None = Field(index=True)
    suspended: bool
    waiting_on: str | None
    waiting_until: datetime | None
    next_action: str | None
    next_action_at: datetime | None
    document: Collection = document(Collection)
    seq: int = sequence()


_COLLECTIONS, _INVOICES = table_of(CollectionRow), table_of(InvoiceRow)
_PUT = upsert(_COLLECTIONS, by=("invoice_id",))
_GET = (
    select(_COLLECTIONS.c.document)
    .join(_INVOICES, _INVOICES.c.id == _COLLECTIONS.c.invoice_id)
    .where(or_(_INVOICES.c.id == parameter("name"), _INVOICES.c.number == parameter("name")))
)
_HOLD: dict[str, Any] = {"key_share": True, "of": _COLLECTIONS}
_LOCK = _GET.with_for_update(**_HOLD)
_OPEN = (
    select(_COLLECTIONS.c.document)
    .where(_COLLECTIONS.c.customer_id == parameter("customer_id"))
    .where(_COLLECTIONS.c.state.not_in([state.value for state in CLOSED_STATES]))
    .order_by(_COLLECTIONS.c.seq)
    .with_for_update(**_HOLD)
)


class PostgresCollections:
    """The book of collections. The caller owns the transaction."""

    def __init__(self, connection: AsyncConnection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    async def get(self, invoice: str) -> Collection:
        """By invoice id or number. Raises NotFound."""
        return await self._one(_GET, invoice)

    async def lock(self, invoice: str) -> Collection:
        """Get, and hold until the transaction ends. Raises NotFound."""
        return await self._one(_LOCK, invoice)

    async def put(self, collection: Collection) -> None:
        """Insert or replace by invoice id."""
        await self._connection.execute(_PUT, _columns(collection))
        self._changes.wrote("collection", collection.invoice_id, collection)

    async def open_of(self, customer_id: str) -> tuple[Collection, ...]:
        """The customer's open collections, oldest first, held until the transaction ends."""
        found = tuple((await self._connection.execute(_OPEN, {"customer_id": customer_id})).scalars())
        for collection in found:
            self._changes.read("collection", collection.invoice_id, collection)
        return found

    async def _one(self, statement: "Select[Any]", invoice: str) -> Collection:
        found = (await self._connection.execute(statement, {"name": invoice})).scalar_one_or_none()
        if found is None:
            raise NotFound(f"no collection of invoice {invoice}")
        self._changes.read("collection", found.invoice_id, found)
        return cast("Collection", found)


def _columns(collection: Collection) -> dict[str, Any]:
    return {
        "invoice_id": collection.invoice_id,
        "customer_id": collection.customer_id,
        "subscription_id": collection.subscription_id,
        "state": collection.state,
        "amount_due_minor": collection.amount_due.minor,
        "currency": collection.amount_due.currency,
        "issued_at": collection.issued_at,
        "due_at": collection.due_at,
        "since": collection.since,
        "stuck_reason": collection.stuck_reason,
        "suspended": collection.suspended,
        **waits(collection.waiting),
        # What time really does next, our own looking included: by this the clock's work is known.
        "next_action_at": collection.next_action.at if collection.next_action else None,
        "document": collection,
    }
