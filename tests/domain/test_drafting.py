from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.catalog import Aggregation, Interval, Matrix, MatrixPrice, Package, Plan, Tier, Timing, Volume
from domain.commitment import counted_since
from domain.discount import Discount
from domain.invoice import LineKind
from domain.measure import measures
from domain.money import Money, total
from domain.rating import Share
from domain.turn import Turn, opened, turned
from tests.domain.builders import (
    DAY,
    Life,
    amount_off,
    commitment,
    days,
    fee,
    instant,
    percent,
    plan,
    plans_by_ref,
    setup,
    shown,
    sold,
    term,
    usage,
)

PACKAGES = Package(
    key="usage", timing=Timing.ARREARS, meter="units", package_size=Decimal(100), package_amount=Decimal("2.95")
)
CLIFF = Volume(
    key="usage",
    timing=Timing.ARREARS,
    meter="units",
    tiers=(
        Tier(up_to=Decimal(5), flat_amount=Decimal(100)),
        Tier(up_to=Decimal(10), flat_amount=Decimal(150)),
        Tier(up_to=Decimal(15), unit_amount=Decimal(10)),
        Tier(up_to=None, unit_amount=Decimal(5)),
    ),
)


def test_a_level_is_averaged_over_whole_days_from_the_midnight_at_which_the_first_began():
    sold_ = sold(plan(usage()), at=instant("2026-06-01T12:00Z"), timezone="Europe/Berlin")
    by_ref = plans_by_ref(plan(usage()))
    first = turned(opened(sold_, by_ref).after, by_ref)
    second = turned(first.after, by_ref)
    read = [one for turn in (first, second) for one in measures(turn.parts, (), by_ref)]
    assert [(one.opens_at, one.starts_at) for one in read] == [
        (instant("2026-05-31T22:00Z"), instant("2026-06-01T12:00Z")),
        (instant("2026-06-30T22:00Z"), instant("2026-06-30T22:00Z")),
    ]


class TestOrderOfLines:
    def test_once_and_advance_stand_together_in_the_order_of_the_price_book(self):
        life = Life(
            plan(fee("10.00", key="a"), setup("20.00", key="b"), fee("30.00", key="c"), setup("40.00", key="d"))
        )
        assert [charge for charge, _, _ in shown(life.invoices[0])] == ["a", "b", "c", "d"]

    def test_item_by_item_in_the_order_in_which_they_were_sold(self):
        first = plan(fee(key="z"), setup(key="a"), key="first")
        second = plan(setup(key="b"), fee(key="y"), key="second")
        life = Life(first, second)
        assert [charge for charge, _, _ in shown(life.invoices[0])] == ["z", "a", "b", "y"]

    def test_arrears_of_the_closed_period_first_then_what_came_late_then_what_opens_then_discounts(self):
        life = Life(
            plan(fee("10.00", key="base"), usage("1.00"), fee("5.00", "arrears", key="desk")), discounts=[percent("10")]
        )
        life.use("2026-06-10", "3")
        life.turn()
        life.use("2026-06-20", "2")
        life.use("2026-07-10", "4")
        life.turn()
        assert shown(life.invoices[-1]) == [
            ("usage", "usage", "4.00"),
            ("desk", "recurring", "5.00"),
            ("usage", "late_usage", "2.00"),
            ("base", "recurring", "10.00"),
            ("usage", "discount", "-0.40"),
            ("desk", "discount", "-0.50"),
            ("usage", "discount", "-0.20"),
            ("base", "discount", "-1.00"),
        ]

    def test_late_usage_says_how_much_more_is_billed(self):
        life = Life(plan(PACKAGES, interval=Interval.WEEK))
        life.use("2026-06-02", "100")
        life.turn()
        life.use("2026-06-03", "-3")  # costs and saves nothing
        assert life.turn().invoice is None
        life.use("2026-06-04", "10")
        (line,) = life.turn().invoice.lines
        assert (line.kind, line.quantity, line.amount.text) == (LineKind.LATE_USAGE, "7", "2.95")

    def test_late_usage_past_what_is_included_says_what_is_billed(self):
        life = Life(plan(usage("1.00", included=Decimal(4)), interval=Interval.WEEK))
        life.use("2026-06-02", "3")
        life.turn()
        life.use("2026-06-03", "3")
        (line,) = life.turn().invoice.lines
        assert (line.kind, line.quantity, line.amount.text) == (LineKind.LATE_USAGE, "2", "2.00")

    def test_each_carries_the_days_that_it_is_for(self):
        life = Life(plan(fee("10.00", key="base"), usage("1.00")))
        life.use("2026-06-10")
        closed, opens = life.turn().invoice.lines
        assert (closed.period, opens.period) == (days("2026-06-01/2026-07-01"), days("2026-07-01/2026-08-01"))
        assert life.invoices[-1].period == days("2026-07-01/2026-08-01")


