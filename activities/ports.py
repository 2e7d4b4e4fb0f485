"""What activities need from the outside, as protocols.

`store` and `providers` implement these; `workers` plugs them in. Nothing here imports either.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from domain.audit import AuditEvent
from domain.catalog import Entity, Feature, PlanRef, PriceBook
from domain.customer import Customer
from domain.dunning import Collection
from domain.entitlement import Entitlement
from domain.invoice import Invoice
from domain.ledger import Account, Posting
from domain.measure import BilledUsage, Measure
from domain.money import Money
from domain.order import Order
from domain.payment import Decline, Payment, PaymentState
from domain.quote import Quote
from domain.rating import Usage
from domain.subscription import Plans, Subscription

T = TypeVar("T")


class ProviderUnavailable(Exception):
    """The provider could not be asked, or did not carry the request out: nothing happened. Try again under the same key."""


class OutcomeUnknown(Exception):
    """The provider was asked and the answer did not arrive. It may have happened: read before asking again."""


class ProviderRejected(Exception):
    """The provider will never carry this request out as it is.

    `of_method`: for the payment method it names, which another may mend; else the request is at fault, and that is ours.
    """

    def __init__(self, message: str, *, of_method: bool = False) -> None:
        super().__init__(message)
        self.of_method = of_method


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    """A card or account that a customer consented to be charged on. `label` is fit to show: "visa •4242"."""

    ref: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What the provider says of one collection of money.

    `charge_ref` is the latest charge it tried, None before the first: by it a later read tells "declined again" from
    "never executed". `decline` is set with state FAILED. `amount` is what it collects, or has collected; None if not known.
    """

    ref: str
    state: PaymentState
    charge_ref: str | None = None
    decline: Decline | None = None
    amount: Money | None = None


class Clock(Protocol):
    """The one clock: the wall's in production, the story's in a simulation."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...


class PaymentProvider(Protocol):
    """A card and bank network. Every `key` is an idempotency key: the same key moves money at most once.

    All methods raise ProviderUnavailable (nothing happened), OutcomeUnknown (it may have) or ProviderRejected.
    A decline is an answer, never an error.
    """

    async def create_customer(self, *, customer_id: str, key: str) -> str:
        """The provider's reference for our customer."""
        ...

    async def attach_method(self, *, customer_ref: str, method: str, key: str) -> PaymentMethod:
        """Save `method` (a reference or one of the provider's test names) for charges without the customer present."""
        ...

    async def create_intent(self, *, customer_ref: str, amount: Money, invoice_id: str, key: str) -> Intent:
        """An unconfirmed intent to collect `amount`: no money moves. State PENDING."""
        ...

    async def confirm_intent(self, *, intent_ref: str, method_ref: str, key: str) -> Intent:
        """Try to collect now, off session, on `method_ref`."""
        ...

    async def read_intent(self, *, intent_ref: str) -> Intent:
        """What the provider knows of it now."""
        ...

    async def cancel_intent(self, *, intent_ref: str, key: str) -> Intent:
        """Give the intent up; it can never collect afterwards. State FAILED once cancelled."""
        ...

    async def refund(self, *, intent_ref: str, amount: Money, key: str) -> str:
        """Send `amount` back; answers the refund's reference."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswer:
    """`state` is "done", "waiting" (the target calls back) or "failed" (it will never do this); `detail` is for people."""

    state: str
    detail: str = ""


class ProvisioningTarget(Protocol):
    """A system that makes what was sold usable. Raises ProviderUnavailable when it cannot be asked (5xx, no answer)."""

    async def provision(self, *, order_id: str, step: str, payload: dict[str, str], key: str) -> StepAnswer:
        """Do one step of an order, once per `key`."""
        ...

    async def undo(self, *, order_id: str, step: str, key: str) -> StepAnswer:
        """Take back what `provision` did for this step; fine when there is nothing to take back."""
        ...


class Keyed(Protocol[T]):
    """A book of things with an id and a caller's own key; `name` is either (of a collection or invoice: id or number)."""

    async def get(self, name: str, /) -> T:
        """Raises NotFound."""
        ...

    async def lock(self, name: str, /) -> T:
        """Get, and hold until the transaction ends: one writer at a time."""
        ...

    async def put(self, value: T, /) -> None:
        """Insert or replace by id. Raises AlreadyExists when another has its key."""
        ...


class Catalog(Protocol):
    """The price book, every version of every plan included."""

    async def apply(self, book: PriceBook, at: datetime) -> PriceBook:
        """Make `book` the current one: a plan that changed gets the next version. Answers it with the versions given.

        Raises InvalidInput where it would change the meaning of a meter or feature that is sold.
        """
        ...

    async def current(self) -> PriceBook:
        """The price book in force, each plan in its latest version. Raises NotFound when none was applied yet."""
        ...

    async def features(self) -> tuple[Feature, ...]:
        """The newest definition of every feature there ever was, also of those that the price book has no more."""
        ...

    async def plans(self, refs: Iterable[PlanRef]) -> Plans:
        """The named versions, in one statement. Raises NotFound."""
        ...


class Subscriptions(Keyed[Subscription], Protocol):
    """What runs, and what ran."""

    async def older_than(self, subscription: Subscription, since: datetime) -> tuple[Subscription, ...]:
        """What its customer had before it and still had after `since`, oldest first."""
        ...


