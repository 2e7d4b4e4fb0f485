from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import Interval
from domain.catalog import FeatureType, Overage, Plan, PlanEntitlement, Reset, Rollover
from domain.entitlement import Answer, Entitlement, answer, entitlements_of
from domain.money import plain
from tests.domain.builders import (
    DAY,
    FEATURES,
    HOUR,
    MINUTE,
    at_end,
    fee,
    gives,
    instant,
    plan,
    plans_by_ref,
    setup,
    sold,
)

ALLOW = Overage.ALLOW


def entitled(
    *given: PlanEntitlement, at: str = "2026-06-01T07:05", timezone: str = "UTC", sub: str = "sub_1", **changed: Any
) -> list[Entitlement]:
    """What a plan with these entitlements gives from `at`."""
    sold_plan = plan(*changed.pop("charges", (fee(),)), entitlements=given, **changed)
    subscription = sold(sold_plan, at=instant(at), timezone=timezone, id=sub)
    return of(subscription, sold_plan)


def of(subscription: Any, *plans: Plan) -> list[Entitlement]:
    ids = {(n, given.feature): f"ent_{n}_{given.feature}" for n, one in enumerate(plans) for given in one.entitlements}
    return list(entitlements_of(subscription, plans_by_ref(*plans), FEATURES, ids))


def weekly(limit: str = "1", most: str | None = "1", least: str = "0", **changed: Any) -> PlanEntitlement:
    rollover = Rollover(max=Decimal(most), min=Decimal(least)) if most is not None else None
    return gives("pool", limit, reset=Reset.WEEK, rollover=rollover, **changed)


def used_of(
    held: Sequence[Entitlement], at: datetime, events: Mapping[str, str]
) -> dict[tuple[datetime, ...], list[Fraction]]:
    """What the store answers: the use in each window of each entitlement that is valid; without windows, the use ever."""
    timed = [(instant(when), Fraction(value)) for when, value in events.items()]
    counted: dict[tuple[datetime, ...], list[Fraction]] = {}
    for one in held:
        if one.valid_at(at):
            edges = one.boundaries(at)
            windows = [[value for when, value in timed if low <= when < high] for low, high in pairwise(edges)]
            counted[edges] = [sum(values, Fraction(0)) for values in windows] or [
                sum((value for _, value in timed), Fraction(0))
            ]
    return counted


def check(
    held: Sequence[Entitlement],
    at: str,
    events: Mapping[str, str] | None = None,
    *,
    suspended: frozenset[str] = frozenset(),
    feature: str = "pool",
) -> Answer:
    when = instant(at)
    events = {then: value for then, value in (events or {}).items() if instant(then) <= when}
    return answer(FEATURES[feature], held, used_of(held, when, events), suspended=suspended, at=when)


def figures(one: Answer) -> tuple[bool, str | None, str | None, str | None]:
    return (one.allowed, one.limit, one.used, one.remaining)


