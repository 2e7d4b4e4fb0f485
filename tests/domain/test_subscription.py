from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.calendar import Interval, Period
from domain.catalog import Plan, Term, Timing
from domain.errors import InvalidState, MixedCadence
from domain.rating import WHOLE, Share
from domain.subscription import Item, Section, Subscription, SubscriptionState, activated, sold_cadence
from domain.turn import Turn, cancelled, opened, turned
from tests.domain.builders import (
    DAY,
    HOUR,
    MINUTE,
    days,
    fee,
    instant,
    items,
    on,
    plan,
    plans_by_ref,
    setup,
    sold,
    term,
    usage,
)

ACTIVE, TRIALING, ENDED = SubscriptionState.ACTIVE, SubscriptionState.TRIALING, SubscriptionState.ENDED


def lived(*plans: Plan, at: str, timezone: str = "UTC", turns: int = 12) -> list[Turn]:
    """Its first turns, the opening among them; fewer where it ends."""
    by_ref = plans_by_ref(*plans)
    subscription = sold(*plans, at=instant(at), timezone=timezone)
    made = [opened(subscription, by_ref)]
    while len(made) < turns and made[-1].after.next_due_at:
        made.append(turned(made[-1].after, by_ref))
    return made


def periods(turns: list[Turn]) -> list[Period]:
    return [turn.period for turn in turns if turn.after.state is ACTIVE]


def cancel(subscription: Subscription, *plans: Plan, at: str) -> Turn:
    return cancelled(subscription, plans_by_ref(*plans), at=instant(at), cause="cancel/asked")


class TestActivation:
    @pytest.mark.parametrize(
        ("interval", "anchor", "at", "first", "second"),
        [
            ("month", "anniversary", "2022-12-31T08:00Z", "2022-12-31/2023-01-31", "2023-01-31/2023-02-28"),
            ("month", "calendar", "2023-01-08T08:00Z", "2023-01-08/2023-02-01", "2023-02-01/2023-03-01"),
            ("month", "calendar", "2023-02-01T08:00Z", "2023-02-01/2023-03-01", "2023-03-01/2023-04-01"),
            ("month", 15, "2011-09-01T09:00Z", "2011-09-01/2011-09-15", "2011-09-15/2011-10-15"),
            ("month", 15, "2011-09-15T09:00Z", "2011-09-15/2011-10-15", "2011-10-15/2011-11-15"),
            ("month", 31, "2026-02-10T09:00Z", "2026-02-10/2026-02-28", "2026-02-28/2026-03-31"),
            ("quarter", "calendar", "2025-10-08T09:05Z", "2025-10-08/2026-01-01", "2026-01-01/2026-04-01"),
            ("half_year", "anniversary", "2023-08-31T09:00Z", "2023-08-31/2024-02-29", "2024-02-29/2024-08-31"),
            ("year", "calendar", "2021-01-10T09:05Z", "2021-01-10/2022-01-01", "2022-01-01/2023-01-01"),
            ("year", "anniversary", "2020-02-29T09:00Z", "2020-02-29/2021-02-28", "2021-02-28/2022-02-28"),
            ("week", "calendar", "2026-06-04T09:00Z", "2026-06-04/2026-06-08", "2026-06-08/2026-06-15"),
            ("week", "anniversary", "2026-06-04T09:00Z", "2026-06-04/2026-06-11", "2026-06-11/2026-06-18"),
            ("day", "calendar", "2026-06-04T09:00Z", "2026-06-04/2026-06-05", "2026-06-05/2026-06-06"),
        ],
    )
    def test_opens_the_period_that_its_anchor_asks_for(
        self, interval: str, anchor: str | int, at: str, first: str, second: str
    ):
        turns = lived(plan(interval=Interval(interval), anchor=anchor), at=at, turns=2)
        assert periods(turns) == [days(first), days(second)]

    def test_counts_the_day_in_the_customers_zone(self):
        (turn,) = lived(plan(), at="2026-06-01T23:30Z", timezone="Europe/Berlin", turns=1)
        assert turn.period == days("2026-06-02/2026-07-02")
        assert turn.after.next_due_at == instant("2026-07-01T22:00Z")

    def test_bills_once_and_in_advance_at_its_own_instant(self):
        (turn,) = lived(plan(setup(), fee(), usage()), at="2026-06-01T09:05Z", turns=1)
        assert (turn.at, turn.issue_at) == (instant("2026-06-01T09:05Z"),) * 2
        assert [part.timing for part in turn.parts] == [Timing.ONCE, Timing.ADVANCE]
        assert {(part.starts_at, part.ends_at) for part in turn.parts} == {
            (instant("2026-06-01T09:05Z"), instant("2026-07-01T00:00Z"))
        }
        assert (turn.cause, turn.events) == ("boundary/2026-06-01", ())

    def test_prices_a_stub_by_its_days_of_the_period_it_is_cut_from(self):
        stub, whole = lived(plan(anchor=15), at="2011-09-01T09:00Z", turns=2)
        assert {part.share for part in stub.parts} == {Share(14, 31)}
        assert {part.whole for part in stub.parts} == {days("2011-08-15/2011-09-15")}
        assert {part.share for part in whole.parts if part.timing is Timing.ADVANCE} == {WHOLE}

    def test_waits_for_usage_the_longest_grace_of_what_is_metered(self):
        patient = plan(usage(), key="patient", usage_grace=3 * HOUR)
        quick = plan(usage(), key="quick", usage_grace=HOUR)
        unmetered = plan(key="unmetered", usage_grace=9 * HOUR)
        assert sold(unmetered).grace == timedelta(0)
        assert sold(unmetered, quick, patient).grace == 3 * HOUR

    @pytest.mark.parametrize(
        "other",
        [
            plan(key="other", currency="USD"),
            plan(key="other", interval=Interval.YEAR),
            plan(key="other", interval_count=2),
            plan(key="other", anchor="calendar"),
            plan(setup(), key="other", currency="USD"),
        ],
    )
    def test_refuses_plans_that_cannot_share_one_invoice(self, other: Plan):
        with pytest.raises(MixedCadence):
            sold(plan(), other)

    def test_lets_what_is_charged_once_join_any_interval(self):
        licence = plan(setup("990.00"), key="licence", interval=Interval.YEAR)
        assert sold(licence, plan()).cadence.interval is Interval.MONTH
        assert sold_cadence([licence], on("2026-06-01")).interval is Interval.YEAR


