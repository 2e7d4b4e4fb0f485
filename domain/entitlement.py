"""Entitlement: may this customer do that? Answered from what was bought, what is suspended, and what was used.

Entitlements of several subscriptions of a customer add up. A limit starts anew at each boundary of its windows: the calendar
of the customer's zone, or the billing period. `used` is all use since the last reset, also past the limit; `remaining` is
never below zero. What is left at a reset rolls over as `min(max, max(left, min))`, on top of the new amount.
"""

from collections.abc import Mapping, Sequence
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
        limit = sum((_amount_now(e, used.get(e.boundaries(at), ()), at) for e in valid), Fraction(0))
        remaining = max(Fraction(0), limit - now_used)
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


def _amount_now(entitlement: Entitlement, used: Sequence[Fraction], at: datetime) -> Fraction:
    """Its limit in the current window, with what rolled over from the windows before."""
    amount = Fraction(entitlement.limit or 0)
    rollover = entitlement.rollover
    carried = Fraction(0)
    if rollover:
        for was_used in used[:-1]:
            left = max(Fraction(0), amount + carried - was_used)
            carried = min(Fraction(rollover.max), max(left, Fraction(rollover.min)))
    return amount + carried


def _entitlement(
    subscription: Subscription, item: Item, plan: Plan, features: Mapping[str, Feature], index: int, id: str
) -> Entitlement:
    given = plan.entitlements[index]
    feature = features[given.feature]
    limit = item.quantity if given.limit == "per_quantity" else given.limit
    ends_on = subscription.ends_on
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