class TestWindows:
    @pytest.mark.parametrize(
        ("reset", "at", "window"),
        [
            (Reset.DAY, "2026-06-10T12:00", ("2026-06-10", "2026-06-11")),
            (Reset.WEEK, "2026-06-10T12:00", ("2026-06-08", "2026-06-15")),
            (Reset.WEEK, "2026-06-14T23:59:59", ("2026-06-08", "2026-06-15")),
            (Reset.WEEK, "2026-06-15T00:00", ("2026-06-15", "2026-06-22")),
            (Reset.MONTH, "2026-06-10T12:00", ("2026-06-01", "2026-07-01")),
            (Reset.QUARTER, "2026-06-10T12:00", ("2026-04-01", "2026-07-01")),
            (Reset.HALF_YEAR, "2026-06-10T12:00", ("2026-01-01", "2026-07-01")),
            (Reset.YEAR, "2026-06-10T12:00", ("2026-01-01", "2027-01-01")),
            (Reset.NEVER, "2026-06-10T12:00", ()),
        ],
    )
    def test_are_those_of_the_calendar(self, reset: Reset, at: str, window: tuple[str, ...]):
        (pool,) = entitled(gives("pool", "5", reset=reset), at="2026-06-04T12:00")
        assert pool.boundaries(instant(at)) == tuple(instant(edge) for edge in window)

    @pytest.mark.parametrize(
        ("anchor", "interval", "at", "window"),
        [
            ("anniversary", "month", "2026-06-29T12:00", ("2026-05-31", "2026-06-30")),
            ("anniversary", "month", "2026-07-05T12:00", ("2026-06-30", "2026-07-31")),
            (15, "month", "2026-06-10T12:00", ("2026-05-15", "2026-06-15")),
            ("calendar", "quarter", "2026-07-01T00:00", ("2026-07-01", "2026-10-01")),
        ],
    )
    def test_may_be_the_billing_periods(self, anchor: str | int, interval: str, at: str, window: tuple[str, str]):
        (pool,) = entitled(gives("pool", "5"), at="2026-05-31T12:00", anchor=anchor, interval=Interval(interval))
        assert pool.boundaries(instant(at)) == tuple(instant(edge) for edge in window)

    @pytest.mark.parametrize(
        ("zone", "at", "window", "hours"),
        [
            ("America/Los_Angeles", "2026-03-05T12:00", ("2026-03-02T08:00", "2026-03-09T07:00"), 167),
            ("Europe/Berlin", "2026-10-22T12:00", ("2026-10-18T22:00", "2026-10-25T23:00"), 169),
            ("Asia/Kolkata", "2026-03-05T12:00", ("2026-03-01T18:30", "2026-03-08T18:30"), 168),
        ],
    )
    def test_are_local_weeks_also_over_the_clock_change(self, zone: str, at: str, window: tuple[str, str], hours: int):
        (pool,) = entitled(weekly(most=None), at="2026-01-01T12:00", timezone=zone)
        opens, closes = pool.boundaries(instant(at))
        assert (opens, closes) == (instant(window[0]), instant(window[1]))
        assert closes - opens == hours * HOUR

    def test_reach_back_to_the_start_where_something_rolls_over(self):
        (pool,) = entitled(weekly(), at="2026-06-04T12:00")
        assert pool.boundaries(instant("2026-06-17T12:00")) == tuple(
            instant(edge) for edge in ("2026-06-01", "2026-06-08", "2026-06-15", "2026-06-22")
        )

    @settings(max_examples=60)
    @given(
        st.sampled_from([reset for reset in Reset if reset is not Reset.NEVER]),
        st.sampled_from(["UTC", "Europe/Berlin", "America/Havana", "Pacific/Auckland", "Asia/Beirut"]),
        st.booleans(),
        st.integers(0, 60 * 24 * 1000),
        st.integers(0, 60 * 24 * 500),
    )
    def test_are_unbroken_and_hold_the_instant_in_the_last(
        self, reset: Reset, zone: str, rolls: bool, started: int, later: int
    ):
        start = instant("2024-01-01") + started * MINUTE
        given = gives("pool", "5", reset=reset, rollover=Rollover(max=Decimal(1)) if rolls else None)
        (pool,) = entitled(given, at=start.isoformat(), timezone=zone)
        at = start + later * MINUTE
        edges = pool.boundaries(at)
        assert all(before < after for before, after in pairwise(edges))
        assert edges[-2] <= at < edges[-1]
        assert not rolls or edges[0] <= start < edges[1]


