from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog import (
    Commitment,
    Flat,
    Graduated,
    Matrix,
    PerUnit,
    Tier,
    Timing,
    type_of_model,
)
from domain.errors import CurrencyMismatch, PricingError
from domain.money import Money, total
from domain.rating import WHOLE, Event, Share, Usage, rate, true_up
from tests.domain.charges import (
    EXAMPLES,
    HALF,
    LICENSED,
    METERED,
    STEPS,
    amount,
    grouped,
    positive,
    shares,
    tiers,
)


class TestMinimumAndMaximum:
    def test_the_minimum_is_a_line_of_its_own(self):
        charge = PerUnit(**METERED, unit_amount=Decimal(8), minimum=Decimal(10))
        usage, minimum = rate(charge, Fraction(1), "EUR")
        assert (usage.kind, usage.amount.text) == ("usage", "8.00")
        assert (minimum.kind, minimum.amount.text) == ("minimum", "2.00")
        assert [line.kind for line in rate(charge, Fraction(0), "EUR")] == ["minimum"]
        assert [line.kind for line in rate(charge, Fraction(2), "EUR")] == ["usage"]

    def test_the_maximum_takes_from_the_last_lines_first(self):
        charge = Matrix(**METERED, dimensions=("region",), prices=(), default=Decimal(10), maximum=Decimal(25))
        lines = rate(charge, grouped({("a",): 1, ("b",): 2, ("c",): 3}), "EUR")
        assert [(line.amount.text, line.unit_amount) for line in lines] == [
            ("10.00", Decimal(10)),
            ("15.00", None),
            ("0.00", None),
        ]

    @pytest.mark.parametrize("model", sorted(set(type_of_model) - {"commitment"}))
    @given(quantity=positive, share=shares)
    def test_bound_the_charge_of_every_model(self, model: str, quantity: Fraction, share: Share):
        charge = replace(EXAMPLES[model], minimum=Decimal(40), maximum=Decimal(60))
        usage = Usage(quantity=quantity, groups={("x",): quantity}, events=[Event(value=Decimal(quantity.numerator))])
        billed = total((line.amount for line in rate(charge, usage, "EUR", share=share)), "EUR")
        low, high = (Money.rounded(bound * share.exact, "EUR") for bound in (40, 60))
        assert low.minor <= billed.minor <= high.minor


class TestPartialPeriods:
    def test_licensed_amounts_are_prorated_whole(self):
        charge = PerUnit(**LICENSED, unit_amount=Decimal(10))
        (line,) = rate(charge, Fraction(5), "EUR", share=Share(17, 31))
        assert (line.amount.text, line.quantity, line.unit_amount) == ("27.42", 5, Decimal(10))

    def test_usage_is_never_prorated_nor_are_its_flats_and_tiers(self):
        assert amount(Graduated(**METERED, tiers=STEPS), 12, share=HALF) == "160.00"
        assert amount(Flat(**METERED, amount=Decimal(10)), 1, share=HALF) == "10.00"

    def test_included_units_of_usage_are_prorated_exactly(self):
        charge = PerUnit(**METERED, unit_amount=Decimal(31), included=Decimal(10))
        (line,) = rate(charge, Fraction(10), "EUR", share=Share(10, 31))
        assert line.quantity == 10 - Fraction(100, 31)
        assert line.amount.text == "210.00"

    def test_minimum_and_maximum_are_prorated(self):
        charge = PerUnit(**METERED, unit_amount=Decimal(8), minimum=Decimal(10), maximum=Decimal(30))
        assert amount(charge, 1, share=Share(25, 28)) == "8.93"
        assert amount(charge, 2, share=HALF) == "15.00"

    def test_nothing_is_prorated_where_the_price_book_says_so(self):
        charge = PerUnit(**METERED, unit_amount=Decimal(8), minimum=Decimal(10), prorate="none")
        assert amount(charge, 1, share=HALF) == "10.00"
        assert amount(Flat(**LICENSED, amount=Decimal("9.99"), prorate="none"), 1, share=HALF) == "9.99"

    def test_what_is_charged_once_is_no_part_of_a_period(self):
        charge = Flat(key="setup", timing=Timing.ONCE, amount=Decimal(100))
        (line,) = rate(charge, Fraction(1), "EUR", share=HALF, factor=Fraction(2))
        assert (line.kind, line.amount.text) == ("one_time", "100.00")

    @given(tiers(), st.integers(0, 100), st.integers(0, 20), st.integers(1, 30))
    def test_the_parts_of_a_period_add_up_to_it(self, steps: tuple[Tier, ...], quantity: int, included: int, days: int):
        """Each part may round by half a cent, no more: included units are not given, or taken, twice."""
        charge = Graduated(**LICENSED, tiers=steps, included=Decimal(included))
        whole, first, second = (
            Money.parsed(amount(charge, quantity, share=share), "EUR").minor
            for share in (WHOLE, Share(days, 31), Share(31 - days, 31))
        )
        assert abs(first + second - whole) <= 1


