"""Sold usage: what counts events of some types, for some customers and in the price book in force. One statement a batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from domain.acceptance import Counting
from domain.catalog import Matrix, Meter
from store.columns import codec
from store.connections import Fetches

# Only a matrix without a default may lack a price, so only that is read. A trial bills nothing, so it is no line yet.
_COUNTING = """
    WITH counting AS (SELECT key, event, document::text AS meter FROM meters WHERE event = ANY($2::text[])),
         book AS (SELECT document FROM price_books ORDER BY id DESC LIMIT 1)
    SELECT sub.customer_id, counting.meter, sub.id || '/' || (item ->> 'position') AS line, sub.activated_at, sub.id,
           (item ->> 'position')::int AS position,
           CASE WHEN charge ->> 'model' = 'matrix' AND charge ->> 'default' IS NULL THEN charge::text END AS matrix,
           coalesce((sub.document ->> 'trial_ends_on')::timestamp AT TIME ZONE zone, sub.activated_at) AS starts_at,
           least(coalesce(sub.ended_at, sub.ends_on::timestamp AT TIME ZONE zone),
                 (coalesce((sub.document ->> 'trial_ends_on')::date, (sub.activated_at AT TIME ZONE zone)::date)
                  + (plan.document ->> 'duration')::interval) AT TIME ZONE zone) AS ends_at
      FROM subscriptions sub
      CROSS JOIN LATERAL (SELECT sub.document ->> 'timezone' AS zone) clock
      CROSS JOIN jsonb_array_elements(sub.document -> 'sections' -> -1 -> 'items') item
      JOIN plans plan ON plan.key = item -> 'plan' ->> 'key' AND plan.version = (item -> 'plan' ->> 'version')::int
      CROSS JOIN jsonb_array_elements(plan.document -> 'charges') charge
      JOIN counting ON counting.key = charge ->> 'meter'
     WHERE sub.customer_id = ANY($1::text[])
     UNION ALL
    SELECT held.customer_id, counting.meter, NULL, NULL, NULL, NULL, NULL, held.starts_at, held.ends_at
      FROM entitlements held JOIN counting ON counting.key = held.meter
     WHERE held.customer_id = ANY($1::text[])
     UNION ALL
    SELECT NULL, counting.meter, NULL, NULL, NULL, NULL,
           CASE WHEN charge ->> 'model' = 'matrix' AND charge ->> 'default' IS NULL THEN charge::text END, NULL, NULL
      FROM book
      CROSS JOIN jsonb_array_elements(book.document -> 'meters') offered
      JOIN counting ON counting.key = offered ->> 'key'
      LEFT JOIN LATERAL (SELECT charge FROM jsonb_array_elements(book.document -> 'plans') plan
                           CROSS JOIN jsonb_array_elements(plan -> 'charges') charge
                          WHERE charge ->> 'meter' = counting.key) charged ON true
     ORDER BY activated_at, id, position
"""


@dataclass(frozen=True, slots=True)
class SoldUsage:
    """What counts usage: sold, by customer id, the oldest line first; and offered, by the price book in force."""

    sold: Mapping[str, Sequence[Counting]]
    offered: Sequence[Counting]


async def sold_usage(pool: Fetches, customer_ids: Iterable[str], types: Iterable[str]) -> SoldUsage:
    """What counts events of `types`, sold to any of these customers or in force."""
    sold: dict[str, list[Counting]] = {}
    offered: list[Counting] = []
    for row in await pool.fetch(_COUNTING, sorted(set(customer_ids)), sorted(set(types))):
        of = offered if row["customer_id"] is None else sold.setdefault(row["customer_id"], [])
        of.append(_counting(row["meter"], row["line"], row["matrix"], row["starts_at"], row["ends_at"]))
    return SoldUsage(sold, offered)


def _counting(
    meter: str, line: str | None, matrix: str | None, starts_at: datetime | None, ends_at: datetime | None
) -> Counting:
    return Counting(
        meter=_meter(meter),
        line=line,
        matrix=None if matrix is None else _matrix(matrix),
        starts_at=starts_at,
        ends_at=ends_at,
    )


# Few texts come again and again: a batch with thousands of customers has the plans of a price book.
@lru_cache(maxsize=1024)
def _meter(document: str) -> Meter:
    return codec(Meter).validate_json(document)


@lru_cache(maxsize=1024)
def _matrix(document: str) -> Matrix:
    return codec(Matrix).validate_json(document)