class TestUsage:
    def test_is_billed_in_arrears_with_the_next_advance(self):
        """50 and 300 units in packages of 100 (scenario-usage-boundary-event)."""
        life = Life(plan(setup("1.00"), PACKAGES), starts="2012-05-01T00:30")
        life.use("2012-05-01T08:00", "50")
        life.use("2012-06-01T00:00", "300")
        life.run_through("2012-07-05")
        assert life.totals == ["1.00", "2.95", "8.85"]

    def test_of_the_day_of_a_cancellation_counts_up_to_its_instant(self):
        """350 units, 11.80 (scenario-usage-on-cancel-day)."""
        life = Life(plan(setup("1.00"), PACKAGES), starts="2012-05-01T00:30")
        life.use("2012-05-01T08:00", "50")
        life.use("2012-05-16T09:00", "300")
        life.use("2012-05-16T12:00", "1000")
        life.cancel("2012-05-16T12:00")
        assert life.totals == ["1.00", "11.80"]

    def test_before_the_instant_of_activation_does_not_count(self):
        life = Life(plan(setup(), usage()), starts="2026-06-01T12:00")
        life.use("2026-06-01T11:59")
        assert life.turn().invoice is None

    def test_in_a_trial_is_free(self):
        """scenario-trial-10-usage-free."""
        life = Life(plan(fee("50000.00"), usage("10.00"), trial_days=10), starts="2024-03-05T12:12")
        life.use("2024-03-08T12:00", "5")
        life.use("2024-03-20T12:00")
        life.run_through("2024-05-01")
        assert life.totals == ["50000.00", "50010.00"]
        assert life.invoices[0].period == days("2024-03-15/2024-04-15")

    def test_is_a_line_per_group_of_a_matrix(self):
        courts = Matrix(
            key="courts",
            timing=Timing.ARREARS,
            meter="hours",
            dimensions=("court",),
            prices=(MatrixPrice(match={"court": "1"}, unit_amount=Decimal(12)),),
            default=Decimal(8),
        )
        life = Life(plan(fee("10.00"), courts))
        life.use("2026-06-10", "2", meter="hours", court="2")
        life.use("2026-06-11", "1", meter="hours", court="1")
        lines = life.turn().invoice.lines
        assert [(line.description, line.amount.text) for line in lines[:2]] == [
            ("Std: courts (court 1)", "12.00"),
            ("Std: courts (court 2)", "16.00"),
        ]

    def test_follows_the_aggregation_of_its_meter(self):
        life = Life(plan(usage("2.00")))
        life.aggregations["units"] = Aggregation.MAX
        for value in ("3", "7", "5"):
            life.use("2026-06-10", value)
        assert life.turn().invoice.total.text == "14.00"

    def test_is_asked_for_once_however_many_charges_count_it(self):
        sold_plan = plan(usage(key="a"), usage(key="b"), fee(timing="arrears"))
        by_ref = plans_by_ref(sold_plan)
        turn = turned(opened(sold(sold_plan), by_ref).after, by_ref)
        (one,) = measures(turn.parts, (), by_ref)
        assert (one.meter, one.events, one.dimensions) == ("units", False, ())

    def test_lines_show_no_proration_though_their_period_is_partial(self):
        life = Life(plan(fee(), usage(), anchor=15))
        life.use("2026-06-10", "3")
        assert life.turn().invoice.lines[0].proration is None


class TestNothingToBill:
    def test_is_no_invoice_but_the_usage_is_remembered(self):
        life = Life(plan(usage()))
        assert life.invoices == []
        draft = life.turn()
        assert draft.invoice is None
        assert [(one.charge, one.billed.text, one.part.period) for one in draft.billed] == [
            ("usage", "0.00", days("2026-06-01/2026-07-01"))
        ]

    def test_can_still_be_late(self):
        life = Life(plan(usage()))
        life.turn()
        life.use("2026-06-10", "3")
        assert shown(life.turn().invoice) == [("usage", "late_usage", "3.00")]

    def test_is_what_a_price_of_nothing_is_not(self):
        life = Life(plan(fee("0.00")))
        assert (shown(life.invoices[0]), life.totals) == ([("fee", "recurring", "0.00")], ["0.00"])

    def test_is_what_no_day_costs(self):
        """Cancelled on its first day: the day is not billed, so there is no line for it, and no invoice."""
        life = Life(plan(fee("30.00", "arrears"), usage()))
        assert life.cancel("2026-06-01T18:00").invoice is None

    def test_is_not_what_was_used_on_that_day(self):
        life = Life(plan(fee("30.00", "arrears"), usage("1.00", minimum=Decimal(10))))
        life.use("2026-06-01T13:00", "3")
        assert shown(life.cancel("2026-06-01T18:00").invoice) == [("usage", "usage", "3.00")]


