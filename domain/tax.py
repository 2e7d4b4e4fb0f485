"""Tax: one rate per country, on the discounted sum of the lines of that rate, rounded once per rate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from domain.money import Money

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class TaxAmount:
    """`amount` of tax at `rate` (a fraction) on `base`, the discounted sum of the lines of that rate."""

    rate: Decimal
    base: Money
    amount: Money


def tax_rate(taxes: Mapping[str, Decimal], country: str) -> Decimal:
    """The rate for a customer in `country` (ISO 3166 code), or the price book's default, or none."""
    return taxes.get(country, taxes.get("default", ZERO))


def taxed(bases: Iterable[tuple[Decimal, Money]], *, inclusive: bool = False) -> tuple[TaxAmount, ...]:
    """Tax per rate on the sum of `bases`, in order of the rates; with `inclusive` the tax that the bases contain."""
    sums: dict[Decimal, Money] = {}
    for rate, base in bases:
        sums[rate] = sums[rate] + base if rate in sums else base
    result: list[TaxAmount] = []
    for rate, base in sorted(sums.items()):
        share = Fraction(rate) / (1 + Fraction(rate)) if inclusive else Fraction(rate)
        amount = base.scaled(share)
        result.append(TaxAmount(rate, base - amount if inclusive else base, amount))
    return tuple(result)
