"""Usage that no price fits is left off the invoice and told of; the rest is billed."""

from decimal import Decimal

import pytest

from domain.catalog import Matrix, MatrixPrice, Timing
from domain.charge_rules import MOST_MINOR
from tests.domain.builders import Life, fee, plan, shown, usage

COURTS = Matrix(
    key="courts",
    timing=Timing.ARREARS,
    meter="hours",
    dimensions=("court",),
    prices=(MatrixPrice(match={"court": "1"}, unit_amount=Decimal(12)),),
    minimum=Decimal("30.00"),
)


def told(life: Life) -> list[tuple[str, str]]:
    """Of the last draft."""
    return [(one.charge, one.why) for one in life.drafts[-1].unpriced]


def test_a_group_that_no_price_matches_is_left_out_and_the_rest_is_billed():
    life = Life(plan(COURTS, usage("1.00"), fee("10.00")))
    life.use("2026-06-10", "1", meter="hours", court="1")
    life.use("2026-06-11", "5", meter="hours", court="7")
    life.use("2026-06-12", "3")
    draft = life.turn()
    assert shown(draft.invoice) == [
        ("courts", "usage", "12.00"),
        ("courts", "minimum", "18.00"),
        ("usage", "usage", "3.00"),
        ("fee", "recurring", "10.00"),
    ]
    assert [one.quantity for one in draft.billed if one.charge == "courts"] == ["1"]
    assert told(life) == [("courts", "no price matches court='7', and there is no default")]


def test_many_groups_are_told_in_a_few_words():
    life = Life(plan(COURTS))
    for court in range(7):
        life.use("2026-06-10", meter="hours", court=str(court) * 300)
    life.turn()
    [(_, why)] = told(life)
    assert why.endswith("; and 4 groups more")
    assert len(why) < 400


def test_such_a_group_that_comes_late_is_told_and_holds_up_nothing():
    life = Life(plan(COURTS))
    life.use("2026-06-10", "3", meter="hours", court="1")
    life.turn()
    life.use("2026-06-11", "1", meter="hours", court="7")
    life.use("2026-06-11", "1", meter="hours", court="1")
    life.turn()
    assert ("courts", "late_usage", "12.00") in shown(life.invoices[-1])
    assert [charge for charge, _ in told(life)] == ["courts"]


@pytest.mark.parametrize("used", ["10000000000000", "1e30"])
def test_what_comes_to_more_than_books_can_hold_is_left_out_and_its_minimum_is_due(used: str):
    life = Life(plan(usage("1.01", minimum=Decimal(5)), fee("10.00")))
    life.use("2026-06-10", used)
    assert shown(life.turn().invoice) == [("usage", "minimum", "5.00"), ("fee", "recurring", "10.00")]
    assert told(life) == [("usage", "it comes to more than 10000000000000.00 EUR")]


def test_what_came_to_the_most_is_billed():
    life = Life(plan(usage("1.00")))
    life.use("2026-06-10", "10000000000000")
    assert life.turn().invoice.total.minor == MOST_MINOR
    assert told(life) == []


def test_what_was_billed_stays_where_absurd_usage_comes_late():
    life = Life(plan(usage("1.00")))
    life.use("2026-06-10", "3")
    life.turn()
    life.use("2026-06-11", "1e15")
    draft = life.turn()
    assert draft.invoice is None
    assert told(life) == [("usage", "it comes to more than 10000000000000.00 EUR")]
