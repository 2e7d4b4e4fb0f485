"""Checks: the answer of the domain, from two statements."""

from decimal import Decimal

import pytest

from domain.catalog import FeatureType, Overage
from domain.errors import NotFound
from store.checks import check, check_all
from store.usage import StoredEvent, record
from tests.postgres import OpenBooks
from tests.store import samples as s

AT = s.AT + 3 * s.DAY


class Counting:
    """A pool that counts what is asked of it."""

    def __init__(self, pool) -> None:
        self.pool, self.statements = pool, 0

    async def fetch(self, query, *args):
        self.statements += 1
        return await self.pool.fetch(query, *args)


@pytest.fixture
async def sold(open_books: OpenBooks):
    async with open_books() as books:
        await books.catalog.apply(s.price_book(), s.AT)
        await books.customers.put(s.customer())
        await books.customers.put(s.customer(2))
        for n in (1, 2):
            await books.quotes.put(s.quote(n))
            await books.orders.put(s.order(n))
            await books.subscriptions.put(s.subscription(n))
        await books.entitlements.put(
            [
                s.entitlement(1, rollover=None),
                s.entitlement(2, subscription_id="sub_2", rollover=None, limit=Decimal(2)),
                s.entitlement(3, feature="guests", type=FeatureType.STATIC, meter=None, windows=None, value="2"),
                s.entitlement(4, ends_at=s.AT + s.DAY),
            ]
        )


async def entered(pool, n: int, time=AT) -> None:
    events = [
        StoredEvent(customer_id="cus_1", source="door", id=f"{time}{k}", type="pool.entered", time=time, data={})
        for k in range(n)
    ]
    await record(pool, events, time)


async def test_limits_of_several_subscriptions_add_up(pool, sold):
    await entered(pool, 3)
    await entered(pool, 5, s.AT)
    answer = await check(pool, "customer-1", "pool", AT)
    assert (answer.allowed, answer.limit, answer.used, answer.remaining) == (True, "10", "3", "7")
    await entered(pool, 8, AT + s.DAY)
    answer = await check(pool, "cus_1", "pool", AT + s.DAY)
    assert (answer.allowed, answer.reason, answer.used, answer.remaining) == (False, "limit_reached", "11", "0")


async def test_what_was_left_rolls_over(pool, sold, open_books: OpenBooks):
    async with open_books() as books:
        await books.entitlements.put([s.entitlement(1), s.entitlement(2, ends_at=s.AT)])
    await entered(pool, 5, s.AT)
    assert (await check(pool, "cus_1", "pool", AT)).limit == "11"


async def test_without_windows_all_use_ever_counts(pool, sold, open_books: OpenBooks):
    async with open_books() as books:
        await books.entitlements.put([s.entitlement(n, windows=None, rollover=None) for n in (1, 2)])
    await entered(pool, 2, s.AT - 90 * s.DAY)
    await entered(pool, 1)
    answer = await check(pool, "cus_1", "pool", AT)
    assert (answer.used, answer.resets_at) == ("3", None)


async def test_suspension_shuts_and_payment_opens(pool, sold, open_books: OpenBooks):
    async with open_books() as books:
        await books.entitlements.suspend("sub_1", "inv_1", s.AT)
    assert (await check(pool, "cus_1", "guests", AT)).reason == "suspended"
    assert (await check(pool, "cus_1", "pool", AT)).limit == "2"
    async with open_books() as books:
        await books.entitlements.restore("inv_1", AT)
    assert (await check(pool, "cus_1", "guests", AT)).value == "2"


async def test_over_a_soft_limit_is_allowed(pool, sold, open_books: OpenBooks):
    async with open_books() as books:
        await books.entitlements.put([s.entitlement(n, rollover=None, overage=Overage.ALLOW) for n in (1, 2)])
    await entered(pool, 30)
    assert (await check(pool, "cus_1", "pool", AT)).reason == "overage_allowed"


async def test_all_features_at_once_and_a_constant_number_of_statements(pool, sold):
    counting = Counting(pool)
    answers = await check_all(counting, "customer-1", AT)
    assert {key: answer.reason for key, answer in answers.items()} == {
        "guests": "granted",
        "pool": "granted",
        "weights": "not_entitled",
    }
    assert counting.statements == 2
    await check(counting, "cus_1", "pool", AT)
    assert counting.statements == 4
    await check(counting, "cus_1", "weights", AT)
    assert counting.statements == 5
    assert not (await check(pool, "cus_2", "pool", AT)).allowed


async def test_who_or_what_is_unknown(pool, sold):
    for customer, feature in (("nobody", "pool"), ("cus_1", "sauna")):
        with pytest.raises(NotFound):
            await check(pool, customer, feature, AT)
    with pytest.raises(NotFound):
        await check_all(pool, "nobody", AT)
