"""Entitlement: may this customer do that? Answered from what was bought, what is suspended, and what was used.

Entitlements of several subscriptions of a customer add up. A limit starts anew at each boundary of its windows: the calendar
of the customer's zone, or the billing period. `used` is all use since the last reset, also past the limit; `remaining` is
never below zero, nor above the limit where corrections exceed what they correct. What is left at a reset rolls over as
`min(max, max(left, min))`, on top of the new amount; of several the oldest burns first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from domain.calendar import Cadence, Interval, cadence, first_instant, local_day
from domain.catalog import Feature, FeatureType, Overage, Plan, Reset, Rollover
from domain.money import plain
from domain.subscription import Item, Plans, Subscription

Reason = Literal["granted", "not_entitled", "suspended", "limit_reached", "overage_allowed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What one sold line gives of one feature from `starts_at` until `ends_at` (UTC, None: open).

    `windows` are the days on which the limit starts anew (None: never); `limit` None is without limit.
    """

    id: str
    customer_id: str
    subscription_id: str
    feature: str
    type: FeatureType
    starts_at: datetime
    timezone: str
    ends_at: datetime | None = None
    value: str | None = None
    meter: str | None = None
    limit: Decimal | None = None
    windows: Cadence | None = None
    rollover: Rollover | None = None
    overage: Overage = Overage.BLOCK

    def valid_at(self, at: datetime) -> bool:
        """Whether it holds at the instant `at`."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def boundaries(self, at: datetime) -> tuple[datetime, ...]:
        """The instants that cut its use into windows, the first at or before its start, the last the reset after `at`.

        Without rollover only the current window matters, so only its two edges are given; without windows there are none.
        """
        if self.windows is None:
            return ()
        today = local_day(at, self.timezone)
        last = self.windows.index(today)
        first = self.windows.index(local_day(self.starts_at, self.timezone)) if self.rollover else last
        return tuple(first_instant(self.windows.boundary(k), self.timezone) for k in range(first, last + 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What `GET /v1/entitlements/{customer}/{feature}` says. Quantities are plain decimal strings, None where not counted."""

    allowed: bool
    reason: Reason
    type: FeatureType
    limit: str | None = None
    used: str | None = None
    remaining: str | None = None
    resets_at: datetime | None = None
    value: str | None = None


COUNTED = frozenset({FeatureType.METERED, FeatureType.SEATS, FeatureType.CONCURRENT})
Used = Mapping[tuple[datetime, ...], Sequence[Fraction]]


def entitlements_of(
    subscription: Subscription, plans: Plans, features: Mapping[str, Feature], ids: Mapping[tuple[int, str], str]
) -> tuple[Entitlement, ...]:
    """What `subscription` gives from its activation. `ids` names each by item position and feature key."""
    return tuple(
        _entitlement(subscription, item, plan, features, index, ids[item.position, plan.entitlements[index].feature])
        for item in subscription.items
        for plan in [plans[item.plan]]
        for index in range(len(plan.entitlements))
    )


def answer(
    feature: Feature, held: Sequence[Entitlement], used: Used, *, suspended: frozenset[str], at: datetime
) -> Answer:
    """The answer at `at`, from all entitlements ever `held` to the feature. What a subscription in `suspended` gives is shut.

    `used` holds, for the boundaries of each valid metered entitlement, the use in each window; for () the use ever.
    """
    valid = [entitlement for entitlement in held if entitlement.valid_at(at)]
    usable = [entitlement for entitlement in valid if entitlement.subscription_id not in suspended]
    if not usable:
        return Answer(allowed=False, reason="suspended" if valid else "not_entitled", type=feature.type)
    if feature.type in COUNTED:
        return _counted(feature, usable, used, at=at)
    value = next((entitlement.value for entitlement in reversed(usable) if entitlement.value is not None), None)
    return Answer(allowed=True, reason="granted", type=feature.type, value=value)


def _counted(feature: Feature, valid: Sequence[Entitlement], used: Used, *, at: datetime) -> Answer:
    now_used = max((used[e.boundaries(at)][-1] for e in valid if e.boundaries(at) in used), default=Fraction(0))
    resets = [e.boundaries(at)[-1] for e in valid if e.boundaries(at)]
    if any(entitlement.limit is None for entitlement in valid):
        limit, remaining = None, None
    else:
        limit = sum(_amounts_now(valid, used, at), Fraction(0))
        remaining = max(Fraction(0), limit - max(Fraction(0), now_used))
    soft = any(entitlement.overage is Overage.ALLOW for entitlement in valid)
    open_ = remaining is None or remaining > 0
    reason: Reason = "granted" if open_ else "overage_allowed" if soft else "limit_reached"
    return Answer(
        allowed=open_ or soft,
        reason=reason,
        type=feature.type,
        limit=None if limit is None else plain(limit),
        used=plain(now_used),
        remaining=None if remaining is None else plain(remaining),
        resets_at=min(resets, default=None),
    )


def _amounts_now(valid: Sequence[Entitlement], used: Used, at: datetime) -> Iterator[Fraction]:
    """The limit of each in the current window, with what rolled over from the windows before.

    What was used in a window burnt one after the other, the oldest first; what a limit had left then is its own.
    """
    in_window: dict[tuple[datetime, ...], list[Entitlement]] = {}
    for entitlement in sorted(valid, key=lambda entitlement: entitlement.starts_at):
        in_window.setdefault(entitlement.boundaries(at)[-2:], []).append(entitlement)
    for alike in in_window.values():
        edges = max((entitlement.boundaries(at) for entitlement in alike), key=len)
        carried = [Fraction(0)] * len(alike)
        for closes_at, was_used in zip(edges[1:-1], used.get(edges, ()), strict=False):
            burns = max(Fraction(0), was_used)
            for index, entitlement in enumerate(alike):
                if entitlement.starts_at < closes_at:
                    amount = _limit(entitlement) + carried[index]
                    left = max(Fraction(0), amount - burns)
                    burns -= amount - left
                    carried[index] = _carried(entitlement.rollover, left)
        yield from (_limit(entitlement) + more for entitlement, more in zip(alike, carried, strict=True))


def _limit(entitlement: Entitlement) -> Fraction:
    return Fraction(entitlement.limit or 0)


def _carried(rollover: Rollover | None, left: Fraction) -> Fraction:
    return min(Fraction(rollover.max), max(left, Fraction(rollover.min))) if rollover else Fraction(0)


def _entitlement(
    subscription: Subscription, item: Item, plan: Plan, features: Mapping[str, Feature], index: int, id: str
) -> Entitlement:
    given = plan.entitlements[index]
    feature = features[given.feature]
    limit = item.quantity if given.limit == "per_quantity" else given.limit
    ends_on = subscription.served_until(plan)
    return Entitlement(
        id=id,
        customer_id=subscription.customer_id,
        subscription_id=subscription.id,
        feature=given.feature,
        type=feature.type,
        starts_at=subscription.activated_at,
        ends_at=subscription.instant(ends_on) if ends_on else None,
        timezone=subscription.timezone,
        value=given.value,
        meter=feature.meter,
        limit=limit if isinstance(limit, Decimal) else None,
        windows=_windows(given.reset, subscription) if feature.type is FeatureType.METERED else None,
        rollover=given.rollover,
        overage=given.overage,
    )


def _windows(reset: Reset, subscription: Subscription) -> Cadence | None:
    match reset:
        case Reset.NEVER:
            return None
        case Reset.PERIOD:
            return subscription.cadence
        case _:
            start = local_day(subscription.activated_at, subscription.timezone)
            return cadence(Interval(reset.value), 1, "calendar", start)
