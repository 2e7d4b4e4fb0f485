"""Dunning: how an invoice with money due is collected, as decisions over one value, the Collection.

    open ──charge──> paid
      └─soft decline─> retrying ──retries used up──┐
      └─hard decline, no method, authentication────┴─> awaiting_customer ──stuck_after──> stuck
    a bank that takes its days: processing            any other open one: write_off_after ──> written_off

`next_action` says what time alone will do next, and when; `attempted`, `method_changed`, `acted` return the next Collection.
While money is on its way, or the fault is ours, nobody is reminded, nothing is suspended, nothing is written off.
The first charge is at issue when `net_days` is 0, else when due; each retry counts from the failure before it; reminders,
suspension and write-off count from the due instant (contract section 6).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from domain.catalog import DunningPolicy
from domain.invoice import Invoice
from domain.money import Money
from domain.payment import DeclineClass, PaymentState
from domain.waiting import Party, Waiting

PROCESSING_LIMIT = timedelta(days=7)
UNKNOWN_LIMIT = timedelta(minutes=5)
POLL_AFTER = timedelta(minutes=15)
POLL_AT_LEAST = timedelta(hours=1)
POLL_AT_MOST = timedelta(days=1)
LATE = timedelta(days=1)


class CollectionState(StrEnum):
    """Where a collection stands (contract section 7)."""

    OPEN = "open"
    RETRYING = "retrying"
    AWAITING_CUSTOMER = "awaiting_customer"
    PROCESSING = "processing"
    PROMISED = "promised"
    PAUSED = "paused"
    DISPUTED = "disputed"
    STUCK = "stuck"
    PAID = "paid"
    WRITTEN_OFF = "written_off"


CLOSED_STATES = frozenset({CollectionState.PAID, CollectionState.WRITTEN_OFF})


class StuckReason(StrEnum):
    """Why only a person can go on (contract section 7)."""

    NO_PAYMENT_METHOD = "no_payment_method"
    AUTHENTICATION_REQUIRED = "authentication_required"
    HARD_DECLINE = "hard_decline"
    RETRIES_EXHAUSTED = "retries_exhausted"
    NETWORK_BUDGET_SPENT = "network_budget_spent"
    PROCESSING_TOO_LONG = "processing_too_long"
    UNKNOWN_OUTCOME = "unknown_outcome"
    DISPUTED = "disputed"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROMISE_BROKEN = "promise_broken"
    UNMATCHED_MONEY = "unmatched_money"
    AWAITING_APPROVAL = "awaiting_approval"
    PROCESS_FAILING = "process_failing"


# The money may be on its way.
_IN_FLIGHT = frozenset({StuckReason.PROCESSING_TOO_LONG, StuckReason.UNKNOWN_OUTCOME})
# What may come to an end at the provider without us: it is read now and then, for its webhook may be lost.
_READ = _IN_FLIGHT | {
    StuckReason.AUTHENTICATION_REQUIRED,
    StuckReason.HARD_DECLINE,
    StuckReason.RETRIES_EXHAUSTED,
}
# What only we can mend: no customer is dunned for it.
_OURS = frozenset({StuckReason.PROCESS_FAILING, StuckReason.PROVIDER_UNAVAILABLE})


class ActionKind(StrEnum):
    """What time alone can do to a collection. In this order where several fall on one instant."""

    CHARGE = "charge"
    READ = "read"
    REMIND = "remind"
    SUSPEND = "suspend"
    MARK_STUCK = "mark_stuck"
    WRITE_OFF = "write_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What falls due at `at` (UTC)."""

    kind: ActionKind
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The collection of one invoice. The policy travels with it, so a changed default never changes a running one.

    `attempts` counts charges tried, `retries_used` those taken from the policy's schedule. `charge_at` is when the next charge
    is due, None when nothing is scheduled; then `cause` says why, and `since` since when. `read_at` is when the provider is
    asked what became of the money. `reminded_until` is the instant up to which reminders are done with. `delay` is how much
    later than due we did things, after an outage of ours; what is still to come keeps its distance. `unheard_since` is since
    when the provider has heard no charge of ours. All instants UTC.
    """

    invoice_id: str
    customer_id: str
    subscription_id: str
    policy: DunningPolicy
    amount_due: Money
    issued_at: datetime
    due_at: datetime
    since: datetime
    state: CollectionState = CollectionState.OPEN
    attempts: int = 0
    retries_used: int = 0
    charge_at: datetime | None = None
    read_at: datetime | None = None
    cause: StuckReason | None = None
    stuck_reason: StuckReason | None = None
    last_decline: str | None = None
    reminded_until: datetime | None = None
    suspended: bool = False
    delay: timedelta = timedelta(0)
    unheard_since: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether money is still to come."""
        return self.state not in CLOSED_STATES

    @property
    def in_flight(self) -> bool:
        """Whether money was asked for and may be on its way: it is not asked for again, and not given up."""
        return self.cause in _IN_FLIGHT

    @property
    def retries_left(self) -> int:
        """How many scheduled retries the policy still has."""
        return len(self.policy.retries) - self.retries_used

    @property
    def next_action(self) -> Action | None:
        """What time does next, and when; None when the collection is closed or only a fact from outside can move it."""
        return _first(self._actions()) if self.is_open else None

    @property
    def waiting(self) -> Waiting | None:
        """Whose move it is; None when it is closed. That we look now and then what the provider knows is no move."""
        if not self.is_open:
            return None
        looks = self.in_flight
        action = _first(action for action in self._actions() if looks or action.kind is not ActionKind.READ)
        party = {
            CollectionState.AWAITING_CUSTOMER: Party.CUSTOMER,
            CollectionState.PROCESSING: Party.BANK,
        }.get(self.state, Party.US)
        until = action.at if action else None
        if self.cause and self.state is not CollectionState.STUCK:
            until = self.since + self._patience()
        return Waiting(
            on=party,
            since=self.since,
            until=until,
            next_action=action.kind if action else None,
            next_action_at=action.at if action else None,
        )

    def attempted(
        self, outcome: PaymentState, decline: DeclineClass | None, code: str | None, at: datetime
    ) -> "Collection":
        """A charge that was due at `at` came to `outcome`."""
        tried = replace(self, attempts=self.attempts + 1, charge_at=None, read_at=None, last_decline=code)
        return tried.resolved(outcome, decline, code, at)

    def resolved(
        self, outcome: PaymentState, decline: DeclineClass | None, code: str | None, at: datetime
    ) -> "Collection":
        """What the last charge came to is known (better than before). Reminders of the time in flight are never sent."""
        known = replace(
            self,
            read_at=None,
            cause=None,
            stuck_reason=None,
            reminded_until=at if self.in_flight else self.reminded_until,
            unheard_since=self.unheard_since if outcome is PaymentState.UNKNOWN else None,
        )
        match outcome:
            case PaymentState.SUCCEEDED:
                return known.paid(at)
            case PaymentState.FAILED:
                return known._declined(decline or DeclineClass.AMBIGUOUS, code, at)
            case PaymentState.REQUIRES_ACTION:
                return known._blocked(StuckReason.AUTHENTICATION_REQUIRED, at)
            case PaymentState.UNKNOWN:
                return known._in_flight(StuckReason.UNKNOWN_OUTCOME, at)
            case _:
                return known._in_flight(StuckReason.PROCESSING_TOO_LONG, at)

    def not_executed(self, at: datetime) -> "Collection":
        """The provider has no trace of the last attempt: no money was asked for, so it is asked for now.

        Where that happens again and again it is asked for ever more rarely, and after `stuck_after` a person must see to it.
        """
        since = self.unheard_since or at
        return replace(
            self,
            state=CollectionState.OPEN,
            charge_at=at + min(at - since, POLL_AT_MOST),
            read_at=None,
            cause=StuckReason.PROVIDER_UNAVAILABLE,
            stuck_reason=None,
            reminded_until=at,
            since=since,
            unheard_since=since,
        )

    def told(self, at: datetime) -> "Collection":
        """The provider says that something happened: it is asked at once."""
        return replace(self, read_at=min(at, self.read_at or at)) if self.is_open else self

    def looked(self, at: datetime) -> "Collection":
        """The provider was asked at `at` and had nothing new to say: when it is asked again, the longer the rarer."""
        if self.cause not in _READ:
            return replace(self, read_at=None)
        return replace(self, read_at=at + min(max(at - self.since, POLL_AT_LEAST), POLL_AT_MOST))

    def unchargeable(self, at: datetime) -> "Collection":
        """A charge was due, but the customer has no payment method: nothing was tried."""
        return replace(self, charge_at=None)._blocked(StuckReason.NO_PAYMENT_METHOD, at)

    def method_changed(self, at: datetime) -> "Collection":
        """The customer has a new payment method: it is charged at once where nothing is scheduled or access is shut, else on
        schedule. While the outcome of a charge is open, stuck or not, the money is not asked for a second time.
        """
        at_once = {CollectionState.AWAITING_CUSTOMER, CollectionState.STUCK}
        if self.suspended:
            at_once.add(CollectionState.RETRYING)
        if self.state not in at_once or self.in_flight:
            return self
        return replace(
            self,
            state=CollectionState.OPEN,
            charge_at=max(at, self.first_charge_at),
            read_at=None,
            reminded_until=at if self.cause in _OURS else self.reminded_until,
            cause=None,
            stuck_reason=None,
            since=at,
        )

    @property
    def first_charge_at(self) -> datetime:
        """When the first charge is due: at issue, or with terms when due."""
        return self.due_at if self.policy.net_days else self.issued_at

    def paid(self, at: datetime) -> "Collection":
        """Nothing is owed any more."""
        return self._closed(CollectionState.PAID, at)

    def acted(self, action: Action) -> "Collection":
        """After an action that is not a charge."""
        match action.kind:
            case ActionKind.REMIND:
                return replace(self, reminded_until=action.at)
            case ActionKind.SUSPEND:
                return replace(self, suspended=True)
            case ActionKind.MARK_STUCK:
                stuck = replace(self, state=CollectionState.STUCK, stuck_reason=self.cause, since=action.at)
                return replace(stuck, charge_at=None, unheard_since=None)
            case ActionKind.WRITE_OFF:
                return self._closed(CollectionState.WRITTEN_OFF, action.at)
            case ActionKind.CHARGE | ActionKind.READ:
                raise ValueError(f"a {action.kind} is told by its outcome")

    def behind(self, by: timedelta) -> "Collection":
        """What was done last was done later than due by that much. Where that is more than a day all that is to come moves
        with it: a customer is not charged, reminded and shut out in one hour because we were away for a month.
        """
        if by < LATE or not self.is_open:
            return self
        return replace(
            self,
            delay=self.delay + by,
            charge_at=self.charge_at + by if self.charge_at else None,
            reminded_until=self.reminded_until + by if self.reminded_until else None,
        )

    def _declined(self, decline: DeclineClass, code: str | None, at: datetime) -> "Collection":
        if decline is DeclineClass.US:
            stuck = StuckReason.PROCESS_FAILING
            return replace(self, state=CollectionState.STUCK, cause=stuck, stuck_reason=stuck, since=at)
        if not decline.is_soft:
            cause = (
                StuckReason.AUTHENTICATION_REQUIRED
                if code == StuckReason.AUTHENTICATION_REQUIRED
                else StuckReason.HARD_DECLINE
            )
            return replace(self._blocked(cause, at), last_decline=code)
        if not self.retries_left:
            return replace(self._blocked(StuckReason.RETRIES_EXHAUSTED, at), last_decline=code)
        return replace(
            self,
            state=CollectionState.RETRYING,
            retries_used=self.retries_used + 1,
            charge_at=at + self.policy.retries[self.retries_used],
            cause=None,
            stuck_reason=None,
            last_decline=code,
            since=at,
        )

    def _closed(self, state: CollectionState, at: datetime) -> "Collection":
        """Nothing is to come, and nothing is held back."""
        return replace(
            self,
            state=state,
            charge_at=None,
            read_at=None,
            cause=None,
            stuck_reason=None,
            suspended=False,
            since=at,
        )

    def _blocked(self, cause: StuckReason, at: datetime) -> "Collection":
        read_at = at + POLL_AFTER if cause in _READ else None
        return replace(self, state=CollectionState.AWAITING_CUSTOMER, cause=cause, read_at=read_at, since=at)

    def _in_flight(self, cause: StuckReason, at: datetime) -> "Collection":
        """Asked, and not answered yet: look again until it is known; never ask for the money a second time."""
        wait = UNKNOWN_LIMIT if cause is StuckReason.UNKNOWN_OUTCOME else POLL_AFTER
        return replace(self, state=CollectionState.PROCESSING, cause=cause, read_at=at + wait, since=at)

    def _actions(self) -> list[Action]:
        actions: list[Action] = []
        if self.charge_at:
            actions.append(Action(kind=ActionKind.CHARGE, at=self.charge_at))
        if self.read_at:
            actions.append(Action(kind=ActionKind.READ, at=self.read_at))
        if self.cause and self.state is not CollectionState.STUCK:
            actions.append(Action(kind=ActionKind.MARK_STUCK, at=self.since + self._patience()))
        if self.in_flight or self.cause in _OURS:
            return actions
        actions += [Action(kind=ActionKind.REMIND, at=at) for at in self._reminders()[:1]]
        if self.policy.suspend_after is not None and not self.suspended:
            actions.append(Action(kind=ActionKind.SUSPEND, at=self._after_due(self.policy.suspend_after)))
        if self.policy.write_off_after is not None:
            actions.append(Action(kind=ActionKind.WRITE_OFF, at=self._after_due(self.policy.write_off_after)))
        return actions

    def _after_due(self, wait: timedelta) -> datetime:
        return max(self.due_at + self.delay + wait, self.since)

    def _patience(self) -> timedelta:
        if self.cause is StuckReason.PROCESSING_TOO_LONG:
            return PROCESSING_LIMIT
        return max(self.policy.stuck_after, timedelta(0))

    def _reminders(self) -> list[datetime]:
        """Those still to come; one that falls before the invoice was issued is never sent."""
        after = self.reminded_until
        instants = sorted(self.due_at + self.delay + offset for offset in self.policy.reminders)
        return [at for at in instants if at - self.delay >= self.issued_at and (after is None or at > after)]


def _first(actions: Iterable[Action]) -> Action | None:
    order = list(ActionKind)
    return min(actions, key=lambda action: (action.at, order.index(action.kind)), default=None)


def opened(invoice: Invoice, policy: DunningPolicy) -> Collection:
    """The collection of a finalized `invoice` with an amount due."""
    assert invoice.issued_at is not None and invoice.due_at is not None
    return Collection(
        invoice_id=invoice.id,
        customer_id=invoice.customer_id,
        subscription_id=invoice.subscription_id,
        policy=policy,
        amount_due=invoice.outstanding,
        issued_at=invoice.issued_at,
        due_at=invoice.due_at,
        since=invoice.issued_at,
        charge_at=invoice.due_at if policy.net_days else invoice.issued_at,
    )
