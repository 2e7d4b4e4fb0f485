"""Shown money: the shapes of invoices, payments, collections and the ledger, as callers read them. Types, nothing else."""

from typing_extensions import TypedDict

from api.shown import Amount, Exact, Instant, Period, Waiting
from domain.dunning import CollectionState, StuckReason
from domain.invoice import InvoiceState, LineKind
from domain.ledger import Account
from domain.payment import PaymentState


class Seller(TypedDict):
    """Who sold, when the invoice was issued."""

    key: str
    legal_name: str
    country: str
    tax_id: str | None
    address: list[str]


class Buyer(TypedDict):
    """Who bought, when the invoice was issued."""

    name: str
    country: str
    tax_id: str | None
    address: list[str]


class Proration(TypedDict):
    """How much of a whole period."""

    days: int
    of: int


class Line(TypedDict):
    """A line of an invoice."""

    charge: str
    kind: LineKind
    description: str
    quantity: Exact
    unit_amount: Exact | None
    amount: Amount
    period: Period | None
    proration: Proration | None
    tax_rate: Exact


class Tax(TypedDict):
    """The tax of one rate."""

    rate: Exact
    base: Amount
    amount: Amount


class Invoice(TypedDict):
    """What was billed. `amount_due` stays when it is paid."""

    id: str
    number: str | None
    customer: str
    subscription: str
    seller: Seller | None
    buyer: Buyer | None
    issued_at: Instant | None
    due_at: Instant | None
    period: Period
    currency: str
    lines: list[Line]
    subtotal: Amount
    discount: Amount
    taxes: list[Tax]
    tax: Amount
    total: Amount
    credits_applied: Amount
    amount_due: Amount
    amount_paid: Amount
    outstanding: Amount
    state: InvoiceState
    paid_at: Instant | None


class Payment(TypedDict):
    """One attempt to collect one invoice."""

    id: str
    invoice: str
    amount: Amount
    currency: str
    method: str | None
    state: PaymentState
    decline_code: str | None
    attempt: int
    at: Instant


class Collection(Waiting):
    """How an invoice with money due is collected."""

    invoice: str
    invoice_id: str
    customer: str
    subscription: str
    currency: str
    amount_due: Amount
    issued_at: Instant
    due_at: Instant
    state: CollectionState
    stuck_reason: StuckReason | None
    cause: StuckReason | None
    last_decline: str | None
    suspended: bool
    attempts: list[Payment]
    retries_left: int


class LedgerEntry(TypedDict):
    """One leg of a posting, on the side on which it stands."""

    at: Instant
    cause: str
    customer: str
    account: Account
    currency: str
    debit: Amount | None
    credit: Amount | None


class AccountBalance(TypedDict):
    """The balance of one account in one currency."""

    account: Account
    currency: str
    debit: Amount
    credit: Amount


class TrialBalance(TypedDict):
    """Every account, and whether both sides are equal."""

    balanced: bool
    accounts: list[AccountBalance]