class TestTrial:
    def test_bills_nothing_and_runs_no_period(self):
        subscription = sold(plan(trial_days=10), at=instant("2024-03-05T12:12Z"))
        assert (subscription.state, subscription.period) == (TRIALING, None)
        assert subscription.next_due_at == instant("2024-03-15")

    def test_ends_at_local_midnight_across_the_clock_change(self):
        trial = sold(plan(trial_days=30), at=instant("2017-03-02T07:30Z"), timezone="America/Los_Angeles")
        assert trial.next_due_at == instant("2017-03-31T07:00Z")
        turn = turned(trial, plans_by_ref(plan(trial_days=30)))
        assert turn.period == days("2017-03-31/2017-04-30")
        assert (turn.at, turn.issue_at) == (instant("2017-03-31T07:00Z"),) * 2
        assert turn.events == ("subscription.trial_ended",)
        assert (turn.after.state, turn.after.ordinal) == (ACTIVE, 0)

    def test_its_end_waits_for_no_usage(self):
        tried = plan(fee(), usage(), trial_days=10, usage_grace=HOUR)
        subscription = sold(tried, at=instant("2024-03-05T12:12Z"))
        assert subscription.next_due_at == instant("2024-03-15")
        turn = turned(subscription, plans_by_ref(tried))
        assert turn.issue_at == instant("2024-03-15")
        assert turn.after.next_due_at == instant("2024-04-15T01:00")

    def test_is_followed_by_a_stub_where_the_anchor_is_fixed(self):
        (turn,) = lived(plan(anchor="calendar", trial_days=10), at="2026-06-05T12:00Z", turns=1)
        assert turn.period == days("2026-06-15/2026-07-01")
        assert {part.share for part in turn.parts} == {Share(16, 30)} | {
            part.share for part in turn.parts if part.timing is Timing.ONCE
        }

    def test_usage_counts_from_its_end(self):
        metered = plan(usage(), trial_days=10)
        _, month = lived(metered, at="2024-03-05T12:12Z", turns=2)
        (arrears,) = (part for part in month.parts if part.timing is Timing.ARREARS)
        assert (arrears.starts_at, arrears.ends_at) == (instant("2024-03-15"), instant("2024-04-15"))

    def test_the_longest_of_several_counts(self):
        assert sold(plan(trial_days=3), plan(key="other", trial_days=7)).trial_ends_on == on("2026-06-08")

    def test_cancelled_in_it_leaves_nothing_to_bill(self):
        tried = plan(setup(), fee(), usage(), trial_days=10)
        turn = cancel(sold(tried), tried, at="2026-06-04T10:00Z")
        assert (turn.parts, turn.after.state, turn.after.next_due_at) == ((), ENDED, None)


