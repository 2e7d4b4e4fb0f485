"""Metering: many events → one quantity.

    events ──► aggregate ──────────────► quantity ─┐
           └─► grouped by dimensions ──► groups ───┴─► Usage ──► rating

Exact throughout: an average of thirds stays a third. Without events every aggregation is 0. The store aggregates where
the data is; what it answers must equal what is defined here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction

from domain.catalog import ZERO, Aggregation
from domain.errors import PricingError
from domain.money import plain

# Decimal arithmetic that never rounds: with the default context a sum loses what lies beyond 28 digits.
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation])
_TICK = timedelta(microseconds=1)

USAGE_MAX_AGE = timedelta(days=35)
"""How old an event may be when it is reported; older ones are refused (contract section 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A usage event as rating sees it: its value, its properties, and its instant where order matters (UTC).

    `unique` is what `unique_count` tells apart (a user's id); None: the value itself.
    """

    value: Decimal = ZERO
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    time: datetime | None = None
    unique: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a meter measured: the aggregated `quantity`, and what models that look closer need.

    `groups` maps a group's dimension values (in the charge's order) to its quantity; `events` stand in time order.
    """

    quantity: Fraction
    groups: Mapping[tuple[str, ...], Fraction] | None = None
    events: Sequence[Event] | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The instants `[starts_at, ends_at)`, UTC."""

    starts_at: datetime
    ends_at: datetime

    def holds(self, at: datetime) -> bool:
        """Whether the instant `at` lies in it."""
        return self.starts_at <= at < self.ends_at


def aggregate(aggregation: Aggregation, events: Sequence[Event], period: Span | None = None) -> Fraction:
    """One quantity of many events; only `weighted_sum` asks for `period`. Raises PricingError("invalid_events")."""
    if aggregation is Aggregation.WEIGHTED_SUM:
        return _weighted_sum(events, period)
    return _MEASURES[aggregation](events) if events else Fraction(0)


def grouped(
    aggregation: Aggregation, events: Sequence[Event], dimensions: Sequence[str], period: Span | None = None
) -> dict[tuple[str, ...], Fraction]:
    """The quantity of each group of events alike in all `dimensions`; a property that an event lacks counts as ""."""
    groups: dict[tuple[str, ...], list[Event]] = {}
    for event in events:
        groups.setdefault(tuple(event.properties.get(name, "") for name in dimensions), []).append(event)
    return {group: aggregate(aggregation, members, period) for group, members in groups.items()}


def measured(
    aggregation: Aggregation, events: Sequence[Event], dimensions: Sequence[str] = (), period: Span | None = None
) -> Usage:
    """All that rating may want to know of `events`, in whatever order. Raises PricingError("invalid_events")."""
    ordered = in_time_order(events)
    return Usage(
        quantity=aggregate(aggregation, ordered, period),
        groups=grouped(aggregation, ordered, dimensions, period) if dimensions else None,
        events=ordered,
    )


def in_time_order(events: Sequence[Event]) -> list[Event]:
    """Earliest first; events of one instant, and events without instants, stay as they stood.

    Raises PricingError when only some have an instant: they have no order.
    """
    times = [event.time for event in events if event.time is not None]
    if not times:
        return list(events)
    if len(times) < len(events):
        raise PricingError("invalid_events", "either every event has a time or none has")
    return [event for _, event in sorted(zip(times, events, strict=True), key=lambda pair: pair[0])]


def _weighted_sum(events: Sequence[Event], period: Span | None) -> Fraction:
    if period is None or period.ends_at <= period.starts_at:
        raise PricingError("invalid_events", "weighted_sum needs a period that ends after it starts")
    weighed = Fraction(0)
    for event in events:
        if event.time is None:
            raise PricingError("invalid_events", "weighted_sum needs the time of every event")
        lasts = period.ends_at - max(event.time, period.starts_at)
        weighed += Fraction(event.value) * max(lasts // _TICK, 0)
    return weighed / ((period.ends_at - period.starts_at) // _TICK)


def _sum(events: Sequence[Event]) -> Fraction:
    found = ZERO
    for event in events:
        found = _EXACT.add(found, event.value)
    return Fraction(found)


def _unique_count(events: Sequence[Event]) -> Fraction:
    return Fraction(len({plain(event.value) if event.unique is None else event.unique for event in events}))


_MEASURES: dict[Aggregation, Callable[[Sequence[Event]], Fraction]] = {
    Aggregation.COUNT: lambda events: Fraction(len(events)),
    Aggregation.SUM: _sum,
    Aggregation.MAX: lambda events: Fraction(max(event.value for event in events)),
    Aggregation.MIN: lambda events: Fraction(min(event.value for event in events)),
    Aggregation.LATEST: lambda events: Fraction(in_time_order(events)[-1].value),
    Aggregation.UNIQUE_COUNT: _unique_count,
    Aggregation.AVERAGE: lambda events: _sum(events) / len(events),
}