class TestPartialPeriods:
    @pytest.mark.parametrize(
        ("interval", "anchor", "amount", "starts", "totals"),
        [
            ("month", 15, "10.00", "2011-09-01T09:00", ["4.52", "10.00"]),
            ("quarter", "calendar", "92.00", "2025-10-08T09:05", ["85.00", "92.00"]),
            ("year", "calendar", "1200.00", "2021-01-10T08:05", ["1170.41", "1200.00"]),
            ("month", "calendar", "30.00", "2026-04-18T09:05", ["13.00", "30.00"]),
        ],
    )
    def test_stubs_cost_their_days(self, interval: str, anchor: str | int, amount: str, starts: str, totals: list[str]):
        """The figures of scenario-anchor-15-stub, om-scenario-stub-quarter, -stub-year, -reset-month-auckland."""
        life = Life(plan(fee(amount), interval=Interval(interval), anchor=anchor), starts=starts)
        life.turn()
        assert life.totals == totals

    @pytest.mark.parametrize(
        ("interval", "amount", "starts", "cancelled_at", "total_"),
        [
            ("month", "900.00", "2023-08-11T09:00", "2023-08-20T09:00", "261.29"),
            ("month", "900.00", "2023-08-11T09:00", "2023-08-15T09:00", "116.13"),
            ("quarter", "9.00", "2024-01-01T09:05", "2024-02-01T00:30", "3.07"),
        ],
    )
    def test_arrears_of_a_cancellation_cost_their_days(
        self, interval: str, amount: str, starts: str, cancelled_at: str, total_: str
    ):
        """The figures of scenario-cancel-arrears-now, -arrears-four-days, om-scenario-cancel-quarter-arrears."""
        life = Life(plan(setup("1.00"), fee(amount, "arrears"), interval=Interval(interval)), starts=starts)
        life.cancel(cancelled_at)
        assert life.totals == ["1.00", total_]

    def test_start_and_cancel_inside_one_stub(self):
        """31 days of a quarter of 91 (scenario-cancel-quarter-calendar)."""
        quarterly = plan(setup("1.00"), fee("910.00", "arrears"), interval=Interval.QUARTER, anchor="calendar")
        life = Life(quarterly, starts="2024-05-20T10:00")
        life.cancel("2024-06-20T10:00")
        assert life.totals == ["1.00", "310.00"]
        assert life.invoices[1].lines[0].proration == Share(31, 91)

    def test_are_shown_on_the_lines_they_prorate(self):
        charges = (
            setup(),
            fee("10.00", key="daily"),
            fee("10.00", key="whole", prorate="none"),
            usage("1.00", minimum=Decimal(20)),
            commitment("100.00", "usage"),
        )
        life = Life(plan(*charges, anchor="calendar"), starts="2026-06-16T12:00")
        assert [(line.charge, line.amount.text, line.proration) for line in life.invoices[0].lines] == [
            ("setup", "1.00", None),
            ("daily", "5.00", Share(15, 30)),
            ("whole", "10.00", None),
        ]
        life.use("2026-06-20", "4")
        arrears = life.turn().invoice.lines[:3]
        assert [(line.kind.value, line.amount.text, line.proration) for line in arrears] == [
            ("usage", "4.00", None),
            ("minimum", "6.00", Share(15, 30)),
            ("true_up", "40.00", Share(15, 30)),
        ]

    def test_of_a_plan_that_ends_by_itself_do_not_touch_the_others(self):
        visiting = plan(fee("30.00", key="visit"), key="visiting", duration=10 * DAY)
        life = Life(visiting, plan(fee("60.00")))
        life.turn()
        assert [shown(invoice) for invoice in life.invoices] == [
            [("visit", "recurring", "10.00"), ("fee", "recurring", "60.00")],
            [("fee", "recurring", "60.00")],
        ]


class TestMinimum:
    METERED = usage("8.00", minimum=Decimal(10))

    def test_is_due_without_usage(self):
        life = Life(plan(self.METERED))
        assert shown(life.turn().invoice) == [("usage", "minimum", "10.00")]

    @pytest.mark.parametrize(
        ("used", "lines"),
        [("1", [("usage", "usage", "8.00"), ("usage", "minimum", "2.00")]), ("2", [("usage", "usage", "16.00")])],
    )
    def test_is_what_is_missing_to_it(self, used: str, lines: list[tuple[str, str, str]]):
        life = Life(plan(self.METERED))
        life.use("2026-06-10", used)
        assert shown(life.turn().invoice) == lines

    def test_shrinks_with_the_days_of_a_cancellation(self):
        """16 units on the volume cliff are 80.00, over the minimum of 11 days in 30 (om-scenario-minimum-at-cancel)."""
        life = Life(plan(fee("10.00"), replace(CLIFF, minimum=Decimal(150), maximum=Decimal(300))))
        life.use("2026-06-03T10:00", "16")
        life.cancel("2026-06-12T10:00")
        assert life.totals == ["10.00", "80.00"]

    def test_and_maximum_bound_whole_periods(self):
        """om-scenario-minimum-maximum, -minimum-maximum-2."""
        life = Life(plan(fee("10.00"), usage("10.00", minimum=Decimal(130), maximum=Decimal(170))))
        for month, used in (("06", "22"), ("07", "13"), ("08", "15")):
            life.use(f"2026-{month}-10", used)
        life.run_through("2026-09-02")
        assert life.totals == ["10.00", "180.00", "140.00", "160.00"]