class TestDuration:
    def test_ends_by_itself_and_never_renews(self):
        fortnight = plan(setup("49.00"), duration=14 * DAY)
        first, last = lived(fortnight, at="2026-06-01T07:05Z", timezone="Europe/Berlin")
        assert first.period == days("2026-06-01/2026-06-15")
        assert first.after.next_due_at == instant("2026-06-14T22:00Z")
        assert (last.parts, last.events, last.after.state) == ((), ("subscription.ended",), ENDED)
        assert (last.after.ended_at, last.after.next_due_at) == (instant("2026-06-14T22:00Z"), None)

    def test_cuts_the_last_period_and_prices_it_by_its_days(self):
        turns = lived(plan(duration=45 * DAY), at="2026-06-01T12:00Z")
        assert [turn.period for turn in turns] == [
            days("2026-06-01/2026-07-01"),
            days("2026-07-01/2026-07-16"),
            days("2026-07-01/2026-07-16"),
        ]
        assert [part.share for part in turns[1].parts if part.timing is Timing.ADVANCE] == [Share(15, 31)]

    def test_counts_from_the_end_of_a_trial(self):
        assert sold(plan(duration=14 * DAY, trial_days=3)).ends_on == on("2026-06-18")

    def test_a_licence_without_one_has_no_end(self):
        (turn,) = lived(plan(setup("990.00"), interval=Interval.YEAR), at="2026-03-01T08:05Z")
        assert (turn.after.state, turn.after.period, turn.after.next_due_at) == (ACTIVE, None, None)

    @pytest.mark.parametrize("beside", [plan(key="beside"), plan(setup(), key="beside")])
    def test_of_one_plan_does_not_end_the_others(self, beside: Plan):
        fortnight = plan(setup("49.00"), key="pass", duration=14 * DAY)
        for mixed in ((fortnight, beside), (beside, fortnight)):
            assert sold(*mixed).ends_on is None

    def test_of_one_plan_leaves_the_others_their_term(self):
        fortnight, yearly = plan(setup(), key="pass", duration=14 * DAY), plan(term=term(12, auto_renew=False))
        assert sold(fortnight, yearly).ends_on == on("2027-06-01")

    def test_of_several_ends_each_by_itself_and_all_with_the_last(self):
        short, long = plan(key="short", duration=40 * DAY), plan(key="long", duration=45 * DAY)
        turns = lived(short, long, at="2026-06-01T12:00Z")
        assert [turn.after.ends_on for turn in turns] == [on("2026-07-16")] * 3
        assert [(part.item.plan.key, part.period) for part in turns[1].parts if part.timing is Timing.ADVANCE] == [
            ("short", days("2026-07-01/2026-07-11")),
            ("long", days("2026-07-01/2026-07-16")),
        ]

    def test_bills_what_has_ended_no_more(self):
        visiting = plan(fee(), usage(), key="visiting", duration=10 * DAY)
        first, second, third = lived(visiting, plan(), at="2026-06-01T12:00Z", turns=3)
        assert [part.share for part in first.parts if part.timing is Timing.ADVANCE] == [Share(10, 30), WHOLE]
        assert [(part.item.plan.key, part.timing) for part in second.parts] == [
            ("visiting", Timing.ARREARS),
            ("std", Timing.ARREARS),
            ("std", Timing.ADVANCE),
        ]
        (visited, *_) = second.parts
        assert (visited.ends_at, visited.share) == (instant("2026-06-11"), Share(10, 30))
        assert {part.item.plan.key for part in third.parts} == {"std"}


