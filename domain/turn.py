"""Turn: what a boundary, or an end before it, does to a subscription: what is to be billed, and the subscription afterwards.

    opened ──► turned ──► turned ──► … ──► turned | cancelled ──► turned (the last look at late usage)
    advance    arrears, advance            arrears

`turned` closes the period that ends and opens the next. Each of them is pure: it answers a Turn and changes nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.calendar import Period, local_day
from domain.catalog import ZERO, Plan, Timing
from domain.errors import InvalidState
from domain.metering import USAGE_MAX_AGE, Span
from domain.rating import WHOLE, Share
from domain.subscription import Item, Plans, Section, Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class Claim:
    """The usage of `meter` in `span` is billed by somebody older."""

    meter: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is billed of one item with one timing: the service days of `period`, cut from the period `whole`.

    Usage counts from `starts_at` up to but not including `ends_at` (UTC), less what was `claimed` by older lines; a level is
    averaged from `opens_at`, the midnight at which the first of its days began. `ordinal` is the number of the period it lies
    in, from 0, by which discounts are counted. `term_starts_on` is set where a term closes with this part: its first day.
    `opened` is set where an end has cut it short: the days for which its advance was billed.
    """

    item: Item
    timing: Timing
    period: Period
    whole: Period
    opens_at: datetime
    starts_at: datetime
    ends_at: datetime
    ordinal: int
    claimed: tuple[Claim, ...] = ()
    term_starts_on: date | None = None
    opened: Period | None = None

    @property
    def share(self) -> Share:
        """The fraction of the whole period."""
        return WHOLE if self.period == self.whole else Share(self.period.days, self.whole.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one boundary does: `parts` to bill, in the order of their lines, and the subscription afterwards.

    `cause` names the boundary among all that bills this subscription; `at` is its instant, `issue_at` when its invoice is
    made (both UTC). `period` is the one it opens, or else the one it closes.
    """

    cause: str
    at: datetime
    issue_at: datetime
    period: Period
    parts: tuple[Part, ...]
    after: Subscription
    events: tuple[str, ...] = ()


def opened(subscription: Subscription, plans: Plans) -> Turn:
    """The first period opens: at activation, or at the end of the trial. Bills what is due once and in advance."""
    first = subscription.sections[0]
    at = subscription.instant(first.starts_on) if subscription.trial_ends_on else subscription.activated_at
    k = 0 if subscription.cadence.boundary(0) <= first.starts_on else -1
    period = subscription.whole_period(k, first.starts_on)
    after = replace(
        subscription,
        state=SubscriptionState.ACTIVE,
        k=k,
        period=period if subscription.recurs else None,
        sections=(replace(first, starts_at=at),),
    )
    whole = subscription.cadence.period(k) if subscription.recurs else period
    parts = _parts(after, plans, period, whole, at, (Timing.ONCE, Timing.ADVANCE))
    return Turn(
        cause=f"boundary/{first.starts_on}",
        at=at,
        issue_at=at,
        period=period,
        parts=parts,
        after=after,
        events=("subscription.trial_ended",) if subscription.trial_ends_on else (),
    )


def turned(subscription: Subscription, plans: Plans) -> Turn:
    """The boundary at which the current period closes, and the next opens unless it is the end.

    After the end it is the last look at late usage. Raises InvalidState when no boundary is to come.
    """
    if subscription.state is SubscriptionState.ENDED and subscription.late_until:
        return _looked_back(subscription, subscription.late_until)
    if subscription.state is SubscriptionState.TRIALING:
        return opened(subscription, plans)
    closing = subscription.period
    if subscription.state is not SubscriptionState.ACTIVE or (closing is None and subscription.ends_on is None):
        raise InvalidState(f"subscription {subscription.key} is {subscription.state}: no boundary is to come")
    if closing is None:
        assert subscription.ends_on is not None
        started_on = local_day(subscription.activated_at, subscription.timezone)
        return _ended(subscription, Period(started_on, subscription.ends_on), ())
    at = subscription.instant(closing.ends_on)
    arrears = closing_parts(subscription, plans, closing.ends_on, at)
    if subscription.ends_on is not None and closing.ends_on >= subscription.ends_on:
        return _ended(subscription, closing, arrears)
    renewed, events = _renewed_at(subscription, plans, closing.ends_on)
    k = subscription.k + 1
    period = renewed.whole_period(k, closing.ends_on)
    after = replace(
        renewed,
        k=k,
        ordinal=subscription.ordinal + 1,
        period=period,
        sections=(Section(starts_on=closing.ends_on, starts_at=at, items=renewed.items),),
    )
    advance = _parts(after, plans, period, after.cadence.period(k), at, (Timing.ADVANCE,))
    return Turn(
        cause=f"boundary/{closing.ends_on}",
        at=at,
        issue_at=at + subscription.grace,
        period=period,
        parts=arrears + advance,
        after=after,
        events=events,
    )


def cancelled(subscription: Subscription, plans: Plans, *, at: datetime, cause: str) -> Turn:
    """The end now: the current local day is not billed, usage up to `at` is. Nothing is credited (`refund: none`).

    A boundary whose invoice waits for usage has been: what it closes and opens is billed along. What is billed stays so: an
    `at` before the current section counts as its start. Raises InvalidState when it has ended already.
    """
    at = max(at, subscription.sections[-1].starts_at)
    if subscription.state_at(at) is SubscriptionState.ENDED:
        raise InvalidState(f"subscription {subscription.key} has ended")
    passed: list[Turn] = []
    while (due := subscription.next_due_at) and (due - subscription.grace if subscription.period else due) <= at:
        passed.append(turned(subscription, plans))
        subscription = passed[-1].after
    today = local_day(at, subscription.timezone)
    closing = subscription.period
    parts = closing_parts(subscription, plans, today, at, is_end=True) if closing else ()
    return Turn(
        cause=cause,
        at=at,
        issue_at=at,
        period=passed[-1].period if passed else Period(closing.starts_on if closing else today, today),
        parts=(*(part for turn in passed for part in turn.parts), *parts),
        after=_over(replace(subscription, ends_on=today), at),
        events=(*(event for turn in passed for event in turn.events), "subscription.ended"),
    )


def closing_parts(
    subscription: Subscription, plans: Plans, ends_on: date, ends_at: datetime, *, is_end: bool = False
) -> tuple[Part, ...]:
    """What falls due in arrears of the current period when it closes on the day `ends_on`, at the instant `ends_at`.

    Its end closes every term (`is_end`); otherwise a term closes on its last day, or when what was sold for a while is over.
    """
    whole = subscription.cadence.period(subscription.k)
    sections = subscription.sections
    ends = [(section.starts_on, section.starts_at) for section in sections[1:]] + [(ends_on, ends_at)]
    parts = (
        Part(
            item=item,
            timing=Timing.ARREARS,
            period=Period(section.starts_on, until_on),
            whole=whole,
            opens_at=subscription.instant(section.starts_on),
            starts_at=section.starts_at,
            ends_at=until_at,
            ordinal=subscription.ordinal,
        )
        for section, (until_on, until_at) in zip(sections, ends, strict=True)
        for item in section.items
        if plans[item.plan].recurs
    )
    cut = ends_on if is_end else None
    return tuple(
        _closing(subscription, plans[part.item.plan], part, cut) for part in _served(subscription, plans, parts)
    )


def _closing(subscription: Subscription, plan: Plan, part: Part, cut_on: date | None) -> Part:
    """`part`, as the last of a term if it is that; on the day `cut_on` everything ends."""
    served_until = subscription.served_until(plan)
    if part.period.ends_on not in {cut_on, subscription.term_ends_on, served_until}:
        return part
    part = replace(part, term_starts_on=_term_starts_on(subscription, plan))
    if part.period.ends_on != cut_on or subscription.period is None:
        return part
    ends_on = min(subscription.period.ends_on, served_until or subscription.period.ends_on)
    return replace(part, opened=Period(part.period.starts_on, ends_on))


def _term_starts_on(subscription: Subscription, plan: Plan) -> date:
    """The first day of the current term of what was sold of `plan`; a stub belongs to the first term."""
    k = 0
    if subscription.term and subscription.term_ends_on and not plan.duration:
        k = subscription.cadence.index(subscription.term_ends_on) - subscription.term.intervals
    started_on = local_day(subscription.activated_at, subscription.timezone)
    return subscription.cadence.boundary(k) if k > 0 else started_on


def _parts(
    subscription: Subscription, plans: Plans, period: Period, whole: Period, at: datetime, timings: tuple[Timing, ...]
) -> tuple[Part, ...]:
    parts = (
        Part(
            item=item,
            timing=timing,
            period=period,
            whole=whole,
            opens_at=subscription.instant(period.starts_on),
            starts_at=at,
            ends_at=subscription.instant(period.ends_on),
            ordinal=subscription.ordinal,
        )
        for item in subscription.items
        for timing in timings
        if timing is not Timing.ADVANCE or plans[item.plan].recurs
    )
    return tuple(_served(subscription, plans, parts))


def _served(subscription: Subscription, plans: Plans, parts: Iterable[Part]) -> Iterator[Part]:
    """`parts`, each up to where its own plan ends; one that lies beyond is none."""
    for part in parts:
        ends_on = subscription.served_until(plans[part.item.plan])
        if ends_on is None or ends_on > part.period.ends_on:
            yield part
        elif ends_on > part.period.starts_on:
            ends_at = min(part.ends_at, subscription.instant(ends_on))
            yield replace(part, period=Period(part.period.starts_on, ends_on), ends_at=ends_at)


def _renewed_at(subscription: Subscription, plans: Plans, boundary_on: date) -> tuple[Subscription, tuple[str, ...]]:
    """At the end of its term a subscription that renews begins the next one, each line at prices raised by its own uplift."""
    term = subscription.term
    if term is None or boundary_on != subscription.term_ends_on:
        return subscription, ()
    rises = {item.plan: sold.uplift if (sold := plans[item.plan].term) else ZERO for item in subscription.items}
    items = tuple(replace(item, uplift=item.uplift * (1 + rises[item.plan])) for item in subscription.items)
    last = subscription.sections[-1]
    return (
        replace(
            subscription,
            sections=(*subscription.sections[:-1], replace(last, items=items)),
            term_ends_on=subscription.cadence.boundary(subscription.k + 1 + term.intervals),
        ),
        ("subscription.renewed",),
    )


def _ended(subscription: Subscription, period: Period, parts: tuple[Part, ...]) -> Turn:
    """The last boundary: `period` closes, and none opens."""
    at = subscription.instant(period.ends_on)
    return Turn(
        cause=f"boundary/{period.ends_on}",
        at=at,
        issue_at=at + subscription.grace,
        period=period,
        parts=parts,
        after=_over(subscription, at),
        events=("subscription.ended",),
    )


def _over(subscription: Subscription, at: datetime) -> Subscription:
    """Ended at `at`. Where a period closes with it, usage of that may still come."""
    late_until = at + USAGE_MAX_AGE if subscription.is_metered and subscription.period else None
    return replace(subscription, state=SubscriptionState.ENDED, period=None, ended_at=at, late_until=late_until)


def _looked_back(subscription: Subscription, at: datetime) -> Turn:
    """What came late after the last invoice is billed on one of its own, once nothing more can come."""
    assert subscription.ends_on is not None
    return Turn(
        cause="late-usage",
        at=at,
        issue_at=at,
        period=Period(subscription.sections[0].starts_on, subscription.ends_on),
        parts=(),
        after=replace(subscription, late_until=None),
    )
