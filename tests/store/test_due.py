"""What is due, and what is open."""

from datetime import timedelta

from domain.order import OrderState
from domain.subscription import SubscriptionState
from store.due import Due, due_by, open_lifecycles
from tests.postgres import OpenBooks
from tests.store import samples as s


async def test_everything_open_is_due_at_its_next_action_and_nothing_closed(open_books: OpenBooks, engine):
    async with open_books() as books:
        await books.customers.put(s.customer())
        for n in (1, 2):
            await books.quotes.put(s.quote(n))
            await books.orders.put(s.order(n))
            await books.subscriptions.put(s.subscription(n))
            await books.invoices.put(s.invoice(n))
            await books.collections.put(s.collection(n))
    everything = [(kind, f"{prefix}_{n}") for kind, prefix in _KINDS for n in (1, 2)]
    due = await due_by(engine, s.AT + timedelta(days=99))
    assert sorted((kind, id_) for kind, id_, _ in due) == sorted(everything)
    assert due == sorted(due, key=lambda one: one.at)
    assert [type(value).__name__.lower() for value in await open_lifecycles(engine)] == [k for k, _ in everything]

    next_boundary = s.subscription().next_due_at
    boundary = Due("subscription", "sub_1", next_boundary)
    assert boundary in await due_by(engine, next_boundary)
    assert boundary not in await due_by(engine, next_boundary - timedelta(microseconds=1))

    async with open_books() as books:
        await books.quotes.put(s.quote(1).withdrawn(s.AT))
        await books.orders.put(s.order(1, state=OrderState.CANCELLED))
        await books.subscriptions.put(s.subscription(1, state=SubscriptionState.ENDED))
        await books.collections.put(s.collection(1).paid(s.AT))
    assert {id_ for _, id_, _ in await due_by(engine, s.AT + timedelta(days=99))} == {f"{p}_2" for _, p in _KINDS}
    assert await open_lifecycles(engine) == [s.quote(2), s.order(2), s.subscription(2), s.collection(2)]


_KINDS = (("quote", "quo"), ("order", "ord"), ("subscription", "sub"), ("collection", "inv"))