class TestValidity:
    def test_is_from_the_instant_of_activation(self):
        held = entitled(gives("sauna"), at="2026-06-01T07:05")
        assert check(held, "2026-06-01T07:04:59", feature="sauna").reason == "not_entitled"
        assert check(held, "2026-06-01T07:05", feature="sauna").reason == "granted"

    def test_is_in_the_trial_too(self):
        (sauna,) = entitled(gives("sauna"), trial_days=14)
        assert sauna.starts_at == instant("2026-06-01T07:05")

    def test_ends_with_what_ends_by_itself(self):
        """A pass of fourteen days in Berlin (om-scenario-temporary-access)."""
        held = entitled(
            gives("sauna"),
            timezone="Europe/Berlin",
            charges=(setup("49.00"),),
            duration=14 * DAY,
            at="2026-06-01T07:05",
        )
        assert check(held, "2026-06-14T21:59:59", feature="sauna").allowed
        assert not check(held, "2026-06-14T22:00", feature="sauna").allowed

    def test_ends_with_the_plan_that_gives_it_and_not_with_its_neighbours(self):
        """A pass, a licence and a membership in one subscription."""
        visit = plan(setup("49.00"), key="pass", duration=14 * DAY, entitlements=(gives("sauna"), gives("pool", "5")))
        owned = plan(setup("990.00"), key="owned", entitlements=(gives("guests", value="2"),))
        member = plan(fee(), entitlements=(gives("pool", "3"),))
        subscription = sold(visit, owned, member, at=instant("2026-06-01T07:05"))
        held = of(subscription, visit, owned, member)
        assert [(one.feature, one.ends_at) for one in held] == [
            ("sauna", instant("2026-06-15")),
            ("pool", instant("2026-06-15")),
            ("guests", None),
            ("pool", None),
        ]
        pool = [one for one in held if one.feature == "pool"]
        assert [check(pool, f"2026-06-{day}").limit for day in ("14T12:00", "15T00:00")] == ["8", "3"]

    def test_of_a_licence_has_no_end(self):
        """om-scenario-perpetual-licence."""
        held = entitled(gives("sauna"), charges=(setup("990.00"),), interval=Interval.YEAR, at="2026-03-01T08:05")
        assert check(held, "2029-01-01T09:00", feature="sauna").allowed

    def test_ends_with_the_subscription(self):
        sold_plan = plan(entitlements=(gives("sauna"),))
        ending = at_end(sold(sold_plan, at=instant("2026-06-01T07:05"), timezone="Europe/Berlin"), "2026-07-01")
        assert of(ending, sold_plan)[0].ends_at == instant("2026-06-30T22:00")

    def test_of_nothing_is_no(self):
        assert check([], "2026-06-01") == Answer(allowed=False, reason="not_entitled", type=FeatureType.METERED)