class TestTerm:
    def test_renews_with_its_uplift_which_grows_with_every_renewal(self):
        turns = lived(plan(term=term(3, uplift=Decimal("0.03"))), at="2026-06-01T12:00Z", turns=8)
        assert [turn.after.items[0].uplift for turn in turns] == [
            Decimal(factor) for factor in ["1", "1", "1", "1.03", "1.03", "1.03", "1.0609", "1.0609"]
        ]
        assert [index for index, turn in enumerate(turns) if turn.events] == [3, 6]
        assert turns[3].events == ("subscription.renewed",)
        assert [turn.after.term_ends_on for turn in (turns[0], turns[3])] == [on("2026-09-01"), on("2026-12-01")]

    def test_raises_each_line_by_the_uplift_of_its_own_plan(self):
        sold_together = (
            plan(key="a", term=term(2, uplift=Decimal("0.03"))),
            plan(key="b", term=term(2, uplift=Decimal("0.05"))),
            plan(key="evergreen"),
        )
        *_, renewed = lived(*sold_together, at="2026-06-01T12:00Z", turns=3)
        assert [item.uplift for item in renewed.after.items] == [Decimal("1.03"), Decimal("1.05"), 1]

    @pytest.mark.parametrize("other", [term(3), term(2, auto_renew=False), term(2, notice_days=30)])
    def test_is_one_for_all_lines_that_have_one(self, other: Term):
        with pytest.raises(MixedCadence, match="b and a are sold for different terms"):
            sold_cadence([plan(key="a", term=term(2)), plan(key="b", term=other)], on("2026-06-01"))

    def test_bills_the_arrears_of_the_old_term_at_its_old_prices(self):
        turns = lived(plan(fee(timing="arrears"), term=term(2, uplift=Decimal("0.5"))), at="2026-06-01T12:00Z", turns=4)
        uplifts = [[p.item.uplift for p in turn.parts if p.timing is Timing.ARREARS] for turn in turns]
        assert uplifts == [[], [Decimal(1)], [Decimal(1)], [Decimal("1.5")]]

    def test_ends_where_it_does_not_renew(self):
        turns = lived(plan(term=term(2, auto_renew=False)), at="2026-01-31T12:00Z")
        assert turns[0].after.ends_on == on("2026-03-31")
        assert [turn.after.state for turn in turns] == [ACTIVE, ACTIVE, ENDED]
        assert (turns[-1].events, turns[-1].period) == (("subscription.ended",), days("2026-02-28/2026-03-31"))

    def test_counts_whole_periods_a_stub_comes_on_top(self):
        turns = lived(plan(anchor=15, term=term(2, auto_renew=False)), at="2026-06-05T12:00Z")
        assert periods(turns) == [
            days("2026-06-05/2026-06-15"),
            days("2026-06-15/2026-07-15"),
            days("2026-07-15/2026-08-15"),
        ]

    def test_counts_from_the_end_of_a_trial(self):
        assert sold(plan(trial_days=9, term=term(2))).term_ends_on == on("2026-08-10")

    def test_of_a_licence_ends_it_without_a_period(self):
        licence = plan(setup("990.00"), interval=Interval.YEAR, term=term(1, auto_renew=False))
        _, last = lived(licence, at="2026-06-01T12:00Z")
        assert (last.at, last.after.state, last.parts) == (instant("2027-06-01"), ENDED, ())


