"""Rating: charge × quantity → money. Nothing else in the house multiplies a price.

    quantity ── less included ──► priced by the model ──► rounded once per line ──► maximum, minimum

Everything is exact (`Fraction`) until a line is made. In a partial period (`Share`) licensed amounts, included units,
minimum and maximum are prorated; usage, tier bounds, a usage charge's prices and flats never are (contract section 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from domain.catalog import Charge, Commitment, Timing
from domain.errors import PricingError
from domain.metering import Event, Usage
from domain.money import Money, plain, total
from domain.pricing import Priced, exact, price

__all__ = ["WHOLE", "Event", "RatedLine", "Share", "Usage", "rate", "true_up"]

ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a whole period that is priced: `days` of `of` local calendar days."""

    days: int
    of: int

    @property
    def exact(self) -> Fraction:
        """As a fraction of the whole."""
        return Fraction(self.days, self.of)


WHOLE = Share(1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedLine:
    """One line of a rated charge. `quantity` is what is billed, included units off.

    `unit_amount` is None where no single price stands for the line; `description` says what tells the line apart from
    the charge's other lines, and is empty where nothing does.
    """

    kind: str
    description: str
    quantity: Fraction
    unit_amount: Decimal | None
    amount: Money


def rate(
    charge: Charge, quantity: Fraction | Usage, currency: str, *, share: Share = WHOLE, factor: Fraction = ONE
) -> tuple[RatedLine, ...]:
    """The lines of one charge for one period or part of it; their sum is the charge's amount.

    `quantity` is the licensed quantity or the usage measured; `factor` scales the licensed prices (renewal uplift).
    Lines are of kind "usage" or "recurring"/"one_time" and, where the minimum is not reached, one more of kind
    "minimum". No usage, no usage line. A `maximum` caps the charge's lines, the last ones first. Raises PricingError.
    """
    usage = quantity if isinstance(quantity, Usage) else Usage(quantity=quantity)
    if usage is not quantity and usage.quantity < 0:
        raise PricingError("invalid_quantity", f"{plain(usage.quantity)} is less than nothing")
    metered = charge.is_usage or usage is quantity
    part = _part(charge, share)
    # A licensed amount is prorated whole, and the included units with it: parts of a period add up to the period.
    included = exact(charge.included) * (part if metered else ONE)
    scale = (ONE, ONE) if metered else (part, ONE if charge.timing is Timing.ONCE else factor)
    kind = "usage" if metered else "one_time" if charge.timing is Timing.ONCE else "recurring"
    lines = [_line(kind, priced, *scale, currency) for priced in price(charge, usage, included)]
    if charge.maximum is not None:
        lines = _capped(lines, Money.rounded(exact(charge.maximum) * part, currency))
    if charge.minimum is not None:
        lines += _missing_to(exact(charge.minimum) * part, lines, currency)
    return tuple(lines)


def true_up(charge: Commitment, counted: Money, currency: str, share: Share = WHOLE) -> Money:
    """What is missing to the committed amount, zero when it is reached; `counted` is what its charges came to.

    A commitment over a period is prorated like everything else; one over a term is due whole.
    """
    committed = exact(charge.amount) * (_part(charge, share) if charge.over == "period" else ONE)
    missing = Money.rounded(committed, currency) - counted
    return missing if missing.minor > 0 else Money.zero(currency)


def _part(charge: Charge, share: Share) -> Fraction:
    """How much of the period is priced. What is charged once is no part of any period."""
    return ONE if charge.prorate == "none" or charge.timing is Timing.ONCE else share.exact


def _line(kind: str, priced: Priced, part: Fraction, factor: Fraction, currency: str) -> RatedLine:
    unit_amount = priced.unit_amount
    if unit_amount is not None and factor != ONE:
        unit_amount = Decimal(plain(exact(unit_amount) * factor))
    return RatedLine(
        kind=kind,
        description=priced.detail,
        quantity=priced.quantity,
        unit_amount=unit_amount,
        amount=Money.rounded(priced.amount * part * factor, currency),
    )


def _capped(lines: Sequence[RatedLine], cap: Money) -> list[RatedLine]:
    over = total((line.amount for line in lines), cap.currency).minor - cap.minor
    kept: list[RatedLine] = []
    for line in reversed(lines):
        cut = min(max(over, 0), line.amount.minor)
        over -= cut
        amount = Money(line.amount.minor - cut, cap.currency)
        kept.append(replace(line, amount=amount, unit_amount=None) if cut else line)
    return kept[::-1]


def _missing_to(minimum: Fraction, lines: Sequence[RatedLine], currency: str) -> list[RatedLine]:
    missing = Money.rounded(minimum, currency) - total((line.amount for line in lines), currency)
    if missing.minor <= 0:
        return []
    return [
        RatedLine(kind="minimum", description="minimum not reached", quantity=ONE, unit_amount=None, amount=missing)
    ]
