"""Commitment: what is missing to a committed amount, over a period or a whole term.

    amounts of one period ──────────────────────────────► missing to a commitment over a period
    what each part of the term came to (from the books) ──► missing to one over a term, where the term closes

Charges count with what they came to before discounts, burns and tax, minimums included.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from domain.catalog import Commitment
from domain.measure import BilledUsage, is_over_term
from domain.money import Money, total
from domain.rating import true_up
from domain.subscription import Plans, Subscription
from domain.turn import Part

Counts = Mapping[tuple[int, datetime, str], BilledUsage]
"""What counts for commitments over a term, by line, part and charge."""


def counts_of(billed: Iterable[BilledUsage]) -> Counts:
    """The rows of `billed` that count for a term; of several for one part the last one holds."""
    return {(one.part.item.position, one.part.starts_at, one.charge): one for one in billed if one.meter is None}


def counted_since(subscription: Subscription, plans: Plans, since: datetime) -> datetime:
    """When the term began that ran at `since` (UTC): what ended before it counts for no commitment that may still change.

    Without a commitment over a term it is `since`, and never later than that.
    """
    sold = [plans[item.plan] for section in subscription.sections for item in section.items]
    ending = [plan for plan in sold if any(is_over_term(charge) for charge in plan.charges)]
    if not ending:
        return since
    if not subscription.term or not subscription.term_ends_on or any(plan.duration for plan in ending):
        return min(since, subscription.activated_at)
    k = subscription.cadence.index(subscription.term_ends_on)
    while k > 0 and subscription.instant(subscription.cadence.boundary(k)) > since:
        k -= subscription.term.intervals
    return min(since, subscription.instant(subscription.cadence.boundary(k)) if k > 0 else subscription.activated_at)


def missing(part: Part, charge: Commitment, currency: str, amounts: Mapping[str, Money], counts: Counts) -> Money:
    """What is missing to `charge` with `part`: over a period by `amounts`, over a term by all parts of it, where it closes."""
    if is_over_term(charge):
        if part.term_starts_on is None:
            return Money.zero(currency)
        return true_up(charge, _counted_in_term(part, charge, currency, counts), currency)
    counted = total((amount for key, amount in amounts.items() if key in charge.applies_to), currency)
    return true_up(charge, counted, currency, part.share)


def _counted_in_term(part: Part, charge: Commitment, currency: str, counts: Counts) -> Money:
    return total(
        (
            one.billed
            for one in counts.values()
            if (one.part.item.position, one.charge) == (part.item.position, charge.key)
            and part.term_starts_on is not None
            and part.term_starts_on <= one.part.period.starts_on
            and one.part.ends_at <= part.ends_at
        ),
        currency,
    )