class TestBoundary:
    def test_is_due_at_local_midnight_or_a_grace_later_where_usage_is_metered(self):
        for sold_plan, due in ((plan(), "2026-07-01T00:00"), (plan(usage(), usage_grace=HOUR), "2026-07-01T01:00")):
            (turn,) = lived(sold_plan, at="2026-06-01T12:00Z", turns=1)
            assert turn.after.next_due_at == instant(due)

    def test_belongs_to_its_own_instant_and_only_its_invoice_waits(self):
        metered = plan(fee(), usage(), usage_grace=HOUR)
        _, second = lived(metered, at="2026-06-01T12:00Z", turns=2)
        assert (second.at, second.issue_at) == (instant("2026-07-01"), instant("2026-07-01T01:00"))
        assert second.after.sections == (
            Section(starts_on=on("2026-07-01"), starts_at=instant("2026-07-01"), items=items(metered)),
        )
        arrears, advance = second.parts
        assert (arrears.timing, arrears.ends_at) == (Timing.ARREARS, instant("2026-07-01"))
        assert (advance.timing, advance.starts_at) == (Timing.ADVANCE, instant("2026-07-01"))

    def test_the_last_invoice_of_an_end_waits_too(self):
        _, last, late = lived(plan(usage(), usage_grace=HOUR, duration=10 * DAY), at="2026-06-01T12:00Z")
        assert (last.at, last.issue_at) == (instant("2026-06-11"), instant("2026-06-11T01:00"))
        assert last.after.ended_at == instant("2026-06-11")
        assert (late.at, late.parts, late.events) == (instant("2026-07-16"), (), ())
        assert (late.period, late.after.ended_at, late.after.next_due_at) == (last.period, last.after.ended_at, None)

    def test_is_ended_from_the_instant_of_the_end_though_the_invoice_waits(self):
        (turn,) = lived(plan(usage(), usage_grace=HOUR, duration=10 * DAY), at="2026-06-01T12:00Z", turns=1)
        assert turn.after.state_at(instant("2026-06-10T23:59:59")) is ACTIVE
        assert turn.after.state_at(instant("2026-06-11")) is ENDED

    def test_arrears_belong_to_the_period_that_closes_and_advance_to_the_one_that_opens(self):
        turns = lived(plan(fee(), usage()), at="2026-06-01T12:00Z", turns=3)
        seen = [[(part.timing.value, part.ordinal, part.period) for part in turn.parts] for turn in turns]
        june, july, august = (turn.period for turn in turns)
        assert seen == [
            [("once", 0, june), ("advance", 0, june)],
            [("arrears", 0, june), ("advance", 1, july)],
            [("arrears", 1, july), ("advance", 2, august)],
        ]

    def test_that_is_not_to_come_is_refused(self):
        licence = plan(setup())
        (turn,) = lived(licence, at="2026-06-01T12:00Z")
        for after in (
            turn.after,
            replace(turn.after, state=ENDED),
            replace(turn.after, state=SubscriptionState.PAUSED),
        ):
            with pytest.raises(InvalidState):
                turned(after, plans_by_ref(licence))


class TestCancelledNow:
    PLAN = plan(setup(), fee("900.00", "arrears"), usage())

    def test_does_not_bill_the_day_but_the_usage_up_to_the_instant(self):
        (first,) = lived(self.PLAN, at="2023-08-11T09:00Z", turns=1)
        turn = cancel(first.after, self.PLAN, at="2023-08-20T09:00Z")
        (part,) = turn.parts
        assert (part.timing, part.share) == (Timing.ARREARS, Share(9, 31))
        assert (part.starts_at, part.ends_at) == (instant("2023-08-11T09:00Z"), instant("2023-08-20T09:00Z"))
        assert turn.period == days("2023-08-11/2023-08-20")

    def test_bills_at_once_and_ends_at_the_instant(self):
        metered = replace(self.PLAN, usage_grace=HOUR)
        (first,) = lived(metered, at="2023-08-11T09:00Z", turns=1)
        turn = cancel(first.after, metered, at="2023-08-20T09:00Z")
        assert (turn.cause, turn.at, turn.issue_at) == ("cancel/asked",) + (instant("2023-08-20T09:00Z"),) * 2
        assert (turn.after.state, turn.after.ended_at) == (ENDED, instant("2023-08-20T09:00Z"))
        assert (turn.after.ends_on, turn.after.period) == (on("2023-08-20"), None)
        assert turn.after.next_due_at == instant("2023-09-24T09:00Z")  # the last look at late usage
        assert turn.events == ("subscription.ended",)

    @pytest.mark.parametrize(
        ("zone", "at", "share"),
        [
            ("America/Los_Angeles", "2026-03-15T07:00Z", Share(14, 31)),
            ("America/Los_Angeles", "2026-03-15T06:59Z", Share(13, 31)),
            ("Asia/Kolkata", "2026-03-14T18:30Z", Share(14, 31)),
            ("Asia/Kolkata", "2026-03-14T18:29Z", Share(13, 31)),
        ],
    )
    def test_counts_local_days_over_the_clock_change(self, zone: str, at: str, share: Share):
        (first,) = lived(self.PLAN, at="2026-03-01T12:00Z", timezone=zone, turns=1)
        assert {part.share for part in cancel(first.after, self.PLAN, at=at).parts} == {share}

    def test_of_what_does_not_recur_bills_nothing(self):
        licence = plan(setup("990.00"))
        (first,) = lived(licence, at="2026-06-01T12:00Z")
        turn = cancel(first.after, licence, at="2026-06-20T12:00Z")
        assert (turn.parts, turn.period, turn.after.state) == ((), days("2026-06-20/2026-06-20"), ENDED)

    def test_twice_is_refused(self):
        (first,) = lived(self.PLAN, at="2026-06-01T12:00Z", turns=1)
        after = cancel(first.after, self.PLAN, at="2026-06-04T12:00Z").after
        with pytest.raises(InvalidState, match="has ended"):
            cancel(after, self.PLAN, at="2026-06-05T12:00Z")

    def test_cuts_a_period_into_its_sections(self):
        """What amendments will leave behind: the old state covers [start, D), the new one [D, end)."""
        (first,) = lived(self.PLAN, at="2026-06-01T12:00Z", turns=1)
        more = tuple(replace(item, quantity=Decimal(2)) for item in first.after.items)
        changed = Section(starts_on=on("2026-06-11"), starts_at=instant("2026-06-11T10:00Z"), items=more)
        turn = cancel(
            replace(first.after, sections=(*first.after.sections, changed)), self.PLAN, at="2026-06-20T10:00Z"
        )
        assert [(part.item.quantity, part.share) for part in turn.parts] == [(1, Share(10, 30)), (2, Share(9, 30))]
        assert turn.parts[0].ends_at == turn.parts[1].starts_at == instant("2026-06-11T10:00Z")


