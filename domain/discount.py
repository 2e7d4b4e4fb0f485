"""Discount: less than the list price, for some periods or for all.

Percents multiply in their order and come before fixed amounts (contract section 6). A discount belongs to periods, not to
invoices: period number `ordinal` (0 is the first, a stub counts) is discounted while `ordinal < periods`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """`percent` off ("10" is ten in a hundred) or a fixed `amount` off (major units) per period; one of the two is set."""

    percent: Decimal | None = None
    amount: Decimal | None = None
    periods: int | None = None

    def applies_to(self, ordinal: int) -> bool:
        """Whether period number `ordinal` is discounted."""
        return self.periods is None or ordinal < self.periods


def fraction_off(discounts: Sequence[Discount], ordinal: int) -> Fraction:
    """What the percents that apply take off together, as a fraction: 10 and 20 percent take 28 hundredths."""
    left = Fraction(1)
    for discount in discounts:
        if discount.percent is not None and discount.applies_to(ordinal):
            left *= 1 - Fraction(discount.percent) / 100
    return 1 - left


def discounted(
    amounts: Sequence[Money],
    discounts: Sequence[Discount],
    ordinal: int,
    *,
    with_fixed: bool = True,
    billed: Money | None = None,
) -> list[Money]:
    """What comes off each of `amounts` (the lines of one period), each a positive amount for a positive line.

    Percents are taken off each line and rounded once; then, with `with_fixed`, the fixed amounts off what is left of the
    lines together, never more than that, allocated so that the parts add up to the cent. `billed` is what lines of that
    period came to that were discounted before: a fixed amount is taken once from all of them, and given back where they shrink.
    """
    if not amounts:
        return []
    currency = amounts[0].currency
    fraction = fraction_off(discounts, ordinal)
    off = [amount.scaled(fraction) for amount in amounts]
    fixed = sum(
        (Money.parsed(d.amount, currency).minor for d in discounts if d.amount is not None and d.applies_to(ordinal)), 0
    )
    left = [amount.minor - part.minor for amount, part in zip(amounts, off, strict=True)]
    before = billed.scaled(1 - fraction).minor if billed else 0
    more = min(fixed, max(0, before + sum(left))) - min(fixed, max(0, before))
    if with_fixed and more:
        parts = Money(more, currency).allocated([max(0, one if more > 0 else -one) for one in left])
        off = [have + part for have, part in zip(off, parts, strict=True)]
    return off
