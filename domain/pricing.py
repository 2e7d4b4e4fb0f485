"""Pricing: the models. One type in the catalog and one function here make one model; nothing else knows it.

    Usage, included ──► price(charge) ──► Priced … exact amounts, not yet rounded (rating does that, once)

Included units come off the quantity before its price is looked up. Nothing here knows of periods, currencies, rounding.
Usage below zero (corrections that exceed what they correct) is no usage.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, singledispatch

from domain.catalog import (
    BaseCharge,
    Dynamic,
    Flat,
    Graduated,
    GraduatedPercentage,
    Matrix,
    MatrixPrice,
    Package,
    Percentage,
    PerUnit,
    Tier,
    Volume,
)
from domain.errors import PricingError
from domain.metering import Usage

ONE = Fraction(1)
NONE = Fraction(0)
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Priced:
    """A line before it is rounded. `unit_amount` is the price that stands for it, if one does; `detail` names it."""

    quantity: Fraction
    amount: Fraction
    unit_amount: Decimal | None = None
    detail: str = ""


@lru_cache(maxsize=4096)
def exact(price: Decimal) -> Fraction:
    """A price as a fraction; remembered, because a price book has few prices and usage many lines."""
    return Fraction(price)


@singledispatch
def price(charge: BaseCharge, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    """What `usage` costs by the charge's model, the first `included` units being free. No usage, no line."""
    raise PricingError("unknown_model", f"{getattr(charge, 'model', 'this charge')} has no price of its own")


def matched(charge: BaseCharge, usage: Usage) -> tuple[Usage, tuple[str, ...]]:
    """`usage` without the groups for which `charge` has no price, and why each of those has none."""
    if not isinstance(charge, Matrix) or usage.groups is None:
        return usage, ()
    why = {group: wrong for group, used in usage.groups.items() if used > 0 and (wrong := unmatched(charge, group))}
    kept = {group: used for group, used in usage.groups.items() if group not in why}
    return (replace(usage, groups=kept) if why else usage), tuple(why[group].detail for group in sorted(why))


def unmatched(charge: Matrix, group: tuple[str, ...]) -> PricingError | None:
    """Why `charge` has no price for the group of these values of its dimensions; None when it has."""
    try:
        _match(charge, group)
    except PricingError as error:
        return error
    return None