class TestCancelledLate:
    """Days of downtime: the boundary was worked off before the cancellation that was due before it."""

    def test_takes_nothing_back_that_is_billed(self):
        sold_plan = TestCancelledNow.PLAN
        _, july = lived(sold_plan, at="2026-06-01T12:00Z", turns=2)
        turn = cancel(july.after, sold_plan, at="2026-06-20T12:00Z")
        assert [(part.period.days, part.starts_at, part.ends_at) for part in turn.parts] == [
            (0, instant("2026-07-01"), instant("2026-07-01"))
        ]
        assert turn.after.ended_at == instant("2026-07-01")


class TestCancelledWhileAnInvoiceWaitsForUsage:
    """The period closes, and the next opens, at the boundary; only the invoice waits (contract section 3)."""

    PLAN = plan(fee("30.00", "arrears"), fee("50.00", key="advance"), usage(), usage_grace=3 * DAY)

    def waiting(self) -> Subscription:
        (first,) = lived(self.PLAN, at="2026-02-01T12:00Z", turns=1)
        return first.after

    def test_closes_the_period_that_was_over_and_the_one_that_had_begun(self):
        turn = cancel(self.waiting(), self.PLAN, at="2026-03-03T10:00Z")
        february, march = days("2026-02-01/2026-03-01"), days("2026-03-01/2026-04-01")
        assert [(part.timing.value, part.period, part.whole, part.ordinal) for part in turn.parts] == [
            ("arrears", february, february, 0),
            ("advance", march, march, 1),
            ("arrears", days("2026-03-01/2026-03-03"), march, 1),
        ]
        closed, _, begun = turn.parts
        assert closed.ends_at == begun.starts_at == instant("2026-03-01")
        assert begun.ends_at == instant("2026-03-03T10:00Z")

    def test_is_one_invoice_for_the_period_it_opens_at_the_instant_of_the_cancel(self):
        turn = cancel(self.waiting(), self.PLAN, at="2026-03-01T00:00Z")
        assert (turn.cause, turn.issue_at) == ("cancel/asked", instant("2026-03-01"))
        assert turn.period == days("2026-03-01/2026-04-01")
        assert (turn.after.ends_on, turn.after.ended_at) == (on("2026-03-01"), instant("2026-03-01"))

    def test_closes_every_boundary_that_has_passed(self):
        daily = replace(self.PLAN, interval=Interval.DAY)
        (first,) = lived(daily, at="2026-06-01T12:00Z", turns=1)
        turn = cancel(first.after, daily, at="2026-06-04T10:00Z")
        arrears = [part.period for part in turn.parts if part.timing is Timing.ARREARS]
        assert arrears == [days(f"2026-06-0{n}/2026-06-0{n + 1}") for n in (1, 2, 3)] + [days("2026-06-04/2026-06-04")]

    def test_tells_of_the_renewal_that_lay_between(self):
        renewing = replace(self.PLAN, term=term(1))
        (first,) = lived(renewing, at="2026-02-01T12:00Z", turns=1)
        turn = cancel(first.after, renewing, at="2026-03-01T10:00Z")
        assert turn.events == ("subscription.renewed", "subscription.ended")

    def test_opens_the_first_period_of_a_trial_that_was_over(self):
        tried = plan(setup(), fee(), trial_days=3)
        turn = cancel(sold(tried), tried, at="2026-06-04T00:00Z")
        assert [part.timing for part in turn.parts] == [Timing.ONCE, Timing.ADVANCE, Timing.ARREARS]

    def test_is_refused_once_its_end_has_come(self):
        ending = replace(self.PLAN, duration=10 * DAY)
        (first,) = lived(ending, at="2026-06-01T12:00Z", turns=1)
        assert cancel(first.after, ending, at="2026-06-10T23:59Z").after.ends_on == on("2026-06-10")
        with pytest.raises(InvalidState, match="has ended"):
            cancel(first.after, ending, at="2026-06-11T00:00Z")


