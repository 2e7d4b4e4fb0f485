"""Subscription: what was sold, running. A value; every move returns the next one.

    activated ─> trialing ─> active ──turned──> active ──turned──> ended
                             period 0           period 1

Periods tile time: each ends where the next begins. A period is one or more sections, one for each state of the items that
held in it; the last section's items are the current ones. `turned` closes the period that ends and opens the next.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.calendar import Cadence, Period, cadence, first_instant, local_day
from domain.catalog import Plan, PlanRef, Term, Timing
from domain.discount import Discount
from domain.errors import InvalidState, MixedCadence
from domain.rating import WHOLE, Share

ONE = Decimal(1)
Plans = Mapping[PlanRef, Plan]


class SubscriptionState(StrEnum):
    """Where a subscription is in its life (contract section 7); `suspended` is said by dunning, never stored here."""

    SCHEDULED = "scheduled"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One sold line: `quantity` of one version of a plan. `uplift` is the factor that renewals put on recurring prices."""

    position: int
    plan: PlanRef
    quantity: Decimal = ONE
    discounts: tuple[Discount, ...] = ()
    uplift: Decimal = ONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The items that hold from `starts_on` (for what is counted in days) and `starts_at` (for usage and access, UTC)."""

    starts_on: date
    starts_at: datetime
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is billed of one item with one timing: the service days of `period`, cut from the period `whole`.

    Usage counts from `starts_at` up to but not including `ends_at` (UTC). `ordinal` is the number of the period it lies in,
    from 0, by which discounts are counted.
    """

    item: Item
    timing: Timing
    period: Period
    whole: Period
    starts_at: datetime
    ends_at: datetime
    ordinal: int

    @property
    def share(self) -> Share:
        """The fraction of the whole period."""
        return WHOLE if self.period == self.whole else Share(self.period.days, self.whole.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """`k` numbers the current period on the cadence, `ordinal` since the start. Dates are local, instants UTC.

    `grace` is how long an invoice with metered lines waits after its boundary. `period` is None while trialing and when
    nothing recurs. `term_ends_on` is the boundary up to which it is sold; there it renews or ends. `ends_on` is the day from
    which it is no more, once that is known.
    """

    id: str
    key: str
    order_id: str
    customer_id: str
    currency: str
    timezone: str
    cadence: Cadence
    activated_at: datetime
    sections: tuple[Section, ...]
    state: SubscriptionState = SubscriptionState.ACTIVE
    grace: timedelta = timedelta(0)
    recurs: bool = True
    k: int = 0
    ordinal: int = 0
    period: Period | None = None
    trial_ends_on: date | None = None
    term: Term | None = None
    term_ends_on: date | None = None
    ends_on: date | None = None
    ended_at: datetime | None = None

    @property
    def items(self) -> tuple[Item, ...]:
        """What is sold now."""
        return self.sections[-1].items

    @property
    def next_due_at(self) -> datetime | None:
        """When time alone makes the next thing due: the end of the trial, a boundary (with its grace), the end. UTC."""
        match self.state, self.period, self.ends_on:
            case SubscriptionState.TRIALING, _, _ if self.trial_ends_on:
                return self.instant(self.trial_ends_on)
            case SubscriptionState.ACTIVE, Period() as period, _:
                return self.instant(period.ends_on) + self.grace
            case SubscriptionState.ACTIVE, None, date() as ends_on:
                return self.instant(ends_on)
            case _:
                return None

    def instant(self, on: date) -> datetime:
        """When the local day `on` begins, in UTC."""
        return first_instant(on, self.timezone)

    def state_at(self, at: datetime) -> SubscriptionState:
        """The state as one sees it at `at`: ended from the instant of its end, though the last invoice may wait."""
        if self.ends_on and at >= self.instant(self.ends_on):
            return SubscriptionState.ENDED
        return self.state

    def served_until(self, plan: Plan) -> date | None:
        """The day from which what was sold of `plan` is no more: a plan with a duration ends by itself, the others go on."""
        started_on = self.trial_ends_on or local_day(self.activated_at, self.timezone)
        ends = [self.ends_on, started_on + plan.duration if plan.duration else None]
        return min((on for on in ends if on), default=None)

    def whole_period(self, k: int, starts_on: date) -> Period:
        """Period `k` as it is served: not before `starts_on`, not after the end."""
        whole = self.cadence.period(k)
        ends_on = min(whole.ends_on, self.ends_on) if self.ends_on else whole.ends_on
        return Period(max(whole.starts_on, starts_on), ends_on)


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


def sold_cadence(plans: Sequence[Plan], starts_on: date) -> Cadence:
    """The cadence that the plans of one subscription share. Raises MixedCadence."""
    recurring = [plan for plan in plans if plan.recurs] or [plans[0]]
    leading = recurring[0]
    for plan in plans:
        if plan.currency != leading.currency:
            raise MixedCadence(f"{plan.key} is sold in {plan.currency}, {leading.key} in {leading.currency}")
    rhythm = (leading.interval, leading.interval_count, leading.anchor)
    for plan in recurring:
        if (plan.interval, plan.interval_count, plan.anchor) != rhythm:
            raise MixedCadence(f"{plan.key} and {leading.key} bill at different intervals")
    return cadence(*rhythm, starts_on)


def activated(
    *,
    id: str,
    key: str,
    order_id: str,
    customer_id: str,
    timezone: str,
    items: tuple[Item, ...],
    plans: Plans,
    at: datetime,
) -> Subscription:
    """The subscription at the instant it comes alive, before anything is billed. Raises MixedCadence.

    A trial runs to local midnight `trial_days` after the day of activation; the anchor counts from its end. It ends by itself
    where every plan does, with the last of them, or at the end of a term that does not renew.
    """
    sold = [plans[item.plan] for item in items]
    today = local_day(at, timezone)
    trial_days = max(plan.trial_days for plan in sold)
    starts_on = today + timedelta(days=trial_days)
    rhythm = sold_cadence(sold, starts_on)
    durations = [plan.duration for plan in sold if plan.duration]
    ends_on = starts_on + max(durations) if len(durations) == len(sold) else None
    term = next((plan.term for plan in sold if plan.term and not plan.duration), None)
    term_ends_on = rhythm.boundary(term.intervals) if term else None
    return Subscription(
        id=id,
        key=key,
        order_id=order_id,
        customer_id=customer_id,
        currency=sold[0].currency,
        timezone=timezone,
        cadence=rhythm,
        activated_at=at,
        sections=(Section(starts_on=starts_on, starts_at=at, items=items),),
        state=SubscriptionState.TRIALING if trial_days else SubscriptionState.ACTIVE,
        grace=max((plan.usage_grace for plan in sold if plan.is_metered), default=timedelta(0)),
        recurs=any(plan.recurs for plan in sold),
        trial_ends_on=starts_on if trial_days else None,
        term=term,
        term_ends_on=term_ends_on,
        ends_on=ends_on if ends_on or not term or term.auto_renew else term_ends_on,
    )


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

    Raises InvalidState when no boundary is to come.
    """
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
    renewed, events = _renewed_at(subscription, closing.ends_on)
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
    parts = closing_parts(subscription, plans, today, at) if closing else ()
    return Turn(
        cause=cause,
        at=at,
        issue_at=at,
        period=passed[-1].period if passed else Period(closing.starts_on if closing else today, today),
        parts=(*(part for turn in passed for part in turn.parts), *parts),
        after=replace(subscription, state=SubscriptionState.ENDED, period=None, ends_on=today, ended_at=at),
        events=(*(event for turn in passed for event in turn.events), "subscription.ended"),
    )


def closing_parts(subscription: Subscription, plans: Plans, ends_on: date, ends_at: datetime) -> tuple[Part, ...]:
    """What falls due in arrears of the current period when it closes on the day `ends_on`, at the instant `ends_at`."""
    whole = subscription.cadence.period(subscription.k)
    sections = subscription.sections
    ends = [(section.starts_on, section.starts_at) for section in sections[1:]] + [(ends_on, ends_at)]
    parts = (
        Part(
            item=item,
            timing=Timing.ARREARS,
            period=Period(section.starts_on, until_on),
            whole=whole,
            starts_at=section.starts_at,
            ends_at=until_at,
            ordinal=subscription.ordinal,
        )
        for section, (until_on, until_at) in zip(sections, ends, strict=True)
        for item in section.items
        if plans[item.plan].recurs
    )
    return tuple(_served(subscription, plans, parts))


def _parts(
    subscription: Subscription, plans: Plans, period: Period, whole: Period, at: datetime, timings: tuple[Timing, ...]
) -> tuple[Part, ...]:
    parts = (
        Part(
            item=item,
            timing=timing,
            period=period,
            whole=whole,
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


def _renewed_at(subscription: Subscription, boundary_on: date) -> tuple[Subscription, tuple[str, ...]]:
    """At the end of its term a subscription that renews begins the next one, at prices raised by the uplift."""
    term = subscription.term
    if term is None or boundary_on != subscription.term_ends_on:
        return subscription, ()
    items = tuple(replace(item, uplift=item.uplift * (1 + term.uplift)) for item in subscription.items)
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
        after=replace(subscription, state=SubscriptionState.ENDED, period=None, ended_at=at),
        events=("subscription.ended",),
    )
