from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog import (
    Dynamic,
    Flat,
    Graduated,
    GraduatedPercentage,
    Matrix,
    MatrixPrice,
    Package,
    Percentage,
    PerUnit,
    Tier,
    Volume,
)
from domain.errors import PricingError
from domain.money import Money, total
from domain.rating import Usage, rate
from tests.domain.charges import (
    LICENSED,
    METERED,
    STEPS,
    TIERS,
    amount,
    events,
    grouped,
    positive,
    prices,
    tier,
    tiers,
)


class TestFlat:
    def test_is_the_amount_whatever_the_quantity(self):
        charge = Flat(**LICENSED, amount=Decimal("10.00"))
        assert [amount(charge, quantity) for quantity in (0, 1, 5)] == ["10.00"] * 3

    def test_shows_one_at_its_amount(self):
        (line,) = rate(Flat(**LICENSED, amount=Decimal("10.00")), Fraction(5), "EUR")
        assert (line.quantity, line.unit_amount, line.kind) == (1, Decimal("10.00"), "recurring")

    def test_of_a_meter_falls_due_only_when_something_was_used(self):
        charge = Flat(**METERED, amount=Decimal("10.00"))
        assert rate(charge, Fraction(0), "EUR") == ()
        assert amount(charge, 3) == "10.00"


class TestPerUnit:
    def test_rounds_once_at_the_line(self):
        charge = PerUnit(**METERED, unit_amount=Decimal("0.000042"))
        assert [amount(charge, quantity) for quantity in (1, 119, 120, 10**12)] == [
            "0.00",
            "0.00",
            "0.01",
            "42000000.00",
        ]

    @given(st.integers(0, 10**24), prices)
    def test_is_exact_for_any_quantity_and_twelve_decimals(self, quantity: int, price: Decimal):
        charge = PerUnit(**METERED, unit_amount=price)
        billed = total((line.amount for line in rate(charge, Fraction(quantity), "EUR")), "EUR")
        exact = quantity * Fraction(price) * 100
        assert 2 * abs(billed.minor - exact) <= 1

    def test_no_usage_makes_no_line(self):
        assert rate(PerUnit(**METERED, unit_amount=Decimal(1)), Fraction(0), "EUR") == ()

    def test_usage_within_the_included_units_makes_no_line(self):
        charge = PerUnit(**METERED, unit_amount=Decimal(1), included=Decimal(10))
        assert rate(charge, Fraction(10), "EUR") == ()
        (line,) = rate(charge, Fraction("10.5"), "EUR")
        assert (line.quantity, line.amount.text, line.kind) == (Fraction(1, 2), "0.50", "usage")

    def test_corrections_that_exceed_what_was_used_bill_nothing(self):
        assert rate(PerUnit(**METERED, unit_amount=Decimal(1)), Usage(quantity=Fraction(-3)), "EUR") == ()

    @pytest.mark.parametrize("terms", [METERED, LICENSED])
    def test_less_than_nothing_cannot_be_asked_for(self, terms: dict[str, object]):
        with pytest.raises(PricingError) as refused:
            rate(PerUnit(**terms, unit_amount=Decimal(1)), Fraction(-1), "EUR")
        assert refused.value.code == "invalid_quantity"


class TestGraduated:
    @pytest.mark.parametrize(
        ("quantity", "expected"),
        [
            ("0", "0.00"),
            ("1", "100.00"),
            ("5", "100.00"),
            ("5.001", "150.00"),
            ("12", "160.00"),
            ("15", "175.00"),
            ("15.5", "175.50"),
            ("22", "182.00"),
        ],
    )
    def test_takes_each_unit_at_its_tier_and_the_flat_of_every_tier_entered(self, quantity: str, expected: str):
        assert amount(Graduated(**METERED, tiers=STEPS), quantity) == expected

    def test_names_a_unit_price_only_while_one_price_stands_for_all(self):
        first, second = (rate(Graduated(**METERED, tiers=TIERS), Fraction(q), "EUR")[0] for q in (10, 11))
        assert first.unit_amount == Decimal("1.5")
        assert second.unit_amount is None

    @given(tiers(), positive)
    def test_never_falls_when_more_is_used(self, steps: tuple[Tier, ...], quantity: Fraction):
        charge = Graduated(**METERED, tiers=steps)
        less, more = (rate(charge, quantity * part, "EUR")[0].amount.minor for part in (Fraction(9, 10), 1))
        assert less <= more

    @given(tiers(), st.integers(0, 4))
    def test_without_flats_is_continuous_at_every_edge(self, steps: tuple[Tier, ...], at: int):
        steps = tuple(Tier(up_to=one.up_to, unit_amount=one.unit_amount) for one in steps)
        edge = steps[min(at, len(steps) - 1)].up_to
        if edge is None:
            return
        charge, hair = Graduated(**METERED, tiers=steps), Fraction(1, 10**9)
        below, above = (rate(charge, Fraction(edge) + step, "EUR")[0].amount.minor for step in (-hair, hair))
        assert abs(above - below) <= 1

    def test_refuses_tiers_that_end(self):
        with pytest.raises(PricingError) as refused:
            rate(Graduated(**METERED, tiers=(tier(10, "1"),)), Fraction(11), "EUR")
        assert refused.value.code == "invalid_charge"


