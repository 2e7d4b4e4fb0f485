"""Showing: values of the domain as the JSON of contract sections 6 and 7. Pure, and free of any framework.

    amounts "12.30" · quantities "3", "0.5" · instants "2026-01-31T08:00:00Z" · dates "2026-01-31"

What is open says whose move it is: `waiting_on`, `since`, `until`, `next_action`, `next_action_at`; null when closed.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar, cast, overload

from api import shown
from domain.audit import AuditEvent
from domain.calendar import Period, first_instant
from domain.customer import Customer
from domain.discount import Discount
from domain.entitlement import Answer
from domain.money import plain
from domain.order import Order, Step
from domain.quote import Approval, Quote, QuoteLine
from domain.subscription import Item, Subscription, SubscriptionState
from domain.waiting import Party, Waiting
from store.access import ApiKey

Shown = dict[str, Any]
T = TypeVar("T")


@overload
def instant(at: datetime) -> str: ...


@overload
def instant(at: None) -> None: ...


def instant(at: datetime | None) -> str | None:
    """RFC 3339 in UTC; without a fraction when there is none."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@overload
def day(on: date) -> str: ...


@overload
def day(on: None) -> None: ...


def day(on: date | None) -> str | None:
    """A date in the customer's zone."""
    return None if on is None else on.isoformat()


@overload
def exact(value: Decimal | Fraction) -> str: ...


@overload
def exact(value: None) -> None: ...


def exact(value: Decimal | Fraction | None) -> str | None:
    """A quantity, price or rate as a decimal string without trailing zeros."""
    return None if value is None else plain(value)


def period(served: Period, timezone: str) -> shown.Period:
    """Dates and the instants at which they begin in `timezone`."""
    return {
        "start": day(served.starts_on),
        "end": day(served.ends_on),
        "starts_at": instant(first_instant(served.starts_on, timezone)),
        "ends_at": instant(first_instant(served.ends_on, timezone)),
    }


def waiting(now: Waiting | None) -> shown.Waiting:
    """Whose move it is."""
    return {
        "waiting_on": now.on if now else None,
        "since": instant(now.since) if now else None,
        "until": instant(now.until) if now else None,
        "next_action": now.next_action if now else None,
        "next_action_at": instant(now.next_action_at) if now else None,
    }


def customer(who: Customer) -> shown.Customer:
    """A customer; of the payment method only what is fit to show."""
    return {
        "id": who.id,
        "key": who.key,
        "name": who.name,
        "currency": who.currency,
        "timezone": who.timezone,
        "country": who.country,
        "collections": who.collections,
        "tax_id": who.tax_id,
        "email": who.email,
        "address": list(who.address),
        "payment_method": who.method_label,
        "created_at": instant(who.created_at),
    }


def quote(offer: Quote, *, customer: str) -> shown.Quote:
    """A quote, with the decisions that it needs. `customer` is the customer's key."""
    return {
        "id": offer.id,
        "key": offer.key,
        "customer": customer,
        "currency": offer.currency,
        "state": offer.state,
        "lines": [_quote_line(line) for line in offer.lines],
        "approvals": [_approval(approval) for approval in offer.approvals],
        "created_at": instant(offer.created_at),
        "valid_until": instant(offer.valid_until),
        "accepted_by": offer.accepted_by,
        "accepted_at": instant(offer.accepted_at),
        "order": offer.order_id,
        **waiting(offer.waiting),
    }


def order(accepted: Order, *, customer: str) -> shown.Order:
    """An order with its steps."""
    return {
        "id": accepted.id,
        "key": accepted.key,
        "quote": accepted.quote_id,
        "customer": customer,
        "state": accepted.state,
        "items": [_item(item) for item in accepted.items],
        "steps": [_step(step) for step in accepted.steps],
        "subscription": accepted.subscription_id,
        "accepted_at": instant(accepted.accepted_at),
        **waiting(accepted.waiting),
    }


