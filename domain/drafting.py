"""Drafting: parts of a subscription + what was used → a draft invoice. The one function behind invoice, preview and forecast.

    parts ──measures──► usage (read from the store) ──┐
    parts ──────────────────────────────────────────► rated lines ─► discounts ─► tax per rate ─► Invoice(draft)
    parts billed before, re-rated ──► late usage ─────┘

Lines stand in the price book's order: arrears of the closed period first, then late usage, then what the new period opens
with; discounts last.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from domain.catalog import Charge, Commitment, DunningPolicy, Plan, PriceBook, Timing
from domain.commitment import Counts, counts_of, missing
from domain.customer import Customer
from domain.discount import discounted
from domain.ids import derived_id
from domain.invoice import Invoice, LineItem, LineKind
from domain.measure import BilledUsage, Measured, charges_due, is_over_term
from domain.money import Money, plain, total
from domain.rating import WHOLE, RatedLine, rate
from domain.subscription import Item, Plans, Subscription
from domain.tax import taxed
from domain.turn import Part, Turn
from domain.unpriced import Unpriced, rated_usage

NONE, ONE = Fraction(0), Fraction(1)
_NEVER_PRORATED = frozenset({LineKind.USAGE, LineKind.LATE_USAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft invoice (None: it would have no lines), what it bills of usage, to be remembered with it, and what it cannot."""

    invoice: Invoice | None
    billed: tuple[BilledUsage, ...]
    unpriced: tuple[Unpriced, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line on its way: what discounts and tax need to know of it. `billed`: what its period came to before, if it is late."""

    item: Item
    ordinal: int
    phase: str
    takes_fixed: bool
    line: LineItem
    billed: Money | None = None


def draft_invoice(
    subscription: Subscription,
    turn: Turn,
    plans: Plans,
    *,
    measured: Measured,
    tax_rate: Decimal,
    inclusive: bool = False,
    earlier: Sequence[BilledUsage] = (),
    counted: Sequence[BilledUsage] = (),
) -> Draft:
    """The invoice of `turn`. `measured` holds every measure that `measures` asked for.

    `earlier` is what previous invoices billed of usage that may still have grown; the difference becomes `late_usage`.
    `counted` is what counts so far for commitments over terms that run, or closed lately. Usage that cannot be priced is left
    out; where all of a charge's usage cannot be priced again, what was billed of that part stays. Raises PricingError.
    """
    again = _unpriced(dict.fromkeys(was.part for was in earlier), plans, measured)
    kept = {one.part for one in again if one.whole}
    earlier = [was for was in earlier if was.part not in kept]
    arrears = [part for part in turn.parts if part.timing is Timing.ARREARS]
    opening = [part for part in turn.parts if part.timing is not Timing.ARREARS]
    late, rebilled = _late_lines(earlier, counted, plans, measured, tax_rate)
    billed = [was for part in arrears for was in _billed(part, plans, measured, subscription.currency)]
    counts = counts_of((*counted, *rebilled, *billed))
    rated = [line for part in arrears for line in _part_lines(part, plans, measured, counts, tax_rate)]
    lines = rated + late + _opening_lines(opening, plans, measured, tax_rate)
    lines += _discount_lines(lines)
    invoice = _invoice(subscription, turn, [line.line for line in lines], inclusive=inclusive) if lines else None
    return Draft(invoice=invoice, billed=(*billed, *rebilled), unpriced=(*_unpriced(arrears, plans, measured), *again))


def dunning_policy(book: PriceBook, customer: Customer) -> DunningPolicy:
    """How the customer's invoices are collected: the policy that it names, or the price book's default."""
    return book.collections.get(customer.collections) or book.collections.get("default") or DunningPolicy()


def issued(draft: Invoice, turn: Turn, book: PriceBook, customer: Customer, *, number: str, balance: Money) -> Invoice:
    """The invoice of `turn` as it is sent, paid first from the customer's credit `balance`."""
    return draft.finalized(
        number=number,
        issued_at=turn.issue_at,
        due_at=turn.issue_at + timedelta(days=dunning_policy(book, customer).net_days),
        balance=Money(max(0, balance.minor), draft.currency),
        seller=book.entity,
        buyer=customer.buyer,
    )


def _invoice(subscription: Subscription, turn: Turn, lines: list[LineItem], *, inclusive: bool) -> Invoice:
    currency = subscription.currency
    taxes = taxed(((line.tax_rate, line.amount) for line in lines), inclusive=inclusive)
    if inclusive:
        lines = lines + [
            LineItem(
                charge="tax",
                kind=LineKind.TAX_ADJUSTMENT,
                description="Tax contained in the prices",
                quantity="1",
                unit_amount=None,
                amount=-tax.amount,
                period=turn.period,
                tax_rate=tax.rate,
            )
            for tax in taxes
            if tax.amount.minor
        ]
    return Invoice(
        id=derived_id("inv", turn.issue_at, subscription.id, turn.cause),
        customer_id=subscription.customer_id,
        subscription_id=subscription.id,
        currency=currency,
        timezone=subscription.timezone,
        period=turn.period,
        lines=tuple(lines),
        taxes=taxes,
        credits_applied=Money.zero(currency),
        amount_paid=Money.zero(currency),
    )


def _rated(part: Part, charge: Charge, measured: Measured, currency: str) -> tuple[RatedLine, ...]:
    share = WHOLE if part.timing is Timing.ONCE else part.share
    if charge.is_usage:
        return rated_usage(part, charge, measured, currency)[0]
    quantity = Fraction(charge.quantity if charge.quantity is not None else part.item.quantity)
    factor = ONE if part.timing is Timing.ONCE else Fraction(part.item.uplift)
    return rate(charge, quantity, currency, share=share, factor=factor)


def _unpriced(parts: Iterable[Part], plans: Plans, measured: Measured) -> list[Unpriced]:
    return [
        left
        for part in parts
        for charge in charges_due(part, plans)
        if charge.is_usage
        for _, left in [rated_usage(part, charge, measured, plans[part.item.plan].currency)]
        if left
    ]


def _part_lines(part: Part, plans: Plans, measured: Measured, counts: Counts, tax_rate: Decimal) -> list[_Line]:
    plan = plans[part.item.plan]
    lines: list[_Line] = []
    for charge in charges_due(part, plans):
        if isinstance(charge, Commitment):
            rated = _true_up(part, charge, plan, _amounts(part, plan, measured, of=charge.applies_to), counts)
        else:
            rated = _rated(part, charge, measured, plan.currency)
        lines += [_line(part, plan, charge, one, tax_rate) for one in rated]
    return lines


def _amounts(
    part: Part, plan: Plan, measured: Measured, *, of: Container[str], opened: Part | None = None
) -> dict[str, Money]:
    """What the charges in `of` come to in the period of `part`, those in advance in `opened`; `once` counts in the first."""
    return {
        charge.key: _amount(
            (opened if charge.timing is Timing.ADVANCE else None) or part, charge, measured, plan.currency
        )
        for charge in plan.charges
        if charge.key in of
        and not isinstance(charge, Commitment)
        and not (charge.timing is Timing.ONCE and part.ordinal)
    }


def _true_up(
    part: Part, charge: Commitment, plan: Plan, amounts: Mapping[str, Money], counts: Counts
) -> tuple[RatedLine, ...]:
    """What is missing to a commitment, counting its charges before discounts and tax."""
    amount = missing(part, charge, plan.currency, amounts, counts)
    if not amount.minor:
        return ()
    return (
        RatedLine(
            kind=LineKind.TRUE_UP,
            description="committed amount not reached",
            quantity=ONE,
            unit_amount=None,
            amount=amount,
        ),
    )


def _opening_lines(parts: Sequence[Part], plans: Plans, measured: Measured, tax_rate: Decimal) -> list[_Line]:
    """Once and advance lines of an item stand together, in the order of its plan's charges."""
    lines: list[_Line] = []
    for item in dict.fromkeys(part.item for part in parts):
        plan = plans[item.plan]
        order = {charge.key: index for index, charge in enumerate(plan.charges)}
        of_item = [
            line for part in parts if part.item == item for line in _part_lines(part, plans, measured, {}, tax_rate)
        ]
        lines += sorted(of_item, key=lambda line: order[line.line.charge])
    return lines


def _line(part: Part, plan: Plan, charge: Charge, rated: RatedLine, tax_rate: Decimal) -> _Line:
    is_prorated = part.share != WHOLE and part.timing is not Timing.ONCE and charge.prorate == "day"
    return _Line(
        item=part.item,
        ordinal=part.ordinal,
        phase="arrears" if part.timing is Timing.ARREARS else "opening",
        takes_fixed=part.timing is not Timing.ARREARS or not _opens(part, plan),
        line=LineItem(
            charge=charge.key,
            kind=LineKind(rated.kind),
            description=f"{plan.name}: {charge.name or charge.key}"
            + (f" ({rated.description})" if rated.description else ""),
            quantity=plain(rated.quantity),
            unit_amount=rated.unit_amount,
            amount=rated.amount,
            period=part.period,
            tax_rate=tax_rate,
            proration=part.share if is_prorated and rated.kind not in _NEVER_PRORATED else None,
        ),
    )


def _opens(part: Part, plan: Plan) -> bool:
    """Whether the period of `part` opened with anything to bill."""
    opening = {Timing.ADVANCE} if part.ordinal else {Timing.ADVANCE, Timing.ONCE}
    return any(charge.timing in opening for charge in plan.charges)


def _amount(part: Part, charge: Charge, measured: Measured, currency: str) -> Money:
    return total((line.amount for line in _rated(part, charge, measured, currency)), currency)


def _billed(part: Part, plans: Plans, measured: Measured, currency: str) -> list[BilledUsage]:
    return [
        BilledUsage(
            part=part,
            charge=charge.key,
            meter=charge.meter,
            billed=total((line.amount for line in rated), currency),
            quantity=plain(sum((line.quantity for line in rated if line.kind == LineKind.USAGE), NONE)),
        )
        for charge in charges_due(part, plans)
        if charge.meter is not None
        for rated in [_rated(part, charge, measured, currency)]
    ] + [
        BilledUsage(part=part, charge=charge.key, meter=None, billed=total(amounts.values(), currency))
        for charge in charges_due(part, plans)
        if is_over_term(charge)
        for opened in [replace(part, period=part.opened or part.period)]
        for amounts in [_amounts(part, plans[part.item.plan], measured, of=charge.applies_to, opened=opened)]
    ]


def _late_lines(
    earlier: Sequence[BilledUsage],
    counted: Sequence[BilledUsage],
    plans: Plans,
    measured: Measured,
    tax_rate: Decimal,
) -> tuple[list[_Line], list[BilledUsage]]:
    """Each part of `earlier` as a whole: its usage is rated again, and the commitments that count it with it."""
    lines: list[_Line] = []
    rebilled: list[BilledUsage] = []
    for part in dict.fromkeys(was.part for was in earlier):
        plan = plans[part.item.plan]
        charges = charges_due(part, plans)
        again = _billed(part, plans, measured, plan.currency)
        was = {one.charge: one for one in earlier if one.part == part}
        more = {one.charge: Fraction(one.quantity) - Fraction(was[one.charge].quantity) for one in again if one.meter}
        rebilled += [one if one.billed != was[one.charge].billed else was[one.charge] for one in again]
        commitments = [charge for charge in charges if isinstance(charge, Commitment)]
        now = _amounts(part, plan, measured, of={charge.key for charge in plan.charges})
        then = now | {one.charge: one.billed for one in was.values() if one.meter is not None}
        counts_then, counts_now = counts_of(counted), counts_of((*counted, *rebilled))
        now |= {charge.key: missing(part, charge, plan.currency, now, counts_now) for charge in commitments}
        then |= {charge.key: missing(part, charge, plan.currency, then, counts_then) for charge in commitments}
        came_to = total((then[charge.key] for charge in charges), plan.currency)
        for charge in charges:
            if now[charge.key] == then[charge.key]:
                continue
            late = _late(part, more.get(charge.key, ONE), now[charge.key] - then[charge.key])
            lines.append(replace(_line(part, plan, charge, late, tax_rate), phase="late", billed=came_to))
    return lines, rebilled


def _late(part: Part, quantity: Fraction, amount: Money) -> RatedLine:
    return RatedLine(
        kind=LineKind.LATE_USAGE,
        description=f"late, {part.period.starts_on} to {part.period.ends_on}",
        quantity=quantity,
        unit_amount=None,
        amount=amount,
    )


def _discount_lines(lines: Sequence[_Line]) -> list[_Line]:
    """One line for each line that is discounted: what its item's discounts take off the lines of one period together."""
    groups: dict[tuple[int, int, str], list[_Line]] = {}
    for line in lines:
        groups.setdefault((line.item.position, line.ordinal, line.phase), []).append(line)
    return [
        replace(line, line=_discount(line.line, off))
        for group in groups.values()
        for line, off in zip(
            group,
            discounted(
                [line.line.amount for line in group],
                group[0].item.discounts,
                group[0].ordinal,
                with_fixed=group[0].takes_fixed,
                billed=group[0].billed,
            ),
            strict=True,
        )
        if off.minor
    ]


def _discount(line: LineItem, off: Money) -> LineItem:
    return replace(
        line, kind=LineKind.DISCOUNT, description=f"Discount on {line.description}", unit_amount=None, amount=-off
    )
