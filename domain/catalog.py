"""Catalog: the price book, as it was written (contract sections 3 and 4).

    PriceBook ─┬─ Entity, taxes
               ├─ Meter ◄──────── Charge.meter, Feature.meter
               ├─ Feature ◄────── PlanEntitlement.feature
               ├─ Plan ─┬─ Charge (one dataclass per model, told apart by `model`)
               │        └─ PlanEntitlement
               ├─ DunningPolicy (by key; "default" is used unless the customer names another)
               └─ ApprovalRule

Plans are versioned: what is sold keeps the version it was sold with. Amounts, prices and rates are Decimals in major units.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from domain.calendar import Interval

ZERO = Decimal(0)


class Timing(StrEnum):
    """When a charge falls due: on the first invoice only, when its period opens, or when it closes."""

    ONCE = "once"
    ADVANCE = "advance"
    ARREARS = "arrears"


class Aggregation(StrEnum):
    """How a meter makes one quantity of many events."""

    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    MIN = "min"
    LATEST = "latest"
    UNIQUE_COUNT = "unique_count"
    AVERAGE = "average"
    WEIGHTED_SUM = "weighted_sum"


class FeatureType(StrEnum):
    """What kind of answer a feature gives."""

    BOOLEAN = "boolean"
    STATIC = "static"
    METERED = "metered"
    SEATS = "seats"
    CONCURRENT = "concurrent"
    LICENSE_KEY = "license_key"


class Overage(StrEnum):
    """Past the limit: closed, or open and counted."""

    BLOCK = "block"
    ALLOW = "allow"


class Reset(StrEnum):
    """How often a limit starts anew, on the calendar of the customer's zone; a week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"
    PERIOD = "period"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What is counted: events of type `event`, by `aggregation` of their property `value`, apart per `group_by`."""

    key: str
    event: str
    aggregation: Aggregation
    value: str | None = None
    group_by: tuple[str, ...] = ()
    outcome: bool = False
    auto_confirm_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something a product asks about: "may this customer do that?"."""

    key: str
    type: FeatureType
    meter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One step of a tiered price; `up_to` is inclusive, None is the last. `rate` is for percentages."""

    up_to: Decimal | None
    unit_amount: Decimal = ZERO
    flat_amount: Decimal = ZERO
    rate: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixPrice:
    """The unit price of the groups whose dimensions equal `match`."""

    match: dict[str, str]
    unit_amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseCharge:
    """What every charge has. With `meter` the quantity is usage, else the charge's own `quantity` or the subscription's."""

    key: str
    timing: Timing
    meter: str | None = None
    quantity: Decimal | None = None
    included: Decimal = ZERO
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    prorate: Literal["day", "none"] = "day"
    tax_code: str | None = None
    pay: Literal["prepaid_credits"] | None = None
    name: str | None = None

    @property
    def is_usage(self) -> bool:
        """Whether its quantity comes from a meter."""
        return self.meter is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat(BaseCharge):
    """`amount`, whatever the quantity."""

    model: Literal["flat"] = "flat"
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PerUnit(BaseCharge):
    """Quantity times `unit_amount`."""

    model: Literal["per_unit"] = "per_unit"
    unit_amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Graduated(BaseCharge):
    """Each unit at its own tier's price, plus the flat of every tier entered."""

    model: Literal["graduated"] = "graduated"
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(BaseCharge):
    """All of the quantity at the tier it falls in, plus that tier's flat."""

    model: Literal["volume"] = "volume"
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package(BaseCharge):
    """Packages begun times `package_amount`."""

    model: Literal["package"] = "package"
    package_size: Decimal
    package_amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentage(BaseCharge):
    """Each event's value times `rate` plus `fixed_per_event`, within its bounds; the first events are free."""

    model: Literal["percentage"] = "percentage"
    rate: Decimal
    fixed_per_event: Decimal = ZERO
    free_events: int | None = None
    free_amount: Decimal | None = None
    min_per_event: Decimal | None = None
    max_per_event: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraduatedPercentage(BaseCharge):
    """As graduated, on value: each part at its tier's `rate`, plus the flat of every tier entered."""

    model: Literal["graduated_percentage"] = "graduated_percentage"
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix(BaseCharge):
    """A unit price per group of `dimensions`; the most specific match wins, `default` is a unit price."""

    model: Literal["matrix"] = "matrix"
    dimensions: tuple[str, ...]
    prices: tuple[MatrixPrice, ...]
    default: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamic(BaseCharge):
    """The sum of the prices that the events carry, times `multiplier`."""

    model: Literal["dynamic"] = "dynamic"
    multiplier: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment(BaseCharge):
    """What is missing to `amount` over a period or a term, counting the charges in `applies_to`."""

    model: Literal["commitment"] = "commitment"
    amount: Decimal
    over: Literal["period", "term"] = "period"
    applies_to: tuple[str, ...]