def test_an_uplift_scales_licensed_prices_and_no_usage():
    licensed, used = PerUnit(**LICENSED, unit_amount=Decimal("9.99")), PerUnit(**METERED, unit_amount=Decimal("9.99"))
    (line,) = rate(licensed, Fraction(10), "EUR", factor=Fraction("1.03"))
    assert (line.amount.text, line.unit_amount) == ("102.90", Decimal("10.2897"))
    assert rate(used, Fraction(10), "EUR", factor=Fraction("1.03"))[0].amount.text == "99.90"


def test_lines_carry_the_currencys_own_minor_unit():
    charge = PerUnit(**METERED, unit_amount=Decimal("33.3"))
    assert amount(charge, "1.5", "JPY") == "50"
    assert amount(charge, "0.0001", "BHD") == "0.003"


@pytest.mark.parametrize("model", ["graduated", "package", "per_unit", "volume"])
@given(pieces=st.lists(st.fractions(min_value=0, max_value=10**4, max_denominator=100), min_size=1, max_size=12))
def test_pieces_billed_by_running_totals_come_to_the_whole(model: str, pieces: list[Fraction]):
    """The difference of two running totals is what a piece costs; rounding each piece by itself would over-bill."""
    charge = EXAMPLES[model]
    running = [Fraction(amount(charge, so_far)) for so_far in accumulate(pieces, initial=Fraction(0))]
    assert sum(after - before for before, after in pairwise(running)) == Fraction(amount(charge, sum(pieces)))


def test_a_model_without_a_function_is_refused():
    with pytest.raises(PricingError) as refused:
        rate(Commitment(**LICENSED, amount=Decimal(1), applies_to=("x",)), Fraction(1), "EUR")
    assert refused.value.code == "unknown_model"


class TestTrueUp:
    CHARGE = Commitment(key="commit", timing=Timing.ARREARS, amount=Decimal(100), applies_to=("api",))

    @pytest.mark.parametrize(("counted", "missing"), [(0, 10_000), (6_001, 3_999), (10_000, 0), (12_000, 0)])
    def test_is_what_is_missing_to_the_committed_amount(self, counted: int, missing: int):
        assert true_up(self.CHARGE, Money(counted, "EUR"), "EUR").minor == missing

    def test_prorates_a_commitment_over_a_period_but_not_over_a_term(self):
        assert true_up(self.CHARGE, Money(1_000, "EUR"), "EUR", Share(17, 31)).text == "44.84"
        assert true_up(replace(self.CHARGE, over="term"), Money(1_000, "EUR"), "EUR", Share(17, 31)).text == "90.00"
        assert true_up(replace(self.CHARGE, prorate="none"), Money(0, "EUR"), "EUR", HALF).text == "100.00"

    def test_counts_one_currency(self):
        with pytest.raises(CurrencyMismatch):
            true_up(self.CHARGE, Money(1, "USD"), "EUR")
