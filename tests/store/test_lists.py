"""Lists: all rows once, newest first, in a constant number of statements."""

from dataclasses import replace

import pytest
from sqlalchemy import event

from domain.dunning import CollectionState
from domain.errors import InvalidInput
from domain.ledger import Account
from domain.quote import QuoteState
from store.balances import trial_balance
from store.lists import (
    Asked,
    list_collections,
    list_customers,
    list_events,
    list_invoices,
    list_ledger_entries,
    list_orders,
    list_quotes,
    list_subscriptions,
    suspended_among,
)
from tests.postgres import OpenBooks
from tests.store import samples as s

ALL = Asked(limit=200)
SEVEN = range(1, 8)


@pytest.fixture
async def filled(open_books: OpenBooks):
    """Seven of everything; the odd ones of customer 1, the even ones of customer 2."""
    async with open_books() as books:
        for n in SEVEN:
            owner = f"cus_{2 - n % 2}"
            await books.customers.put(s.customer(n))
            await books.quotes.put(s.quote(n, customer_id=owner))
            await books.orders.put(s.order(n, customer_id=owner))
            await books.subscriptions.put(s.subscription(n, customer_id=owner))
            lines = [s.line(n * 100), s.line(-n * 10), s.line(1)]
            await books.invoices.put(s.invoice(n, *lines, customer_id=owner, subscription_id=f"sub_{n}"))
            await books.collections.put(s.collection(n, customer_id=owner))
            await books.payments.put(s.payment(2 * n, invoice_id=f"inv_{n}", attempt=2))
            await books.payments.put(s.payment(2 * n - 1, invoice_id=f"inv_{n}", attempt=1))
            await books.ledger.post(s.posting(f"invoice/inv_{n}", n, customer_id=owner))
            await books.audit.add(s.event(n, customer_id=owner))


class Statements:
    def __init__(self, engine) -> None:
        self.count = 0
        event.listen(engine.sync_engine, "before_cursor_execute", self._counted)

    def _counted(self, *_):
        self.count += 1


async def walked(ask, limit: int = 3):
    """Everything, page by page."""
    found, cursor = [], None
    while True:
        page = await ask(Asked(limit=limit, cursor=cursor))
        assert len(page.data) <= limit
        found += page.data
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
async def test_every_row_is_on_one_page(engine, filled, limit: int):
    for list_, name in (
        (list_customers, lambda row: row.id),
        (list_quotes, lambda row: row.id),
        (list_orders, lambda row: row.id),
        (list_subscriptions, lambda row: row.id),
        (list_invoices, lambda row: row.id),
        (list_collections, lambda row: row.collection.invoice_id),
        (list_events, lambda row: row.subject),
    ):
        rows = await walked(lambda asked, list_=list_: list_(engine, asked), limit)
        assert [int(name(row).split("_")[1]) for row in rows] == [7, 6, 5, 4, 3, 2, 1], list_
    assert len(await walked(lambda asked: list_ledger_entries(engine, asked), limit)) == 14


async def test_pages_stay_when_something_new_comes(engine, filled, open_books: OpenBooks):
    first = await list_customers(engine, Asked(limit=2))
    async with open_books() as books:
        await books.customers.put(s.customer(8))
    second = await list_customers(engine, Asked(limit=2, cursor=first.next_cursor))
    assert [customer.id for customer in (*first.data, *second.data)] == ["cus_7", "cus_6", "cus_5", "cus_4"]


async def test_values_come_whole(engine, filled):
    invoices = (await list_invoices(engine, ALL)).data
    owner = {"customer_id": "cus_1", "subscription_id": "sub_7"}
    assert invoices[0] == s.invoice(7, s.line(700), s.line(-70), s.line(1), **owner)
    collected = (await list_collections(engine, ALL)).data[0]
    assert (collected.collection, collected.number) == (s.collection(7, customer_id="cus_1"), "IW-2026-000007")
    assert [payment.attempt for payment in collected.attempts] == [1, 2]
    assert (await list_events(engine, ALL)).data[0] == s.event(7, customer_id="cus_1")
    leg = (await list_ledger_entries(engine, ALL)).data[0]
    assert (leg.cause, leg.account, leg.amount) == ("invoice/inv_7", Account.REVENUE, s.eur(-7))


