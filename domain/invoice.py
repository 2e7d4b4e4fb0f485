"""Invoice: what a customer owes for one boundary of one subscription, and the only moves it can make.

    draft ──finalized──> open ──paid_with──> paid
                          ├────voided──────> void
                          └─written_off────> written_off

A finalized invoice never changes its lines nor who sells and buys; a mistake is corrected by a credit note. Lines of kind
"discount" are negative and stand last; `subtotal` is the sum of all other lines, `total` = `subtotal` - `discount` + `tax`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.calendar import Period
from domain.catalog import Entity
from domain.customer import Buyer
from domain.errors import InvalidState
from domain.money import Money, total
from domain.rating import Share
from domain.tax import TaxAmount


class InvoiceState(StrEnum):
    """Where an invoice is in its life (contract section 7)."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    WRITTEN_OFF = "written_off"


class LineKind(StrEnum):
    """Why a line is there (contract section 6)."""

    RECURRING = "recurring"
    USAGE = "usage"
    ONE_TIME = "one_time"
    PRORATION_CHARGE = "proration_charge"
    PRORATION_CREDIT = "proration_credit"
    MINIMUM = "minimum"
    TRUE_UP = "true_up"
    LATE_USAGE = "late_usage"
    CREDIT_BURN = "credit_burn"
    DISCOUNT = "discount"
    TAX_ADJUSTMENT = "tax_adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem:
    """One charge or credit for the service days of `period`; `quantity` is a plain decimal string, fit to show.

    `proration` is None for a whole period. `unit_amount` is None where no single price stands for the line.
    """

    charge: str
    kind: LineKind
    description: str
    quantity: str
    unit_amount: Decimal | None
    amount: Money
    period: Period
    tax_rate: Decimal
    proration: Share | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An immutable snapshot. Every verb returns the next one. Amounts are all in `currency`, instants in UTC.

    `amount_paid` is what payments brought; `credits_applied` came from the customer's credit balance at finalization.
    `seller` and `buyer` are who they were then, whatever becomes of them.
    """

    id: str
    customer_id: str
    subscription_id: str
    currency: str
    timezone: str
    period: Period
    lines: tuple[LineItem, ...]
    taxes: tuple[TaxAmount, ...]
    credits_applied: Money
    amount_paid: Money
    state: InvoiceState = InvoiceState.DRAFT
    number: str | None = None
    issued_at: datetime | None = None
    due_at: datetime | None = None
    paid_at: datetime | None = None
    seller: Entity | None = None
    buyer: Buyer | None = None

    @property
    def subtotal(self) -> Money:
        """Sum of all lines but the discounts."""
        return total((line.amount for line in self.lines if line.kind is not LineKind.DISCOUNT), self.currency)

    @property
    def discount(self) -> Money:
        """What the discounts take off, positive."""
        return -total((line.amount for line in self.lines if line.kind is LineKind.DISCOUNT), self.currency)

    @property
    def tax(self) -> Money:
        """Sum of the taxes."""
        return total((tax.amount for tax in self.taxes), self.currency)

    @property
    def total(self) -> Money:
        """What the invoice comes to; negative when we owe the customer."""
        return self.subtotal - self.discount + self.tax

    @property
    def amount_due(self) -> Money:
        """What was to be paid when it was issued, never below zero; it stays when paid."""
        return Money(max(0, self.total.minor - self.credits_applied.minor), self.currency)

    @property
    def outstanding(self) -> Money:
        """What is still to be paid."""
        return self.amount_due - self.amount_paid

    def finalized(
        self, *, number: str, issued_at: datetime, due_at: datetime, balance: Money, seller: Entity, buyer: Buyer
    ) -> "Invoice":
        """The invoice as sent, paid first from the customer's credit `balance`. With nothing due it is paid at once."""
        self._require(InvoiceState.DRAFT)
        applied = Money(max(0, min(self.total.minor, balance.minor)), self.currency)
        settled = self.total.minor <= applied.minor
        return replace(
            self,
            number=number,
            issued_at=issued_at,
            due_at=due_at,
            seller=seller,
            buyer=buyer,
            credits_applied=applied,
            state=InvoiceState.PAID if settled else InvoiceState.OPEN,
            paid_at=issued_at if settled else None,
        )

    def paid_with(self, amount: Money, at: datetime) -> "Invoice":
        """The invoice after `amount` came in at `at`; paid once nothing is outstanding. Raises InvalidState."""
        self._require(InvoiceState.OPEN)
        if not 0 < amount.minor <= self.outstanding.minor:
            raise InvalidState(f"{self.number}: {amount.text} does not fit the {self.outstanding.text} outstanding")
        paid = replace(self, amount_paid=self.amount_paid + amount)
        return paid if paid.outstanding.minor else replace(paid, state=InvoiceState.PAID, paid_at=at)

    def written_off(self) -> "Invoice":
        """The invoice that we have stopped to collect."""
        self._require(InvoiceState.OPEN)
        return replace(self, state=InvoiceState.WRITTEN_OFF)

    def _require(self, state: InvoiceState) -> None:
        if self.state is not state:
            raise InvalidState(f"invoice {self.number or self.id} is {self.state}, not {state}")
