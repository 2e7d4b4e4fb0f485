"""Offers: what must hold of the lines of a quote before anybody is asked to sell them."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from api.keys import key_errors
from api.reading import Loc
from domain.discount import Discount
from domain.errors import FieldError, InvalidInput
from domain.money import Money
from workflows.quote import OfferedLine

MOST_LINES = 50
MOST = Decimal(10) ** 9
LONGEST = timedelta(days=3660)
_PLACES = 12


def offer_errors(
    lines: Sequence[OfferedLine], valid_for: timedelta, currency: str, *, key: str | None = None
) -> list[FieldError]:
    """All that is wrong with an offer in `currency`, each at its path."""
    return list(_errors(lines, valid_for, currency, key))


def _errors(lines: Sequence[OfferedLine], valid_for: timedelta, currency: str, key: str | None) -> Iterator[FieldError]:
    yield from key_errors(key)
    if not timedelta(0) < valid_for <= LONGEST:
        yield FieldError(("valid_for",), "must be a duration of at most ten years, such as P30D")
    if not 1 <= len(lines) <= MOST_LINES:
        yield FieldError(("lines",), f"must be 1 to {MOST_LINES} lines")
    for index, line in enumerate(lines[:MOST_LINES]):
        loc = ("lines", index)
        if not 0 < line.quantity <= MOST or not _fits(line.quantity):
            yield FieldError(
                (*loc, "quantity"), f"must be more than 0, at most {MOST:f}, with at most {_PLACES} decimals"
            )
        for number, less in enumerate(line.discounts):
            yield from _discount(less, (*loc, "discounts", number), currency)


def _discount(less: Discount, loc: Loc, currency: str) -> Iterator[FieldError]:
    if (less.percent is None) == (less.amount is None):
        yield FieldError(loc, "needs either `percent` or `amount`")
    if less.percent is not None and (not 0 < less.percent <= 100 or not _fits(less.percent)):
        yield FieldError((*loc, "percent"), 'must be more than 0 and at most 100: "10" is ten in a hundred')
    if less.amount is not None:
        yield from _amount(less.amount, (*loc, "amount"), currency)
    if less.periods is not None and not 1 <= less.periods <= 10_000:
        yield FieldError((*loc, "periods"), "must be 1 or more; leave it out for as long as the subscription runs")


def _amount(amount: Decimal, loc: Loc, currency: str) -> Iterator[FieldError]:
    if not 0 < amount <= MOST:
        yield FieldError(loc, f"must be more than 0, at most {MOST:f}")
        return
    try:
        Money.parsed(amount, currency)
    except InvalidInput as error:
        yield FieldError(loc, error.detail)


def _fits(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= _PLACES