def subscription(sold: Subscription, *, customer: str, at: datetime, suspended: bool) -> shown.Subscription:
    """A subscription as it is at `at`; shut for want of payment it is `suspended`, though billing goes on."""
    state = sold.state_at(at)
    if suspended and state is SubscriptionState.ACTIVE:
        state = SubscriptionState.SUSPENDED
    return {
        "id": sold.id,
        "key": sold.key,
        "customer": customer,
        "order": sold.order_id,
        "currency": sold.currency,
        "timezone": sold.timezone,
        "state": state,
        "items": [_item(item) for item in sold.items],
        "activated_at": instant(sold.activated_at),
        "period": period(sold.period, sold.timezone) if sold.period else None,
        "anchor": {"date": day(sold.cadence.anchor_on), "day": sold.cadence.anchor_day},
        "interval": sold.cadence.interval,
        "interval_count": sold.cadence.count,
        "trial_ends": day(sold.trial_ends_on),
        "term_ends": day(sold.term_ends_on),
        "ends": day(sold.ends_on),
        "ended_at": instant(sold.ended_at),
        **waiting(_subscription_waits(sold, suspended=suspended)),
    }


def answer(said: Answer) -> shown.Entitlement:
    """What a product asked."""
    return {
        "allowed": said.allowed,
        "reason": said.reason,
        "type": said.type,
        "limit": said.limit,
        "used": said.used,
        "remaining": said.remaining,
        "resets_at": instant(said.resets_at),
        "value": said.value,
    }


def event(happened: AuditEvent, *, customer: str | None, actor: ApiKey | None) -> shown.Event:
    """One line of the audit trail; `actor` is the API key that acted, None for what time did."""
    return {
        "at": instant(happened.at),
        "type": happened.type,
        "cause": happened.cause,
        "subject": happened.subject,
        "customer": customer,
        "subscription": happened.subscription_id,
        "actor": happened.actor,
        "actor_role": actor.role if actor else None,
        "actor_label": actor.label if actor else None,
        "reason": happened.data.get("reason"),
        "data": dict(happened.data),
        "before": {name: was for name, (was, _) in happened.changes.items()},
        "after": {name: now for name, (_, now) in happened.changes.items()},
    }


def page(data: Iterable[T], next_cursor: str | None) -> shown.Page[T]:
    """A list."""
    return {"data": list(data), "next_cursor": next_cursor}


def discount(less: Discount) -> shown.Discount:
    """A discount as it was given."""
    given = {"percent": exact(less.percent), "amount": exact(less.amount), "periods": less.periods}
    return cast(shown.Discount, {name: value for name, value in given.items() if value is not None})


def _quote_line(line: QuoteLine) -> shown.QuoteLine:
    return {
        "plan": line.plan.key,
        "plan_version": line.plan.version,
        "quantity": plain(line.quantity),
        "discounts": [discount(less) for less in line.discounts],
    }


def _approval(approval: Approval) -> shown.Approval:
    return {
        "approver": approval.approver,
        "reason": approval.reason,
        "approved": approval.approved,
        "decided_at": instant(approval.decided_at),
    }


def _item(item: Item) -> shown.Item:
    return {
        "plan": item.plan.key,
        "plan_version": item.plan.version,
        "quantity": plain(item.quantity),
        "discounts": [discount(less) for less in item.discounts],
        "uplift": plain(item.uplift),
    }


def _step(step: Step) -> shown.Step:
    return {
        "name": step.name,
        "state": step.state,
        "attempts": step.attempts,
        "at": instant(step.at),
        "detail": step.detail,
    }


def _subscription_waits(sold: Subscription, *, suspended: bool) -> Waiting | None:
    """A running subscription waits for its next boundary: we act then; while it is suspended the customer must pay."""
    if sold.state is SubscriptionState.ENDED:
        return None
    due = sold.next_due_at
    actions = {SubscriptionState.TRIALING: "end the trial", SubscriptionState.SCHEDULED: "activate"}
    action = actions.get(sold.state, "end" if sold.period is None else "bill the period") if due else None
    party = Party.CUSTOMER if suspended else Party.US if due else Party.NOBODY
    since = sold.sections[-1].starts_at
    return Waiting(on=party, since=since, until=due, next_action=action, next_action_at=due)