class TestAnswer:
    def test_of_a_boolean_is_yes(self):
        assert check(entitled(gives("sauna")), "2026-06-02", feature="sauna") == Answer(
            allowed=True, reason="granted", type=FeatureType.BOOLEAN
        )

    def test_of_a_static_feature_is_its_value_the_newest_of_several(self):
        held = [*entitled(gives("guests", value="2")), *entitled(gives("guests", value="5"), sub="sub_2")]
        assert check(held, "2026-06-02", feature="guests").value == "5"

    def test_counts_up_to_the_limit_and_past_it(self):
        """om-scenario-hard-limit: usage past a limit is a fact, and closes the check until the reset."""
        held = entitled(gives("pool", "10", reset=Reset.MONTH), timezone="Europe/Berlin")
        events = {"2026-06-03T08:00": "8", "2026-06-04T08:00": "4"}
        checks = [check(held, at, events) for at in ("2026-06-03T09:00", "2026-06-04T09:00", "2026-06-30T22:00")]
        assert [figures(one) for one in checks] == [
            (True, "10", "8", "2"),
            (False, "10", "12", "0"),
            (True, "10", "0", "10"),
        ]
        assert [one.reason for one in checks] == ["granted", "limit_reached", "granted"]
        assert checks[0].resets_at == instant("2026-06-30T22:00")

    def test_stays_open_past_a_soft_limit(self):
        """om-scenario-soft-limit."""
        held = entitled(gives("pool", "10", reset=Reset.MONTH, overage=ALLOW))
        events = {"2026-06-03T08:00": "8", "2026-06-04T08:00": "4", "2026-06-05T08:00": "6"}
        checks = [check(held, f"2026-06-0{day}T09:00", events) for day in (3, 4, 5)]
        assert [figures(one) for one in checks] == [
            (True, "10", "8", "2"),
            (True, "10", "12", "0"),
            (True, "10", "18", "0"),
        ]
        assert [one.reason for one in checks] == ["granted", "overage_allowed", "overage_allowed"]

    def test_is_no_at_exactly_the_limit(self):
        held = entitled(gives("pool", "2.5", reset=Reset.MONTH))
        assert figures(check(held, "2026-06-04", {"2026-06-03": "2.5"})) == (False, "2.5", "2.5", "0")

    def test_without_a_limit_only_counts(self):
        held = entitled(gives("pool", None, reset=Reset.MONTH))
        assert figures(check(held, "2026-06-04", {"2026-06-03": "7"})) == (True, None, "7", None)

    def test_without_a_reset_counts_for_ever(self):
        held = entitled(gives("pool", "10", reset=Reset.NEVER))
        one = check(held, "2027-06-04", {"2026-06-03": "7", "2027-01-01": "2"})
        assert (figures(one), one.resets_at) == ((True, "10", "9", "1"), None)

    def test_of_a_short_first_window_has_the_whole_limit(self):
        """om-scenario-reset-month-auckland: sold on the 18th, whole until the first."""
        held = entitled(
            gives("pool", "1000", reset=Reset.MONTH),
            at="2026-04-17T21:05",
            timezone="Pacific/Auckland",
            anchor="calendar",
        )
        events = {"2026-04-30T11:30": "400", "2026-04-30T12:05": "25"}
        checks = [
            check(held, at, events)
            for at in (
                "2026-04-30T11:59",
                "2026-04-30T12:00",
                "2026-04-30T23:00",
                "2026-05-31T11:59:59",
                "2026-05-31T12:00",
            )
        ]
        assert [(one.used, one.remaining) for one in checks] == [
            ("400", "600"),
            ("0", "1000"),
            ("25", "975"),
            ("25", "975"),
            ("0", "1000"),
        ]

    def test_follows_local_mondays_over_the_clock_change(self):
        """om-scenario-reset-week-dst-los-angeles: a week of 167 hours."""
        held = entitled(gives("pool", "7", reset=Reset.WEEK), at="2026-03-02T17:05", timezone="America/Los_Angeles")
        events = {"2026-03-09T06:30": "7", "2026-03-09T07:10": "2", "2026-03-16T06:59:30": "4"}
        checks = [
            check(held, at, events)
            for at in (
                "2026-03-09T06:45",
                "2026-03-09T07:00",
                "2026-03-09T08:00",
                "2026-03-16T06:59:59",
                "2026-03-16T07:00",
            )
        ]
        assert [(one.used, one.remaining) for one in checks] == [
            ("7", "0"),
            ("0", "7"),
            ("2", "5"),
            ("6", "1"),
            ("0", "7"),
        ]

    def test_of_seats_is_as_many_as_were_bought(self):
        sold_plan = plan(entitlements=(gives("app", "per_quantity"),))
        held = of(sold(sold_plan, quantity="5"), sold_plan)
        one = answer(FEATURES["app"], held, {}, suspended=frozenset(), at=instant("2026-06-02"))
        assert (figures(one), one.resets_at) == ((True, "5", "0", "5"), None)


