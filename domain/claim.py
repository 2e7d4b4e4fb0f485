"""Claim: several lines sell one meter, and each event is billed once: by the oldest line that sells it at the event's time.

    oldest line   ├──── sells ────┤                 all of its usage
    next line         ├──── sells ────────────┤     what the oldest has not: ....├───────┤
    newest line   ├──────── sells ───────────────┤  what neither has:             .........├──┤

Subscriptions are ordered by the instant of their activation, then by id; lines of one by position. Two charges of one line
on one meter both price it: that is what its plan says. A trial sells no usage, so it claims none until it ends,
and all from then on, whether or not the books have got there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.measure import BilledUsage
from domain.metering import Span
from domain.subscription import Plans, Subscription, SubscriptionState
from domain.turn import Claim, Part

Age = tuple[datetime, str, int]
"""When the subscription was activated, its id, the position of the line: the lower, the older."""


@dataclass(frozen=True, slots=True)
class Sold:
    """A line of that `age` sells `meter` in `[starts_at, ends_at)` (UTC, None: no end is known)."""

    age: Age
    meter: str
    starts_at: datetime
    ends_at: datetime | None


def age_of(subscription: Subscription, position: int) -> Age:
    """By what the lines of a customer are ordered."""
    return subscription.activated_at, subscription.id, position


def sold_by(subscription: Subscription, billed: Iterable[BilledUsage], plans: Plans) -> Iterator[Sold]:
    """What the lines of `subscription` sell of usage: in the parts that were `billed`, and since the last of them."""
    for was in billed:
        if was.meter is not None:
            yield Sold(age_of(subscription, was.part.item.position), was.meter, was.part.starts_at, was.part.ends_at)
    tries = subscription.state is SubscriptionState.TRIALING and subscription.recurs
    since = subscription.instant(subscription.trial_ends_on) if tries and subscription.trial_ends_on else None
    if since is None and (subscription.state is not SubscriptionState.ACTIVE or subscription.period is None):
        return
    ends = [*(section.starts_at for section in subscription.sections[1:]), None]
    for section, section_ends_at in zip(subscription.sections, ends, strict=True):
        for item in section.items:
            plan = plans[item.plan]
            ends_on = subscription.served_until(plan)
            known = [at for at in (section_ends_at, subscription.instant(ends_on) if ends_on else None) if at]
            for meter in dict.fromkeys(charge.meter for charge in plan.charges if charge.meter is not None):
                starts_at = since or section.starts_at
                yield Sold(age_of(subscription, item.position), meter, starts_at, min(known, default=None))


def unclaimed(subscription: Subscription, parts: Iterable[Part], sold: Sequence[Sold]) -> tuple[Part, ...]:
    """`parts` of `subscription`, each with what older lines among `sold` have claimed of its usage."""
    return tuple(replace(part, claimed=_claims(part, age_of(subscription, part.item.position), sold)) for part in parts)


def _claims(part: Part, age: Age, sold: Sequence[Sold]) -> tuple[Claim, ...]:
    spans: dict[str, list[Span]] = {}
    for one in sold:
        starts_at = max(one.starts_at, part.starts_at)
        ends_at = part.ends_at if one.ends_at is None else min(one.ends_at, part.ends_at)
        if one.age < age and starts_at < ends_at:
            spans.setdefault(one.meter, []).append(Span(starts_at, ends_at))
    return tuple(Claim(meter, span) for meter in sorted(spans) for span in _joined(spans[meter]))


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """The same instants in as few spans as will do, in the order of time."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.starts_at):
        if joined and span.starts_at <= joined[-1].ends_at:
            joined[-1] = Span(joined[-1].starts_at, max(joined[-1].ends_at, span.ends_at))
        else:
            joined.append(span)
    yield from joined