class TestCommitment:
    def test_is_trued_up_to_what_is_missing_and_no_further(self):
        """om-scenario-commitment-period."""
        life = Life(plan(fee("10.00"), usage("1.00"), commitment("500.00", "usage")))
        life.use("2026-06-10", "620")
        life.use("2026-07-10", "340")
        life.run_through("2026-08-02")
        assert life.totals == ["10.00", "630.00", "510.00"]
        assert shown(life.invoices[2])[:2] == [("usage", "usage", "340.00"), ("commit", "true_up", "160.00")]

    def test_shrinks_with_the_days_and_counts_shrunk_charges(self):
        """Two days of a leap February: 6.90 + 10.00 + 672.76 (scenario-commitment-leap-february)."""
        charges = (setup("1.00"), fee("100.00", "arrears"), usage("1.00"), commitment("10000.00", "fee", "usage"))
        life = Life(plan(*charges, anchor="calendar"), starts="2024-02-28T10:00")
        life.use("2024-02-28T12:00", "10")
        life.run_through("2024-04-05")
        assert life.totals == ["1.00", "689.66", "10000.00"]
        assert [amount for _, _, amount in shown(life.invoices[1])] == ["6.90", "10.00", "672.76"]

    def test_in_a_stub_of_25_days(self):
        """scenario-commitment-stub-month."""
        charges = (setup("1.00"), fee("1000.00", "arrears"), commitment("10000.00", "fee"))
        life = Life(plan(*charges, anchor="calendar"), starts="2023-02-04T09:00")
        life.run_through("2023-04-05")
        assert life.totals == ["1.00", "8928.57", "10000.00"]

    def test_counts_minimums_and_comes_before_discounts(self):
        metered = usage("1.00", minimum=Decimal(50))
        life = Life(plan(metered, commitment("100.00", "usage")), discounts=[percent("50")])
        life.use("2026-06-10", "20")
        assert shown(life.turn().invoice) == [
            ("usage", "usage", "20.00"),
            ("usage", "minimum", "30.00"),
            ("commit", "true_up", "50.00"),
            ("usage", "discount", "-10.00"),
            ("usage", "discount", "-15.00"),
            ("commit", "discount", "-25.00"),
        ]

    def test_counts_what_was_paid_in_advance(self):
        life = Life(plan(fee("30.00"), usage("1.00"), commitment("100.00", "fee", "usage")))
        life.use("2026-06-10", "20")
        assert shown(life.turn().invoice)[:2] == [("usage", "usage", "20.00"), ("commit", "true_up", "50.00")]

    def test_counts_what_is_charged_once_in_the_period_in_which_it_was(self):
        life = Life(plan(setup("30.00"), usage("1.00"), commitment("100.00", "setup", "usage")))
        life.turn()
        life.turn()
        assert [shown(invoice)[-1] for invoice in life.invoices[1:]] == [
            ("commit", "true_up", "70.00"),
            ("commit", "true_up", "100.00"),
        ]

    @pytest.mark.parametrize(
        ("late", "lines", "true_up_left"),
        [
            ("100", [("usage", "late_usage", "100.00"), ("commit", "late_usage", "-100.00")], "60.00"),
            ("200", [("usage", "late_usage", "200.00"), ("commit", "late_usage", "-160.00")], "0.00"),
        ],
    )
    def test_is_rated_again_with_what_came_late(self, late: str, lines: list[tuple[str, str, str]], true_up_left: str):
        """Late usage re-rates the whole period: 340 and 100 of a committed 500 cost 500, as if nothing had been late."""
        life = Life(plan(fee("10.00"), usage("1.00"), commitment("500.00", "usage")))
        life.use("2026-06-10", "340")
        life.turn()
        life.use("2026-06-20", late)
        life.use("2026-07-10", "500")
        assert shown(life.turn().invoice)[1:-1] == lines
        on_time = max(Decimal(500), 340 + Decimal(late))
        of_june = [
            line.amount
            for invoice in life.invoices
            for line in invoice.lines
            if line.period == days("2026-06-01/2026-07-01") and line.charge != "fee"
        ]
        assert total(of_june, "EUR").text == f"{on_time:.2f}"

    def test_that_was_exceeded_is_not_touched_by_what_came_late(self):
        life = Life(plan(usage("1.00"), commitment("500.00", "usage")))
        life.use("2026-06-10", "620")
        life.turn()
        life.use("2026-06-20", "10")
        assert ("commit", "late_usage", "0.00") not in shown(life.turn().invoice)


