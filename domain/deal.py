"""Deal: what an accepted quote comes to. Decided here, once; activities write it, a preview stops before that.

quote ──ordered──► order ──all steps done──► come_alive ──► subscription, entitlements, first boundary ──► drafting
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from domain.catalog import Feature, PriceBook
from domain.customer import Customer
from domain.drafting import draft_invoice, issued
from domain.entitlement import Entitlement, entitlements_of
from domain.ids import derived_id
from domain.invoice import Invoice
from domain.measure import measures
from domain.money import Money
from domain.order import Order, steps_for
from domain.quote import Quote
from domain.rating import Usage
from domain.subscription import Item, Plans, Subscription, SubscriptionState, activated
from domain.tax import tax_rate
from domain.turn import Turn, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """What an order gives. `turn` opens the first period, at once or (with `is_trial`) at the end of the trial."""

    subscription: Subscription
    entitlements: tuple[Entitlement, ...]
    turn: Turn

    @property
    def is_trial(self) -> bool:
        """Whether nothing is billed yet."""
        return self.subscription.state is SubscriptionState.TRIALING


def ordered(quote: Quote, at: datetime) -> Order:
    """The order of `quote`, accepted at `at` (UTC)."""
    items = tuple(
        Item(position=position, plan=line.plan, quantity=line.quantity, discounts=line.discounts)
        for position, line in enumerate(quote.lines)
    )
    return Order(
        id=derived_id("ord", at, quote.id),
        key=quote.key,
        quote_id=quote.id,
        customer_id=quote.customer_id,
        items=items,
        accepted_at=at,
        steps=steps_for(items),
    )


def begun(order: Order, customer: Customer, plans: Plans, at: datetime) -> tuple[Subscription, Turn]:
    """The subscription that `order` brings at `at` (UTC), and the turn that opens its first period. Raises MixedCadence."""
    subscription = activated(
        id=derived_id("sub", at, order.id),
        key=order.key,
        order_id=order.id,
        customer_id=customer.id,
        timezone=customer.timezone,
        items=order.items,
        plans=plans,
        at=at,
    )
    return subscription, opened(subscription, plans)


def come_alive(order: Order, customer: Customer, plans: Plans, features: Iterable[Feature], at: datetime) -> Alive:
    """What comes alive at `at` (UTC) when all of `order` is provisioned. Raises MixedCadence."""
    subscription, turn = begun(order, customer, plans, at)
    ids = {
        (item.position, given.feature): derived_id("ent", at, subscription.id, str(item.position), given.feature)
        for item in order.items
        for given in plans[item.plan].entitlements
    }
    known = {feature.key: feature for feature in features}
    return Alive(
        subscription=subscription,
        entitlements=entitlements_of(subscription, plans, known, ids),
        turn=turn,
    )


def first_draft(
    subscription: Subscription, turn: Turn, customer: Customer, plans: Plans, book: PriceBook
) -> Invoice | None:
    """What opens the first period, as a draft: nothing has been used yet. None: it would have no lines."""
    return draft_invoice(
        subscription,
        turn,
        plans,
        measured={measure: Usage(quantity=Fraction(0)) for measure in measures(turn.parts, (), plans)},
        tax_rate=tax_rate(book.taxes, customer.country),
        inclusive=book.inclusive,
    ).invoice


def first_invoice(alive: Alive, customer: Customer, plans: Plans, book: PriceBook, balance: Money) -> Invoice | None:
    """The invoice that opens the first period, before it has a number; None: it would have no lines. `balance` is credit."""
    draft = first_draft(alive.subscription, alive.turn, customer, plans, book)
    return issued(draft, alive.turn, book, customer, number="", balance=balance) if draft else None
