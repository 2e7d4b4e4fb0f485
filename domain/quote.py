"""Quote: an offer, and the decisions on its way to an order.

    draft ──submitted──> in_approval ──approved_by──> approved ──accepted──> accepted
      │                      └──rejected_by──> rejected
      └──submitted, nothing to approve──> approved       any open one: withdrawn, expired

A draft that needs no decision may be accepted as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from domain.catalog import ApprovalRule, Meter, Plan, PlanRef
from domain.discount import Discount, fraction_off
from domain.errors import ApprovalRequired, InvalidState, NotAnApprover, NotSupported, QuoteExpired, holds
from domain.rating import rate
from domain.subscription import Plans
from domain.waiting import Party, Waiting

VALID_FOR = timedelta(days=30)


class QuoteState(StrEnum):
    """Where a quote is in its life (contract section 7)."""

    DRAFT = "draft"
    IN_APPROVAL = "in_approval"
    APPROVED = "approved"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


OPEN_STATES = frozenset({QuoteState.DRAFT, QuoteState.IN_APPROVAL, QuoteState.APPROVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteLine:
    """`quantity` of a plan, in the version that was current when it was offered, less `discounts`."""

    plan: PlanRef
    quantity: Decimal = Decimal(1)
    discounts: tuple[Discount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A decision that the quote needs from `approver`; open until `decided_at` (UTC)."""

    approver: str
    reason: str
    approved: bool | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """An immutable snapshot; every move returns the next one. Instants are UTC. `moved_by` are the requests heard so far."""

    id: str
    key: str
    customer_id: str
    currency: str
    lines: tuple[QuoteLine, ...]
    created_at: datetime
    valid_until: datetime
    approvals: tuple[Approval, ...] = ()
    state: QuoteState = QuoteState.DRAFT
    changed_at: datetime | None = None
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    order_id: str | None = None
    moved_by: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it can still become an order."""
        return self.state in OPEN_STATES

    @property
    def version_at(self) -> datetime:
        """When it last changed, which tells its versions apart."""
        return self.changed_at or self.created_at

    @property
    def open_approvals(self) -> tuple[Approval, ...]:
        """The decisions that are still missing."""
        return tuple(approval for approval in self.approvals if approval.approved is None)

    @property
    def waiting(self) -> Waiting | None:
        """Whose move it is; None when it is closed. An open quote expires by itself."""
        if not self.is_open:
            return None
        party = Party.APPROVER if self.state is QuoteState.IN_APPROVAL else Party.CUSTOMER
        if self.state is QuoteState.DRAFT and self.open_approvals:
            party = Party.US
        return Waiting(
            on=party,
            since=self.version_at,
            until=self.valid_until,
            next_action="expire",
            next_action_at=self.valid_until,
        )

    def submitted(self, at: datetime) -> "Quote":
        """Handed in for decision; approved at once when it needs none."""
        self._require("submit", QuoteState.DRAFT, at)
        state = QuoteState.IN_APPROVAL if self.open_approvals else QuoteState.APPROVED
        return replace(self, state=state, changed_at=at)

    def approved_by(self, approver: str, at: datetime) -> "Quote":
        """Decided for by `approver`. A quote still in draft counts as submitted. Raises NotAnApprover, InvalidState."""
        return self._decided(approver, at, approved=True)

    def rejected_by(self, approver: str, at: datetime) -> "Quote":
        """Decided against by `approver`."""
        return self._decided(approver, at, approved=False)

    def accepted(self, *, by: str, at: datetime, order_id: str) -> "Quote":
        """Taken by the customer. Raises ApprovalRequired, QuoteExpired, InvalidState."""
        self._require_open("accepted", at)
        if self.open_approvals:
            names = ", ".join(approval.approver for approval in self.open_approvals)
            raise ApprovalRequired(f"quote {self.key} waits for the decision of {names}")
        return replace(
            self, state=QuoteState.ACCEPTED, accepted_by=by, accepted_at=at, changed_at=at, order_id=order_id
        )

    def revised(self, offer: "Quote", at: datetime) -> "Quote":
        """The same quote with the lines of `offer`, back in draft; decisions made so far are void.

        With the same lines it is valid as long as `offer`, and the decisions on them stand.
        """
        self._require_open("revised", at)
        if offer.lines == self.lines:
            longer = replace(self, valid_until=offer.valid_until, changed_at=at)
            return self if offer.valid_until == self.valid_until else longer
        return replace(
            self,
            lines=offer.lines,
            approvals=offer.approvals,
            state=QuoteState.DRAFT,
            valid_until=offer.valid_until,
            changed_at=at,
        )

    def withdrawn(self, at: datetime) -> "Quote":
        """Taken back by us."""
        self._require_open("withdrawn", at)
        return replace(self, state=QuoteState.WITHDRAWN, changed_at=at)

    def expired(self) -> "Quote":
        """Past its last instant; a closed quote stays as it is."""
        return replace(self, state=QuoteState.EXPIRED, changed_at=self.valid_until) if self.is_open else self

    def _decided(self, approver: str, at: datetime, *, approved: bool) -> "Quote":
        verb = "approve" if approved else "reject"
        if self.state is QuoteState.DRAFT:
            return self.submitted(at)._decided(approver, at, approved=approved)
        self._require(verb, QuoteState.IN_APPROVAL, at)
        if approver not in {approval.approver for approval in self.open_approvals}:
            raise NotAnApprover(f"quote {self.key} asks for no decision of {approver}")
        approvals = tuple(
            replace(a, approved=approved, decided_at=at) if a.approver == approver and a.approved is None else a
            for a in self.approvals
        )
        decided = replace(self, approvals=approvals, changed_at=at)
        if not approved:
            return replace(decided, state=QuoteState.REJECTED)
        return decided if decided.open_approvals else replace(decided, state=QuoteState.APPROVED)

    def _require(self, verb: str, state: QuoteState, at: datetime) -> None:
        self._require_valid(at)
        if self.state is not state:
            raise InvalidState(f"quote {self.key} is {self.state}: only a quote in {state} can {verb}")

    def _require_open(self, participle: str, at: datetime) -> None:
        self._require_valid(at)
        if not self.is_open:
            raise InvalidState(f"quote {self.key} is {self.state} and cannot be {participle}")

    def _require_valid(self, at: datetime) -> None:
        """At its last instant it has expired, whether or not that is written down yet."""
        if self.state is QuoteState.EXPIRED or (self.is_open and at >= self.valid_until):
            raise QuoteExpired(f"quote {self.key} was valid until {self.valid_until:%Y-%m-%d %H:%M} UTC")


def approvals_for(lines: Sequence[QuoteLine], plans: Plans, rules: Sequence[ApprovalRule]) -> tuple[Approval, ...]:
    """The decisions that `lines` need, one per approver, in the order of the price book's rules."""
    discount = max((discount_share(line, plans[line.plan]) for line in lines), default=Fraction(0))
    months = max((term_months(plans[line.plan]) for line in lines), default=0)
    needed: dict[str, Approval] = {}
    for rule in rules:
        over_discount, over_term = rule.when.discount_over, rule.when.term_months_over
        if over_discount is not None and discount <= Fraction(over_discount):
            continue
        if over_term is not None and months <= over_term:
            continue
        why = f"discount over {over_discount}" if over_discount is not None else f"term over {over_term} months"
        needed.setdefault(rule.approver, Approval(approver=rule.approver, reason=why))
    return tuple(needed.values())


