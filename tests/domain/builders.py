"""Small values of every noun with dull defaults, and a subscription that lives in memory. Tests name what matters."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.calendar import Period
from domain.catalog import (
    Aggregation,
    Charge,
    Commitment,
    DunningPolicy,
    Entity,
    Feature,
    FeatureType,
    Flat,
    PerUnit,
    Plan,
    PlanEntitlement,
    Term,
    Timing,
)
from domain.commitment import counted_since
from domain.customer import Buyer
from domain.discount import Discount
from domain.drafting import Draft, draft_invoice
from domain.dunning import Collection
from domain.dunning import opened as collection_opened
from domain.invoice import Invoice, LineItem, LineKind
from domain.measure import BilledUsage, Measure, late_since, measures
from domain.metering import Event, Span, measured
from domain.money import Money
from domain.quote import Approval, Quote, QuoteLine
from domain.subscription import Item, Plans, Subscription, activated
from domain.tax import taxed
from domain.turn import Turn, cancelled, opened, turned

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
JUNE = Period(date(2026, 6, 1), date(2026, 7, 1))
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def instant(text: str) -> datetime:
    """An instant in UTC; a text without an offset, or without a time, is UTC."""
    read = datetime.fromisoformat(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def on(text: str) -> date:
    return date.fromisoformat(text)


def days(text: str) -> Period:
    """`2026-06-01/2026-07-01`."""
    starts_on, ends_on = text.split("/")
    return Period(on(starts_on), on(ends_on))


def eur(text: str) -> Money:
    return Money.parsed(text, "EUR")


# The price book.


def fee(amount: str = "30.00", timing: str = "advance", **changed: Any) -> Flat:
    return Flat(**({"key": "fee", "timing": Timing(timing), "amount": Decimal(amount)} | changed))


def setup(amount: str = "1.00", **changed: Any) -> Flat:
    return fee(amount, "once", **({"key": "setup"} | changed))


def usage(unit_amount: str = "1.00", **changed: Any) -> PerUnit:
    values = {"key": "usage", "timing": Timing.ARREARS, "meter": "units", "unit_amount": Decimal(unit_amount)}
    return PerUnit(**(values | changed))


def commitment(amount: str, *applies_to: str, **changed: Any) -> Commitment:
    values = {"key": "commit", "timing": Timing.ARREARS, "amount": Decimal(amount), "applies_to": applies_to}
    return Commitment(**(values | changed))


def plan(*charges: Charge, key: str = "std", **changed: Any) -> Plan:
    values: dict[str, Any] = {"name": key.capitalize(), "currency": "EUR", "usage_grace": timedelta(0)}
    return Plan(key=key, charges=charges or (fee(),), **(values | changed))


def term(intervals: int = 12, **changed: Any) -> Term:
    return Term(intervals=intervals, **changed)


def percent(text: str, periods: int | None = None) -> Discount:
    return Discount(percent=Decimal(text), periods=periods)


def amount_off(text: str, periods: int | None = None) -> Discount:
    return Discount(amount=Decimal(text), periods=periods)


# What was sold.


def plans_by_ref(*plans: Plan) -> Plans:
    return {one.ref: one for one in plans}


def items(*plans: Plan, quantity: str = "1", discounts: tuple[Discount, ...] = ()) -> tuple[Item, ...]:
    return tuple(
        Item(position=position, plan=one.ref, quantity=Decimal(quantity), discounts=discounts)
        for position, one in enumerate(plans)
    )


def sold(
    *plans: Plan,
    at: datetime = NOON,
    timezone: str = "UTC",
    quantity: str = "1",
    discounts: tuple[Discount, ...] = (),
    **changed: Any,
) -> Subscription:
    """Activated, nothing billed yet."""
    values = {"id": "sub_1", "key": "q1", "order_id": "ord_1", "customer_id": "cus_1"} | changed
    return activated(
        **values,
        timezone=timezone,
        items=items(*plans, quantity=quantity, discounts=discounts),
        plans=plans_by_ref(*plans),
        at=at,
    )


class Life:
    """A subscription from its activation on: each move drafts its invoice and remembers what it billed of usage.

    `use` tells of an event that has arrived; what arrives after the invoice of its period is late by itself.
    """

    def __init__(
        self,
        *plans: Plan,
        starts: str = "2026-06-01T12:00",
        timezone: str = "UTC",
        quantity: str = "1",
        discounts: Iterable[Discount] = (),
        tax: str = "0",
        inclusive: bool = False,
    ) -> None:
        self.plans = plans_by_ref(*plans)
        self.subscription = sold(
            *plans, at=instant(starts), timezone=timezone, quantity=quantity, discounts=tuple(discounts)
        )
        self.tax, self.inclusive = Decimal(tax), inclusive
        self.aggregations: dict[str, Aggregation] = {}
        self.events: dict[str, list[Event]] = {}
        self.billed: dict[tuple[datetime, datetime, int, str], BilledUsage] = {}
        self.drafts: list[Draft] = []
        if self.subscription.trial_ends_on is None:
            self.bill(opened(self.subscription, self.plans))

    def use(self, at: str, value: str = "1", *, meter: str = "units", **properties: str) -> None:
        event = Event(value=Decimal(value), time=instant(at), properties=properties)
        self.events.setdefault(meter, []).append(event)

    def turn(self) -> Draft:
        return self.bill(turned(self.subscription, self.plans))

    def cancel(self, at: str) -> Draft:
        return self.bill(cancelled(self.subscription, self.plans, at=instant(at), cause="cancel/asked"))

    def run_through(self, last: str) -> None:
        """Every boundary whose invoice is due by `last`."""
        while (due := self.subscription.next_due_at) and due <= instant(last):
            self.turn()

    def bill(self, turn: Turn) -> Draft:
        draft = self.drafted(turn)
        self.billed |= {
            (one.part.starts_at, one.part.ends_at, one.part.item.position, one.charge): one for one in draft.billed
        }
        self.subscription = turn.after
        self.drafts.append(draft)
        return draft

    def drafted(self, turn: Turn) -> Draft:
        since = late_since(self.subscription)
        counts_from = counted_since(self.subscription, self.plans, since)
        billed = [one for one in self.billed.values() if one.part.ends_at > counts_from]
        earlier = [one for one in billed if one.part.ends_at > since]
        wanted = measures(turn.parts, earlier, self.plans)
        return draft_invoice(
            self.subscription,
            turn,
            self.plans,
            measured={one: self._measured(one) for one in wanted},
            tax_rate=self.tax,
            inclusive=self.inclusive,
            earlier=earlier,
            counted=[one for one in billed if one.meter is None],
        )

    @property
    def invoices(self) -> list[Invoice]:
        return [draft.invoice for draft in self.drafts if draft.invoice is not None]

    @property
    def totals(self) -> list[str]:
        return [invoice.total.text for invoice in self.invoices]

    def _measured(self, one: Measure):
        counted = [
            event
            for event in self.events.get(one.meter, [])
            if event.time is not None and one.starts_at <= event.time < one.ends_at
        ]
        aggregation = self.aggregations.get(one.meter, Aggregation.SUM)
        period = Span(one.starts_at, one.ends_at) if one.ends_at > one.starts_at else None
        return measured(aggregation, counted, one.dimensions, period)


def shown(invoice: Invoice | None) -> list[tuple[str, str, str]]:
    """Charge, kind and amount of each line."""
    return [(line.charge, str(line.kind), line.amount.text) for line in invoice.lines] if invoice else []


# What is owed.


def line(
    amount: str | Money = "100.00", rate: str = "0.19", kind: LineKind = LineKind.RECURRING, **changed: Any
) -> LineItem:
    values: dict[str, Any] = {
        "charge": "fee",
        "kind": kind,
        "description": "Std: fee",
        "quantity": "1",
        "unit_amount": None,
        "amount": amount if isinstance(amount, Money) else eur(amount),
        "period": JUNE,
        "tax_rate": Decimal(rate),
    }
    return LineItem(**(values | changed))


def draft_of(*lines: LineItem, **changed: Any) -> Invoice:
    """A draft with the taxes that its lines ask for."""
    stand = lines or (line(),)
    values: dict[str, Any] = {
        "id": "inv_1",
        "customer_id": "cus_1",
        "subscription_id": "sub_1",
        "currency": "EUR",
        "timezone": "UTC",
        "period": JUNE,
        "lines": stand,
        "taxes": taxed((one.tax_rate, one.amount) for one in stand),
        "credits_applied": eur("0"),
        "amount_paid": eur("0"),
    }
    return Invoice(**(values | changed))


SELLER = Entity(key="gym", legal_name="Iron Works Ltd", country="DE", invoice_prefix="IW")
BUYER = Buyer(name="Ada", country="DE")


def issued(*lines: LineItem, balance: str = "0", at: datetime = NOON, net_days: int = 0, **changed: Any) -> Invoice:
    return draft_of(*lines, **changed).finalized(
        number="IW-2026-000001",
        issued_at=at,
        due_at=at + net_days * DAY,
        balance=eur(balance),
        seller=SELLER,
        buyer=BUYER,
    )


def policy(retries: str = "1 3 5 7", reminders: str = "", **changed: Any) -> DunningPolicy:
    """`retries` and `reminders` in days."""
    return DunningPolicy(
        retries=tuple(int(one) * DAY for one in retries.split()),
        reminders=tuple(int(one) * DAY for one in reminders.split()),
        **changed,
    )


def collection(rules: DunningPolicy | None = None, at: datetime = NOON) -> Collection:
    """The collection of an invoice issued at `at`."""
    rules = rules or policy()
    return collection_opened(issued(at=at, net_days=rules.net_days), rules)


# What was offered, and what it gives.


def quote(*approvers: str, **changed: Any) -> Quote:
    """A draft that needs the decisions of `approvers`, valid for thirty days."""
    values: dict[str, Any] = {
        "id": "quo_1",
        "key": "q1",
        "customer_id": "cus_1",
        "currency": "EUR",
        "lines": (QuoteLine(plan=plan().ref),),
        "created_at": NOON,
        "valid_until": NOON + 30 * DAY,
        "approvals": tuple(Approval(approver=approver, reason="discount") for approver in approvers),
    }
    return Quote(**(values | changed))


FEATURES = {
    feature.key: feature
    for feature in (
        Feature(key="sauna", type=FeatureType.BOOLEAN),
        Feature(key="guests", type=FeatureType.STATIC),
        Feature(key="pool", type=FeatureType.METERED, meter="units"),
        Feature(key="app", type=FeatureType.SEATS),
    )
}


def gives(feature: str = "pool", limit: str | None = None, **changed: Any) -> PlanEntitlement:
    values: dict[str, Any] = {"limit": limit if limit in {None, "per_quantity"} else Decimal(limit)}
    return PlanEntitlement(feature=feature, **(values | changed))


def at_end(subscription: Subscription, ends_on: str) -> Subscription:
    """The same, to end on that day."""
    return replace(subscription, ends_on=on(ends_on))