class TestCommitmentOverATerm:
    THREE = (
        usage("1.00", minimum=Decimal(5)),
        fee("10.00"),
        commitment("300.00", "usage", "fee", key="term", over="term"),
    )

    def lines(self, life: Life, kind: str) -> list[tuple[str, str, str]]:
        """When it was billed, the charge and the amount of each line of the kind."""
        return [
            (str(invoice.period.starts_on), line.charge, line.amount.text)
            for invoice in life.invoices
            for line in invoice.lines
            if line.kind == kind
        ]

    def test_is_due_whole_at_each_terms_end_counting_all_of_its_periods(self):
        life = Life(plan(*self.THREE, term=term(3)))
        life.use("2026-06-10", "80")
        life.use("2026-08-10", "150")
        life.run_through("2026-12-02")
        # 80 + 5 (the minimum) + 150 and three fees of 10; then three minimums and three fees.
        assert self.lines(life, "true_up") == [("2026-09-01", "term", "35.00"), ("2026-12-01", "term", "255.00")]

    def test_counts_the_stub_before_its_first_whole_period(self):
        life = Life(
            plan(usage("1.00"), commitment("300.00", "usage", over="term"), anchor="calendar", term=term(1)),
            starts="2026-06-11T12:00",
        )
        life.use("2026-06-12", "100")
        life.use("2026-07-12", "50")
        life.run_through("2026-08-02")
        assert self.lines(life, "true_up") == [("2026-08-01", "commit", "150.00")]

    @pytest.mark.parametrize("day", ["2026-06-01T18:00", "2026-07-01T00:00", "2026-07-20T12:00"])
    def test_is_due_whole_at_an_earlier_end(self, day: str):
        life = Life(plan(usage("1.00"), commitment("300.00", "usage", over="term"), term=term(3)))
        life.use("2026-06-01T13:00", "80")
        life.run_through("2026-07-01T00:00" if day > "2026-07-01" else "2026-06-02")
        life.cancel(day)
        assert [amount for _, _, amount in self.lines(life, "true_up")] == ["220.00"]

    @pytest.mark.parametrize("day", ["2026-06-01T18:00", "2026-06-20T12:00"])
    def test_counts_whole_what_was_paid_in_advance_and_is_not_credited(self, day: str):
        life = Life(plan(fee("30.00"), commitment("300.00", "fee", over="term"), term=term(3)))
        life.cancel(day)
        assert life.totals == ["30.00", "270.00"]

    def test_closes_with_what_was_sold_for_a_while(self):
        visiting = plan(usage("1.00"), commitment("300.00", "usage", over="term"), key="visiting", duration=40 * DAY)
        life = Life(visiting, plan())
        life.use("2026-06-10", "80")
        life.use("2026-07-05", "20")
        life.run_through("2026-10-02")
        assert self.lines(life, "true_up") == [("2026-08-01", "commit", "200.00")]

    def test_is_lowered_by_usage_that_comes_late_and_only_after_it_was_billed(self):
        life = Life(
            plan(usage("1.00"), commitment("300.00", "usage", over="term"), interval=Interval.WEEK, term=term(2))
        )
        life.use("2026-06-02", "80")
        life.turn()
        life.use("2026-06-03", "20")
        assert shown(life.turn().invoice) == [("commit", "true_up", "200.00"), ("usage", "late_usage", "20.00")]
        life.use("2026-06-04", "150")
        assert shown(life.turn().invoice) == [("usage", "late_usage", "150.00"), ("commit", "late_usage", "-150.00")]
        life.use("2026-06-09", "60")
        assert shown(life.turn().invoice) == [
            ("commit", "true_up", "300.00"),
            ("usage", "late_usage", "60.00"),
            ("commit", "late_usage", "-50.00"),
        ]

    def test_of_a_term_that_closed_weeks_ago_still_counts_all_of_it(self):
        life = Life(
            plan(usage("1.00"), commitment("300.00", "usage", over="term"), interval=Interval.WEEK, term=term(2))
        )
        life.use("2026-06-02", "80")
        life.run_through("2026-06-29")
        life.use("2026-06-10", "20")
        assert shown(life.turn().invoice) == [("usage", "late_usage", "20.00"), ("commit", "late_usage", "-20.00")]

    @pytest.mark.parametrize(
        ("since", "began"),
        [
            ("2026-12-20", "2026-12-01"),
            ("2026-12-01", "2026-12-01"),
            ("2026-11-30", "2026-09-01"),
            ("2026-08-31", "2026-06-01T12:00"),
            ("2026-05-20", "2026-05-20"),
        ],
    )
    def test_asks_for_what_was_billed_since_the_term_began_and_no_earlier(self, since: str, began: str):
        life = Life(plan(*self.THREE, term=term(3)))
        life.run_through("2026-12-02")
        assert counted_since(life.subscription, life.plans, instant(since)) == instant(began)

    def test_without_one_asks_for_nothing_more(self):
        life = Life(plan(usage(), term=term(3)))
        assert counted_since(life.subscription, life.plans, instant("2026-06-20")) == instant("2026-06-20")

    def test_is_each_lines_own(self):
        life = Life(
            *(
                plan(usage("1.00", meter=meter), commitment("100.00", "usage", over="term"), key=meter, term=term(1))
                for meter in ("a", "b")
            )
        )
        life.use("2026-06-10", "80", meter="a")
        life.run_through("2026-07-02")
        assert [amount for _, _, amount in self.lines(life, "true_up")] == ["20.00", "100.00"]


