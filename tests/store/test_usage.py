"""Usage: an event counts once, whoever sends it how often; what SQL measures is what the domain defines."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import first_instant
from domain.catalog import Aggregation, Meter
from domain.errors import NotFound
from domain.measure import Measure
from domain.metering import Event, Span, grouped
from domain.metering import measured as defined
from store.books import open_books as books_of
from store.connections import engine_of, pool_of
from store.usage import StoredEvent, UsageWindow, record, usage_by_window, windows_used
from tests.postgres import TEMPLATE, Databases, OpenBooks
from tests.store import samples as s

HOUR = timedelta(hours=1)
METERS = tuple(Meter(key=a.value, event="booked", aggregation=a, value="hours") for a in Aggregation)


def used(n: int, value: Any = "1", *, time: datetime = s.AT, customer: str = "cus_1", **data: Any) -> StoredEvent:
    return StoredEvent(
        customer_id=customer, source="app", id=f"e{n}", type="booked", time=time, data={"hours": value, **data}
    )


class TestRecord:
    async def test_an_event_is_new_once(self, pool):
        twice = [used(1), used(2), used(1, "9")]
        assert await record(pool, twice, s.AT) == [True, True, False]
        assert await record(pool, [used(2), used(3), used(2, customer="cus_2")], s.AT) == [False, True, True]
        assert await record(pool, [], s.AT) == []
        assert await pool.fetchval("SELECT data ->> 'hours' FROM usage_events WHERE id = 'e1'") == "1"

    async def test_many_writers_of_the_same_events_store_each_once(self, pool):
        events = [used(n) for n in range(200)]
        batches = [events[k:] + events[:k] for k in range(0, 200, 20)]
        answers = await asyncio.gather(*(record(pool, batch, s.AT) for batch in batches))
        assert sum(map(sum, answers)) == 200
        assert await pool.fetchval("SELECT count(*) FROM usage_events") == 200

    async def test_a_number_that_json_cannot_say_is_kept_as_text(self, pool):
        assert await record(pool, [used(1, float("inf")), used(2, float("nan"))], s.AT) == [True, True]
        assert await pool.fetchval("SELECT array_agg(data ->> 'hours' ORDER BY id) FROM usage_events") == [
            "Infinity",
            "NaN",
        ]

    async def test_any_json_comes_back_as_it_was(self, pool):
        data = {"hours": 1.5, "who": "Ä\n\"'\\ 😀", "list": [1, None, {"a": True}], "big": 12345678901234567890}
        await record(pool, [StoredEvent(customer_id="c", source="s", id="i", type="t", time=s.AT, data=data)], s.AT)
        assert await pool.fetchval("SELECT data = $1::jsonb FROM usage_events", json.dumps(data))


async def measure(open_books: OpenBooks, *measures: Measure) -> dict[Measure, Any]:
    async with open_books() as books:
        return await books.usage.measured("cus_1", measures)


class TestMeasured:
    @pytest.fixture(autouse=True)
    async def meters(self, open_books: OpenBooks):
        async with open_books() as books:
            await books.catalog.apply(s.price_book(meters=METERS), s.AT)

    async def test_the_edges_are_half_open_and_the_customer_is_alone(self, open_books: OpenBooks, pool):
        tick = timedelta(microseconds=1)
        times = [s.AT - tick, s.AT, s.AT + HOUR - tick, s.AT + HOUR]
        await record(pool, [used(n, str(10**n), time=time) for n, time in enumerate(times)], s.AT)
        await record(pool, [used(9, time=s.AT, customer="cus_2")], s.AT)
        asked = Measure("sum", s.AT, s.AT + HOUR)
        assert (await measure(open_books, asked))[asked].quantity == 110

    async def test_thirds_stay_thirds_and_long_sums_exact(self, open_books: OpenBooks, pool):
        values = ["0.000000000000000000000000000001", "100000000000000000000000000000", 2]
        await record(pool, [used(n, value) for n, value in enumerate(values)], s.AT)
        total, average = (Measure(key, s.AT, s.AT + HOUR) for key in ("sum", "average"))
        found = await measure(open_books, total, average)
        assert found[total].quantity == sum(Fraction(str(value)) for value in values)
        assert found[average].quantity == found[total].quantity / 3

    async def test_a_level_is_averaged_from_where_its_first_day_began(self, open_books: OpenBooks, pool):
        await record(pool, [used(1, "4", time=s.AT - HOUR)], s.AT)
        asked = Measure("weighted_sum", s.AT, s.AT + HOUR, opens_at=s.AT - 3 * HOUR)
        assert (await measure(open_books, asked))[asked].quantity == 1
        nothing = Measure("weighted_sum", s.AT, s.AT, opens_at=s.AT)
        assert (await measure(open_books, nothing))[nothing].quantity == 0

    async def test_without_events_all_is_zero(self, open_books: OpenBooks):
        asked = [
            Measure(meter.key, s.AT, s.AT + HOUR, ("court",), events) for meter in METERS for events in (False, True)
        ]
        for usage in (await measure(open_books, *asked)).values():
            assert (usage.quantity, usage.groups) == (0, {})

    async def test_events_stand_in_time_order_with_their_properties(self, open_books: OpenBooks, pool):
        late, early = used(1, "2.50", time=s.AT + HOUR / 2, court=1, peak=True, no=None), used(2, 3)
        await record(pool, [late, early, used(3, "not a number"), used(4, None)], s.AT)
        asked = Measure("sum", s.AT, s.AT + HOUR, (), True)
        usage = (await measure(open_books, asked))[asked]
        assert usage.quantity == Fraction("5.5")
        assert [(event.value, event.time) for event in usage.events] == [
            (Decimal(3), early.time),
            (Decimal("2.50"), late.time),
        ]
        assert usage.events[1].properties == {"hours": "2.50", "court": "1", "peak": "true"}

    async def test_an_unknown_meter_is_not_found(self, open_books: OpenBooks):
        with pytest.raises(NotFound, match="cardio"):
            await measure(open_books, Measure("cardio", s.AT, s.AT + HOUR))

    async def test_what_is_no_number_counts_for_no_number(self, open_books: OpenBooks, pool):
        odd = ["", "1e5000", "NaN", " 1", "1_0", "0x1", True, [1], {"a": 1}, None, "Infinity", "--1", "."]
        await record(pool, [used(n, value) for n, value in enumerate(odd)] + [used(99, "+.5e1")], s.AT)
        asked = [Measure(meter.key, s.AT, s.AT + HOUR) for meter in METERS]
        found = {asked.meter: usage.quantity for asked, usage in (await measure(open_books, *asked)).items()}
        assert {found[key] for key in ("sum", "max", "min", "latest", "average", "weighted_sum")} == {5}
        assert (found["count"], found["unique_count"]) == (14, 13)


VALUES = st.decimals(min_value=-1000, max_value=1000, places=4).map(lambda value: f"{value:f}")
EVENTS = st.lists(
    st.tuples(VALUES, st.integers(-3, 9), st.sampled_from(["1", "2", ""]), st.booleans()), min_size=1, max_size=12
)
PERIOD = Span(s.AT, s.AT + 6 * HOUR)
CLAIMS = (), (Span(s.AT, s.AT + HOUR), Span(s.AT + 2 * HOUR, s.AT + 4 * HOUR))


def test_sql_measures_what_the_domain_defines(databases: Databases):
    """For every aggregation, with groups and without, by event and summed, also where others have claimed a part."""
    examples = count(1)
    with asyncio.Runner() as runner:
        world = runner.run(_open(databases))

        @given(events=EVENTS)
        @settings(max_examples=40, deadline=None)
        def compare(events: list[tuple[str, int, str, bool]]) -> None:
            customer = f"cus_{next(examples)}"
            stored = [
                used(n, value, customer=customer, time=s.AT + hour * HOUR, **({"court": court} if placed else {}))
                for n, (value, hour, court, placed) in enumerate(events)
            ]
            runner.run(_compare(world, customer, stored))

        compare()
        runner.run(world.close())


class World:
    """A database with all meters, outside of pytest's own loops."""

    def __init__(self, url: str, pool) -> None:
        self.engine, self.pool = engine_of(url), pool

    async def close(self) -> None:
        await self.pool.close()
        await self.engine.dispose()


