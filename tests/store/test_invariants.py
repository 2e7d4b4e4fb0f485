"""Each invariant catches the fault it is there for, and says nothing of books that are right."""

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import text

from domain.catalog import Entity
from domain.invoice import Invoice, LineKind
from domain.ledger import invoice_posting, payment_posting
from domain.payment import PaymentState
from domain.quote import QuoteState
from store.invariants import INVARIANTS, violations, violations_in
from tests.postgres import OpenBooks
from tests.store import samples as s

PAYMENT = s.payment(1, state=PaymentState.SUCCEEDED)


async def issued(books, n: int, *lines, entity: Entity = s.ENTITY, **changed) -> Invoice:
    """An invoice that came about the proper way."""
    number = await books.invoices.next_number(entity, 2026)
    invoice = s.draft(n, *lines, **changed).finalized(
        number=number, issued_at=s.AT, due_at=s.AT, balance=s.eur(0), seller=entity, buyer=s.customer().buyer
    )
    await books.invoices.put(invoice)
    await books.ledger.post(invoice_posting(invoice))
    return invoice


@pytest.fixture(autouse=True)
async def right(open_books: OpenBooks):
    """Books that are right: a paid invoice, an open one, usage billed, and a subscription that is suspended for it."""
    async with open_books() as books:
        await books.customers.put(s.customer())
        await books.quotes.put(s.quote(1, state=QuoteState.ACCEPTED))
        await books.orders.put(s.order(1).completed(subscription_id="sub_1", at=s.AT))
        await books.subscriptions.put(s.subscription(1))
        await books.entitlements.put([s.entitlement(1)])
        paid = await issued(books, 1)
        await books.payments.put(PAYMENT)
        await books.invoices.put(paid.paid_with(PAYMENT.amount, s.AT))
        await books.ledger.post(payment_posting(PAYMENT, s.AT))
        await books.collections.put(s.collection(1).paid(s.AT))
        usage = s.line(3_00, LineKind.USAGE, charge="court", tax_rate=Decimal(0))
        await issued(books, 2, usage, taxes=())
        await books.collections.put(s.collection(2, suspended=True))
        await books.entitlements.suspend("sub_1", "inv_2", s.AT)
        await books.invoices.remember_billed("sub_1", [s.billed("court", minor=3_00), s.billed("pool", minor=0)])
        counts = replace(s.billed("fee", minor=29_00), meter=None)
        await books.invoices.remember_billed("sub_1", [counts])


