"""What each workflow starts with, and starts its next run with: all that it needs to go on."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.dunning import Collection
from domain.order import Order
from domain.quote import Quote
from domain.subscription import SubscriptionState


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRun:
    """Run a quote. `quote` is set when it is restarted from the books; a new one begins with the update `offer`."""

    quote_id: str
    quote: Quote | None = None
    offset: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRun:
    """Run `order` from where it stands."""

    order: Order
    offset: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRun:
    """One period: settle the invoice that opened it, wait until `next_due_at` (UTC; None: nothing recurs).

    After the end one more: the last look at late usage. `ended`: nothing is to come.
    """

    subscription_id: str
    next_due_at: datetime | None
    state: SubscriptionState
    unsettled: Collection | None = None
    ended: bool = False
    offset: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRun:
    """Collect from where `collection` stands; `told_at` (UTC) is set when something was said that is not looked at yet."""

    collection: Collection
    told_at: datetime | None = None
    offset: timedelta = timedelta(0)
