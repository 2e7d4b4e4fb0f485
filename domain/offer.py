"""Offer: what is asked for → a quote, with the plan versions of the day and the decisions it needs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from domain.catalog import Plan, PriceBook
from domain.charge_rules import MOST_MINOR
from domain.customer import Customer
from domain.discount import Discount
from domain.errors import CurrencyMismatch, FieldError, InvalidInput
from domain.money import Money
from domain.quote import VALID_FOR, Quote, QuoteLine, approvals_for, list_price, require_sellable
from domain.subscription import sold_cadence


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedLine:
    """A line as asked for: the plan by its key, in the version that is current when it is offered."""

    plan: str
    quantity: Decimal = Decimal(1)
    discounts: tuple[Discount, ...] = ()


def offered(
    lines: Sequence[OfferedLine],
    *,
    id: str,
    key: str,
    customer: Customer,
    book: PriceBook,
    at: datetime,
    valid_for: timedelta = VALID_FOR,
) -> Quote:
    """The quote of `lines` at `at` (UTC). Raises InvalidInput, CurrencyMismatch, MixedCadence, NotSupported."""
    plans = _plans(book, lines)
    for plan in plans:
        if plan.currency != customer.currency:
            raise CurrencyMismatch(
                f"{plan.key} is sold in {plan.currency}, customer {customer.key} pays {customer.currency}"
            )
    sold_cadence(plans, at.date())
    require_sellable(plans, {meter.key: meter for meter in book.meters})
    quoted = tuple(
        QuoteLine(plan=plan.ref, quantity=line.quantity, discounts=line.discounts)
        for plan, line in zip(plans, lines, strict=True)
    )
    _require_payable(quoted, plans)
    return Quote(
        id=id,
        key=key,
        customer_id=customer.id,
        currency=customer.currency,
        lines=quoted,
        created_at=at,
        valid_until=at + valid_for,
        approvals=approvals_for(quoted, {plan.ref: plan for plan in plans}, book.approvals),
    )


def _require_payable(lines: Sequence[QuoteLine], plans: Sequence[Plan]) -> None:
    """No line costs so much that an amount could not hold it, with tax, uplifts, and what other lines cost."""
    too_much = tuple(
        FieldError(("lines", index, "quantity"), f"comes to more than {most.text} {plan.currency} in a period")
        for index, (line, plan) in enumerate(zip(lines, plans, strict=True))
        if list_price(line, plan) > (most := Money(MOST_MINOR, plan.currency)).exact
    )
    if too_much:
        raise InvalidInput("the quote is over more than can be billed", too_much)


def _plans(book: PriceBook, lines: Sequence[OfferedLine]) -> list[Plan]:
    by_key = {plan.key: plan for plan in book.plans}
    unknown = tuple(
        FieldError(("lines", index, "plan"), f"no plan {line.plan!r}; there are: {', '.join(sorted(by_key))}")
        for index, line in enumerate(lines)
        if line.plan not in by_key
    )
    if unknown:
        raise InvalidInput("the quote names plans that the price book does not have", unknown)
    if not lines:
        raise InvalidInput("a quote needs a line", (FieldError(("lines",), "at least one line"),))
    return [by_key[line.plan] for line in lines]
