"""Entitlement checks: two statements, whatever the customer bought, and one when nothing is metered."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from asyncpg import Record

from domain.catalog import Feature, FeatureType, Meter
from domain.entitlement import Answer, Entitlement, answer
from domain.errors import NotFound
from store.columns import codec
from store.connections import Fetches
from store.usage import windows_used

_HELD = """
    SELECT buyer.id AS customer_id, feature.document AS feature, held.document AS entitlement, meter.document AS meter,
           EXISTS (SELECT FROM suspensions shut
                    WHERE shut.subscription_id = held.subscription_id AND shut.starts_at <= $3
                      AND (shut.ends_at IS NULL OR $3 < shut.ends_at)) AS suspended
      FROM (SELECT id FROM customers WHERE id = $1 OR key = $1 ORDER BY id = $1 DESC LIMIT 1) buyer
      LEFT JOIN features feature ON $2::text IS NULL OR feature.key = $2
      LEFT JOIN entitlements held ON held.customer_id = buyer.id AND held.feature = feature.key
           AND held.starts_at <= $3 AND (held.ends_at IS NULL OR $3 < held.ends_at)
      LEFT JOIN meters meter ON meter.key = held.meter
     ORDER BY feature.key, held.starts_at, held.seq
"""

Window = tuple[datetime, ...]


@dataclass(slots=True)
class _Held:
    """What a customer holds of one feature at the instant of the check."""

    feature: Feature
    entitlements: list[Entitlement] = field(default_factory=list[Entitlement])
    meters: dict[Window, Meter] = field(default_factory=dict[Window, Meter])
    suspended: set[str] = field(default_factory=set[str])


async def check(pool: Fetches, customer: str, feature: str, at: datetime) -> Answer:
    """Whether `customer` (id or key) may use `feature` at `at`. Raises NotFound."""
    return (await _answers(pool, customer, feature, at))[feature]


async def check_all(pool: Fetches, customer: str, at: datetime) -> dict[str, Answer]:
    """The answer for every feature known, by its key. Raises NotFound."""
    return await _answers(pool, customer, None, at)


async def _answers(pool: Fetches, customer: str, feature: str | None, at: datetime) -> dict[str, Answer]:
    rows = await pool.fetch(_HELD, customer, feature, at)
    if not rows:
        raise NotFound(f"no customer {customer}")
    if rows[0]["feature"] is None:
        if feature is None:
            return {}
        raise NotFound(f"no feature {feature}")
    held = _by_feature(rows, at)
    asked = [(key, window, meter) for key, one in held.items() for window, meter in one.meters.items()]
    counted = await windows_used(pool, rows[0]["customer_id"], [(meter, window) for _, window, meter in asked])
    used: dict[str, dict[Window, list[Fraction]]] = {key: {} for key in held}
    for (key, window, _), quantities in zip(asked, counted, strict=True):
        used[key][window] = quantities
    return {
        key: answer(one.feature, one.entitlements, used[key], suspended=frozenset(one.suspended), at=at)
        for key, one in held.items()
    }


def _by_feature(rows: Iterable[Record], at: datetime) -> dict[str, _Held]:
    held: dict[str, _Held] = {}
    for row in rows:
        feature: Feature = codec(Feature).validate_json(row["feature"])
        one = held.setdefault(feature.key, _Held(feature))
        if row["entitlement"] is None:
            continue
        entitlement: Entitlement = codec(Entitlement).validate_json(row["entitlement"])
        one.entitlements.append(entitlement)
        if row["suspended"]:
            one.suspended.add(entitlement.subscription_id)
        if row["meter"] is not None and entitlement.type is FeatureType.METERED:
            one.meters[entitlement.boundaries(at)] = codec(Meter).validate_json(row["meter"])
    return held
