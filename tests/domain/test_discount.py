from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.discount import Discount, discounted, fraction_off
from domain.money import Money
from tests.domain.builders import amount_off, eur, percent


def off(amounts: list[str], *discounts: Discount, ordinal: int = 0, with_fixed: bool = True, billed: str = "0"):
    lines = [eur(amount) for amount in amounts]
    return [one.text for one in discounted(lines, discounts, ordinal, with_fixed=with_fixed, billed=eur(billed))]


class TestPeriods:
    @pytest.mark.parametrize(("periods", "ordinals"), [(1, {0}), (3, {0, 1, 2}), (None, set(range(6)))])
    def test_are_counted_from_the_first_a_stub_among_them(self, periods: int | None, ordinals: set[int]):
        assert {ordinal for ordinal in range(6) if percent("10", periods).applies_to(ordinal)} == ordinals

    def test_belong_to_each_discount_by_itself(self):
        given = (percent("50", 1), percent("10", 2), amount_off("1.00"))
        assert [off(["100.00"], *given, ordinal=ordinal) for ordinal in range(3)] == [["56.00"], ["11.00"], ["1.00"]]


class TestPercents:
    def test_multiply_in_their_order(self):
        assert fraction_off([percent("10"), percent("20")], 0) == Fraction(28, 100)
        assert fraction_off([], 0) == 0
        assert fraction_off([percent("100"), percent("10")], 0) == 1

    def test_are_taken_off_each_line_and_rounded_once(self):
        assert off(["0.05", "0.05", "0.04"], percent("10")) == ["0.01", "0.01", "0.00"]
        assert off(["9.99"], percent("33.3"), percent("33.3")) == ["5.55"]

    def test_reduce_a_credit_like_a_charge(self):
        assert off(["-10.00", "30.00"], percent("10")) == ["-1.00", "3.00"]

    @given(st.lists(st.decimals(0, 100, places=2), max_size=5), st.permutations(range(5)))
    def test_take_as_much_in_any_order_and_never_more_than_all(self, percents: list[Decimal], order: list[int]):
        discounts = [Discount(percent=one) for one in percents]
        shuffled = [discounts[index] for index in order if index < len(discounts)]
        assert fraction_off(shuffled, 0) == fraction_off(discounts, 0)
        assert 0 <= fraction_off(discounts, 0) <= 1


class TestFixedAmounts:
    def test_come_after_percents(self):
        assert off(["80.00"], percent("15"), amount_off("5.00")) == ["17.00"]
        assert off(["80.00"], amount_off("5.00"), percent("15")) == ["17.00"]

    def test_are_split_over_the_lines_to_the_cent(self):
        assert off(["10.00", "10.00", "10.00"], amount_off("0.10")) == ["0.04", "0.03", "0.03"]
        assert off(["30.00", "10.00"], amount_off("5.00")) == ["3.75", "1.25"]

    def test_add_up(self):
        assert off(["30.00"], amount_off("5.00"), amount_off("2.50")) == ["7.50"]

    def test_never_take_more_than_is_left(self):
        assert off(["3.00", "1.00"], amount_off("5.00")) == ["3.00", "1.00"]
        assert off(["10.00"], percent("80"), amount_off("5.00")) == ["10.00"]
        assert off(["0.00"], amount_off("5.00")) == ["0.00"]

    def test_leave_out_the_lines_that_they_do_not_belong_to(self):
        assert off(["10.00"], percent("10"), amount_off("5.00"), with_fixed=False) == ["1.00"]

    def test_take_no_more_than_the_lines_come_to_together(self):
        """A credit among the lines counts: what is to be paid is never pushed below zero."""
        assert off(["10.00", "-8.00"], amount_off("5.00")) == ["2.00", "0.00"]
        assert off(["-8.00"], amount_off("5.00")) == ["0.00"]

    @pytest.mark.parametrize(
        ("billed", "late", "more"),
        [
            ("20.00", "10.00", "0.00"),
            ("3.00", "10.00", "2.00"),
            ("3.00", "1.00", "1.00"),
            ("0.00", "10.00", "5.00"),
            ("3.00", "-3.00", "-3.00"),
            ("20.00", "-18.00", "-3.00"),
            ("20.00", "-1.00", "0.00"),
        ],
    )
    def test_are_taken_once_from_what_a_period_comes_to_with_what_came_late(self, billed: str, late: str, more: str):
        assert off([late], amount_off("5.00"), billed=billed) == [more]


cents = st.integers(-10_000, 10_000)
discounts = st.lists(
    st.builds(Discount, percent=st.decimals(0, 100, places=1))
    | st.builds(Discount, amount=st.decimals(0, 50, places=2)),
    max_size=4,
)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6), discounts)
def test_no_line_goes_below_zero_and_none_gets_dearer(amounts: list[int], given: list[Discount]):
    lines = [Money(amount, "EUR") for amount in amounts]
    assert all(0 <= part.minor <= amount.minor for part, amount in zip(discounted(lines, given, 0), lines, strict=True))


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=6), st.integers(0, 30_000), st.integers(1, 5))
def test_a_fixed_amount_is_the_same_in_one_go_and_in_two(amounts: list[int], fixed: int, cut: int):
    """What came late adds to what was billed: both together are discounted as if nothing had been late."""
    lines = [Money(amount, "EUR") for amount in amounts]
    less = [Discount(amount=Decimal(fixed) / 100)]
    early, late = lines[:cut], lines[cut:]
    billed = Money(sum(line.minor for line in early), "EUR")
    parts = [*discounted(early, less, 0), *discounted(late, less, 0, billed=billed)]
    assert sum(part.minor for part in parts) == sum(part.minor for part in discounted(lines, less, 0))


def test_nothing_is_taken_off_nothing():
    assert discounted([], [percent("10")], 0) == []