def require_sellable(plans: Sequence[Plan], meters: Mapping[str, Meter]) -> None:
    """Nothing is offered that would be billed otherwise than it says. Raises NotSupported, naming plan and charge."""
    for plan in plans:
        for charge in plan.charges:
            meter = meters.get(charge.meter or "")
            if meter is not None and meter.outcome:
                what = "an outcome that is confirmed before it is billed"
            elif charge.pay is not None:
                what = f"pay: {charge.pay}"
            elif charge.tax_code is not None:
                what = "a tax code of its own"
            else:
                continue
            raise NotSupported(f"plan {plan.key}, charge {charge.key}: {what} cannot be billed yet")


def discount_share(line: QuoteLine, plan: Plan) -> Fraction:
    """How much is taken off the list price of the first period, as a fraction; usage counts for nothing."""
    off = fraction_off(line.discounts, 0)
    fixed = sum((Fraction(d.amount) for d in line.discounts if d.amount is not None), Fraction(0))
    if not fixed:
        return off
    listed = list_price(line, plan)
    return min(Fraction(1), off + fixed / listed) if listed else Fraction(1)


def list_price(line: QuoteLine, plan: Plan) -> Fraction:
    """What `line` costs in its first whole period before discounts, in major units; usage counts for nothing."""
    return sum(
        (
            rated.amount.exact
            for charge in plan.charges
            if not charge.is_usage and charge.model != "commitment"
            for rated in rate(charge, Fraction(charge.quantity or line.quantity), plan.currency)
        ),
        Fraction(0),
    )


def term_months(plan: Plan) -> int:
    """The length of the plan's term in whole months, begun ones included; 0 for an evergreen plan.

    Days and weeks are counted in months of the calendar's mean length, 146097 days in 4800 months: 104 weeks are 24 months.
    """
    if plan.term is None:
        return 0
    days = plan.interval.days * plan.interval_count * plan.term.intervals
    return plan.interval.months * plan.interval_count * plan.term.intervals or -(-days * 4800 // 146097)


def possible(quote: Quote, at: datetime) -> tuple[str, ...]:
    """The verbs that `quote` takes at `at`, each by its own rule."""
    approver = next((approval.approver for approval in quote.open_approvals), "")
    rules: dict[str, Callable[[], Quote]] = {
        "submit": lambda: quote.submitted(at),
        "approve": lambda: quote.approved_by(approver, at),
        "reject": lambda: quote.rejected_by(approver, at),
        "revise": lambda: quote.revised(quote, at),
        "accept": lambda: quote.accepted(by="", at=at, order_id=""),
        "withdraw": lambda: quote.withdrawn(at),
    }
    return tuple(verb for verb, rule in rules.items() if holds(rule))
