"""Subscription: what was sold, running. A value; every move returns the next one.

    activated ─> trialing ─> active ──turned──> active ──turned──> ended
                             period 0           period 1

Periods tile time: each ends where the next begins. A period is one or more sections, one for each state of the items that
held in it; the last section's items are the current ones. What moves it on is in `domain.turn`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.calendar import Cadence, Period, cadence, first_instant, local_day
from domain.catalog import ZERO, Plan, PlanRef, Term
from domain.discount import Discount
from domain.errors import MixedCadence

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
class Subscription:
    """`k` numbers the current period on the cadence, `ordinal` since the start. Dates are local, instants UTC.

    `grace` is how long an invoice with metered lines waits after its boundary. `period` is None while trialing and when
    nothing recurs. `term_ends_on` is the boundary up to which it is sold; there it renews or ends. `ends_on` is the day from
    which it is no more, once that is known. `late_until` is when the last usage can have come that was in time before the end;
    None without meters, and once that was looked at.
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
    is_metered: bool = False
    late_until: datetime | None = None

    @property
    def items(self) -> tuple[Item, ...]:
        """What is sold now."""
        return self.sections[-1].items

    @property
    def next_due_at(self) -> datetime | None:
        """When time alone makes the next thing due: the end of the trial, a boundary (with its grace), the end, and once
        more for late usage. UTC.
        """
        match self.state, self.period, self.ends_on:
            case SubscriptionState.ENDED, _, _:
                return self.late_until
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


def sold_cadence(plans: Sequence[Plan], starts_on: date) -> Cadence:
    """The cadence that the plans of one subscription share; so they do their terms, but for the uplift, which is each plan's
    own. A plan without a term runs along with the others. Raises MixedCadence.
    """
    recurring = [plan for plan in plans if plan.recurs] or [plans[0]]
    leading = recurring[0]
    for plan in plans:
        if plan.currency != leading.currency:
            raise MixedCadence(f"{plan.key} is sold in {plan.currency}, {leading.key} in {leading.currency}")
    rhythm = (leading.interval, leading.interval_count, leading.anchor)
    for plan in recurring:
        if (plan.interval, plan.interval_count, plan.anchor) != rhythm:
            raise MixedCadence(f"{plan.key} and {leading.key} bill at different intervals")
    terms = {plan.key: replace(plan.term, uplift=ZERO) for plan in plans if plan.term and not plan.duration}
    for key, term in terms.items():
        if term != next(iter(terms.values())):
            raise MixedCadence(f"{key} and {next(iter(terms))} are sold for different terms")
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
        is_metered=any(plan.is_metered for plan in sold),
        trial_ends_on=starts_on if trial_days else None,
        term=term,
        term_ends_on=term_ends_on,
        ends_on=ends_on if ends_on or not term or term.auto_renew else term_ends_on,
    )
