"""Charge rules: what must hold of one charge by itself, in whatever plan. What plans add is in catalog_rules."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from domain.catalog import (
    ZERO,
    Charge,
    Commitment,
    Graduated,
    GraduatedPercentage,
    Matrix,
    MatrixPrice,
    Package,
    Percentage,
    Tier,
    Volume,
)
from domain.errors import FieldError
from domain.money import CURRENCIES
from domain.money import exponent as decimals_of

Loc = tuple[str | int, ...]

PRICE_DECIMALS = 12
MOST_MINOR = 10**15
"""What a charge may come to in one period, in minor units. More is a slip, and thousands of it are more than a row can hold."""
_TOO_LARGE = Decimal(10) ** 18
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What appears on an invoice as it is written, so it must be payable; all other numbers may be finer.
_AMOUNTS = {"amount", "minimum", "maximum"}


def charge_problems(charge: Charge, currency: str, loc: Loc = ()) -> Iterator[FieldError]:
    """All that is wrong with the charge, each at its path below `loc`."""
    yield from key_problems(charge.key, (*loc, "key"))
    yield from _number_problems(charge, currency, loc)
    if charge.minimum is not None and charge.maximum is not None and charge.minimum > charge.maximum:
        yield FieldError((*loc, "minimum"), "must not exceed maximum")
    match charge:
        case Graduated() | Volume() | GraduatedPercentage():
            yield from _tier_problems(charge.tiers, charge, loc)
        case Package() if charge.package_size == 0:
            yield FieldError((*loc, "package_size"), "must be more than zero")
        case Percentage():
            yield from _percentage_problems(charge, loc)
        case Matrix():
            yield from _matrix_problems(charge, loc)
        case Commitment():
            yield from _commitment_problems(charge, loc)
        case _:
            pass


def key_problems(key: str, loc: Loc) -> Iterator[FieldError]:
    """Keys stand in paths, ids and names such as q1#2, so they are words."""
    if not _KEY.fullmatch(key):
        yield FieldError(loc, "must be 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first")


def repeated(keys: Iterable[str], loc: Loc, *field: str) -> Iterator[FieldError]:
    """An error for each key that stood before; keys are those of the list at `loc`."""
    seen: set[str] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield FieldError((*loc, index, *field), f"{key!r} stands twice")
        seen.add(key)


def _number_problems(part: Charge | Tier | MatrixPrice, currency: str, loc: Loc) -> Iterator[FieldError]:
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Decimal):
            wrong = _number_problem(value, currency if field.name in _AMOUNTS else None)
            if wrong:
                yield FieldError((*loc, field.name), wrong)
    children = part.tiers if isinstance(part, Graduated | Volume | GraduatedPercentage) else ()
    for index, tier in enumerate(children):
        yield from _number_problems(tier, currency, (*loc, "tiers", index))
    for index, price in enumerate(part.prices if isinstance(part, Matrix) else ()):
        yield from _number_problems(price, currency, (*loc, "prices", index))


def _number_problem(value: Decimal, currency: str | None) -> str | None:
    if value < 0:
        return "must not be negative"
    if value >= _TOO_LARGE:
        return "is too large"
    if currency in CURRENCIES and not fits(value, decimals_of(currency)):
        return f"has more decimals than {currency} allows ({decimals_of(currency)})"
    if currency in CURRENCIES and value * 10 ** decimals_of(currency) > MOST_MINOR:
        return "is too large: no invoice can ask for it"
    return None if fits(value, PRICE_DECIMALS) else f"has more than {PRICE_DECIMALS} decimals"


def fits(value: Decimal, decimals: int) -> bool:
    """Whether `decimals` places after the point are enough."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and (-exponent <= decimals or (Fraction(value) * 10**decimals).denominator == 1)


def _tier_problems(tiers: tuple[Tier, ...], charge: Charge, loc: Loc) -> Iterator[FieldError]:
    loc = (*loc, "tiers")
    if not tiers:
        yield FieldError(loc, "needs at least one tier")
        return
    for index, tier in enumerate(tiers[:-1]):
        if tier.up_to is None:
            yield FieldError((*loc, index, "up_to"), "only the last tier has no end")
    if tiers[-1].up_to is not None:
        yield FieldError((*loc, len(tiers) - 1, "up_to"), "the last tier must have no end: null")
    for index, (before, tier) in enumerate(pairwise((ZERO, *(tier.up_to for tier in tiers)))):
        if before is not None and tier is not None and tier <= before:
            yield FieldError((*loc, index, "up_to"), f"must be more than {before}: tiers rise")
    unused = "unit_amount" if isinstance(charge, GraduatedPercentage) else "rate"
    for index, tier in enumerate(tiers):
        if getattr(tier, unused):
            yield FieldError((*loc, index, unused), f"has no meaning in a tier of model {charge.model}")


def _percentage_problems(charge: Percentage, loc: Loc) -> Iterator[FieldError]:
    if charge.free_events is not None and charge.free_events < 0:
        yield FieldError((*loc, "free_events"), "must not be negative")
    low, high = charge.min_per_event, charge.max_per_event
    if low is not None and high is not None and low > high:
        yield FieldError((*loc, "min_per_event"), "must not exceed max_per_event")


def _matrix_problems(charge: Matrix, loc: Loc) -> Iterator[FieldError]:
    if not charge.dimensions:
        yield FieldError((*loc, "dimensions"), "needs at least one dimension")
    yield from repeated(charge.dimensions, (*loc, "dimensions"))
    if not charge.prices and charge.default is None:
        yield FieldError((*loc, "prices"), "needs at least one price, or a default")
    for index, price in enumerate(charge.prices):
        for name in price.match:
            if name not in charge.dimensions:
                at = (*loc, "prices", index, "match", name)
                yield FieldError(at, f"is no dimension; they are {', '.join(charge.dimensions)}")
    matches = [", ".join(f"{name} {price.match[name]}" for name in sorted(price.match)) for price in charge.prices]
    yield from repeated(matches, (*loc, "prices"), "match")


def _commitment_problems(charge: Commitment, loc: Loc) -> Iterator[FieldError]:
    if not charge.applies_to:
        yield FieldError((*loc, "applies_to"), "needs at least one charge")
    yield from repeated(charge.applies_to, (*loc, "applies_to"))
    for name in ("meter", "quantity", "included", "minimum", "maximum"):
        if getattr(charge, name):
            yield FieldError((*loc, name), "has no meaning in a commitment")