async def _open(databases: Databases) -> World:
    await databases.server.create_database("compared", template=TEMPLATE)
    url = databases.server.url("compared")
    world = World(url, await pool_of(url))
    async with books_of(world.engine)() as books:
        await books.catalog.apply(s.price_book(meters=METERS), s.AT)
    return world


async def _compare(world: World, customer: str, stored: list[StoredEvent]) -> None:
    await record(world.pool, stored, s.AT)
    start, end = PERIOD.starts_at, PERIOD.ends_at
    spans = [
        (meter, Measure(meter.key, start, end, ("court",), by, without))
        for meter in METERS
        for by in (False, True)
        for without in CLAIMS
    ]
    async with books_of(world.engine)() as books:
        found = await books.usage.measured(customer, [asked for _, asked in spans])
    for meter, asked in spans:
        # A level by event is never asked for: what came before the period has no event in it.
        if not (asked.events and meter.aggregation is Aggregation.WEIGHTED_SUM):
            assert (found[asked].quantity, found[asked].groups) == _defined(meter, stored, asked.without), asked


def _defined(meter: Meter, stored: list[StoredEvent], without: tuple[Span, ...]) -> tuple[Fraction, Any]:
    level = meter.aggregation is Aggregation.WEIGHTED_SUM
    counting = [
        Event(
            value=Decimal(e.data["hours"]),
            properties={"court": e.data.get("court", "")},
            time=e.time,
            unique=e.data["hours"],
        )
        # At one instant the event that was stored last is the latest.
        for e in sorted(stored, key=lambda e: (e.time, e.source, e.id))
        if e.time < PERIOD.ends_at and (level or e.time >= PERIOD.starts_at)
        if level or not any(span.holds(e.time) for span in without)
    ]
    usage = defined(meter.aggregation, counting, ("court",), PERIOD)
    groups = grouped(meter.aggregation, counting, ("court",), PERIOD)
    if not level:
        return usage.quantity, groups
    # A level is claimed for as long as the claim holds.
    off = [
        (grouped(meter.aggregation, [e for e in counting if e.time < span.ends_at], ("court",), span), share)
        for span in without
        for share in [Fraction((span.ends_at - span.starts_at) / HOUR) / 6]
    ]
    left = {
        group: quantity - sum(found.get(group, Fraction(0)) * share for found, share in off)
        for group, quantity in groups.items()
    }
    return sum(left.values(), Fraction(0)), left