class TestLateUsage:
    def test_bills_the_difference_to_what_was_billed(self):
        """50 are a package, 249 are three (scenario-late-usage-rerated)."""
        life = Life(plan(fee("10.00"), PACKAGES), starts="2012-05-01T00:30")
        life.use("2012-05-10T12:00", "50")
        life.turn()
        life.use("2012-05-20T12:00", "199")
        life.use("2012-06-16T12:00", "300")
        life.turn()
        assert life.totals == ["10.00", "12.95", "24.75"]
        (late,) = (line for line in life.invoices[-1].lines if line.kind is LineKind.LATE_USAGE)
        assert (late.amount.text, late.period) == ("5.90", days("2012-05-01/2012-06-01"))

    def test_may_make_a_period_cheaper(self):
        """Over the cliff: 15 units cost 150, 16 cost 80 (om-scenario-late-usage-over-the-cliff)."""
        life = Life(plan(fee("100.00"), CLIFF), starts="2026-06-01T09:05")
        life.use("2026-06-10T10:00", "15")
        life.turn()
        life.use("2026-06-29T10:00", "1")
        life.use("2026-07-10T10:00", "7")
        life.turn()
        assert life.totals == ["100.00", "250.00", "180.00"]
        assert ("usage", "late_usage", "-70.00") in shown(life.invoices[-1])

    def test_is_billed_once(self):
        life = Life(plan(usage()))
        life.use("2026-06-10", "3")
        life.turn()
        life.use("2026-06-20", "2")
        assert shown(life.turn().invoice) == [("usage", "late_usage", "2.00")]
        assert life.turn().invoice is None

    def test_is_billed_though_the_next_boundary_is_more_than_its_age_away(self):
        """It came on 4 July, 34 days old; the boundary that bills it is on 1 August."""
        life = Life(plan(usage()), starts="2026-05-01T12:00")
        life.run_through("2026-07-02")
        life.use("2026-05-31", "2")
        assert shown(life.turn().invoice) == [("usage", "late_usage", "2.00")]

    def test_that_comes_in_pieces_adds_up_to_the_whole(self):
        weekly = plan(PACKAGES, interval=Interval.WEEK)
        life = Life(weekly)
        for value in ("50", "30", "40", "100"):
            life.use("2026-06-02", value)
            life.turn()
        assert [shown(invoice)[-1] for invoice in life.invoices] == [
            ("usage", "usage", "2.95"),
            ("usage", "late_usage", "2.95"),
            ("usage", "late_usage", "2.95"),
        ]

    def test_that_is_covered_by_a_minimum_changes_nothing(self):
        life = Life(plan(usage("1.00", minimum=Decimal(10))))
        life.use("2026-06-10", "3")
        life.turn()
        life.use("2026-06-11", "4")
        assert shown(life.turn().invoice) == [("usage", "minimum", "10.00")]

    def test_arriving_in_the_grace_is_not_late(self):
        """110 units are two packages (scenario-late-usage-in-grace)."""
        life = Life(plan(fee("10.00"), PACKAGES), starts="2012-05-01T00:30")
        life.use("2012-05-10T12:00", "50")
        life.use("2012-05-31T23:50", "60")
        life.turn()
        assert life.totals == ["10.00", "15.90"]

    def test_after_a_cancellation_is_found_on_an_invoice_of_its_own(self):
        life = Life(plan(fee("10.00"), usage("1.00")))
        life.cancel("2026-06-10T10:00")
        life.use("2026-06-09", "5")
        found_at = instant("2026-06-12")
        alone = Turn(
            cause="late-usage/1",
            at=found_at,
            issue_at=found_at,
            period=days("2026-06-01/2026-06-10"),
            parts=(),
            after=life.subscription,
        )
        assert shown(life.drafted(alone).invoice) == [("usage", "late_usage", "5.00")]

    def test_is_discounted_like_the_period_it_lies_in(self):
        life = Life(plan(fee("10.00"), usage("1.00")), discounts=[percent("10", 1)])
        life.turn()
        life.use("2026-06-20", "20")
        life.use("2026-07-20", "30")
        assert shown(life.turn().invoice) == [
            ("usage", "usage", "30.00"),
            ("usage", "late_usage", "20.00"),
            ("fee", "recurring", "10.00"),
            ("usage", "discount", "-2.00"),
        ]

    @pytest.mark.parametrize(
        ("early", "late", "charged"),
        [("20", "10", "25.00"), ("3", "10", "8.00"), ("3", "1", "0.00"), ("20", "-18", "0.00")],
    )
    def test_does_not_take_a_fixed_discount_twice(self, early: str, late: str, charged: str):
        """A plan with arrears alone: 5.00 off June are off June once, whenever its usage arrives."""
        life = Life(plan(usage("1.00")), discounts=[amount_off("5.00", 1)])
        life.use("2026-06-10", early)
        life.turn()
        life.use("2026-06-20", late)
        life.turn()
        assert total((invoice.total for invoice in life.invoices), "EUR").text == charged


