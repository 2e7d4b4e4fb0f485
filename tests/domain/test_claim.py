"""An event that several lines sell is billed by the oldest that sells it at its time, and by no other."""

from dataclasses import replace
from datetime import datetime

from domain.catalog import Plan
from domain.claim import Sold, sold_by, unclaimed
from domain.measure import BilledUsage, measures
from domain.metering import Span
from domain.subscription import Plans, Subscription
from domain.turn import Claim, Part, opened, turned
from tests.domain.builders import DAY, eur, fee, instant, on, plan, plans_by_ref, setup, sold, usage

METERED = plan(usage(), usage(key="again"), fee())
OTHER = plan(usage(meter="laps"), key="other")


def running(
    *plans: Plan, id: str = "sub_1", at: str = "2026-06-01", turns: int = 0
) -> tuple[Subscription, tuple[BilledUsage, ...]]:
    """A subscription some periods on, and what was billed of its usage."""
    by_ref = plans_by_ref(*plans)
    subscription = opened(sold(*plans, id=id, at=instant(at)), by_ref).after
    billed: list[BilledUsage] = []
    for _ in range(turns):
        turn = turned(subscription, by_ref)
        billed += [rows for part in turn.parts for rows in rows_of(part, by_ref)]
        subscription = turn.after
    return subscription, tuple(billed)


def rows_of(part: Part, plans: Plans) -> list[BilledUsage]:
    charges = [charge for charge in plans[part.item.plan].charges if charge.meter and charge.timing is part.timing]
    return [BilledUsage(part=part, charge=one.key, meter=one.meter or "", billed=eur("0")) for one in charges]


def closing(subscription: Subscription, *plans: Plan) -> list[Part]:
    """What the boundary to come bills of usage."""
    by_ref = plans_by_ref(*plans)
    return [part for part in turned(subscription, by_ref).parts if rows_of(part, by_ref)]


def span(starts: str, ends: str) -> Span:
    return Span(instant(starts), instant(ends))


def sold_of(*lives: tuple[Subscription, tuple[BilledUsage, ...]], plans: Plans) -> list[Sold]:
    return [one for subscription, billed in lives for one in sold_by(subscription, billed, plans)]


BY_REF = plans_by_ref(METERED, OTHER)


class TestBetweenSubscriptions:
    def test_the_younger_bills_nothing_while_the_older_sells(self):
        older, younger = running(METERED, turns=1), running(METERED, id="sub_2", at="2026-06-11")
        (part,) = unclaimed(younger[0], closing(younger[0], METERED), sold_of(older, younger, plans=BY_REF))
        assert part.claimed == (Claim("units", span("2026-06-11", "2026-07-11")),)
        assert {measure.without for measure in measures([part], (), BY_REF)} == {
            (span("2026-06-11", "2026-07-11"),),
        }

    def test_the_older_bills_all_of_its_own(self):
        older, younger = running(METERED), running(METERED, id="sub_2", at="2026-06-11")
        (part,) = unclaimed(older[0], closing(older[0], METERED), sold_of(older, younger, plans=BY_REF))
        assert part.claimed == ()

    def test_of_two_of_one_instant_the_lower_id_is_older(self):
        first, second = running(METERED, id="sub_a"), running(METERED, id="sub_b")
        both = sold_of(first, second, plans=BY_REF)
        assert unclaimed(first[0], closing(first[0], METERED), both)[0].claimed == ()
        assert unclaimed(second[0], closing(second[0], METERED), both)[0].claimed != ()

    def test_what_happened_before_the_older_ended_is_its_and_what_came_after_is_not(self):
        older, billed = running(METERED, turns=1)
        ended = replace(older, ends_on=on("2026-07-05"))
        younger = running(METERED, id="sub_2", at="2026-06-11")
        sold_ = sold_of((ended, billed), younger, plans=BY_REF)
        (part,) = unclaimed(younger[0], closing(younger[0], METERED), sold_)
        assert part.claimed == (Claim("units", span("2026-06-11", "2026-07-05")),)

    def test_what_an_ended_one_billed_stays_its(self):
        older, billed = running(METERED, turns=2)
        ended = turned(replace(older, ends_on=on("2026-09-01")), BY_REF).after
        younger = running(METERED, id="sub_2", at="2026-07-15")
        sold_ = sold_of((ended, billed), younger, plans=BY_REF)
        (part,) = unclaimed(younger[0], closing(younger[0], METERED), sold_)
        assert part.claimed == (Claim("units", span("2026-07-15", "2026-08-01")),)

    def test_another_meter_is_another_matter(self):
        older, younger = running(OTHER), running(METERED, id="sub_2", at="2026-06-11")
        (part,) = unclaimed(younger[0], closing(younger[0], METERED), sold_of(older, younger, plans=BY_REF))
        assert [measure.without for measure in measures([part], (), BY_REF)] == [()]

    def test_a_trial_claims_nothing_until_its_end_and_all_from_then_on_though_its_books_lag(self):
        trial = plan(usage(), trial_days=14)
        older, younger = sold(trial, at=instant("2026-06-01")), running(METERED, id="sub_2", at="2026-06-02")
        sold_ = sold_of((older, ()), younger, plans={**BY_REF, **plans_by_ref(trial)})
        (part,) = unclaimed(younger[0], closing(younger[0], METERED), sold_)
        assert part.claimed == (Claim("units", span("2026-06-15", "2026-07-02")),)

    def test_a_trial_of_what_never_recurs_claims_nothing(self):
        trial = plan(setup(), trial_days=14)
        assert list(sold_by(sold(trial), (), plans_by_ref(trial))) == []


class TestWithinOne:
    def test_the_first_line_bills_and_the_next_does_not(self):
        two = (METERED, plan(usage(), key="second"))
        life = running(*two)
        first, second = unclaimed(life[0], closing(life[0], *two), sold_of(life, plans=plans_by_ref(*two)))
        assert (first.claimed, second.claimed) == ((), (Claim("units", span("2026-06-01", "2026-07-01")),))

    def test_the_next_line_bills_from_where_the_first_has_ended(self):
        two = (plan(usage(), duration=10 * DAY), plan(usage(), key="second"))
        life = running(*two)
        _, second = unclaimed(life[0], closing(life[0], *two), sold_of(life, plans=plans_by_ref(*two)))
        assert second.claimed == (Claim("units", span("2026-06-01", "2026-06-11")),)

    def test_two_charges_of_one_line_both_price_its_usage(self):
        life = running(METERED)
        (part,) = unclaimed(life[0], closing(life[0], METERED), sold_of(life, plans=BY_REF))
        assert part.claimed == ()


def test_claims_that_touch_or_overlap_are_one():
    younger, _ = running(METERED, id="sub_2")
    ages = [(datetime.min.replace(tzinfo=younger.activated_at.tzinfo), f"sub_{n}", 0) for n in range(3)]
    sold_ = [
        Sold(ages[0], "units", instant("2026-06-05"), instant("2026-06-10")),
        Sold(ages[1], "units", instant("2026-05-01"), instant("2026-06-05")),
        Sold(ages[1], "units", instant("2026-06-07"), instant("2026-06-08")),
        Sold(ages[2], "units", instant("2026-06-20"), None),
        Sold(ages[2], "units", instant("2026-08-01"), None),
    ]
    (part,) = unclaimed(younger, closing(younger, METERED), sold_)
    assert part.claimed == (
        Claim("units", span("2026-06-01", "2026-06-10")),
        Claim("units", span("2026-06-20", "2026-07-01")),
    )