anchors = st.sampled_from(["anniversary", "calendar"]) | st.integers(1, 31)
starts = st.integers(0, 60 * 24 * 4000).map(lambda minutes: instant("2020-01-01") + minutes * MINUTE)
zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata", "America/Havana", "Asia/Beirut"]
)


@st.composite
def rhythms(draw: st.DrawFn) -> Plan:
    interval = draw(st.sampled_from(Interval))
    anchor = draw(anchors)
    assume(interval.months or isinstance(anchor, str))
    return plan(
        fee(),
        usage(),
        interval=interval,
        interval_count=draw(st.integers(1, 4)),
        anchor=anchor,
        trial_days=draw(st.sampled_from([0, 0, 1, 14])),
        usage_grace=draw(st.sampled_from([timedelta(0), HOUR, 2 * DAY])),
        duration=draw(st.none() | st.integers(1, 900).map(lambda length: length * DAY)),
    )


class TestPeriods:
    @settings(max_examples=60)
    @given(rhythms(), starts, zones)
    def test_tile_time(self, rhythm: Plan, at: datetime, zone: str):
        """Over forty periods: no gap, no overlap, in days and in instants, for what is billed ahead and behind alike."""
        turns = lived(rhythm, at=at.isoformat(), timezone=zone, turns=41)
        running = periods(turns)
        assert all(before.ends_on == after.starts_on for before, after in pairwise(running))
        assert all(period.days > 0 for period in running)
        assert [turn.after.ordinal for turn in turns if turn.after.state is ACTIVE] == list(range(len(running)))
        for timing, first in ((Timing.ADVANCE, 0), (Timing.ARREARS, 1)):
            parts = [part for turn in turns[first:] for part in turn.parts if part.timing is timing]
            assert [part.period for part in parts] == running[: len(parts)]
            assert all(before.ends_at == after.starts_at for before, after in pairwise(parts))
        assert all(before.at < after.at and before.issue_at < after.issue_at for before, after in pairwise(turns))
        if rhythm.duration:
            assert all(period.ends_on <= (turns[0].after.ends_on or date.max) for period in running)

    @settings(max_examples=60)
    @given(rhythms(), starts, zones, st.integers(0, 6), st.integers(0, 60 * 24 * 400))
    def test_tile_time_also_up_to_a_cancellation(self, rhythm: Plan, at: datetime, zone: str, ran: int, minutes: int):
        """Whenever it comes: what is billed in arrears covers all days up to it, and all instants, once."""
        turns = lived(rhythm, at=at.isoformat(), timezone=zone, turns=ran + 1)
        running = turns[-1].after
        assume(running.state is ACTIVE)
        instant_of_cancel = turns[-1].issue_at + minutes * MINUTE
        assume(running.state_at(instant_of_cancel) is ACTIVE)
        turn = cancelled(running, plans_by_ref(rhythm), at=instant_of_cancel, cause="cancel/asked")
        parts = [part for one in (*turns, turn) for part in one.parts if part.timing is Timing.ARREARS]
        assert all(
            (before.period.ends_on, before.ends_at) == (after.period.starts_on, after.starts_at)
            for before, after in pairwise(parts)
        )
        assert (parts[0].starts_at, parts[-1].ends_at) == (turns[0].at, instant_of_cancel)
        assert parts[-1].period.ends_on == instant_of_cancel.astimezone(ZoneInfo(zone)).date()
        assert all(part.period.days <= part.whole.days for part in parts)


def test_names_what_a_line_was_sold_as():
    assert activated(
        id="sub_9",
        key="q9",
        order_id="ord_9",
        customer_id="cus_9",
        timezone="UTC",
        items=(Item(position=0, plan=plan().ref),),
        plans=plans_by_ref(plan()),
        at=instant("2026-06-01"),
    ).items == (Item(position=0, plan=plan().ref),)
