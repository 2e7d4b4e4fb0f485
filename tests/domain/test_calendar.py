from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import Cadence, Interval, Period, cadence, first_instant, local_day

days = st.dates(date(2000, 1, 1), date(2100, 1, 1))
intervals = st.sampled_from(Interval)
counts = st.integers(1, 30)
monthly = st.sampled_from([interval for interval in Interval if interval.months])


@st.composite
def cadences(draw: st.DrawFn) -> tuple[Cadence, date]:
    """Any cadence, with the day on which its subscription starts."""
    interval, count, starts_on = draw(intervals), draw(counts), draw(days)
    anchors: list[str | int] = ["anniversary", "calendar"]
    anchor = draw(st.sampled_from(anchors + list(range(1, 32)) if interval.months else anchors))
    return cadence(interval, count, anchor, starts_on), starts_on


@pytest.mark.parametrize(
    ("anchor_on", "k", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2026, 1, 31), 2, date(2026, 3, 31)),
        (date(2026, 1, 31), 25, date(2028, 2, 29)),
        (date(2026, 1, 31), -1, date(2025, 12, 31)),
        (date(2026, 1, 31), -11, date(2025, 2, 28)),
    ],
)
def test_a_month_end_anchor_never_drifts(anchor_on: date, k: int, expected: date):
    assert cadence(Interval.MONTH, 1, "anniversary", anchor_on).boundary(k) == expected


def test_a_year_from_the_29th_of_february_comes_back_to_it():
    yearly = cadence(Interval.YEAR, 1, "anniversary", date(2020, 2, 29))
    assert [yearly.boundary(k) for k in (1, 2, 3, 4)] == [
        date(2021, 2, 28),
        date(2022, 2, 28),
        date(2023, 2, 28),
        date(2024, 2, 29),
    ]


@given(cadences(), st.integers(-20, 100))
def test_boundaries_are_counted_from_the_anchor_and_clamped_to_their_month(made: tuple[Cadence, date], k: int):
    each, _ = made
    on = each.boundary(k)
    if each.interval.days:
        assert on - each.anchor_on == timedelta(days=k * each.count * each.interval.days)
    else:
        months = (on.year - each.anchor_on.year) * 12 + on.month - each.anchor_on.month
        assert months == k * each.count * each.interval.months
        assert on.day == min(each.anchor_day, monthrange(on.year, on.month)[1])


@given(cadences(), st.integers(-50, 50))
def test_periods_tile_time(made: tuple[Cadence, date], k: int):
    each, _ = made
    assert each.period(k).ends_on == each.period(k + 1).starts_on
    assert each.period(k).days > 0


@given(cadences(), st.integers(-20_000, 20_000))
def test_every_day_lies_in_the_period_of_its_index(made: tuple[Cadence, date], offset: int):
    each, starts_on = made
    on = starts_on + timedelta(days=offset)
    period = each.period(each.index(on))
    assert period.starts_on <= on < period.ends_on


@given(cadences())
def test_the_first_boundary_is_on_or_after_the_start(made: tuple[Cadence, date]):
    each, starts_on = made
    assert each.boundary(0) == each.anchor_on >= starts_on
    assert each.boundary(-1) < starts_on


@given(monthly, counts, st.integers(1, 31), days)
def test_a_day_of_the_month_anchors_at_the_first_such_day(interval: Interval, count: int, day: int, starts_on: date):
    first = cadence(interval, count, day, starts_on).anchor_on
    between = [starts_on + timedelta(days=n) for n in range((first - starts_on).days + 1)]
    such = [on for on in between if on.day == min(day, monthrange(on.year, on.month)[1])]
    assert such == [first]


@pytest.mark.parametrize(
    ("interval", "starts_on", "first"),
    [
        (Interval.DAY, date(2026, 5, 13), date(2026, 5, 13)),
        (Interval.WEEK, date(2026, 5, 13), date(2026, 5, 18)),
        (Interval.WEEK, date(2026, 5, 18), date(2026, 5, 18)),
        (Interval.MONTH, date(2026, 5, 13), date(2026, 6, 1)),
        (Interval.MONTH, date(2026, 5, 1), date(2026, 5, 1)),
        (Interval.QUARTER, date(2026, 5, 13), date(2026, 7, 1)),
        (Interval.QUARTER, date(2026, 12, 2), date(2027, 1, 1)),
        (Interval.HALF_YEAR, date(2026, 5, 13), date(2026, 7, 1)),
        (Interval.YEAR, date(2026, 5, 13), date(2027, 1, 1)),
        (Interval.YEAR, date(2026, 1, 1), date(2026, 1, 1)),
    ],
)
def test_a_calendar_anchor_is_the_first_of_the_interval(interval: Interval, starts_on: date, first: date):
    assert cadence(interval, 1, "calendar", starts_on).anchor_on == first


@pytest.mark.parametrize(
    ("day", "starts_on", "first"),
    [
        (10, date(2024, 1, 1), date(2024, 1, 10)),
        (31, date(2025, 7, 10), date(2025, 7, 31)),
        (31, date(2025, 4, 30), date(2025, 4, 30)),
        (30, date(2026, 2, 28), date(2026, 2, 28)),
        (1, date(2026, 12, 2), date(2027, 1, 1)),
    ],
)
def test_a_day_anchor_is_the_next_such_day_clamped(day: int, starts_on: date, first: date):
    assert cadence(Interval.MONTH, 1, day, starts_on).anchor_on == first


def test_the_stub_is_cut_from_the_period_before_the_anchor():
    each = cadence(Interval.MONTH, 1, 10, date(2024, 1, 1))
    assert each.period(-1) == Period(date(2023, 12, 10), date(2024, 1, 10))
    assert each.period(-1).days == 31


@pytest.mark.parametrize(
    ("on", "zone", "instant"),
    [
        (date(2026, 3, 1), "Pacific/Auckland", datetime(2026, 2, 28, 11, tzinfo=UTC)),
        (date(2026, 3, 29), "Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC)),
        (date(2026, 3, 30), "Europe/Berlin", datetime(2026, 3, 29, 22, tzinfo=UTC)),
        (date(2026, 1, 1), "Asia/Kolkata", datetime(2025, 12, 31, 18, 30, tzinfo=UTC)),
    ],
)
def test_a_day_begins_at_local_midnight(on: date, zone: str, instant: datetime):
    assert first_instant(on, zone) == instant
    assert local_day(instant, zone) == on
    assert local_day(instant - timedelta(microseconds=1), zone) == on - timedelta(days=1)


def test_the_day_a_clock_change_makes_short_still_counts_as_one():
    """Chile's clocks leap over midnight: the day begins at 01:00, which is what a wall clock shows first."""
    instant = first_instant(date(2026, 9, 6), "America/Santiago")
    assert local_day(instant, "America/Santiago") == date(2026, 9, 6)
    assert Period(date(2026, 9, 6), date(2026, 9, 7)).days == 1
