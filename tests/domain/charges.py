"""Short words for charges and what is counted. Tests name what matters."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st

from domain.catalog import (
    Charge,
    Dynamic,
    Flat,
    Graduated,
    GraduatedPercentage,
    Matrix,
    Package,
    Percentage,
    PerUnit,
    Tier,
    Timing,
    Volume,
)
from domain.money import total
from domain.rating import WHOLE, Event, Share, Usage, rate

METERED = {"key": "api", "timing": Timing.ARREARS, "meter": "calls"}
LICENSED = {"key": "seats", "timing": Timing.ADVANCE}
HALF = Share(15, 30)

prices = st.decimals(0, 1000, places=12)
positive = st.fractions(min_value=Fraction(1, 1000), max_value=10**6, max_denominator=1000)
shares = st.integers(1, 366).flatmap(lambda of: st.builds(Share, st.integers(0, of), st.just(of)))


def tier(up_to: int | str | None, unit: str = "0", flat: str = "0", rate_: str = "0") -> Tier:
    end = None if up_to is None else Decimal(up_to)
    return Tier(up_to=end, unit_amount=Decimal(unit), flat_amount=Decimal(flat), rate=Decimal(rate_))


def amount(charge: Charge, quantity: int | str | Fraction | Usage, currency: str = "EUR", share: Share = WHOLE) -> str:
    asked = quantity if isinstance(quantity, Usage) else Fraction(quantity)
    return total((line.amount for line in rate(charge, asked, currency, share=share)), currency).text


def events(*values: str) -> Usage:
    listed = [Event(value=Decimal(value)) for value in values]
    return Usage(quantity=sum((Fraction(value) for value in values), Fraction(0)), events=listed)


def grouped(groups: dict[tuple[str, ...], int]) -> Usage:
    return Usage(quantity=Fraction(sum(groups.values())), groups={name: Fraction(q) for name, q in groups.items()})


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(st.integers(1, 10_000), max_size=5)))
    drawn = [(draw(prices), draw(prices)) for _ in range(len(ends) + 1)]
    return tuple(
        Tier(up_to=None if end is None else Decimal(end), unit_amount=unit, flat_amount=flat)
        for end, (unit, flat) in zip([*ends, None], drawn, strict=True)
    )


TIERS = (tier(10, "1.5"), tier(110, "1"), tier(None, "0.5"))
STEPS = (tier(5, flat="100"), tier(10, flat="50"), tier(15, "5"), tier(None, "1"))
EXAMPLES: dict[str, Charge] = {
    "flat": Flat(**METERED, amount=Decimal("4.99")),
    "per_unit": PerUnit(**METERED, unit_amount=Decimal("0.0033")),
    "graduated": Graduated(**METERED, tiers=TIERS),
    "volume": Volume(**METERED, tiers=TIERS),
    "package": Package(**METERED, package_size=Decimal(100), package_amount=Decimal("2.95")),
    "percentage": Percentage(**METERED, rate=Decimal("0.029"), fixed_per_event=Decimal("0.30")),
    "graduated_percentage": GraduatedPercentage(**METERED, tiers=(tier(10, rate_="0.02"), tier(None, rate_="0.01"))),
    "matrix": Matrix(**METERED, dimensions=("region",), prices=(), default=Decimal("0.10")),
    "dynamic": Dynamic(**METERED, multiplier=Decimal("1.2")),
}