class TestWindows:
    METER = Meter(key="entries", event="booked", aggregation=Aggregation.SUM, value="hours")

    async def test_weeks_across_the_change_of_the_clock(self, pool):
        days = [date(2026, 3, 23), date(2026, 3, 30), date(2026, 4, 6)]
        edges = tuple(first_instant(day, "Europe/Berlin") for day in days)
        assert [b - a for a, b in pairwise(edges)] == [timedelta(hours=167), timedelta(days=7)]
        times = ["03-22T22:59", "03-22T23:00", "03-29T21:59", "03-29T22:00", "04-05T21:59", "04-05T22:00"]
        at = [datetime.fromisoformat(f"2026-{time}").replace(tzinfo=UTC) for time in times]
        await record(pool, [used(n, str(10**n), time=time) for n, time in enumerate(at)], s.AT)
        assert await windows_used(pool, "cus_1", [(self.METER, edges)]) == [[110, 11000]]

    async def test_many_questions_are_one_statement(self, pool):
        await record(pool, [used(1, "2"), used(2, "3", time=s.AT + HOUR)], s.AT)
        edges = (s.AT, s.AT + HOUR, s.AT + 2 * HOUR, s.AT + 3 * HOUR)
        level = Meter(key="level", event="booked", aggregation=Aggregation.WEIGHTED_SUM, value="hours")
        asked = [(self.METER, edges), (self.METER, ()), (level, edges), (level, ()), (self.METER, edges[:2])]
        assert await windows_used(pool, "cus_1", asked) == [[2, 3, 0], [5], [2, 5, 5], [0], [2]]
        assert await windows_used(pool, "cus_2", asked[:2]) == [[0, 0, 0], [0]]
        assert await windows_used(pool, "cus_2", []) == []

    async def test_a_report_by_window_and_group(self, pool, open_books: OpenBooks):
        async with open_books() as books:
            await books.catalog.apply(s.price_book(meters=METERS), s.AT)
        hours = [(0, "a"), (0, "b"), (0, "a"), (2, "b")]
        await record(
            pool, [used(n, "1.5", time=s.AT + h * HOUR, court=court) for n, (h, court) in enumerate(hours)], s.AT
        )
        edges = [s.AT + n * HOUR for n in range(4)]
        grouped_ = await usage_by_window(pool, "cus_1", "sum", edges, ("court",))
        assert [(w.starts_at, w.group, w.quantity, w.events) for w in grouped_] == [
            (edges[0], ("a",), 3, 2),
            (edges[0], ("b",), Fraction(3, 2), 1),
            (edges[2], ("b",), Fraction(3, 2), 1),
        ]
        alone = UsageWindow(starts_at=edges[0], ends_at=edges[1], group=(), quantity=Fraction(3), events=3)
        assert (await usage_by_window(pool, "cus_1", "count", edges))[0] == alone
        assert len(await usage_by_window(pool, "cus_1", "weighted_sum", edges)) == 3
        with pytest.raises(NotFound):
            await usage_by_window(pool, "cus_1", "cardio", edges)
