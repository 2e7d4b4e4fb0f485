from decimal import Decimal
from fractions import Fraction

import pytest
from babel.numbers import get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import CurrencyMismatch, InvalidInput
from domain.money import CURRENCIES, Money, exponent, plain, round_half_up, total

minors = st.integers(-(10**15), 10**15)
weights = st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any)
fractions = st.fractions(min_value=-(10**12), max_value=10**12)

# Where CLDR (what is shown) drops decimals that ISO 4217 (what is booked) has.
SHOWN_WITHOUT_DECIMALS = {"AFN", "ALL", "IQD", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"}


@pytest.mark.parametrize(
    ("exact", "whole"),
    [
        (Fraction(1, 2), 1),
        (Fraction(-1, 2), -1),
        (Fraction(3, 2), 2),
        (Fraction(5, 2), 3),
        (Fraction(-5, 2), -3),
        (Fraction(49999, 100000), 0),
        (Fraction(-49999, 100000), 0),
        (Fraction(0), 0),
        (Fraction(10**40) + Fraction(1, 2), 10**40 + 1),
    ],
)
def test_halves_go_away_from_zero(exact: Fraction, whole: int):
    assert round_half_up(exact) == whole


@given(fractions)
def test_rounding_strays_at_most_half_and_mirrors_at_zero(exact: Fraction):
    assert abs(round_half_up(exact) - exact) <= Fraction(1, 2)
    assert round_half_up(-exact) == -round_half_up(exact)


@given(minors, weights)
def test_parts_add_up_to_the_whole_to_the_cent(minor: int, weights: list[int]):
    assert total(Money(minor, "EUR").allocated(weights), "EUR") == Money(minor, "EUR")


@given(minors, weights)
def test_no_part_strays_a_whole_cent_from_its_exact_share(minor: int, weights: list[int]):
    for part, weight in zip(Money(minor, "EUR").allocated(weights), weights, strict=True):
        assert abs(part.minor - Fraction(minor * weight, sum(weights))) < 1


@given(minors, weights)
def test_a_part_without_weight_gets_nothing(minor: int, weights: list[int]):
    parts = Money(minor, "EUR").allocated([*weights, 0])
    assert parts[-1].minor == 0


def test_the_odd_cent_goes_to_the_largest_remainder_and_then_to_the_first():
    assert [part.minor for part in Money(100, "EUR").allocated([1, 1, 1])] == [34, 33, 33]
    assert [part.minor for part in Money(100, "EUR").allocated([1, 2])] == [33, 67]
    assert [part.minor for part in Money(-100, "EUR").allocated([1, 1, 1])] == [-34, -33, -33]


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [-1, 2]])
def test_nothing_can_be_split_by_no_weight(weights: list[int]):
    with pytest.raises(ValueError, match="weights"):
        Money(1, "EUR").allocated(weights)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.30", "EUR", 1230),
        ("12.3", "EUR", 1230),
        ("1200", "JPY", 1200),
        ("1.234", "BHD", 1234),
        ("-0.01", "USD", -1),
    ],
)
def test_a_decimal_string_is_read_exactly(text: str, currency: str, minor: int):
    assert Money.parsed(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(("text", "currency"), [("0.001", "EUR"), ("0.5", "JPY"), ("1.2345", "BHD")])
def test_more_decimals_than_the_currency_has_are_refused(text: str, currency: str):
    with pytest.raises(InvalidInput):
        Money.parsed(text, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1230, "EUR", "12.30"), (5, "EUR", "0.05"), (-5, "EUR", "-0.05"), (1200, "JPY", "1200"), (1234, "BHD", "1.234")],
)
def test_totals_show_exactly_the_currencys_decimals(minor: int, currency: str, text: str):
    assert Money(minor, currency).text == text


@given(minors, st.sampled_from(["EUR", "JPY", "BHD", "CLF"]))
def test_what_is_written_reads_back(minor: int, currency: str):
    assert Money.parsed(Money(minor, currency).text, currency) == Money(minor, currency)


def test_an_amount_is_rounded_once():
    assert Money.rounded(Fraction("2.675"), "EUR").text == "2.68"
    assert Money.rounded(Fraction(1, 3), "BHD").text == "0.333"
    assert Money.rounded(Fraction("0.5"), "JPY").text == "1"


def test_euros_and_dollars_do_not_add():
    with pytest.raises(CurrencyMismatch):
        Money(1, "EUR") + Money(1, "USD")


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_the_table_of_currencies_agrees_with_unicodes(code: str):
    if code in SHOWN_WITHOUT_DECIMALS:
        assert get_currency_precision(code) == 0
    else:
        assert exponent(code) == get_currency_precision(code)


@pytest.mark.parametrize("code", ["eur", "EURO", "", "XXX", "DEM"])
def test_other_codes_are_no_currency(code: str):
    with pytest.raises(InvalidInput):
        exponent(code)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("3.00"), "3"),
        (Decimal("0.50"), "0.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0"), "0"),
        (Fraction(1, 3), "0.333333333333"),
        (Fraction(2, 3), "0.666666666667"),
        (Fraction(5), "5"),
        (Fraction(0), "0"),
        (Fraction(-1, 4), "-0.25"),
    ],
)
def test_quantities_are_shown_without_exponent_or_trailing_zeros(value: Decimal | Fraction, text: str):
    assert plain(value) == text


def test_amounts_of_any_size_are_shown_and_read_exactly():
    huge = Money(10**30 + 1, "EUR")
    assert huge.text == "10000000000000000000000000000.01"
    assert Money.parsed(huge.text, "EUR") == huge
