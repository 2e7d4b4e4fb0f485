"""Every book gives back what was put, and holds what it promises."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError

from domain.calendar import Period
from domain.catalog import Flat, PlanRef, Timing
from domain.errors import AlreadyExists, InvalidInput, InvalidState, NotFound
from domain.invoice import InvoiceState
from domain.ledger import Account, Leg
from domain.measure import Measure
from domain.payment import PaymentState
from domain.quote import QuoteState
from domain.subscription import SubscriptionState
from tests.postgres import OpenBooks
from tests.store import samples as s

SOLD = s.quote(state=QuoteState.ACCEPTED)
WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""


async def sold(open_books: OpenBooks) -> None:
    """A customer with a quote, its order and its subscription."""
    async with open_books() as books:
        await books.subscriptions.put(s.subscription())
        await books.orders.put(s.order())
        await books.quotes.put(SOLD)
        await books.customers.put(s.customer())


@pytest.mark.parametrize(
    ("book", "value"),
    [("customers", s.customer()), ("quotes", SOLD), ("orders", s.order()), ("subscriptions", s.subscription())],
)
async def test_what_was_put_is_found_by_id_and_by_key(open_books: OpenBooks, book: str, value):
    await sold(open_books)
    async with open_books() as books:
        shelf = getattr(books, book)
        assert await shelf.get(value.id) == value
        assert await shelf.get(value.key) == value
        assert await shelf.lock(value.key) == value
        with pytest.raises(NotFound):
            await shelf.get("nobody")


async def test_an_id_wins_over_the_key_of_another(open_books: OpenBooks):
    async with open_books() as books:
        await books.customers.put(s.customer(1))
        await books.customers.put(s.customer(2, key="cus_1"))
    async with open_books() as books:
        assert (await books.customers.get("cus_1")).id == "cus_1"


async def test_put_replaces_by_id(open_books: OpenBooks):
    await sold(open_books)
    async with open_books() as books:
        await books.customers.put(s.customer(name="Ada Bär", key="renamed"))
    async with open_books() as books:
        assert (await books.customers.get("renamed")).name == "Ada Bär"


async def test_a_taken_key_is_refused(open_books: OpenBooks):
    await sold(open_books)
    for book, value in [("quotes", s.quote(2, key="q1")), ("customers", s.customer(2, key="customer-1"))]:
        with pytest.raises(AlreadyExists):
            async with open_books() as books:
                await getattr(books, book).put(value)


async def test_what_fails_leaves_nothing(open_books: OpenBooks):
    with suppress(ZeroDivisionError):
        async with open_books() as books:
            await books.customers.put(s.customer())
            raise ZeroDivisionError
    async with open_books() as books:
        with pytest.raises(NotFound):
            await books.customers.get("cus_1")


async def test_a_lock_holds_until_the_transaction_ends(open_books: OpenBooks, pool: asyncpg.Pool):
    await sold(open_books)
    order: list[str] = []

    async def second() -> None:
        async with open_books() as books:
            await books.customers.lock("cus_1")
            order.append("second")

    async with open_books() as books:
        await books.customers.lock("cus_1")
        waiting = asyncio.create_task(second())
        async with asyncio.timeout(30):
            while not await pool.fetchval(WAITS_FOR_A_LOCK):
                pass
        # A row that refers to the one we hold does not wait.
        async with open_books() as others:
            await others.quotes.put(s.quote(7))
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def test_what_a_customer_had_before_and_still_had_is_found_oldest_first(open_books: OpenBooks):
    await sold(open_books)
    async with open_books() as books:
        await books.customers.put(s.customer(2))
        for n, changed in enumerate(
            [
                {"activated_at": s.AT + s.DAY},
                {"activated_at": s.AT - s.DAY},
                {"activated_at": s.AT, "customer_id": "cus_2"},
                {"activated_at": s.AT, "state": SubscriptionState.ENDED, "ended_at": s.AT + s.DAY},
                {"activated_at": s.AT, "state": SubscriptionState.ENDED, "ended_at": s.AT + 2 * s.DAY},
                {"activated_at": s.AT},
            ],
            start=2,
        ):
            await books.quotes.put(s.quote(n))
            await books.orders.put(s.order(n))
            await books.subscriptions.put(s.subscription(n, **changed))
    async with open_books() as books:
        found = await books.subscriptions.older_than(await books.subscriptions.get("sub_7"), s.AT + s.DAY)
    # Of two of one instant the lower id is older; what had ended by then is nothing to it.
    assert [one.id for one in found] == ["sub_3", "sub_1", "sub_6"]


class TestCatalog:
    async def test_nothing_was_applied_yet(self, open_books: OpenBooks):
        async with open_books() as books:
            with pytest.raises(NotFound):
                await books.catalog.current()

    async def test_a_changed_plan_gets_the_next_version_an_unchanged_one_keeps_its_own(self, open_books: OpenBooks):
        yoga = s.plan("yoga", charges=(Flat(key="fee", timing=Timing.ADVANCE, amount=Decimal("9.0")),))
        same_yoga = replace(yoga, charges=(replace(yoga.charges[0], amount=Decimal("9.00")),))
        async with open_books() as books:
            await books.catalog.apply(s.price_book(s.plan(), yoga), s.AT)
        async with open_books() as books:
            applied = await books.catalog.apply(s.price_book(s.plan(trial_days=7), same_yoga), s.AT)
            assert [plan.ref for plan in applied.plans] == [PlanRef("all-access", 2), PlanRef("yoga", 1)]
        async with open_books() as books:
            assert await books.catalog.current() == applied
            found = await books.catalog.plans([PlanRef("all-access", 1), PlanRef("all-access", 2)])
            assert [found[PlanRef("all-access", n)].trial_days for n in (1, 2)] == [14, 7]
            assert found[PlanRef("all-access", 1)] == s.plan()
            with pytest.raises(NotFound, match="yoga in version 9"):
                await books.catalog.plans([PlanRef("yoga", 9)])
            assert await books.catalog.plans([]) == {}

    async def test_the_same_book_again_changes_nothing(self, open_books: OpenBooks, pool):
        for _ in range(2):
            async with open_books() as books:
                assert (await books.catalog.apply(s.price_book(), s.AT)).plans[0].version == 1
        assert [await pool.fetchval(f"SELECT count(*) FROM {table}") for table in ("plans", "price_books")] == [1, 1]

    async def test_two_applications_at_once_follow_each_other(self, open_books: OpenBooks):
        async def apply(days: int) -> int:
            async with open_books() as books:
                return (await books.catalog.apply(s.price_book(s.plan(trial_days=days)), s.AT)).plans[0].version

        assert sorted(await asyncio.gather(*(apply(days) for days in range(6)))) == [1, 2, 3, 4, 5, 6]

    async def test_a_meter_that_is_no_more_in_the_book_still_measures(self, open_books: OpenBooks):
        async with open_books() as books:
            await books.catalog.apply(s.price_book(), s.AT)
            await books.catalog.apply(s.price_book(meters=()), s.AT)
            measure = Measure("court_hours", s.AT, s.AT + s.DAY)
            assert (await books.usage.measured("cus_1", [measure]))[measure].quantity == 0

    async def test_what_is_sold_keeps_its_meaning(self, open_books: OpenBooks):
        """It rates closed periods again: another meaning would bill them by what was not agreed."""
        async with open_books() as books:
            await books.catalog.apply(s.price_book(), s.AT)
        await sold(open_books)
        renamed = s.price_book(meters=(s.meter(event="court.hired"), *s.price_book().meters[1:]))
        with pytest.raises(InvalidInput, match="event: cannot change while court_hours is sold or offered"):
            async with open_books() as books:
                await books.catalog.apply(renamed, s.AT)
        async with open_books() as books:
            assert await books.catalog.current() == s.price_book()
            over = s.subscription(state=SubscriptionState.ENDED, ended_at=s.AT, late_until=s.AT + s.DAY)
            await books.subscriptions.put(over)
            await books.orders.put(s.order().completed(subscription_id="sub_1", at=s.AT))
        with pytest.raises(InvalidInput):
            async with open_books() as books:
                await books.catalog.apply(renamed, s.AT)
        async with open_books() as books:
            await books.subscriptions.put(replace(over, late_until=None))
            assert await books.catalog.apply(renamed, s.AT) == renamed

    async def test_what_a_quote_offers_keeps_its_meaning_while_it_is_open(self, open_books: OpenBooks):
        renamed = s.price_book(meters=(s.meter(event="court.hired"), *s.price_book().meters[1:]))
        async with open_books() as books:
            await books.catalog.apply(s.price_book(), s.AT)
            await books.customers.put(s.customer())
            await books.quotes.put(s.quote(1))
        with pytest.raises(InvalidInput, match="event: cannot change while court_hours"):
            async with open_books() as books:
                await books.catalog.apply(renamed, s.AT)
        async with open_books() as books:
            await books.quotes.put(s.quote(1, state=QuoteState.EXPIRED))
            assert await books.catalog.apply(renamed, s.AT) == renamed

    async def test_a_feature_that_is_no_more_in_the_book_is_still_known(self, open_books: OpenBooks):
        async with open_books() as books:
            await books.catalog.apply(s.price_book(), s.AT)
            await books.catalog.apply(s.price_book(features=()), s.AT)
            assert {feature.key for feature in await books.catalog.features()} == {"weights", "pool", "guests"}


class TestInvoices:
    async def test_a_draft_may_be_replaced_a_finalized_one_only_moves(self, open_books: OpenBooks):
        await sold(open_books)
        async with open_books() as books:
            await books.invoices.put(s.draft(1))
        async with open_books() as books:
            assert await books.invoices.find("inv_1") == s.draft(1)
            await books.invoices.put(s.invoice(1, s.line(5_00)))
        async with open_books() as books:
            invoice = await books.invoices.lock("IW-2026-000001")
            assert invoice == s.invoice(1, s.line(5_00))
            await books.invoices.put(invoice.paid_with(s.eur(2_00), s.AT))
            await books.invoices.put(invoice.paid_with(invoice.outstanding, s.AT))
        async with open_books() as books:
            paid = await books.invoices.get("inv_1")
            assert (paid.state, paid.lines) == (InvoiceState.PAID, invoice.lines)
            for changed in (
                replace(paid, lines=(s.line(5_01),)),
                replace(paid, due_at=s.AT),
                replace(paid, seller=replace(s.ENTITY, legal_name="Another Ltd")),
                replace(paid, buyer=s.customer(name="Another").buyer),
                replace(paid, period=Period(s.JANUARY.starts_on, s.JANUARY.starts_on)),
            ):
                with pytest.raises(InvalidState):
                    await books.invoices.put(changed)

    async def test_one_without_lines_or_taxes_is_found_too(self, open_books: OpenBooks):
        await sold(open_books)
        bare = replace(s.draft(1), lines=(), taxes=())
        async with open_books() as books:
            assert await books.invoices.find("inv_1") is None
            await books.invoices.put(bare)
        async with open_books() as books:
            assert await books.invoices.get("inv_1") == bare

    async def test_a_number_is_given_once(self, open_books: OpenBooks):
        await sold(open_books)
        async with open_books() as books:
            await books.invoices.put(s.invoice(1))
        with pytest.raises(AlreadyExists):
            async with open_books() as books:
                await books.invoices.put(replace(s.invoice(2), number="IW-2026-000001"))

    async def test_of_two_writers_of_one_invoice_the_second_has_to_look_again(self, open_books: OpenBooks):
        await sold(open_books)
        async with open_books() as first:
            assert await first.invoices.find("inv_1") is None
            async with open_books() as second:
                await second.invoices.put(s.invoice(1))
            with pytest.raises(IntegrityError):
                await first.invoices.put(s.invoice(1))

    async def test_numbers_are_gapless_whoever_fails(self, open_books: OpenBooks):
        async def number(n: int) -> str | None:
            with suppress(ZeroDivisionError):
                async with open_books() as books:
                    given = await books.invoices.next_number(s.ENTITY, 2026)
                    await asyncio.sleep(0)
                    assert 1 / (n % 3)
                    return given
            return None

        given = [number for number in await asyncio.gather(*(number(n) for n in range(30))) if number]
        assert sorted(given) == [f"IW-2026-{n:06d}" for n in range(1, 21)]
        async with open_books() as books:
            assert await books.invoices.next_number(s.ENTITY, 2027) == "IW-2027-000001"
            spa = replace(s.ENTITY, invoice_prefix="SP")
            assert await books.invoices.next_number(spa, 2026) == "SP-2026-000001"

    async def test_numbers_go_on_when_the_seller_is_renamed(self, open_books: OpenBooks):
        async with open_books() as books:
            renamed = replace(s.ENTITY, key="iron", legal_name="Iron Works and Sons Ltd")
            given = [await books.invoices.next_number(seller, 2026) for seller in (s.ENTITY, renamed)]
        assert given == ["IW-2026-000001", "IW-2026-000002"]

    async def test_what_was_billed_of_usage_is_kept_per_part_and_charge(self, open_books: OpenBooks):
        await sold(open_books)
        early, late = s.billed(starts=s.AT - 60 * s.DAY), s.billed("pool")
        async with open_books() as books:
            await books.invoices.remember_billed("sub_1", [late, s.billed("court"), early])
            await books.invoices.remember_billed("sub_1", [s.billed("court", minor=250)])
            await books.invoices.remember_billed("sub_1", [])
        async with open_books() as books:
            found = await books.invoices.billed_since(["sub_1", "sub_2"], s.AT)
            assert found == {"sub_1": (late, s.billed("court", minor=250)), "sub_2": ()}
            found = await books.invoices.billed_since(["sub_1"], s.AT - timedelta(days=99))
            assert found["sub_1"][0] == early


class TestPaymentsAndCollections:
    async def test_attempts_are_found_by_all_their_names(self, open_books: OpenBooks):
        await sold(open_books)
        async with open_books() as books:
            await books.invoices.put(s.invoice(1))
            await books.payments.put(s.payment(2))
            await books.payments.put(s.payment(1))
            await books.payments.put(s.payment(1, state=PaymentState.FAILED, decline_code="do_not_honor"))
        async with open_books() as books:
            first, second = await books.payments.of_invoice("inv_1")
            assert (first.decline_code, second) == ("do_not_honor", s.payment(2))
            assert await books.payments.by_intent("pi_1") == second
            assert await books.payments.get("pay_1") == first
            assert await books.payments.get("pay_9") is None
            assert await books.payments.by_intent("pi_9") is None

    async def test_an_attempt_has_one_payment(self, open_books: OpenBooks):
        await sold(open_books)
        async with open_books() as books:
            await books.invoices.put(s.invoice(1))
            await books.payments.put(s.payment(1))
        with pytest.raises(AlreadyExists):
            async with open_books() as books:
                await books.payments.put(s.payment(2, attempt=1))

    async def test_a_collection_goes_by_its_invoice(self, open_books: OpenBooks):
        await sold(open_books)
        async with open_books() as books:
            await books.invoices.put(s.invoice(1))
            await books.invoices.put(s.invoice(2))
            await books.collections.put(s.collection(1))
            await books.collections.put(s.collection(2))
        async with open_books() as books:
            assert await books.collections.get("inv_1") == s.collection(1)
            assert await books.collections.lock("IW-2026-000001") == s.collection(1)
            assert await books.collections.open_of("cus_1") == (s.collection(1), s.collection(2))
            await books.collections.put(s.collection(1).paid(s.AT))
            assert await books.collections.open_of("cus_1") == (s.collection(2),)
            assert await books.collections.open_of("cus_2") == ()
            with pytest.raises(NotFound):
                await books.collections.get("inv_3")


class TestLedgerAndAudit:
    async def test_a_cause_is_posted_once_and_whole(self, open_books: OpenBooks):
        three = s.posting(legs=(*s.posting().legs, Leg(Account.CASH, s.eur(5)), Leg(Account.BAD_DEBT, s.eur(-5))))

        async def post(posting) -> None:
            async with open_books() as books:
                await books.ledger.post(posting)

        await asyncio.gather(post(s.posting()), post(s.posting()), post(s.posting()))
        await post(three)
        async with open_books() as books:
            assert await books.ledger.balance(Account.RECEIVABLE, "cus_1", "EUR") == s.eur(10_71)
            assert await books.ledger.balance(Account.CASH, "cus_1", "EUR") == s.eur(0)
            assert await books.ledger.balance(Account.RECEIVABLE, "cus_2", "EUR") == s.eur(0)
            await books.ledger.post(s.posting("nothing", legs=()))

    async def test_an_event_is_told_once_per_cause_and_type(self, open_books: OpenBooks, pool):
        async with open_books() as books:
            await books.audit.add(s.event(1), s.event(1), s.event(1, type="invoice.paid"))
            await books.audit.add()
        async with open_books() as books:
            await books.audit.add(s.event(1, data={"total": "other"}), s.event(2))
        rows = await pool.fetch("SELECT type, cause, data FROM audit_events ORDER BY seq")
        assert [(row["type"], row["cause"]) for row in rows] == [
            ("invoice.issued", "inv_1"),
            ("invoice.paid", "inv_1"),
            ("invoice.issued", "inv_2"),
        ]
        assert rows[0]["data"] == '{"total": "10.71"}'


class TestEntitlements:
    async def test_held_of_one_feature_or_of_all(self, open_books: OpenBooks):
        await sold(open_books)
        weights = s.entitlement(2, feature="weights", starts_at=s.AT - s.DAY)
        async with open_books() as books:
            await books.entitlements.put([s.entitlement(1), weights, s.entitlement(1)])
            await books.entitlements.put([])
            assert await books.entitlements.of("cus_1") == (weights, s.entitlement(1))
            assert await books.entitlements.of("cus_1", "pool") == (s.entitlement(1),)

    async def test_an_end_cuts_what_reaches_beyond_it(self, open_books: OpenBooks):
        await sold(open_books)
        at = s.AT + s.DAY
        ended = s.entitlement(2, ends_at=s.AT + s.DAY / 2)
        async with open_books() as books:
            await books.entitlements.put([s.entitlement(1), ended, s.entitlement(3, ends_at=s.AT + 9 * s.DAY)])
            await books.entitlements.end("sub_1", at)
            assert await books.entitlements.of("cus_1") == (
                s.entitlement(1, ends_at=at),
                ended,
                s.entitlement(3, ends_at=at),
            )

    async def test_suspended_once_per_invoice_until_restored(self, open_books: OpenBooks):
        await sold(open_books)
        async with open_books() as books:
            for at in (s.AT, s.AT + s.DAY):
                await books.entitlements.suspend("sub_1", "inv_1", at)
            await books.entitlements.restore("inv_1", s.AT + 2 * s.DAY)
            await books.entitlements.restore("inv_1", s.AT + 3 * s.DAY)
            await books.entitlements.restore("inv_9", s.AT)
            suspended = [await books.entitlements.suspended("cus_1", s.AT + n * s.DAY) for n in (-1, 0, 1, 2)]
            assert suspended == [frozenset(), {"sub_1"}, {"sub_1"}, frozenset()]
            assert await books.entitlements.suspended("cus_2", s.AT) == frozenset()
