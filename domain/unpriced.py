"""Unpriced: usage that no price fits is left off the invoice and told of; it never holds up the rest.

    usage ──► groups that a price matches ──► rated
          └─► the others ──► Unpriced

Ingestion refuses what cannot be priced (`domain.acceptance`); this is for what came in all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from domain.catalog import Charge
from domain.charge_rules import MOST_MINOR
from domain.errors import PricingError
from domain.measure import Measured, measure
from domain.metering import Usage
from domain.money import Money, total
from domain.pricing import matched
from domain.rating import RatedLine, rate
from domain.turn import Part

_NOTHING = Usage(quantity=Fraction(0), groups={}, events=())
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """Usage that `charge` counts in `part` and cannot price. `whole`: all of it, not a few groups. `why` is for people."""

    part: Part
    charge: str
    why: str
    whole: bool = False


def rated_usage(
    part: Part, charge: Charge, measured: Measured, currency: str
) -> tuple[tuple[RatedLine, ...], Unpriced | None]:
    """The lines of a usage charge, and what they leave out. Where nothing can be priced a minimum is due all the same."""
    usage, unmatched = matched(charge, measured[measure(part, charge)])
    try:
        lines = rate(charge, usage, currency, share=part.share)
        if total((line.amount for line in lines), currency).minor <= MOST_MINOR:
            left = Unpriced(part=part, charge=charge.key, why=_listed(unmatched)) if unmatched else None
            return lines, left
        why = f"it comes to more than {Money(MOST_MINOR, currency).text} {currency}"
    except PricingError as error:
        why = error.detail
    left = Unpriced(part=part, charge=charge.key, why=why, whole=True)
    return rate(charge, _NOTHING, currency, share=part.share), left


def _listed(why: Sequence[str]) -> str:
    more = len(why) - _SHOWN
    return "; ".join(why[:_SHOWN]) + (f"; and {more} groups more" if more > 0 else "")