class Entitlements(Protocol):
    """What customers may do."""

    async def put(self, entitlements: Iterable[Entitlement]) -> None:
        """Insert or replace by id, in one statement."""
        ...

    async def of(self, customer_id: str, feature: str | None = None) -> tuple[Entitlement, ...]:
        """All ever held, of one feature or of all, oldest first."""
        ...

    async def end(self, subscription_id: str, at: datetime) -> None:
        """Whatever the subscription gives beyond `at` ends at `at`, and so does every suspension of it."""
        ...

    async def suspend(self, subscription_id: str, invoice_id: str, at: datetime) -> None:
        """Shut what the subscription gives from `at`, for want of payment of the invoice. Once per invoice."""
        ...

    async def restore(self, invoice_id: str, at: datetime) -> None:
        """Lift the suspension for this invoice from `at`, if there is one."""
        ...

    async def suspended(self, customer_id: str, at: datetime) -> frozenset[str]:
        """The customer's subscriptions that are suspended at `at`."""
        ...


class UsageBook(Protocol):
    """The one store of usage."""

    async def measured(self, customer_id: str, measures: Iterable[Measure]) -> dict[Measure, Usage]:
        """What the meters counted, aggregated where the data is."""
        ...


class Invoices(Keyed[Invoice], Protocol):
    """Invoices and their numbers. Lines of a finalized invoice never change."""

    async def find(self, invoice_id: str) -> Invoice | None:
        """By id, None when there is none yet."""
        ...

    async def next_number(self, entity: Entity, year: int) -> str:
        """The next number of the prefix of `entity` in `year`, gapless: given back when the transaction fails."""
        ...

    async def billed_since(self, subscriptions: Sequence[str], since: datetime) -> dict[str, tuple[BilledUsage, ...]]:
        """What was billed of usage in parts that end after `since`, by subscription, oldest first."""
        ...

    async def remember_billed(self, subscription_id: str, billed: Iterable[BilledUsage]) -> None:
        """Insert, or replace what was billed for the same part and charge."""
        ...


class Payments(Protocol):
    """Attempts at collecting invoices."""

    async def get(self, payment_id: str) -> Payment | None:
        """By id."""
        ...

    async def of_invoice(self, invoice_id: str) -> tuple[Payment, ...]:
        """All attempts, in their order."""
        ...

    async def put(self, payment: Payment) -> None:
        """Insert or replace by id."""
        ...

    async def by_intent(self, intent_ref: str) -> Payment | None:
        """The latest attempt on the provider's intent."""
        ...


class Collections(Keyed[Collection], Protocol):
    """Collections of invoices with money due."""

    async def open_of(self, customer_id: str) -> tuple[Collection, ...]:
        """The customer's open collections, oldest first, held until the transaction ends."""
        ...


class Ledger(Protocol):
    """Double entry."""

    async def post(self, posting: Posting) -> None:
        """Write it, once per cause: posting the same cause again changes nothing."""
        ...

    async def balance(self, account: Account, customer_id: str, currency: str) -> Money:
        """Sum of the legs of one customer on one account; debits are positive."""
        ...


class Audit(Protocol):
    """What happened; also the outbox."""

    async def add(self, *events: AuditEvent) -> None:
        """Append, once per cause and type."""
        ...


class Books(Protocol):
    """Every book, inside one transaction."""

    @property
    def customers(self) -> Keyed[Customer]: ...  # noqa: D102
    @property
    def catalog(self) -> Catalog: ...  # noqa: D102
    @property
    def quotes(self) -> Keyed[Quote]: ...  # noqa: D102
    @property
    def orders(self) -> Keyed[Order]: ...  # noqa: D102
    @property
    def subscriptions(self) -> Subscriptions: ...  # noqa: D102
    @property
    def entitlements(self) -> Entitlements: ...  # noqa: D102
    @property
    def usage(self) -> UsageBook: ...  # noqa: D102
    @property
    def invoices(self) -> Invoices: ...  # noqa: D102
    @property
    def payments(self) -> Payments: ...  # noqa: D102
    @property
    def collections(self) -> Collections: ...  # noqa: D102
    @property
    def ledger(self) -> Ledger: ...  # noqa: D102
    @property
    def audit(self) -> Audit: ...  # noqa: D102


class OpenBooks(Protocol):
    """Opens the books; leaving the block commits, an exception rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[Books]:
        """Open the books."""
        ...


class Lifecycles(Protocol):
    """Starts the workflow of something that was recorded, or finds it running; tells a running one a fact."""

    async def start_quote(self, quote: Quote) -> None:
        """Run an open quote again from its record."""
        ...

    async def start_order(self, order: Order) -> None:
        """Provision and complete `order`."""
        ...

    async def start_subscription(self, subscription: Subscription, unsettled: Collection | None = None) -> None:
        """Run `subscription`; `unsettled` is an invoice of its that is still to be charged."""
        ...

    async def start_collection(self, collection: Collection) -> None:
        """Collect what is open."""
        ...

    async def wake_collection(self, collection: Collection, at: datetime) -> None:
        """What is recorded of it changed at `at`: look again. One that does not run is started."""
        ...

    async def cancel_subscription(self, subscription: Subscription, cause: str, at: datetime) -> None:
        """End it at `at`. One that does not run is started."""
        ...


class Mail(Protocol):
    """Messages to people."""

    async def send(self, *, to: str, template: str, facts: dict[str, str], key: str) -> None:
        """Send one message, once per `key`. Raises ProviderUnavailable."""
        ...
