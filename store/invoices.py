"""Invoices in the books: a header row, a row per line that stays once the invoice is finalized, and the numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, or_, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.catalog import Entity
from domain.errors import InvalidState, NotFound
from domain.invoice import Invoice, InvoiceState
from domain.measure import BilledUsage
from store import billed as billed_usage
from store.changes import Changes
from store.columns import parameter
from store.invoice_rows import HEADERS, LINES, WITH_LINES, header_columns, invoices_of, line_columns
from store.keyed import taken


class InvoiceCounterRow(SQLModel, table=True):
    """`invoice_counters`: the last number that was given, by what a number begins with."""

    __tablename__ = "invoice_counters"  # pyright: ignore[reportAssignmentType]

    prefix: str = Field(primary_key=True)
    year: int = Field(primary_key=True)
    last: int


_FIND = WITH_LINES.where(HEADERS.c.id == parameter("name"))
_GET = WITH_LINES.where(or_(HEADERS.c.id == parameter("name"), HEADERS.c.number == parameter("name")))
_LOCK = _GET.with_for_update(key_share=True, of=HEADERS)
_INSERT, _INSERT_LINES = insert(HEADERS), insert(LINES)
_DELETE_LINES = delete(LINES).where(LINES.c.invoice_id == parameter("invoice"))
_MOVE = (
    update(HEADERS)
    .where(HEADERS.c.id == parameter("invoice"))
    .values(state=parameter("state"), amount_paid_minor=parameter("amount_paid_minor"), paid_at=parameter("paid_at"))
)
"""All that may change of a finalized invoice."""
_COUNT = text("""
    INSERT INTO invoice_counters AS given (prefix, year, last) VALUES (:prefix, :year, 1)
    ON CONFLICT (prefix, year) DO UPDATE SET last = given.last + 1 RETURNING last
""")


class PostgresInvoices:
    """The book of invoices. The caller owns the transaction."""

    def __init__(self, connection: AsyncConnection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes
        self._known: dict[str, Invoice | None] = {}

    async def find(self, invoice_id: str) -> Invoice | None:
        """By id, None when there is none yet."""
        found = await self._read(_FIND, invoice_id)
        self._known[invoice_id] = found
        return found

    async def get(self, name: str) -> Invoice:
        """By id or number. Raises NotFound."""
        return await self._one(_GET, name)

    async def lock(self, name: str) -> Invoice:
        """Get, and hold until the transaction ends. Raises NotFound."""
        return await self._one(_LOCK, name)

    async def put(self, invoice: Invoice) -> None:
        """Insert, or replace a draft, or record the next state of a finalized one.

        Raises InvalidState when anything else of a finalized invoice differs, AlreadyExists when its number is given.
        """
        was = self._known[invoice.id] if invoice.id in self._known else await self.find(invoice.id)
        if was is None:
            await self._insert(invoice)
        elif was.state is InvoiceState.DRAFT:
            await self._replace(invoice)
        else:
            await self._move(was, invoice)
        self._known[invoice.id] = invoice
        self._changes.wrote("invoice", invoice.id, invoice)

    async def next_number(self, entity: Entity, year: int) -> str:
        """The next number of the entity's prefix in `year`, gapless: whoever asks next waits until this transaction ends."""
        prefix = entity.invoice_prefix
        number = (await self._connection.execute(_COUNT, {"prefix": prefix, "year": year})).scalar_one()
        return f"{prefix}-{year}-{number:06d}"

    async def billed_since(self, subscriptions: Sequence[str], since: datetime) -> dict[str, tuple[BilledUsage, ...]]:
        """What was billed of usage in parts that end after `since`, by subscription, oldest first."""
        return await billed_usage.since(self._connection, subscriptions, since)

    async def remember_billed(self, subscription_id: str, billed: Iterable[BilledUsage]) -> None:
        """Insert, or replace what was billed for the same part and charge."""
        await billed_usage.remember(self._connection, subscription_id, billed)

    async def _insert(self, invoice: Invoice) -> None:
        async with taken(f"number {invoice.number} is given already"):
            await self._connection.execute(_INSERT, header_columns(invoice))
        await self._insert_lines(invoice)

    async def _insert_lines(self, invoice: Invoice) -> None:
        rows = [line_columns(invoice.id, position, line) for position, line in enumerate(invoice.lines)]
        if rows:
            await self._connection.execute(_INSERT_LINES, rows)

    async def _replace(self, invoice: Invoice) -> None:
        columns = header_columns(invoice)
        async with taken(f"number {invoice.number} is given already"):
            await self._connection.execute(update(HEADERS).where(HEADERS.c.id == invoice.id).values(columns))
        await self._connection.execute(_DELETE_LINES, {"invoice": invoice.id})
        await self._insert_lines(invoice)

    async def _move(self, was: Invoice, invoice: Invoice) -> None:
        moved = replace(was, state=invoice.state, amount_paid=invoice.amount_paid, paid_at=invoice.paid_at)
        if moved != invoice:
            raise InvalidState(f"invoice {was.number} is finalized: only its state and payments may change")
        await self._connection.execute(
            _MOVE,
            {
                "invoice": invoice.id,
                "state": invoice.state,
                "amount_paid_minor": invoice.amount_paid.minor,
                "paid_at": invoice.paid_at,
            },
        )

    async def _one(self, statement: "Select[Any]", name: str) -> Invoice:
        invoice = await self._read(statement, name)
        if invoice is None:
            raise NotFound(f"no invoice {name}")
        self._known[invoice.id] = invoice
        self._changes.read("invoice", invoice.id, invoice)
        return invoice

    async def _read(self, statement: "Select[Any]", name: str) -> Invoice | None:
        rows = (await self._connection.execute(statement, {"name": name})).all()
        return next(iter(invoices_of(rows)), None)