FAULTS = {
    "an accepted quote has its order, and an order its accepted quote": [
        "UPDATE quotes SET state = 'draft', waiting_on = 'us', document = jsonb_set(document, '{state}', '\"draft\"')",
        "INSERT INTO quotes (id, key, customer_id, state, created_at, document)"
        " SELECT 'q', 'q', customer_id, state, created_at, document FROM quotes",
    ],
    "a completed order has its subscription, and a subscription its completed order": [
        "UPDATE orders SET subscription_id = NULL",
        "UPDATE orders SET state = 'cancelled', document = jsonb_set(document, '{state}', '\"cancelled\"')",
        "UPDATE subscriptions SET order_id = 'another'",
    ],
    "a running subscription knows its next boundary, and an ended one has at most late usage to wait for": [
        "UPDATE subscriptions SET next_action_at = NULL",
        "UPDATE subscriptions SET ended_at = activated_at, state = 'ended',"
        " document = jsonb_set(document, '{state}', '\"ended\"')",
    ],
    "what is open says whose move it is, and what is closed waits for nobody": [
        "UPDATE collections SET waiting_on = NULL WHERE invoice_id = 'inv_2'",
        "UPDATE collections SET waiting_on = 'us' WHERE invoice_id = 'inv_1'",
        "UPDATE orders SET next_action_at = accepted_at",
        "UPDATE quotes SET waiting_on = 'us'",
    ],
    "a row says what its document says": [
        "UPDATE subscriptions SET state = 'paused'",
        "UPDATE entitlements SET ends_at = starts_at",
    ],
    "nothing is given beyond the end of a subscription": [
        "UPDATE subscriptions SET ended_at = activated_at, state = 'ended', next_action_at = NULL,"
        " document = jsonb_set(document, '{state}', '\"ended\"')",
    ],
    "a closed collection holds no suspension, and one that suspends what still runs does": [
        "UPDATE suspensions SET ends_at = starts_at",
        "UPDATE collections SET suspended = false",
        "UPDATE suspensions SET invoice_id = 'inv_1'",
    ],
    "a suspension is held by a collection": [
        "INSERT INTO suspensions (invoice_id, subscription_id, starts_at)"
        " SELECT 'inv_9', subscription_id, starts_at FROM suspensions",
    ],
    "a finalized invoice adds up": [
        "UPDATE invoice_lines SET amount_minor = amount_minor + 1 WHERE charge = 'fee'",
        "UPDATE invoices SET amount_due_minor = amount_due_minor - 1 WHERE id = 'inv_2'",
        "UPDATE invoices SET taxes = '[]' WHERE id = 'inv_1'",
        "DELETE FROM invoice_lines WHERE invoice_id = 'inv_2'",
        "UPDATE invoices SET issued_at = NULL",
    ],
    "invoice numbers have no gap": [
        "UPDATE invoices SET number = 'IW-2026-000003' WHERE id = 'inv_2'",
        "UPDATE invoices SET number = 'IX-2026-000002' WHERE id = 'inv_2'",
    ],
    "every number that was given is on an invoice": [
        "UPDATE invoice_counters SET last = 3",
        "DELETE FROM invoice_counters",
        "UPDATE invoices SET number = NULL WHERE id = 'inv_2'",
        "UPDATE invoice_counters SET prefix = 'IX'",
    ],
    "a finalized invoice names its seller and its buyer": [
        "UPDATE invoices SET seller = NULL WHERE id = 'inv_2'",
        "UPDATE invoices SET buyer = NULL WHERE id = 'inv_1'",
    ],
    "an open invoice with money due has an open collection, and a closed one has none": [
        "DELETE FROM collections WHERE invoice_id = 'inv_2'",
        "UPDATE collections SET state = 'retrying', waiting_on = 'us',"
        " document = jsonb_set(document, '{state}', '\"retrying\"') WHERE invoice_id = 'inv_1'",
    ],
    "an invoice is open while money is outstanding": [
        "UPDATE invoices SET state = 'open' WHERE id = 'inv_1'",
        "UPDATE invoices SET paid_at = NULL",
        "UPDATE invoices SET amount_paid_minor = amount_due_minor + 1",
    ],
    "no invoice is paid more than it asks for": ["UPDATE payments SET amount_minor = amount_minor + 1"],
    "what an invoice has been paid is what its payments brought": [
        "UPDATE payments SET state = 'failed'",
        "UPDATE invoices SET amount_paid_minor = 1 WHERE id = 'inv_2'",
    ],
    "an invoice has one charge in flight at most": [
        "INSERT INTO payments (id, invoice_id, attempt, customer_id, amount_minor, currency, at, state, document)"
        " SELECT 'again_' || n, 'inv_2', n, customer_id, 1, currency, at, 'pending', document"
        " FROM payments, generate_series(1, 2) n WHERE id = 'pay_1'",
    ],
    "attempts are numbered without a gap": ["UPDATE payments SET attempt = 2"],
    "the ledger sums to zero in every currency": ["UPDATE ledger_entries SET amount_minor = 1 WHERE position = 0"],
    "every cause is posted in one currency and sums to zero": [
        "UPDATE ledger_entries SET cause = 'x' WHERE cause = 'invoice/inv_1' AND position = 0",
        "UPDATE ledger_entries SET currency = 'USD' WHERE cause = 'invoice/inv_1' AND position = 0",
    ],
    "what customers owe is what their open invoices ask for": [
        "UPDATE ledger_entries SET customer_id = 'cus_2' WHERE cause = 'payment/pay_1'",
        "UPDATE invoices SET currency = 'USD' WHERE id = 'inv_2'",
        "UPDATE invoices SET state = 'void' WHERE id = 'inv_2'",
    ],
    "no customer has used more credit than there was": [
        "UPDATE ledger_entries SET account = 'customer_credit' WHERE account = 'receivable'",
    ],
    "every finalized invoice is in the ledger as it stands": [
        "DELETE FROM ledger_entries WHERE cause = 'invoice/inv_2'",
        "UPDATE ledger_entries SET account = 'cash' WHERE account = 'tax_payable'",
    ],
    "every payment that succeeded is in the ledger, and no other": [
        "DELETE FROM ledger_entries WHERE cause = 'payment/pay_1'",
        "UPDATE payments SET state = 'failed'",
        "UPDATE ledger_entries SET amount_minor = 2 * amount_minor WHERE cause = 'payment/pay_1'",
    ],
    "no moment of usage is billed twice": [
        "INSERT INTO billed_usage"
        " (subscription_id, ends_at, starts_at, position, charge, billed_minor, currency, document)"
        " SELECT subscription_id, ends_at, starts_at + '1 day', position, charge, 0, currency, document"
        " FROM billed_usage",
        # Another line counts the same meter, without leaving out what the first has claimed.
        "INSERT INTO billed_usage"
        " (subscription_id, ends_at, starts_at, position, charge, billed_minor, currency, document)"
        " SELECT subscription_id, ends_at, starts_at, 1, charge, billed_minor, currency, document FROM billed_usage"
        "  WHERE charge = 'pool'",
    ],
    "what was billed of usage is what the invoices say": [
        "UPDATE billed_usage SET billed_minor = billed_minor + 1 WHERE charge = 'pool'",
        "UPDATE invoice_lines SET amount_minor = 1 WHERE charge = 'court'",
    ],
    "what invoices say of usage is remembered as billed": [
        "DELETE FROM billed_usage WHERE charge = 'court'",
        "UPDATE invoice_lines SET starts_on = starts_on - 1 WHERE charge = 'court'",
    ],
}


async def test_numbers_under_another_prefix_and_back_leave_no_gap(engine, open_books: OpenBooks):
    async with open_books() as books:
        await books.collections.put(s.collection(3))
        await issued(books, 3, entity=replace(s.ENTITY, invoice_prefix="IX"))
        await books.collections.put(s.collection(4))
        back = await issued(books, 4)
    assert back.number == "IW-2026-000003"
    assert await violations(engine) == []


async def test_right_books_violate_nothing(engine):
    assert await violations(engine) == []


def test_every_invariant_has_a_fault():
    assert FAULTS.keys() == INVARIANTS.keys()


async def test_each_fault_is_found_by_its_invariant(engine):
    missed = []
    for name, faults in FAULTS.items():
        for fault in faults:
            async with engine.connect() as connection:
                await connection.execute(text(fault))
                if name not in {violation.name for violation in await violations_in(connection)}:
                    missed.append(fault)
    assert not missed


async def test_a_violation_shows_the_rows(engine, pool):
    await pool.execute("UPDATE payments SET attempt = 2")
    (violation,) = await violations(engine)
    assert violation.name == "attempts are numbered without a gap"
    assert violation.rows == ({"invoice_id": "inv_1", "attempts": 1, "highest": 2},)
