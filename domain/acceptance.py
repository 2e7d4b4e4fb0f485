"""Acceptance: whether a usage event can be counted and priced.

    what was sold to its customer counts its type at its time ──► judged by that: else money would be lost in silence
    nothing of the kind was sold to its customer ───────────────► judged by the price book in force

One of the lines sold must be able to count the event with all its meters, or else one of the meters on offer; those that cannot
leave it out. Of what is sold, the oldest line on each meter bills it (`domain.claim`), so that line must have a price for it.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.catalog import Aggregation, Matrix, Meter
from domain.errors import InvalidEvent, PricingError, Refused, UnknownEvent
from domain.pricing import unmatched

NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_MOST = Decimal(10) ** 15
_FINEST = 18

Data = Mapping[str, object]
"""What an event carries: JSON values, no floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """`meter` counts events in `[starts_at, ends_at)` (UTC, None: no bound) for `line`; None: for a limit, or for nothing yet.

    `matrix` is the line's charge on the meter, where that may lack a price.
    """

    meter: Meter
    line: str | None = None
    matrix: Matrix | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether it counts what happens at the instant `at`."""
        return (self.starts_at is None or self.starts_at <= at) and (self.ends_at is None or at < self.ends_at)


def refusal(
    type_: str, time: datetime, data: Data, *, sold: Iterable[Counting], offered: Iterable[Counting]
) -> Refused | None:
    """Why the event cannot be billed; None when it can. `sold` to its customer, the oldest line first; `offered` to anybody."""
    bought = [one for one in sold if one.meter.event == type_ and one.holds(time)]
    judges = bought or [one for one in offered if one.meter.event == type_]
    if not judges:
        return UnknownEvent(f"no meter counts events of type {type_}")
    wrong = {one.meter.key: value_problem(data, one.meter) for one in judges}
    able = _able(judges, {key for key, problem in wrong.items() if problem})
    if not able:
        return next(problem for problem in wrong.values() if problem)
    unpriced = [_unpriced(one, data) for one in (_billing(able) if bought else able)]
    if bought:
        return next((one for one in unpriced if one), None)
    return unpriced[0] if all(unpriced) else None


def value_problem(data: Data, meter: Meter) -> InvalidEvent | None:
    """Why `meter` cannot count an event with this `data`."""
    if meter.aggregation is Aggregation.COUNT or meter.value is None:
        return None
    value = data.get(meter.value)
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        if value is None or isinstance(value, dict | list):
            return InvalidEvent(f"data.{meter.value} is what meter {meter.key} tells apart: it is missing")
    elif not _is_number(value):
        return InvalidEvent(f"data.{meter.value} must be a number, or a numeric string: meter {meter.key} adds it up")
    return None


def _able(judges: Sequence[Counting], unable: Collection[str]) -> list[Counting]:
    """Those of lines all of whose meters can count the event; what only limits, or is on offer, where there is no line."""
    judges = [one for one in judges if one.line is not None] or judges
    lacking = {one.line or one.meter.key for one in judges if one.meter.key in unable}
    return [one for one in judges if (one.line or one.meter.key) not in lacking]


def _billing(able: Sequence[Counting]) -> list[Counting]:
    """All that the oldest line on each meter charges."""
    oldest: dict[str, str | None] = {}
    for one in able:
        oldest.setdefault(one.meter.key, one.line)
    return [one for one in able if one.line == oldest[one.meter.key]]


def _unpriced(counting: Counting, data: Data) -> PricingError | None:
    matrix = counting.matrix
    return unmatched(matrix, tuple(_text(data.get(name)) for name in matrix.dimensions)) if matrix else None


def _text(value: object) -> str:
    """As the store groups by it: a property that is missing is ""."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return False
    text = str(value)
    if not NUMBER.fullmatch(text):
        return False
    read = Decimal(text)
    exponent = read.normalize().as_tuple().exponent
    return abs(read) <= _MOST and isinstance(exponent, int) and -exponent <= _FINEST