class TestDiscounts:
    @pytest.mark.parametrize(
        ("off", "amount", "tax", "totals"),
        [
            (percent("20", 3), "3.00", "0.20", ["2.88", "2.88", "2.88", "3.60"]),
            (percent("15", 2), "80.00", "0.19", ["80.92", "80.92", "95.20", "95.20"]),
            (amount_off("5.00", 2), "30.00", "0", ["25.00", "25.00", "30.00", "30.00"]),
            (amount_off("50.00", 1), "30.00", "0.19", ["0.00", "35.70", "35.70", "35.70"]),
        ],
    )
    def test_last_for_their_periods(self, off: Discount, amount: str, tax: str, totals: list[str]):
        """scenario-coupon-20-three-periods, om-scenario-percent-off-for-a-while."""
        life = Life(plan(fee(amount)), discounts=[off], tax=tax)
        for _ in range(3):
            life.turn()
        assert life.totals == totals

    def test_count_a_stub_as_a_period(self):
        life = Life(plan(fee("10.00"), anchor=15), discounts=[percent("50", 1)], starts="2011-09-01T09:00")
        life.turn()
        assert life.totals == ["2.26", "10.00"]

    def test_follow_the_period_of_a_line_not_its_invoice(self):
        life = Life(plan(fee("10.00"), usage("1.00")), discounts=[percent("50", 1)])
        life.use("2026-06-10", "8")
        life.turn()
        assert shown(life.invoices[1]) == [
            ("usage", "usage", "8.00"),
            ("fee", "recurring", "10.00"),
            ("usage", "discount", "-4.00"),
        ]

    def test_of_a_fixed_amount_come_off_what_the_period_opens_with(self):
        life = Life(plan(setup("20.00"), fee("10.00"), usage("1.00")), discounts=[amount_off("3.00")])
        life.use("2026-06-10", "8")
        life.turn()
        assert [shown(invoice)[-2:] for invoice in life.invoices] == [
            [("setup", "discount", "-2.00"), ("fee", "discount", "-1.00")],
            [("fee", "recurring", "10.00"), ("fee", "discount", "-3.00")],
        ]

    def test_of_a_fixed_amount_come_off_the_arrears_where_nothing_opens(self):
        life = Life(plan(usage("1.00")), discounts=[amount_off("3.00", 2)])
        for month in ("06", "07", "08"):
            life.use(f"2026-{month}-10", "8")
            life.turn()
        assert life.totals == ["5.00", "5.00", "8.00"]

    def test_of_a_fixed_amount_outlive_a_fee_that_is_charged_once(self):
        """Off the joining fee in the first period, off the usage in each that opens with nothing."""
        life = Life(plan(setup("20.00"), usage("1.00")), discounts=[amount_off("3.00", 3)])
        for month in ("06", "07", "08", "09"):
            life.use(f"2026-{month}-10", "8")
            life.turn()
        assert life.totals == ["17.00", "8.00", "5.00", "5.00", "8.00"]

    def test_are_one_line_for_each_line_discounted(self):
        life = Life(plan(fee("10.00", key="a"), fee("0.00", key="b"), fee("20.00", key="c")), discounts=[percent("10")])
        lines = [line for line in life.invoices[0].lines if line.kind is LineKind.DISCOUNT]
        assert [(line.charge, line.amount.text, line.description) for line in lines] == [
            ("a", "-1.00", "Discount on Std: a"),
            ("c", "-2.00", "Discount on Std: c"),
        ]

    def test_of_an_item_leave_the_others_alone(self):
        life = Life(plan(fee("10.00"), key="one"), plan(fee("10.00"), key="two"))
        first, second = life.subscription.items
        section = life.subscription.sections[0]
        discounted = replace(section, items=(first, replace(second, discounts=(percent("50"),))))
        life.subscription = replace(life.subscription, sections=(discounted,))
        assert shown(life.turn().invoice)[-1] == ("fee", "discount", "-5.00")


class TestUplift:
    def test_raises_licensed_prices_and_no_usage(self):
        renewing = plan(fee("49.00"), usage("1.00"), term=term(1, uplift=Decimal("0.03")))
        life = Life(renewing)
        for month in ("06", "07"):
            life.use(f"2026-{month}-10", "10")
            life.turn()
        assert life.totals == ["49.00", "60.47", "61.98"]

    def test_is_rounded_on_the_line_and_not_before(self):
        life = Life(plan(fee("9.99"), term=term(1, uplift=Decimal("0.0333"))))
        for _ in range(3):
            life.turn()
        assert life.totals == ["9.99", "10.32", "10.67", "11.02"]


class TestTax:
    def test_is_rounded_once_on_the_discounted_sum(self):
        life = Life(plan(fee("68.33", key="a"), fee("68.33", key="b")), tax="0.20")
        (invoice,) = life.invoices
        assert [one.text for one in (invoice.subtotal, invoice.tax, invoice.total)] == ["136.66", "27.33", "163.99"]

    def test_of_many_fractions_of_a_cent(self):
        """Each fee of 0.4 cent is a line of nothing (scenario-tax-fractions-mixed)."""
        small = [usage("0.004", key=f"u{n}", meter=f"m{n}") for n in range(6)]
        whole = [usage("0.01", key=f"w{n}", meter=f"w{n}") for n in range(2)]
        life = Life(plan(setup("1.00"), *small, *whole), tax="0.40")
        for charge in (*small, *whole):
            life.use("2026-06-10", meter=charge.meter)
        life.turn()
        assert life.totals == ["1.40", "0.03"]
        assert (life.invoices[1].subtotal.text, life.invoices[1].tax.text) == ("0.02", "0.01")

    def test_that_prices_contain_is_taken_out_by_a_line(self):
        life = Life(plan(fee("119.00")), tax="0.19", inclusive=True, discounts=[percent("10")])
        (invoice,) = life.invoices
        assert shown(invoice) == [
            ("fee", "recurring", "119.00"),
            ("fee", "discount", "-11.90"),
            ("tax", "tax_adjustment", "-17.10"),
        ]
        assert [one.text for one in (invoice.subtotal, invoice.discount, invoice.tax, invoice.total)] == [
            "101.90",
            "11.90",
            "17.10",
            "107.10",
        ]

    def test_of_nothing_is_no_line(self):
        assert shown(Life(plan(fee("10.00")), inclusive=True).invoices[0]) == [("fee", "recurring", "10.00")]


