"""What an invoice is made of in the books: a header and lines, and the way there and back."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlalchemy import Column, Index, Row, select, text
from sqlmodel import Field, SQLModel

from domain.calendar import Period
from domain.catalog import Entity
from domain.customer import Buyer
from domain.invoice import Invoice, InvoiceState, LineItem, LineKind
from domain.money import Money
from domain.rating import Share
from domain.tax import TaxAmount
from store.columns import Document, minor, one_of, reference, sequence, table_of


class InvoiceRow(SQLModel, table=True):
    """`invoices`: amounts in minor units of `currency`. `taxes` holds one entry per rate.

    `seller` and `buyer` are as they were at finalization; a draft has neither.
    """

    __tablename__ = "invoices"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        one_of("state", InvoiceState),
        Index("invoices_open_idx", "customer_id", "currency", postgresql_where=text("state = 'open'")),
    )

    id: str = Field(primary_key=True)
    number: str | None = Field(unique=True)
    customer_id: str = reference("customers.id", index=True)
    subscription_id: str = Field(index=True)
    state: str
    currency: str
    timezone: str
    period_starts_on: date
    period_ends_on: date
    issued_at: datetime | None
    due_at: datetime | None
    paid_at: datetime | None
    subtotal_minor: int = minor()
    discount_minor: int = minor()
    tax_minor: int = minor()
    total_minor: int = minor()
    credits_applied_minor: int = minor()
    amount_due_minor: int = minor()
    amount_paid_minor: int = minor()
    taxes: tuple[TaxAmount, ...] = Field(sa_column=Column(Document(tuple[TaxAmount, ...]), nullable=False))
    seller: Entity | None = Field(sa_column=Column(Document(Entity)))
    buyer: Buyer | None = Field(sa_column=Column(Document(Buyer)))
    seq: int = sequence()


class InvoiceLineRow(SQLModel, table=True):
    """`invoice_lines`: in the order they are printed."""

    __tablename__ = "invoice_lines"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (one_of("kind", LineKind),)

    invoice_id: str = reference("invoices.id", primary_key=True)
    position: int = Field(primary_key=True)
    charge: str
    kind: str
    description: str
    quantity: str
    unit_amount: Decimal | None
    amount_minor: int = minor()
    starts_on: date
    ends_on: date
    tax_rate: Decimal
    proration_days: int | None
    proration_of: int | None


HEADERS, LINES = table_of(InvoiceRow), table_of(InvoiceLineRow)
WITH_LINES = (
    select(HEADERS, *(column.label(f"line_{column.name}") for column in LINES.c))
    .select_from(HEADERS.outerjoin(LINES, LINES.c.invoice_id == HEADERS.c.id))
    .order_by(LINES.c.position)
)


def header_columns(invoice: Invoice) -> dict[str, Any]:
    """The row of `invoices`."""
    return {
        "id": invoice.id,
        "number": invoice.number,
        "customer_id": invoice.customer_id,
        "subscription_id": invoice.subscription_id,
        "state": invoice.state,
        "currency": invoice.currency,
        "timezone": invoice.timezone,
        "period_starts_on": invoice.period.starts_on,
        "period_ends_on": invoice.period.ends_on,
        "issued_at": invoice.issued_at,
        "due_at": invoice.due_at,
        "paid_at": invoice.paid_at,
        "subtotal_minor": invoice.subtotal.minor,
        "discount_minor": invoice.discount.minor,
        "tax_minor": invoice.tax.minor,
        "total_minor": invoice.total.minor,
        "credits_applied_minor": invoice.credits_applied.minor,
        "amount_due_minor": invoice.amount_due.minor,
        "amount_paid_minor": invoice.amount_paid.minor,
        "taxes": invoice.taxes,
        "seller": invoice.seller,
        "buyer": invoice.buyer,
    }


def line_columns(invoice_id: str, position: int, line: LineItem) -> dict[str, Any]:
    """A row of `invoice_lines`."""
    return {
        "invoice_id": invoice_id,
        "position": position,
        "charge": line.charge,
        "kind": line.kind,
        "description": line.description,
        "quantity": line.quantity,
        "unit_amount": line.unit_amount,
        "amount_minor": line.amount.minor,
        "starts_on": line.period.starts_on,
        "ends_on": line.period.ends_on,
        "tax_rate": line.tax_rate,
        "proration_days": line.proration.days if line.proration else None,
        "proration_of": line.proration.of if line.proration else None,
    }


def invoices_of(rows: "Iterable[Row[Any]]") -> list[Invoice]:
    """The invoices of a join of headers with their lines (columns `line_…`), rows of one invoice together."""
    return [_invoice(list(joined)) for _, joined in groupby(rows, key=lambda row: row.id)]


def _invoice(joined: "list[Row[Any]]") -> Invoice:
    row = joined[0]
    return Invoice(
        id=row.id,
        customer_id=row.customer_id,
        subscription_id=row.subscription_id,
        currency=row.currency,
        timezone=row.timezone,
        period=Period(row.period_starts_on, row.period_ends_on),
        lines=tuple(_line(one, row.currency) for one in joined if one.line_position is not None),
        taxes=row.taxes,
        credits_applied=Money(row.credits_applied_minor, row.currency),
        amount_paid=Money(row.amount_paid_minor, row.currency),
        state=InvoiceState(row.state),
        number=row.number,
        issued_at=row.issued_at,
        due_at=row.due_at,
        paid_at=row.paid_at,
        seller=row.seller,
        buyer=row.buyer,
    )


def _line(row: "Row[Any]", currency: str) -> LineItem:
    prorated = row.line_proration_days is not None
    return LineItem(
        charge=row.line_charge,
        kind=LineKind(row.line_kind),
        description=row.line_description,
        quantity=row.line_quantity,
        unit_amount=row.line_unit_amount,
        amount=Money(row.line_amount_minor, currency),
        period=Period(row.line_starts_on, row.line_ends_on),
        tax_rate=row.line_tax_rate,
        proration=Share(row.line_proration_days, row.line_proration_of) if prorated else None,
    )
