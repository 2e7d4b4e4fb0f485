"""List prices: what each charge of a plan costs, in rows that a buyer understands.

    charge ──► its price, or a heading with a row for each tier, group or bound
           ──► the units included before, the least and the most of a period after

All that changes the amount is said; how a language writes a row's amount is the renderer's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from api.phrases import Phrases
from domain.catalog import Charge, Commitment, GraduatedPercentage, Matrix, Percentage, Plan, Tier, Timing
from domain.document import QuotePrice
from domain.money import price_text


def list_prices(plan: Plan, says: Phrases) -> tuple[QuotePrice, ...]:
    """The rows of all charges of `plan`, in its order."""
    return tuple(row for charge in plan.charges for row in _Rows(plan, charge, says).all())


class _Rows:
    """The rows of one charge."""

    def __init__(self, plan: Plan, charge: Charge, says: Phrases) -> None:
        self._plan, self._charge, self._says = plan, charge, says
        self._name = charge.name or charge.key
        if charge.quantity is not None and charge.model != "flat":
            self._name += f" × {says.number(charge.quantity)}"
        once = charge.timing is Timing.ONCE
        self._every = says.say("once") if once else says.every(plan.interval, plan.interval_count)
        each = says.say("each")
        self._each = each if charge.is_usage else f"{each}, {self._every}"
        flat = says.say("flat")
        self._flat = flat if charge.is_usage else f"{flat}, {self._every}"

    def all(self) -> Iterator[QuotePrice]:
        charge = self._charge
        if charge.included:
            yield self._said("included", count=self._says.number(charge.included))
        first, *parts = self._priced(charge)
        yield first
        yield from (replace(part, is_part=True) for part in parts)
        for name, bound in (("minimum", charge.minimum), ("maximum", charge.maximum)):
            if bound is not None:
                yield self._costs(self._says.say(name, name=self._name), bound, self._every)

    def _priced(self, charge: Charge) -> Iterator[QuotePrice]:
        match charge.model:
            case "flat":
                yield self._costs(self._name, charge.amount, self._every)
            case "per_unit":
                yield self._costs(self._name, charge.unit_amount, self._each)
            case "package":
                unit = self._says.say("package", size=self._says.number(charge.package_size))
                unit = unit if charge.is_usage else f"{unit}, {self._every}"
                yield self._costs(self._name, charge.package_amount, unit)
            case "graduated" | "volume":
                yield self._said(charge.model)
                yield from self._tiers(charge.tiers)
            case "percentage":
                yield from self._percentage(charge)
            case "graduated_percentage":
                yield from self._graduated_percentage(charge)
            case "matrix":
                yield from self._matrix(charge)
            case "dynamic" if charge.multiplier != 1:
                yield self._said("multiplied", multiplier=self._says.number(charge.multiplier))
            case "dynamic":
                yield self._said("dynamic")
            case "commitment":
                yield self._commitment(charge)

    def _tiers(self, tiers: Sequence[Tier]) -> Iterator[QuotePrice]:
        for tier, label in zip(tiers, self._labels(tiers), strict=True):
            if tier.unit_amount or not tier.flat_amount:
                yield self._costs(label, tier.unit_amount, self._each)
            if tier.flat_amount:
                yield self._costs(label, tier.flat_amount, self._flat)

    def _graduated_percentage(self, charge: GraduatedPercentage) -> Iterator[QuotePrice]:
        yield self._said("graduated_percentage")
        for tier, label in zip(charge.tiers, self._labels(charge.tiers), strict=True):
            yield self._said("tier_rate", tier=label, rate=self._says.percent(tier.rate))
            if tier.flat_amount:
                yield self._costs(label, tier.flat_amount, self._flat)

    def _labels(self, tiers: Sequence[Tier]) -> list[str]:
        """From where to where each tier reaches."""
        tops = [None if tier.up_to is None else self._says.number(tier.up_to) for tier in tiers]
        labels: list[str] = []
        for low, top in zip([None, *tops], tops, strict=False):
            key = ("between" if low else "up_to") if top else ("over" if low else "any")
            labels.append(self._says.say(key, low=low or "", top=top or ""))
        return labels

    def _percentage(self, charge: Percentage) -> Iterator[QuotePrice]:
        yield self._said("percentage", rate=self._says.percent(charge.rate))
        bounds = {"at_least": charge.min_per_event, "at_most": charge.max_per_event}
        for key, amount in {"fixed": charge.fixed_per_event or None, **bounds}.items():
            if amount is not None:
                yield self._costs(self._says.say(key), amount, self._says.say("each"))
        count = None if charge.free_events is None else str(charge.free_events)
        amount = charge.free_amount
        free = None if amount is None else self._says.amount(price_text(amount, self._plan.currency))
        if count or free:
            key = "free_both" if count and free else "free_events" if count else "free_amount"
            yield self._said(key, count=count or "", amount=free or "")

    def _matrix(self, charge: Matrix) -> Iterator[QuotePrice]:
        yield self._said("matrix", dimensions=", ".join(charge.dimensions))
        for price in charge.prices:
            group = ", ".join(f"{name} {price.match[name]}" for name in charge.dimensions if name in price.match)
            yield self._costs(group or self._says.say("any_other"), price.unit_amount, self._each)
        if charge.default is not None:
            yield self._costs(self._says.say("any_other"), charge.default, self._each)

    def _commitment(self, charge: Commitment) -> QuotePrice:
        names = [one.name or one.key for one in self._plan.charges if one.key in charge.applies_to]
        label = self._says.say("commitment", name=self._name, charges=", ".join(names))
        return self._costs(
            label, charge.amount, self._every if charge.over == "period" else self._says.say("whole_term")
        )

    def _said(self, key: str, **parts: str) -> QuotePrice:
        return QuotePrice(description=self._says.say(key, name=self._name, **parts))

    def _costs(self, description: str, amount: Decimal, unit: str) -> QuotePrice:
        return QuotePrice(description=description, amount=price_text(amount, self._plan.currency), unit=unit)
