"""Catalog rules: what must hold of a whole price book besides its shape. All that is wrong is said, not the first.

    shape (api.shapes) ──► these rules ──► a price book that can be sold: every reference leads somewhere,
                                           every plan can be billed, every limit can be counted

What is wrong with one charge by itself is in charge_rules.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import cast
from zoneinfo import ZoneInfo, available_timezones

from domain.catalog import (
    Aggregation,
    ApprovalRule,
    Charge,
    Commitment,
    DunningPolicy,
    Dynamic,
    Entity,
    Feature,
    FeatureType,
    GraduatedPercentage,
    Matrix,
    Meter,
    Percentage,
    Plan,
    PlanEntitlement,
    PriceBook,
    Reset,
    Timing,
)
from domain.charge_rules import Loc, charge_problems, fits, key_problems, repeated
from domain.errors import FieldError, InvalidInput
from domain.money import CURRENCIES

_NOTHING = timedelta(0)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_DAY = timedelta(days=1)
# Longer waits are slips of the pen, and would lead beyond the calendar.
_YEARS = 10


def problems(book: PriceBook, unread: Collection[str] = ()) -> list[FieldError]:
    """All that is wrong with `book`.

    `unread` names parts that were written but could not be read: references to them are not judged.
    """
    return list(_book(book, frozenset(unread)))


def keep_meaning(book: PriceBook, meters: Sequence[Meter], features: Sequence[Feature], sold: Iterable[Plan]) -> None:
    """What the plans in `sold` count and give keeps its meaning: closed periods are rated by it again, and it was offered so.

    `meters` and `features` are the definitions so far. Raises InvalidInput with what `book` redefines.
    """
    sold = list(sold)
    given = {one.feature for plan in sold for one in plan.entitlements}
    counted = {charge.meter for plan in sold for charge in plan.charges}
    counted |= {feature.meter for feature in features if feature.key in given}
    wrong = [
        *_redefined("meters", book.meters, meters, counted, ("event", "aggregation", "value", "group_by")),
        *_redefined("features", book.features, features, given, ("type", "meter")),
    ]
    if wrong:
        (kind, index, name), msg = wrong[0].loc, wrong[0].msg
        raise InvalidInput(f"{kind}[{index}].{name}: {msg}", tuple(wrong))


def _redefined(
    kind: str,
    parts: Sequence[Meter | Feature],
    before: Sequence[Meter | Feature],
    used: Collection[str | None],
    names: tuple[str, ...],
) -> Iterator[FieldError]:
    known = {part.key: part for part in before if part.key in used}
    for index, part in enumerate(parts):
        for name in names if part.key in known else ():
            was = getattr(known[part.key], name)
            if getattr(part, name) != was:
                shown = ", ".join(cast("tuple[str, ...]", was)) if isinstance(was, tuple) else was
                told = f"cannot change while {part.key} is sold or offered (it is {shown or 'unset'})"
                yield FieldError((kind, index, name), f"{told}: add a {kind.removesuffix('s')} under a new key")


def _book(book: PriceBook, unread: frozenset[str]) -> Iterator[FieldError]:
    meters = {meter.key: meter for meter in book.meters}
    features = {feature.key: feature for feature in book.features}
    yield from _entity(book.entity)
    for code, rate in book.taxes.items():
        if not 0 <= rate <= 1:
            yield FieldError(("taxes", code), 'must be a fraction from 0 to 1: 19 % is "0.19"')
        if code != "default" and not _is_country(code):
            yield FieldError(("taxes", code), "must be a country code such as DE, or default")
    for name, parts in (("meters", book.meters), ("features", book.features), ("plans", book.plans)):
        for index, part in enumerate(parts):
            yield from key_problems(part.key, (name, index, "key"))
        yield from repeated((part.key for part in parts), (name,), "key")
    for index, meter in enumerate(book.meters):
        yield from _meter(meter, ("meters", index))
    for index, feature in enumerate(book.features):
        yield from _feature(feature, {*meters, *unread}, ("features", index))
    for index, plan in enumerate(book.plans):
        yield from _plan(plan, ("plans", index))
        yield from _charges(plan, meters, unread, ("plans", index, "charges"))
        yield from _entitlements(plan, features, unread, ("plans", index, "entitlements"))
    for name, policy in book.collections.items():
        yield from key_problems(name, ("collections", name))
        yield from _dunning(policy, ("collections", name))
    for index, rule in enumerate(book.approvals):
        yield from _approval(rule, ("approvals", index))


def _entity(entity: Entity) -> Iterator[FieldError]:
    yield from key_problems(entity.key, ("entity", "key"))
    yield from key_problems(entity.invoice_prefix, ("entity", "invoice_prefix"))
    if not _is_country(entity.country):
        yield FieldError(("entity", "country"), "must be a country code such as DE")
    if not _is_zone(entity.timezone):
        yield FieldError(("entity", "timezone"), _unknown("an IANA time zone", entity.timezone, available_timezones()))
    if entity.bank is not None and not _is_iban(entity.bank.iban):
        yield FieldError(("entity", "bank", "iban"), "is no IBAN: its check digits do not fit")


def _meter(meter: Meter, loc: Loc) -> Iterator[FieldError]:
    if not meter.event:
        yield FieldError((*loc, "event"), "must name a type of event")
    if meter.aggregation is not Aggregation.COUNT and not meter.value:
        yield FieldError((*loc, "value"), f"is missing: {meter.aggregation} needs the property to look at")
    if meter.auto_confirm_after is not None and not meter.outcome:
        yield FieldError((*loc, "auto_confirm_after"), "is for meters with outcome: true")
    if meter.auto_confirm_after is not None and meter.auto_confirm_after < _NOTHING:
        yield FieldError((*loc, "auto_confirm_after"), "must not be negative")
    yield from repeated(meter.group_by, (*loc, "group_by"))


def _feature(feature: Feature, meters: Collection[str], loc: Loc) -> Iterator[FieldError]:
    if feature.type is not FeatureType.METERED:
        if feature.meter is not None:
            yield FieldError((*loc, "meter"), f"is for metered features, not for type {feature.type}")
    elif feature.meter is None:
        yield FieldError((*loc, "meter"), "is missing: a metered feature counts by a meter")
    elif feature.meter not in meters:
        yield FieldError((*loc, "meter"), _unknown("a meter", feature.meter, meters))


def _plan(plan: Plan, loc: Loc) -> Iterator[FieldError]:
    if plan.currency not in CURRENCIES:
        yield FieldError((*loc, "currency"), _unknown("an ISO 4217 currency", plan.currency, CURRENCIES))
    longest = _YEARS * 12 // plan.interval.months if plan.interval.months else _YEARS * 366 // plan.interval.days
    if not 1 <= plan.interval_count <= longest:
        yield FieldError((*loc, "interval_count"), f"must be from 1 to {longest}: no longer than {_YEARS} years")
    if isinstance(plan.anchor, int) and not 1 <= plan.anchor <= 31:
        yield FieldError((*loc, "anchor"), "must be anniversary, calendar or a day of the month, 1 to 31")
    elif isinstance(plan.anchor, int) and not plan.interval.months:
        yield FieldError((*loc, "anchor"), f"a day of the month needs a month or longer, not interval: {plan.interval}")
    if not 0 <= plan.trial_days <= _YEARS * 366:
        yield FieldError((*loc, "trial_days"), f"must not be negative, nor longer than {_YEARS} years")
    if plan.usage_grace < _NOTHING:
        yield FieldError((*loc, "usage_grace"), "must not be negative")
    if plan.duration is not None and (plan.duration < _DAY or plan.duration % _DAY):
        yield FieldError((*loc, "duration"), "must be whole days, such as P14D")
    if plan.term is None:
        return
    if plan.duration is not None and plan.term.auto_renew:
        yield FieldError((*loc, "term", "auto_renew"), "a plan with a duration ends by itself: it cannot renew")
    if not 1 <= plan.term.intervals <= 1000:
        yield FieldError((*loc, "term", "intervals"), "must be from 1 to 1000")
    if not 0 <= plan.term.notice_days <= _YEARS * 366:
        yield FieldError((*loc, "term", "notice_days"), f"must not be negative, nor longer than {_YEARS} years")
    if not -1 < plan.term.uplift <= 1 or not fits(plan.term.uplift, 6):
        yield FieldError((*loc, "term", "uplift"), 'must be a fraction, at most 6 decimals: 3 % is "0.03"')


def _charges(plan: Plan, meters: Mapping[str, Meter], unread: frozenset[str], loc: Loc) -> Iterator[FieldError]:
    yield from repeated((charge.key for charge in plan.charges), loc, "key")
    for index, charge in enumerate(plan.charges):
        at = (*loc, index)
        yield from charge_problems(charge, plan.currency, at)
        if isinstance(charge, Commitment):
            yield from _commitment(charge, plan, unread, at)
        elif charge.meter is None:
            if isinstance(charge, Percentage | GraduatedPercentage | Matrix | Dynamic):
                yield FieldError((*at, "meter"), f"is missing: model {charge.model} prices usage")
        elif charge.meter in meters:
            yield from _metered(charge, meters[charge.meter], at)
        elif charge.meter not in unread:
            yield FieldError((*at, "meter"), _unknown("a meter", charge.meter, meters))


def _metered(charge: Charge, meter: Meter, loc: Loc) -> Iterator[FieldError]:
    if charge.timing is not Timing.ARREARS:
        yield FieldError((*loc, "timing"), f"must be arrears: usage is not known when {charge.timing} falls due")
    if charge.quantity is not None:
        yield FieldError((*loc, "quantity"), "is for licensed charges; here the meter counts")
    if isinstance(charge, Percentage | Dynamic) and not meter.value:
        yield FieldError((*loc, "meter"), f"model {charge.model} needs a meter with a value; {meter.key} has none")
    if isinstance(charge, Percentage | Dynamic) and meter.aggregation is Aggregation.WEIGHTED_SUM:
        msg = f"model {charge.model} prices single events; those of {meter.key} are changes of a level"
        yield FieldError((*loc, "meter"), msg)
    if isinstance(charge, Matrix) and meter.group_by:
        for index, name in enumerate(charge.dimensions):
            if name not in meter.group_by:
                yield FieldError((*loc, "dimensions", index), _unknown("in the meter's group_by", name, meter.group_by))


def _commitment(charge: Commitment, plan: Plan, unread: frozenset[str], loc: Loc) -> Iterator[FieldError]:
    if charge.timing is not Timing.ARREARS:
        yield FieldError((*loc, "timing"), "must be arrears: what is missing shows at the end")
    if charge.over == "term" and plan.term is None and plan.duration is None:
        yield FieldError((*loc, "over"), "a plan without a term has no end to settle at")
    countable = [other.key for other in plan.charges if not isinstance(other, Commitment)]
    for index, key in enumerate(charge.applies_to):
        if key not in countable and key not in unread:
            yield FieldError((*loc, "applies_to", index), _unknown("a charge of this plan", key, countable))


def _entitlements(
    plan: Plan, features: Mapping[str, Feature], unread: frozenset[str], loc: Loc
) -> Iterator[FieldError]:
    yield from repeated((given.feature for given in plan.entitlements), loc, "feature")
    for index, given in enumerate(plan.entitlements):
        if given.feature in features:
            yield from _entitlement(given, features[given.feature].type, (*loc, index))
        elif given.feature not in unread:
            yield FieldError((*loc, index, "feature"), _unknown("a feature", given.feature, features))


def _entitlement(given: PlanEntitlement, type_: FeatureType, loc: Loc) -> Iterator[FieldError]:
    if type_ is FeatureType.STATIC and given.value is None:
        yield FieldError((*loc, "value"), "is missing: a static feature answers with it")
    if type_ is not FeatureType.STATIC and given.value is not None:
        yield FieldError((*loc, "value"), f"is for static features, not for type {type_}")
    if type_ in {FeatureType.BOOLEAN, FeatureType.STATIC}:
        if given.limit is not None:
            yield FieldError((*loc, "limit"), f"a {type_} feature has no limit")
    elif isinstance(given.limit, Decimal):
        whole = type_ is not FeatureType.METERED
        if given.limit < 0 or not fits(given.limit, 0 if whole else 12):
            yield FieldError((*loc, "limit"), f"must be {'a whole number' if whole else 'a number'}, not negative")
    if given.rollover is None:
        return
    if type_ is not FeatureType.METERED or given.limit is None:
        yield FieldError((*loc, "rollover"), "is for metered features with a limit")
    elif given.reset is Reset.NEVER:
        yield FieldError((*loc, "rollover"), "needs a reset")
    if not 0 <= given.rollover.min <= given.rollover.max:
        yield FieldError((*loc, "rollover"), "must have 0 <= min <= max")


def _dunning(policy: DunningPolicy, loc: Loc) -> Iterator[FieldError]:
    if policy.net_days < 0:
        yield FieldError((*loc, "net_days"), "must not be negative")
    for index, wait in enumerate(policy.retries):
        if wait <= _NOTHING:
            yield FieldError((*loc, "retries", index), "must be more than zero: it counts from the failure before")
    for name in ("suspend_after", "stuck_after", "write_off_after"):
        wait: timedelta | None = getattr(policy, name)
        if wait is not None and wait < _NOTHING:
            yield FieldError((*loc, name), "must not be negative")


def _approval(rule: ApprovalRule, loc: Loc) -> Iterator[FieldError]:
    over, months = rule.when.discount_over, rule.when.term_months_over
    if over is None and months is None:
        yield FieldError((*loc, "when"), "needs discount_over or term_months_over")
    if over is not None and not 0 <= over <= 1:
        yield FieldError((*loc, "when", "discount_over"), 'must be a fraction from 0 to 1: 20 % is "0.20"')
    if months is not None and months < 0:
        yield FieldError((*loc, "when", "term_months_over"), "must not be negative")
    if not rule.approver:
        yield FieldError((*loc, "approver"), "must name a role")


def _unknown(kind: str, key: str, known: Iterable[str]) -> str:
    near = get_close_matches(key, list(known), 1)
    return f"{key!r} is not {kind}" + (f"; did you mean {near[0]}?" if near else "")


def _is_country(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isalpha() and code.isupper()


def _is_iban(text: str) -> bool:
    """Whether it has an IBAN's form, and its digits (a letter being two) leave 1 when divided by 97."""
    iban = text.replace(" ", "")
    digits = "".join(str(int(char, 36)) for char in iban[4:] + iban[:4]) if _IBAN.fullmatch(iban) else "0"
    return int(digits) % 97 == 1


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        return False
    return True