async def test_each_page_costs_the_same(engine, filled):
    for list_, statements in (
        (list_customers, 1),
        (list_subscriptions, 1),
        (list_invoices, 1),
        (list_collections, 2),
        (list_events, 1),
        (list_ledger_entries, 1),
    ):
        for limit in (1, 7):
            counting = Statements(engine)
            await list_(engine, Asked(limit=limit))
            assert counting.count == statements, list_


async def test_filters(engine, filled, open_books: OpenBooks):
    for name in ("cus_2", "customer-2"):
        for list_ in (list_quotes, list_orders, list_subscriptions, list_invoices, list_collections, list_events):
            assert len((await list_(engine, ALL, customer=name)).data) == 3, list_
    assert len((await list_invoices(engine, ALL, subscription="q3")).data) == 1
    assert len((await list_invoices(engine, ALL, state="paid")).data) == 0
    assert len((await list_ledger_entries(engine, ALL, account="revenue", customer="cus_2")).data) == 3
    assert len((await list_ledger_entries(engine, ALL, cause="invoice/inv_1")).data) == 2
    assert len((await list_events(engine, ALL, type="invoice.")).data) == 7
    assert len((await list_events(engine, ALL, type="invoice")).data) == 0
    assert len((await list_events(engine, ALL, type="invoice.issued", subject="inv_1")).data) == 1
    assert len((await list_events(engine, ALL, subscription_id="sub_9")).data) == 0
    async with open_books() as books:
        await books.quotes.put(s.quote(1).withdrawn(s.AT))
        await books.entitlements.suspend("sub_2", "inv_2", s.AT)
        await books.entitlements.restore("inv_2", s.AT + s.DAY)
    assert [q.id for q in (await list_quotes(engine, ALL, state=QuoteState.WITHDRAWN)).data] == ["quo_1"]
    everybody = [f"sub_{n}" for n in SEVEN]
    assert await suspended_among(engine, everybody, s.AT) == {"sub_2"}
    assert await suspended_among(engine, everybody, s.AT + s.DAY) == frozenset()


async def test_collections_that_are_stuck_or_old(engine, filled, open_books: OpenBooks):
    async def stuck(at):
        return [c.collection.invoice_id for c in (await list_collections(engine, ALL, stuck_at=at)).data]

    acts = s.collection(1).next_action.at
    assert await stuck(acts) == []
    assert len(await stuck(acts + s.DAY)) == 7
    async with open_books() as books:
        await books.collections.put(s.collection(1).paid(s.AT))
        await books.collections.put(replace(s.collection(2), state=CollectionState.STUCK))
    assert await stuck(acts) == ["inv_2"]
    assert len((await list_collections(engine, ALL, due_before=s.collection(1).due_at)).data) == 0
    assert len((await list_collections(engine, ALL, due_before=s.collection(1).due_at + s.DAY)).data) == 6


async def test_a_page_or_cursor_that_cannot_be(engine, filled):
    cursors = ("", "?", "x", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk", "ä")
    for asked in (Asked(limit=0), Asked(limit=201), *(Asked(cursor=cursor) for cursor in cursors)):
        with pytest.raises(InvalidInput):
            await list_customers(engine, asked)


async def test_the_trial_balance(engine, filled, pool):
    balance = await trial_balance(engine)
    assert balance.balanced
    assert [(row.account, row.currency, row.debit.text, row.credit.text) for row in balance.accounts] == [
        (Account.RECEIVABLE, "EUR", "0.28", "0.00"),
        (Account.REVENUE, "EUR", "0.00", "0.28"),
    ]
    await pool.execute("UPDATE ledger_entries SET amount_minor = 5 WHERE cause = 'invoice/inv_1' AND position = 0")
    assert not (await trial_balance(engine)).balanced
