"""Ledger: double entry. Every cause is posted once, and each posting sums to zero.

    invoice        receivable  +total      revenue −(subtotal − discount)   tax_payable −tax
      from balance customer_credit +applied   receivable −applied
    negative one   the same with negative sums; what we owe goes from receivable to customer_credit
    payment        cash +amount            receivable −amount
    write-off      bad_debt +outstanding   receivable −outstanding

Debits are positive, credits negative. `receivable` always equals what is outstanding on open invoices.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.invoice import Invoice
from domain.money import Money
from domain.payment import Payment


class Account(StrEnum):
    """The chart of accounts."""

    RECEIVABLE = "receivable"
    CASH = "cash"
    REVENUE = "revenue"
    TAX_PAYABLE = "tax_payable"
    CUSTOMER_CREDIT = "customer_credit"
    BAD_DEBT = "bad_debt"


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a posting: a debit when `amount` is positive, a credit when it is negative."""

    account: Account
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What one `cause` ("invoice/inv_…", "payment/pay_…") did to the books, at `at` (UTC), for one customer."""

    cause: str
    at: datetime
    customer_id: str
    legs: tuple[Leg, ...]

    def __post_init__(self) -> None:
        if sum(leg.amount.minor for leg in self.legs) or len({leg.amount.currency for leg in self.legs}) > 1:
            raise ValueError(f"{self.cause} does not balance")


def _posting(cause: str, at: datetime, customer_id: str, *legs: tuple[Account, Money]) -> Posting:
    return Posting(
        cause=cause,
        at=at,
        customer_id=customer_id,
        legs=tuple(Leg(account, amount) for account, amount in legs if amount.minor),
    )


def invoice_posting(invoice: Invoice) -> Posting:
    """The books after `invoice` was finalized, its use of the credit balance included."""
    assert invoice.issued_at is not None
    owed_to_customer = Money(max(0, -invoice.total.minor), invoice.currency)
    credit = invoice.credits_applied - owed_to_customer
    return _posting(
        f"invoice/{invoice.id}",
        invoice.issued_at,
        invoice.customer_id,
        (Account.RECEIVABLE, invoice.total - credit),
        (Account.CUSTOMER_CREDIT, credit),
        (Account.REVENUE, -(invoice.subtotal - invoice.discount)),
        (Account.TAX_PAYABLE, -invoice.tax),
    )


def payment_posting(payment: Payment, at: datetime) -> Posting:
    """The books after `payment` succeeded at `at`."""
    return _posting(
        f"payment/{payment.id}",
        at,
        payment.customer_id,
        (Account.CASH, payment.amount),
        (Account.RECEIVABLE, -payment.amount),
    )


def write_off_posting(invoice: Invoice, at: datetime) -> Posting:
    """The books after what `invoice` still asked for was given up at `at`."""
    return _posting(
        f"write-off/{invoice.id}",
        at,
        invoice.customer_id,
        (Account.BAD_DEBT, invoice.outstanding),
        (Account.RECEIVABLE, -invoice.outstanding),
    )