@price.register
def _flat(charge: Flat, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    if charge.is_usage and not _billed(usage, included):
        return ()
    return (Priced(ONE, exact(charge.amount), charge.amount),)


@price.register
def _per_unit(charge: PerUnit, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    billed = _billed(usage, included)
    return (Priced(billed, billed * exact(charge.unit_amount), charge.unit_amount),) if billed else ()


@price.register
def _graduated(charge: Graduated, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    billed = _billed(usage, included)
    entered = list(_tiers_entered(charge.tiers, billed))
    amount = sum((units * exact(tier.unit_amount) + exact(tier.flat_amount) for tier, units in entered), NONE)
    first = charge.tiers[0]
    single = first.unit_amount if len(entered) == 1 and not first.flat_amount else None
    return (Priced(billed, amount, single),) if billed else ()


@price.register
def _volume(charge: Volume, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    billed = _billed(usage, included)
    if not billed:
        return ()
    tier, _ = list(_tiers_entered(charge.tiers, billed))[-1]
    amount = billed * exact(tier.unit_amount) + exact(tier.flat_amount)
    return (Priced(billed, amount, None if tier.flat_amount else tier.unit_amount),)


@price.register
def _package(charge: Package, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    billed = _billed(usage, included)
    begun = -(-billed // exact(charge.package_size))
    return (Priced(billed, begun * exact(charge.package_amount)),) if billed else ()


@price.register
def _percentage(charge: Percentage, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    by_event = (charge.free_events, charge.min_per_event, charge.max_per_event)
    each = bool(charge.fixed_per_event) or any(bound is not None for bound in by_event)
    if each and usage.events is None and usage.quantity:
        raise PricingError("invalid_events", "this percentage is priced event by event: a quantity alone does not do")
    values = _values(usage, included)
    amount = sum((_fee(charge, value) for value in _past_the_free(charge, values)), NONE)
    return (Priced(_positive(usage.quantity - included), _positive(amount)),) if values else ()


@price.register
def _graduated_percentage(charge: GraduatedPercentage, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    billed = _billed(usage, included)
    entered = _tiers_entered(charge.tiers, billed)
    amount = sum((value * exact(tier.rate) + exact(tier.flat_amount) for tier, value in entered), NONE)
    return (Priced(billed, amount),) if billed else ()


@price.register
def _matrix(charge: Matrix, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    """Groups stand in the order of the price book, unlisted ones last; included units come off in that order."""
    groups: Mapping[tuple[str, ...], Fraction] = {(): usage.quantity} if usage.groups is None else usage.groups
    found = [(_match(charge, group), group) for group, quantity in groups.items() if quantity > 0]
    lines: list[Priced] = []
    for (_, unit_amount), group in sorted(found, key=lambda one: (one[0][0], one[1])):
        billed = _positive(groups[group] - included)
        included = _positive(included - groups[group])
        detail = ", ".join(f"{name} {value}" for name, value in zip(charge.dimensions, group, strict=False))
        if billed:
            lines.append(Priced(billed, billed * exact(unit_amount), unit_amount, detail))
    return tuple(lines)


@price.register
def _dynamic(charge: Dynamic, usage: Usage, included: Fraction) -> tuple[Priced, ...]:
    values = _values(usage, included)
    amount = sum(values, NONE) * exact(charge.multiplier)
    return (Priced(_positive(usage.quantity - included), _positive(amount)),) if values else ()


def _positive(quantity: Fraction) -> Fraction:
    return max(quantity, NONE)


def _billed(usage: Usage, included: Fraction) -> Fraction:
    return _positive(usage.quantity - included)


def _tiers_entered(tiers: Sequence[Tier], quantity: Fraction) -> Iterator[tuple[Tier, Fraction]]:
    """Each tier that `quantity` reaches into, with the units that lie in it; a tier's `up_to` still belongs to it."""
    below = NONE
    for tier in tiers:
        if quantity <= below:
            return
        top = quantity if tier.up_to is None else min(quantity, exact(tier.up_to))
        yield tier, top - below
        below = top
    if quantity > below:
        raise PricingError("invalid_charge", "the last tier has an end: nothing prices what lies beyond")


def _values(usage: Usage, included: Fraction) -> list[Fraction]:
    """The events' values, `included` taken off the first ones; a quantity without events is one event of that value."""
    if usage.events is None:
        return [usage.quantity - included] if usage.quantity > included else []
    left: list[Fraction] = []
    for event in usage.events:
        value = Fraction(event.value)
        if included and value <= included:
            included -= _positive(value)
            continue
        left.append(value - included)
        included = NONE
    return left


def _past_the_free(charge: Percentage, values: Sequence[Fraction]) -> Iterator[Fraction]:
    """What is charged of each value: nothing until a free limit is used up, of the value that crosses it the excess."""
    events, amount = charge.free_events, None if charge.free_amount is None else exact(charge.free_amount)
    passed = NONE
    for index, value in enumerate(values):
        free = not (events is None and amount is None)
        free = free and (events is None or index < events) and (amount is None or passed < amount)
        passed += value
        if not free:
            yield value
        elif amount is not None and passed > amount:
            yield passed - amount


def _fee(charge: Percentage, value: Fraction) -> Fraction:
    fee = value * exact(charge.rate) + exact(charge.fixed_per_event)
    if charge.min_per_event is not None:
        fee = max(fee, exact(charge.min_per_event))
    return fee if charge.max_per_event is None else min(fee, exact(charge.max_per_event))


def _match(charge: Matrix, group: tuple[str, ...]) -> tuple[tuple[int, int], Decimal]:
    """The most specific price of a group, the first listed of equals, and where it stands in the price book."""
    values = dict(zip(charge.dimensions, group, strict=False))
    listed = [
        (-len(entry.match), index, entry)
        for index, entry in enumerate(charge.prices)
        if all(values.get(name) == value for name, value in entry.match.items())
    ]
    if listed:
        best: MatrixPrice
        _, index, best = min(listed, key=lambda one: one[:2])
        return (0, index), best.unit_amount
    if charge.default is None:
        shown = ", ".join(f"{name}={values.get(name, '')[:_SHOWN]!r}" for name in charge.dimensions)
        raise PricingError("unmatched_dimension", f"no price matches {shown}, and there is no default")
    return (1, 0), charge.default
