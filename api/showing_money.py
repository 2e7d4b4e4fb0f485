"""Showing money: invoices, payments, collections and the ledger as the JSON of contract sections 6 and 7. Pure."""

from collections.abc import Iterable
from datetime import datetime

from api import shown_money
from api.showing import exact, instant, period, waiting
from domain.catalog import Entity
from domain.customer import Buyer
from domain.dunning import Collection, StuckReason
from domain.invoice import Invoice, LineItem
from domain.money import price_text
from domain.payment import Payment
from domain.tax import TaxAmount
from store.balances import TrialBalance
from store.lists import LedgerEntry


def invoice(issued: Invoice, *, customer: str, subscription: str) -> shown_money.Invoice:
    """An invoice; `customer` and `subscription` are their keys. `amount_due` stays when it is paid."""
    return {
        "id": issued.id,
        "number": issued.number,
        "customer": customer,
        "subscription": subscription,
        "seller": _seller(issued.seller) if issued.seller else None,
        "buyer": _buyer(issued.buyer) if issued.buyer else None,
        "issued_at": instant(issued.issued_at),
        "due_at": instant(issued.due_at),
        "period": period(issued.period, issued.timezone),
        "currency": issued.currency,
        "lines": [_line(line, issued.timezone) for line in issued.lines],
        "subtotal": issued.subtotal.text,
        "discount": issued.discount.text,
        "taxes": [_tax(tax) for tax in issued.taxes],
        "tax": issued.tax.text,
        "total": issued.total.text,
        "credits_applied": issued.credits_applied.text,
        "amount_due": issued.amount_due.text,
        "amount_paid": issued.amount_paid.text,
        "outstanding": issued.outstanding.text,
        "state": issued.state,
        "paid_at": instant(issued.paid_at),
    }


def payment(attempt: Payment, *, invoice: str) -> shown_money.Payment:
    """One attempt at an invoice, named by its number; `method` is fit to show."""
    return {
        "id": attempt.id,
        "invoice": invoice,
        "amount": attempt.amount.text,
        "currency": attempt.amount.currency,
        "method": attempt.method_label or attempt.method,
        "state": attempt.state,
        "decline_code": attempt.decline_code,
        "attempt": attempt.attempt,
        "at": instant(attempt.at),
    }


def collection(
    collected: Collection, *, invoice: str, customer: str, subscription: str, attempts: Iterable[Payment], at: datetime
) -> shown_money.Collection:
    """How an invoice with money due is collected: where it stands, what was tried, and what is still to be tried.

    After a decline that no retry can turn, none is left, whatever the policy still had. What is overdue at `at` is our
    own fault: a process that fails, or that nobody runs.
    """
    overdue = collected.waiting is not None and collected.waiting.is_overdue(at)
    return {
        "invoice": invoice,
        "invoice_id": collected.invoice_id,
        "customer": customer,
        "subscription": subscription,
        "currency": collected.amount_due.currency,
        "amount_due": collected.amount_due.text,
        "issued_at": instant(collected.issued_at),
        "due_at": instant(collected.due_at),
        "state": collected.state,
        "stuck_reason": collected.stuck_reason or (StuckReason.PROCESS_FAILING if overdue else None),
        "cause": collected.cause,
        "last_decline": collected.last_decline,
        "suspended": collected.suspended,
        "attempts": [payment(attempt, invoice=invoice) for attempt in attempts],
        "retries_left": collected.retries_left if collected.charge_at or collected.in_flight else 0,
        **waiting(collected.waiting),
    }


def entry(leg: LedgerEntry, *, customer: str) -> shown_money.LedgerEntry:
    """One leg of a posting, on the side on which it stands."""
    return {
        "at": instant(leg.at),
        "cause": leg.cause,
        "customer": customer,
        "account": leg.account,
        "currency": leg.amount.currency,
        "debit": leg.amount.text if leg.amount.minor > 0 else None,
        "credit": (-leg.amount).text if leg.amount.minor < 0 else None,
    }


def trial_balance(books: TrialBalance) -> shown_money.TrialBalance:
    """Every account's balance, and whether both sides are equal."""
    return {
        "balanced": books.balanced,
        "accounts": [
            {"account": row.account, "currency": row.currency, "debit": row.debit.text, "credit": row.credit.text}
            for row in books.accounts
        ],
    }


def _seller(entity: Entity) -> shown_money.Seller:
    return {
        "key": entity.key,
        "legal_name": entity.legal_name,
        "country": entity.country,
        "tax_id": entity.tax_id,
        "address": list(entity.address),
    }


def _buyer(buyer: Buyer) -> shown_money.Buyer:
    return {"name": buyer.name, "country": buyer.country, "tax_id": buyer.tax_id, "address": list(buyer.address)}


def _line(line: LineItem, timezone: str) -> shown_money.Line:
    return {
        "charge": line.charge,
        "kind": line.kind,
        "description": line.description,
        "quantity": line.quantity,
        "unit_amount": None if line.unit_amount is None else price_text(line.unit_amount, line.amount.currency),
        "amount": line.amount.text,
        "period": period(line.period, timezone) if line.period else None,
        "proration": {"days": line.proration.days, "of": line.proration.of} if line.proration else None,
        "tax_rate": exact(line.tax_rate),
    }


def _tax(tax: TaxAmount) -> shown_money.Tax:
    return {"rate": exact(tax.rate), "base": tax.base.text, "amount": tax.amount.text}
