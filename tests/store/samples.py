"""Small values of every noun, with what a test wants to differ. They belong together: the books' references hold."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.audit import AuditEvent
from domain.calendar import Cadence, Interval, Period
from domain.catalog import (
    Aggregation,
    DunningPolicy,
    Entity,
    Feature,
    FeatureType,
    Flat,
    Graduated,
    Matrix,
    MatrixPrice,
    Meter,
    PerUnit,
    Plan,
    PlanEntitlement,
    PlanRef,
    PriceBook,
    Reset,
    Rollover,
    Term,
    Tier,
    Timing,
)
from domain.customer import Customer
from domain.discount import Discount
from domain.dunning import Collection, opened
from domain.entitlement import Entitlement
from domain.invoice import Invoice, LineItem, LineKind
from domain.ledger import Account, Leg, Posting
from domain.measure import BilledUsage
from domain.money import Money
from domain.order import Order, steps_for
from domain.payment import Payment
from domain.quote import Approval, Quote, QuoteLine
from domain.rating import Share
from domain.subscription import Item, Section, Subscription
from domain.tax import TaxAmount
from domain.turn import Part

AT = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
JANUARY = Period(date(2026, 1, 31), date(2026, 2, 28))
ENTITY = Entity(key="gym", legal_name="Iron Works Ltd", country="DE", invoice_prefix="IW", timezone="Europe/Berlin")
ITEM = Item(
    position=0,
    plan=PlanRef("all-access", 1),
    quantity=Decimal("1.50"),
    discounts=(Discount(percent=Decimal(10), periods=3), Discount(amount=Decimal("5.00"))),
    uplift=Decimal("1.03"),
)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def meter(key: str = "court_hours", aggregation: Aggregation = Aggregation.SUM, **changed: Any) -> Meter:
    return Meter(key=key, event=changed.pop("event", "court.booked"), aggregation=aggregation, value="hours", **changed)


def plan(key: str = "all-access", **changed: Any) -> Plan:
    values: dict[str, Any] = {
        "name": "All access",
        "currency": "EUR",
        "anchor": 15,
        "term": Term(intervals=12, notice_days=30, uplift=Decimal("0.03")),
        "trial_days": 14,
        "duration": timedelta(days=14),
        "charges": (
            Flat(key="fee", timing=Timing.ADVANCE, amount=Decimal("29.00")),
            PerUnit(key="court", timing=Timing.ARREARS, meter="court_hours", unit_amount=Decimal("0.000042")),
            Graduated(
                key="pool",
                timing=Timing.ARREARS,
                meter="pool_entries",
                tiers=(Tier(up_to=Decimal(10)), Tier(up_to=None, unit_amount=Decimal("1.5"), flat_amount=Decimal(3))),
            ),
            Matrix(
                key="courts",
                timing=Timing.ARREARS,
                meter="court_hours",
                dimensions=("court", "peak"),
                prices=(MatrixPrice(match={"court": "1", "peak": "true"}, unit_amount=Decimal(9)),),
                default=Decimal(1),
            ),
        ),
        "entitlements": (
            PlanEntitlement(feature="weights"),
            PlanEntitlement(feature="pool", limit=Decimal(8), reset=Reset.WEEK, rollover=Rollover(max=Decimal(4))),
            PlanEntitlement(feature="app", limit="per_quantity"),
        ),
    }
    return Plan(key=key, **(values | changed))


def price_book(*plans: Plan, **changed: Any) -> PriceBook:
    values: dict[str, Any] = {
        "entity": ENTITY,
        "taxes": {"DE": Decimal("0.19"), "default": Decimal(0)},
        "meters": (meter(), Meter(key="pool_entries", event="pool.entered", aggregation=Aggregation.COUNT)),
        "features": (
            Feature(key="weights", type=FeatureType.BOOLEAN),
            Feature(key="pool", type=FeatureType.METERED, meter="pool_entries"),
            Feature(key="guests", type=FeatureType.STATIC),
        ),
        "plans": plans or (plan(),),
        "collections": {"default": DunningPolicy(), "patient": DunningPolicy(net_days=30, suspend_after=None)},
    }
    return PriceBook(**(values | changed))


def customer(n: int = 1, **changed: Any) -> Customer:
    values: dict[str, Any] = {
        "id": f"cus_{n}",
        "key": f"customer-{n}",
        "name": "Ada Löwe",
        "currency": "EUR",
        "created_at": AT,
        "timezone": "Europe/Berlin",
        "country": "DE",
        "address": ("Straße 1", "10115 Berlin"),
    }
    return Customer(**(values | changed))


def quote(n: int = 1, **changed: Any) -> Quote:
    values: dict[str, Any] = {
        "id": f"quo_{n}",
        "key": f"q{n}",
        "customer_id": "cus_1",
        "currency": "EUR",
        "lines": (QuoteLine(plan=ITEM.plan, quantity=ITEM.quantity, discounts=ITEM.discounts),),
        "created_at": AT,
        "valid_until": AT + 30 * DAY,
        "approvals": (
            Approval(approver="finance", reason="term", approved=True, decided_at=AT),
            Approval(approver="x", reason="y"),
        ),
    }
    return Quote(**(values | changed))


def order(n: int = 1, **changed: Any) -> Order:
    values: dict[str, Any] = {
        "id": f"ord_{n}",
        "key": f"q{n}",
        "quote_id": f"quo_{n}",
        "customer_id": "cus_1",
        "items": (ITEM,),
        "accepted_at": AT,
        "steps": steps_for((ITEM,)),
    }
    return Order(**(values | changed))


def subscription(n: int = 1, **changed: Any) -> Subscription:
    values: dict[str, Any] = {
        "id": f"sub_{n}",
        "key": f"q{n}",
        "order_id": f"ord_{n}",
        "customer_id": "cus_1",
        "currency": "EUR",
        "timezone": "Europe/Berlin",
        "cadence": Cadence(Interval.MONTH, 1, JANUARY.starts_on, 31),
        "activated_at": AT,
        "sections": (Section(starts_on=JANUARY.starts_on, starts_at=AT, items=(ITEM,)),),
        "grace": timedelta(hours=1),
        "period": JANUARY,
        "term": Term(intervals=12),
        "term_ends_on": date(2027, 1, 31),
    }
    return Subscription(**(values | changed))


def entitlement(n: int = 1, **changed: Any) -> Entitlement:
    values: dict[str, Any] = {
        "id": f"ent_{n}",
        "customer_id": "cus_1",
        "subscription_id": "sub_1",
        "feature": "pool",
        "type": FeatureType.METERED,
        "starts_at": AT,
        "timezone": "Europe/Berlin",
        "meter": "pool_entries",
        "limit": Decimal(8),
        "windows": Cadence(Interval.WEEK, 1, date(2026, 2, 2), 1),
        "rollover": Rollover(max=Decimal(4)),
    }
    return Entitlement(**(values | changed))


def line(amount: int = 10_00, kind: LineKind = LineKind.RECURRING, **changed: Any) -> LineItem:
    values: dict[str, Any] = {
        "charge": "fee",
        "description": "All access: fee",
        "quantity": "1.5",
        "unit_amount": Decimal("0.000042"),
        "period": JANUARY,
        "tax_rate": Decimal("0.19"),
        "proration": Share(10, 28),
    }
    return LineItem(kind=kind, amount=eur(amount), **(values | changed))


def draft(n: int = 1, *lines: LineItem, **changed: Any) -> Invoice:
    values: dict[str, Any] = {
        "id": f"inv_{n}",
        "customer_id": "cus_1",
        "subscription_id": "sub_1",
        "currency": "EUR",
        "timezone": "Europe/Berlin",
        "period": JANUARY,
        "lines": lines or (line(), line(-1_00, LineKind.DISCOUNT, unit_amount=None, proration=None)),
        "taxes": (TaxAmount(Decimal("0.19"), eur(9_00), eur(1_71)),),
        "credits_applied": eur(0),
        "amount_paid": eur(0),
    }
    return Invoice(**(values | changed))


def invoice(n: int = 1, *lines: LineItem, **changed: Any) -> Invoice:
    return draft(n, *lines, **changed).finalized(
        number=f"IW-2026-{n:06d}",
        issued_at=AT,
        due_at=AT + 14 * DAY,
        balance=eur(0),
        seller=ENTITY,
        buyer=customer().buyer,
    )


def payment(n: int = 1, **changed: Any) -> Payment:
    values: dict[str, Any] = {
        "id": f"pay_{n}",
        "invoice_id": "inv_1",
        "customer_id": "cus_1",
        "attempt": n,
        "amount": eur(10_71),
        "method": "pm_card_visa",
        "at": AT,
        "intent_ref": "pi_1",
    }
    return Payment(**(values | changed))


def collection(n: int = 1, **changed: Any) -> Collection:
    return replace(opened(invoice(n), DunningPolicy(reminders=(-3 * DAY, DAY))), **changed)


def posting(cause: str = "invoice/inv_1", minor: int = 10_71, **changed: Any) -> Posting:
    values: dict[str, Any] = {
        "at": AT,
        "customer_id": "cus_1",
        "legs": (Leg(Account.RECEIVABLE, eur(minor)), Leg(Account.REVENUE, eur(-minor))),
    }
    return Posting(cause=cause, **(values | changed))


def billed(charge: str = "court", starts: datetime = AT, days: int = 28, minor: int = 100) -> BilledUsage:
    part = Part(
        item=ITEM,
        timing=Timing.ARREARS,
        period=JANUARY,
        whole=JANUARY,
        opens_at=starts,
        starts_at=starts,
        ends_at=starts + days * DAY,
        ordinal=0,
    )
    return BilledUsage(part=part, charge=charge, meter="court_hours", billed=eur(minor))


def event(n: int = 1, **changed: Any) -> AuditEvent:
    values: dict[str, Any] = {
        "type": "invoice.issued",
        "cause": f"inv_{n}",
        "at": AT,
        "customer_id": "cus_1",
        "subject": f"inv_{n}",
        "subscription_id": "sub_1",
        "data": {"total": "10.71"},
    }
    return AuditEvent(**(values | changed))