type_of_model: dict[str, type[BaseCharge]] = {
    "flat": Flat,
    "per_unit": PerUnit,
    "graduated": Graduated,
    "volume": Volume,
    "package": Package,
    "percentage": Percentage,
    "graduated_percentage": GraduatedPercentage,
    "matrix": Matrix,
    "dynamic": Dynamic,
    "commitment": Commitment,
}

Charge = (
    Flat | PerUnit | Graduated | Volume | Package | Percentage | GraduatedPercentage | Matrix | Dynamic | Commitment
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollover:
    """What remains at a reset is carried as `min(max, max(left, min))`, on top of the new amount."""

    max: Decimal
    min: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEntitlement:
    """What a plan gives of a feature. `limit` "per_quantity" is as many as the seats bought; None is no limit."""

    feature: str
    value: str | None = None
    limit: Decimal | Literal["per_quantity"] | None = None
    reset: Reset = Reset.PERIOD
    rollover: Rollover | None = None
    overage: Overage = Overage.BLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A commitment of `intervals` billing periods. `uplift` is a fraction added to recurring prices at each renewal."""

    intervals: int
    auto_renew: bool = True
    notice_days: int = 0
    uplift: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One version of one plan. `version` counts from 1 and is given when the price book is applied."""

    key: str
    name: str
    currency: str
    interval: Interval = Interval.MONTH
    interval_count: int = 1
    anchor: Literal["anniversary", "calendar"] | int = "anniversary"
    term: Term | None = None
    trial_days: int = 0
    duration: timedelta | None = None
    usage_grace: timedelta = timedelta(hours=1)
    charges: tuple[Charge, ...] = ()
    entitlements: tuple[PlanEntitlement, ...] = ()
    version: int = 1

    @property
    def ref(self) -> "PlanRef":
        """The name of this version."""
        return PlanRef(self.key, self.version)

    @property
    def recurs(self) -> bool:
        """Whether anything of it falls due again; a plan of `once` charges alone is a perpetual or temporary licence."""
        return any(charge.timing is not Timing.ONCE for charge in self.charges)

    @property
    def is_metered(self) -> bool:
        """Whether any of its charges counts usage."""
        return any(charge.is_usage for charge in self.charges)


@dataclass(frozen=True, slots=True)
class PlanRef:
    """The version of a plan that was sold."""

    key: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """An account that can be paid to; `name` is the bank's."""

    iban: str
    bic: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """Who sells. Invoice numbers are gapless per prefix and year of issue in `timezone`; `bank` is where transfers go."""

    key: str
    legal_name: str
    country: str
    tax_id: str | None = None
    invoice_prefix: str = "INV"
    address: tuple[str, ...] = ()
    timezone: str = "UTC"
    language: Literal["en", "de"] = "en"
    bank: Bank | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DunningPolicy:
    """How an invoice is collected; waits are counted as contract section 6 says. None: never."""

    net_days: int = 0
    retries: tuple[timedelta, ...] = (timedelta(days=1), timedelta(days=3), timedelta(days=5), timedelta(days=7))
    reminders: tuple[timedelta, ...] = ()
    suspend_after: timedelta | None = timedelta(days=14)
    stuck_after: timedelta = timedelta(days=3)
    write_off_after: timedelta | None = timedelta(days=60)
    on_write_off: Literal["cancel", "keep"] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalCondition:
    """When a quote needs a decision; every condition that is set must hold. `discount_over` is a fraction."""

    discount_over: Decimal | None = None
    term_months_over: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """A quote to which `when` applies is decided by the role `approver`."""

    when: ApprovalCondition
    approver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """The whole of it. `taxes` maps a country code (or "default") to a rate, a fraction."""

    version: Literal[1] = 1
    entity: Entity
    taxes: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    inclusive: bool = False
    meters: tuple[Meter, ...] = ()
    features: tuple[Feature, ...] = ()
    plans: tuple[Plan, ...] = ()
    collections: dict[str, DunningPolicy] = field(default_factory=dict[str, DunningPolicy])
    approvals: tuple[ApprovalRule, ...] = ()