class TestSeveralSubscriptions:
    def test_add_up(self):
        held = [
            *entitled(gives("pool", "10", reset=Reset.MONTH)),
            *entitled(gives("pool", "5", reset=Reset.MONTH), sub="sub_2"),
        ]
        assert figures(check(held, "2026-06-10", {"2026-06-09": "12"})) == (True, "15", "12", "3")

    def test_add_up_while_both_are_valid(self):
        held = [
            *entitled(gives("pool", "10", reset=Reset.MONTH)),
            *entitled(gives("pool", "5", reset=Reset.MONTH), sub="sub_2", at="2026-06-20T12:00"),
        ]
        events = {"2026-06-09": "12"}
        assert figures(check(held, "2026-06-19", events)) == (False, "10", "12", "0")
        assert figures(check(held, "2026-06-20T12:00", events)) == (True, "15", "12", "3")

    def test_one_without_a_limit_lifts_the_limit(self):
        held = [
            *entitled(gives("pool", "10", reset=Reset.MONTH)),
            *entitled(gives("pool", None, reset=Reset.MONTH), sub="sub_2"),
        ]
        assert figures(check(held, "2026-06-10", {"2026-06-09": "12"})) == (True, None, "12", None)

    def test_one_that_allows_overage_makes_the_sum_soft(self):
        held = [
            *entitled(gives("pool", "1", reset=Reset.MONTH)),
            *entitled(gives("pool", "1", reset=Reset.MONTH, overage=ALLOW), sub="sub_2"),
        ]
        one = check(held, "2026-06-10", {"2026-06-09": "12"})
        assert (one.allowed, one.reason, one.limit) == (True, "overage_allowed", "2")

    def test_show_the_earliest_reset(self):
        held = [*entitled(gives("pool", "1", reset=Reset.MONTH)), *entitled(weekly(most=None), sub="sub_2")]
        assert check(held, "2026-06-10").resets_at == instant("2026-06-15")

    def test_carry_over_what_each_has_left_the_oldest_burning_first(self):
        """Two visits a week, one used: one is left, and one is carried, not none of either."""
        held = [*entitled(weekly()), *entitled(weekly(), sub="sub_2")]
        assert figures(check(held, "2026-06-08", {"2026-06-02": "1"})) == (True, "3", "0", "3")
        assert figures(check(held, "2026-06-08", {"2026-06-02": "2"})) == (True, "2", "0", "2")
        assert figures(check(held, "2026-06-08", {})) == (True, "4", "0", "4")

    def test_burn_the_older_first_whichever_rolls_over(self):
        used = {"2026-06-02": "1"}
        for older, younger, limit in ((weekly(), weekly(most=None), "2"), (weekly(most=None), weekly(), "3")):
            held = [*entitled(older), *entitled(younger, sub="sub_2", at="2026-06-01T08:00")]
            assert check(held, "2026-06-08", used).limit == limit

    def test_that_came_later_carry_nothing_from_before(self):
        held = [*entitled(weekly()), *entitled(weekly(), sub="sub_2", at="2026-06-17T12:00")]
        assert check(held, "2026-06-18", {}).limit == "3"
        assert check(held, "2026-06-22", {"2026-06-18": "1"}).limit == "4"


class TestSuspended:
    def test_gives_nothing_and_says_so(self):
        held = entitled(gives("sauna"))
        shut = check(held, "2026-06-02", feature="sauna", suspended=frozenset({"sub_1"}))
        assert (shut.allowed, shut.reason) == (False, "suspended")

    def test_leaves_what_other_subscriptions_give(self):
        held = [
            *entitled(gives("pool", "10", reset=Reset.MONTH)),
            *entitled(gives("pool", "5", reset=Reset.MONTH), sub="sub_2"),
        ]
        one = check(held, "2026-06-10", {"2026-06-09": "4"}, suspended=frozenset({"sub_1"}))
        assert figures(one) == (True, "5", "4", "1")

    def test_is_not_what_has_ended(self):
        held = entitled(gives("sauna"), charges=(setup(),), duration=1 * DAY)
        one = check(held, "2026-06-02", feature="sauna", suspended=frozenset({"sub_1"}))
        assert one.reason == "not_entitled"