class TestVolume:
    @pytest.mark.parametrize(
        ("quantity", "expected"),
        [("0", "0.00"), ("10", "15.00"), ("10.5", "10.50"), ("110", "110.00"), ("111", "55.50")],
    )
    def test_takes_all_units_at_the_tier_reached(self, quantity: str, expected: str):
        assert amount(Volume(**METERED, tiers=TIERS), quantity) == expected

    def test_adds_that_tiers_flat_and_no_other(self):
        charge = Volume(**METERED, tiers=(tier(5, flat="100"), tier(10, "1", "7"), tier(None, "5")))
        assert [amount(charge, quantity) for quantity in (3, 6, 11)] == ["100.00", "13.00", "55.00"]

    @given(tiers(), positive)
    def test_in_the_first_tier_equals_graduated(self, steps: tuple[Tier, ...], quantity: Fraction):
        first = steps[0].up_to
        quantity = quantity if first is None else min(quantity, Fraction(first))
        volume, graduated = Volume(**METERED, tiers=steps), Graduated(**METERED, tiers=steps)
        assert amount(volume, quantity) == amount(graduated, quantity)


class TestPackage:
    @pytest.mark.parametrize(
        ("quantity", "expected"),
        [("0", "0.00"), ("0.4", "15.00"), ("10", "15.00"), ("10.01", "30.00"), ("22", "45.00")],
    )
    def test_bills_packages_begun(self, quantity: str, expected: str):
        charge = Package(**METERED, package_size=Decimal(10), package_amount=Decimal(15))
        assert amount(charge, quantity) == expected

    @given(positive, positive, prices)
    def test_never_bills_a_package_that_was_not_begun(self, quantity: Fraction, size: Fraction, price: Decimal):
        charge = Package(**METERED, package_size=Decimal(size.numerator), package_amount=price)
        (line,) = rate(charge, quantity, "EUR")
        begun = -(-quantity // size.numerator)
        assert line.amount == Money.rounded(begun * Fraction(price), "EUR")
        assert 0 <= begun * size.numerator - quantity < size.numerator


class TestPercentage:
    def test_takes_a_part_of_each_event_and_a_fee(self):
        charge = Percentage(**METERED, rate=Decimal("0.013"), fixed_per_event=Decimal("2.0"))
        assert amount(charge, events("50", "100", "250", "400")) == "18.40"

    def test_bounds_each_event_by_itself(self):
        charge = Percentage(**METERED, rate=Decimal("0.0299"), min_per_event=Decimal("1.75"), max_per_event=Decimal(12))
        assert amount(charge, events("10", "80", "10000")) == "16.14"

    @pytest.mark.parametrize(
        ("free_events", "free_amount", "expected"),
        [
            (None, None, "40.00"),
            (2, None, "20.00"),
            (None, "250", "15.00"),
            (0, "250", "40.00"),
            (2, "0", "40.00"),
            (1, "250", "30.00"),
            (3, "150", "25.00"),
            (9, "9999", "0.00"),
        ],
    )
    def test_lets_the_first_events_pass_until_a_limit_is_used_up(
        self, free_events: int | None, free_amount: str | None, expected: str
    ):
        charge = Percentage(
            **METERED,
            rate=Decimal("0.10"),
            free_events=free_events,
            free_amount=None if free_amount is None else Decimal(free_amount),
        )
        assert amount(charge, events("100", "100", "100", "100")) == expected

    def test_charges_the_fee_of_the_event_that_crosses_but_of_none_before(self):
        charge = Percentage(**METERED, rate=Decimal("0.10"), fixed_per_event=Decimal(1), free_amount=Decimal(150))
        assert amount(charge, events("150", "100")) == "11.00"
        assert amount(charge, events("100", "100", "100")) == "17.00"

    def test_charges_the_fee_of_an_event_without_value(self):
        charge = Percentage(**METERED, rate=Decimal("0.10"), fixed_per_event=Decimal(1))
        assert amount(charge, events("0")) == "1.00"
        assert rate(charge, events(), "EUR") == ()

    def test_takes_included_value_off_the_first_events(self):
        charge = Percentage(**METERED, rate=Decimal("0.10"), fixed_per_event=Decimal(1), included=Decimal(150))
        assert amount(charge, events("100", "100", "100")) == "17.00"

    def test_does_with_a_quantity_only_while_no_event_counts_by_itself(self):
        assert amount(Percentage(**METERED, rate=Decimal("0.029")), 100) == "2.90"
        with pytest.raises(PricingError) as refused:
            rate(Percentage(**METERED, rate=Decimal("0.029"), fixed_per_event=Decimal("0.30")), Fraction(100), "EUR")
        assert refused.value.code == "invalid_events"

    @given(st.lists(st.decimals(0, 1000, places=2), max_size=20), st.integers(0, 20))
    def test_free_events_only_ever_lower_the_bill(self, values: list[Decimal], free: int):
        usage = events(*(str(value) for value in values))
        whole = Percentage(**METERED, rate=Decimal("0.03"), fixed_per_event=Decimal("0.25"))
        less = Percentage(**METERED, rate=Decimal("0.03"), fixed_per_event=Decimal("0.25"), free_events=free)
        assert Decimal(amount(less, usage)) <= Decimal(amount(whole, usage))


def test_graduated_percentage_takes_each_part_of_the_value_at_its_tier():
    charge = GraduatedPercentage(
        **METERED,
        tiers=(tier(10, flat="200", rate_="0.01"), tier(20, flat="300", rate_="0.02"), tier(None, rate_="0.03")),
    )
    assert [amount(charge, events(value)) for value in ("0", "1", "10", "12", "21")] == [
        "0.00",
        "200.01",
        "200.10",
        "500.14",
        "500.33",
    ]


class TestMatrix:
    CHARGE = Matrix(
        **METERED,
        dimensions=("court", "peak"),
        prices=(
            MatrixPrice(match={"peak": "yes"}, unit_amount=Decimal(9)),
            MatrixPrice(match={"court": "1"}, unit_amount=Decimal(7)),
            MatrixPrice(match={"court": "1", "peak": "yes"}, unit_amount=Decimal(12)),
        ),
    )

    def test_prices_each_group_by_its_most_specific_match_in_the_price_books_order(self):
        lines = rate(self.CHARGE, grouped({("1", "yes"): 1, ("1", "no"): 2, ("2", "yes"): 3}), "EUR")
        assert [(line.description, line.unit_amount, line.amount.text) for line in lines] == [
            ("court 2, peak yes", Decimal(9), "27.00"),
            ("court 1, peak no", Decimal(7), "14.00"),
            ("court 1, peak yes", Decimal(12), "12.00"),
        ]

    def test_refuses_a_group_that_nothing_matches(self):
        with pytest.raises(PricingError) as refused:
            rate(self.CHARGE, grouped({("2", "no"): 1}), "EUR")
        assert refused.value.code == "unmatched_dimension"
        assert "court='2'" in refused.value.detail

    def test_prices_unlisted_groups_at_the_default_and_last(self):
        charge = replace(self.CHARGE, default=Decimal(5))
        lines = rate(charge, grouped({("3", "no"): 1, ("2", ""): 1, ("1", "no"): 1}), "EUR")
        assert [line.description for line in lines] == ["court 1, peak no", "court 2, peak ", "court 3, peak no"]
        assert [line.amount.text for line in lines] == ["7.00", "5.00", "5.00"]

    def test_does_not_mind_a_group_in_which_nothing_is_left(self):
        assert rate(self.CHARGE, grouped({("2", "no"): 0, ("9", "no"): -1}), "EUR") == ()

    def test_takes_included_units_off_in_the_price_books_order(self):
        charge = replace(self.CHARGE, included=Decimal(4))
        lines = rate(charge, grouped({("1", "yes"): 1, ("1", "no"): 2, ("2", "yes"): 3}), "EUR")
        assert [(line.quantity, line.amount.text) for line in lines] == [(1, "7.00"), (1, "12.00")]

    def test_rounds_each_group_once(self):
        charge = Matrix(**METERED, dimensions=("region",), prices=(), default=Decimal("0.004"))
        assert amount(charge, grouped({("eu",): 1, ("us",): 1, ("ap",): 2})) == "0.01"


class TestDynamic:
    def test_adds_up_the_prices_of_the_events_and_rounds_once(self):
        charge = Dynamic(**METERED, multiplier=Decimal("1.33333"))
        assert amount(charge, events("70", "50")) == "160.00"
        assert amount(charge, events("0.005", "0.005", "0.005")) == "0.02"
        assert rate(charge, events(), "EUR") == ()

    def test_refunds_beyond_what_was_sold_bill_nothing(self):
        assert amount(Dynamic(**METERED), events("10", "-15")) == "0.00"
