from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money, total
from domain.tax import TaxAmount, tax_rate, taxed
from tests.domain.builders import eur

TAXES = {"DE": Decimal("0.19"), "FR": Decimal("0.20"), "default": Decimal("0.07")}


@pytest.mark.parametrize(("country", "rate"), [("DE", "0.19"), ("FR", "0.20"), ("IT", "0.07"), ("", "0.07")])
def test_the_country_says_the_rate_or_the_default_does(country: str, rate: str):
    assert tax_rate(TAXES, country) == Decimal(rate)


def test_without_a_default_there_is_no_tax():
    assert tax_rate({"DE": Decimal("0.19")}, "IT") == 0


def amounts(*bases: tuple[str, str], inclusive: bool = False) -> list[tuple[str, str, str]]:
    found = taxed(((Decimal(rate), eur(base)) for rate, base in bases), inclusive=inclusive)
    return [(str(tax.rate), tax.base.text, tax.amount.text) for tax in found]


class TestTax:
    def test_is_rounded_once_on_the_sum_of_a_rate(self):
        """Per line it would be 27.34 (scenario-tax-two-lines)."""
        assert amounts(("0.20", "68.33"), ("0.20", "68.33")) == [("0.20", "136.66", "27.33")]

    def test_is_apart_per_rate_in_the_order_of_the_rates(self):
        assert amounts(("0.19", "10.00"), ("0.07", "10.00"), ("0.19", "0.50")) == [
            ("0.07", "10.00", "0.70"),
            ("0.19", "10.50", "2.00"),
        ]

    def test_takes_one_rate_however_it_is_written(self):
        assert [(base, amount) for _, base, amount in amounts(("0.2", "1.00"), ("0.20", "1.00"))] == [("2.00", "0.40")]

    def test_is_rounded_half_away_from_zero_on_either_side(self):
        assert amounts(("0.05", "0.10")) == [("0.05", "0.10", "0.01")]
        assert amounts(("0.05", "-0.10")) == [("0.05", "-0.10", "-0.01")]

    def test_follows_the_discounted_sum(self):
        """15 percent off 80.00 (om-scenario-percent-off-for-a-while)."""
        assert amounts(("0.19", "80.00"), ("0.19", "-12.00")) == [("0.19", "68.00", "12.92")]

    def test_of_nothing_is_nothing(self):
        assert taxed([]) == ()
        assert amounts(("0", "10.00")) == [("0", "10.00", "0.00")]

    def test_that_prices_contain_is_taken_out_of_them(self):
        assert amounts(("0.19", "119.00"), inclusive=True) == [("0.19", "100.00", "19.00")]
        assert amounts(("0.19", "9.99"), inclusive=True) == [("0.19", "8.39", "1.60")]

    def test_carries_the_currencys_own_minor_unit(self):
        assert taxed([(Decimal("0.10"), Money(1234, "JPY"))]) == (
            TaxAmount(Decimal("0.10"), Money(1234, "JPY"), Money(123, "JPY")),
        )


rated = st.lists(
    st.tuples(
        st.sampled_from([Decimal(rate) for rate in ("0", "0.07", "0.19", "0.20", "1")]),
        st.integers(-(10**6), 10**6).map(lambda minor: Money(minor, "EUR")),
    ),
    max_size=8,
)


@given(rated)
def test_prices_with_tax_inside_lose_nothing_when_it_is_taken_out(bases: list[tuple[Decimal, Money]]):
    """Net and tax come to what the prices said, and the tax is that of the net, to half a cent of each rounding."""
    for tax in taxed(bases, inclusive=True):
        gross = total((base for rate, base in bases if rate == tax.rate), "EUR")
        assert tax.base + tax.amount == gross
        assert abs(tax.amount.minor - tax.base.minor * Fraction(tax.rate)) <= Fraction(1, 2) * (1 + Fraction(tax.rate))


@given(rated)
def test_bases_add_up_to_what_was_taxed(bases: list[tuple[Decimal, Money]]):
    found = taxed(bases)
    assert total((tax.base for tax in found), "EUR") == total((base for _, base in bases), "EUR")
    assert all(abs(tax.amount.minor - tax.base.minor * Fraction(tax.rate)) <= Fraction(1, 2) for tax in found)
    assert [tax.rate for tax in found] == sorted({rate for rate, _ in bases})