class TestRollover:
    def test_of_a_weekly_visit(self):
        """om-scenario-plan-rollover-week."""
        held = entitled(weekly(), timezone="Europe/Berlin")
        events = {"2026-06-09T08:00": "1", "2026-06-10T08:00": "1"}
        checks = {
            at: check(held, at, events)
            for at in (
                "2026-06-07T21:59:59",
                "2026-06-07T22:00",
                "2026-06-09T09:00",
                "2026-06-10T09:00",
                "2026-06-14T22:00",
                "2026-06-21T22:00",
                "2026-06-28T22:00",
            )
        }
        assert [(one.allowed, one.used, one.remaining) for one in checks.values()] == [
            (True, "0", "1"),
            (True, "0", "2"),
            (True, "1", "1"),
            (False, "2", "0"),
            (True, "0", "1"),
            (True, "0", "2"),
            (True, "0", "2"),
        ]

    @pytest.mark.parametrize(
        ("limit", "most", "least", "used", "next_limit"),
        [
            ("10", "4", "0", "0", "14"),
            ("10", "4", "0", "7", "13"),
            ("10", "4", "0", "25", "10"),
            ("10", "4", "2", "9", "12"),
            ("10", "4", "2", "25", "12"),
            ("10", "20", "0", "3", "17"),
            ("10", "0", "0", "3", "10"),
        ],
    )
    def test_is_at_most_its_maximum_and_at_least_its_minimum(
        self, limit: str, most: str, least: str, used: str, next_limit: str
    ):
        held = entitled(weekly(limit, most, least))
        assert check(held, "2026-06-08", {"2026-06-02": used}).limit == next_limit

    def test_carries_what_was_carried(self):
        held = entitled(weekly("1", "3"))
        limits = [
            check(held, day).limit
            for day in ("2026-06-01T12:00", "2026-06-08", "2026-06-15", "2026-06-22", "2026-06-29")
        ]
        assert limits == ["1", "2", "3", "4", "4"]

    def test_an_overage_is_cleared_by_the_reset(self):
        held = entitled(weekly("5", "5"))
        assert figures(check(held, "2026-06-08", {"2026-06-02": "50"})) == (True, "5", "0", "5")

    @settings(max_examples=60)
    @given(
        st.lists(st.integers(0, 12), min_size=1, max_size=6),
        st.integers(0, 10),
        st.integers(0, 6),
        st.integers(0, 6),
        st.integers(1, 3),
    )
    def test_is_a_fold_over_the_windows_and_bounded(
        self, used: list[int], limit: int, one: int, other: int, subscriptions: int
    ):
        least, most = sorted((one, other))
        held = [
            entitlement
            for n in range(subscriptions)
            for entitlement in entitled(weekly(str(limit), str(most), str(least)), sub=f"sub_{n}")
        ]
        start = instant("2026-06-02")
        events = {(start + 7 * DAY * week).isoformat(): str(use) for week, use in enumerate(used)}
        last = check(held, (start + 7 * DAY * len(used)).isoformat(), events)
        assert subscriptions * (limit + least) <= Fraction(last.limit or "0") <= subscriptions * (limit + most)
        if subscriptions == 1:
            carried = 0
            for use in used:
                carried = min(most, max(max(0, limit + carried - use), least))
            assert last.limit == plain(Fraction(limit + carried))


def test_what_is_given_is_written_down_with_its_names():
    (pool,) = entitled(weekly("2", "1", overage=ALLOW), timezone="Europe/Berlin")
    assert (pool.id, pool.customer_id, pool.subscription_id) == ("ent_0_pool", "cus_1", "sub_1")
    assert (pool.feature, pool.type, pool.meter, pool.limit) == ("pool", FeatureType.METERED, "units", Decimal(2))
    assert (pool.overage, pool.rollover, pool.timezone) == (ALLOW, Rollover(max=Decimal(1)), "Europe/Berlin")


def test_only_what_is_metered_has_windows():
    (app,) = entitled(gives("app", "3"))
    assert (app.windows, app.boundaries(instant("2026-06-02"))) == (None, ())


class TestCorrections:
    """Usage below zero takes back what was used; more of it than there was gives nothing on top."""

    def test_leave_no_more_than_what_is_valid(self):
        held = entitled(gives("pool", "5", reset=Reset.WEEK), at="2026-06-01T12:00")
        assert figures(check(held, "2026-06-03", {"2026-06-02": "-2"})) == (True, "5", "-2", "5")

    def test_roll_no_more_over_than_there_was(self):
        rollover = Rollover(max=Decimal(100))
        held = entitled(gives("pool", "5", reset=Reset.WEEK, rollover=rollover), at="2026-06-01T12:00")
        assert figures(check(held, "2026-06-10", {"2026-06-02": "-2"})) == (True, "10", "0", "10")
