"""Shown: the shape of every answer, as callers read it in the API's docs (contract sections 6 and 7). Types, nothing else."""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from domain.calendar import Interval
from domain.catalog import FeatureType
from domain.entitlement import Reason
from domain.order import OrderState, StepState
from domain.quote import QuoteState
from domain.subscription import SubscriptionState
from domain.waiting import Party
from store.access import Role

T = TypeVar("T")

Amount = Annotated[str, Field(json_schema_extra={"format": "decimal"}, examples=["12.30"])]
Exact = Annotated[str, Field(json_schema_extra={"format": "decimal"}, examples=["0.5"])]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Day = Annotated[str, Field(json_schema_extra={"format": "date"})]


class Page(TypedDict, Generic[T]):
    """Some of a list, newest first; `next_cursor` leads to those that follow."""

    data: list[T]
    next_cursor: str | None


class Waiting(TypedDict):
    """Whose move it is; all null when it is closed."""

    waiting_on: Party | None
    since: Instant | None
    until: Instant | None
    next_action: str | None
    next_action_at: Instant | None


class Period(TypedDict):
    """Local dates, half-open, and the instants at which they begin."""

    start: Day
    end: Day
    starts_at: Instant
    ends_at: Instant


class Customer(TypedDict):
    """Who buys; of the payment method only what is fit to show."""

    id: str
    key: str
    name: str
    currency: str
    timezone: str
    country: str
    collections: str
    tax_id: str | None
    email: str | None
    address: list[str]
    payment_method: str | None
    created_at: Instant


class Discount(TypedDict, total=False):
    """Either `percent` or `amount`; without `periods` for as long as the subscription runs."""

    percent: Exact
    amount: Exact
    periods: int


class QuoteLine(TypedDict):
    """A plan in the version that was offered."""

    plan: str
    plan_version: int
    quantity: Exact
    discounts: list[Discount]


class Approval(TypedDict):
    """A decision that the quote needs; open while `approved` is null."""

    approver: str
    reason: str
    approved: bool | None
    decided_at: Instant | None


class Quote(Waiting):
    """An offer."""

    id: str
    key: str
    customer: str
    currency: str
    state: QuoteState
    lines: list[QuoteLine]
    approvals: list[Approval]
    created_at: Instant
    valid_until: Instant
    accepted_by: str | None
    accepted_at: Instant | None
    order: str | None


class Item(TypedDict):
    """What was sold."""

    plan: str
    plan_version: int
    quantity: Exact
    discounts: list[Discount]
    uplift: Exact


class Step(TypedDict):
    """One thing that a target is asked to do."""

    name: str
    state: StepState
    attempts: int
    at: Instant | None
    detail: str


class Order(Waiting):
    """What was accepted, on its way to being usable."""

    id: str
    key: str
    quote: str
    customer: str
    state: OrderState
    items: list[Item]
    steps: list[Step]
    subscription: str | None
    accepted_at: Instant


class Anchor(TypedDict):
    """From where boundaries are counted."""

    date: Day
    day: int


class Subscription(Waiting):
    """What runs."""

    id: str
    key: str
    customer: str
    order: str
    currency: str
    timezone: str
    state: SubscriptionState
    items: list[Item]
    activated_at: Instant
    period: Period | None
    anchor: Anchor
    interval: Interval
    interval_count: int
    trial_ends: Day | None
    term_ends: Day | None
    ends: Day | None
    ended_at: Instant | None


class Entitlement(TypedDict):
    """May the customer do that?"""

    allowed: bool
    reason: Reason
    type: FeatureType
    limit: Exact | None
    used: Exact | None
    remaining: Exact | None
    resets_at: Instant | None
    value: str | None


class FeatureAnswer(Entitlement):
    """The answer for one feature of all."""

    feature: str


class FeatureAnswers(TypedDict):
    """The answers for all features of the price book."""

    data: list[FeatureAnswer]


class Event(TypedDict):
    """One line of the audit trail."""

    at: Instant
    type: str
    cause: str
    subject: str
    customer: str | None
    subscription: str | None
    actor: str
    actor_role: Role | None
    actor_label: str | None
    reason: str | None
    data: dict[str, str]
    before: Annotated[dict[str, str | None], Field(description="The fields that changed, as they were.")]
    after: Annotated[dict[str, str | None], Field(description="The fields that changed, as they were then.")]


class Rejected(TypedDict):
    """An event that was not taken; `index` is its place in the batch."""

    index: int
    id: str | None
    code: str
    detail: str


class Taken(TypedDict):
    """What became of a batch of events."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class RefusedUsage(TypedDict):
    """Events of one subject and type that were refused for one reason."""

    subject: str
    type: str
    code: str
    times: int
    first_at: Instant
    last_at: Instant
    last_id: str
    detail: str


class UnsoldUsage(TypedDict):
    """Events of one customer and type that nothing sold counts; `meters` are those that would."""

    customer: str
    type: str
    meters: list[str]
    events: int
    first_at: Instant
    last_at: Instant


class UnsoldUsages(TypedDict):
    """The latest first."""

    data: list[UnsoldUsage]


class Window(TypedDict):
    """What a meter counted in `[start, end)`."""

    start: Instant
    end: Instant
    group: dict[str, str] | None
    quantity: Exact
    events: int


class Windows(TypedDict):
    """Windows in the order of time; those without use are left out."""

    data: list[Window]


class ApiKey(TypedDict):
    """Who may call."""

    id: str
    role: Role
    customer: str | None
    approver: list[str]
    label: str
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Annotated[Instant | None, Field(description="At most an hour behind.")]
    revoked_at: Instant | None


class NewApiKey(ApiKey):
    """A key with its secret, which is told once."""

    key: str | None


class Refusal(TypedDict):
    """Which rule says no, and why."""

    code: str
    detail: str


class Granted(TypedDict):
    """Access that comes alive."""

    feature: str
    type: FeatureType
    value: str | None
    limit: Exact | None
    starts_at: Instant
    ends_at: Instant | None


class Charge(TypedDict):
    """Money that is asked for at `at`; without a `method` the customer has to pay by itself."""

    amount: Amount
    currency: str
    at: Instant
    method: str | None


class Due(TypedDict):
    """What time alone does, and when."""

    at: Instant
    action: str


class Preview(TypedDict):
    """What a verb would do: nothing is done. Each thing is as it would be read then; what would be new has no id yet."""

    possible: bool
    refusal: Refusal | None
    instead: Annotated[list[str], Field(description="Verbs that are possible now, or plans that can be offered.")]
    quote: dict[str, Any] | None
    order: dict[str, Any] | None
    subscription: dict[str, Any] | None
    entitlements: list[Granted]
    invoice: dict[str, Any] | None
    charges: list[Charge]
    messages: Annotated[list[str], Field(description="What would be told, by the type of its event.")]
    dates: list[Due]
