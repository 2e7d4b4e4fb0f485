"""Measure: which usage a part of a subscription asks for, and what was billed of it before.

part ──charges_due──► charges ──measure──► what to read from the store of usage ──► rating
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from domain.catalog import Charge, Commitment
from domain.metering import USAGE_MAX_AGE, Span, Usage
from domain.money import Money
from domain.subscription import Plans, Subscription
from domain.turn import Part


@dataclass(frozen=True, slots=True)
class Measure:
    """What must be read from the store of usage to rate a charge: a meter over `[starts_at, ends_at)`, UTC.

    `dimensions` asks for groups, `events` for single events; what lies in a span of `without` is left out. A level is averaged
    over the time since `opens_at` (None: since `starts_at`).
    """

    meter: str
    starts_at: datetime
    ends_at: datetime
    dimensions: tuple[str, ...] = ()
    events: bool = False
    without: tuple[Span, ...] = ()
    opens_at: datetime | None = None


Measured = Mapping[Measure, Usage]


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledUsage:
    """What has been billed for the usage of one charge in one part, late usage included: the base of the next re-rating.

    `quantity` is what its usage lines show together, a decimal string. Without a `meter` the charge is a commitment over a
    term, and `billed` is what counts for it of this part.
    """

    part: Part
    charge: str
    meter: str | None
    billed: Money
    quantity: str = "0"


def charges_due(part: Part, plans: Plans) -> tuple[Charge, ...]:
    """What falls due with `part`. One that ended on the day on which it began has no day to bill, only usage and its term."""
    due = (charge for charge in plans[part.item.plan].charges if charge.timing is part.timing)
    return tuple(charge for charge in due if part.period.days or charge.is_usage or is_over_term(charge))


def is_over_term(charge: Charge) -> TypeGuard[Commitment]:
    """Whether it is due whole when a term closes."""
    return isinstance(charge, Commitment) and charge.over == "term"


def measure(part: Part, charge: Charge) -> Measure:
    """The usage that `charge` counts in `part`."""
    assert charge.meter is not None
    dimensions = charge.dimensions if charge.model == "matrix" else ()
    needs_events = charge.model in {"percentage", "dynamic"}
    without = tuple(claim.span for claim in part.claimed if claim.meter == charge.meter)
    return Measure(charge.meter, part.starts_at, part.ends_at, dimensions, needs_events, without, part.opens_at)


def late_since(subscription: Subscription) -> datetime:
    """Parts that end after it (UTC) may have got usage since the invoice of the last boundary looked at them.

    What has come since then was at most USAGE_MAX_AGE old when it came.
    """
    return subscription.sections[0].starts_at - USAGE_MAX_AGE


def measures(parts: Iterable[Part], earlier: Iterable[BilledUsage], plans: Plans) -> tuple[Measure, ...]:
    """All usage that a draft of `parts`, and the re-rating of `earlier`, needs."""
    read = [*parts, *(was.part for was in earlier)]
    wanted = (measure(part, charge) for part in read for charge in charges_due(part, plans) if charge.is_usage)
    return tuple(dict.fromkeys(wanted))
