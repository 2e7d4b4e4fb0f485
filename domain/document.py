"""Document: what an invoice or a quote says on paper, as plain values for a renderer.

    books ──chosen and worded──> InvoiceDocument, QuoteDocument ──rendered (providers.documents)──> PDF

Amounts, quantities and rates are decimal strings without grouping, as in the contract ("1234.50", "-4.90", "0.19"),
dates are the customer's calendar days. How a language writes them is the renderer's business; what free text says
(descriptions, notes, terms) is the caller's, in the document's language. Nothing here computes: a document repeats what
was decided.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from domain.calendar import Period, local_day
from domain.catalog import Entity
from domain.customer import Buyer, Customer
from domain.dunning import Collection, StuckReason
from domain.invoice import Invoice


class Language(StrEnum):
    """The language of labels, dates and numbers."""

    EN = "en"
    DE = "de"


class Standing(StrEnum):
    """Where the invoice stands when it is printed; the values are the invoice states of contract section 7."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    WRITTEN_OFF = "written_off"


class Settling(StrEnum):
    """What settles an open invoice from here: we charge, the bank answers, or the customer acts and why."""

    CHARGE = "charge"
    PROCESSING = "processing"
    CONFIRM = "confirm"
    DECLINED = "declined"
    PAY = "pay"


def settling(collection: Collection, *, has_method: bool) -> Settling:
    """What settles the invoice of an open `collection`, whose customer has a payment method or not."""
    if collection.in_flight:
        return Settling.PROCESSING
    if collection.charge_at is not None:
        return Settling.CHARGE if has_method else Settling.PAY
    return _BY_CAUSE.get(collection.cause, Settling.PAY)


_BY_CAUSE: dict[StuckReason | None, Settling] = {
    StuckReason.AUTHENTICATION_REQUIRED: Settling.CONFIRM,
    StuckReason.HARD_DECLINE: Settling.DECLINED,
    StuckReason.RETRIES_EXHAUSTED: Settling.DECLINED,
    StuckReason.NETWORK_BUDGET_SPENT: Settling.DECLINED,
    # Ours to mend: the customer has done their part.
    StuckReason.PROCESS_FAILING: Settling.PROCESSING,
    StuckReason.PROVIDER_UNAVAILABLE: Settling.PROCESSING,
}


def reminder(invoice: Invoice, collection: Collection, customer: Customer, at: datetime) -> dict[str, str]:
    """What a mail that is sent at `at` says of an invoice that is not paid; dates as in "2026-03-15"."""
    assert invoice.seller is not None and invoice.buyer is not None and invoice.due_at is not None
    bank, charge_at = invoice.seller.bank, collection.charge_at
    facts = {
        "language": invoice.seller.language,
        "seller": invoice.seller.legal_name,
        "customer": invoice.buyer.name,
        "invoice": invoice.number,
        "amount": invoice.outstanding.text,
        "currency": invoice.currency,
        "due_on": local_day(invoice.due_at, invoice.timezone).isoformat(),
        "overdue": "yes" if at > invoice.due_at else "",
        "settling": settling(collection, has_method=customer.payment_method is not None),
        "method": customer.method_label,
        "charged_on": local_day(charge_at, invoice.timezone).isoformat() if charge_at else None,
        "iban": bank.iban if bank else None,
        "bic": bank.bic if bank else None,
        "bank": bank.name if bank else None,
    }
    return {name: fact or "" for name, fact in facts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """One row of an invoice, for the service days of `period`.

    With `is_discount` the row belongs to the line before it, carries a negative amount and is never parted from it.
    `prorated` is (days, of): how many days of the whole period were billed.
    """

    description: str
    amount: str
    quantity: str | None = None
    unit_amount: str | None = None
    period: Period | None = None
    prorated: tuple[int, int] | None = None
    is_discount: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTax:
    """Tax at one `rate` (a fraction: "0.19"): `amount` on the discounted sum `base`. `name` replaces "VAT"."""

    rate: str
    base: str
    amount: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDocument:
    """An invoice as the customer reads it. A negative `total` makes it a credit.

    `discount` and `credits_applied` are positive and left out when zero. `number` is None for a draft only. `paid_on`
    and `payment_method` ("visa •4242") complete the sentence about payment, for an open invoice `settling` and, if it is
    charged, `charged_on`. `reference` is the customer's own (an order number), `notes` stand below the totals, a paragraph
    each.
    """

    language: Language
    seller: Entity
    customer: Buyer
    number: str | None
    issued_on: date
    due_on: date
    currency: str
    lines: tuple[DocumentLine, ...]
    subtotal: str
    total: str
    amount_due: str
    standing: Standing
    discount: str = "0"
    taxes: tuple[DocumentTax, ...] = ()
    credits_applied: str = "0"
    period: Period | None = None
    reference: str | None = None
    paid_on: date | None = None
    payment_method: str | None = None
    settling: Settling = Settling.PAY
    charged_on: date | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePrice:
    """One list price of a plan: `amount` and `unit` ("per month", "each"). Without amount its description says all.

    With `is_part` it is a part (a tier, a bound) of the price that is named above.
    """

    description: str
    amount: str | None = None
    unit: str | None = None
    is_part: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteLine:
    """One plan that is offered. Each of `remarks` and `discounts` is a phrase ("12 months, renews by itself")."""

    plan: str
    quantity: str
    prices: tuple[QuotePrice, ...] = ()
    remarks: tuple[str, ...] = ()
    discounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the first invoice would say if the offer were accepted as it stands; `issued_on` where that is known."""

    subtotal: str
    total: str
    discount: str = "0"
    taxes: tuple[DocumentTax, ...] = ()
    issued_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteDocument:
    """An offer as the customer reads it. `valid_until` is the last day on which it can be accepted.

    `terms` are paragraphs parted by an empty line. Once `accepted_by` is set the acceptance box says so; until then it
    has room for a signature.
    """

    language: Language
    seller: Entity
    customer: Buyer
    number: str
    issued_on: date
    valid_until: date
    currency: str
    lines: tuple[QuoteLine, ...]
    estimate: Estimate | None = None
    terms: str = ""
    reference: str | None = None
    accepted_by: str | None = None
    accepted_on: date | None = None
