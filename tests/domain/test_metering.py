from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog import Aggregation
from domain.errors import PricingError
from domain.metering import Event, Span, aggregate, grouped, in_time_order, measured

MARCH = Span(datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 4, 1, tzinfo=UTC))
values = st.decimals(-(10**12), 10**12, places=6)
value_lists = st.lists(values, min_size=1, max_size=30)
moments = st.integers(-40, 70).map(lambda days: MARCH.starts_at + timedelta(days=days, hours=days % 24))


def of(*listed: str | Decimal) -> list[Event]:
    return [Event(value=Decimal(value)) for value in listed]


def at(value: str | Decimal, day: int, hour: int = 0, month: int = 3) -> Event:
    return Event(value=Decimal(value), time=datetime(2023, month, day, hour, tzinfo=UTC))


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (Aggregation.COUNT, "4"),
        (Aggregation.SUM, "65"),
        (Aggregation.MAX, "25"),
        (Aggregation.MIN, "10"),
        (Aggregation.LATEST, "10"),
        (Aggregation.UNIQUE_COUNT, "3"),
        (Aggregation.AVERAGE, "16.25"),
    ],
)
def test_each_aggregation_makes_one_quantity(aggregation: Aggregation, expected: str):
    assert aggregate(aggregation, of("10", "20", "25", "10")) == Fraction(expected)


@pytest.mark.parametrize("aggregation", Aggregation)
def test_without_events_every_quantity_is_nothing(aggregation: Aggregation):
    assert aggregate(aggregation, [], MARCH) == 0


def test_an_average_of_thirds_stays_exact():
    assert aggregate(Aggregation.AVERAGE, of("1", "2", "2")) == Fraction(5, 3)


def test_a_sum_keeps_what_lies_beyond_28_digits():
    assert aggregate(Aggregation.SUM, of("1E+30", "0.000000000001")) == 10**30 + Fraction(1, 10**12)


@given(value_lists)
def test_sums_are_exact(listed: list[Decimal]):
    assert aggregate(Aggregation.SUM, of(*listed)) == sum(map(Fraction, listed))


@given(value_lists)
def test_the_average_lies_between_the_extremes(listed: list[Decimal]):
    low, mean, high = (aggregate(one, of(*listed)) for one in (Aggregation.MIN, Aggregation.AVERAGE, Aggregation.MAX))
    assert low <= mean <= high


class TestLatest:
    def test_is_the_last_by_time_wherever_it_stands(self):
        assert aggregate(Aggregation.LATEST, [at("30", 2), at("10", 9), at("15", 1)]) == 10

    def test_is_the_last_written_of_one_instant(self):
        assert aggregate(Aggregation.LATEST, [at("30", 2), at("10", 2)]) == 10

    def test_is_the_last_written_when_no_event_has_a_time(self):
        assert aggregate(Aggregation.LATEST, of("3", "1")) == 1

    def test_is_unknowable_when_only_some_have_a_time(self):
        with pytest.raises(PricingError) as refused:
            aggregate(Aggregation.LATEST, [at("1", 1), *of("2")])
        assert refused.value.code == "invalid_events"


def test_unique_values_may_be_names():
    named = [Event(unique=name) for name in ("ada", "bob", "ada", "07", "7")]
    assert aggregate(Aggregation.UNIQUE_COUNT, named) == 4


def test_unique_numbers_are_the_same_however_they_are_written():
    assert aggregate(Aggregation.UNIQUE_COUNT, of("7", "7.0", "8")) == 2


class TestWeightedSum:
    def test_weighs_a_level_by_the_time_it_lasts(self):
        assert aggregate(Aggregation.WEIGHTED_SUM, [at("2500", 5)], MARCH) == Fraction(2500 * 27, 31)

    def test_counts_what_came_before_from_the_start_and_what_comes_after_not_at_all(self):
        assert aggregate(Aggregation.WEIGHTED_SUM, [at("10", 1, month=2)], MARCH) == 10
        assert aggregate(Aggregation.WEIGHTED_SUM, [at("10", 1, month=4)], MARCH) == 0

    def test_adds_deltas_up_and_down(self):
        deltas = [at("2500", 1, month=4), at("-2000", 4, month=4), at("-200", 6, month=4)]
        april = Span(datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 5, 1, tzinfo=UTC))
        assert aggregate(Aggregation.WEIGHTED_SUM, deltas, april) == Fraction(2500 * 3 + 500 * 2 + 300 * 25, 30)

    @given(st.lists(st.tuples(values, moments), max_size=20))
    def test_equals_the_level_added_up_piece_by_piece(self, drawn: list[tuple[Decimal, datetime]]):
        deltas = [Event(value=value, time=time) for value, time in drawn]
        cuts = sorted({MARCH.starts_at, MARCH.ends_at, *(time for _, time in drawn)})
        cuts = [cut for cut in cuts if MARCH.starts_at <= cut <= MARCH.ends_at]
        area = sum(
            sum(Fraction(value) for value, time in drawn if time <= since) * ((until - since) // timedelta(seconds=1))
            for since, until in pairwise(cuts)
        )
        assert aggregate(Aggregation.WEIGHTED_SUM, deltas, MARCH) == Fraction(area) / (31 * 24 * 3600)

    @pytest.mark.parametrize("period", [None, Span(MARCH.ends_at, MARCH.starts_at), Span(MARCH.ends_at, MARCH.ends_at)])
    def test_needs_a_period_that_lasts(self, period: Span | None):
        with pytest.raises(PricingError) as refused:
            aggregate(Aggregation.WEIGHTED_SUM, [], period)
        assert refused.value.code == "invalid_events"

    def test_needs_the_time_of_every_event(self):
        with pytest.raises(PricingError) as refused:
            aggregate(Aggregation.WEIGHTED_SUM, of("1"), MARCH)
        assert refused.value.code == "invalid_events"


def on(court: str | None, value: str = "1") -> Event:
    return Event(value=Decimal(value), properties={} if court is None else {"court": court})


def test_groups_are_counted_apart_and_a_missing_property_is_a_group():
    groups = grouped(Aggregation.SUM, [on("1", "2"), on("2"), on("1"), on(None)], ("court",))
    assert groups == {("1",): 3, ("2",): 1, ("",): 1}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), values), max_size=30))
def test_groups_of_a_sum_add_up_to_it(drawn: list[tuple[str, str, Decimal]]):
    listed = [Event(value=value, properties={"a": one, "b": two}) for one, two, value in drawn]
    usage = measured(Aggregation.SUM, listed, ("a", "b"))
    assert usage.groups is not None
    assert sum(usage.groups.values()) == usage.quantity


def test_what_was_measured_stands_in_time_order():
    usage = measured(Aggregation.COUNT, [at("2", 9), at("1", 3)])
    assert usage.events is not None
    assert [event.value for event in usage.events] == [1, 2]
    assert usage.groups is None


def test_events_without_times_stay_as_they_stood():
    listed = of("3", "1", "2")
    assert in_time_order(listed) == listed