class TestDraftingTwice:
    def test_gives_the_same(self):
        life = Life(plan(fee("10.00"), usage("1.00")), discounts=[percent("10")], tax="0.19")
        life.use("2026-06-10", "3")
        turn = turned(life.subscription, life.plans)
        assert life.drafted(turn) == life.drafted(turn)
        assert life.drafted(turn).invoice.id == life.bill(turn).invoice.id

    def test_names_the_boundary_not_the_run(self):
        ids = {invoice.id for invoice in (Life(plan()).invoices[0], Life(plan()).invoices[0])}
        life = Life(plan())
        life.turn()
        assert len(ids) == 1
        assert len({invoice.id for invoice in life.invoices} | ids) == 2


amounts = st.integers(0, 20_000).map(lambda minor: f"{minor // 100}.{minor % 100:02d}")
units = st.integers(0, 50)


@st.composite
def offers(draw: st.DrawFn) -> Plan:
    charges = [
        setup(draw(amounts)),
        fee(draw(amounts)),
        fee(draw(amounts), "arrears", key="desk"),
        usage(
            draw(st.sampled_from(["0.004", "0.37", "12"])), minimum=draw(st.none() | st.integers(0, 40).map(Decimal))
        ),
        commitment(draw(amounts), "fee", "usage"),
    ]
    kept = [charge for charge in charges if draw(st.booleans())] or charges
    keys = {charge.key for charge in kept}
    if not {"fee", "usage"} <= keys:
        kept = [charge for charge in kept if charge.key != "commit"]
    if all(charge.timing is Timing.ONCE for charge in kept):
        kept.append(usage())
    return plan(*kept, anchor=draw(st.sampled_from(["anniversary", "calendar", 15])))


off = st.lists(
    st.builds(Discount, percent=st.decimals(0, 100, places=1), periods=st.none() | st.integers(1, 3))
    | st.builds(Discount, amount=st.decimals(0, 50, places=2), periods=st.none() | st.integers(1, 3)),
    max_size=3,
)


@settings(max_examples=60)
@given(offers(), off, st.sampled_from(["0", "0.19", "0.20"]), st.booleans(), st.lists(units, min_size=6, max_size=6))
def test_every_invoice_adds_up(offer: Plan, discounts: list[Discount], tax: str, inclusive: bool, used: list[int]):
    """Whatever is sold: total = subtotal - discount + tax, tax inside the prices changes no total, no line falls below."""
    life = Life(offer, discounts=discounts, tax=tax, inclusive=inclusive)
    for month, (early, late) in enumerate(zip(used[:3], used[3:], strict=True)):
        life.use(f"2026-{6 + month:02d}-10", str(early))
        life.turn()
        life.use(f"2026-{6 + month:02d}-11", str(late))
    life.cancel("2026-09-20T10:00")
    for invoice in life.invoices:
        assert invoice.lines
        assert invoice.total == invoice.subtotal - invoice.discount + invoice.tax
        untaxed = [line for line in invoice.lines if line.kind is not LineKind.TAX_ADJUSTMENT]
        summed = total((line.amount for line in untaxed), "EUR")
        assert invoice.total == (summed if inclusive else summed + invoice.tax)
        assert invoice.subtotal - invoice.discount == total((one.base for one in invoice.taxes), "EUR")
        assert sum(line.amount.minor for line in untaxed) >= 0


@settings(max_examples=60)
@given(offers(), off, st.lists(units, min_size=3, max_size=3), st.permutations(range(3)))
def test_when_usage_arrives_makes_no_difference(
    offer: Plan, discounts: list[Discount], used: list[int], order: list[int]
):
    """What is billed of a period in the end is what it would have cost had all arrived in time (a cent per rounding)."""
    in_time, late = (Life(offer, discounts=discounts) for _ in range(2))
    for index in range(3):
        in_time.use(f"2026-06-0{2 + index}", str(used[index]))
    late.use(f"2026-06-0{2 + order[0]}", str(used[order[0]]))
    for life in (in_time, late):
        life.turn()
    for index in order[1:]:
        late.use(f"2026-06-0{2 + index}", str(used[index]))
    for life in (in_time, late):
        life.turn()
        life.turn()
    sums = [total((invoice.total for invoice in life.invoices), "EUR") for life in (in_time, late)]
    percents = any(one.percent is not None for one in discounts)
    assert abs((sums[0] - sums[1]).minor) <= (4 if percents else 0)


def test_money_of_another_currency_is_billed_in_its_own_units():
    life = Life(plan(fee("1205"), currency="JPY"), tax="0.10")
    assert life.invoices[0].total == Money(1326, "JPY")
